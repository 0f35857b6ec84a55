//! `evenkeel stop` and `evenkeel save`: orders to a running coordinator.

use crate::client::{self, Address};
use crate::runtime::block_on;
use anyhow::Result;
use evenkeel_proto::v1::admin_client::AdminClient;
use evenkeel_proto::v1::{SaveCheckpointRequest, StopRequest};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  evenkeel stop runs/chitchat\n\n\
    Training again with `train.resume = \"auto\"` goes on from the checkpoint.")]
pub struct StopArgs {
    /// The run's folder (`run.dir` of its configuration).
    run_dir: PathBuf,
    /// Write no checkpoint: what was trained since the last one is lost.
    #[arg(long)]
    no_save: bool,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  evenkeel save runs/chitchat")]
pub struct SaveArgs {
    /// The run's folder (`run.dir` of its configuration).
    run_dir: PathBuf,
}

pub fn stop(args: StopArgs) -> Result<()> {
    let address = client::address_of_run(&args.run_dir)?;
    let request = StopRequest { save_checkpoint: !args.no_save, reason: "asked by `evenkeel stop`".into() };
    block_on(order_stop(&address, request))?;
    println!("{}: stops at the next step boundary", args.run_dir.display());
    Ok(())
}

pub fn save(args: SaveArgs) -> Result<()> {
    let address = client::address_of_run(&args.run_dir)?;
    block_on(async {
        let mut admin = AdminClient::new(client::connect(&address).await?);
        let order = client::with_deadline(SaveCheckpointRequest {});
        admin.save_checkpoint(order).await.map_err(|status| client::refusal(&status))?;
        Ok(())
    })?;
    println!("{}: writes a checkpoint at the next step boundary", args.run_dir.display());
    Ok(())
}

/// Asks the coordinator to end the run.
///
/// # Errors
/// When it cannot be reached or refuses.
pub async fn order_stop(address: &Address, request: StopRequest) -> Result<()> {
    let mut admin = AdminClient::new(client::connect(address).await?);
    admin.stop(client::with_deadline(request)).await.map_err(|status| client::refusal(&status))?;
    Ok(())
}
