//! Rows that are left out. None of them ever stops a run.

use crate::chat::{RenderError, RowError};
use crate::tokens::TokenizerError;
use evenkeel_shared::ids::RowId;
use serde::{Deserialize, Serialize};

/// Why a row is left out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error("not a dialogue row: {0}")]
    Row(#[from] RowError),
    #[error("the row has {bytes} bytes, more than the {limit} that are read at once")]
    Bytes { bytes: u64, limit: u64 },
    #[error(transparent)]
    Template(#[from] RenderError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("no assistant message that answers something, so there is nothing to train on")]
    NoTargets,
    #[error("{tokens} tokens, more than max_length {max_length}, and long_dialogue is \"drop\"")]
    TooLong { tokens: usize, max_length: usize },
    #[error(
        "{tokens} tokens, and what must stay of it (system message, template) is above max_length {max_length}"
    )]
    Uncuttable { tokens: usize, max_length: usize },
}

/// A line of `rejected.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// Line in its file, from 1.
    pub line: u64,
    /// The file, as the configuration names it.
    pub file: String,
    /// Why it was left out.
    pub reason: String,
    /// Its number over all files.
    pub row: RowId,
}
