//! What can happen to a run, in the coordinator's own types. `wire` makes them from messages, with every length checked.

use evenkeel_shared::ids::{Epoch, Generation, Step};
use std::fmt;

/// A moment: milliseconds since the coordinator started. The machine reads no clock; whoever calls it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// Milliseconds from `earlier` to this moment; 0 when `earlier` lies after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One attached stream; never used again after it closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A worker's name, unique within the run: `HOST/LOCAL_RANK`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a worker process introduced itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerHello {
    /// Version of the conversation that it speaks.
    pub protocol_version: u32,
    /// evenkeel's version.
    pub version: String,
    /// Its name within the run.
    pub worker_id: WorkerId,
    /// Its host's name.
    pub host: String,
    /// Index of the process on its host.
    pub local_rank: u32,
    /// Process id on its host.
    pub pid: u32,
    /// "cpu" or "cuda:N".
    pub device: String,
    /// Address at which the other ranks reach its host, without a port.
    pub data_address: String,
}

/// How a node agent introduced itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentHello {
    /// Version of the conversation that it speaks.
    pub protocol_version: u32,
    /// evenkeel's version.
    pub version: String,
    /// Its name within the run: the host's.
    pub agent_id: String,
    /// Its host's name.
    pub host: String,
    /// Process id on its host.
    pub pid: u32,
    /// Worker processes that it starts.
    pub workers: u32,
}

/// What a worker says it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The generation it speaks of; 0 before it is in one.
    pub generation: Generation,
    /// Steps done.
    pub step: Step,
    /// One word, such as "loading" or "optimizer".
    pub phase: String,
    /// Segments it has open.
    pub open_segments: Vec<u32>,
}

/// What one optimizer step did. All figures are the step's global ones.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The generation it speaks of.
    pub generation: Generation,
    /// Steps done, so the first report says 1.
    pub step: Step,
    /// Passes over the data set, from 0.
    pub epoch: Epoch,
    /// Mean loss over the step's target tokens.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// 1 unless fp16.
    pub loss_scale: f64,
    /// Tokens read.
    pub tokens: u64,
    /// Tokens that the loss was taken on.
    pub target_tokens: u64,
    /// Segments that the reporting rank has open.
    pub open_segments: Vec<u32>,
}

/// A worker's last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFailure {
    /// The generation it speaks of; 0 before it is in one.
    pub generation: Generation,
    /// Steps done.
    pub step: Step,
    /// What it was doing.
    pub phase: String,
    /// Why it could not go on.
    pub reason: String,
    /// It failed only because another rank went away.
    pub peer_lost: bool,
}

/// What a node agent saw of a worker process that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessExit {
    /// Which worker.
    pub worker_id: WorkerId,
    /// Process id on its host.
    pub pid: u32,
    /// Exit code, when it exited by itself.
    pub exit_code: Option<i32>,
    /// Signal that killed it.
    pub signal: Option<i32>,
    /// Its last lines on stderr.
    pub stderr_tail: Vec<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields repeat their types' docs")]
pub enum Event {
    /// A stream began with a worker's hello.
    WorkerJoined { connection: ConnectionId, hello: WorkerHello },
    /// A stream began with a node agent's hello.
    AgentJoined { connection: ConnectionId, hello: AgentHello },
    /// Rank 0 opened the generation's store.
    StoreReady { connection: ConnectionId, generation: Generation, port: u16 },
    /// A worker has its process group and its model.
    WorkerReady { connection: ConnectionId, generation: Generation },
    /// A worker lives.
    Heartbeat { connection: ConnectionId, heartbeat: Heartbeat },
    /// A worker did a step.
    StepReport { connection: ConnectionId, report: StepReport },
    /// A checkpoint is complete; `path` is absolute or relative to the run's folder.
    CheckpointSaved { connection: ConnectionId, generation: Generation, step: Step, path: String },
    /// A worker gives up.
    WorkerFailed { connection: ConnectionId, failure: WorkerFailure },
    /// A worker did all its steps, or stopped because it was asked to.
    WorkerFinished { connection: ConnectionId, generation: Generation, step: Step, checkpoint: String },
    /// A node agent saw a process end.
    ProcessExited { connection: ConnectionId, exit: ProcessExit },
    /// A stream ended from the other side, or broke; `why` is a clause such as "the connection was reset".
    StreamClosed { connection: ConnectionId, why: String },
    /// Time went by; comes several times in a heartbeat interval.
    Tick,
    /// Somebody wants the run to end at the next step boundary.
    StopRequested { save_checkpoint: SaveOnStop, reason: String },
    /// Somebody wants a checkpoint at the next step boundary.
    SaveRequested,
}

/// Whether a stop leaves a checkpoint behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveOnStop {
    /// Write a checkpoint before the end.
    Save,
    /// End without one.
    Discard,
}
