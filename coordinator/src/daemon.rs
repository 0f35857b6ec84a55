//! The program: start-up in order, then one run.

use crate::address::{AddressFile, Exposure, ListenError, bind, reachable};
use crate::args::Args;
use crate::server::{self, Ended, ServeError};
use crate::setup::{RunFolder, SetupError, facts};
use crate::signals::{Signals, cut, stdin_closed};
use evenkeel_shared::config::{self, Config, ConfigError};
use evenkeel_shared::fsio::PathError;
use evenkeel_shared::preflight::{self, PreflightError, RunPlan};
use std::future::pending;
use std::io::{self, Write};
use tokio::sync::oneshot;

const PARENT_GONE: &str = "the program that started the coordinator is gone";

const ADDRESS_FILE: &str = "coordinator.address";

/// How the program ends.
#[derive(Debug)]
pub enum End {
    /// The run is over.
    Run(Ended),
    /// It was told to end before the run was over; the text says by what.
    Cut(String),
}

/// Why the program cannot do its work.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each wraps an error that speaks for itself")]
pub enum DaemonError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("the operating system does not let the coordinator start: {0}")]
    System(#[from] io::Error),
}

/// Carries out the command line: checks, binds, announces the address, coordinates one run.
///
/// # Errors
/// Anything that keeps the run from being coordinated. A run that failed is no error here: its status says so.
pub async fn run(args: &Args) -> Result<End, DaemonError> {
    let mut signals = Signals::listen()?;
    let mut life_line = if args.exit_with_stdin { Some(stdin_closed()?) } else { None };
    let config = config::load(&args.layers())?;
    // Hashing a large checkpoint takes minutes; signals and the life line must not wait for it.
    let plan = tokio::select! {
        plan = checked(&config) => plan?,
        name = signals.next() => return Ok(End::Cut(format!("{name} came before the run had begun"))),
        () = cut(&mut life_line) => return Ok(End::Cut(PARENT_GONE.into())),
    };

    let exposure = if args.insecure { Exposure::Insecure } else { Exposure::Loopback };
    let listener = bind(args.listen.as_deref().unwrap_or(&config.cluster.listen), exposure).await?;
    // Only now is anything written: whatever is refused above leaves no trace.
    let folder = RunFolder::take(&config.run.dir)?;
    let facts = facts(&config, &plan, &folder.path)?;
    let address = reachable(listener.local_addr()?);
    // Held until the end: dropping them removes the files.
    let _in_run = AddressFile::write(folder.path.join(ADDRESS_FILE), &address)?;
    let _asked_for = args.address_file.clone().map(|path| AddressFile::write(path, &address)).transpose()?;
    announce(&address)?;
    tracing::info!(%address, run = facts.run, steps = facts.total_steps.0, workers = facts.workers, "listening");

    let (first_signal, stop) = oneshot::channel::<String>();
    let stopped = async move {
        match stop.await {
            Ok(reason) => reason,
            Err(_) => pending().await,
        }
    };
    let second_signal = async {
        let name = signals.next().await;
        tracing::info!(signal = name, "saving a checkpoint and stopping; a second signal ends at once");
        let _ = first_signal.send(format!("the coordinator received {name}"));
        signals.next().await
    };
    tokio::select! {
        ended = server::run(listener, facts, stopped) => Ok(End::Run(ended?)),
        name = second_signal => Ok(End::Cut(format!("a second signal ({name}) came before the run had stopped"))),
        () = cut(&mut life_line) => Ok(End::Cut(PARENT_GONE.into())),
    }
}

/// The preflight on a thread of its own. Not tokio's: the runtime would wait for it before the program could end.
async fn checked(config: &Config) -> Result<RunPlan, DaemonError> {
    let (done, plan) = oneshot::channel();
    let config = config.clone();
    std::thread::Builder::new().name("preflight".into()).spawn(move || {
        let _ = done.send(preflight::check(&config));
    })?;
    let plan = plan.await.map_err(|_| io::Error::other("the preflight ended without an answer"))?;
    Ok(plan?)
}

/// One line for whoever started this program.
fn announce(address: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()
}
