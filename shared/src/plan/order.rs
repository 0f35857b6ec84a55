//! Random orders that anyone can compute again.
//!
//! The order of `n` elements is made in three steps, the same on every machine and in every language:
//! 1. the message is `"evenkeel/plan/1/"`, then `"segments"` or `"packs"` (ASCII), then the seed (u64), the epoch
//!    (u32) and, for packs, the segment's number in the manifest (u32), all little-endian;
//! 2. BLAKE3 (plain hash mode) of the message is read as an extendable output: element `i` gets the `i`-th u64,
//!    little-endian, as its key;
//! 3. the elements are sorted by `(key, i)`.

use crate::ids::{Epoch, SegmentId};

/// The order in which an epoch visits the segments: positions in the manifest.
pub(super) fn segment_order(seed: u64, epoch: Epoch, segments: u32) -> Vec<u32> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"evenkeel/plan/1/segments");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&epoch.0.to_le_bytes());
    sorted_by_keys(&hasher, segments)
}

/// The order in which an epoch reads the packs of one segment.
pub(super) fn pack_order(seed: u64, epoch: Epoch, segment: SegmentId, packs: u32) -> Vec<u32> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"evenkeel/plan/1/packs");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&epoch.0.to_le_bytes());
    hasher.update(&segment.0.to_le_bytes());
    sorted_by_keys(&hasher, packs)
}

fn sorted_by_keys(hasher: &blake3::Hasher, count: u32) -> Vec<u32> {
    let mut output = hasher.finalize_xof();
    let mut keyed: Vec<(u64, u32)> = (0..count)
        .map(|index| {
            let mut key = [0; 8];
            output.fill(&mut key);
            (u64::from_le_bytes(key), index)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, index)| index).collect()
}
