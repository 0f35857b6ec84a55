//! What rank 0 writes down while the run goes: `metrics.jsonl` and, at the end, `summary.json`.

use evenkeel_shared::fsio::{PathError, WithPath, write_atomically};
use evenkeel_shared::metrics::StepMetrics;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// `metrics.jsonl`, one line a step.
#[derive(Debug)]
pub(super) struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// Opens the file behind the last line of a finished step that is kept: lines of steps after `steps_done` belong to
    /// a past that the checkpoint does not know, and are removed.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn open(run_dir: &Path, steps_done: u64) -> Result<Self, PathError> {
        let path = run_dir.join("metrics.jsonl");
        if path.exists() {
            let reader = BufReader::new(File::open(&path).with_path("open", &path)?);
            let kept: Vec<String> = reader
                .lines()
                .map_while(Result::ok)
                .take_while(|line| {
                    serde_json::from_str::<StepMetrics>(line).is_ok_and(|metrics| metrics.step <= steps_done)
                })
                .collect();
            let mut text = kept.join("\n");
            if !text.is_empty() {
                text.push('\n');
            }
            write_atomically(&path, text.as_bytes())?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path).with_path("open", &path)?;
        Ok(Self { path, file })
    }

    /// Appends a line; a reader sees it at once.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn append(&mut self, metrics: &StepMetrics) -> Result<(), PathError> {
        let mut line = serde_json::to_string(metrics).unwrap_or_default();
        line.push('\n');
        self.file.write_all(line.as_bytes()).with_path("write", &self.path)
    }
}

/// How a run went, for people and benchmarks.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Optimizer steps done.
    pub(super) steps: u64,
    /// Tokens read since the beginning of the run.
    pub(super) tokens: u64,
    /// Wall clock when the first step was about to begin, milliseconds since 1970.
    pub(super) ready_unix_ms: u64,
    /// Largest resident memory of each rank's process.
    pub(super) peak_rss_mib: Vec<u64>,
    /// Path of the last checkpoint.
    pub(super) checkpoint: Option<PathBuf>,
}

impl Summary {
    /// Writes `summary.json`.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn write(&self, run_dir: &Path) -> Result<(), PathError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        write_atomically(&run_dir.join("summary.json"), text.as_bytes())
    }
}

/// Largest resident memory of this process so far, in MiB; 0 where the system does not tell.
pub(super) fn peak_rss_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}
