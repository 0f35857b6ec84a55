//! What must hold before a run may start, found out before any process is.
//!
//! The command line and the coordinator call the same [`check`]: the one to tell a person at once, the other because it
//! may be started by anyone. It reads the model's `config.json`, the data set's manifest, the length of each segment
//! file and the checkpoints, and writes nothing.

use crate::checkpoint::{self, CheckpointError, CheckpointManifest};
use crate::config::{Config, Resume};
use crate::dataset::{DatasetError, Manifest, SegmentFault};
use crate::fsio::{PathError, WithPath};
use crate::hf::{ModelConfig, ModelConfigError};
use crate::ids::Step;
use crate::plan::{EpochPlan, PlanError, Quarantine, RunLength};
use std::fs;
use std::path::{Path, PathBuf};

/// All that is decided about a run before anyone takes part in it.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// The shape of the model.
    pub model: ModelConfig,
    /// The data set.
    pub manifest: Manifest,
    /// Digest of the data set's fingerprint.
    pub dataset_fingerprint: String,
    /// The checkpoint to go on from; `None` begins with the model's own weights.
    pub resume_from: Option<ResumeFrom>,
    /// Lanes that an epoch is cut into.
    pub lanes: u32,
    /// Packs that each lane gives to a step.
    pub packs_per_lane: u64,
    /// Steps of a whole epoch.
    pub steps_per_epoch: u64,
    /// Steps of the whole run, those behind a resumed checkpoint included.
    pub total_steps: Step,
}

impl RunPlan {
    /// Steps that are done already.
    #[must_use]
    pub fn steps_done(&self) -> Step {
        self.resume_from.as_ref().map_or(Step(0), |from| from.checkpoint.step)
    }
}

/// A checkpoint whose every file was verified.
#[derive(Debug, Clone)]
pub struct ResumeFrom {
    /// Its folder, absolute.
    pub dir: PathBuf,
    /// What it says about itself.
    pub checkpoint: CheckpointManifest,
}

/// Why a run must not start.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelConfigError),
    /// The model has a configuration but no weights.
    #[error(
        "the model in {} has no weights: expected model.safetensors or model.safetensors.index.json. Copy them there, \
         or make a model directory from a GGUF file with `evenkeel import`",
        .0.display()
    )]
    NoWeights(PathBuf),
    /// The data set cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The data set has token ids that the model has no row for.
    #[error(
        "the data set in {} has token ids up to {}, but the model in {} knows only {model}. Vectorize with this model's \
         tokenizer (`evenkeel vectorize`), or set model.path to the model that the data set was made for",
        dataset.display(), found.saturating_sub(1), path.display()
    )]
    Vocabulary {
        /// The data set's folder.
        dataset: PathBuf,
        /// The data set's number of token ids.
        found: u32,
        /// The model's folder.
        path: PathBuf,
        /// The model's number of token ids.
        model: usize,
    },
    /// No workers were asked for.
    #[error("cluster.workers is 0; set it to the number of worker processes of the whole run, at least 1")]
    NoWorkers,
    /// More workers than there is data for.
    #[error(
        "there are more workers than packs: cluster.workers is {workers}, the data set in {} has {packs} packs, and each \
         worker needs at least one. Use fewer workers, more data, or a smaller vectorize.max_length",
        dataset.display()
    )]
    MoreWorkersThanPacks {
        /// Worker processes of the run.
        workers: u32,
        /// Packs of the data set.
        packs: u64,
        /// The data set's folder.
        dataset: PathBuf,
    },
    /// Some ranks would never have data.
    #[error(
        "data.lanes is {lanes}, but cluster.workers is {workers}: each worker serves at least one lane. Set data.lanes to \
         0 (one per worker) or to a multiple of the largest number of workers that you mean to use"
    )]
    FewerLanesThanWorkers {
        /// `data.lanes`.
        lanes: u32,
        /// Worker processes of the run.
        workers: u32,
    },
    /// The epoch cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A new run was asked for in a folder that holds one.
    #[error(
        "train.resume is \"never\", but {} already holds {count} checkpoint(s), the newest of step {newest}. Set run.dir \
         to a new folder, or train.resume to \"auto\" to go on from there",
        run_dir.display()
    )]
    WouldMixRuns {
        /// The run's folder.
        run_dir: PathBuf,
        /// Checkpoints in it.
        count: usize,
        /// Steps done in the newest.
        newest: Step,
    },
    /// The checkpoint was trained on other data.
    #[error(
        "the checkpoint {} was trained on a data set with fingerprint {checkpoint}, but the one in {} has {found}. Resume \
         with the data set that it was written with, or set run.dir to a new folder to begin a new run",
        dir.display(), dataset.display()
    )]
    OtherDataset {
        /// The checkpoint's folder.
        dir: PathBuf,
        /// Digest in the checkpoint.
        checkpoint: String,
        /// The data set's folder.
        dataset: PathBuf,
        /// Digest of the data set.
        found: String,
    },
    /// The checkpoint belongs to a run that would go on in another way.
    #[error(
        "the checkpoint {} was written with {key} = {checkpoint}, but the configuration says {found}. Going on would {harm}. \
         Resume with the same value, or set run.dir to a new folder to begin a new run",
        dir.display()
    )]
    OtherRun {
        /// The checkpoint's folder.
        dir: PathBuf,
        /// The setting that differs.
        key: &'static str,
        /// In the checkpoint.
        checkpoint: String,
        /// In the configuration.
        found: String,
        /// What would go wrong.
        harm: &'static str,
    },
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
}

