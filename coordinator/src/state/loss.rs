//! Losing a worker: the survivors are told to give up at once, evidence is gathered for a moment, then the cause is named.
//!
//! When one process dies, the others fail too: their collectives break, or they obey the abort. Whoever is heard first is
//! not always the cause, so each worker's signs of loss are weighed together.

use super::{
    ConnectionId, EVIDENCE_GRACE_MS, Effect, Interrupted, Millis, Order, Phase, ProcessExit, State,
    WorkerFailure, WorkerId,
};
use evenkeel_shared::ids::Generation;

const SIGKILL: i32 = 9;

/// A sign that a worker is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields repeat their types' docs")]
pub enum Sign {
    /// Its stream ended before its work did.
    StreamClosed { why: String },
    /// Nothing was heard of it for this long, in milliseconds.
    Silent { milliseconds: u64 },
    /// Its last words.
    Failed(WorkerFailure),
    /// What its node agent saw.
    Exited(ProcessExit),
}

/// A sign, and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Count of signs in this run, from 0: tells what came first.
    pub order: u64,
    /// Milliseconds between the worker's last heartbeat and this sign.
    pub heartbeat_age_ms: u64,
    /// The sign.
    pub sign: Sign,
}

/// How likely a worker is the cause of a loss; the smallest is the likeliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Suspicion {
    /// Killed without last words. No consequence of another's death looks like this.
    Killed,
    /// The very first sign, and not one of a lost peer.
    First,
    /// Died of a signal without last words.
    Crashed,
    /// Stopped talking.
    Silent,
    /// Gone after the abort; it may just have obeyed.
    Gone,
    /// Said that another was lost, or ended cleanly.
    Victim,
}

