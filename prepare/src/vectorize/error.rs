//! What stops a run.

use crate::chat::TemplateError;
use crate::tokens::TokenizerError;
use evenkeel_shared::dataset::DatasetError;
use evenkeel_shared::fsio::PathError;
use evenkeel_shared::hf::tokenizer_files::TokenizerFilesError;
use std::path::PathBuf;

/// A data set that could not be made. Rows never cause one: they are rejected one by one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// Reading or writing the data set failed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The model's tokenizer files cannot be read.
    #[error(transparent)]
    TokenizerFiles(#[from] TokenizerFilesError),
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// There is nothing in the sources.
    #[error("no rows found in {0}: expected one JSON object a line with a `messages` list")]
    NoRows(String),
    /// Every row was left out.
    #[error("none of the {rows} rows can be trained on; {} says why for each, the first because: {first}", list.display())]
    AllRejected {
        /// Rows in the sources.
        rows: u64,
        /// `rejected.jsonl`.
        list: PathBuf,
        /// The first reason.
        first: String,
    },
    /// A file was written to during the run.
    #[error("{} was changed while it was being vectorized; run the command again once it is complete", .0.display())]
    SourceChanged(PathBuf),
    /// The folder holds a data set that was made from something else.
    #[error(
        "{} already holds {what} made with other inputs: {}. Give another data.dataset, or --overwrite to replace it",
        dataset.display(), differences.join("; ")
    )]
    Different {
        /// The data set's folder.
        dataset: PathBuf,
        /// "a data set" or "an unfinished data set".
        what: &'static str,
        /// One sentence a field that differs.
        differences: Vec<String>,
    },
    /// The thread pool could not be made.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The operating system's answer.
        reason: String,
    },
}
