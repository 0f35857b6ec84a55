//! Every setting, its unit and its default; each default is written here and nowhere else.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// A whole configuration file. Paths are relative to the folder that the command runs in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name, folder and seed of the run.
    pub run: Run,
    /// The model to start from.
    pub model: Model,
    /// Dialogues and the vectorized data set.
    pub data: Data,
    /// How dialogues become segments.
    pub vectorize: Vectorize,
    /// How much a step reads.
    pub batch: Batch,
    /// AdamW and clipping.
    pub optimizer: Optimizer,
    /// The learning rate over the run.
    pub schedule: Schedule,
    /// Length, numerics and start of the training.
    pub train: Train,
    /// When checkpoints are written and how many are kept.
    pub checkpoint: Checkpoint,
    /// Processes, devices and addresses.
    pub cluster: Cluster,
}

/// `[run]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Shown in status and logs.
    pub name: String,
    /// Where checkpoints, metrics and logs go; on shared storage when the run spans hosts.
    pub dir: PathBuf,
    /// Seeds the order of the data.
    pub seed: u64,
}

impl Default for Run {
    fn default() -> Self {
        Self { name: "run".into(), dir: "runs/run".into(), seed: 0 }
    }
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// A Hugging Face directory: `config.json`, safetensors, `tokenizer.json`, `tokenizer_config.json`.
    pub path: PathBuf,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Dialogues to train on: JSONL files, a `messages` list in each row.
    pub train: Vec<PathBuf>,
    /// The vectorized data set: written by `evenkeel vectorize`, read by `evenkeel train`.
    pub dataset: PathBuf,
    /// Lanes that the packs of an epoch are cut into; 0 means one per rank. Fixed above the number of ranks, every
    /// global batch has the same content for every number of ranks that divides it.
    pub lanes: u32,
}

impl Default for Data {
    fn default() -> Self {
        Self { train: Vec::new(), dataset: "dataset".into(), lanes: 0 }
    }
}

/// What to do with a dialogue longer than `max_length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LongDialogue {
    /// Drop the oldest exchanges; the system message and the newest exchange stay.
    Truncate,
    /// Leave the dialogue out (it goes to `rejected.jsonl`).
    Drop,
}

/// `[vectorize]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vectorize {
    /// Longest sample and size of a pack, in tokens.
    pub max_length: u32,
    /// Dialogue text per segment, in bytes of input. The segment alone bounds the memory of vectorizing and training.
    pub segment_bytes: u64,
    /// Threads; 0 means one per core. The result does not depend on it.
    pub workers: u32,
    /// What to do with a dialogue longer than `max_length`.
    pub long_dialogue: LongDialogue,
    /// Seeds the spreading of rows over segments.
    pub seed: u64,
}

impl Default for Vectorize {
    fn default() -> Self {
        Self {
            max_length: 1024,
            segment_bytes: 4 << 20,
            workers: 0,
            long_dialogue: LongDialogue::Truncate,
            seed: 0,
        }
    }
}

/// `[batch]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// Tokens per optimizer step over all ranks; rounded up to whole packs per lane.
    pub global_tokens: u64,
    /// Packs per forward and backward pass of one rank; bounds memory, never changes the result.
    pub micro_batch: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Self { global_tokens: 32_768, micro_batch: 1 }
    }
}

/// `[optimizer]`: AdamW with decoupled weight decay on matrices only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimizer {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay; norms are exempt.
    pub weight_decay: f64,
    /// Decay of the running mean of gradients.
    pub beta1: f64,
    /// Decay of the running mean of squared gradients.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Largest global L2 norm of the gradient; 0 turns clipping off.
    pub clip_norm: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self { learning_rate: 5e-5, weight_decay: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-8, clip_norm: 1.0 }
    }
}

/// `[schedule]`: linear warm-up, then a cosine to `min_lr_ratio` of the peak at the last step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Share of the run's steps that the warm-up takes.
    pub warmup_ratio: f64,
    /// Learning rate at the last step as a share of the peak.
    pub min_lr_ratio: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { warmup_ratio: 0.03, min_lr_ratio: 0.1 }
    }
}

/// Number formats of the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Everything in float32.
    Fp32,
    /// bfloat16 matrix products and activations; float32 master weights, gradients and optimizer state.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        })
    }
}

/// Where a run begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Resume {
    /// From the newest complete checkpoint of `run.dir`, or from the model when there is none.
    Auto,
    /// From the model; refused when `run.dir` already holds checkpoints.
    Never,
    /// From this checkpoint folder.
    Path(PathBuf),
}

impl From<String> for Resume {
    fn from(text: String) -> Self {
        match text.as_str() {
            "auto" => Self::Auto,
            "never" => Self::Never,
            _ => Self::Path(text.into()),
        }
    }
}

impl From<Resume> for String {
    fn from(resume: Resume) -> Self {
        match resume {
            Resume::Auto => "auto".into(),
            Resume::Never => "never".into(),
            Resume::Path(path) => path.to_string_lossy().into_owned(),
        }
    }
}

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    /// Passes over the data set.
    pub epochs: u32,
    /// Optimizer steps after which the run ends even inside an epoch; 0 means no such limit.
    pub max_steps: u64,
    /// Number formats.
    pub precision: Precision,
    /// Where the run begins.
    pub resume: Resume,
}

impl Default for Train {
    fn default() -> Self {
        Self { epochs: 1, max_steps: 0, precision: Precision::Bf16, resume: Resume::Auto }
    }
}

/// `[checkpoint]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoint {
    /// Optimizer steps between checkpoints; 0 means only at the end.
    pub save_every: u64,
    /// Checkpoints kept, the newest ones; 0 keeps all.
    pub keep_last: u32,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { save_every: 500, keep_last: 2 }
    }
}

/// `[cluster]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Worker processes in the whole run (the world size).
    pub workers: u32,
    /// "auto" (CUDA where there is a device, else CPU), "cpu" or "cuda".
    pub device: String,
    /// Threads per worker for CPU work; 0 divides the host's cores among its workers.
    pub threads_per_worker: u32,
    /// Address and port that the coordinator listens on; port 0 takes a free one.
    pub listen: String,
    /// Seconds between a worker's heartbeats; one that misses five is taken for lost.
    pub heartbeat_seconds: f64,
    /// Seconds to wait until all workers have joined, and for a generation to form.
    pub join_timeout_seconds: f64,
    /// Seconds after which a collective that does not complete is given up.
    pub collective_timeout_seconds: f64,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            workers: 1,
            device: "auto".into(),
            threads_per_worker: 0,
            listen: "127.0.0.1:0".into(),
            heartbeat_seconds: 1.0,
            join_timeout_seconds: 600.0,
            collective_timeout_seconds: 600.0,
        }
    }
}
