//! The daemon around the state: services on a listener, until the run is over.

use crate::owner::Owner;
use crate::services::{AdminService, ControlService, StatusService};
use crate::state::{Event, Outcome, RunFacts, SaveOnStop};
use crate::wire::MAX_MESSAGE_BYTES;
use evenkeel_proto::v1::RunStatus;
use evenkeel_proto::v1::admin_server::AdminServer;
use evenkeel_proto::v1::control_server::ControlServer;
use evenkeel_proto::v1::status_server::StatusServer;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};

/// A peer that does not answer a ping within the time-out after the interval is gone, as when its host vanished.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time to answer a request (to begin to, for streams).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams of one connection; a worker or agent needs one, a person's tool a few.
const STREAMS_PER_CONNECTION: u32 = 64;

/// How long the end of the run waits for workers' streams and for watchers, and then for connections to close.
const FAREWELL: Duration = Duration::from_secs(3);
const DRAIN: Duration = Duration::from_millis(1500);

/// How a run went.
#[derive(Debug, Clone)]
pub struct Ended {
    /// In one word.
    pub outcome: Outcome,
    /// The final status.
    pub status: Arc<RunStatus>,
}

/// A coordinator that cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors in the binary are broken.
    #[error("the wire's own description cannot be served for reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The listener failed.
    #[error(
        "the coordinator cannot accept connections any more: {0}. The run has lost its coordinator; start it again"
    )]
    Transport(#[from] tonic::transport::Error),
    /// The server ended though nobody asked it to.
    #[error(
        "the coordinator's server ended before the run did. The run has lost its coordinator; start it again"
    )]
    ServerEnded,
}

/// Serves one run on `listener` until it is over. When `stop` resolves, the run is asked to save a checkpoint and to
/// stop, with the reason that it gives. Dropping the future ends everything at once.
///
/// # Errors
/// When the listener fails.
pub async fn run(
    listener: TcpListener,
    facts: RunFacts,
    stop: impl Future<Output = String>,
) -> Result<Ended, ServeError> {
    let tasks = TaskTracker::new();
    let workers = facts.workers;
    let (owner, handle) = Owner::new(facts);

    let control = ControlServer::new(ControlService::new(handle.clone(), tasks.clone(), workers))
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let status = StatusServer::new(StatusService::new(handle.clone(), tasks.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let admin =
        AdminServer::new(AdminService::new(handle.clone())).max_decoding_message_size(MAX_MESSAGE_BYTES);

    let router = with_standard_services().await?.add_service(control).add_service(status).add_service(admin);
    let shutdown = CancellationToken::new();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = router.serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let mut server = AbortOnDropHandle::new(tokio::spawn(serving));

    let stopping = async {
        let reason = stop.await;
        let event = Event::StopRequested { save_checkpoint: SaveOnStop::Save, reason };
        if let Err(refusal) = handle.ask(event).await {
            tracing::info!(reason = %refusal, "nothing to stop");
        }
        pending::<()>().await;
    };
    let (outcome, status) = tokio::select! {
        ended = owner.run() => ended,
        () = stopping => return Err(ServeError::ServerEnded),
        served = &mut server => {
            served.map_err(|_| ServeError::ServerEnded)??;
            return Err(ServeError::ServerEnded);
        }
    };

    // Workers, agents and watchers hear of the end before their connections close.
    tasks.close();
    if timeout(FAREWELL, tasks.wait()).await.is_err() {
        tracing::warn!(streams = tasks.len(), "some streams did not close in time");
    }
    shutdown.cancel();
    // Whoever still holds a connection open is cut off when the handle is dropped.
    let _ = timeout(DRAIN, server).await;
    Ok(Ended { outcome, status })
}

/// gRPC health and reflection, so that standard tools work.
async fn with_standard_services() -> Result<Router, ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ControlServer<ControlService>>().await;
    health.set_serving::<StatusServer<StatusService>>().await;
    health.set_serving::<AdminServer<AdminService>>().await;
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(evenkeel_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Some tools still ask by the older name.
    let (v1, v1alpha) = (describe().build_v1()?, describe().build_v1alpha()?);
    Ok(Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .timeout(REQUEST_TIMEOUT)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .add_service(health_service)
        .add_service(v1)
        .add_service(v1alpha))
}
