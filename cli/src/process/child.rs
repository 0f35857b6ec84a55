//! A child process that cannot outlive its parent.
//!
//! Three things see to that. The child's stdin is a pipe whose other end only this process holds: when this process is
//! gone, however it went, the child reads an end of file and ends itself. The child leads its own process group, so that
//! Ctrl-C on the terminal reaches only this process, which then decides. And whoever holds a [`Child`] ends it by
//! [`Child::end`]; dropping it kills it.

use super::tail::Tail;
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a process gets between SIGTERM and SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(2);
/// How long to wait for the rest of stderr once the process is gone: something that it started may hold the pipe open.
const DRAIN: Duration = Duration::from_millis(500);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending(ExitStatus);

impl Ending {
    /// Exit code, unless a signal ended it.
    pub fn exit_code(self) -> Option<i32> {
        self.0.code()
    }

    /// The signal that ended it.
    pub fn signal(self) -> Option<i32> {
        self.0.signal()
    }

    /// Whether it ended with exit code 0.
    pub fn is_success(self) -> bool {
        self.0.success()
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.exit_code(), self.signal()) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(number)) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
            (None, None) => f.write_str("ended in an unknown way"),
        }
    }
}

/// A running child process.
pub struct Child {
    pid: u32,
    process: tokio::process::Child,
    // Held, never written to: its closing is the message.
    _life_line: Option<ChildStdin>,
    tail: Arc<Mutex<Tail>>,
    drain: Option<JoinHandle<()>>,
    ended: Option<Ending>,
}

impl Child {
    /// Starts the command. Its stderr goes to the end of the file `log`, and the last lines are kept; stdout goes to the
    /// log too unless the caller has set it otherwise through [`Child::spawn_with_stdout`].
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let log_file = open_log(log)?;
        let copy = log_file.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
        command.stdout(copy);
        Self::start(command, log_file)
    }

    /// The same with stdout as a pipe for the caller to read.
    ///
    /// # Errors
    /// As [`Child::spawn`].
    pub fn spawn_with_stdout(mut command: Command, log: &Path) -> Result<(Self, Option<ChildStdout>)> {
        let log_file = open_log(log)?;
        command.stdout(Stdio::piped());
        let mut child = Self::start(command, log_file)?;
        let stdout = child.process.stdout.take();
        Ok((child, stdout))
    }

    fn start(mut command: Command, log: File) -> Result<Self> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut process = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let pid = process.id().with_context(|| format!("{name} ended before it began"))?;
        let tail = Arc::new(Mutex::new(Tail::default()));
        let drain =
            process.stderr.take().map(|stderr: ChildStderr| tokio::spawn(copy(stderr, log, tail.clone())));
        let life_line = process.stdin.take();
        Ok(Self { pid, process, _life_line: life_line, tail, drain, ended: None })
    }

    /// Process id, which is also the id of its process group.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end; may be cancelled and called again.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub async fn wait(&mut self) -> Result<Ending> {
        if let Some(ending) = self.ended {
            return Ok(ending);
        }
        let ending =
            Ending(self.process.wait().await.with_context(|| format!("cannot wait for {}", self.pid))?);
        if let Some(drain) = &mut self.drain {
            let _ = timeout(DRAIN, drain).await;
        }
        self.ended = Some(ending);
        Ok(ending)
    }

    /// The last lines that it wrote to stderr, oldest first.
    pub fn last_words(&self) -> Vec<String> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).lines()
    }

    /// Waits `grace` for it to end by itself, then sends SIGTERM to its group, then SIGKILL.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub async fn end(&mut self, grace: Duration) -> Result<Ending> {
        if let Ok(ending) = timeout(grace, self.wait()).await {
            return ending;
        }
        self.signal(Signal::SIGTERM);
        if let Ok(ending) = timeout(TERM_GRACE, self.wait()).await {
            return ending;
        }
        self.signal(Signal::SIGKILL);
        self.wait().await
    }

    /// Kills its group at once and waits for its end.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub async fn kill(&mut self) -> Result<Ending> {
        self.signal(Signal::SIGKILL);
        self.wait().await
    }

    fn signal(&self, signal: Signal) {
        // Only while it has not been waited for: until then its process id, and so its group's, belongs to nobody else.
        let Some(pid) = self.process.id().and_then(|pid| i32::try_from(pid).ok()) else {
            return;
        };
        if let Err(error) = killpg(Pid::from_raw(pid), signal) {
            tracing::debug!(pid, %signal, %error, "cannot signal the process group");
        }
    }
}

fn open_log(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create folder {}", folder.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Copies the stream to the log until it ends. A log that cannot be written (a full disk) must not stop the process that
/// writes it, so reading goes on.
async fn copy(mut stream: impl AsyncRead + Unpin, mut log: File, tail: Arc<Mutex<Tail>>) {
    let mut buffer = vec![0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let bytes = &buffer[..count];
        tail.lock().unwrap_or_else(PoisonError::into_inner).feed(bytes);
        let _ = log.write_all(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn last_words_are_complete_and_also_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/a.log");
        let mut child = Child::spawn(shell("echo out; echo first >&2; echo last >&2; exit 3"), &log).unwrap();
        let ending = child.wait().await.unwrap();
        assert_eq!((ending.exit_code(), ending.to_string()), (Some(3), "exit code 3".into()));
        assert_eq!(child.last_words(), ["first", "last"]);
        assert_eq!(std::fs::read_to_string(log).unwrap(), "out\nfirst\nlast\n");
    }

    #[tokio::test]
    async fn a_process_that_ignores_sigterm_is_killed_with_its_group() {
        let folder = tempfile::tempdir().unwrap();
        // The inner shell is a grandchild: only a signal to the group reaches it. It holds stdout until it is gone.
        let script =
            "trap '' TERM; echo ready; sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' & wait; wait";
        let (mut child, stdout) =
            Child::spawn_with_stdout(shell(script), &folder.path().join("a.log")).unwrap();
        let mut stdout = stdout.unwrap();
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).await.unwrap();
        let ending = child.end(Duration::ZERO).await.unwrap();
        assert_eq!(ending.signal(), Some(9));
        assert_eq!(ending.to_string(), "killed by SIGKILL");
        // End of file: nobody of the group lives.
        let mut rest = Vec::new();
        timeout(Duration::from_secs(10), stdout.read_to_end(&mut rest)).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_life_line_ends_the_child_when_its_holder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, stdout) =
            Child::spawn_with_stdout(shell("cat; echo end of file"), &folder.path().join("a.log")).unwrap();
        child._life_line = None;
        let mut text = String::new();
        timeout(Duration::from_secs(10), stdout.unwrap().read_to_string(&mut text)).await.unwrap().unwrap();
        assert_eq!(text, "end of file\n");
    }
}
