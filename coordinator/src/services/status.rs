//! What people and tools see.

use crate::owner::Handle;
use evenkeel_proto::v1::status_server::Status as StatusApi;
use evenkeel_proto::v1::{
    GetStatusRequest, GetStatusResponse, RunState, RunStatus, WatchStatusRequest, WatchStatusResponse,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

/// Shortest time between two statuses of one watcher.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Watchers at a time.
const MAX_WATCHERS: usize = 256;

pub(crate) struct StatusService {
    owner: Handle,
    tasks: TaskTracker,
    room: Arc<Semaphore>,
}

impl StatusService {
    pub(crate) fn new(owner: Handle, tasks: TaskTracker) -> Self {
        Self { owner, tasks, room: Arc::new(Semaphore::new(MAX_WATCHERS)) }
    }
}

#[tonic::async_trait]
impl StatusApi for StatusService {
    type WatchStatusStream = ReceiverStream<Result<WatchStatusResponse, Status>>;

    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let status = self.owner.status().borrow().as_ref().clone();
        Ok(Response::new(GetStatusResponse { status: Some(status) }))
    }

    async fn watch_status(
        &self,
        _request: Request<WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{MAX_WATCHERS} watchers are attached already; use GetStatus"))
        })?;
        let (sender, stream) = mpsc::channel(1);
        let statuses = self.owner.status();
        self.tasks.spawn(async move {
            watch_until_the_end(statuses, sender).await;
            drop(permit);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Sends the newest status, never faster than [`WATCH_INTERVAL`]; what came in between is passed over. The final one is
/// always sent.
async fn watch_until_the_end(
    mut statuses: watch::Receiver<Arc<RunStatus>>,
    sender: mpsc::Sender<Result<WatchStatusResponse, Status>>,
) {
    loop {
        let status = statuses.borrow_and_update().as_ref().clone();
        let last = is_final(&status);
        if sender.send(Ok(WatchStatusResponse { status: Some(status) })).await.is_err() || last {
            return;
        }
        // The end must not wait for the interval.
        match timeout(WATCH_INTERVAL, statuses.wait_for(|status| is_final(status))).await {
            Ok(Ok(_)) => continue,
            Ok(Err(_)) => return,
            Err(_) => {}
        }
        tokio::select! {
            changed = statuses.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}

fn is_final(status: &RunStatus) -> bool {
    matches!(status.state(), RunState::Finished | RunState::Stopped | RunState::Failed)
}
