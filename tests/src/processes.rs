//! Looking for processes that belong to a test, through `/proc`.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;

/// Environment variable that every process of a test inherits; its value is the test's folder.
pub const MARK: &str = "MARK_OF_TEST";

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Program and arguments.
    pub command: Vec<String>,
}

impl Process {
    /// All living processes that were started, however indirectly, by the test with this folder.
    #[must_use]
    pub fn of_test(folder: &Path) -> Vec<Self> {
        let mark = format!("{MARK}={}", folder.display());
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
                let environment = read(pid, "environ")?;
                let is_marked =
                    environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes());
                (is_marked && lives(pid)).then(|| Self { pid, command: command(pid) })
            })
            .collect()
    }

    /// Whether its program has this name.
    #[must_use]
    pub fn is(&self, program: &str) -> bool {
        self.command
            .first()
            .is_some_and(|path| Path::new(path).file_name().is_some_and(|name| name == program))
    }

    /// Whether it is a training process with this position on its host.
    #[must_use]
    pub fn is_worker(&self, local_rank: u32) -> bool {
        let wanted = ["--local-rank".to_owned(), local_rank.to_string()];
        self.is("evenkeel-worker") && self.command.windows(2).any(|pair| pair == wanted)
    }

    /// Sends it a signal; one that is gone is not an error.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid), signal);
    }

    /// Whether it lives.
    #[must_use]
    pub fn lives(&self) -> bool {
        lives(self.pid)
    }
}

/// A zombie does not live: only its parent has not looked yet.
fn lives(pid: i32) -> bool {
    let stat = read(pid, "stat").unwrap_or_default();
    let text = String::from_utf8_lossy(&stat);
    text.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn command(pid: i32) -> Vec<String> {
    let bytes = read(pid, "cmdline").unwrap_or_default();
    let words = bytes.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    words.filter(|word| !word.is_empty()).collect()
}

fn read(pid: i32, file: &str) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/{file}")).ok()
}
