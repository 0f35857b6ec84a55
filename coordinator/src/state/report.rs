//! Reports in words. The first line says what happened; it is also the status's reason.

use super::loss::Cause;
use super::{Interrupted, Phase, ProcessExit, Sign, State, Worker};
use evenkeel_shared::ids::Step;
use std::fmt::Write as _;

impl State {
    pub(super) fn report_missing(&self) -> String {
        let seconds = self.facts.join_timeout_ms as f64 / 1000.0;
        let (joined, expected) = (self.members.workers.len(), self.facts.workers);
        let mut report = format!(
            "only {joined} of {expected} workers joined within {seconds} s (cluster.join_timeout_seconds)."
        );
        if joined > 0 {
            let names: Vec<_> = self.members.workers.iter().map(Worker::title).collect();
            let _ = write!(report, "\nJoined: {}.", names.join(", "));
        }
        for agent in self.members.agents.iter().filter(|agent| agent.connected) {
            let here = |worker: &&Worker| worker.hello.host == agent.hello.host;
            let joined_here = self.members.workers.iter().filter(here).count();
            let (host, started) = (&agent.hello.host, agent.hello.workers);
            let _ =
                write!(report, "\nThe node agent of {host} started {started} workers, {joined_here} joined.");
        }
        report.push_str(
            "\nStart `evenkeel launch` on every host with the coordinator's address; worker logs are in the logs \
             folder of the run.",
        );
        report
    }

    pub(super) fn report_not_ready(&self) -> String {
        let seconds = self.facts.join_timeout_ms as f64 / 1000.0;
        let late: Vec<_> = self.members.workers.iter().filter(|worker| !worker.ready).collect();
        let names: Vec<_> =
            late.iter().map(|worker| format!("{} ({})", worker.title(), worker.phase)).collect();
        format!(
            "generation {} did not form within {seconds} s (cluster.join_timeout_seconds): {} of {} workers did not get \
             ready.\nNot ready, with what they were doing: {}.\nWorkers must reach the host of rank 0 on any port; its \
             address is the worker's --data-address.",
            self.generation,
            late.len(),
            self.facts.workers,
            names.join(", ")
        )
    }

    pub(super) fn report_short_run(&self, done: Step) -> String {
        format!(
            "all workers say that they are finished after step {done}, but the plan has {} steps.\nNobody asked them to \
             stop, so coordinator and workers read different data or settings: check that every host sees the same \
             data set and run folder.{}",
            self.facts.total_steps,
            self.how_to_go_on()
        )
    }

    pub(super) fn report_loss(&self) -> String {
        let mut report = match self.first_cause() {
            Some(Cause::NeverJoined(exit)) => report_never_joined(exit),
            Some(Cause::Worker(worker)) => self.report_worker(worker),
            None => self.reason.clone(),
        };
        report.push_str(&self.how_to_go_on());
        report
    }

    fn report_worker(&self, worker: &Worker) -> String {
        let hello = &worker.hello;
        let mut report = format!("worker {} was lost {}: {}.", worker.title(), self.when(), how(worker));
        let (host, pid, device) = (&hello.host, hello.pid, &hello.device);
        let _ = write!(
            report,
            "\nIt ran on host {host} as process {pid} on {device}. Steps done: {}; last phase: {}.",
            worker.step, worker.phase
        );
        if let Some(first) = worker.evidence.first() {
            let seconds = first.heartbeat_age_ms as f64 / 1000.0;
            let _ = write!(report, "\nIts last heartbeat was {seconds:.1} s old when the loss was noticed.");
        }
        if let Some(exit) = worker.exit() {
            report.push_str(&stderr_lines(exit));
        }
        let others = self.members.workers.iter().filter(|other| other.hello.worker_id != hello.worker_id);
        let victims: Vec<_> = others.filter(|other| !other.evidence.is_empty()).map(Worker::title).collect();
        if !victims.is_empty() {
            let _ = write!(report, "\nGone as a consequence: {}.", victims.join(", "));
        }
        report
    }

    fn when(&self) -> String {
        let interrupted = match self.phase {
            Phase::Aborting { interrupted, .. } => interrupted,
            _ => Interrupted::Training,
        };
        let (generation, step) = (self.generation, self.progress.step);
        match interrupted {
            Interrupted::Waiting => "before all workers had joined".into(),
            Interrupted::Forming => format!("while generation {generation} was being formed"),
            Interrupted::Training => format!("in generation {generation} after step {step} of the run"),
            Interrupted::Stopping => format!("while the run was being stopped after step {step}"),
        }
    }

    fn how_to_go_on(&self) -> String {
        match &self.progress.checkpoint {
            Some((step, path)) => {
                format!(
                    "\nThe newest checkpoint is of step {step}, {path}; the same command goes on from it."
                )
            }
            None => "\nNo checkpoint was written yet: the same command begins anew.".into(),
        }
    }
}

/// How a worker was lost: the most telling of its signs.
fn how(worker: &Worker) -> String {
    let mut failed = None;
    let mut exited = None;
    let mut other = None;
    for evidence in &worker.evidence {
        match &evidence.sign {
            Sign::Failed(failure) => failed = Some(format!("it reported \"{}\"", failure.reason.trim_end())),
            Sign::Exited(exit) => exited = Some(how_it_ended(exit)),
            Sign::Silent { milliseconds } => {
                let seconds = *milliseconds as f64 / 1000.0;
                other = Some(format!(
                    "nothing was heard of it for {seconds:.1} s; its process or its host hangs, or the network is cut"
                ));
            }
            Sign::StreamClosed { why } => {
                other = other.or(Some(format!("its connection to the coordinator ended ({why})")));
            }
        }
    }
    match (failed, exited, other) {
        (Some(failed), Some(exited), _) => format!("{failed}, and {exited}"),
        (Some(words), None, _) | (None, Some(words), _) | (None, None, Some(words)) => words,
        (None, None, None) => "no sign of it was kept".into(),
    }
}

fn how_it_ended(exit: &ProcessExit) -> String {
    match (exit.signal, exit.exit_code) {
        (Some(9), _) => {
            "its process was killed by signal 9 (SIGKILL; the system does this when memory runs out)".into()
        }
        (Some(signal), _) => format!("its process was killed by signal {signal}{}", signal_name(signal)),
        (None, Some(code)) => format!("its process ended with exit code {code}"),
        (None, None) => "its process ended, and its exit code is not known".into(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        2 => " (SIGINT)",
        4 => " (SIGILL: an instruction that this processor does not have)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

fn report_never_joined(exit: &ProcessExit) -> String {
    format!(
        "worker {} ended before it joined the run: {}.\nIt was process {}.{}",
        exit.worker_id,
        how_it_ended(exit),
        exit.pid,
        stderr_lines(exit)
    )
}

fn stderr_lines(exit: &ProcessExit) -> String {
    if exit.stderr_tail.is_empty() {
        return "\nIt wrote nothing to stderr.".into();
    }
    let mut lines = String::from("\nIts last lines on stderr:");
    for line in &exit.stderr_tail {
        lines.push_str("\n    ");
        lines.push_str(line);
    }
    lines
}
