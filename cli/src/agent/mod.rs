//! The node agent: starts, watches and ends the worker processes of one host.
//!
//! It belongs to one run of one coordinator. It attaches, learns the configuration, starts its workers and tells at once
//! when one of them ends. When the coordinator closes the stream, or is lost, the workers get a short grace to end by
//! themselves; what is left is killed.

mod attach;
mod node;
mod workers;

pub use node::{DeviceChoice, cuda_devices};
pub use workers::Exit;

use crate::client::{self, Address};
use anyhow::Result;
use attach::{Session, attach, request};
use evenkeel_proto::v1::{attach_request, attach_response};
use evenkeel_shared::config::Config;
use node::DeviceKind;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use workers::{Spec, Stop, start_all};

/// What an agent is told when it is started; the rest comes from the coordinator.
pub struct Settings {
    pub coordinator: Address,
    /// Worker processes to start, at least 1.
    pub workers: u32,
    /// Over the configuration's `cluster.device`.
    pub device: Option<DeviceChoice>,
    /// Over the configuration's `cluster.threads_per_worker`.
    pub threads: Option<u32>,
    /// Address at which other hosts reach this one; the way to the coordinator tells it otherwise.
    pub data_address: Option<String>,
    pub worker_binary: PathBuf,
    /// How long to try to reach a coordinator that is not up yet.
    pub patience: Duration,
}

/// How the run ended for this host.
#[derive(Default)]
pub struct Outcome {
    /// Every worker's end.
    pub exits: Vec<Exit>,
    /// The coordinator's reason, when it gave the run up.
    pub aborted: Option<String>,
    /// What happened to the connection, when it was lost rather than closed.
    pub lost: Option<String>,
}

/// Serves a run until it is over. Cancelling `at_once` kills the workers.
///
/// # Errors
/// When the run cannot be joined; workers that fail are part of the outcome.
pub async fn serve(settings: Settings, at_once: CancellationToken) -> Result<Outcome> {
    let host = node::host_name();
    let joined = tokio::select! {
        joined = attach(&settings, &host) => joined?,
        () = at_once.cancelled() => return Ok(Outcome::default()),
    };
    let spec = plan_workers(settings, host, &joined)?;
    let Session { outbox, mut inbox, .. } = joined;

    let stop = Stop { wind_down: CancellationToken::new(), at_once };
    let mut running = start_all(&spec, &stop);
    let mut outcome = Outcome::default();
    loop {
        tokio::select! {
            Some(Ok(exit)) = running.join_next() => {
                tracing::info!(worker_id = exit.worker_id, pid = exit.pid, "worker ended");
                // The stream may be closing at this moment: then nobody needs the notice any more.
                let _ = outbox.send(request(attach_request::Message::ProcessExited(exit.notice()))).await;
                outcome.exits.push(exit);
            }
            order = inbox.message() => match order {
                Ok(Some(order)) => if let Some(attach_response::Message::Abort(abort)) = order.message {
                    outcome.aborted = Some(abort.reason);
                },
                Ok(None) => break,
                Err(status) => {
                    outcome.lost = Some(format!("{:#}", client::refusal(&status)));
                    break;
                }
            },
            () = stop.at_once.cancelled() => break,
        }
    }
    stop.wind_down.cancel();
    while let Some(ended) = running.join_next().await {
        outcome.exits.extend(ended);
    }
    Ok(outcome)
}

/// Whether this host has the devices that `cluster` asks for, with all of the run's workers on it.
///
/// # Errors
/// When it has not, or `cluster.device` is not one of its words.
pub fn check_devices(config: &Config) -> Result<()> {
    let choice = DeviceChoice::from_config(&config.cluster.device)?;
    DeviceKind::decide(choice, config.cluster.workers, cuda_devices()).map(drop)
}

fn plan_workers(settings: Settings, host: String, session: &Session) -> Result<Spec> {
    let Config { cluster, .. } = &session.config;
    let choice = match settings.device {
        Some(choice) => choice,
        None => DeviceChoice::from_config(&cluster.device)?,
    };
    let threads = match (settings.threads, cluster.threads_per_worker) {
        (Some(threads), _) => threads,
        (None, 0) => node::threads_per_worker(settings.workers),
        (None, threads) => threads,
    };
    let data_address = match settings.data_address {
        Some(address) => address,
        None => node::address_towards(&settings.coordinator)?.to_string(),
    };
    Ok(Spec {
        device: DeviceKind::decide(choice, settings.workers, cuda_devices())?,
        binary: settings.worker_binary,
        coordinator: settings.coordinator,
        host,
        workers: settings.workers,
        threads,
        data_address,
        logs: session.run_dir.join("logs"),
    })
}
