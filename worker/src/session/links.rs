//! The bounded ways between the training thread and the control side.

use super::progress::Progress;
use evenkeel_proto::v1;
use evenkeel_proto::v1::attach_request::Message;
use evenkeel_torch_ext::AbortHandle;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long an abort may take until the process gives up on it.
const ABORT_BOUND: Duration = Duration::from_secs(2);

/// The coordinator asks the training thread for something at the next step boundary.
#[derive(Debug, Default)]
pub struct Requests {
    save: AtomicBool,
    stop: AtomicBool,
    stop_saves: AtomicBool,
}

impl Requests {
    /// Write a checkpoint and go on.
    pub fn request_save(&self) {
        self.save.store(true, Ordering::Release);
    }

    /// End the run.
    pub fn request_stop(&self, order: &v1::StopOrder) {
        self.stop_saves.store(order.save_checkpoint, Ordering::Release);
        self.stop.store(true, Ordering::Release);
    }

    /// Whether a save was asked for; asking again after this is a new request.
    #[must_use]
    pub fn take_save(&self) -> bool {
        self.save.swap(false, Ordering::AcqRel)
    }

    /// `Some(save)` once a stop was asked for, with whether a checkpoint is wanted.
    #[must_use]
    pub fn stop(&self) -> Option<bool> {
        self.stop.load(Ordering::Acquire).then(|| self.stop_saves.load(Ordering::Acquire))
    }
}

/// Makes the training thread's collectives fail at once, from another thread.
#[derive(Debug, Default)]
pub struct Abort {
    state: Mutex<AbortState>,
}

#[derive(Debug, Default)]
struct AbortState {
    reason: Option<String>,
    handle: Option<AbortHandle>,
}

impl Abort {
    /// The training thread has a process group: from now on an abort reaches it.
    ///
    /// Aborts it right away when the order came before the group stood.
    pub fn arm(&self, handle: AbortHandle) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.reason.is_some() {
            drop_group(&handle);
        }
        state.handle = Some(handle);
    }

    /// Gives up the collectives. Blocks for two seconds at most.
    pub fn abort(&self, reason: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.reason.is_none() {
            state.reason = Some(reason.to_string());
        }
        if let Some(handle) = &state.handle {
            drop_group(handle);
        }
    }

    /// Why the collectives were given up, if they were.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).reason.clone()
    }
}

fn drop_group(handle: &AbortHandle) {
    if let Err(error) = handle.abort(ABORT_BOUND) {
        tracing::warn!(%error, "the process group did not give up in time");
    }
}

/// What the training thread holds of the control side.
#[derive(Debug, Clone)]
pub struct Links {
    /// Read for heartbeats.
    pub progress: Arc<Progress>,
    /// Wishes of the coordinator.
    pub requests: Arc<Requests>,
    /// The emergency exit.
    pub abort: Arc<Abort>,
    /// Messages to the coordinator.
    pub outbox: Outbox,
}

/// Messages to the coordinator, from the training thread.
#[derive(Debug, Clone)]
pub struct Outbox(pub(super) mpsc::Sender<v1::AttachRequest>);

impl Outbox {
    /// Sends a message that must arrive; waits while the queue is full. Whether the stream still stands is the control
    /// side's concern, so a closed one is no error here.
    pub fn send(&self, message: Message) {
        if self.0.blocking_send(v1::AttachRequest { message: Some(message) }).is_err() {
            tracing::debug!("the control stream is closed; a message is not sent");
        }
    }

    /// Sends a message that the next one replaces; training never waits for it.
    pub fn offer(&self, message: Message) {
        if self.0.try_send(v1::AttachRequest { message: Some(message) }).is_err() {
            tracing::warn!("the coordinator is slow: a step report is left out");
        }
    }
}
