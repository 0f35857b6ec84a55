//! One segment: its rows read, tokenized, packed and written. Independent of every other segment.

use super::error::Error;
use super::pack::best_fit;
use super::progress::Progress;
use super::records::Record;
use super::reject::{RejectedRow, Rejection};
use super::source::{ROW_LIMIT, Sources};
use super::tally::Tally;
use super::truncate::Fitter;
use crate::chat::Row;
use crate::tokens::Tokens;
use evenkeel_shared::dataset::{DatasetError, DocumentTokens, SegmentBuilder};
use evenkeel_shared::ids::RowId;
use std::path::Path;

/// What all segments have in common.
pub(super) struct Job<'a> {
    pub sources: &'a Sources,
    pub dataset: &'a Path,
    /// Digest of the data set's fingerprint.
    pub fingerprint: &'a str,
    pub vocab_size: u32,
    pub max_length: u32,
    pub progress: &'a dyn Progress,
}

impl Job<'_> {
    /// Makes the segment whose file is `name` (below the data set's folder) from these rows.
    ///
    /// # Errors
    /// When a file cannot be read or written; a bad row is only recorded.
    pub(super) fn run(&self, fitter: &mut Fitter<'_>, name: &str, rows: &[RowId]) -> Result<Record, Error> {
        let mut tally = Tally { rows: rows.len() as u64, ..Tally::default() };
        let mut documents: Vec<(RowId, Tokens)> = Vec::with_capacity(rows.len());
        let mut rejected = Vec::new();
        let mut line = Vec::new();
        for &row in rows {
            match self.document(fitter, row, &mut line, &mut tally)? {
                Ok(tokens) => documents.push((row, tokens)),
                Err(rejection) => rejected.push(self.rejected(row, &rejection)),
            }
            self.progress.advance(self.sources.row_bytes(row));
        }
        tally.rejected_rows = rejected.len() as u64;
        let path = self.dataset.join(name);
        let entry = self
            .pack(&documents)
            .map_err(|fault| DatasetError::Segment { path: path.clone(), fault })?
            .write(&path, name)?;
        Ok(Record { fingerprint: self.fingerprint.to_owned(), entry, tally, rejected })
    }

    fn document(
        &self,
        fitter: &mut Fitter<'_>,
        row: RowId,
        line: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<Result<Tokens, Rejection>, Error> {
        let bytes = self.sources.row_bytes(row);
        if bytes > ROW_LIMIT {
            return Ok(Err(Rejection::Bytes { bytes, limit: ROW_LIMIT }));
        }
        self.sources.read(row, line)?;
        let fitted = (|| {
            let dialogue = Row::parse(line)?;
            let fitted = fitter.fit(&dialogue.messages)?;
            Ok((dialogue, fitted))
        })();
        Ok(fitted.map(|(dialogue, fitted)| {
            tally.take(&dialogue.messages, fitted.tokens.target_count(), fitted.losses);
            fitted.tokens
        }))
    }

    fn rejected(&self, row: RowId, rejection: &Rejection) -> RejectedRow {
        let (file, line) = self.sources.line(row);
        RejectedRow { line, file: file.to_owned(), reason: rejection.to_string(), row }
    }

    fn pack(
        &self,
        documents: &[(RowId, Tokens)],
    ) -> Result<SegmentBuilder, evenkeel_shared::dataset::SegmentFault> {
        let lengths: Vec<u32> = documents.iter().map(|(_, tokens)| tokens.ids.len() as u32).collect();
        let mut builder = SegmentBuilder::new(self.vocab_size, self.max_length);
        for pack in best_fit(&lengths, self.max_length) {
            let pack: Vec<DocumentTokens<'_>> = pack
                .into_iter()
                .filter_map(|index| documents.get(index))
                .map(|(row, tokens)| DocumentTokens {
                    row: *row,
                    tokens: &tokens.ids,
                    targets: &tokens.targets,
                })
                .collect();
            builder.push_pack(&pack)?;
        }
        Ok(builder)
    }
}
