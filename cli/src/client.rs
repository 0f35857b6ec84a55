//! Talking to a coordinator: finding its address, connecting, deadlines.

use anyhow::{Context, Result, bail};
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tonic::transport::{Channel, Endpoint};

/// Deadline of a call that is answered from memory.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A host that has vanished without closing its connections is noticed after these two together.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(20);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// File in a run's folder that names its coordinator.
pub const ADDRESS_FILE: &str = "coordinator.address";

/// Where a coordinator listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not HOST:PORT, such as node1:29400 or [fd00::1]:29400");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bare_v6 = host.contains(':') && !host.starts_with('[');
        if host.is_empty() || port == 0 || bare_v6 || host.contains('/') {
            return Err(wrong());
        }
        // "Every address" is one to listen on, not one to connect to; the coordinator that says so is on this host.
        let host = match host {
            "0.0.0.0" => "127.0.0.1",
            "[::]" => "[::1]",
            other => other,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The address that the coordinator of this run has written into the run's folder.
///
/// # Errors
/// When the folder is missing, or no coordinator has ever run for it.
pub fn address_of_run(run_dir: &Path) -> Result<Address> {
    let shown = run_dir.display();
    if !run_dir.is_dir() {
        bail!("there is no run in {shown}: the folder does not exist; name the folder that `run.dir` says");
    }
    let file = run_dir.join(ADDRESS_FILE);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "no coordinator runs for {shown}: it holds no file {ADDRESS_FILE}; the run has ended or never began"
            )
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    text.trim().parse().map_err(|problem: String| anyhow::anyhow!("{}: {problem}", file.display()))
}

/// Connects once.
///
/// # Errors
/// When nobody answers there.
pub async fn connect(address: &Address) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .with_context(|| format!("{address} is not an address"))?
        .connect_timeout(CONNECT_DEADLINE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
        .keep_alive_while_idle(true);
    endpoint
        .connect()
        .await
        .map_err(|error| anyhow::anyhow!("no coordinator answers at {address} ({})", innermost(&error)))
}

/// Connects to a coordinator that may still be starting: on a cluster everything starts at the same time.
///
/// # Errors
/// When nobody has answered within `patience`.
pub async fn connect_within(address: &Address, patience: Duration) -> Result<Channel> {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_RETRY;
    loop {
        let error = match connect(address).await {
            Ok(channel) => return Ok(channel),
            Err(error) => error,
        };
        let next = Instant::now() + pause;
        if next > deadline {
            return Err(error.context(format!("gave up after {} s", patience.as_secs())));
        }
        sleep_until(next).await;
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}

/// A request that is given up when no answer has come in time.
pub fn with_deadline<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(CALL_DEADLINE);
    request
}

/// What a refused or broken call says, as a sentence.
pub fn refusal(status: &tonic::Status) -> anyhow::Error {
    let said = status.message();
    if status.source().is_some() || said.is_empty() {
        return anyhow::anyhow!("the connection to the coordinator broke ({})", innermost(status));
    }
    anyhow::anyhow!("the coordinator says: {said}")
}

/// The end of a chain of causes: the operating system's own words rather than "transport error".
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(parse("node1:29400").unwrap(), "node1:29400");
        assert_eq!(parse("[fd00::1]:7").unwrap(), "[fd00::1]:7");
        assert_eq!(parse("0.0.0.0:7").unwrap(), "127.0.0.1:7");
        for wrong in ["node1", "node1:", ":7", "node1:0", "node1:70000", "fd00::1:7", "http://node1:7"] {
            assert!(parse(wrong).unwrap_err().contains("HOST:PORT"), "{wrong}");
        }
    }

    #[test]
    fn a_folder_without_a_coordinator_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = address_of_run(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no coordinator runs for"), "{error}");
        let error = address_of_run(&folder.path().join("gone")).unwrap_err().to_string();
        assert!(error.contains("does not exist"), "{error}");
        std::fs::write(folder.path().join(ADDRESS_FILE), "127.0.0.1:4242\n").unwrap();
        assert_eq!(address_of_run(folder.path()).unwrap().to_string(), "127.0.0.1:4242");
    }

    #[tokio::test]
    async fn nobody_there_is_said_after_the_patience() {
        // Bound, never listened on: connecting is refused, and no other test gets the port.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address: Address = socket.local_addr().unwrap().to_string().parse().unwrap();
        let error = connect_within(&address, Duration::from_millis(250)).await.unwrap_err();
        assert!(format!("{error:#}").contains(&format!("no coordinator answers at {address}")), "{error:#}");
    }
}
