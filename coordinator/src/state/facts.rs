//! What is known about a run before anyone joins, and never changes.

use evenkeel_shared::ids::{Epoch, Step};

/// A run's constants.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFacts {
    /// Name, for people.
    pub run: String,
    /// Folder of checkpoints, metrics and logs; absolute.
    pub run_dir: String,
    /// The resolved configuration, for the workers.
    pub config_json: String,
    /// evenkeel's version; workers of another are refused.
    pub version: String,
    /// Worker processes in the run, at least 1.
    pub workers: u32,
    /// Passes over the data set.
    pub epochs: u32,
    /// Optimizer steps of the whole run, those before a resumed checkpoint included.
    pub total_steps: Step,
    /// Seeds the order of the data.
    pub seed: u64,
    /// Lanes that an epoch is cut into.
    pub lanes: u32,
    /// Digest of the data set that the plan was made for.
    pub dataset_fingerprint: String,
    /// The checkpoint that the run goes on from.
    pub resume_from: Option<ResumePoint>,
    /// Milliseconds between a worker's heartbeats.
    pub heartbeat_ms: u64,
    /// Milliseconds to wait for all workers, and again for a generation to form.
    pub join_timeout_ms: u64,
}

/// Where a resumed run stands before its first step.
#[derive(Debug, Clone, PartialEq)]
pub struct ResumePoint {
    /// Absolute path of the checkpoint folder.
    pub path: String,
    /// Steps done.
    pub step: Step,
    /// Passes over the data set done.
    pub epoch: Epoch,
    /// Tokens read.
    pub tokens: u64,
    /// Tokens that the loss was taken on.
    pub target_tokens: u64,
}

/// Heartbeats that a worker may miss before it is taken for lost.
pub const MISSED_HEARTBEATS: u64 = 5;

/// Milliseconds between the first sign of a loss and the final report. The agent's account of the dead process and the
/// victims' complaints come within it, so that the report can name the cause rather than whoever spoke first.
pub const EVIDENCE_GRACE_MS: u64 = 500;

impl RunFacts {
    /// Milliseconds of silence after which a worker is taken for lost.
    #[must_use]
    pub fn silence_limit_ms(&self) -> u64 {
        self.heartbeat_ms.saturating_mul(MISSED_HEARTBEATS)
    }
}
