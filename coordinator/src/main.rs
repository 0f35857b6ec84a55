//! `evenkeel-coordinator`: see `--help`.

use clap::Parser;
use evenkeel_coordinator::args::Args;
use evenkeel_coordinator::daemon::{self, DaemonError, End};
use evenkeel_coordinator::state::Outcome;
use evenkeel_shared::telemetry;
use std::process::ExitCode;

/// Wrong usage or configuration, as clap's own errors.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    telemetry::init("info");
    match daemon::run(&args).await {
        Ok(End::Run(ended)) if ended.outcome == Outcome::Failed => {
            eprintln!("error: {}", ended.status.failure_report);
            ExitCode::FAILURE
        }
        Ok(End::Run(_)) => ExitCode::SUCCESS,
        Ok(End::Cut(why)) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if matches!(error, DaemonError::Config(_)) { USAGE } else { 1 })
        }
    }
}
