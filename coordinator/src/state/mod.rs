//! The run as a pure machine: `apply(state, event, now)` changes the state and says what is to be done.
//!
//! ```text
//! Waiting ─all joined─▶ Forming ─all ready─▶ Training ─stop asked─▶ Stopping
//!    │                     │                    │ all finished          │ all finished
//!    │ stop asked          │ stop asked         ▼                       ▼
//!    └──────▶ Stopped ◀────┘                 Finished                Stopped
//!
//! any of the four ─a worker is lost─▶ Aborting ─evidence is in─▶ Failed
//! ```
//!
//! No clock, no I/O and no randomness in here, so every life of a run can be written down as a list of events and tested.
//! A generation is the unit of membership: whatever a worker says about another generation than the present one is
//! ignored. What follows a loss is decided in one place, `State::conclude` in `loss`.

mod admit;
mod effect;
mod event;
mod facts;
mod form;
mod loss;
mod members;
mod progress;
mod report;
mod stop;
#[cfg(test)]
mod tests;

pub use effect::{Effect, Order, Outcome, Refusal};
pub use event::{
    AgentHello, ConnectionId, Event, Heartbeat, Millis, ProcessExit, SaveOnStop, StepReport, WorkerFailure,
    WorkerHello, WorkerId,
};
pub use facts::{EVIDENCE_GRACE_MS, MISSED_HEARTBEATS, ResumePoint, RunFacts};
pub use loss::{Evidence, Sign};
pub use members::{Agent, Members, Worker};
pub use progress::{Pace, Progress};

use evenkeel_shared::ids::Generation;

/// The status is published at least this often, so that the age of a silent worker's heartbeat is seen to grow.
const PUBLISH_EVERY_MS: u64 = 1000;

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// For workers to join.
    Waiting,
    /// Ranks are handed out; the process group is being built.
    Forming,
    /// Steps are being done.
    Training,
    /// Workers end at the next step boundary.
    Stopping,
    /// A worker was lost, the others were told to give up; evidence of the cause is awaited.
    Aborting {
        /// When the first sign of the loss came.
        began: Millis,
        /// What the loss interrupted.
        interrupted: Interrupted,
    },
    /// Over.
    Ended(Outcome),
}

/// The phase that a loss interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    /// See [`Phase::Waiting`].
    Waiting,
    /// See [`Phase::Forming`].
    Forming,
    /// See [`Phase::Training`].
    Training,
    /// See [`Phase::Stopping`].
    Stopping,
}

/// Everything that the coordinator knows about its run.
#[derive(Debug, Clone)]
pub struct State {
    facts: RunFacts,
    phase: Phase,
    /// When the phase began.
    since: Millis,
    /// The present generation; 0 before the first is formed.
    generation: Generation,
    members: Members,
    /// The process that ended before it joined, and with it the run.
    never_joined: Option<ProcessExit>,
    progress: Progress,
    /// Why the run is in its phase, in words.
    reason: String,
    failure_report: String,
    /// Signs of loss counted so far; their order tells cause from consequence when their times are equal.
    signs: u64,
    published: Millis,
}

impl State {
    /// A run that waits for its workers.
    #[must_use]
    pub fn new(facts: RunFacts, now: Millis) -> Self {
        let reason = format!("waiting for {} workers to join", facts.workers);
        let progress = Progress::new(facts.resume_from.as_ref());
        Self {
            facts,
            phase: Phase::Waiting,
            since: now,
            generation: Generation(0),
            members: Members::default(),
            never_joined: None,
            progress,
            reason,
            failure_report: String::new(),
            signs: 0,
            published: now,
        }
    }

    /// The run's constants.
    #[must_use]
    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// Where the run is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The present generation; 0 before the first is formed.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Who is attached.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// How far the training is.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Why the run is in its phase, in words.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Empty unless the run failed.
    #[must_use]
    pub fn failure_report(&self) -> &str {
        &self.failure_report
    }

