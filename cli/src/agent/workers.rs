//! The worker processes of this host.

use super::node::DeviceKind;
use crate::client::Address;
use crate::process::{Child, Ending};
use anyhow::Result;
use evenkeel_proto::v1::ProcessExited;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a worker gets to end by itself once the run is over.
const GRACE: Duration = Duration::from_secs(5);
/// What a shell reports for a program that it cannot start.
const CANNOT_START: i32 = 127;

/// All that the processes of one host have in common.
pub struct Spec {
    pub binary: PathBuf,
    pub coordinator: Address,
    pub host: String,
    pub workers: u32,
    pub device: DeviceKind,
    pub threads: u32,
    pub data_address: String,
    pub logs: PathBuf,
}

impl Spec {
    fn worker_id(&self, local_rank: u32) -> String {
        format!("{}/{local_rank}", self.host)
    }

    fn command(&self, local_rank: u32) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(["train", "--coordinator", &self.coordinator.to_string()])
            .args(["--local-rank", &local_rank.to_string()])
            .args(["--device", &self.device.name(local_rank)])
            .args(["--threads", &self.threads.to_string()])
            .args(["--worker-id", &self.worker_id(local_rank)])
            .args(["--data-address", &self.data_address])
            .arg("--exit-with-stdin")
            .env("OMP_NUM_THREADS", self.threads.to_string());
        command
    }

    fn start(&self, local_rank: u32) -> Result<Child> {
        let log = self.logs.join(format!("worker-{}-{local_rank}.log", self.host));
        Child::spawn(self.command(local_rank), &log)
    }
}

/// The two ways to end the workers.
#[derive(Clone, Default)]
pub struct Stop {
    /// The run is over: they get a grace to end by themselves, then signals.
    pub wind_down: CancellationToken,
    /// Kill them now.
    pub at_once: CancellationToken,
}

/// How a worker process ended.
pub struct Exit {
    pub worker_id: String,
    pub pid: u32,
    /// What the operating system says; none for a process that could not be started.
    pub ending: Option<Ending>,
    pub last_words: Vec<String>,
    /// Whether it ended before this agent asked it to.
    pub unasked: bool,
}

impl Exit {
    /// Whether all went as it should: exit code 0, or ended because the run was over.
    pub fn is_fine(&self) -> bool {
        !self.unasked || self.ending.is_some_and(Ending::is_success)
    }

    /// One paragraph: who, how, and the last line that it wrote.
    pub fn describe(&self) -> String {
        let how = match self.ending {
            Some(ending) => format!("worker {} (pid {}) ended: {ending}", self.worker_id, self.pid),
            None => format!("worker {} did not start", self.worker_id),
        };
        match self.last_words.last() {
            Some(words) => format!("{how}; its last words: {words}"),
            None => how,
        }
    }

    /// The notice for the coordinator.
    pub fn notice(&self) -> ProcessExited {
        ProcessExited {
            worker_id: self.worker_id.clone(),
            pid: self.pid,
            exit_code: self.ending.map_or(Some(CANNOT_START), Ending::exit_code),
            signal: self.ending.and_then(Ending::signal),
            stderr_tail: self.last_words.clone(),
        }
    }
}

/// Starts all workers; each task gives its worker's end. Dropping the set kills the processes.
pub fn start_all(spec: &Spec, stop: &Stop) -> JoinSet<Exit> {
    let mut running = JoinSet::new();
    for local_rank in 0..spec.workers {
        let worker_id = spec.worker_id(local_rank);
        match spec.start(local_rank) {
            Ok(child) => {
                tracing::info!(worker_id, pid = child.pid(), "worker started");
                running.spawn(watch(child, worker_id, stop.clone()));
            }
            // Told like any other end, so that the whole run ends with this reason.
            Err(error) => {
                let last_words = vec![format!("{error:#}")];
                running.spawn(
                    async move { Exit { worker_id, pid: 0, ending: None, last_words, unasked: true } },
                );
            }
        }
    }
    running
}

async fn watch(mut child: Child, worker_id: String, stop: Stop) -> Exit {
    let by_itself = tokio::select! {
        biased;
        ending = child.wait() => Some(ending),
        () = stop.wind_down.cancelled() => None,
        () = stop.at_once.cancelled() => None,
    };
    let unasked = by_itself.is_some();
    let ending = match by_itself {
        Some(ending) => ending,
        None => wind_down(&mut child, &stop.at_once).await,
    };
    let mut last_words = child.last_words();
    let ending = ending.map_err(|error| last_words.push(format!("{error:#}"))).ok();
    Exit { worker_id, pid: child.pid(), ending, last_words, unasked }
}

async fn wind_down(child: &mut Child, at_once: &CancellationToken) -> Result<Ending> {
    tokio::select! {
        ending = child.end(GRACE) => return ending,
        () = at_once.cancelled() => {}
    }
    child.kill().await
}
