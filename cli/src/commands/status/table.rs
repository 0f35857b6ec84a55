//! A status as two tables: the run, and its workers.

use crate::view::{age, count, duration, name_of};
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{ContentArrangement, Table};
use evenkeel_proto::v1::{RunStatus, WorkerStatus};

/// Both tables as text, without a line end.
pub fn render(status: &RunStatus) -> String {
    let mut parts = vec![run(status).to_string()];
    if !status.workers.is_empty() {
        parts.push(workers(&status.workers).to_string());
    }
    if !status.failure_report.is_empty() {
        parts.push(status.failure_report.clone());
    }
    parts.join("\n")
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

fn run(status: &RunStatus) -> Table {
    let mut table = table();
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    let state = name_of(status.state());
    let reason = Some(&status.reason).filter(|reason| !reason.is_empty());
    row("run", format!("{} ({})", status.run, status.run_dir));
    row("state", reason.map_or_else(|| state.to_owned(), |reason| format!("{state}: {reason}")));
    row(
        "generation",
        format!("{} with {} of {} workers", status.generation, status.world_size, status.workers_expected),
    );
    row("step", format!("{} of {}", status.step, status.total_steps));
    row("epoch", format!("{} of {}", status.epoch + 1, status.epochs));
    if status.step > 0 {
        row("loss", format!("{:.4}", status.loss));
        row("learning rate", format!("{:.3e}", status.learning_rate));
        row("gradient norm", format!("{:.3}", status.grad_norm));
        row("speed", format!("{} tokens/s", count(status.tokens_per_second)));
        row("trained", format!("{} tokens", count(status.tokens as f64)));
        row("eta", duration(status.eta_seconds));
    }
    if !status.checkpoint.is_empty() {
        row("checkpoint", status.checkpoint.clone());
    }
    table
}

fn workers(workers: &[WorkerStatus]) -> Table {
    let mut table = table();
    table.set_header(["rank", "host", "device", "pid", "phase", "step", "heartbeat", "open segment"]);
    for worker in workers {
        let rank = if worker.rank < 0 { "-".into() } else { worker.rank.to_string() };
        let segments: Vec<String> = worker.open_segments.iter().map(u32::to_string).collect();
        let heartbeat = match worker.connected {
            true => age(worker.last_heartbeat_seconds),
            false => "lost".into(),
        };
        table.add_row([
            rank,
            worker.host.clone(),
            worker.device.clone(),
            worker.pid.to_string(),
            worker.phase.clone(),
            worker.step.to_string(),
            heartbeat,
            if segments.is_empty() { "-".into() } else { segments.join(", ") },
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_proto::v1::RunState;

    #[test]
    fn shows_the_run_and_each_worker() {
        let worker = WorkerStatus {
            host: "node1".into(),
            rank: 1,
            device: "cpu".into(),
            pid: 4711,
            phase: "forward_backward".into(),
            step: 12,
            last_heartbeat_seconds: 0.42,
            open_segments: vec![3],
            connected: true,
            ..WorkerStatus::default()
        };
        let status = RunStatus {
            run: "chitchat".into(),
            run_dir: "/data/runs/chitchat".into(),
            state: RunState::Training.into(),
            generation: 1,
            step: 12,
            total_steps: 40,
            epochs: 2,
            loss: 2.3456,
            learning_rate: 4.9e-5,
            grad_norm: 1.23,
            tokens_per_second: 1234.0,
            tokens: 56_789,
            eta_seconds: 80.0,
            world_size: 2,
            workers_expected: 2,
            workers: vec![worker.clone(), WorkerStatus { rank: -1, connected: false, ..worker }],
            ..RunStatus::default()
        };
        insta::assert_snapshot!(render(&status));
    }
}
