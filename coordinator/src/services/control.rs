//! Streams of workers and node agents.

use crate::owner::{Command, Handle, ORDER_QUEUE, Peer};
use crate::state::{ConnectionId, Event};
use crate::wire::{self, Malformed};
use evenkeel_proto::v1::control_server::Control;
use evenkeel_proto::v1::{AttachRequest, AttachResponse};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

/// Time for a new stream to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams beyond workers and agents that may be open: those that are about to be refused.
const SPARE_STREAMS: usize = 64;

type Orders = mpsc::Sender<Result<AttachResponse, Status>>;

pub(crate) struct ControlService {
    owner: Handle,
    tasks: TaskTracker,
    next_connection: AtomicU64,
    room: Arc<Semaphore>,
}

impl ControlService {
    /// `workers` is the size of the run; it bounds the number of open streams.
    pub(crate) fn new(owner: Handle, tasks: TaskTracker, workers: u32) -> Self {
        // At most one agent a worker.
        let most = (workers as usize).saturating_mul(2).saturating_add(SPARE_STREAMS);
        let room = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { owner, tasks, next_connection: AtomicU64::new(1), room }
    }
}

#[tonic::async_trait]
impl Control for ControlService {
    type AttachStream = ReceiverStream<Result<AttachResponse, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(
                "the coordinator has as many open streams as it can serve; try again later",
            )
        })?;
        let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let (orders, stream) = mpsc::channel(ORDER_QUEUE);
        self.tasks.spawn(serve(self.owner.clone(), connection, request.into_inner(), orders, permit));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Carries one stream's messages to the owner until either side ends it.
async fn serve(
    owner: Handle,
    connection: ConnectionId,
    mut inbound: Streaming<AttachRequest>,
    orders: Orders,
    _permit: OwnedSemaphorePermit,
) {
    let hello = match first_message(&mut inbound).await {
        Ok(hello) => hello,
        Err(status) => {
            tracing::warn!(reason = status.message(), "refused a stream");
            let _ = orders.send(Err(status)).await;
            return;
        }
    };
    tracing::info!(who = hello.who(), connection = connection.0, "attached");
    let closed = CancellationToken::new();
    // The reading side keeps no sender: once the owner drops its own, the stream ends.
    let watched = orders.downgrade();
    let peer = Peer { orders, closed: closed.clone() };
    if !owner.send(Command::Attach { connection, event: hello.into_event(connection), peer }).await {
        return;
    }
    let why = tokio::select! {
        () = closed.cancelled() => return,
        why = pump(&owner, connection, &mut inbound) => why,
    };
    let why = match why {
        Ending::Closed(why) => why,
        Ending::Malformed(malformed) => {
            if let Some(orders) = watched.upgrade() {
                let _ = orders.try_send(Err(Status::invalid_argument(malformed.to_string())));
            }
            format!("the coordinator ended it: {malformed}")
        }
    };
    owner.send(Command::Event(Event::StreamClosed { connection, why })).await;
}

async fn first_message(inbound: &mut Streaming<AttachRequest>) -> Result<wire::Hello, Status> {
    let seconds = HELLO_TIMEOUT.as_secs();
    let first = timeout(HELLO_TIMEOUT, inbound.message()).await.map_err(|_| {
        Status::deadline_exceeded(format!("no worker_hello or agent_hello came within {seconds} s"))
    })??;
    let request = first.ok_or_else(|| Status::invalid_argument("the stream ended before a hello"))?;
    wire::hello(request).map_err(|malformed| Status::invalid_argument(malformed.to_string()))
}

/// Why a stream is at its end.
enum Ending {
    /// The peer ended it, or it broke.
    Closed(String),
    /// The peer sent what no honest peer sends.
    Malformed(Malformed),
}

async fn pump(owner: &Handle, connection: ConnectionId, inbound: &mut Streaming<AttachRequest>) -> Ending {
    loop {
        let request = match inbound.message().await {
            Ok(Some(request)) => request,
            Ok(None) => return Ending::Closed("the process closed it".into()),
            Err(status) => return Ending::Closed(wire::text(status.message())),
        };
        match wire::event(connection, request) {
            Ok(event) => {
                // The owner is gone only when the run is over, and then this task is being cancelled.
                if !owner.send(Command::Event(event)).await {
                    return Ending::Closed("the run is over".into());
                }
            }
            Err(malformed) => return Ending::Malformed(malformed),
        }
    }
}
