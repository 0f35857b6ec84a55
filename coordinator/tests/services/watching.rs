use crate::harness::{Coordinator, facts};
use evenkeel_proto::v1::attach_request::Message as Said;
use evenkeel_proto::v1::{Heartbeat, RunState};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_watcher_sees_the_newest_state_but_not_every_change() {
    let coordinator = Coordinator::start(facts(2)).await;
    let (first, second) = coordinator.two_in_training().await;
    let mut watcher = coordinator.watch().await;
    let began = Instant::now();
    const CHANGES: u64 = 200;
    for step in 0..=CHANGES {
        let beat = Heartbeat { generation: 1, step, phase: "data".into(), open_segments: vec![3] };
        first.say(Said::Heartbeat(beat)).await;
    }
    let mut seen = 0u128;
    loop {
        let status = watcher.next().await.unwrap();
        seen += 1;
        if status.workers[0].step == CHANGES {
            assert_eq!(status.workers[0].open_segments, [3]);
            break;
        }
    }
    // One at once, then at most ten a second.
    assert!(seen <= 2 + began.elapsed().as_millis() / 100, "{seen} statuses in {:?}", began.elapsed());

    first.finish(2).await;
    second.finish(2).await;
    watcher.until(|status| status.state() == RunState::Finished).await;
    coordinator.ended().await;
}

#[tokio::test]
async fn the_age_of_a_heartbeat_grows_while_nothing_happens() {
    let coordinator = Coordinator::start(facts(2)).await;
    let _worker = coordinator.worker("a/0").await;
    let mut watcher = coordinator.watch().await;
    let status = watcher.until(|status| status.workers.iter().any(|w| w.last_heartbeat_seconds > 0.9)).await;
    assert_eq!((status.state(), status.workers[0].rank), (RunState::Waiting, -1));
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_watcher_that_does_not_read() {
    let coordinator = Coordinator::start(facts(2)).await;
    let (first, second) = coordinator.two_in_training().await;
    let _watcher = coordinator.watch().await;
    first.finish(2).await;
    second.finish(2).await;
    let began = Instant::now();
    coordinator.ended().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}
