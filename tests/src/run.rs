//! An `evenkeel` command that runs.

use crate::metrics::read_metrics;
use crate::processes::{MARK, Process};
use crate::wait::{DEADLINE, wait_until};
use anyhow::{Context, Result};
use evenkeel_shared::checkpoint;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";

/// A command that has been started. Dropping it kills every process that the test has left.
pub struct Running {
    child: Child,
    folder: PathBuf,
    run_dir: PathBuf,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Running {
    /// Starts a command whose output goes to files, so that it never waits for a reader.
    pub(crate) fn start(mut command: Command, folder: &Path, run_dir: PathBuf) -> Result<Self> {
        command
            .env(MARK, folder)
            .stdin(Stdio::null())
            .stdout(File::create(folder.join(STDOUT))?)
            .stderr(File::create(folder.join(STDERR))?);
        let child = command.spawn().context("cannot start evenkeel")?;
        Ok(Self { child, folder: folder.to_path_buf(), run_dir })
    }

    /// Waits until `metrics.jsonl` holds this step.
    ///
    /// # Panics
    /// When it does not within the deadline, or the command ends before.
    pub fn wait_for_step(&mut self, step: u64) {
        let metrics = self.run_dir.join("metrics.jsonl");
        self.wait_for(&format!("step {step}"), || {
            let lines = read_metrics(&metrics).unwrap_or_default();
            lines.last().filter(|line| line.step >= step).map(drop)
        });
    }

    /// Waits until a complete checkpoint of this step is there.
    ///
    /// # Panics
    /// When it is not within the deadline, or the command ends before.
    pub fn wait_for_checkpoint(&mut self, step: u64) {
        let folder = self.run_dir.join("checkpoints").join(format!("step-{step:08}"));
        self.wait_for(&format!("checkpoint {step}"), || folder.is_dir().then_some(()));
    }

    /// Waits until a complete checkpoint of any step is there.
    ///
    /// # Panics
    /// When none is within the deadline, or the command ends before.
    pub fn wait_for_any_checkpoint(&mut self) {
        let run_dir = self.run_dir.clone();
        self.wait_for("a checkpoint", || checkpoint::newest(&run_dir).ok().flatten().map(drop));
    }

    /// Waits until the command has written these words to stderr.
    ///
    /// # Panics
    /// When it has not within the deadline.
    pub fn wait_for_words(&self, words: &str) {
        wait_until(DEADLINE, words, || self.read(STDERR).contains(words).then_some(()));
    }

    fn wait_for(&mut self, what: &str, mut condition: impl FnMut() -> Option<()>) {
        wait_until(DEADLINE, what, || {
            let seen = condition();
            if seen.is_none()
                && let Ok(Some(status)) = self.child.try_wait()
            {
                panic!("the command ended ({status}) before {what}: {}", self.read(STDERR));
            }
            seen
        });
    }

    /// Sends a signal to the command alone.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }

    /// The living processes of the run, the command's own included.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        Process::of_test(&self.folder)
    }

    /// The process of a worker.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn worker(&self, local_rank: u32) -> Process {
        let mut all = self.processes().into_iter();
        all.find(|process| process.is_worker(local_rank)).unwrap_or_else(|| panic!("no worker {local_rank}"))
    }

    /// Kills workers, coordinator and command, in the order that leaves nobody time to react well.
    pub fn kill_everything(mut self) {
        let processes = self.processes();
        for program in ["evenkeel-worker", "evenkeel-coordinator", "evenkeel"] {
            processes
                .iter()
                .filter(|process| process.is(program))
                .for_each(|process| process.signal(Signal::SIGKILL));
        }
        let _ = self.child.wait();
        self.wait_until_all_are_gone(DEADLINE);
    }

    /// Waits until no process of the run lives.
    ///
    /// # Panics
    /// When one does after `deadline`.
    pub fn wait_until_all_are_gone(&mut self, deadline: Duration) {
        // Reaps the command itself, should it have ended.
        wait_until(deadline, "no process of the run lives", || {
            let _ = self.child.try_wait();
            self.processes().is_empty().then_some(())
        });
    }

    /// Waits for the command's end.
    ///
    /// # Panics
    /// When it does not end within `deadline`.
    #[must_use]
    pub fn finish_within(mut self, deadline: Duration) -> Finished {
        let status = wait_until(deadline, "the command's end", || self.child.try_wait().ok().flatten());
        Finished { code: status.code(), stdout: self.read(STDOUT), stderr: self.read(STDERR) }
    }

    /// As [`Running::finish_within`], with the usual deadline.
    #[must_use]
    pub fn finish(self) -> Finished {
        self.finish_within(DEADLINE)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.processes().iter().for_each(|process| process.signal(Signal::SIGKILL));
            let _ = self.child.wait();
        }
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Finished {
    /// The same, if the command succeeded.
    ///
    /// # Panics
    /// When it did not, with what it said.
    #[must_use]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// The error message, if the command failed with this exit code and its last words are one paragraph.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn refused(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        let lines: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "one error is expected: {}", self.stderr);
        assert!(
            !self.stderr.contains("panicked") && !self.stderr.contains("stack backtrace"),
            "{}",
            self.stderr
        );
        lines[0].to_owned()
    }
}
