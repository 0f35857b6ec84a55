//! The peer's side: torchrun, DistributedDataParallel, transformers.

use crate::process::{run, seconds_between};
use crate::sample::Sample;
use crate::work::{Precision, Work};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The script, built in by its place in the source tree.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/ddp.py");

/// What a run needs.
pub struct Side {
    /// Interpreter of the peer's environment.
    pub python: PathBuf,
    /// Folder for report and log.
    pub scratch: PathBuf,
}

/// What the script writes.
#[derive(Debug, Deserialize)]
struct PeerReport {
    ready_unix_ms: u64,
    step_seconds: Vec<f64>,
    peak_rss_mib: Vec<f64>,
    loss: f64,
}

impl Side {
    /// Trains once through torchrun.
    ///
    /// # Errors
    /// When it fails or leaves no report.
    pub fn run(&self, work: &Work, precision: Precision, round: u32) -> Result<Sample> {
        let name = format!("peer-{}-{round}", precision.name());
        println!("{name} ...");
        let report = self.scratch.join(format!("{name}.json"));
        let mut command = Command::new(&self.python);
        command.args(["-m", "torch.distributed.run", "--standalone"]);
        command.args(["--nproc-per-node", &work.ranks.to_string(), SCRIPT]);
        command.arg("--model").arg(&work.model).arg("--report").arg(&report);
        command.args(["--precision", precision.peer_name()]);
        for (option, value) in [
            ("--sequence-length", work.sequence_length),
            ("--micro-batch", work.micro_batch),
            ("--steps", work.steps),
            ("--threads", work.threads),
        ] {
            command.args([option, &value.to_string()]);
        }
        command.env("OMP_NUM_THREADS", work.threads.to_string());
        let started = run(&mut command, &self.scratch.join(format!("{name}.log")))?;
        read_sample(&report, work, started)
    }
}

fn read_sample(path: &Path, work: &Work, started: u64) -> Result<Sample> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let report: PeerReport =
        serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))?;
    let tokens = work.tokens_per_step() as f64;
    Ok(Sample {
        tokens_per_second: report
            .step_seconds
            .iter()
            .skip(work.warmup as usize)
            .map(|seconds| tokens / seconds)
            .collect(),
        peak_rss_mib: report.peak_rss_mib.into_iter().fold(0.0, f64::max),
        launch_to_ready_s: seconds_between(started, report.ready_unix_ms),
        last_loss: report.loss,
    })
}
