//! Lives of a run as scripts: `MILLISECONDS EVENT => EFFECTS | PHASE`, one event a line.

mod life;
mod losses;
mod random;

use super::*;
use evenkeel_proto::PROTOCOL_VERSION;
use evenkeel_shared::ids::{Epoch, Generation, Step};
use std::collections::BTreeMap;

pub(super) fn facts(workers: u32) -> RunFacts {
    RunFacts {
        run: "r".into(),
        run_dir: "/runs/r".into(),
        config_json: "{}".into(),
        version: "1.2.3".into(),
        workers,
        epochs: 2,
        total_steps: Step(3),
        seed: 0,
        lanes: workers,
        dataset_fingerprint: "f".into(),
        resume_from: None,
        heartbeat_ms: 1000,
        join_timeout_ms: 10_000,
    }
}

pub(super) fn worker_hello(id: &str, pid: u32) -> WorkerHello {
    let (host, local_rank) = id.split_once('/').unwrap();
    WorkerHello {
        protocol_version: PROTOCOL_VERSION,
        version: "1.2.3".into(),
        worker_id: WorkerId(id.into()),
        host: host.into(),
        local_rank: local_rank.parse().unwrap(),
        pid,
        device: "cpu".into(),
        data_address: format!("{host}.net"),
    }
}

pub(super) fn step_report(generation: u64, step: u64) -> StepReport {
    StepReport {
        generation: Generation(generation),
        step: Step(step),
        epoch: Epoch(0),
        loss: 2.0,
        learning_rate: 0.1,
        grad_norm: 1.0,
        loss_scale: 1.0,
        tokens: 100,
        target_tokens: 50,
        open_segments: vec![7],
    }
}

/// A run under a script.
pub(super) struct Life {
    pub(super) state: State,
    /// Connection and process id by the label that the script uses.
    labels: BTreeMap<String, (ConnectionId, u32)>,
}

impl Life {
    pub(super) fn new(facts: RunFacts) -> Self {
        Self { state: State::new(facts, Millis(0)), labels: BTreeMap::new() }
    }

    /// Two workers and the agent of their host, in the middle of training.
    pub(super) fn training() -> Self {
        let mut life = Self::new(facts(2));
        life.play(
            "0 agent a 2 => a: welcome | waiting
             0 join a/0 => a/0: welcome | waiting
             0 join a/1 => a/1: welcome; a/0: form 1 rank 0 of 2; a/1: form 1 rank 1 of 2 | forming
             0 store a/0 1 4000 => a/0: connect 1 a.net:4000; a/1: connect 1 a.net:4000 | forming
             0 ready a/0 1 => | forming
             0 ready a/1 1 => | training",
        );
        life
    }

