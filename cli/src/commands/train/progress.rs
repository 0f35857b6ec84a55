//! What a person sees while a run goes on: a bar on a terminal, lines anywhere else. All of it goes to stderr.

use crate::view::{count, duration};
use evenkeel_proto::v1::{RunState, RunStatus};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A line is printed at most this often; a step that takes longer gets its line.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

enum Output {
    Bar(ProgressBar),
    Lines { printed: Option<Instant> },
}

/// Shows a run's progress.
pub struct Progress {
    launched: Instant,
    is_ready: bool,
    step: u64,
    output: Output,
}

impl Progress {
    /// `launched` is when the command was given.
    pub fn new(launched: Instant) -> Self {
        let output = match std::io::stderr().is_terminal() {
            true => Output::Bar(bar()),
            false => Output::Lines { printed: None },
        };
        Self { launched, is_ready: false, step: 0, output }
    }

    /// Shows what has changed.
    pub fn show(&mut self, status: &RunStatus) {
        if !self.is_ready && (status.state() == RunState::Training || status.step > 0) {
            self.is_ready = true;
            // Steps of a resumed run that were done before have had their lines.
            self.step = if status.step == status.checkpoint_step { status.step } else { 0 };
            let seconds = self.launched.elapsed().as_secs_f64();
            self.note(&format!("ready for the first step {seconds:.1} s after the command"));
        }
        if let Output::Bar(bar) = &self.output {
            draw(bar, status);
            return;
        }
        if status.step <= self.step {
            return;
        }
        let is_last = status.step == status.total_steps;
        if let Output::Lines { printed } = &mut self.output {
            if !is_last && printed.is_some_and(|at| at.elapsed() < LINE_INTERVAL) {
                return;
            }
            *printed = Some(Instant::now());
        }
        self.step = status.step;
        say(&line(status));
    }

    /// Prints a line of its own.
    pub fn note(&self, text: &str) {
        match &self.output {
            Output::Bar(bar) => bar.suspend(|| say(text)),
            Output::Lines { .. } => say(text),
        }
    }

    /// Removes the bar, so that what follows is not drawn over.
    pub fn close(&self) {
        if let Output::Bar(bar) = &self.output {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    // The template is a constant; should it ever be wrong, indicatif's own is as good.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
        bar.set_style(style);
    }
    bar.set_message("starting");
    bar.tick();
    bar
}

fn draw(bar: &ProgressBar, status: &RunStatus) {
    bar.set_length(status.total_steps);
    bar.set_position(status.step);
    bar.set_message(match (status.state(), status.step) {
        (RunState::Waiting, _) => {
            let joined = status.workers.iter().filter(|worker| worker.connected).count();
            format!("{joined} of {} workers have joined", status.workers_expected)
        }
        (RunState::Forming, _) => "loading the model, building the process group".into(),
        (_, 0) => "first step".into(),
        _ => line(status),
    });
}

/// One step in one line.
fn line(status: &RunStatus) -> String {
    format!(
        "step {}/{}  loss {:.4}  lr {:.1e}  grad norm {:.2}  {} tokens/s  eta {}",
        status.step,
        status.total_steps,
        status.loss,
        status.learning_rate,
        status.grad_norm,
        count(status.tokens_per_second),
        duration(status.eta_seconds)
    )
}

/// A terminal that is gone must not end the run: not `eprintln!`, which panics.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_one_line() {
        let status = RunStatus {
            step: 12,
            total_steps: 40,
            loss: 2.34564,
            learning_rate: 4.9e-5,
            grad_norm: 1.234,
            tokens_per_second: 1234.0,
            eta_seconds: 80.0,
            ..RunStatus::default()
        };
        let expected = "step 12/40  loss 2.3456  lr 4.9e-5  grad norm 1.23  1.2k tokens/s  eta 1m20s";
        assert_eq!(line(&status), expected);
    }
}
