//! Running a side to its end with its output in a file.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines of a failed command that are shown.
const TAIL: usize = 25;

/// Runs the command to its end and returns the wall clock at which it was started, in milliseconds since 1970.
///
/// # Errors
/// When it cannot be started or ends with another status than 0; the end of its output is in the message.
pub fn run(command: &mut Command, log: &Path) -> Result<u64> {
    let output = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let started = unix_ms()?;
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        bail!("{program} failed ({status}); the end of {}:\n{tail}", log.display());
    }
    Ok(started)
}

fn unix_ms() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(u64::try_from(now.as_millis())?)
}

/// Seconds from one wall clock reading to another, both in milliseconds since 1970.
pub fn seconds_between(from_ms: u64, to_ms: u64) -> f64 {
    to_ms.saturating_sub(from_ms) as f64 / 1000.0
}
