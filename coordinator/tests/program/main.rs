//! The program as a process: what it announces, how it ends, what it refuses.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../../../shared/tests/preflight/small_run.rs"]
mod small_run;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use small_run::SmallRun;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel-coordinator"));
    command.arg("--config").arg(config).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running coordinator; killed when the test panics.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim_end().strip_prefix("listening on ") else {
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("{line:?}: {errors}");
        };
        Self { address: address.to_owned(), child }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        // Not Child::wait: it would close stdin.
        let stdin = self.child.stdin.take();
        let code = self.child.wait().unwrap().code();
        drop(stdin);
        code
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn refused(output: &Output, words: &[&str]) {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let errors = String::from_utf8_lossy(&output.stderr);
    let error = errors.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {errors}");
    }
}

#[test]
fn the_address_is_announced_and_written_while_the_coordinator_runs() {
    let run = SmallRun::new();
    let mut command = command(&run.write_toml());
    let asked_for = run.folder.path().join("address");
    command.arg("--address-file").arg(&asked_for);
    let mut coordinator = Running::start(command);
    let in_run = run.config.run.dir.join("coordinator.address");
    for file in [&in_run, &asked_for] {
        assert_eq!(fs::read_to_string(file).unwrap().trim_end(), coordinator.address);
    }
    assert!(coordinator.address.starts_with("127.0.0.1:"));

    coordinator.signal(Signal::SIGTERM);
    assert_eq!(coordinator.exit_code(), Some(0));
    assert!(!in_run.exists() && !asked_for.exists());
}

#[test]
fn it_ends_with_the_program_that_started_it() {
    let run = SmallRun::new();
    let mut command = command(&run.write_toml());
    command.arg("--exit-with-stdin");
    let mut coordinator = Running::start(command);
    drop(coordinator.child.stdin.take());
    assert_eq!(coordinator.exit_code(), Some(1));
}

#[test]
fn a_second_coordinator_of_the_same_run_is_refused() {
    let run = SmallRun::new();
    let config = run.write_toml();
    let first = Running::start(command(&config));
    refused(&command(&config).output().unwrap(), &["another coordinator", "run.dir"]);
    let address = fs::read_to_string(run.config.run.dir.join("coordinator.address")).unwrap();
    assert_eq!(address.trim_end(), first.address);
}

#[test]
fn what_cannot_run_is_refused_in_a_sentence_and_leaves_nothing() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let run = SmallRun::new();
    let config = run.write_toml();
    let with = |arguments: &[&str]| command(&config).args(arguments).output().unwrap();
    refused(&with(&["--listen", &taken]), &["port is taken", &taken]);
    refused(&with(&["--listen", "0.0.0.0:0"]), &["--insecure", "TLS"]);
    fs::remove_file(run.config.data.dataset.join("manifest.json")).unwrap();
    refused(&with(&[]), &["evenkeel vectorize"]);
    assert!(!run.config.run.dir.exists());
}

#[test]
fn a_configuration_that_is_none_is_wrong_usage() {
    let output = command(Path::new("/nonexistent/run.toml")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: "));
}
