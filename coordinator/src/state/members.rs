//! Who is attached.

use super::event::{AgentHello, ConnectionId, Heartbeat, Millis, WorkerHello, WorkerId};
use super::loss::Evidence;
use evenkeel_shared::ids::{Rank, Step};
use std::collections::VecDeque;

/// Refused worker processes that are remembered. Their agents will report their end, which must not count as a loss.
const REMEMBERED_REFUSALS: usize = 256;

/// A worker that takes part in the run.
#[derive(Debug, Clone)]
pub struct Worker {
    /// How it introduced itself.
    pub hello: WorkerHello,
    /// Its stream.
    pub connection: ConnectionId,
    /// Whether the stream still stands.
    pub connected: bool,
    /// Its place in the present generation.
    pub rank: Option<Rank>,
    /// What it said it was doing.
    pub phase: String,
    /// Steps it has done.
    pub step: Step,
    /// Segments it has open.
    pub open_segments: Vec<u32>,
    /// When it was last heard of.
    pub last_heard: Millis,
    /// It stands ready for the first step of the generation.
    pub ready: bool,
    /// It has done all that was asked.
    pub finished: bool,
    /// Signs that it is lost, the first one first.
    pub evidence: Vec<Evidence>,
}

impl Worker {
    fn new(connection: ConnectionId, hello: WorkerHello, now: Millis) -> Self {
        Self {
            hello,
            connection,
            connected: true,
            rank: None,
            phase: "joining".into(),
            step: Step(0),
            open_segments: Vec::new(),
            last_heard: now,
            ready: false,
            finished: false,
            evidence: Vec::new(),
        }
    }

    /// Takes over what a heartbeat says.
    pub fn take(&mut self, heartbeat: Heartbeat) {
        self.step = self.step.max(heartbeat.step);
        self.phase = heartbeat.phase;
        self.open_segments = heartbeat.open_segments;
    }

    /// Name and rank, for people: `node1/0 (rank 0)`.
    #[must_use]
    pub fn title(&self) -> String {
        match self.rank {
            Some(rank) => format!("{} (rank {rank})", self.hello.worker_id),
            None => self.hello.worker_id.to_string(),
        }
    }
}

/// A node agent.
#[derive(Debug, Clone)]
pub struct Agent {
    /// How it introduced itself.
    pub hello: AgentHello,
    /// Its stream.
    pub connection: ConnectionId,
    /// Whether the stream still stands.
    pub connected: bool,
}

/// Everyone who was let in, in order of joining.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// Workers of the run.
    pub workers: Vec<Worker>,
    /// Node agents of the run.
    pub agents: Vec<Agent>,
    refused: VecDeque<(WorkerId, u32)>,
}

impl Members {
    /// Lets a worker in.
    pub fn add_worker(&mut self, connection: ConnectionId, hello: WorkerHello, now: Millis) {
        self.workers.push(Worker::new(connection, hello, now));
    }

    /// Lets an agent in; one of the same name that has gone is forgotten.
    pub fn add_agent(&mut self, connection: ConnectionId, hello: AgentHello) {
        self.agents.retain(|agent| agent.hello.agent_id != hello.agent_id);
        self.agents.push(Agent { hello, connection, connected: true });
    }

    /// Remembers a worker process that was turned away.
    pub fn remember_refused(&mut self, worker_id: WorkerId, pid: u32) {
        if self.refused.len() == REMEMBERED_REFUSALS {
            self.refused.pop_front();
        }
        self.refused.push_back((worker_id, pid));
    }

    /// Whether this worker process was turned away.
    #[must_use]
    pub fn was_refused(&self, worker_id: &WorkerId, pid: u32) -> bool {
        self.refused.iter().any(|(id, refused_pid)| id == worker_id && *refused_pid == pid)
    }

    /// The worker behind a stream.
    pub fn worker_at(&mut self, connection: ConnectionId) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.connected && worker.connection == connection)
    }

    /// The worker of that name.
    pub fn worker_named(&mut self, id: &WorkerId) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.hello.worker_id == *id)
    }

    /// The agent behind a stream.
    pub fn agent_at(&mut self, connection: ConnectionId) -> Option<&mut Agent> {
        self.agents.iter_mut().find(|agent| agent.connected && agent.connection == connection)
    }

    /// The worker of that rank.
    #[must_use]
    pub fn worker_of_rank(&self, rank: Rank) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.rank == Some(rank))
    }

    /// Streams of workers that still stand, in order of joining.
    pub fn worker_connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.workers.iter().filter(|worker| worker.connected).map(|worker| worker.connection)
    }

    /// Streams that still stand, workers' first.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.worker_connections().chain(self.agent_connections())
    }

    /// Streams of the node agents.
    pub fn agent_connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.agents.iter().filter(|agent| agent.connected).map(|agent| agent.connection)
    }

    /// Hands out ranks from 0 by host name, then by index on the host, both ascending.
    ///
    /// Not by order of joining: that is a race, and a restarted run on the same hosts would read its lanes elsewhere.
    pub fn assign_ranks(&mut self) {
        let key = |worker: &Worker| (worker.hello.host.clone(), worker.hello.local_rank);
        let mut order: Vec<usize> = (0..self.workers.len()).collect();
        order.sort_by_key(|&index| key(&self.workers[index]));
        for (rank, index) in (0u32..).zip(order) {
            self.workers[index].rank = Some(Rank(rank));
        }
    }
}
