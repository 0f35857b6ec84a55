//! One module a command, each with `Args` and `run`.

mod admin;
mod config;
mod config_file;
mod generate;
mod handover;
mod import;
mod inspect;
mod launch;
mod status;
mod train;
mod vectorize;

pub use config_file::ConfigFile;

use clap::{Parser, Subcommand};

/// Fine-tunes causal language models on dialogues, across processes and machines.
#[derive(Parser)]
#[command(
    name = "evenkeel",
    version,
    disable_help_subcommand = true,
    after_help = "The usual order: import a model, vectorize the dialogues, train, generate.\n\n  \
        evenkeel vectorize run.toml\n  evenkeel train run.toml\n\n\
        Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 128+N ended by signal N (130 is Ctrl-C)."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Turns dialogues into the data set that `train` reads.
    Vectorize(vectorize::Args),
    /// Shows samples of a data set as text, with what is trained on.
    Inspect(inspect::Args),
    /// Trains on this machine: starts coordinator and workers, shows progress, ends with a checkpoint.
    Train(train::Args),
    /// Makes a Hugging Face directory from a GGUF file, or checks one that exists.
    Import(import::Args),
    /// Shows every setting of a configuration file and where its value comes from.
    Config(config::Args),
    /// Shows what a run is doing.
    Status(status::Args),
    /// Asks a run to stop at the next step boundary.
    Stop(admin::StopArgs),
    /// Asks a run to write a checkpoint at the next step boundary and to go on.
    Save(admin::SaveArgs),
    /// Runs the workers of one node of a cluster.
    Launch(launch::Args),
    /// Runs the coordinator of a run in the foreground (on a cluster; `train` starts one by itself).
    Coordinator(handover::Args),
    /// Lets a model answer a prompt, or talks with you line by line.
    Generate(generate::Args),
}

impl Command {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Vectorize(args) => vectorize::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Train(args) => train::run(args),
            Self::Import(args) => import::run(args),
            Self::Config(args) => config::run(args),
            Self::Status(args) => status::run(args),
            Self::Stop(args) => admin::stop(args),
            Self::Save(args) => admin::save(args),
            Self::Launch(args) => launch::run(args),
            Self::Coordinator(args) => handover::coordinator(args),
            Self::Generate(args) => generate::run(args),
        }
    }
}
