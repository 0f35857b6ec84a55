//! Real processes for tests: a test starts copies of its own binary, each running only that test, in another role.
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use evenkeel_torch_ext::{GroupOptions, Member, ProcessGroup, Store};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tch::Tensor;

pub const HOST: &str = "127.0.0.1";
/// Long enough for a loaded machine; no passing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

const RANK: &str = "EVENKEEL_TEST_RANK";
const WORLD_SIZE: &str = "EVENKEEL_TEST_WORLD_SIZE";
const PORT: &str = "EVENKEEL_TEST_PORT";
const MARK: &str = "@@";

/// What a test process is to be: the test itself, or a member that it started.
pub fn started_as() -> Option<(Member, u16)> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u32>().unwrap());
    let member = Member { rank: number(RANK)?, world_size: number(WORLD_SIZE)? };
    Some((member, u16::try_from(number(PORT)?).unwrap()))
}

/// A process that runs `test` as another member; killed when dropped.
pub struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    _stdin: Option<ChildStdin>,
}

impl Peer {
    pub fn start(test: &str, member: Member, port: u16) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(RANK, member.rank.to_string())
            .env(WORLD_SIZE, member.world_size.to_string())
            .env(PORT, port.to_string())
            .env("OMP_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let stdin = child.stdin.take();
        Self { child, lines, _stdin: stdin }
    }

    /// The next line that the peer said.
    pub fn hear(&mut self) -> String {
        for line in self.lines.by_ref() {
            // libtest writes on the same line when it runs single-threaded.
            if let Some((_, said)) = line.unwrap().split_once(MARK) {
                return said.to_owned();
            }
        }
        panic!("the peer ended without saying anything: {:?}", self.child.wait());
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the peer to end well.
    pub fn finish(mut self) {
        drop(self._stdin.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the peer failed: {status}");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says a line to the process that started this one.
pub fn say(text: &str) {
    println!("{MARK}{text}");
}

/// Waits until the process that started this one lets go, or is gone.
pub fn wait_for_release() {
    let _ = std::io::stdin().read_line(&mut String::new());
}

pub fn serve() -> Store {
    Store::serve(HOST, 0, PATIENCE).unwrap()
}

pub fn connect(port: u16) -> Store {
    Store::connect(HOST, port, PATIENCE).unwrap()
}

pub fn options() -> GroupOptions {
    GroupOptions { form_timeout: PATIENCE, collective_timeout: PATIENCE }
}

pub fn form(store: &Store, member: Member) -> ProcessGroup {
    ProcessGroup::gloo(store, "generation-1", member, Some(HOST), options()).unwrap()
}

/// The bits of a tensor, to compare between processes.
pub fn bits(tensor: &Tensor) -> String {
    let values: Vec<f32> = Vec::try_from(tensor.to_kind(tch::Kind::Float).reshape([-1])).unwrap();
    values.iter().map(|value| format!("{:08x}", value.to_bits())).collect()
}
