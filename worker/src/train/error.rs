//! Why training could not go on.

use crate::data::FeedError;
use crate::model::{LoadError, ops};
use crate::tensor_file::TensorFileError;
use evenkeel_shared::checkpoint::CheckpointError;
use evenkeel_shared::fsio::PathError;

/// Why a worker's training thread ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The model.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The data.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// Collectives and fused operations.
    #[error(transparent)]
    Extension(#[from] evenkeel_torch_ext::Error),
    /// An operation of the model.
    #[error(transparent)]
    Model(#[from] ops::Error),
    /// libtorch's answer.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Tensors of a checkpoint.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// Metrics and summary.
    #[error(transparent)]
    Io(#[from] PathError),
    /// A parameter took no part in the backward pass.
    #[error("parameter {0} has no gradient after the backward pass")]
    NoGradient(String),
    /// The ranks hold different weights.
    #[error(
        "the ranks have loaded different weights: rank {rank} differs from rank 0. Every host must see the same model and \
         checkpoint files"
    )]
    DifferentWeights {
        /// The first rank that differs.
        rank: i64,
    },
    /// The step's numbers cannot be used.
    #[error(
        "step {step} gave loss {loss} and gradient norm {grad_norm}: the update was not applied. The newest checkpoint is \
         from before this step; a lower learning rate, or leaving out the data of this step (rank {rank} had segments \
         {segments:?} open), may help"
    )]
    NotFinite {
        /// The step that was being made.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Its gradient norm.
        grad_norm: f64,
        /// This rank.
        rank: u32,
        /// This rank's segments.
        segments: Vec<u32>,
    },
    /// The model is too short for the data.
    #[error(
        "the data set has packs of up to {data} tokens, the model takes {model} (max_position_embeddings); vectorize with vectorize.max_length = {model} or less"
    )]
    TooLong {
        /// Longest pack.
        data: u32,
        /// The model's bound.
        model: i64,
    },
    /// The device's name.
    #[error(
        "device {0:?} is not available: expected \"cpu\", or \"cuda:N\" on a machine with that many devices and a worker built with the feature cuda"
    )]
    Device(String),
    /// The coordinator gave orders out of order.
    #[error("expected the order {expected} from the coordinator, found {found}")]
    Order {
        /// What should have come.
        expected: &'static str,
        /// What came.
        found: String,
    },
}

impl TrainError {
    /// Whether another rank's end is the cause.
    #[must_use]
    pub fn is_peer_lost(&self) -> bool {
        let error = match self {
            Self::Extension(error) | Self::Model(ops::Error::Extension(error)) => error,
            _ => return false,
        };
        // A rank whose collective timed out has waited for another one.
        use evenkeel_torch_ext::Error::{Aborted, PeerLost, Timeout};
        matches!(error, PeerLost(_) | Aborted | Timeout(_))
    }
}