/// Checks that a run of this configuration can start, and plans it.
///
/// # Errors
/// The first thing that stands in the way, with what to do about it.
pub fn check(config: &Config) -> Result<RunPlan, PreflightError> {
    let model = check_model(&config.model.path)?;
    let manifest = check_dataset(config, &model)?;
    let dataset_fingerprint = manifest.fingerprint.digest();
    let lanes = check_lanes(config, &manifest)?;
    let resume_from = choose_checkpoint(config, &dataset_fingerprint)?;

    let packs = manifest.packs();
    let length = RunLength::new(&config.train, &config.batch, packs, manifest.max_length, lanes)?;
    let total_steps = match &resume_from {
        None => length.total_steps(),
        Some(from) => {
            let (counts, cursor) = (manifest.pack_counts(), &from.checkpoint.cursor);
            let plan = EpochPlan::new(&counts, &Quarantine::default(), config.run.seed, cursor, lanes)?;
            length.total_steps_from(from.checkpoint.step.0, &plan, plan.taken())
        }
    };
    Ok(RunPlan {
        model,
        dataset_fingerprint,
        resume_from,
        lanes,
        packs_per_lane: length.packs_per_lane(),
        steps_per_epoch: length.steps_per_epoch(),
        total_steps: Step(total_steps),
        manifest,
    })
}

fn check_model(path: &Path) -> Result<ModelConfig, PreflightError> {
    let model = ModelConfig::load(path)?;
    let weights = ["model.safetensors", "model.safetensors.index.json"];
    if !weights.iter().any(|name| path.join(name).is_file()) {
        return Err(PreflightError::NoWeights(path.to_path_buf()));
    }
    Ok(model)
}

fn check_dataset(config: &Config, model: &ModelConfig) -> Result<Manifest, PreflightError> {
    let dataset = &config.data.dataset;
    let manifest = Manifest::load(dataset)?;
    manifest.check_config(config)?;
    if manifest.vocab_size as usize > model.vocab_size {
        return Err(PreflightError::Vocabulary {
            dataset: dataset.clone(),
            found: manifest.vocab_size,
            path: config.model.path.clone(),
            model: model.vocab_size,
        });
    }
    // Lengths only: whoever reads a segment checks its content, and here that would read the whole data set.
    for entry in &manifest.segments {
        let path = dataset.join(&entry.file);
        let found = fs::metadata(&path).with_path("read", &path)?.len();
        if found != entry.bytes {
            let fault = SegmentFault::Count { what: "length in bytes", expected: entry.bytes, found };
            return Err(DatasetError::Segment { path, fault }.into());
        }
    }
    Ok(manifest)
}

