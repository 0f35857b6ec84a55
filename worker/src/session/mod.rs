//! The control side of a worker: one stream to the coordinator, served while another thread trains.

mod lifeline;
mod links;
mod progress;

pub use links::{Abort, Links, Outbox, Requests};
pub use progress::{Phase, Progress};

use anyhow::{Context, anyhow, bail};
use evenkeel_proto::PROTOCOL_VERSION;
use evenkeel_proto::v1;
use evenkeel_proto::v1::attach_request::Message as Report;
use evenkeel_proto::v1::attach_response::Message as Order;
use evenkeel_proto::v1::control_client::ControlClient;
use evenkeel_shared::config::Config;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

/// Messages under way to the coordinator; a step takes longer than sending any of them.
const OUTBOX_LENGTH: usize = 256;
/// Orders under way to the training thread: `Form` and `Connect` of one generation.
const ORDERS_LENGTH: usize = 8;
/// Deadline for reaching the coordinator and for its first answer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);
/// How long a worker that is done waits for the coordinator to have read its last message.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long an aborted training thread may take to notice.
const ABORTED_THREAD_GRACE: Duration = Duration::from_secs(5);
/// HTTP/2 pings notice a host that vanished without closing its connections.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Who this worker is, from its command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Identity {
    /// Address of the coordinator.
    #[arg(long, value_name = "HOST:PORT")]
    pub coordinator: String,
    /// Name of this worker, unique in the run.
    #[arg(long, value_name = "HOST/N")]
    pub worker_id: String,
    /// Index of this worker among those of its host.
    #[arg(long, value_name = "N")]
    pub local_rank: u32,
    /// Where tensors live: cpu, or cuda:N.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: String,
    /// Threads for CPU work.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: u32,
    /// Address at which the other ranks reach this host.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub data_address: String,
    /// End when standard input is closed: the parent holds the other end for as long as it lives.
    #[arg(long)]
    pub exit_with_stdin: bool,
}

/// What a training thread gets to begin with.
#[derive(Debug)]
pub struct Assignment {
    /// The run's resolved configuration.
    pub config: Config,
    /// The run's folder.
    pub run_dir: PathBuf,
    /// This worker.
    pub identity: Identity,
    /// Orders that form a generation.
    pub orders: Receiver<Order>,
    /// The control side.
    pub links: Links,
}

/// Why a training thread ended early.
#[derive(Debug)]
pub struct TrainingFailure {
    /// In words.
    pub reason: String,
    /// A collective failed because another rank went away: the cause lies there, not here.
    pub peer_lost: bool,
}

/// Serves the coordinator until the run is over. `train` runs on a thread of its own.
///
/// # Errors
/// The coordinator cannot be reached, refuses this worker, is lost, or gives up the generation; `train` fails.
pub async fn run<F>(identity: Identity, train: F) -> anyhow::Result<()>
where
    F: FnOnce(Assignment) -> Result<(), TrainingFailure> + Send + 'static,
{
    let mut parent_gone = lifeline::watch(identity.exit_with_stdin);
    let (outbox, outgoing) = mpsc::channel(OUTBOX_LENGTH);
    let mut incoming = attach(&identity, &outbox, outgoing).await?;
    let welcome = first_order(&mut incoming).await?;
    let config: Config =
        serde_json::from_str(&welcome.config_json).context("the coordinator's configuration")?;

    let links = Links {
        progress: Arc::default(),
        requests: Arc::default(),
        abort: Arc::default(),
        outbox: Outbox(outbox.clone()),
    };
    let (orders, orders_of_thread) = sync_channel(ORDERS_LENGTH);
    let assignment = Assignment {
        config,
        run_dir: welcome.run_dir.into(),
        identity: identity.clone(),
        orders: orders_of_thread,
        links: links.clone(),
    };
    let mut thread = spawn_training(train, assignment)?;

    let interval = Duration::from_millis(u64::from(welcome.heartbeat_interval_ms.max(10)));
    let mut heartbeats = tokio::time::interval(interval);
    let lost = loop {
        tokio::select! {
            outcome = &mut thread => {
                return farewell(outcome_of(outcome), &links, &outbox, &mut incoming).await;
            }
            _ = heartbeats.tick() => {
                let message = Some(Report::Heartbeat(links.progress.heartbeat()));
                // A full queue already carries later news than this heartbeat.
                let _ = outbox.try_send(v1::AttachRequest { message });
            }
            message = incoming.message() => match message {
                Ok(Some(v1::AttachResponse { message: Some(order) })) => obey(order, &links, &orders)?,
                Ok(Some(v1::AttachResponse { message: None })) => {}
                // The coordinator may be done with this worker before the thread has let go of its memory.
                Ok(None) if links.progress.phase() == Phase::Finished => return finish(thread).await,
                Ok(None) => break "the coordinator closed the control stream before the run was over".to_string(),
                Err(status) => break format!("the coordinator is lost: {}", status.message()),
            },
            () = &mut parent_gone => break "the process that started this worker is gone".to_string(),
        }
    };
    links.abort.abort(&lost);
    // The thread may be inside a long matrix product; the process ends with or without it.
    let _ = tokio::time::timeout(ABORTED_THREAD_GRACE, thread).await;
    bail!(lost)
}

