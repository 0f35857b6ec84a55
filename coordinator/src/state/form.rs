//! Forming a generation: ranks, the store of rank 0, then the process group.

use super::{ConnectionId, Effect, Millis, Order, Phase, State};
use evenkeel_shared::ids::{Generation, Rank, WorldSize};

impl State {
    /// Begins a new generation of everyone who is in.
    pub(super) fn form_generation(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        self.generation = Generation(self.generation.0 + 1);
        self.members.assign_ranks();
        let world_size = WorldSize(self.facts.workers);
        for worker in &mut self.members.workers {
            worker.ready = false;
            let Some(rank) = worker.rank else { continue };
            let order = Order::Form { generation: self.generation, rank, world_size };
            effects.push(Effect::Send { connection: worker.connection, order });
        }
        self.enter(Phase::Forming, format!("generation {} is being formed", self.generation), now);
    }

    /// The store of rank 0 stands: everyone may connect, rank 0 included.
    pub(super) fn store_ready(
        &mut self,
        connection: ConnectionId,
        generation: Generation,
        port: u16,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        if self.phase != Phase::Forming || !self.heard(connection, generation, now) {
            return;
        }
        let Some(first) = self.members.worker_of_rank(Rank(0)).filter(|first| first.connection == connection)
        else {
            return;
        };
        let order =
            Order::Connect { generation, store_host: first.hello.data_address.clone(), store_port: port };
        self.send_to_workers(&order, effects);
        self.reason = format!("workers connect to generation {generation} and load the model");
        effects.push(Effect::Publish);
    }

    pub(super) fn worker_ready(
        &mut self,
        connection: ConnectionId,
        generation: Generation,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        if self.phase != Phase::Forming || !self.heard(connection, generation, now) {
            return;
        }
        if let Some(worker) = self.members.worker_at(connection) {
            worker.ready = true;
        }
        if self.members.workers.iter().all(|worker| worker.ready) {
            self.progress.begin(now);
            self.enter(Phase::Training, format!("generation {generation} is training"), now);
        }
        effects.push(Effect::Publish);
    }

    /// Notes a sign of life; false when it speaks of another generation or comes from a stranger.
    pub(super) fn heard(&mut self, connection: ConnectionId, generation: Generation, now: Millis) -> bool {
        let Some(worker) = self.members.worker_at(connection) else { return false };
        worker.last_heard = now;
        generation == self.generation
    }

    /// Ends a run whose workers do not all come, or do not all get ready.
    pub(super) fn check_timeouts(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if now.since(self.since) < self.facts.join_timeout_ms {
            return;
        }
        let report = match self.phase {
            Phase::Waiting => self.report_missing(),
            Phase::Forming => self.report_not_ready(),
            _ => return,
        };
        if self.phase == Phase::Forming {
            let reason = "the generation did not form in time".to_owned();
            self.send_to_workers(&Order::Abort { generation: self.generation, reason }, effects);
        }
        self.fail(report, now, effects);
    }
}