fn check_lanes(config: &Config, manifest: &Manifest) -> Result<u32, PreflightError> {
    let (workers, lanes) = (config.cluster.workers, config.data.lanes);
    if workers == 0 {
        return Err(PreflightError::NoWorkers);
    }
    let packs = manifest.packs();
    if u64::from(workers) > packs {
        let dataset = config.data.dataset.clone();
        return Err(PreflightError::MoreWorkersThanPacks { workers, packs, dataset });
    }
    match lanes {
        0 => Ok(workers),
        lanes if lanes < workers => Err(PreflightError::FewerLanesThanWorkers { lanes, workers }),
        lanes => Ok(lanes),
    }
}

fn choose_checkpoint(config: &Config, fingerprint: &str) -> Result<Option<ResumeFrom>, PreflightError> {
    let run_dir = &config.run.dir;
    let (dir, manifest) = match &config.train.resume {
        Resume::Never => {
            let found = checkpoint::list(run_dir)?;
            let Some(newest) = found.last().map(|newest| newest.step) else { return Ok(None) };
            return Err(PreflightError::WouldMixRuns {
                run_dir: run_dir.clone(),
                count: found.len(),
                newest,
            });
        }
        Resume::Auto => match checkpoint::newest_intact(run_dir)? {
            Some((found, manifest)) => (found.dir, manifest),
            None => return Ok(None),
        },
        Resume::Path(path) => (path.clone(), checkpoint::verify(path)?),
    };
    // Workers run in other folders, some on other hosts.
    let dir = std::path::absolute(&dir).with_path("resolve", &dir)?;
    if manifest.dataset_fingerprint != fingerprint {
        return Err(PreflightError::OtherDataset {
            dir,
            checkpoint: manifest.dataset_fingerprint,
            dataset: config.data.dataset.clone(),
            found: fingerprint.to_owned(),
        });
    }
    check_same_run(config, &dir, &manifest)?;
    Ok(Some(ResumeFrom { dir, checkpoint: manifest }))
}

/// Refuses a change that would make the resumed run something else than a longer run.
fn check_same_run(config: &Config, dir: &Path, manifest: &CheckpointManifest) -> Result<(), PreflightError> {
    let differs = |key, checkpoint: String, found: String, harm| {
        if checkpoint == found {
            return Ok(());
        }
        Err(PreflightError::OtherRun { dir: dir.to_path_buf(), key, checkpoint, found, harm })
    };
    let (before, now) = (shape_of(&dir.join("model"))?, shape_of(&config.model.path)?);
    differs("model.path", before, now, "train the checkpoint's model, not the one that is named")?;
    let (before, now) = (manifest.precision, config.train.precision);
    differs("train.precision", before.to_string(), now.to_string(), "lose or invent digits of the weights")?;
    // The cursor counts along a line of packs that the seed puts in order.
    let seed = manifest.config.pointer("/run/seed").map_or_else(String::new, ToString::to_string);
    differs("run.seed", seed, config.run.seed.to_string(), "read some data twice and leave other data out")
}

/// What makes two models of one tokenizer different ones, for people to read.
fn shape_of(model_dir: &Path) -> Result<String, PreflightError> {
    let model = ModelConfig::load(model_dir)?;
    Ok(format!(
        "a model of {} parameters ({} layers, width {}, {} and {} heads, feed-forward {}, vocabulary {}, rope theta {}, norm eps {})",
        model.parameter_count(),
        model.num_layers,
        model.hidden_size,
        model.num_heads,
        model.num_kv_heads,
        model.intermediate_size,
        model.vocab_size,
        model.rope_theta,
        model.rms_norm_eps
    ))
}
