//! One run on this machine, from the first process to the last.

use super::coordinator::Coordinator;
use super::progress::Progress;
use super::summary;
use crate::agent::{self, Outcome, Settings};
use crate::client;
use crate::commands::ConfigFile;
use crate::commands::admin::order_stop;
use crate::exit::Exit;
use crate::process::{Interrupt, Interrupts};
use anyhow::{Context, Result, bail};
use evenkeel_proto::v1::status_client::StatusClient;
use evenkeel_proto::v1::{RunState, RunStatus, StopRequest, WatchStatusRequest, WatchStatusResponse};
use evenkeel_shared::config::Config;
use evenkeel_shared::preflight::RunPlan;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

/// The coordinator is this process's child and has said that it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// The programs that a run consists of.
pub struct Programs {
    pub coordinator: PathBuf,
    pub worker: PathBuf,
}

/// A run whose coordinator is up.
pub struct Session {
    launched: Instant,
    config_file: PathBuf,
    interrupts: Interrupts,
    coordinator: Coordinator,
    updates: Streaming<WatchStatusResponse>,
    agent: JoinHandle<Result<Outcome>>,
    kill_workers: CancellationToken,
    progress: Progress,
    /// The first signal that asked for the end.
    asked: Option<Interrupt>,
}

impl Session {
    /// Starts the coordinator, then the agent with its workers.
    ///
    /// # Errors
    /// When the coordinator does not come up, with its own words.
    pub async fn start(
        programs: Programs,
        file: &ConfigFile,
        config: &Config,
        launched: Instant,
    ) -> Result<Self> {
        let mut interrupts = Interrupts::listen()?;
        let mut coordinator = tokio::select! {
            started = Coordinator::start(&programs.coordinator, file, &config.run.dir) => started?,
            signal = interrupts.next() => return Err(Exit(signal.exit_code()).into()),
        };
        let updates = match watch(&coordinator).await {
            Ok(updates) => updates,
            Err(error) => {
                coordinator.kill().await?;
                return Err(error);
            }
        };
        let progress = Progress::new(launched);
        let settings = Settings {
            coordinator: coordinator.address.clone(),
            workers: config.cluster.workers,
            device: None,
            threads: None,
            data_address: None,
            worker_binary: programs.worker,
            patience: PATIENCE,
        };
        let kill_workers = CancellationToken::new();
        let agent = tokio::spawn(agent::serve(settings, kill_workers.clone()));
        let config_file = file.file.clone();
        Ok(Self {
            launched,
            config_file,
            interrupts,
            coordinator,
            updates,
            agent,
            kill_workers,
            progress,
            asked: None,
        })
    }

    /// Says what is about to happen.
    pub fn announce(&self, config: &Config, plan: &RunPlan) {
        let (name, workers) = (&config.run.name, config.cluster.workers);
        let begin = match &plan.resume_from {
            Some(from) => format!("goes on from step {} of {}", plan.steps_done(), from.dir.display()),
            None => format!("begins with {}", config.model.path.display()),
        };
        self.progress.note(&format!(
            "run {name}: {} steps, {workers} workers, {begin}\n  look at it from elsewhere: evenkeel status {}",
            plan.total_steps,
            config.run.dir.display()
        ));
    }

    /// Follows the run until it is over and no process is left.
    ///
    /// # Errors
    /// When the run failed, or was ended by a signal.
    pub async fn run_to_its_end(mut self) -> Result<()> {
        let followed = self.follow().await;
        let ended = match followed {
            Ok(last) => self.wind_down().await.map(|lost| (last, lost)),
            Err(error) => Err(error),
        };
        self.progress.close();
        match ended {
            Ok((last, lost)) => self.verdict(last, lost),
            Err(error) => {
                self.kill_everything().await;
                Err(error)
            }
        }
    }

    /// Shows every status; gives the last one when the coordinator has no more.
    async fn follow(&mut self) -> Result<Option<RunStatus>> {
        let mut last = None;
        let mut agent_serves = true;
        loop {
            tokio::select! {
                biased;
                update = self.updates.message() => match update {
                    Ok(Some(response)) => {
                        last = response.status.or(last);
                        if let Some(status) = &last {
                            self.progress.show(status);
                        }
                    }
                    // Over, or the coordinator is gone: the last status tells which.
                    Ok(None) | Err(_) => return Ok(last),
                },
                served = &mut self.agent, if agent_serves => {
                    served.context("the node agent broke down")??;
                    agent_serves = false;
                }
                signal = self.interrupts.next() => self.ask_to_stop(signal).await?,
            }
        }
    }

    async fn ask_to_stop(&mut self, signal: Interrupt) -> Result<()> {
        let at_once = Exit(signal.exit_code());
        if self.asked.replace(signal).is_some() {
            self.progress.note(&format!("{signal} again: ending all processes now"));
            return Err(at_once.into());
        }
        self.progress.note(&format!(
            "{signal}: saving a checkpoint and stopping at the next step boundary; once more ends everything at once"
        ));
        let order = StopRequest { save_checkpoint: true, reason: signal.to_string() };
        tokio::select! {
            ordered = order_stop(&self.coordinator.address, order) => {
                // A run that is ending anyway turns the order down, and its report must still be read.
                if let Err(error) = ordered {
                    self.progress.note(&format!("the order to stop was not taken: {error:#}"));
                }
                Ok(())
            }
            _ = self.interrupts.next() => Err(at_once.into()),
        }
    }

    /// Waits for workers and coordinator to end. Says how the coordinator ended.
    async fn wind_down(&mut self) -> Result<String> {
        let end = async {
            let ending = self.coordinator.end().await?;
            // A spent handle must not be polled again; the agent may have ended before.
            if !self.agent.is_finished() {
                let _ = (&mut self.agent).await;
            }
            anyhow::Ok(ending)
        };
        let ending = tokio::select! {
            ending = end => ending?,
            signal = self.interrupts.next() => return Err(Exit(signal.exit_code()).into()),
        };
        Ok(self.coordinator.obituary(ending))
    }

    async fn kill_everything(&mut self) {
        self.kill_workers.cancel();
        if let Err(error) = self.coordinator.kill().await {
            tracing::warn!("cannot end the coordinator: {error:#}");
        }
        if !self.agent.is_finished() {
            let _ = (&mut self.agent).await;
        }
    }

    fn verdict(&self, last: Option<RunStatus>, lost: String) -> Result<()> {
        let Some(status) = last else { bail!(lost) };
        match status.state() {
            RunState::Finished | RunState::Stopped => {
                let text = summary::render(&status, self.launched.elapsed(), &self.config_file);
                let _ = writeln!(std::io::stdout(), "{text}");
            }
            RunState::Failed => {
                let report =
                    if status.failure_report.is_empty() { &status.reason } else { &status.failure_report };
                bail!("the run failed: {}", report.trim_end());
            }
            _ => bail!(lost),
        }
        match (status.state(), self.asked) {
            (RunState::Stopped, Some(signal)) => Err(Exit(signal.exit_code()).into()),
            _ => Ok(()),
        }
    }
}

async fn watch(coordinator: &Coordinator) -> Result<Streaming<WatchStatusResponse>> {
    let mut client = StatusClient::new(client::connect(&coordinator.address).await?);
    let response =
        client.watch_status(WatchStatusRequest {}).await.map_err(|status| client::refusal(&status))?;
    Ok(response.into_inner())
}
