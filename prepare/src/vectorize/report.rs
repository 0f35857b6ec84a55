//! What a run did.

use evenkeel_shared::dataset::Manifest;
use std::path::PathBuf;
use std::time::Duration;

/// Where the data set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Made now; of its segments so many were there from an earlier run that was interrupted.
    Made {
        /// Segments taken over.
        continued: usize,
    },
    /// It was there already, made from the same inputs with the same settings.
    UpToDate,
}

/// What a run did. The counts of the data set are in the manifest.
#[derive(Debug, Clone)]
pub struct Report {
    /// Where the data set comes from.
    pub outcome: Outcome,
    /// The data set's folder.
    pub dataset: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
    /// The list of rejected rows.
    pub rejected_list: PathBuf,
    /// Bytes of the rows that were vectorized now.
    pub input_bytes: u64,
    /// From the start to the manifest, reading and hashing included.
    pub elapsed: Duration,
    /// Threads that worked.
    pub threads: usize,
}

impl Report {
    /// Input per second in 10^6 bytes, or `None` when nothing was done.
    #[must_use]
    pub fn megabytes_per_second(&self) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (self.input_bytes > 0 && seconds > 0.0).then(|| self.input_bytes as f64 / 1e6 / seconds)
    }
}
