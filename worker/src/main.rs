//! `evenkeel-worker`: started once per device by the node agent; a person rarely runs it.

use clap::{Parser, Subcommand};
use evenkeel_shared::telemetry;
use evenkeel_worker::{generate, session, train};
use std::process::ExitCode;

/// Also takes the place of malloc and free for libtorch (the crate's symbols have their names): activations come and go in
/// the same sizes every step, and glibc's allocator kept 200 MiB of holes between them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// evenkeel's training process, one per device. `evenkeel launch` and `evenkeel train` start it.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join a run and train one rank of it.
    Train(session::Identity),
    /// Continue token ids; requests come as JSON lines on standard input.
    Generate(generate::Args),
}

fn main() -> ExitCode {
    telemetry::init("info");
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Generate(args) => generate::run(&args),
        Command::Train(identity) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(session::run(identity, train::train)),
    }
}