async fn attach(
    identity: &Identity,
    outbox: &mpsc::Sender<v1::AttachRequest>,
    outgoing: mpsc::Receiver<v1::AttachRequest>,
) -> anyhow::Result<Streaming<v1::AttachResponse>> {
    let address = &identity.coordinator;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .with_context(|| format!("expected the coordinator's HOST:PORT, found {address:?}"))?
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .tcp_nodelay(true);
    let channel = endpoint.connect().await.with_context(|| {
        format!(
            "no coordinator answers at {address}; is it running, and is the address reachable from this host?"
        )
    })?;
    let hello = v1::WorkerHello {
        protocol_version: PROTOCOL_VERSION,
        worker_id: identity.worker_id.clone(),
        host: identity.worker_id.rsplit_once('/').map_or_else(|| "localhost".into(), |(host, _)| host.into()),
        local_rank: identity.local_rank,
        pid: std::process::id(),
        device: identity.device.clone(),
        data_address: identity.data_address.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    outbox.send(v1::AttachRequest { message: Some(Report::WorkerHello(hello)) }).await?;
    let mut client = ControlClient::new(channel);
    let response = tokio::time::timeout(CONNECT_DEADLINE, client.attach(ReceiverStream::new(outgoing)))
        .await
        .with_context(|| format!("the coordinator at {address} accepted the connection but does not answer"))?
        .map_err(|status| {
            anyhow!("the coordinator at {address} refused this worker: {}", status.message())
        })?;
    Ok(response.into_inner())
}

async fn first_order(incoming: &mut Streaming<v1::AttachResponse>) -> anyhow::Result<v1::Welcome> {
    let message = tokio::time::timeout(CONNECT_DEADLINE, incoming.message())
        .await
        .context("the coordinator does not answer the greeting")?
        .map_err(|status| anyhow!("the coordinator refused this worker: {}", status.message()))?;
    match message.and_then(|response| response.message) {
        Some(Order::Welcome(welcome)) => Ok(welcome),
        other => bail!("expected the coordinator's welcome, found {other:?}"),
    }
}

fn obey(order: Order, links: &Links, orders: &SyncSender<Order>) -> anyhow::Result<()> {
    match order {
        Order::Save(_) => links.requests.request_save(),
        Order::Stop(order) => links.requests.request_stop(&order),
        Order::Abort(order) => links.abort.abort(&order.reason),
        Order::Form(_) | Order::Connect(_) => {
            orders.try_send(order).map_err(|_| anyhow!("more orders than a generation has"))?;
        }
        Order::Welcome(_) => bail!("a second welcome on one stream"),
    }
    Ok(())
}

fn spawn_training<F>(
    train: F,
    assignment: Assignment,
) -> anyhow::Result<oneshot::Receiver<Result<(), TrainingFailure>>>
where
    F: FnOnce(Assignment) -> Result<(), TrainingFailure> + Send + 'static,
{
    let (done, outcome) = oneshot::channel();
    std::thread::Builder::new().name("training".into()).spawn(move || {
        // The receiver is gone only when the process is ending.
        let _ = done.send(train(assignment));
    })?;
    Ok(outcome)
}

fn outcome_of(
    received: Result<Result<(), TrainingFailure>, oneshot::error::RecvError>,
) -> Result<(), TrainingFailure> {
    let panicked = || TrainingFailure { reason: "the training thread panicked".into(), peer_lost: false };
    received.unwrap_or_else(|_| Err(panicked()))
}

/// Waits for the end of a thread that has nothing left to say.
async fn finish(thread: oneshot::Receiver<Result<(), TrainingFailure>>) -> anyhow::Result<()> {
    outcome_of(thread.await).map_err(|failure| anyhow!(failure.reason))
}

/// Tells the coordinator how it ended and waits a moment, so that the message is read before the stream breaks.
async fn farewell(
    outcome: Result<(), TrainingFailure>,
    links: &Links,
    outbox: &mpsc::Sender<v1::AttachRequest>,
    incoming: &mut Streaming<v1::AttachResponse>,
) -> anyhow::Result<()> {
    // An error after an abort is the abort's consequence: the reason to tell is the abort's.
    if let (Err(_), Some(reason)) = (&outcome, links.abort.reason()) {
        bail!("training was given up: {reason}");
    }
    if let Err(failure) = &outcome {
        let failed = v1::WorkerFailed {
            generation: links.progress.generation(),
            step: links.progress.step(),
            phase: links.progress.phase().name().into(),
            reason: failure.reason.clone(),
            peer_lost: failure.peer_lost,
        };
        let _ = outbox.send(v1::AttachRequest { message: Some(Report::WorkerFailed(failed)) }).await;
    }
    let closed = async { while let Ok(Some(_)) = incoming.message().await {} };
    let _ = tokio::time::timeout(FAREWELL, closed).await;
    outcome.map_err(|failure| anyhow!(failure.reason))
}
