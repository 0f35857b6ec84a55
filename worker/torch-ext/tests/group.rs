//! Collectives between real processes, and what happens when one of them goes bad.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use evenkeel_torch_ext::{Error, Member, ProcessGroup, Result};
use nix::sys::signal::Signal;
use support::{PATIENCE, Peer, bits, connect, form, say, serve, started_as, wait_for_release};
use tch::{Kind, Tensor};

const TWO: u32 = 2;

/// Values whose sum depends on rounding.
fn values_of(rank: u32) -> Tensor {
    (Tensor::arange(10_007, (Kind::Float, tch::Device::Cpu)) + f64::from(rank)).sin() / 3.0
}

#[test]
fn two_processes_reduce_and_agree_bit_for_bit() {
    let collectives = |group: &ProcessGroup| -> String {
        let rank = group.member().rank;
        let mut sum = values_of(rank);
        group.all_reduce_sum(&mut sum).unwrap();
        let mut sent = values_of(rank);
        group.broadcast(&mut sent, 1).unwrap();
        let gathered = group.all_gather(&values_of(rank)).unwrap();
        group.barrier(PATIENCE).unwrap();
        assert_eq!(bits(&sent), bits(&values_of(1)));
        assert_eq!(gathered.len(), 2);
        assert_eq!(bits(&gathered[0]), bits(&values_of(0)));
        assert_eq!(bits(&gathered[1]), bits(&values_of(1)));
        assert_eq!(bits(&sum), bits(&(values_of(0) + values_of(1))));
        bits(&sum)
    };
    if let Some((member, port)) = started_as() {
        say(&collectives(&form(&connect(port), member)));
        return;
    }
    let store = serve();
    let mut peer = Peer::start(
        "two_processes_reduce_and_agree_bit_for_bit",
        Member { rank: 1, world_size: TWO },
        store.port(),
    );
    let ours = collectives(&form(&store, Member { rank: 0, world_size: TWO }));
    assert_eq!(ours, peer.hear());
    peer.finish();
}

#[test]
fn a_killed_peer_is_noticed_within_a_second() {
    if let Some((member, port)) = started_as() {
        let _group = form(&connect(port), member);
        say("formed");
        wait_for_release();
        return;
    }
    let (group, peer) = pair("a_killed_peer_is_noticed_within_a_second");
    let waiting = wait_in_a_collective(group);
    let killed = Instant::now();
    peer.signal(Signal::SIGKILL);
    let (group, outcome) = waiting.recv_timeout(PATIENCE).unwrap();
    assert!(killed.elapsed() < Duration::from_secs(1), "took {:?}", killed.elapsed());
    assert!(matches!(outcome, Err(Error::PeerLost(_))), "{outcome:?}");
    // The group stays broken, and says so at once.
    let again = group.all_reduce_sum(&mut values_of(0));
    assert!(matches!(again, Err(Error::PeerLost(_))), "{again:?}");
}

#[test]
fn an_abort_frees_a_rank_that_waits_for_a_stopped_peer() {
    if let Some((member, port)) = started_as() {
        let _group = form(&connect(port), member);
        say("formed");
        wait_for_release();
        return;
    }
    let (group, peer) = pair("an_abort_frees_a_rank_that_waits_for_a_stopped_peer");
    peer.signal(Signal::SIGSTOP);
    let handle = group.abort_handle();
    let waiting = wait_in_a_collective(group);
    let bound = Duration::from_secs(1);
    let began = Instant::now();
    handle.abort(bound).unwrap();
    let (group, outcome) = waiting.recv_timeout(PATIENCE).unwrap();
    assert!(began.elapsed() < bound, "took {:?}", began.elapsed());
    assert!(matches!(outcome, Err(Error::Aborted)), "{outcome:?}");
    assert!(matches!(group.barrier(PATIENCE), Err(Error::Aborted)));
    drop(group);
    assert!(began.elapsed() < bound, "dropping took long: {:?}", began.elapsed());
    handle.abort(bound).unwrap();
}

#[test]
fn an_abort_is_a_lost_peer_to_the_others() {
    if let Some((member, port)) = started_as() {
        let group = form(&connect(port), member);
        say("formed");
        let outcome = group.all_reduce_sum(&mut values_of(1));
        say(if matches!(outcome, Err(Error::PeerLost(_))) { "lost" } else { "something else" });
        return;
    }
    let (group, mut peer) = pair("an_abort_is_a_lost_peer_to_the_others");
    group.abort(PATIENCE).unwrap();
    assert_eq!(peer.hear(), "lost");
    peer.finish();
}

#[test]
fn a_collective_ends_when_its_time_is_over() {
    if let Some((member, port)) = started_as() {
        let _group = form(&connect(port), member);
        say("formed");
        wait_for_release();
        return;
    }
    let (group, _peer) = pair("a_collective_ends_when_its_time_is_over");
    let outcome = group.barrier(Duration::from_millis(200));
    assert!(matches!(outcome, Err(Error::Timeout(_))), "{outcome:?}");
}

/// A group of this process and a peer that runs `test`.
fn pair(test: &str) -> (ProcessGroup, Peer) {
    let store = serve();
    let mut peer = Peer::start(test, Member { rank: 1, world_size: TWO }, store.port());
    let group = form(&store, Member { rank: 0, world_size: TWO });
    assert_eq!(peer.hear(), "formed");
    (group, peer)
}

/// Enters a collective on a thread of its own, and gives the group back with the outcome.
fn wait_in_a_collective(group: ProcessGroup) -> std::sync::mpsc::Receiver<(ProcessGroup, Result<()>)> {
    let (done, outcome) = sync_channel(1);
    std::thread::spawn(move || {
        let result = group.all_reduce_sum(&mut values_of(0));
        done.send((group, result)).unwrap();
    });
    outcome
}
