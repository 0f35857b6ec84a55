//! What the figures were taken on.

use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Model name of the processor.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Main memory, MiB.
    pub memory_mib: u64,
    /// Runnable processes over the last minute when the benchmark began.
    pub load: f64,
}

/// Asks the kernel.
///
/// # Errors
/// When a file of `/proc` cannot be read.
pub fn describe() -> Result<Machine> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let load = read("/proc/loadavg")?;
    Ok(Machine {
        cpu: field(&read("/proc/cpuinfo")?, "model name").unwrap_or_default(),
        cores: std::thread::available_parallelism()?.get(),
        memory_mib: field(&read("/proc/meminfo")?, "MemTotal").as_deref().and_then(kib).unwrap_or(0) / 1024,
        load: load.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0),
    })
}

/// The value of the first `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn kib(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{field, kib};

    #[test]
    fn fields_of_proc_are_found() {
        let text = "processor\t: 0\nmodel name\t: A fast one: 3 GHz\nMemTotal:       24576 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A fast one: 3 GHz"));
        assert_eq!(field(text, "MemTotal").as_deref().and_then(kib), Some(24576));
        assert_eq!(field(text, "no such"), None);
    }
}
