//! `evenkeel train`: a coordinator, a node agent and their workers on this machine, for one run.
//!
//! It is what a cluster does with `evenkeel coordinator` and `evenkeel launch`, on loopback: no other code path.

mod coordinator;
mod progress;
mod session;
mod summary;

use super::ConfigFile;
use crate::agent::check_devices;
use crate::process::{Program, find};
use crate::runtime::block_on;
use anyhow::Result;
use evenkeel_shared::preflight;
use session::{Programs, Session};
use std::time::Instant;

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  evenkeel train run.toml\n  evenkeel train run.toml --set train.epochs=3 --set cluster.workers=2\n\n\
    Ctrl-C (or SIGTERM) saves a checkpoint, stops at the next step boundary and ends all processes; a second one ends them \
    at once. The same command goes on from the newest checkpoint (`train.resume = \"auto\"`).\n\n\
    The run's folder (`run.dir`) gets checkpoints/, metrics.jsonl with one line a step, and logs/. \
    Elsewhere, `evenkeel status`, `evenkeel save` and `evenkeel stop` take that folder.\n\n\
    Exit codes: 0 all steps are done, or `evenkeel stop` ended it; 1 the run failed; 2 wrong usage or configuration; \
    130 Ctrl-C and 143 SIGTERM, also when the checkpoint was saved."
)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
}

pub fn run(args: Args) -> Result<()> {
    let launched = Instant::now();
    let config = args.config.load()?;
    let programs = Programs { coordinator: find(Program::Coordinator)?, worker: find(Program::Worker)? };
    let plan = preflight::check(&config)?;
    check_devices(&config)?;
    block_on(async {
        let session = Session::start(programs, &args.config, &config, launched).await?;
        session.announce(&config, &plan);
        session.run_to_its_end().await
    })
}
