//! How far the training is, and how fast it goes.

use super::{ConnectionId, Effect, Heartbeat, Millis, Outcome, Phase, ResumePoint, State, StepReport};
use evenkeel_shared::ids::{Epoch, Generation, Step};
use std::collections::VecDeque;
use std::path::Path;

/// Steps that the shown speed is taken over.
const PACE_STEPS: usize = 20;

/// Figures of the newest step and sums over the run.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Steps done.
    pub step: Step,
    /// Passes over the data set done.
    pub epoch: Epoch,
    /// Loss of the newest step; NaN before the first.
    pub loss: f64,
    /// Learning rate of the newest step.
    pub learning_rate: f64,
    /// Gradient norm of the newest step.
    pub grad_norm: f64,
    /// Loss scale of the newest step.
    pub loss_scale: f64,
    /// Tokens read since the run began, before a resumed checkpoint included.
    pub tokens: u64,
    /// Tokens that a loss was taken on, likewise.
    pub target_tokens: u64,
    /// The newest checkpoint: steps done, absolute path.
    pub checkpoint: Option<(Step, String)>,
    /// Speed over the last steps.
    pub pace: Pace,
}

impl Progress {
    pub(super) fn new(resume: Option<&ResumePoint>) -> Self {
        Self {
            step: resume.map_or(Step(0), |point| point.step),
            epoch: resume.map_or(Epoch(0), |point| point.epoch),
            loss: f64::NAN,
            learning_rate: 0.0,
            grad_norm: f64::NAN,
            loss_scale: 1.0,
            tokens: resume.map_or(0, |point| point.tokens),
            target_tokens: resume.map_or(0, |point| point.target_tokens),
            checkpoint: resume.map(|point| (point.step, point.path.clone())),
            pace: Pace::default(),
        }
    }

    /// The first step of a generation begins now.
    pub(super) fn begin(&mut self, now: Millis) {
        self.pace = Pace::default();
        self.pace.mark(now, self.step, self.tokens);
    }

    /// Takes a report of a step that no rank has reported yet.
    fn take(&mut self, report: &StepReport, now: Millis) {
        self.step = report.step;
        self.epoch = report.epoch;
        self.loss = report.loss;
        self.learning_rate = report.learning_rate;
        self.grad_norm = report.grad_norm;
        self.loss_scale = report.loss_scale;
        self.tokens = self.tokens.saturating_add(report.tokens);
        self.target_tokens = self.target_tokens.saturating_add(report.target_tokens);
        self.pace.mark(now, self.step, self.tokens);
    }

    fn take_checkpoint(&mut self, step: Step, path: &str, run_dir: &str) {
        let newer = self.checkpoint.as_ref().is_none_or(|(newest, _)| step >= *newest);
        if newer && !path.is_empty() {
            let absolute = Path::new(run_dir).join(path);
            self.checkpoint = Some((step, absolute.to_string_lossy().into_owned()));
        }
    }
}

/// Speed as the coordinator sees it: the time between reports, so that what passes between steps (checkpoints, waiting
/// for data) counts.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    marks: VecDeque<(Millis, Step, u64)>,
}

impl Pace {
    fn mark(&mut self, now: Millis, step: Step, tokens: u64) {
        if self.marks.len() > PACE_STEPS {
            self.marks.pop_front();
        }
        self.marks.push_back((now, step, tokens));
    }

    /// Seconds, steps and tokens between the oldest mark and the newest.
    fn span(&self) -> Option<(f64, u64, u64)> {
        let (first, last) = (self.marks.front()?, self.marks.back()?);
        let seconds = last.0.since(first.0) as f64 / 1000.0;
        let steps = last.1.0.saturating_sub(first.1.0);
        (seconds > 0.0 && steps > 0).then(|| (seconds, steps, last.2.saturating_sub(first.2)))
    }

    /// Tokens read per second; `None` before the first step is done.
    #[must_use]
    pub fn tokens_per_second(&self) -> Option<f64> {
        self.span().map(|(seconds, _, tokens)| tokens as f64 / seconds)
    }

    /// Seconds that a step takes; `None` before the first step is done.
    #[must_use]
    pub fn seconds_per_step(&self) -> Option<f64> {
        self.span().map(|(seconds, steps, _)| seconds / steps as f64)
    }
}

impl State {
    /// Seconds until the last step, as far as the pace tells; `None` while it is not known.
    #[must_use]
    pub fn eta_seconds(&self) -> Option<f64> {
        match self.phase {
            Phase::Ended(Outcome::Finished) => Some(0.0),
            Phase::Training => {
                let left = self.facts.total_steps.0.saturating_sub(self.progress.step.0);
                self.progress.pace.seconds_per_step().map(|seconds| seconds * left as f64)
            }
            _ => None,
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        connection: ConnectionId,
        heartbeat: Heartbeat,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.members.worker_at(connection) else { return };
        worker.last_heard = now;
        // A worker that has not yet read its `Form` speaks of generation 0: its phase is worth showing all the same.
        if heartbeat.generation == self.generation || heartbeat.generation == Generation(0) {
            worker.take(heartbeat);
            effects.push(Effect::Publish);
        }
    }

    pub(super) fn step_report(
        &mut self,
        connection: ConnectionId,
        report: StepReport,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let current = self.heard(connection, report.generation, now);
        // The report of a rank that ran ahead may come before the last `WorkerReady`, but never before `Form`.
        let under_way = matches!(self.phase, Phase::Forming | Phase::Training | Phase::Stopping);
        if !current || !under_way || report.step > self.facts.total_steps {
            return;
        }
        if report.step > self.progress.step {
            self.progress.take(&report, now);
        }
        if let Some(worker) = self.members.worker_at(connection) {
            worker.step = worker.step.max(report.step);
            worker.open_segments = report.open_segments;
        }
        effects.push(Effect::Publish);
    }

    pub(super) fn checkpoint_saved(
        &mut self,
        connection: ConnectionId,
        generation: Generation,
        step: Step,
        path: &str,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        if self.heard(connection, generation, now) {
            self.progress.take_checkpoint(step, path, &self.facts.run_dir);
            effects.push(Effect::Publish);
        }
    }

    pub(super) fn worker_finished(
        &mut self,
        connection: ConnectionId,
        generation: Generation,
        step: Step,
        checkpoint: &str,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let current = self.heard(connection, generation, now);
        // A run resumed at its very end is over for one rank before another says that it is ready.
        if !current || !matches!(self.phase, Phase::Forming | Phase::Training | Phase::Stopping) {
            return;
        }
        if let Some(worker) = self.members.worker_at(connection) {
            worker.ready = true;
            worker.finished = true;
            worker.phase = "finished".into();
            worker.step = worker.step.max(step);
        }
        self.progress.take_checkpoint(step, checkpoint, &self.facts.run_dir);
        effects.push(Effect::Publish);
        if self.members.workers.iter().all(|worker| worker.finished) {
            self.all_finished(now, effects);
        }
    }

    /// Whether the run did what it was to do.
    fn all_finished(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let (total, asked_to_stop) = (self.facts.total_steps, self.phase == Phase::Stopping);
        let done = self.members.workers.iter().map(|worker| worker.step).min().unwrap_or_default();
        if done >= total {
            self.end(Outcome::Finished, format!("all {total} steps are done"), now, effects);
        } else if asked_to_stop {
            let reason = format!("{}, after step {done} of {total}", self.reason);
            self.end(Outcome::Stopped, reason, now, effects);
        } else {
            self.fail(self.report_short_run(done), now, effects);
        }
    }
}
