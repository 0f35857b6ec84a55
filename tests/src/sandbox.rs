//! A temporary folder with a model, a data set and a configuration.

use crate::dataset::{DatasetShape, write_dataset};
use crate::model::{ModelShape, write_model};
use crate::programs::evenkeel;
use crate::run::{Finished, Running};
use anyhow::Result;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// One test's world; gone when it is dropped.
pub struct Sandbox {
    folder: TempDir,
    settings: BTreeMap<String, String>,
}

impl Sandbox {
    /// A model and a data set of the usual small shapes, and settings for a run of 20 steps in fp32 on the CPU.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn new() -> Result<Self> {
        Self::with(ModelShape::default(), DatasetShape::default())
    }

    /// The same with other shapes.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn with(model: ModelShape, dataset: DatasetShape) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("evenkeel-test-").tempdir()?;
        write_model(&folder.path().join("model"), model, 1)?;
        write_dataset(&folder.path().join("dataset"), &folder.path().join("model"), dataset, 2)?;
        let max_length = dataset.max_length;
        let settings = [
            ("run.name", "\"test\"".to_owned()),
            ("run.dir", "\"run\"".to_owned()),
            ("model.path", "\"model\"".to_owned()),
            ("data.dataset", "\"dataset\"".to_owned()),
            ("data.lanes", "4".to_owned()),
            ("vectorize.max_length", max_length.to_string()),
            ("batch.global_tokens", (4 * max_length).to_string()),
            ("optimizer.learning_rate", "1e-3".to_owned()),
            ("train.precision", "\"fp32\"".to_owned()),
            ("train.epochs", "10".to_owned()),
            ("train.max_steps", "20".to_owned()),
            ("checkpoint.save_every", "0".to_owned()),
            ("cluster.device", "\"cpu\"".to_owned()),
            ("cluster.threads_per_worker", "1".to_owned()),
            ("cluster.heartbeat_seconds", "0.2".to_owned()),
        ];
        let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Ok(Self { folder, settings })
    }

    /// Where everything is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the run named by the current settings.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        let relative = self.settings.get("run.dir").map_or("run", |value| value.trim_matches('"'));
        self.folder().join(relative)
    }

    /// Changes a setting; the value is TOML, so a string has its quotes.
    pub fn set(&mut self, key: &str, value: impl ToString) -> &mut Self {
        self.settings.insert(key.to_owned(), value.to_string());
        self
    }

    /// Starts `evenkeel train` with the current settings.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn train(&self) -> Result<Running> {
        self.start(&["train", "run.toml"])
    }

    /// Runs a short `evenkeel` command to its end while another one goes on.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn aside(&self, arguments: &[&str]) -> Result<Finished> {
        Ok(Command::new(evenkeel()).args(arguments).current_dir(self.folder()).output()?.into())
    }

    /// Starts `evenkeel` with these arguments; `run.toml` holds the current settings.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, arguments: &[&str]) -> Result<Running> {
        let lines: String = self.settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        fs::write(self.folder().join("run.toml"), lines)?;
        let mut command = Command::new(evenkeel());
        command.args(arguments).current_dir(self.folder());
        Running::start(command, self.folder(), self.run_dir())
    }
}
