use crate::harness::{Coordinator, facts};
use evenkeel_coordinator::state::Outcome;
use evenkeel_proto::v1::admin_client::AdminClient;
use evenkeel_proto::v1::attach_response::Message as Order;
use evenkeel_proto::v1::{SaveCheckpointRequest, SaveOrder, StopOrder, StopRequest};
use tonic::Code;

#[tokio::test]
async fn a_person_saves_and_stops() {
    let coordinator = Coordinator::start(facts(2)).await;
    let mut admin = AdminClient::new(coordinator.channel.clone());
    let too_early = admin.save_checkpoint(SaveCheckpointRequest {}).await.unwrap_err();
    assert_eq!(too_early.code(), Code::FailedPrecondition);

    let (mut first, mut second) = coordinator.two_in_training().await;
    admin.save_checkpoint(SaveCheckpointRequest {}).await.unwrap();
    admin.stop(StopRequest { save_checkpoint: true, reason: "lunch".into() }).await.unwrap();
    for worker in [&mut first, &mut second] {
        assert_eq!(worker.order().await, Order::Save(SaveOrder {}));
        assert_eq!(
            worker.order().await,
            Order::Stop(StopOrder { save_checkpoint: true, reason: "lunch".into() })
        );
        worker.finish(1).await;
    }
    let ended = coordinator.ended().await;
    assert_eq!(ended.outcome, Outcome::Stopped);
    assert_eq!(ended.status.reason, "stopped on request: lunch, after step 1 of 2");
}

#[tokio::test]
async fn a_signal_stops_with_a_checkpoint() {
    let mut coordinator = Coordinator::start(facts(2)).await;
    let (mut first, second) = coordinator.two_in_training().await;
    coordinator.signal("SIGTERM");
    let stop = StopOrder { save_checkpoint: true, reason: "SIGTERM".into() };
    assert_eq!(first.order().await, Order::Stop(stop));
    first.finish(1).await;
    second.finish(1).await;
    assert_eq!(coordinator.ended().await.outcome, Outcome::Stopped);
}

#[tokio::test]
async fn a_signal_before_anyone_has_come_ends_the_wait() {
    let mut coordinator = Coordinator::start(facts(1)).await;
    coordinator.signal("SIGINT");
    assert_eq!(coordinator.ended().await.outcome, Outcome::Stopped);
}
