use crate::harness::{Coordinator, facts, hello};
use evenkeel_coordinator::state::Outcome;
use evenkeel_proto::v1::attach_request::Message as Said;
use evenkeel_proto::v1::attach_response::Message as Order;
use evenkeel_proto::v1::{
    CheckpointSaved, Connect, Form, PlanSpec, RunState, StoreReady, Welcome, WorkerReady,
};

#[tokio::test]
async fn a_run_from_the_first_hello_to_its_end() {
    let coordinator = Coordinator::start(facts(2)).await;
    let mut watcher = coordinator.watch().await;
    assert_eq!(watcher.next().await.unwrap().state(), RunState::Waiting);

    // The second host's worker comes first and still has the second rank.
    let mut second = coordinator.attach(Said::WorkerHello(hello("b/0"))).await;
    let welcome = Welcome {
        run: "test".into(),
        heartbeat_interval_ms: 60_000,
        config_json: "{\"a\":1}".into(),
        run_dir: "/runs/test".into(),
    };
    assert_eq!(second.order().await, Order::Welcome(welcome));
    let mut first = coordinator.worker("a/0").await;

    let plan = Some(PlanSpec { seed: 5, lanes: 2, dataset_fingerprint: "print".into() });
    let form = Form { generation: 1, rank: 0, world_size: 2, resume_from: String::new(), plan };
    assert_eq!(first.order().await, Order::Form(form.clone()));
    assert_eq!(second.order().await, Order::Form(Form { rank: 1, ..form }));

    first.say(Said::StoreReady(StoreReady { generation: 1, port: 4000 })).await;
    let connect = Connect { generation: 1, store_host: "127.0.0.1".into(), store_port: 4000 };
    for worker in [&mut first, &mut second] {
        assert_eq!(worker.order().await, Order::Connect(connect.clone()));
        worker.say(Said::WorkerReady(WorkerReady { generation: 1, unix_ms: 1 })).await;
    }
    for step in 1..=2 {
        first.step(step).await;
        second.step(step).await;
    }
    let path = "checkpoints/step-00000002".to_owned();
    let saved = CheckpointSaved { generation: 1, step: 2, path, bytes: 9, seconds: 0.1 };
    first.say(Said::CheckpointSaved(saved)).await;
    first.finish(2).await;
    second.finish(2).await;

    assert_eq!(first.next().await.unwrap(), None);
    assert_eq!(second.next().await.unwrap(), None);
    let last = watcher.until(|status| status.state() == RunState::Finished).await;
    assert_eq!((last.step, last.total_steps, last.tokens, last.target_tokens), (2, 2, 128, 64));
    assert_eq!(last.checkpoint, "/runs/test/checkpoints/step-00000002");
    assert_eq!(last.eta_seconds, 0.0);
    assert_eq!(last.workers.iter().map(|worker| worker.rank).collect::<Vec<_>>(), [1, 0]);
    assert!(watcher.next().await.is_none());
    assert_eq!(coordinator.ended().await.outcome, Outcome::Finished);
}
