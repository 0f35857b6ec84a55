//! `evenkeel config`: the settings as they are once all layers are read.

use evenkeel_shared::config::{Layers, process_environment, resolve};
use std::path::PathBuf;

/// Shows every setting with its value, and where the value comes from when it is not the default.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The run's configuration, a TOML file; without one the defaults are shown.
    #[arg(value_name = "RUN.TOML")]
    file: Option<PathBuf>,
    /// Overrides one setting; may be given many times. Example: --set optimizer.learning_rate=1e-4
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Prints the resolved configuration as TOML, fit to be used as a configuration file.
pub fn run(args: Args) -> anyhow::Result<()> {
    let resolved = resolve(&Layers { file: args.file, set: args.set }, process_environment())?;
    print!("{}", resolved.to_toml());
    Ok(())
}
