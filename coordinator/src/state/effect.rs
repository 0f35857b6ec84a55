//! What the machine wants done about an event.

use super::event::{ConnectionId, SaveOnStop};
use evenkeel_shared::ids::{Generation, Rank, WorldSize};

/// Something to do. Effects are carried out in the order in which they were returned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields repeat their types' docs")]
pub enum Effect {
    /// Send an order to a worker or a node agent.
    Send { connection: ConnectionId, order: Order },
    /// End the stream cleanly: the run is over.
    Close { connection: ConnectionId },
    /// End the stream with a gRPC error: its owner takes no part in the run.
    Refuse { connection: ConnectionId, refusal: Refusal },
    /// What `Status` shows has changed.
    Publish,
    /// The run is over. Comes exactly once, after the last `Close`.
    RunEnded { outcome: Outcome },
}

/// An order to one worker or node agent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields repeat their types' docs")]
pub enum Order {
    /// You are in; the run's name, folder and configuration come along.
    Welcome,
    /// You have a rank in a new generation.
    Form { generation: Generation, rank: Rank, world_size: WorldSize },
    /// The generation's store is open at this address.
    Connect { generation: Generation, store_host: String, store_port: u16 },
    /// Write a checkpoint at the next step boundary.
    Save,
    /// End at the next step boundary.
    Stop { save_checkpoint: SaveOnStop, reason: String },
    /// Give up the generation's collectives at once.
    Abort { generation: Generation, reason: String },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// Somebody asked it to end early.
    Stopped,
    /// It could not go on; the status says why.
    Failed,
}

/// Why a request is turned down. Each kind has its own gRPC status code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request makes no sense now, or for this run.
    #[error("{0}")]
    Precondition(String),
    /// Somebody of that name is attached already.
    #[error("{0}")]
    Duplicate(String),
}