/// What ended the run, as far as the evidence goes.
pub(super) enum Cause<'a> {
    /// A worker of the run.
    Worker(&'a super::Worker),
    /// A process that ended before it joined.
    NeverJoined(&'a ProcessExit),
}

impl super::Worker {
    fn last_words(&self) -> Option<&WorkerFailure> {
        self.evidence.iter().find_map(|evidence| match &evidence.sign {
            Sign::Failed(failure) => Some(failure),
            _ => None,
        })
    }

    /// What its node agent saw of its end.
    pub(super) fn exit(&self) -> Option<&ProcessExit> {
        self.evidence.iter().find_map(|evidence| match &evidence.sign {
            Sign::Exited(exit) => Some(exit),
            _ => None,
        })
    }

    fn suspicion(&self) -> Option<(Suspicion, u64)> {
        let first = self.evidence.first()?;
        let signal = self.exit().and_then(|exit| exit.signal);
        let suspicion = match (self.last_words(), signal) {
            (Some(failure), _) if failure.peer_lost => Suspicion::Victim,
            (None, Some(SIGKILL)) => Suspicion::Killed,
            _ if first.order == 0 => Suspicion::First,
            (None, Some(_)) => Suspicion::Crashed,
            _ if matches!(first.sign, Sign::Silent { .. }) => Suspicion::Silent,
            (None, None) if self.exit().is_some_and(|exit| exit.exit_code == Some(0)) => Suspicion::Victim,
            _ => Suspicion::Gone,
        };
        Some((suspicion, first.order))
    }
}

impl State {
    /// A worker gives its last words.
    pub(super) fn worker_failed(
        &mut self,
        connection: ConnectionId,
        failure: WorkerFailure,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let present = self.generation;
        let Some(worker) = self.members.worker_at(connection) else { return };
        if failure.generation != present && failure.generation != Generation(0) {
            return;
        }
        worker.step = worker.step.max(failure.step);
        if !failure.phase.is_empty() {
            worker.phase.clone_from(&failure.phase);
        }
        let id = worker.hello.worker_id.clone();
        self.lose(&id, Sign::Failed(failure), now, effects);
    }

    /// A node agent saw a process end. Only agents are believed, and only about the very process that takes part.
    pub(super) fn process_exited(
        &mut self,
        connection: ConnectionId,
        exit: ProcessExit,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        if self.members.agent_at(connection).is_none() || self.members.was_refused(&exit.worker_id, exit.pid)
        {
            return;
        }
        match self.members.worker_named(&exit.worker_id) {
            Some(worker) if worker.finished || worker.hello.pid != exit.pid => {}
            Some(_) => {
                let id = exit.worker_id.clone();
                self.lose(&id, Sign::Exited(exit), now, effects);
            }
            // It will never join: better to say so now than when the time to join is over.
            None if self.phase == Phase::Waiting => {
                let what = format!("worker {} ended before it joined", exit.worker_id);
                self.never_joined = Some(exit);
                self.begin_abort(what, now, effects);
            }
            None => {}
        }
    }

    /// Takes silent workers for lost.
    pub(super) fn check_silence(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let limit = self.facts.silence_limit_ms();
        let silent = |worker: &&super::Worker| {
            !worker.finished && worker.evidence.is_empty() && now.since(worker.last_heard) >= limit
        };
        let lost: Vec<_> = self
            .members
            .workers
            .iter()
            .filter(silent)
            .map(|worker| (worker.hello.worker_id.clone(), now.since(worker.last_heard)))
            .collect();
        for (id, milliseconds) in lost {
            self.lose(&id, Sign::Silent { milliseconds }, now, effects);
        }
    }

    /// Notes a sign of loss; the first one of all ends the generation.
    pub(super) fn lose(&mut self, id: &WorkerId, sign: Sign, now: Millis, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        let order = self.signs;
        let Some(worker) = self.members.worker_named(id) else { return };
        let same_kind = |old: &Evidence| std::mem::discriminant(&old.sign) == std::mem::discriminant(&sign);
        if worker.evidence.iter().any(same_kind) {
            return;
        }
        worker.evidence.push(Evidence { order, heartbeat_age_ms: now.since(worker.last_heard), sign });
        let what = format!("worker {} was lost", worker.title());
        self.signs += 1;
        self.begin_abort(what, now, effects);
    }

    fn begin_abort(&mut self, what: String, now: Millis, effects: &mut Vec<Effect>) {
        effects.push(Effect::Publish);
        let interrupted = match self.phase {
            Phase::Waiting => Interrupted::Waiting,
            Phase::Forming => Interrupted::Forming,
            Phase::Training => Interrupted::Training,
            Phase::Stopping => Interrupted::Stopping,
            Phase::Aborting { .. } | Phase::Ended(_) => return,
        };
        let reason = format!("{what}; the other workers are told to give up");
        self.send_to_workers(&Order::Abort { generation: self.generation, reason: what }, effects);
        self.enter(Phase::Aborting { began: now, interrupted }, reason, now);
    }

    /// Decides what follows a loss, once the evidence is in.
    ///
    /// This version ends the run. Recovery begins here: with the survivors, a new generation instead of a report.
    pub(super) fn conclude(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let Phase::Aborting { began, .. } = self.phase else { return };
        let waited = now.since(began);
        let limit = self.facts.silence_limit_ms().saturating_add(EVIDENCE_GRACE_MS);
        if waited < EVIDENCE_GRACE_MS || (waited < limit && self.cause_is_open(began)) {
            return;
        }
        let report = self.report_loss();
        self.fail(report, now, effects);
    }

    /// Whether so far only victims are known, while a worker that has said nothing since may be the cause: its host
    /// may have vanished, which shows only in missed heartbeats.
    fn cause_is_open(&self, began: Millis) -> bool {
        let workers = &self.members.workers;
        let strongest = workers.iter().filter_map(super::Worker::suspicion).min();
        let known = strongest.is_some_and(|(suspicion, _)| suspicion < Suspicion::Gone);
        if known || self.never_joined.is_some() {
            return false;
        }
        workers
            .iter()
            .any(|worker| worker.evidence.is_empty() && !worker.finished && worker.last_heard <= began)
    }

    pub(super) fn first_cause(&self) -> Option<Cause<'_>> {
        if let Some(exit) = &self.never_joined {
            return Some(Cause::NeverJoined(exit));
        }
        let suspects = self.members.workers.iter().filter(|worker| worker.suspicion().is_some());
        suspects.min_by_key(|worker| worker.suspicion()).map(Cause::Worker)
    }
}
