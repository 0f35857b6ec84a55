//! A line of `metrics.jsonl`.

use serde::{Deserialize, Serialize};

/// What one optimizer step did; one JSON object a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Optimizer steps done, so the first line says 1.
    pub step: u64,
    /// Passes over the data, from 0.
    pub epoch: u32,
    /// Mean cross-entropy over the step's target tokens of all ranks, in nats.
    pub loss: f64,
    /// Learning rate that the step used.
    pub lr: f64,
    /// Global L2 norm of the gradient before clipping.
    pub grad_norm: f64,
    /// 1 unless fp16.
    pub loss_scale: f64,
    /// Tokens that the loss was taken on, all ranks.
    pub target_tokens: u64,
    /// Tokens read, all ranks.
    pub tokens: u64,
    /// Tokens read per second of this step, all ranks.
    pub tokens_per_second: f64,
    /// Tokens that a full step reads at this point of the run.
    pub global_batch_tokens: u64,
    /// Seconds since 1970.
    pub time: f64,
}
