//! Gradients reduced over ranks equal those of one process that sees all data.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use evenkeel_torch_ext::{BucketSizes, Error, Member, Reducer};
use nix::sys::signal::Signal;
use support::{Peer, bits, connect, form, say, serve, started_as, wait_for_release};
use tch::{Device, Kind, Tensor};

const TWO: u32 = 2;
/// Small, so that the parameters below make several buckets.
const SIZES: BucketSizes = BucketSizes { first: 64, rest: 600 };

/// A small network whose first parameter is used twice, as a tied embedding is.
fn params() -> Vec<Tensor> {
    [vec![8, 16], vec![16], vec![16, 16], vec![16], vec![16, 16]]
        .into_iter()
        .enumerate()
        .map(|(index, shape)| {
            let count: i64 = shape.iter().product();
            let values = (Tensor::arange(count, (Kind::Float, Device::Cpu)) * (index + 1) as f64).sin();
            values.reshape(&shape).set_requires_grad(true)
        })
        .collect()
}

fn loss(params: &[Tensor], batch: u32) -> Tensor {
    let input = (Tensor::arange(4 * 8, (Kind::Float, Device::Cpu)) + f64::from(batch)).cos().reshape([4, 8]);
    let hidden = (input.matmul(&params[0]) + &params[1]).tanh();
    let hidden = (hidden.matmul(&params[2]) + &params[3]).tanh();
    hidden.matmul(&params[4]).matmul(&params[0].tr()).square().sum(Kind::Float)
}

/// Batches of the step for a rank: rank 0 has 0 and 1, rank 1 has 2 and 3.
fn batches(rank: u32) -> [u32; 2] {
    [2 * rank, 2 * rank + 1]
}

fn gradients(params: &[Tensor]) -> Vec<Tensor> {
    params.iter().map(Tensor::grad).collect()
}

/// Sums over `all` batches in one process.
fn expected(all: impl IntoIterator<Item = u32>) -> Vec<Tensor> {
    let params = params();
    for batch in all {
        loss(&params, batch).backward();
    }
    gradients(&params)
}

fn assert_close(actual: &[Tensor], expected: &[Tensor]) {
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert!(
            actual.allclose(expected, 1e-5, 1e-5, false),
            "gradient {index}: {actual} against {expected}"
        );
    }
}

/// Runs two steps with accumulation on one rank; returns the bits of the second's gradients.
fn accumulate(member: Member, port: Option<u16>, store: Option<&evenkeel_torch_ext::Store>) -> String {
    let connected = port.map(connect);
    let group = form(store.or(connected.as_ref()).unwrap(), member);
    let params = params();
    let mut reducer = Reducer::new(&params, &group, SIZES).unwrap();
    let buckets = reducer.flat_gradients().unwrap().len();
    assert!(buckets >= 3, "the test wants several buckets, got {buckets}");
    let storage: Vec<_> = gradients(&params).iter().map(Tensor::data_ptr).collect();
    for _ in 0..3 {
        reducer.zero_grad().unwrap();
        let [first, last] = batches(member.rank);
        reducer.backward_local(&loss(&params, first)).unwrap();
        reducer.backward_and_reduce(&loss(&params, last)).unwrap();
        assert_close(&gradients(&params), &expected(0..4));
    }
    let after: Vec<_> = gradients(&params).iter().map(Tensor::data_ptr).collect();
    assert_eq!(storage, after, "buckets are never rebuilt, gradients never copied");
    gradients(&params).iter().map(bits).collect()
}

#[test]
fn accumulated_gradients_are_summed_over_ranks() {
    if let Some((member, port)) = started_as() {
        say(&accumulate(member, Some(port), None));
        return;
    }
    let store = serve();
    let mut peer = Peer::start(
        "accumulated_gradients_are_summed_over_ranks",
        Member { rank: 1, world_size: TWO },
        store.port(),
    );
    let ours = accumulate(Member { rank: 0, world_size: TWO }, None, Some(&store));
    assert_eq!(ours, peer.hear(), "ranks agree bit for bit");
    peer.finish();
}

#[test]
fn a_rank_with_nothing_left_takes_part() {
    // Rank 0 has batches 0 and 1; rank 1 has only batch 2, then nothing.
    let step = |group: &evenkeel_torch_ext::ProcessGroup| {
        let params = params();
        let mut reducer = Reducer::new(&params, group, SIZES).unwrap();
        for _ in 0..2 {
            reducer.zero_grad().unwrap();
            if group.member().rank == 0 {
                reducer.backward_local(&loss(&params, 0)).unwrap();
                reducer.backward_and_reduce(&loss(&params, 1)).unwrap();
            } else {
                reducer.backward_local(&loss(&params, 2)).unwrap();
                reducer.reduce_without_backward().unwrap();
            }
            assert_close(&gradients(&params), &expected(0..3));
        }
    };
    if let Some((member, port)) = started_as() {
        step(&form(&connect(port), member));
        return;
    }
    let store = serve();
    let peer =
        Peer::start("a_rank_with_nothing_left_takes_part", Member { rank: 1, world_size: TWO }, store.port());
    step(&form(&store, Member { rank: 0, world_size: TWO }));
    peer.finish();
}

#[test]
fn a_peer_killed_during_backward_is_an_error_and_a_new_group_works() {
    if let Some((member, port)) = started_as() {
        let _group = form(&connect(port), member);
        say("formed");
        wait_for_release();
        return;
    }
    let store = serve();
    let mut peer = Peer::start(
        "a_peer_killed_during_backward_is_an_error_and_a_new_group_works",
        Member { rank: 1, world_size: TWO },
        store.port(),
    );
    let group = form(&store, Member { rank: 0, world_size: TWO });
    let params = params();
    let mut reducer = Reducer::new(&params, &group, SIZES).unwrap();
    assert_eq!(peer.hear(), "formed");
    let killed = Instant::now();
    peer.signal(Signal::SIGKILL);
    let outcome = reducer.backward_and_reduce(&loss(&params, 0));
    assert!(matches!(outcome, Err(Error::PeerLost(_))), "{outcome:?}");
    drop(reducer);
    drop(group);
    assert!(killed.elapsed() < Duration::from_secs(1), "took {:?}", killed.elapsed());

    // The same parameters go on in a smaller group.
    let alone = evenkeel_torch_ext::ProcessGroup::gloo(
        &store,
        "generation-2",
        Member { rank: 0, world_size: 1 },
        Some(support::HOST),
        support::options(),
    )
    .unwrap();
    let mut reducer = Reducer::new(&params, &alone, SIZES).unwrap();
    reducer.backward_and_reduce(&loss(&params, 3)).unwrap();
    assert_close(&gradients(&params), &expected([3]));
}

#[test]
fn a_parameter_without_part_in_the_loss_is_an_error() {
    let store = serve();
    let group = form(&store, Member { rank: 0, world_size: 1 });
    let params = params();
    let mut reducer = Reducer::new(&params, &group, SIZES).unwrap();
    let outcome = reducer.backward_and_reduce(&params[0].sum(Kind::Float));
    assert!(matches!(outcome, Err(Error::UnusedParameters)), "{outcome:?}");
}

#[test]
fn parameters_without_gradients_are_refused() {
    let store = serve();
    let group = form(&store, Member { rank: 0, world_size: 1 });
    let frozen = Tensor::zeros([2], (Kind::Float, Device::Cpu));
    let error = Reducer::new(&[frozen], &group, SIZES).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
    let none: [Tensor; 0] = [];
    assert!(matches!(Reducer::new(&none, &group, SIZES), Err(Error::InvalidArgument(_))));
}
