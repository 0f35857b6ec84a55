//! Joining a run: the agent's stream to the coordinator.

use super::Settings;
use crate::client;
use anyhow::{Context, Result, bail};
use evenkeel_proto::PROTOCOL_VERSION;
use evenkeel_proto::v1::control_client::ControlClient;
use evenkeel_proto::v1::{
    AgentHello, AttachRequest, AttachResponse, Welcome, attach_request, attach_response,
};
use evenkeel_shared::config::Config;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Messages that may wait to be sent: a hello and one exit for each worker, with room.
const OUTBOX: usize = 256;
const WELCOME_DEADLINE: Duration = Duration::from_secs(30);

/// A stream on which the coordinator has said welcome.
pub struct Session {
    /// Towards the coordinator.
    pub outbox: mpsc::Sender<AttachRequest>,
    /// From the coordinator; its end is the end of the run.
    pub inbox: Streaming<AttachResponse>,
    /// The run's configuration, as the coordinator read it.
    pub config: Config,
    /// The run's folder.
    pub run_dir: PathBuf,
}

/// Connects, says hello and waits for the welcome.
///
/// # Errors
/// When nobody answers in time, or the coordinator refuses this agent.
pub async fn attach(settings: &Settings, host: &str) -> Result<Session> {
    let channel = client::connect_within(&settings.coordinator, settings.patience).await?;
    let (outbox, requests) = mpsc::channel(OUTBOX);
    let hello = AgentHello {
        protocol_version: PROTOCOL_VERSION,
        agent_id: host.to_owned(),
        host: host.to_owned(),
        pid: std::process::id(),
        workers: settings.workers,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    outbox.send(request(attach_request::Message::AgentHello(hello))).await.context("cannot say hello")?;
    let join = async {
        let mut control = ControlClient::new(channel);
        let mut inbox = control
            .attach(ReceiverStream::new(requests))
            .await
            .map_err(|status| client::refusal(&status))?
            .into_inner();
        let first = inbox.message().await.map_err(|status| client::refusal(&status))?;
        anyhow::Ok((inbox, first))
    };
    let (inbox, first) = timeout(WELCOME_DEADLINE, join).await.with_context(|| {
        format!(
            "the coordinator at {} has not answered within {} s",
            settings.coordinator,
            WELCOME_DEADLINE.as_secs()
        )
    })??;
    let welcome = welcome(first)?;
    let config = serde_json::from_str(&welcome.config_json)
        .context("cannot read the configuration that the coordinator sent; is it of the same version?")?;
    Ok(Session { outbox, inbox, config, run_dir: welcome.run_dir.into() })
}

/// Wraps a message for the stream.
pub fn request(message: attach_request::Message) -> AttachRequest {
    AttachRequest { message: Some(message) }
}

fn welcome(first: Option<AttachResponse>) -> Result<Welcome> {
    match first.and_then(|response| response.message) {
        Some(attach_response::Message::Welcome(welcome)) => Ok(welcome),
        Some(attach_response::Message::Abort(abort)) => {
            bail!("the coordinator gave the run up: {}", abort.reason)
        }
        Some(_) => bail!("the coordinator's first message is not a welcome; is it of the same version?"),
        None => bail!("the coordinator closed the connection without a welcome: the run is over"),
    }
}
