//! `evenkeel launch`: the node agent of one host.

use super::admin::order_stop;
use crate::agent::{self, DeviceChoice, Outcome, Settings, cuda_devices};
use crate::client::Address;
use crate::exit::Exit;
use crate::process::{Interrupt, Interrupts, Program, find};
use crate::runtime::block_on;
use anyhow::{Result, bail};
use evenkeel_proto::v1::StopRequest;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Run it on every node of a cluster, at the same time as `evenkeel coordinator` on one of them:\n\n  \
    evenkeel coordinator --config run.toml --listen 10.0.0.1:29400     # first node\n  \
    evenkeel launch --coordinator 10.0.0.1:29400 --workers 8           # every node\n\n\
    The sum of --workers over all nodes is `cluster.workers`. SIGINT and SIGTERM ask the coordinator to save a checkpoint \
    and to stop the run on all nodes; a second one ends this node's workers at once.\n\n\
    Exit codes: 0 the run is over and every worker here ended well, 1 otherwise, 130 or 143 ended by that signal."
)]
pub struct Args {
    /// Where the coordinator listens. It need not be up yet.
    #[arg(long, value_name = "HOST:PORT")]
    coordinator: Address,
    /// Worker processes on this host [default: one per CUDA device, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    workers: Option<u32>,
    /// Where the workers compute [default: what `cluster.device` says]
    #[arg(long, value_enum)]
    device: Option<DeviceChoice>,
    /// CPU threads of each worker [default: this host's cores divided by its workers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    threads_per_worker: Option<u32>,
    /// Address at which the other hosts reach this one [default: the one on the way to the coordinator]
    #[arg(long, value_name = "ADDRESS")]
    data_address: Option<String>,
    /// The worker program [default: evenkeel-worker beside this program, or on PATH]
    #[arg(long, value_name = "PATH")]
    worker_binary: Option<PathBuf>,
    /// Seconds to try to reach the coordinator.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    patience: u64,
}

pub fn run(args: Args) -> Result<()> {
    let worker_binary = match args.worker_binary {
        Some(path) => path,
        None => find(Program::Worker)?,
    };
    let devices = match args.device {
        Some(DeviceChoice::Cpu) => 0,
        _ => cuda_devices(),
    };
    let settings = Settings {
        coordinator: args.coordinator,
        workers: args.workers.unwrap_or_else(|| devices.max(1)),
        device: args.device,
        threads: args.threads_per_worker,
        data_address: args.data_address,
        worker_binary,
        patience: Duration::from_secs(args.patience),
    };
    block_on(serve_until_asked(settings))
}

async fn serve_until_asked(settings: Settings) -> Result<()> {
    let mut interrupts = Interrupts::listen()?;
    let address = settings.coordinator.clone();
    let at_once = CancellationToken::new();
    let serving = agent::serve(settings, at_once.clone());
    tokio::pin!(serving);
    let mut asked: Option<Interrupt> = None;
    let outcome = loop {
        tokio::select! {
            outcome = &mut serving => break outcome?,
            signal = interrupts.next() => {
                if asked.replace(signal).is_some() || !stop_everywhere(&address, signal).await {
                    at_once.cancel();
                }
            }
        }
    };
    match asked {
        Some(signal) => Err(Exit(signal.exit_code()).into()),
        None => verdict(&outcome),
    }
}

/// Whether the coordinator has taken the order.
async fn stop_everywhere(address: &Address, signal: Interrupt) -> bool {
    let reason = format!("{signal} to a node agent");
    match order_stop(address, StopRequest { save_checkpoint: true, reason }).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!("cannot ask for a checkpoint, ending the workers: {error:#}");
            false
        }
    }
}

fn verdict(outcome: &Outcome) -> Result<()> {
    if let Some(reason) = &outcome.aborted {
        bail!("the coordinator gave the run up: {reason}");
    }
    if let Some(exit) = outcome.exits.iter().find(|exit| !exit.is_fine()) {
        bail!("{}", exit.describe());
    }
    if let Some(lost) = &outcome.lost {
        bail!("the coordinator was lost, and with it the run: {lost}");
    }
    Ok(())
}
