//! The one task that owns the run's state: commands come in through a bounded queue, effects go out.

use crate::state::{ConnectionId, Effect, Event, Millis, Outcome, Refusal, RunFacts, State, apply};
use crate::wire;
use evenkeel_proto::v1::{AttachResponse, RunStatus};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Commands that may wait for the owner. Whoever sends more waits, down to the peer's TCP window.
const COMMAND_QUEUE: usize = 256;

/// Orders that may wait for one peer. A peer that reads none of them is cut off.
pub(crate) const ORDER_QUEUE: usize = 32;

/// Time between two ticks of the state; divides the evidence grace and the shortest sensible heartbeat interval.
const TICK: Duration = Duration::from_millis(50);

/// How the owner reaches one attached stream.
pub(crate) struct Peer {
    pub(crate) orders: mpsc::Sender<Result<AttachResponse, Status>>,
    /// Cancelled when the coordinator ends the stream, so that the reading side ends too.
    pub(crate) closed: CancellationToken,
}

/// What services ask of the owner.
pub(crate) enum Command {
    /// A stream said hello; `event` is a join.
    Attach { connection: ConnectionId, event: Event, peer: Peer },
    /// Something happened on an attached stream.
    Event(Event),
    /// A person wants the run to stop or save; the answer says whether that makes sense now.
    Admin { event: Event, answer: oneshot::Sender<Result<(), Refusal>> },
}

/// The services' side of the owner.
#[derive(Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Arc<RunStatus>>,
}

impl Handle {
    /// Waits for room in the queue; false when the owner is gone, that is, the run is over.
    pub(crate) async fn send(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// The newest status.
    pub(crate) fn status(&self) -> watch::Receiver<Arc<RunStatus>> {
        self.status.clone()
    }

    /// Has the owner decide on a person's request.
    ///
    /// # Errors
    /// The run is over, or the request makes no sense now.
    pub(crate) async fn ask(&self, event: Event) -> Result<(), Refusal> {
        let over = || Refusal::Precondition("the run is over".into());
        let (answer, decision) = oneshot::channel();
        if !self.send(Command::Admin { event, answer }).await {
            return Err(over());
        }
        decision.await.unwrap_or_else(|_| Err(over()))
    }
}

/// The state and its surroundings.
pub(crate) struct Owner {
    state: State,
    started: Instant,
    peers: HashMap<ConnectionId, Peer>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Arc<RunStatus>>,
}

impl Owner {
    /// An owner of a run that waits for its workers.
    pub(crate) fn new(facts: RunFacts) -> (Self, Handle) {
        let state = State::new(facts, Millis(0));
        let (sender, commands) = mpsc::channel(COMMAND_QUEUE);
        let (status, receiver) = watch::channel(Arc::new(wire::run_status(&state, Millis(0))));
        let owner = Self { state, started: Instant::now(), peers: HashMap::new(), commands, status };
        (owner, Handle { commands: sender, status: receiver })
    }

    /// Runs until the run is over; every stream is closed then, and the final status published.
    pub(crate) async fn run(mut self) -> (Outcome, Arc<RunStatus>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(command) = self.commands.recv() => self.carry_out(command),
                _ = ticks.tick() => self.tick(),
            }
            if let Some(outcome) = self.state.outcome() {
                return (outcome, self.status.borrow().clone());
            }
        }
    }

    /// Time passes. What was sent before now is heard first: a heartbeat that waits in the queue is not a missed one.
    fn tick(&mut self) {
        for _ in 0..COMMAND_QUEUE {
            let Ok(command) = self.commands.try_recv() else { break };
            self.carry_out(command);
        }
        self.happen(Event::Tick);
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Attach { connection, event, peer } => {
                self.peers.insert(connection, peer);
                self.happen(event);
            }
            Command::Event(event) => {
                if let Event::StreamClosed { connection, .. } = &event {
                    self.peers.remove(connection);
                }
                self.happen(event);
            }
            Command::Admin { event, answer } => {
                let decision = match &event {
                    Event::SaveRequested => self.state.accepts_save(),
                    _ => self.state.accepts_stop(),
                };
                if decision.is_ok() {
                    self.happen(event);
                }
                // Nobody waits any more when the caller's deadline has passed.
                let _ = answer.send(decision);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.now();
        let before = self.state.phase();
        let mut broken = Vec::new();
        for effect in apply(&mut self.state, event, now) {
            self.perform(effect, now, &mut broken);
        }
        if self.state.phase() != before {
            tracing::info!(phase = ?self.state.phase(), reason = self.state.reason(), "run changed");
        }
        for connection in broken {
            let why = "it did not read its orders".to_owned();
            self.happen(Event::StreamClosed { connection, why });
        }
    }

    fn perform(&mut self, effect: Effect, now: Millis, broken: &mut Vec<ConnectionId>) {
        match effect {
            Effect::Send { connection, order } => {
                let Some(peer) = self.peers.get(&connection) else { return };
                let message = wire::order(order, self.state.facts());
                if peer.orders.try_send(Ok(message)).is_err() {
                    self.close(connection);
                    broken.push(connection);
                }
            }
            Effect::Close { connection } => self.close(connection),
            Effect::Refuse { connection, refusal } => {
                tracing::warn!(reason = %refusal, "refused a stream");
                if let Some(peer) = self.peers.get(&connection) {
                    // The queue of a new stream has room.
                    let _ = peer.orders.try_send(Err(wire::status_of(&refusal)));
                }
                self.close(connection);
            }
            Effect::Publish => {
                self.status.send_replace(Arc::new(wire::run_status(&self.state, now)));
            }
            Effect::RunEnded { outcome } => tracing::info!(?outcome, "run ended"),
        }
    }

    /// Ends a stream once it has been sent what waits for it.
    fn close(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.peers.remove(&connection) {
            peer.closed.cancel();
        }
    }

    fn now(&self) -> Millis {
        let elapsed = Instant::now().duration_since(self.started).as_millis();
        Millis(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}
