use crate::harness::{Coordinator, facts, hello};
use evenkeel_proto::v1::attach_request::Message as Said;
use evenkeel_proto::v1::{Heartbeat, RunState, WorkerHello};
use tonic::Code;

#[tokio::test]
async fn who_does_not_belong_gets_a_clear_error_and_the_run_goes_on() {
    let coordinator = Coordinator::start(facts(2)).await;
    let (mut first, second) = coordinator.two_in_training().await;
    let refused: [(Said, Code, &str); 6] = [
        (Said::WorkerHello(hello("a/0")), Code::AlreadyExists, "worker named a/0"),
        (Said::WorkerHello(hello("c/0")), Code::FailedPrecondition, "all of its 2 workers"),
        (
            Said::WorkerHello(WorkerHello { version: "0.9.0".into(), ..hello("c/0") }),
            Code::FailedPrecondition,
            "this process is 0.9.0",
        ),
        (
            Said::WorkerHello(WorkerHello { protocol_version: 2, ..hello("c/0") }),
            Code::FailedPrecondition,
            "protocol version 1",
        ),
        (
            Said::WorkerHello(WorkerHello { host: "two words".into(), ..hello("c/0") }),
            Code::InvalidArgument,
            "host must be",
        ),
        (Said::Heartbeat(Heartbeat::default()), Code::InvalidArgument, "the first message"),
    ];
    for (message, code, words) in refused {
        let status = coordinator.attach(message).await.refusal().await;
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(words), "{words:?} is not in: {status}");
    }
    first.step(1).await;
    let status = coordinator.watch().await.until(|status| status.step == 1).await;
    assert_eq!((status.state(), status.workers.len()), (RunState::Training, 2));

    first.finish(2).await;
    second.finish(2).await;
    assert_eq!(first.next().await.unwrap(), None);
    coordinator.ended().await;
}
