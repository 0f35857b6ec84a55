//! What both sides are asked to do.

use serde::Serialize;
use std::path::PathBuf;

/// The same for both sides.
#[derive(Debug, Clone, Serialize, clap::Args)]
pub struct Work {
    /// Hugging Face directory of the model.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Processes.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub ranks: u32,
    /// CPU threads of each process.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: u32,
    /// Tokens of a sequence.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(2..))]
    pub sequence_length: u32,
    /// Sequences of a rank in one forward and backward pass.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub micro_batch: u32,
    /// Optimizer steps of a run.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..))]
    pub steps: u32,
    /// Of these, steps at the beginning that are not counted.
    #[arg(long, default_value_t = 3)]
    pub warmup: u32,
}

impl Work {
    /// Tokens of one optimizer step over all ranks.
    pub fn tokens_per_step(&self) -> u64 {
        u64::from(self.ranks) * u64::from(self.micro_batch) * u64::from(self.sequence_length)
    }

    /// Sequences that a run reads.
    pub fn sequences(&self) -> u64 {
        u64::from(self.ranks) * u64::from(self.micro_batch) * u64::from(self.steps)
    }
}

/// Number formats that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32 throughout.
    Fp32,
    /// float32 weights with bfloat16 matrix products; the peer's autocast.
    Bf16,
}

impl Precision {
    /// As evenkeel's configuration calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        }
    }

    /// As the peer's script calls it.
    pub fn peer_name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "autocast",
        }
    }
}
