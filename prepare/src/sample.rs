//! A look into a data set: packs as text, with what is trained on.

use crate::tokens::{Encoder, TokenizerError};
use crate::vectorize::{REJECTED_FILE, RejectedRow};
use evenkeel_shared::dataset::{DatasetError, Manifest, Pack, Verification};
use evenkeel_shared::fsio::{PathError, WithPath};
use evenkeel_shared::hf::tokenizer_files::{TokenizerFiles, TokenizerFilesError};
use evenkeel_shared::ids::{RowId, SegmentId};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a sample cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The data set cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The tokenizer's files cannot be read.
    #[error(transparent)]
    Files(#[from] TokenizerFilesError),
    /// The tokenizer fails.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// Its ids would decode to nonsense.
    #[error(
        "the data set in {} was made with another tokenizer than the one in {}; give the model that it was vectorized \
         for",
        dataset.display(), model.display()
    )]
    OtherTokenizer {
        /// The data set.
        dataset: PathBuf,
        /// The model.
        model: PathBuf,
    },
    /// The row was left out.
    #[error("row {row} ({file}, line {line}) is not in the data set: it was rejected: {reason}")]
    Rejected {
        /// The row.
        row: u64,
        /// Its file.
        file: String,
        /// Its line.
        line: u64,
        /// Why.
        reason: String,
    },
    /// No such row.
    #[error(
        "row {row} is not in the data set; rows count from 0 through all source files, {rows} were read (blank lines count as numbers but not as rows)"
    )]
    NoRow {
        /// The row.
        row: u64,
        /// Rows read.
        rows: u64,
    },
}

/// A pack as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Where it is.
    pub segment: SegmentId,
    /// Where it is in the segment.
    pub pack: usize,
    /// What it holds, in order.
    pub documents: Vec<SampleDocument>,
}

/// A dialogue as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleDocument {
    /// The source row.
    pub row: RowId,
    /// Length in tokens.
    pub tokens: usize,
    /// Tokens that are trained on.
    pub targets: usize,
    /// The text, cut where training begins and ends.
    pub runs: Vec<Run>,
}

/// A stretch of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The text.
    pub text: String,
    /// What it is for.
    pub part: Part,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Read only.
    Context,
    /// To be predicted.
    Target,
}

/// An open data set with its tokenizer.
#[derive(Debug)]
pub struct Inspector {
    dataset: PathBuf,
    manifest: Manifest,
    encoder: Encoder,
}

impl Inspector {
    /// Opens a data set with the tokenizer of this model.
    ///
    /// # Errors
    /// When one of them cannot be read, or they do not belong together.
    pub fn open(dataset: &Path, model: &Path) -> Result<Self, SampleError> {
        let manifest = Manifest::load(dataset)?;
        let files = TokenizerFiles::load(model)?;
        if files.tokenizer_hash() != manifest.fingerprint.tokenizer {
            let (dataset, model) = (dataset.to_path_buf(), model.to_path_buf());
            return Err(SampleError::OtherTokenizer { dataset, model });
        }
        Ok(Self { dataset: dataset.to_path_buf(), manifest, encoder: Encoder::new(&files)? })
    }

    /// What the data set holds.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A whole pack.
    ///
    /// # Errors
    /// When there is no such pack or it cannot be read.
    pub fn pack(&self, segment: SegmentId, pack: usize) -> Result<Sample, SampleError> {
        let open = self.manifest.open_segment(&self.dataset, segment)?;
        Ok(Sample { segment, pack, documents: self.documents(&open.pack(pack)?, |_| true)? })
    }

    /// The document of one source row.
    ///
    /// # Errors
    /// When the row is not in the data set; a rejected one comes with the reason.
    pub fn row(&self, row: RowId) -> Result<Sample, SampleError> {
        for index in 0..self.manifest.segments.len() {
            let segment = SegmentId(index as u32);
            let open = self.manifest.open_segment_with(&self.dataset, segment, Verification::Structure)?;
            if let Some(pack) = open.pack_of_row(row) {
                let documents = self.documents(&open.pack(pack)?, |found| found == row)?;
                return Ok(Sample { segment, pack, documents });
            }
        }
        match self.rejected(row)? {
            Some(RejectedRow { line, file, reason, row }) => {
                Err(SampleError::Rejected { row: row.0, file, line, reason })
            }
            None => Err(SampleError::NoRow { row: row.0, rows: self.manifest.rows }),
        }
    }

    fn documents(
        &self,
        pack: &Pack<'_>,
        wanted: impl Fn(RowId) -> bool,
    ) -> Result<Vec<SampleDocument>, SampleError> {
        let mut ids = Vec::with_capacity(pack.len());
        pack.copy_tokens(&mut ids);
        pack.documents()
            .filter(|document| wanted(document.row))
            .map(|document| {
                let targets = document.range.clone().filter(|&token| pack.is_target(token)).count();
                let runs = self.runs(pack, &ids, document.range.clone())?;
                Ok(SampleDocument { row: document.row, tokens: document.range.len(), targets, runs })
            })
            .collect()
    }

    fn runs(&self, pack: &Pack<'_>, ids: &[i64], range: Range<usize>) -> Result<Vec<Run>, SampleError> {
        let mut runs = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let target = pack.is_target(start);
            let end = (start..range.end).find(|&token| pack.is_target(token) != target).unwrap_or(range.end);
            // Ids were checked against the vocabulary, a u32, when the segment was opened.
            let run: Vec<u32> = ids[start..end].iter().map(|&id| id as u32).collect();
            let part = if target { Part::Target } else { Part::Context };
            runs.push(Run { text: self.encoder.decode(&run)?, part });
            start = end;
        }
        Ok(runs)
    }

    fn rejected(&self, row: RowId) -> Result<Option<RejectedRow>, PathError> {
        let path = self.dataset.join(REJECTED_FILE);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.with_path("open", &path)?,
        };
        for line in BufReader::new(file).lines() {
            let line = line.with_path("read", &path)?;
            match serde_json::from_str::<RejectedRow>(&line) {
                Ok(rejected) if rejected.row == row => return Ok(Some(rejected)),
                _ => {}
            }
        }
        Ok(None)
    }
}
