//! A status as JSON. The names are a promise: scripts read them.

use crate::view::name_of;
use anyhow::Result;
use evenkeel_proto::v1::{RunStatus, WorkerStatus};
use serde::Serialize;

#[derive(Serialize)]
struct Run<'a> {
    run: &'a str,
    state: &'static str,
    reason: &'a str,
    run_dir: &'a str,
    generation: u64,
    step: u64,
    total_steps: u64,
    epoch: u32,
    epochs: u32,
    /// `null` before the first step.
    loss: Option<f64>,
    learning_rate: Option<f64>,
    grad_norm: Option<f64>,
    loss_scale: Option<f64>,
    tokens_per_second: f64,
    tokens: u64,
    target_tokens: u64,
    /// `null` while unknown.
    eta_seconds: Option<f64>,
    world_size: u32,
    workers_expected: u32,
    /// `null` before the first one.
    checkpoint: Option<&'a str>,
    checkpoint_step: Option<u64>,
    /// `null` unless the run failed.
    failure_report: Option<&'a str>,
    workers: Vec<Worker<'a>>,
}

#[derive(Serialize)]
struct Worker<'a> {
    worker_id: &'a str,
    host: &'a str,
    local_rank: u32,
    /// `null` without one.
    rank: Option<u32>,
    device: &'a str,
    pid: u32,
    phase: &'a str,
    step: u64,
    last_heartbeat_seconds: f64,
    open_segments: &'a [u32],
    connected: bool,
}

/// For reading by a person too.
pub fn pretty(status: &RunStatus) -> Result<String> {
    Ok(serde_json::to_string_pretty(&run(status))?)
}

/// One line.
pub fn line(status: &RunStatus) -> Result<String> {
    Ok(serde_json::to_string(&run(status))?)
}

fn run(status: &RunStatus) -> Run<'_> {
    let trained = |value| Some(value).filter(|_| status.step > 0);
    let has_checkpoint = !status.checkpoint.is_empty();
    Run {
        run: &status.run,
        state: name_of(status.state()),
        reason: &status.reason,
        run_dir: &status.run_dir,
        generation: status.generation,
        step: status.step,
        total_steps: status.total_steps,
        epoch: status.epoch,
        epochs: status.epochs,
        loss: trained(status.loss),
        learning_rate: trained(status.learning_rate),
        grad_norm: trained(status.grad_norm),
        loss_scale: trained(status.loss_scale),
        tokens_per_second: status.tokens_per_second,
        tokens: status.tokens,
        target_tokens: status.target_tokens,
        eta_seconds: Some(status.eta_seconds).filter(|&seconds| seconds >= 0.0),
        world_size: status.world_size,
        workers_expected: status.workers_expected,
        checkpoint: has_checkpoint.then_some(&status.checkpoint),
        checkpoint_step: has_checkpoint.then_some(status.checkpoint_step),
        failure_report: Some(status.failure_report.as_str()).filter(|report| !report.is_empty()),
        workers: status.workers.iter().map(worker).collect(),
    }
}

fn worker(status: &WorkerStatus) -> Worker<'_> {
    Worker {
        worker_id: &status.worker_id,
        host: &status.host,
        local_rank: status.local_rank,
        rank: u32::try_from(status.rank).ok(),
        device: &status.device,
        pid: status.pid,
        phase: &status.phase,
        step: status.step,
        last_heartbeat_seconds: status.last_heartbeat_seconds,
        open_segments: &status.open_segments,
        connected: status.connected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_proto::v1::RunState;

    #[test]
    fn what_is_unknown_is_null() {
        let workers = vec![WorkerStatus { rank: -1, ..WorkerStatus::default() }];
        let status =
            RunStatus { state: RunState::Waiting.into(), eta_seconds: -1.0, workers, ..RunStatus::default() };
        let value: serde_json::Value = serde_json::from_str(&line(&status).unwrap()).unwrap();
        assert_eq!(value["state"], "waiting");
        for name in ["loss", "grad_norm", "eta_seconds", "checkpoint", "failure_report"] {
            assert!(value[name].is_null(), "{name}");
        }
        assert!(value["workers"][0]["rank"].is_null());
    }

    #[test]
    fn what_is_known_has_its_value() {
        let workers =
            vec![WorkerStatus { rank: 1, pid: 7, open_segments: vec![3], ..WorkerStatus::default() }];
        let state = RunState::Training.into();
        let status =
            RunStatus { state, step: 3, loss: 2.5, eta_seconds: 0.0, workers, ..RunStatus::default() };
        let value: serde_json::Value = serde_json::from_str(&pretty(&status).unwrap()).unwrap();
        assert_eq!((&value["loss"], &value["eta_seconds"]), (&2.5.into(), &0.0.into()));
        assert_eq!(value["workers"][0]["rank"], 1);
        assert_eq!(value["workers"][0]["open_segments"], serde_json::json!([3]));
    }
}
