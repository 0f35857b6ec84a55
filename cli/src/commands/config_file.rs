//! The arguments of every command that reads a configuration.

use evenkeel_shared::config::{Config, ConfigError, Layers, load};
use std::path::PathBuf;

/// Flatten this into a command's `Args`.
#[derive(clap::Args, Debug)]
pub struct ConfigFile {
    /// The run's configuration, a TOML file. Paths inside it are relative to the folder that the command runs in.
    #[arg(value_name = "RUN.TOML")]
    pub file: PathBuf,
    /// Overrides one setting; may be given many times. Example: --set optimizer.learning_rate=1e-4
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigFile {
    /// Reads file, environment and overrides into a checked configuration.
    pub fn load(&self) -> Result<Config, ConfigError> {
        load(&Layers { file: Some(self.file.clone()), set: self.set.clone() })
    }
}
