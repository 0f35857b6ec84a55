//! What can be known to be wrong before any process is started.

use crate::agent::check_devices;
use anyhow::{Result, bail};
use evenkeel_shared::config::Config;
use std::path::Path;

/// Checks the model, the data set and the devices against the configuration. Writes nothing.
///
/// # Errors
/// The first thing that would make the run fail, with what to do about it.
pub fn check(config: &Config, file: &Path) -> Result<()> {
    let manifest = config.data.dataset.join("manifest.json");
    if !manifest.is_file() {
        bail!(
            "there is no vectorized data set in {} (`data.dataset`): it holds no manifest.json; make it with \
             `evenkeel vectorize {}`",
            config.data.dataset.display(),
            file.display()
        );
    }
    check_devices(config)
}