    /// How the run ended, once it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    fn enter(&mut self, phase: Phase, reason: String, now: Millis) {
        self.phase = phase;
        self.since = now;
        self.reason = reason;
    }

    fn send_to_workers(&self, order: &Order, effects: &mut Vec<Effect>) {
        let send = |connection| Effect::Send { connection, order: order.clone() };
        effects.extend(self.members.worker_connections().map(send));
    }

    /// The run is over: every stream is closed.
    fn end(&mut self, outcome: Outcome, reason: String, now: Millis, effects: &mut Vec<Effect>) {
        self.enter(Phase::Ended(outcome), reason, now);
        effects.push(Effect::Publish);
        effects.extend(self.members.connections().map(|connection| Effect::Close { connection }));
        effects.push(Effect::RunEnded { outcome });
    }

    fn fail(&mut self, report: String, now: Millis, effects: &mut Vec<Effect>) {
        let reason = report.lines().next().unwrap_or_default().to_owned();
        self.failure_report = report;
        // The workers have been told before. A node agent must not take the end of its stream for success.
        let order = Order::Abort { generation: self.generation, reason: reason.clone() };
        let send = |connection| Effect::Send { connection, order: order.clone() };
        effects.extend(self.members.agent_connections().map(send));
        self.end(Outcome::Failed, reason, now, effects);
    }

    fn tick(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        self.check_timeouts(now, effects);
        self.check_silence(now, effects);
        self.conclude(now, effects);
        if effects.is_empty() && now.since(self.published) >= PUBLISH_EVERY_MS {
            effects.push(Effect::Publish);
        }
    }

    fn closed(&mut self, connection: ConnectionId, why: String, now: Millis, effects: &mut Vec<Effect>) {
        if let Some(agent) = self.members.agent_at(connection) {
            agent.connected = false;
            return;
        }
        let Some(worker) = self.members.worker_at(connection) else { return };
        worker.connected = false;
        let (id, finished) = (worker.hello.worker_id.clone(), worker.finished);
        effects.push(Effect::Publish);
        if !finished {
            self.lose(&id, Sign::StreamClosed { why }, now, effects);
        }
    }
}

/// Takes one event into the state; returns what is to be done, in order.
pub fn apply(state: &mut State, event: Event, now: Millis) -> Vec<Effect> {
    let mut effects = Vec::new();
    if let Phase::Ended(_) = state.phase {
        after_the_end(state, event, &mut effects);
        return effects;
    }
    let out = &mut effects;
    match event {
        Event::WorkerJoined { connection, hello } => state.admit_worker(connection, hello, now, out),
        Event::AgentJoined { connection, hello } => state.admit_agent(connection, hello, out),
        Event::StoreReady { connection, generation, port } => {
            state.store_ready(connection, generation, port, now, out)
        }
        Event::WorkerReady { connection, generation } => state.worker_ready(connection, generation, now, out),
        Event::Heartbeat { connection, heartbeat } => state.heartbeat(connection, heartbeat, now, out),
        Event::StepReport { connection, report } => state.step_report(connection, report, now, out),
        Event::CheckpointSaved { connection, generation, step, path } => {
            state.checkpoint_saved(connection, generation, step, &path, now, out);
        }
        Event::WorkerFailed { connection, failure } => state.worker_failed(connection, failure, now, out),
        Event::WorkerFinished { connection, generation, step, checkpoint } => {
            state.worker_finished(connection, generation, step, &checkpoint, now, out);
        }
        Event::ProcessExited { connection, exit } => state.process_exited(connection, exit, now, out),
        Event::StreamClosed { connection, why } => state.closed(connection, why, now, out),
        Event::Tick => state.tick(now, out),
        Event::StopRequested { save_checkpoint, reason } => {
            state.stop_requested(save_checkpoint, reason, now, out)
        }
        Event::SaveRequested => state.save_requested(out),
    }
    if effects.contains(&Effect::Publish) {
        state.published = now;
    }
    effects
}

/// Nobody is let in any more, and nothing else matters.
fn after_the_end(state: &mut State, event: Event, effects: &mut Vec<Effect>) {
    match event {
        Event::WorkerJoined { connection, .. } | Event::AgentJoined { connection, .. } => {
            let refusal = Refusal::Precondition(format!("the run is over: {}", state.reason));
            effects.push(Effect::Refuse { connection, refusal });
        }
        Event::StreamClosed { connection, .. } => {
            if let Some(worker) = state.members.worker_at(connection) {
                worker.connected = false;
            }
        }
        _ => {}
    }
}
