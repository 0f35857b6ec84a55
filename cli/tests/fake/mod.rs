//! A coordinator that does what the test says, and worker programs that are small shell scripts.

use evenkeel_proto::v1::admin_server::{Admin, AdminServer};
use evenkeel_proto::v1::control_server::{Control, ControlServer};
use evenkeel_proto::v1::{
    AttachRequest, AttachResponse, SaveCheckpointRequest, SaveCheckpointResponse, StopRequest, StopResponse,
    Welcome, attach_request, attach_response,
};
use evenkeel_shared::config::Config;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Longest that a test waits for one thing.
pub const DEADLINE: Duration = Duration::from_secs(20);

type Reply = Result<AttachResponse, Status>;

/// The test's end of the one stream that an agent opens.
pub struct FakeCoordinator {
    /// What the agent said, in order, without its hello.
    pub said: mpsc::Receiver<attach_request::Message>,
    /// Stop orders that came through Admin.
    pub stops: mpsc::Receiver<StopRequest>,
    replies: mpsc::Receiver<mpsc::Sender<Reply>>,
}

impl FakeCoordinator {
    /// Serves on a bound listener, with `run_dir` as the run's folder.
    pub fn serve(listener: TcpListener, run_dir: &Path) -> Self {
        let (said_in, said) = mpsc::channel(64);
        let (stops_in, stops) = mpsc::channel(8);
        let (replies_in, replies) = mpsc::channel(8);
        let control =
            Service { said: said_in, stops: stops_in, replies: replies_in, run_dir: run_dir.to_path_buf() };
        let server = Server::builder()
            .add_service(ControlServer::new(control.clone()))
            .add_service(AdminServer::new(control))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Self { said, stops, replies }
    }

    /// Waits for the agent to attach; dropping the sender closes its stream.
    pub async fn attached(&mut self) -> mpsc::Sender<Reply> {
        timeout(DEADLINE, self.replies.recv()).await.expect("an agent attaches").expect("the server lives")
    }

    /// The agent's next message.
    pub async fn next(&mut self) -> attach_request::Message {
        timeout(DEADLINE, self.said.recv())
            .await
            .expect("the agent says something")
            .expect("the server lives")
    }
}

#[derive(Clone)]
struct Service {
    said: mpsc::Sender<attach_request::Message>,
    stops: mpsc::Sender<StopRequest>,
    replies: mpsc::Sender<mpsc::Sender<Reply>>,
    run_dir: PathBuf,
}

#[tonic::async_trait]
impl Control for Service {
    type AttachStream = ReceiverStream<Reply>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut requests = request.into_inner();
        let hello = requests.message().await?.and_then(|request| request.message);
        let Some(attach_request::Message::AgentHello(hello)) = hello else {
            return Err(Status::invalid_argument("hello first"));
        };
        if hello.workers > 3 {
            return Err(Status::failed_precondition("all 3 workers have joined already"));
        }
        let (reply, replies) = mpsc::channel(8);
        let welcome = Welcome {
            run: "fake".into(),
            config_json: serde_json::to_string(&Config::default()).expect("a configuration is JSON"),
            run_dir: self.run_dir.to_string_lossy().into_owned(),
            heartbeat_interval_ms: 1000,
        };
        let _ = reply
            .send(Ok(AttachResponse { message: Some(attach_response::Message::Welcome(welcome)) }))
            .await;
        let _ = self.replies.send(reply).await;
        let said = self.said.clone();
        tokio::spawn(async move {
            while let Ok(Some(AttachRequest { message: Some(message) })) = requests.message().await {
                let _ = said.send(message).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(replies)))
    }
}

#[tonic::async_trait]
impl Admin for Service {
    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        let _ = self.stops.send(request.into_inner()).await;
        Ok(Response::new(StopResponse {}))
    }

    async fn save_checkpoint(
        &self,
        _: Request<SaveCheckpointRequest>,
    ) -> Result<Response<SaveCheckpointResponse>, Status> {
        Ok(Response::new(SaveCheckpointResponse {}))
    }
}

/// An executable shell script.
pub fn program(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("worker.sh");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("the script can be written");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it can be made executable");
    path
}

/// Waits until a condition holds.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, poll).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"));
}