    /// Plays a script and compares every line.
    pub(super) fn play(&mut self, script: &str) -> &mut Self {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (input, expected) = line.split_once("=>").unwrap();
            let (at, event) = input.trim().split_once(' ').unwrap();
            let event = self.event(event.trim());
            let effects = apply(&mut self.state, event, Millis(at.parse().unwrap()));
            let shown: Vec<_> = effects.iter().filter_map(|effect| self.show(effect)).collect();
            let found = format!("{} | {}", shown.join("; "), phase(self.state.phase()));
            assert_eq!(found.trim(), expected.trim(), "in the line {line:?}");
        }
        self
    }

    fn event(&mut self, text: &str) -> Event {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |index: usize| words[index].parse::<u64>().unwrap();
        let rest = |index: usize| words[index..].join(" ");
        let generation = |index| Generation(number(index));
        match words[0] {
            "join" => {
                let label = words.get(3).unwrap_or(&words[1]);
                let (connection, pid) = self.label(label);
                Event::WorkerJoined { connection, hello: worker_hello(words[1], pid) }
            }
            "agent" => {
                let label = words.get(4).unwrap_or(&words[1]);
                let (connection, pid) = self.label(label);
                let hello = AgentHello {
                    protocol_version: PROTOCOL_VERSION,
                    version: "1.2.3".into(),
                    agent_id: words[1].into(),
                    host: words[1].into(),
                    pid,
                    workers: words[2].parse().unwrap(),
                };
                Event::AgentJoined { connection, hello }
            }
            "store" => {
                let port = words[3].parse().unwrap();
                Event::StoreReady { connection: self.connection(words[1]), generation: generation(2), port }
            }
            "ready" => {
                Event::WorkerReady { connection: self.connection(words[1]), generation: generation(2) }
            }
            "beat" => {
                let heartbeat = Heartbeat {
                    generation: generation(2),
                    step: Step(number(3)),
                    phase: words[4].into(),
                    open_segments: Vec::new(),
                };
                Event::Heartbeat { connection: self.connection(words[1]), heartbeat }
            }
            "step" => Event::StepReport {
                connection: self.connection(words[1]),
                report: step_report(number(2), number(3)),
            },
            "saved" => Event::CheckpointSaved {
                connection: self.connection(words[1]),
                generation: generation(2),
                step: Step(number(3)),
                path: words[4].into(),
            },
            "failed" | "peer-lost" => {
                let failure = WorkerFailure {
                    generation: generation(2),
                    step: Step(0),
                    phase: "optimizer".into(),
                    reason: rest(3),
                    peer_lost: words[0] == "peer-lost",
                };
                Event::WorkerFailed { connection: self.connection(words[1]), failure }
            }
            "finished" => Event::WorkerFinished {
                connection: self.connection(words[1]),
                generation: generation(2),
                step: Step(number(3)),
                checkpoint: format!("checkpoints/{}", words[3]),
            },
            // exited AGENT LABEL WORKER signal|code NUMBER
            "exited" => {
                let value = Some(words[5].parse().unwrap());
                let (signal, exit_code) = if words[4] == "signal" { (value, None) } else { (None, value) };
                let exit = ProcessExit {
                    worker_id: WorkerId(words[3].into()),
                    pid: self.label(words[2]).1,
                    exit_code,
                    signal,
                    stderr_tail: vec!["the last line".into()],
                };
                Event::ProcessExited { connection: self.connection(words[1]), exit }
            }
            "closed" => Event::StreamClosed { connection: self.connection(words[1]), why: "reset".into() },
            "tick" => Event::Tick,
            "stop" => {
                let save_checkpoint = match words[1] {
                    "save" => SaveOnStop::Save,
                    _ => SaveOnStop::Discard,
                };
                Event::StopRequested { save_checkpoint, reason: rest(2) }
            }
            "save" => Event::SaveRequested,
            unknown => panic!("no such event: {unknown}"),
        }
    }

    fn label(&mut self, label: &str) -> (ConnectionId, u32) {
        let next = self.labels.len() as u32;
        *self.labels.entry(label.into()).or_insert((ConnectionId(next.into()), 100 + next))
    }

    fn connection(&self, label: &str) -> ConnectionId {
        self.labels[label].0
    }

    fn show(&self, effect: &Effect) -> Option<String> {
        let name = |connection: &ConnectionId| {
            self.labels.iter().find(|(_, known)| known.0 == *connection).unwrap().0.clone()
        };
        Some(match effect {
            Effect::Publish => return None,
            Effect::Send { connection, order } => format!("{}: {}", name(connection), show_order(order)),
            Effect::Close { connection } => format!("{}: close", name(connection)),
            Effect::Refuse { connection, refusal } => {
                let kind = match refusal {
                    Refusal::Precondition(_) => "precondition",
                    Refusal::Duplicate(_) => "duplicate",
                };
                format!("{}: refuse {kind}", name(connection))
            }
            Effect::RunEnded { outcome } => format!("end {outcome:?}").to_lowercase(),
        })
    }
}

fn show_order(order: &Order) -> String {
    match order {
        Order::Welcome => "welcome".into(),
        Order::Form { generation, rank, world_size } => {
            format!("form {generation} rank {rank} of {world_size}")
        }
        Order::Connect { generation, store_host, store_port } => {
            format!("connect {generation} {store_host}:{store_port}")
        }
        Order::Save => "save".into(),
        Order::Stop { save_checkpoint, reason } => {
            format!("stop {save_checkpoint:?} {reason}").to_lowercase()
        }
        Order::Abort { generation, .. } => format!("abort {generation}"),
    }
}

fn phase(phase: Phase) -> String {
    match phase {
        Phase::Aborting { .. } => "aborting".into(),
        Phase::Ended(outcome) => format!("{outcome:?}").to_lowercase(),
        other => format!("{other:?}").to_lowercase(),
    }
}
