//! Who is in a group, agreed through the store before anything connects, so that a wrong set-up is an error with a
//! reason instead of a hang.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::group::Member;
use crate::store::Store;

/// Says that `member` is there and waits until all others are.
pub(crate) fn join(store: &Store, member: Member, timeout: Duration) -> Result<()> {
    let Member { rank, world_size } = member;
    if rank >= world_size {
        return Err(Error::InvalidRank { rank, world_size });
    }
    let first = store.set_if_absent("world-size", world_size.to_string().as_bytes())?;
    if first != world_size.to_string().as_bytes() {
        let theirs = String::from_utf8_lossy(&first).parse().unwrap_or(0);
        return Err(Error::WorldSizeMismatch { rank, ours: world_size, theirs });
    }
    if store.add(&arrived(rank), 1)? > 1 {
        return Err(Error::DuplicateRank { rank });
    }
    wait_for_all(store, world_size, timeout)
}

fn wait_for_all(store: &Store, world_size: u32, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    for rank in 0..world_size {
        let left = deadline.saturating_duration_since(Instant::now());
        match store.wait(&arrived(rank), left) {
            Ok(()) => {}
            Err(Error::Timeout(_)) => {
                let missing = missing(store, world_size)?;
                if missing.is_empty() {
                    return Ok(());
                }
                return Err(Error::MissingRanks { missing, world_size, waited: timeout });
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

fn missing(store: &Store, world_size: u32) -> Result<Vec<u32>> {
    let mut ranks = Vec::new();
    for rank in 0..world_size {
        if !store.contains(&arrived(rank))? {
            ranks.push(rank);
        }
    }
    Ok(ranks)
}

fn arrived(rank: u32) -> String {
    format!("arrived/{rank}")
}
