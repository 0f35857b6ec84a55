//! Whatever comes in whatever order, the invariants hold.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn any_event() -> impl Strategy<Value = Event> {
    let connection = || (0..6u64).prop_map(ConnectionId);
    let generation = || (0..3u64).prop_map(Generation);
    let worker = || prop::sample::select(vec!["a/0", "a/1", "b/0", "b/1"]);
    let joined = (connection(), worker(), 0..3u32);
    let agent = (connection(), prop::sample::select(vec!["a", "b"]), 0..4u32);
    let beat = (connection(), generation(), 0..5u64);
    let failed = (connection(), generation(), any::<bool>());
    let exited = (connection(), worker(), 0..3u32, prop::option::of(1..15i32));
    prop_oneof![
        4 => joined.prop_map(|(connection, id, pid)| {
            Event::WorkerJoined { connection, hello: worker_hello(id, pid) }
        }),
        1 => agent.prop_map(|(connection, host, workers)| {
            let hello = AgentHello {
                protocol_version: PROTOCOL_VERSION,
                version: "1.2.3".into(),
                agent_id: host.into(),
                host: host.into(),
                pid: 1,
                workers,
            };
            Event::AgentJoined { connection, hello }
        }),
        2 => (connection(), generation(), 1..9u16)
            .prop_map(|(connection, generation, port)| Event::StoreReady { connection, generation, port }),
        4 => (connection(), generation())
            .prop_map(|(connection, generation)| Event::WorkerReady { connection, generation }),
        2 => beat.prop_map(|(connection, generation, step)| {
            let heartbeat =
                Heartbeat { generation, step: Step(step), phase: "data".into(), open_segments: vec![1] };
            Event::Heartbeat { connection, heartbeat }
        }),
        4 => (connection(), 0..3u64, 0..5u64).prop_map(|(connection, generation, step)| {
            Event::StepReport { connection, report: step_report(generation, step) }
        }),
        1 => (connection(), generation(), 0..5u64).prop_map(|(connection, generation, step)| {
            Event::CheckpointSaved { connection, generation, step: Step(step), path: "c".into() }
        }),
        1 => failed.prop_map(|(connection, generation, peer_lost)| {
            let (phase, reason) = ("data".into(), "no".into());
            let failure = WorkerFailure { generation, step: Step(1), phase, reason, peer_lost };
            Event::WorkerFailed { connection, failure }
        }),
        2 => (connection(), generation(), 0..5u64).prop_map(|(connection, generation, step)| {
            Event::WorkerFinished { connection, generation, step: Step(step), checkpoint: String::new() }
        }),
        1 => exited.prop_map(|(connection, id, pid, signal)| {
            let worker_id = WorkerId(id.into());
            let exit = ProcessExit { worker_id, pid, exit_code: None, signal, stderr_tail: Vec::new() };
            Event::ProcessExited { connection, exit }
        }),
        1 => connection().prop_map(|connection| Event::StreamClosed { connection, why: "reset".into() }),
        3 => Just(Event::Tick),
        1 => any::<bool>().prop_map(|save| {
            let save_checkpoint = if save { SaveOnStop::Save } else { SaveOnStop::Discard };
            Event::StopRequested { save_checkpoint, reason: "r".into() }
        }),
        1 => Just(Event::SaveRequested),
    ]
}

/// Ranks of connected and lost workers alike are unique and within the world.
fn check_ranks(state: &State) -> Result<(), TestCaseError> {
    let ranks: Vec<_> = state.members().workers.iter().filter_map(|worker| worker.rank).collect();
    let unique: BTreeSet<_> = ranks.iter().collect();
    prop_assert_eq!(unique.len(), ranks.len());
    prop_assert!(ranks.iter().all(|rank| rank.0 < state.facts().workers));
    Ok(())
}

proptest! {
    #[test]
    fn invariants_hold_in_any_order_of_events(
        workers in 1..4u32,
        events in prop::collection::vec((any_event(), 0..400u64), 1..120),
    ) {
        let mut state = State::new(facts(workers), Millis(0));
        let mut now = Millis(0);
        let mut closed = BTreeSet::new();
        let mut ends = 0;
        for (event, passed) in events {
            now = Millis(now.0 + passed);
            let was_over = state.outcome().is_some();
            let generation = state.generation();
            let joins = match &event {
                Event::WorkerJoined { connection, .. } | Event::AgentJoined { connection, .. } => Some(*connection),
                _ => None,
            };
            // The server never gives a connection's number to a second stream.
            let known = |connection: &ConnectionId| {
                let members = state.members();
                members.workers.iter().any(|worker| worker.connection == *connection)
                    || members.agents.iter().any(|agent| agent.connection == *connection)
            };
            if joins.is_some_and(|connection| known(&connection) || closed.contains(&connection)) {
                continue;
            }
            for effect in apply(&mut state, event, now) {
                match effect {
                    Effect::Send { connection, .. } => {
                        prop_assert!(!was_over, "an order after the end");
                        prop_assert!(!closed.contains(&connection), "an order to a closed stream");
                    }
                    Effect::Close { connection } | Effect::Refuse { connection, .. } => {
                        prop_assert!(closed.insert(connection), "a stream was closed twice");
                    }
                    Effect::RunEnded { outcome } => {
                        ends += 1;
                        prop_assert_eq!(state.outcome(), Some(outcome));
                    }
                    Effect::Publish => {}
                }
            }
            prop_assert!(state.generation() >= generation && state.generation().0 <= 1, "one generation in this version");
            prop_assert!(state.members().workers.len() <= workers as usize);
            prop_assert_eq!(ends, usize::from(state.outcome().is_some()));
            prop_assert_eq!(state.outcome() == Some(Outcome::Failed), !state.failure_report().is_empty());
            check_ranks(&state)?;
        }
    }

    #[test]
    fn a_loss_always_comes_to_an_end(signs in prop::collection::vec((0..2usize, 0..3u32), 1..8)) {
        let mut life = Life::training();
        let names = ["a/0", "a/1"];
        for (who, what) in &signs {
            let name = names[*who];
            let script = match what {
                0 => format!("closed {name}"),
                1 => format!("peer-lost {name} 1 words"),
                _ => format!("exited a {name} {name} signal 9"),
            };
            let event = life.event(&script);
            apply(&mut life.state, event, Millis(100));
        }
        let mut now = 100;
        while life.state.outcome().is_none() {
            now += 50;
            prop_assert!(now <= 100 + 5000 + EVIDENCE_GRACE_MS, "no report in time");
            apply(&mut life.state, Event::Tick, Millis(now));
        }
        prop_assert_eq!(life.state.outcome(), Some(Outcome::Failed));
    }
}
