//! Reading `metrics.jsonl`.

use anyhow::{Context, Result};
use evenkeel_shared::metrics::StepMetrics;
use std::fs;
use std::path::Path;

/// The complete lines of the file; one that is being written is left out.
///
/// # Errors
/// When it cannot be read or a complete line is not a step's metrics.
pub fn read_metrics(path: &Path) -> Result<Vec<StepMetrics>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The loss of every step of a run, in order. Each step must be there once.
///
/// # Errors
/// When a step is missing or there twice.
pub fn losses(run_dir: &Path) -> Result<Vec<f64>> {
    let lines = read_metrics(&run_dir.join("metrics.jsonl"))?;
    for (line, expected) in lines.iter().zip(1..) {
        anyhow::ensure!(line.step == expected, "step {} stands where step {expected} belongs", line.step);
    }
    Ok(lines.iter().map(|line| line.loss).collect())
}
