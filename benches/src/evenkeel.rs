//! evenkeel's side.

use crate::dataset;
use crate::process::{run, seconds_between};
use crate::sample::Sample;
use crate::work::{Precision, Work};
use anyhow::{Context, Result, ensure};
use evenkeel_shared::config::{self, Config, Resume};
use evenkeel_shared::metrics::StepMetrics;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run needs.
pub struct Side {
    /// Folder of the programs.
    pub bin: PathBuf,
    /// The vectorized data set.
    pub dataset: PathBuf,
    /// Folder for configuration, run and log.
    pub scratch: PathBuf,
}

/// The part of a run's `summary.json` that is compared.
#[derive(Debug, Deserialize)]
struct Summary {
    /// One a rank.
    peak_rss_mib: Vec<f64>,
    /// Wall clock at which the first step could begin.
    ready_unix_ms: u64,
}

impl Side {
    /// Trains once through `evenkeel train`, the command that a person would type.
    ///
    /// # Errors
    /// When the run fails or does not leave its figures behind.
    pub fn run(&self, work: &Work, precision: Precision, round: u32) -> Result<Sample> {
        let name = format!("evenkeel-{}-{round}", precision.name());
        println!("{name} ...");
        let config = self.config(work, precision, &name);
        let file = self.scratch.join(format!("{name}.toml"));
        fs::write(&file, toml::to_string(&config)?)?;
        let mut command = Command::new(self.bin.join("evenkeel"));
        command.arg("train").arg(&file);
        // A setting left in the shell would change the work without being seen.
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("EVENKEEL_"))
        {
            command.env_remove(key);
        }
        let started = run(&mut command, &self.scratch.join(format!("{name}.log")))?;
        let sample = read_sample(&config.run.dir, work, started)?;
        // A checkpoint of the model and its optimizer state is large, and nobody will look at this one.
        fs::remove_dir_all(&config.run.dir).context("cannot remove the finished run")?;
        Ok(sample)
    }

    fn config(&self, work: &Work, precision: Precision, name: &str) -> Config {
        let mut config = dataset::config(work);
        config.run.name = name.to_owned();
        config.run.dir = self.scratch.join(name);
        config.data.dataset.clone_from(&self.dataset);
        config.batch.global_tokens = work.tokens_per_step();
        config.batch.micro_batch = work.micro_batch;
        config.optimizer.learning_rate = 1e-5;
        config.train.max_steps = work.steps.into();
        config.train.resume = Resume::Never;
        config.train.precision = match precision {
            Precision::Fp32 => config::Precision::Fp32,
            Precision::Bf16 => config::Precision::Bf16,
        };
        config.checkpoint.save_every = 0;
        config.cluster.workers = work.ranks;
        config.cluster.device = "cpu".to_owned();
        config.cluster.threads_per_worker = work.threads;
        config
    }
}

fn read_sample(run_dir: &Path, work: &Work, started: u64) -> Result<Sample> {
    let summary_file = run_dir.join("summary.json");
    let text = fs::read(&summary_file).with_context(|| format!("cannot read {}", summary_file.display()))?;
    let summary: Summary =
        serde_json::from_slice(&text).with_context(|| format!("cannot read {}", summary_file.display()))?;
    let metrics_file = run_dir.join("metrics.jsonl");
    let text = fs::read_to_string(&metrics_file)
        .with_context(|| format!("cannot read {}", metrics_file.display()))?;
    let steps: Vec<StepMetrics> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(
        steps.len() == work.steps as usize,
        "expected {} steps in {}, found {}",
        work.steps,
        metrics_file.display(),
        steps.len()
    );
    ensure!(
        steps.iter().all(|step| step.tokens == work.tokens_per_step()),
        "a step of {} did not read {} tokens, so the sides did not do the same work",
        metrics_file.display(),
        work.tokens_per_step()
    );
    Ok(Sample {
        tokens_per_second: steps
            .iter()
            .skip(work.warmup as usize)
            .map(|step| step.tokens_per_second)
            .collect(),
        peak_rss_mib: summary.peak_rss_mib.into_iter().fold(0.0, f64::max),
        launch_to_ready_s: seconds_between(started, summary.ready_unix_ms),
        last_loss: steps.last().map_or(f64::NAN, |step| step.loss),
    })
}
