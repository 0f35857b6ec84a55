//! Reading the layers.

use super::Config;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use std::path::PathBuf;

/// Where a configuration comes from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The TOML file, when there is one.
    pub file: Option<PathBuf>,
    /// `key=value` pairs from `--set`.
    pub set: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Reads the layers into a checked configuration.
///
/// # Errors
/// A missing file, a syntax error, an unknown key, a value of the wrong type or out of range.
pub fn load(layers: &Layers) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(file) = &layers.file {
        figment = figment.merge(Toml::file_exact(file));
    }
    figment = figment.merge(Env::prefixed("EVENKEEL_").split("__"));
    figment.extract().map_err(|error| ConfigError(error.to_string()))
}
