//! The result: both sides, their ratios, and what they were measured on.

use crate::machine::Machine;
use crate::sample::{Sample, median};
use crate::work::{Precision, Work};
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The peer's versions, as its requirements pin them.
const PEER_REQUIREMENTS: &str = include_str!("../peers/requirements.txt");

/// The runs of both sides at one precision.
pub struct Comparison {
    precision: Precision,
    /// evenkeel's runs.
    pub evenkeel: Vec<Sample>,
    /// The peer's runs.
    pub peer: Vec<Sample>,
}

impl Comparison {
    /// No runs yet.
    pub fn of(precision: Precision) -> Self {
        Self { precision, evenkeel: Vec::new(), peer: Vec::new() }
    }
}

/// The file that `make bench` writes.
#[derive(Debug, Serialize)]
pub struct Report {
    benchmark: &'static str,
    date: String,
    machine: Machine,
    evenkeel_version: &'static str,
    peer: &'static str,
    peer_versions: Vec<String>,
    work: Work,
    results: Vec<Row>,
}

/// One precision.
#[derive(Debug, Serialize)]
struct Row {
    precision: Precision,
    evenkeel: Figures,
    peer: Figures,
    /// evenkeel's tokens per second divided by the peer's: more is better.
    tokens_per_second_ratio: f64,
    /// evenkeel's peak memory of a rank divided by the peer's: less is better.
    peak_rss_ratio: f64,
    /// The peer's time from command to first step divided by evenkeel's: more is better.
    launch_to_ready_ratio: f64,
}

/// One side over all its runs.
#[derive(Debug, Serialize)]
struct Figures {
    /// Median over the counted steps of all runs.
    tokens_per_second: f64,
    /// Largest of any rank in any run, MiB.
    peak_rss_mib: f64,
    /// Median over the runs, seconds.
    launch_to_ready_s: f64,
    runs: Vec<Sample>,
}

impl Figures {
    fn of(runs: &[Sample]) -> Self {
        Self {
            tokens_per_second: median(runs.iter().flat_map(|run| run.tokens_per_second.iter().copied())),
            peak_rss_mib: runs.iter().map(|run| run.peak_rss_mib).fold(0.0, f64::max),
            launch_to_ready_s: median(runs.iter().map(|run| run.launch_to_ready_s)),
            runs: runs.to_vec(),
        }
    }
}

impl Report {
    /// An empty report with today's date.
    ///
    /// # Errors
    /// When `date` cannot be run.
    pub fn begin(machine: Machine, work: &Work) -> Result<Self> {
        let date =
            Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().context("cannot run `date`")?;
        let pins = PEER_REQUIREMENTS.lines().filter(|line| line.contains("=="));
        Ok(Self {
            benchmark: "ddp",
            date: String::from_utf8_lossy(&date.stdout).trim().to_owned(),
            machine,
            evenkeel_version: env!("CARGO_PKG_VERSION"),
            peer: "torchrun + DistributedDataParallel + transformers",
            peer_versions: pins.map(str::to_owned).collect(),
            work: work.clone(),
            results: Vec::new(),
        })
    }

    /// Adds the runs of one precision.
    pub fn add(&mut self, comparison: &Comparison) {
        let (evenkeel, peer) = (Figures::of(&comparison.evenkeel), Figures::of(&comparison.peer));
        self.results.push(Row {
            precision: comparison.precision,
            tokens_per_second_ratio: evenkeel.tokens_per_second / peer.tokens_per_second,
            peak_rss_ratio: evenkeel.peak_rss_mib / peer.peak_rss_mib,
            launch_to_ready_ratio: peer.launch_to_ready_s / evenkeel.launch_to_ready_s,
            evenkeel,
            peer,
        });
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The figures for a person.
    pub fn table(&self) -> String {
        let mut text = format!(
            "\n{} ranks x {} thread(s), sequence length {}, micro-batch {}; {}\n\n{:<10}{:<28}{:>10}{:>10}{:>10}\n",
            self.work.ranks,
            self.work.threads,
            self.work.sequence_length,
            self.work.micro_batch,
            self.machine.cpu,
            "precision",
            "",
            "evenkeel",
            "peer",
            "ratio"
        );
        for row in &self.results {
            let lines = [
                (
                    "tokens/s",
                    row.evenkeel.tokens_per_second,
                    row.peer.tokens_per_second,
                    row.tokens_per_second_ratio,
                ),
                (
                    "peak memory a rank, MiB",
                    row.evenkeel.peak_rss_mib,
                    row.peer.peak_rss_mib,
                    row.peak_rss_ratio,
                ),
                (
                    "command to first step, s",
                    row.evenkeel.launch_to_ready_s,
                    row.peer.launch_to_ready_s,
                    row.launch_to_ready_ratio,
                ),
            ];
            for (name, ours, theirs, ratio) in lines {
                let precision = row.precision.name();
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{precision:<10}{name:<28}{ours:>10.1}{theirs:>10.1}{ratio:>10.2}");
            }
        }
        text + "\nratio: tokens/s and memory are evenkeel / peer, the start is peer / evenkeel\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(tokens_per_second: f64, peak_rss_mib: f64, launch_to_ready_s: f64) -> Sample {
        Sample {
            tokens_per_second: vec![tokens_per_second; 3],
            peak_rss_mib,
            launch_to_ready_s,
            last_loss: 1.0,
        }
    }

    #[test]
    fn ratios_say_how_much_better_and_lose_no_run() {
        let figures = Figures::of(&[sample(100.0, 10.0, 1.0), sample(200.0, 30.0, 3.0)]);
        assert_eq!(figures.tokens_per_second, 150.0);
        assert_eq!(figures.peak_rss_mib, 30.0);
        assert_eq!(figures.launch_to_ready_s, 2.0);
        assert_eq!(figures.runs.len(), 2);

        let machine = Machine { cpu: "cpu".into(), cores: 2, memory_mib: 1, load: 0.0 };
        let work = Work {
            model: "m".into(),
            ranks: 2,
            threads: 1,
            sequence_length: 512,
            micro_batch: 2,
            steps: 12,
            warmup: 3,
        };
        let mut report = Report::begin(machine, &work).unwrap();
        report.add(&Comparison {
            precision: Precision::Bf16,
            evenkeel: vec![sample(300.0, 50.0, 2.0)],
            peer: vec![sample(200.0, 100.0, 14.0)],
        });
        let row = &report.results[0];
        assert_eq!(
            (row.tokens_per_second_ratio, row.peak_rss_ratio, row.launch_to_ready_ratio),
            (1.5, 0.5, 7.0)
        );
        assert!(report.table().contains("1.50"), "{}", report.table());
        assert!(report.peer_versions.contains(&"torch==2.11.0".to_owned()));
    }
}
