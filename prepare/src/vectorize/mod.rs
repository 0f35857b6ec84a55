//! Dialogues to a vectorized data set.
//!
//! One pass over the files finds and hashes the rows. They are spread over segments by a seeded permutation; each
//! segment is then a job of its own: read, render, tokenize, mask, shorten, pack, write. The result does not depend
//! on the number of threads, and a killed run goes on with the segments that are missing.

mod error;
mod job;
mod order;
mod pack;
mod pool;
mod progress;
mod records;
mod reject;
mod report;
mod source;
mod tally;
#[cfg(test)]
mod tests;
mod truncate;

pub use error::Error;
pub use progress::{Phase, Progress, Silent};
pub use records::{Existing, REJECTED_FILE};
pub use reject::RejectedRow;
pub use report::{Outcome, Report};

use crate::chat::{ChatTemplate, Renderer};
use crate::tokens::Encoder;
use evenkeel_shared::config::Config;
use evenkeel_shared::dataset::{FORMAT_VERSION, Fingerprint, Manifest, SEGMENTS_FOLDER};
use evenkeel_shared::hf::tokenizer_files::TokenizerFiles;
use evenkeel_shared::ids::RowId;
use job::Job;
use records::{Found, Record, Workplace};
use source::Sources;
use std::collections::BTreeMap;
use std::thread::available_parallelism;
use std::time::Instant;
use tally::Tally;
use truncate::Fitter;

/// What is not in the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What to do with another data set in the folder.
    pub existing: Existing,
}

/// Makes the data set `data.dataset` from `data.train` with the tokenizer of `model.path`.
///
/// # Errors
/// Files that cannot be read or written, a tokenizer or template that cannot be used, no usable row, another data set
/// in the folder. A bad row is never an error: it goes to `rejected.jsonl`.
pub fn run(config: &Config, options: Options, progress: &dyn Progress) -> Result<Report, Error> {
    let start = Instant::now();
    check_settings(config)?;
    let files = TokenizerFiles::load(&config.model.path)?;
    let template = ChatTemplate::compile(&files)?;
    template.check_trainable()?;
    let encoder = Encoder::new(&files)?;
    let sources = Sources::scan(&config.data.train, progress)?;
    let fingerprint = Fingerprint::new(config, &files, sources.sources());
    let threads = threads(config);
    let dataset = config.data.dataset.as_path();
    let report = |outcome, manifest, input_bytes| Report {
        outcome,
        dataset: dataset.to_path_buf(),
        manifest,
        rejected_list: dataset.join(REJECTED_FILE),
        input_bytes,
        elapsed: start.elapsed(),
        threads,
    };

    let workplace = Workplace::new(dataset);
    match workplace.prepare(&fingerprint, options.existing)? {
        Found::Complete(manifest) => {
            workplace.tidy(&manifest)?;
            return Ok(report(Outcome::UpToDate, *manifest, 0));
        }
        Found::Unfinished(state) => tracing::debug!(?state, "folder ready"),
    }

    let segments = order::segments(sources.rows(), config.vectorize.seed, config.vectorize.segment_bytes);
    if segments.is_empty() {
        let names: Vec<_> = config.data.train.iter().map(|path| path.display().to_string()).collect();
        return Err(Error::NoRows(names.join(", ")));
    }
    let digest = fingerprint.digest();
    let job = Job {
        sources: &sources,
        dataset,
        fingerprint: &digest,
        vocab_size: encoder.vocab_size(),
        max_length: config.vectorize.max_length,
        progress,
    };
    let fitter = || {
        let renderer = Renderer::new(&template);
        Fitter::new(renderer, encoder.clone(), config.vectorize.max_length, config.vectorize.long_dialogue)
    };
    let bytes = |rows: &[RowId]| -> u64 { rows.iter().map(|&row| sources.row_bytes(row)).sum() };
    progress.begin(Phase::Vectorizing, segments.iter().map(|rows| bytes(rows)).sum());
    let done = pool::run(threads, segments.len(), fitter, |fitter, segment| {
        let (name, rows) = (segment_name(segment), segments[segment].as_slice());
        if let Some(record) = workplace.finished(&name, &digest) {
            progress.advance(bytes(rows));
            return Ok((record, None));
        }
        let record = job.run(fitter, &name, rows)?;
        workplace.remember(&record)?;
        Ok((record, Some(bytes(rows))))
    })?;
    progress.end();
    sources.check_unchanged()?;

    let continued = done.iter().filter(|(_, made)| made.is_none()).count();
    let input_bytes = done.iter().filter_map(|(_, made)| *made).sum();
    let records: Vec<Record> = done.into_iter().map(|(record, _)| record).collect();
    let mut rejected: Vec<RejectedRow> = records.iter().flat_map(|record| record.rejected.clone()).collect();
    rejected.sort_by_key(|row| row.row);
    let list = workplace.save_rejected(&rejected)?;
    let manifest = manifest(fingerprint, encoder.vocab_size(), records);
    if manifest.documents == 0 {
        let first = rejected.into_iter().next().map(|row| row.reason).unwrap_or_default();
        return Err(Error::AllRejected { rows: manifest.rows, list, first });
    }
    workplace.finish(&manifest)?;
    Ok(report(Outcome::Made { continued }, manifest, input_bytes))
}

fn manifest(fingerprint: Fingerprint, vocab_size: u32, records: Vec<Record>) -> Manifest {
    let mut tally = Tally::default();
    for record in &records {
        tally.add(&record.tally);
    }
    let segments: Vec<_> = records.into_iter().map(|record| record.entry).collect();
    Manifest {
        format_version: FORMAT_VERSION,
        vocab_size,
        max_length: fingerprint.max_length,
        fingerprint,
        rows: tally.rows,
        rejected_rows: tally.rejected_rows,
        documents: segments.iter().map(|segment| u64::from(segment.documents)).sum(),
        tokens: segments.iter().map(|segment| segment.tokens).sum(),
        target_tokens: segments.iter().map(|segment| segment.target_tokens).sum(),
        target_tokens_by_role: BTreeMap::from([("assistant".to_owned(), tally.target_tokens)]),
        messages_by_role: tally
            .messages_by_role
            .into_iter()
            .map(|(role, count)| (role.to_string(), count))
            .collect(),
        truncation: tally.truncation,
        segments,
    }
}

fn segment_name(segment: usize) -> String {
    format!("{SEGMENTS_FOLDER}/{segment:06}.seg")
}

fn threads(config: &Config) -> usize {
    match config.vectorize.workers {
        0 => available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers as usize,
    }
}

fn check_settings(config: &Config) -> Result<(), Error> {
    let refuse = |text: &str| Err(Error::Setting(text.to_owned()));
    if config.data.train.is_empty() {
        return refuse("data.train is empty: list the JSONL files of dialogues there");
    }
    if config.model.path.as_os_str().is_empty() {
        return refuse(
            "model.path is empty: set it to the model's folder, whose tokenizer and chat template are used",
        );
    }
    if config.vectorize.max_length < 2 {
        return refuse("vectorize.max_length must be at least 2: a target needs a token before it");
    }
    if config.vectorize.segment_bytes == 0 {
        return refuse("vectorize.segment_bytes must be above 0");
    }
    Ok(())
}
