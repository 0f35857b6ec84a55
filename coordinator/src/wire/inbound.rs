//! Messages from workers and node agents.

use super::limits::{Malformed, name, open_segments, stderr_tail, text, word};
use crate::state::{
    AgentHello, ConnectionId, Event, Heartbeat, ProcessExit, StepReport, WorkerFailure, WorkerHello, WorkerId,
};
use evenkeel_proto::v1::{self, attach_request::Message};
use evenkeel_shared::ids::{Epoch, Generation, Step};

/// The first message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// A worker attaches.
    Worker(WorkerHello),
    /// A node agent attaches.
    Agent(AgentHello),
}

/// Reads the first message of a stream.
///
/// # Errors
/// It is not a hello, or one of its names is empty, too long or unprintable.
pub fn hello(request: v1::AttachRequest) -> Result<Hello, Malformed> {
    match request.message {
        Some(Message::WorkerHello(hello)) => worker_hello(hello).map(Hello::Worker),
        Some(Message::AgentHello(hello)) => agent_hello(hello).map(Hello::Agent),
        _ => Err(Malformed("the first message of a stream must be worker_hello or agent_hello".into())),
    }
}

impl Hello {
    /// The event that the stream begins with.
    #[must_use]
    pub fn into_event(self, connection: ConnectionId) -> Event {
        match self {
            Self::Worker(hello) => Event::WorkerJoined { connection, hello },
            Self::Agent(hello) => Event::AgentJoined { connection, hello },
        }
    }

    /// Who speaks, for logs.
    #[must_use]
    pub fn who(&self) -> &str {
        match self {
            Self::Worker(hello) => &hello.worker_id.0,
            Self::Agent(hello) => &hello.agent_id,
        }
    }
}

/// Reads any later message of a stream.
///
/// # Errors
/// A second hello, no known message (a newer peer's), a port that is none, or a bad name.
pub fn event(connection: ConnectionId, request: v1::AttachRequest) -> Result<Event, Malformed> {
    let Some(message) = request.message else {
        return Err(Malformed("the message is of a kind that this coordinator does not know".into()));
    };
    Ok(match message {
        Message::WorkerHello(_) | Message::AgentHello(_) => {
            return Err(Malformed("a hello may only be the first message of a stream".into()));
        }
        Message::StoreReady(ready) => {
            let port = u16::try_from(ready.port).ok().filter(|port| *port != 0);
            let port = port
                .ok_or_else(|| Malformed(format!("store port {} is not between 1 and 65535", ready.port)))?;
            Event::StoreReady { connection, generation: Generation(ready.generation), port }
        }
        Message::WorkerReady(ready) => {
            Event::WorkerReady { connection, generation: Generation(ready.generation) }
        }
        Message::Heartbeat(beat) => Event::Heartbeat { connection, heartbeat: heartbeat(beat) },
        Message::StepReport(report) => Event::StepReport { connection, report: step_report(report) },
        Message::CheckpointSaved(saved) => Event::CheckpointSaved {
            connection,
            generation: Generation(saved.generation),
            step: Step(saved.step),
            path: text(&saved.path),
        },
        Message::WorkerFailed(failed) => Event::WorkerFailed { connection, failure: worker_failure(failed) },
        Message::WorkerFinished(finished) => Event::WorkerFinished {
            connection,
            generation: Generation(finished.generation),
            step: Step(finished.step),
            checkpoint: text(&finished.checkpoint),
        },
        Message::ProcessExited(exited) => Event::ProcessExited { connection, exit: process_exit(exited)? },
    })
}

fn worker_hello(hello: v1::WorkerHello) -> Result<WorkerHello, Malformed> {
    Ok(WorkerHello {
        protocol_version: hello.protocol_version,
        version: name("version", hello.version)?,
        worker_id: WorkerId(name("worker_id", hello.worker_id)?),
        host: name("host", hello.host)?,
        local_rank: hello.local_rank,
        pid: hello.pid,
        device: name("device", hello.device)?,
        data_address: name("data_address", hello.data_address)?,
    })
}

fn agent_hello(hello: v1::AgentHello) -> Result<AgentHello, Malformed> {
    Ok(AgentHello {
        protocol_version: hello.protocol_version,
        version: name("version", hello.version)?,
        agent_id: name("agent_id", hello.agent_id)?,
        host: name("host", hello.host)?,
        pid: hello.pid,
        workers: hello.workers,
    })
}

fn heartbeat(beat: v1::Heartbeat) -> Heartbeat {
    Heartbeat {
        generation: Generation(beat.generation),
        step: Step(beat.step),
        phase: word(&beat.phase),
        open_segments: open_segments(beat.open_segments),
    }
}

fn step_report(report: v1::StepReport) -> StepReport {
    StepReport {
        generation: Generation(report.generation),
        step: Step(report.step),
        epoch: Epoch(report.epoch),
        loss: report.loss,
        learning_rate: report.learning_rate,
        grad_norm: report.grad_norm,
        loss_scale: report.loss_scale,
        tokens: report.tokens,
        target_tokens: report.target_tokens,
        open_segments: open_segments(report.open_segments),
    }
}

fn worker_failure(failed: v1::WorkerFailed) -> WorkerFailure {
    WorkerFailure {
        generation: Generation(failed.generation),
        step: Step(failed.step),
        phase: word(&failed.phase),
        reason: text(&failed.reason),
        peer_lost: failed.peer_lost,
    }
}

fn process_exit(exited: v1::ProcessExited) -> Result<ProcessExit, Malformed> {
    Ok(ProcessExit {
        worker_id: WorkerId(name("worker_id", exited.worker_id)?),
        pid: exited.pid,
        exit_code: exited.exit_code,
        signal: exited.signal,
        stderr_tail: stderr_tail(&exited.stderr_tail),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(message: Message) -> v1::AttachRequest {
        v1::AttachRequest { message: Some(message) }
    }

    #[test]
    fn a_stream_begins_with_a_hello_and_has_only_one() {
        let beat = || request(Message::Heartbeat(v1::Heartbeat::default()));
        assert!(hello(beat()).is_err());
        assert!(hello(v1::AttachRequest { message: None }).is_err());
        let second = request(Message::AgentHello(v1::AgentHello::default()));
        assert!(event(ConnectionId(1), second).is_err());
    }

    #[test]
    fn a_port_out_of_range_is_refused() {
        for port in [0, 65_536, u32::MAX] {
            let ready = v1::StoreReady { generation: 1, port };
            assert!(event(ConnectionId(1), request(Message::StoreReady(ready))).is_err());
        }
        let ready = v1::StoreReady { generation: 1, port: 65_535 };
        assert!(event(ConnectionId(1), request(Message::StoreReady(ready))).is_ok());
    }
}
