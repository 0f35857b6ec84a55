//! The command line.

use evenkeel_shared::config::Layers;
use std::path::PathBuf;

/// Coordinates one evenkeel run: waits for the workers, forms them, watches them.
///
/// Prints `listening on HOST:PORT` to stdout once it serves, and writes that address to RUN_DIR/coordinator.address. Ends by
/// itself when the run is over: exit code 0 when it finished or was stopped, 1 when it failed. SIGINT and SIGTERM save a
/// checkpoint and stop the run at the next step; a second one ends the coordinator at once. Logs go to stderr; EVENKEEL_LOG
/// filters them (default info).
#[derive(Debug, clap::Parser)]
#[command(name = "evenkeel-coordinator", version)]
pub struct Args {
    /// The run's configuration, a TOML file.
    #[arg(long, value_name = "RUN.TOML")]
    pub config: Option<PathBuf>,

    /// A setting over the file's, such as cluster.workers=4; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Address to listen on, over cluster.listen; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,

    /// A further file to write the bound address to; removed at the end.
    #[arg(long, value_name = "PATH")]
    pub address_file: Option<PathBuf>,

    /// Allow an address that other hosts reach, although nothing is encrypted and nobody is asked for a password.
    #[arg(long)]
    pub insecure: bool,

    /// End at once when stdin is closed: the program that started this one is gone.
    #[arg(long)]
    pub exit_with_stdin: bool,
}

impl Args {
    /// Where the configuration comes from.
    #[must_use]
    pub fn layers(&self) -> Layers {
        Layers { file: self.config.clone(), set: self.set.clone() }
    }
}
