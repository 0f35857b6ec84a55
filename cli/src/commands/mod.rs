//! One module a command, each with `Args` and `run`.

mod config_file;
mod handover;

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
    /// Runs the coordinator of a run in the foreground (on a cluster; `train` starts one by itself).
    Coordinator(handover::Args),
    /// Lets a model answer a prompt: evenkeel generate --model DIR --prompt TEXT
    Generate(handover::Args),
}

impl Command {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Coordinator(args) => handover::coordinator(args),
            Self::Generate(args) => handover::generate(args),
        }
    }
}
