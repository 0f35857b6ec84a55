//! Who may take part. A refusal never disturbs the run.

use super::{AgentHello, ConnectionId, Effect, Millis, Order, Phase, Refusal, State, WorkerHello};
use evenkeel_proto::PROTOCOL_VERSION;

impl State {
    pub(super) fn admit_worker(
        &mut self,
        connection: ConnectionId,
        hello: WorkerHello,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(refusal) = self.check_worker(&hello) {
            self.members.remember_refused(hello.worker_id, hello.pid);
            effects.push(Effect::Refuse { connection, refusal });
            return;
        }
        self.members.add_worker(connection, hello, now);
        effects.push(Effect::Send { connection, order: Order::Welcome });
        let (joined, expected) = (self.members.workers.len(), self.facts.workers);
        self.reason = format!("waiting for workers to join: {joined} of {expected} have");
        if joined >= expected as usize {
            self.form_generation(now, effects);
        }
        effects.push(Effect::Publish);
    }

    pub(super) fn admit_agent(
        &mut self,
        connection: ConnectionId,
        hello: AgentHello,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(refusal) = self.check_agent(&hello) {
            effects.push(Effect::Refuse { connection, refusal });
            return;
        }
        self.members.add_agent(connection, hello);
        effects.push(Effect::Send { connection, order: Order::Welcome });
        effects.push(Effect::Publish);
    }

    fn check_worker(&self, hello: &WorkerHello) -> Result<(), Refusal> {
        self.check_versions(hello.protocol_version, &hello.version)?;
        let workers = &self.members.workers;
        if let Some(other) = workers.iter().find(|worker| worker.hello.worker_id == hello.worker_id) {
            return Err(Refusal::Duplicate(format!(
                "a worker named {} takes part already (host {}, pid {}); each worker needs a name of its own, \
                 HOST/LOCAL_RANK",
                hello.worker_id, other.hello.host, other.hello.pid
            )));
        }
        let same_place = |host: &str, local_rank| host == hello.host && local_rank == hello.local_rank;
        if let Some(other) =
            workers.iter().find(|worker| same_place(&worker.hello.host, worker.hello.local_rank))
        {
            return Err(Refusal::Duplicate(format!(
                "host {} has a worker with local rank {} already ({}); count the processes of a host from 0",
                hello.host, hello.local_rank, other.hello.worker_id
            )));
        }
        if workers.len() >= self.facts.workers as usize {
            return Err(Refusal::Precondition(format!(
                "the run has all of its {} workers (cluster.workers), so {} cannot join; raise cluster.workers and \
                 start the run again to use more",
                self.facts.workers, hello.worker_id
            )));
        }
        self.check_open()
    }

    fn check_agent(&self, hello: &AgentHello) -> Result<(), Refusal> {
        self.check_versions(hello.protocol_version, &hello.version)?;
        let others = || self.members.agents.iter().filter(|agent| agent.connected);
        if let Some(other) = others().find(|agent| agent.hello.agent_id == hello.agent_id) {
            return Err(Refusal::Duplicate(format!(
                "a node agent named {} is attached already (host {}, pid {}); start one per host",
                hello.agent_id, other.hello.host, other.hello.pid
            )));
        }
        let started: u64 = others().map(|agent| u64::from(agent.hello.workers)).sum();
        if started + u64::from(hello.workers) > u64::from(self.facts.workers) {
            return Err(Refusal::Precondition(format!(
                "the run takes {} workers (cluster.workers) and other node agents start {started} of them; {} would \
                 start {} more: start fewer there with `--workers`, or raise cluster.workers",
                self.facts.workers, hello.agent_id, hello.workers
            )));
        }
        self.check_open()
    }

    fn check_versions(&self, protocol_version: u32, version: &str) -> Result<(), Refusal> {
        if protocol_version != PROTOCOL_VERSION {
            return Err(Refusal::Precondition(format!(
                "the coordinator speaks protocol version {PROTOCOL_VERSION}, this process {protocol_version}; install \
                 the same evenkeel on every host"
            )));
        }
        if version != self.facts.version {
            return Err(Refusal::Precondition(format!(
                "the coordinator is evenkeel {}, this process is {version}; install the same version on every host",
                self.facts.version
            )));
        }
        Ok(())
    }

    fn check_open(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Waiting | Phase::Forming | Phase::Training => Ok(()),
            _ => Err(Refusal::Precondition(format!("the run is ending: {}", self.reason))),
        }
    }
}
