//! Orders to workers and node agents, the status for people, and errors as gRPC codes.

use crate::state::{
    Interrupted, Millis, Order, Outcome, Phase, Refusal, RunFacts, SaveOnStop, State, Worker,
};
use evenkeel_proto::v1::{self, RunState, attach_response::Message};

/// An order as a message.
#[must_use]
pub fn order(order: Order, facts: &RunFacts) -> v1::AttachResponse {
    let message = match order {
        Order::Welcome => Message::Welcome(v1::Welcome {
            run: facts.run.clone(),
            heartbeat_interval_ms: u32::try_from(facts.heartbeat_ms).unwrap_or(u32::MAX),
            config_json: facts.config_json.clone(),
            run_dir: facts.run_dir.clone(),
        }),
        Order::Form { generation, rank, world_size } => Message::Form(v1::Form {
            generation: generation.0,
            rank: rank.0,
            world_size: world_size.0,
            resume_from: facts.resume_from.as_ref().map(|point| point.path.clone()).unwrap_or_default(),
            plan: Some(v1::PlanSpec {
                seed: facts.seed,
                lanes: facts.lanes,
                dataset_fingerprint: facts.dataset_fingerprint.clone(),
            }),
        }),
        Order::Connect { generation, store_host, store_port } => Message::Connect(v1::Connect {
            generation: generation.0,
            store_host,
            store_port: store_port.into(),
        }),
        Order::Save => Message::Save(v1::SaveOrder {}),
        Order::Stop { save_checkpoint, reason } => {
            Message::Stop(v1::StopOrder { save_checkpoint: save_checkpoint == SaveOnStop::Save, reason })
        }
        Order::Abort { generation, reason } => {
            Message::Abort(v1::AbortOrder { generation: generation.0, reason })
        }
    };
    v1::AttachResponse { message: Some(message) }
}

/// The one table from refusals to gRPC codes.
#[must_use]
pub fn status_of(refusal: &Refusal) -> tonic::Status {
    match refusal {
        Refusal::Precondition(words) => tonic::Status::failed_precondition(words),
        Refusal::Duplicate(words) => tonic::Status::already_exists(words),
    }
}

/// The run as people see it.
#[must_use]
pub fn run_status(state: &State, now: Millis) -> v1::RunStatus {
    let (facts, progress) = (state.facts(), state.progress());
    let (checkpoint_step, checkpoint) = match &progress.checkpoint {
        Some((step, path)) => (step.0, path.clone()),
        None => (0, String::new()),
    };
    v1::RunStatus {
        run: facts.run.clone(),
        state: run_state(state.phase()).into(),
        reason: state.reason().to_owned(),
        generation: state.generation().0,
        step: progress.step.0,
        total_steps: facts.total_steps.0,
        epoch: progress.epoch.0,
        epochs: facts.epochs,
        loss: progress.loss,
        learning_rate: progress.learning_rate,
        grad_norm: progress.grad_norm,
        tokens_per_second: progress.pace.tokens_per_second().unwrap_or(0.0),
        tokens: progress.tokens,
        target_tokens: progress.target_tokens,
        eta_seconds: state.eta_seconds().unwrap_or(-1.0),
        world_size: if state.generation().0 == 0 { 0 } else { facts.workers },
        workers_expected: facts.workers,
        workers: state.members().workers.iter().map(|worker| worker_status(worker, now)).collect(),
        checkpoint,
        checkpoint_step,
        run_dir: facts.run_dir.clone(),
        failure_report: state.failure_report().to_owned(),
        loss_scale: progress.loss_scale,
    }
}

fn run_state(phase: Phase) -> RunState {
    match phase {
        Phase::Waiting | Phase::Aborting { interrupted: Interrupted::Waiting, .. } => RunState::Waiting,
        Phase::Forming | Phase::Aborting { interrupted: Interrupted::Forming, .. } => RunState::Forming,
        Phase::Training | Phase::Aborting { interrupted: Interrupted::Training, .. } => RunState::Training,
        Phase::Stopping | Phase::Aborting { interrupted: Interrupted::Stopping, .. } => RunState::Stopping,
        Phase::Ended(Outcome::Finished) => RunState::Finished,
        Phase::Ended(Outcome::Stopped) => RunState::Stopped,
        Phase::Ended(Outcome::Failed) => RunState::Failed,
    }
}

fn worker_status(worker: &Worker, now: Millis) -> v1::WorkerStatus {
    v1::WorkerStatus {
        worker_id: worker.hello.worker_id.0.clone(),
        host: worker.hello.host.clone(),
        local_rank: worker.hello.local_rank,
        rank: worker.rank.and_then(|rank| i32::try_from(rank.0).ok()).unwrap_or(-1),
        device: worker.hello.device.clone(),
        pid: worker.hello.pid,
        phase: worker.phase.clone(),
        step: worker.step.0,
        last_heartbeat_seconds: now.since(worker.last_heard) as f64 / 1000.0,
        open_segments: worker.open_segments.clone(),
        connected: worker.connected,
    }
}
