//! From a configuration to the facts of a run.

use crate::state::{ResumePoint, RunFacts};
use evenkeel_shared::config::Config;
use evenkeel_shared::fsio::{PathError, WithPath};
use evenkeel_shared::preflight::RunPlan;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "coordinator.lock";

/// A run that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// Two coordinators would write into one folder.
    #[error(
        "another coordinator is using the run folder {}. Wait for it or stop it (`evenkeel stop`), or set run.dir to another \
         folder",
        .0.display()
    )]
    InUse(PathBuf),
    /// The configuration cannot be sent to the workers.
    #[error("the configuration cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The run's folder, held by this coordinator alone.
#[derive(Debug)]
pub struct RunFolder {
    /// Its absolute path.
    pub path: PathBuf,
    // The lock is given back by the operating system when the process ends, however it ends.
    _lock: File,
}

impl RunFolder {
    /// Makes the folder if there is none, and takes it.
    ///
    /// # Errors
    /// It cannot be made, or another coordinator has it.
    pub fn take(dir: &Path) -> Result<Self, SetupError> {
        fs::create_dir_all(dir).with_path("create folder", dir)?;
        let path = std::path::absolute(dir).with_path("resolve", dir)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = File::create(&lock_path).with_path("create", &lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SetupError::InUse(path)),
            // Some network file systems have no locks; a run on them is still better than none.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::warn!(path = %lock_path.display(), "the file system has no locks");
            }
            Err(TryLockError::Error(source)) => {
                return Err(PathError { action: "lock", path: lock_path, source }.into());
            }
        }
        Ok(Self { path, _lock: lock })
    }
}

/// The facts of a run of this configuration. Paths that workers are given are absolute: they run in other folders.
///
/// # Errors
/// When a path cannot be made absolute.
pub fn facts(config: &Config, plan: &RunPlan, run_dir: &Path) -> Result<RunFacts, SetupError> {
    let mut config = config.clone();
    config.run.dir = run_dir.to_path_buf();
    for path in [&mut config.model.path, &mut config.data.dataset] {
        *path = std::path::absolute(&*path).with_path("resolve", path)?;
    }
    Ok(RunFacts {
        run: config.run.name.clone(),
        run_dir: run_dir.to_string_lossy().into_owned(),
        config_json: serde_json::to_string(&config)?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        workers: config.cluster.workers,
        epochs: config.train.epochs,
        total_steps: plan.total_steps,
        seed: config.run.seed,
        lanes: plan.lanes,
        dataset_fingerprint: plan.dataset_fingerprint.clone(),
        resume_from: plan.resume_from.as_ref().map(|from| ResumePoint {
            path: from.dir.to_string_lossy().into_owned(),
            step: from.checkpoint.step,
            epoch: from.checkpoint.cursor.epoch,
            tokens: from.checkpoint.tokens,
            target_tokens: from.checkpoint.target_tokens,
        }),
        heartbeat_ms: milliseconds(config.cluster.heartbeat_seconds),
        join_timeout_ms: milliseconds(config.cluster.join_timeout_seconds),
    })
}

/// At least 1; a number that is not one counts as 0.
fn milliseconds(seconds: f64) -> u64 {
    ((seconds * 1000.0).round() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_has_one_coordinator() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("runs/one");
        let first = RunFolder::take(&dir).unwrap();
        let error = RunFolder::take(&dir).unwrap_err().to_string();
        assert!(error.contains("another coordinator"), "{error}");
        drop(first);
        assert!(RunFolder::take(&dir).is_ok());
    }

    #[test]
    fn any_number_of_seconds_is_a_time() {
        assert_eq!([0.25, 0.0, -1.0, f64::NAN].map(milliseconds), [250, 1, 1, 1]);
    }
}
