//! A coordinator in this process, and workers that only talk.

use evenkeel_coordinator::server::{self, Ended};
use evenkeel_coordinator::state::RunFacts;
use evenkeel_proto::PROTOCOL_VERSION;
use evenkeel_proto::v1::attach_request::Message as Said;
use evenkeel_proto::v1::attach_response::Message as Order;
use evenkeel_proto::v1::control_client::ControlClient;
use evenkeel_proto::v1::status_client::StatusClient;
use evenkeel_proto::v1::{
    AgentHello, AttachRequest, AttachResponse, GetStatusRequest, RunStatus, StepReport, StoreReady,
    WatchStatusRequest, WorkerFinished, WorkerHello, WorkerReady,
};
use evenkeel_shared::ids::Step;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// Far above what anything here takes, also on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub fn facts(workers: u32) -> RunFacts {
    RunFacts {
        run: "test".into(),
        run_dir: "/runs/test".into(),
        config_json: "{\"a\":1}".into(),
        version: "1.0.0".into(),
        workers,
        epochs: 1,
        total_steps: Step(2),
        seed: 5,
        lanes: workers,
        dataset_fingerprint: "print".into(),
        resume_from: None,
        // Fake workers send no heartbeats, so none may be missed.
        heartbeat_ms: 60_000,
        join_timeout_ms: 60_000,
    }
}

/// A coordinator that serves one run.
pub struct Coordinator {
    pub channel: Channel,
    signal: Option<oneshot::Sender<String>>,
    run: JoinHandle<Ended>,
}

impl Coordinator {
    pub async fn start(facts: RunFacts) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (signal, stop) = oneshot::channel();
        let run = tokio::spawn(async move {
            let stop = async move {
                match stop.await {
                    Ok(reason) => reason,
                    Err(_) => std::future::pending().await,
                }
            };
            server::run(listener, facts, stop).await.unwrap()
        });
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { channel, signal: Some(signal), run }
    }

    /// As SIGTERM does.
    pub fn signal(&mut self, reason: &str) {
        self.signal.take().unwrap().send(reason.into()).unwrap();
    }

    pub async fn ended(self) -> Ended {
        timeout(DEADLINE, self.run).await.expect("the coordinator did not end").unwrap()
    }

    pub async fn status(&self) -> RunStatus {
        let mut client = StatusClient::new(self.channel.clone());
        client.get_status(GetStatusRequest {}).await.unwrap().into_inner().status.unwrap()
    }

    pub async fn watch(&self) -> Watcher {
        let mut client = StatusClient::new(self.channel.clone());
        Watcher(client.watch_status(WatchStatusRequest {}).await.unwrap().into_inner())
    }

    pub async fn attach(&self, hello: Said) -> Attached {
        let (outbox, requests) = mpsc::channel(16);
        outbox.send(AttachRequest { message: Some(hello) }).await.unwrap();
        let mut client = ControlClient::new(self.channel.clone());
        let inbox = client.attach(ReceiverStream::new(requests)).await.unwrap().into_inner();
        Attached { outbox, inbox }
    }

    pub async fn worker(&self, id: &str) -> Attached {
        let mut worker = self.attach(Said::WorkerHello(hello(id))).await;
        assert!(matches!(worker.order().await, Order::Welcome(_)));
        worker
    }

    pub async fn agent(&self, host: &str, workers: u32) -> Attached {
        let hello = AgentHello {
            protocol_version: PROTOCOL_VERSION,
            agent_id: host.into(),
            host: host.into(),
            pid: 7,
            workers,
            version: "1.0.0".into(),
        };
        let mut agent = self.attach(Said::AgentHello(hello)).await;
        assert!(matches!(agent.order().await, Order::Welcome(_)));
        agent
    }

    /// Two workers, `a/0` and `a/1`, that have begun to train.
    pub async fn two_in_training(&self) -> (Attached, Attached) {
        let (mut first, mut second) = (self.worker("a/0").await, self.worker("a/1").await);
        for worker in [&mut first, &mut second] {
            assert!(matches!(worker.order().await, Order::Form(_)));
        }
        first.say(Said::StoreReady(StoreReady { generation: 1, port: 4000 })).await;
        for worker in [&mut first, &mut second] {
            assert!(matches!(worker.order().await, Order::Connect(_)));
            worker.say(Said::WorkerReady(WorkerReady { generation: 1, unix_ms: 1 })).await;
        }
        self.watch().await.until(|status| status.reason.contains("training")).await;
        (first, second)
    }
}

pub fn hello(id: &str) -> WorkerHello {
    let (host, local_rank) = id.split_once('/').unwrap();
    let local_rank = local_rank.parse().unwrap();
    WorkerHello {
        protocol_version: PROTOCOL_VERSION,
        worker_id: id.into(),
        host: host.into(),
        local_rank,
        pid: 100 + local_rank,
        device: "cpu".into(),
        data_address: "127.0.0.1".into(),
        version: "1.0.0".into(),
    }
}

/// The status stream.
pub struct Watcher(Streaming<evenkeel_proto::v1::WatchStatusResponse>);

impl Watcher {
    /// The next status; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<RunStatus> {
        let response = timeout(DEADLINE, self.0.message()).await.expect("no status came").unwrap();
        response.map(|response| response.status.unwrap())
    }

    pub async fn until(&mut self, wanted: impl Fn(&RunStatus) -> bool) -> RunStatus {
        loop {
            let status = self.next().await.expect("the run was over before");
            if wanted(&status) {
                return status;
            }
        }
    }
}

/// One end of a `Control` stream. Dropping it is what a killed process does.
pub struct Attached {
    outbox: mpsc::Sender<AttachRequest>,
    inbox: Streaming<AttachResponse>,
}

impl Attached {
    pub async fn say(&self, message: Said) {
        self.outbox.send(AttachRequest { message: Some(message) }).await.unwrap();
    }

    pub async fn next(&mut self) -> Result<Option<Order>, Status> {
        let response = timeout(DEADLINE, self.inbox.message()).await.expect("no order came")?;
        Ok(response.map(|response| response.message.unwrap()))
    }

    pub async fn order(&mut self) -> Order {
        self.next().await.unwrap().expect("the coordinator closed the stream")
    }

    /// The error that the coordinator ends the stream with.
    pub async fn refusal(&mut self) -> Status {
        match self.next().await {
            Err(status) => status,
            Ok(order) => panic!("not refused: {order:?}"),
        }
    }

    pub async fn step(&self, step: u64) {
        let report = StepReport {
            generation: 1,
            step,
            loss: 2.0,
            tokens: 64,
            target_tokens: 32,
            loss_scale: 1.0,
            ..StepReport::default()
        };
        self.say(Said::StepReport(report)).await;
    }

    pub async fn finish(&self, step: u64) {
        let checkpoint = "checkpoints/step-00000002".into();
        self.say(Said::WorkerFinished(WorkerFinished { generation: 1, step, checkpoint })).await;
    }
}
