use crate::harness::{Coordinator, facts};
use evenkeel_coordinator::state::Outcome;
use evenkeel_proto::v1::attach_request::Message as Said;
use evenkeel_proto::v1::attach_response::Message as Order;
use evenkeel_proto::v1::{ProcessExited, RunState, StoreReady, WorkerFailed};

#[tokio::test]
async fn survivors_of_a_killed_worker_give_up_at_once_and_the_report_names_it() {
    let coordinator = Coordinator::start(facts(2)).await;
    let agent = coordinator.agent("a", 2).await;
    let (mut survivor, killed) = coordinator.two_in_training().await;
    let mut watcher = coordinator.watch().await;
    killed.step(1).await;
    watcher.until(|status| status.step == 1).await;

    drop(killed);
    let Order::Abort(abort) = survivor.order().await else { panic!("no abort") };
    assert_eq!((abort.generation, abort.reason.as_str()), (1, "worker a/1 (rank 1) was lost"));
    // The report is not final yet: the agent's account is still on its way.
    assert_eq!(coordinator.status().await.state(), RunState::Training);
    let exited = ProcessExited {
        worker_id: "a/1".into(),
        pid: 101,
        exit_code: None,
        signal: Some(9),
        stderr_tail: vec!["its last line".into()],
    };
    agent.say(Said::ProcessExited(exited)).await;
    let reason = "connection closed by peer".to_owned();
    let victim = WorkerFailed { generation: 1, step: 1, phase: "optimizer".into(), reason, peer_lost: true };
    survivor.say(Said::WorkerFailed(victim)).await;

    let failed = watcher.until(|status| status.state() == RunState::Failed).await;
    let report = &failed.failure_report;
    for words in
        ["worker a/1 (rank 1) was lost", "signal 9 (SIGKILL", "its last line", "Gone as a consequence: a/0"]
    {
        assert!(report.contains(words), "{words:?} is not in: {report}");
    }
    assert!(watcher.next().await.is_none());
    assert_eq!(survivor.next().await.unwrap(), None);
    let ended = coordinator.ended().await;
    assert_eq!((ended.outcome, &ended.status.failure_report), (Outcome::Failed, report));
}

#[tokio::test]
async fn a_worker_that_talks_nonsense_is_cut_off_and_named() {
    let coordinator = Coordinator::start(facts(1)).await;
    let mut worker = coordinator.worker("a/0").await;
    assert!(matches!(worker.order().await, Order::Form(_)));
    worker.say(Said::StoreReady(StoreReady { generation: 1, port: 70_000 })).await;
    let error = loop {
        match worker.next().await {
            Ok(Some(Order::Abort(_))) => {}
            Err(status) => break status,
            Ok(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
    let ended = coordinator.ended().await;
    assert!(ended.status.failure_report.contains("store port 70000"), "{}", ended.status.failure_report);
}
