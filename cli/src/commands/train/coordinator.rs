//! The coordinator as a child process.

use crate::client::Address;
use crate::commands::ConfigFile;
use crate::process::{Child, Ending};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, copy, sink};
use tokio::process::{ChildStdout, Command};

/// How long it gets to end by itself once the run is over.
const GRACE: Duration = Duration::from_secs(5);
/// Longest first line that is read.
const LINE_BYTES: u64 = 4096;

/// A coordinator that listens.
pub struct Coordinator {
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub address: Address,
}

impl Coordinator {
    /// Starts it and waits until it says where it listens: for as long as it lives, because it may have a large checkpoint
    /// to verify. Dropping the future ends it.
    ///
    /// # Errors
    /// Its own words when it ends before, such as for a port that is taken.
    pub async fn start(binary: &Path, config: &ConfigFile, run_dir: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg("--config").arg(&config.file).arg("--exit-with-stdin");
        for pair in &config.set {
            command.arg("--set").arg(pair);
        }
        let log = run_dir.join("logs").join("coordinator.log");
        let (mut child, stdout) = Child::spawn_with_stdout(command, &log)?;
        let stdout = stdout.context("the coordinator has no stdout")?;
        match announcement(stdout).await {
            Some(line) => {
                let address =
                    line.parse().map_err(|problem: String| anyhow::anyhow!("the coordinator: {problem}"))?;
                Ok(Self { child, log, address })
            }
            None => {
                let ending = child.end(GRACE).await?;
                bail!("{}", last_words(&child, &format!("the coordinator did not start: {ending}")))
            }
        }
    }

    /// Lets it end by itself, with signals after a grace.
    ///
    /// # Errors
    /// When the operating system cannot say how it ended.
    pub async fn end(&mut self) -> Result<Ending> {
        self.child.end(GRACE).await
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// As [`Coordinator::end`].
    pub async fn kill(&mut self) -> Result<Ending> {
        self.child.kill().await
    }

    /// Why there is no coordinator any more, for a run that has no final state.
    pub fn obituary(&self, ending: Ending) -> String {
        let what = format!(
            "the coordinator ended before the run was over: {ending}; its log is {}",
            self.log.display()
        );
        last_words(&self.child, &what)
    }
}

/// The address of the line `listening on HOST:PORT`. The rest of the stream is read and thrown away, so that nothing
/// that the coordinator might print can block it.
async fn announcement(stdout: ChildStdout) -> Option<String> {
    let mut reader = BufReader::new(stdout);
    let mut line = String::new();
    (&mut reader).take(LINE_BYTES).read_line(&mut line).await.ok()?;
    tokio::spawn(async move { copy(&mut reader, &mut sink()).await });
    line.trim_end().strip_prefix("listening on ").map(str::to_owned)
}

/// The error that the process printed, if it printed one; else `otherwise` and its last lines.
fn last_words(child: &Child, otherwise: &str) -> String {
    let lines = child.last_words();
    if let Some(start) = lines.iter().rposition(|line| line.starts_with("error: ")) {
        return lines[start..].join("\n").trim_start_matches("error: ").to_owned();
    }
    match lines.is_empty() {
        true => otherwise.to_owned(),
        false => format!("{otherwise}\n{}", lines.join("\n")),
    }
}
