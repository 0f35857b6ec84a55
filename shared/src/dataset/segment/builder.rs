//! Making a segment in memory and writing it.

use super::super::error::{DatasetError, SegmentFault};
use super::super::manifest::SegmentEntry;
use super::layout::{Header, SECTIONS, Section, token_bytes};
use crate::fsio::write_atomically;
use crate::ids::RowId;
use std::path::Path;

/// A document on its way into a segment.
#[derive(Debug, Clone, Copy)]
pub struct DocumentTokens<'a> {
    /// The source row.
    pub row: RowId,
    /// Token ids, at least one.
    pub tokens: &'a [u32],
    /// For each token, whether it is to be predicted; never the first one.
    pub targets: &'a [bool],
}

/// Collects packs and writes them as one segment file. Needs about 2.2 to 4.2 bytes of memory a token.
#[derive(Debug)]
pub struct SegmentBuilder {
    vocab_size: u32,
    max_length: u32,
    tokens: Vec<u8>,
    targets: Vec<u8>,
    token_count: u64,
    target_count: u64,
    pack_documents: Vec<u32>,
    document_starts: Vec<u64>,
    rows: Vec<u64>,
    pack_targets: Vec<u32>,
    longest_pack: u32,
}

impl SegmentBuilder {
    /// An empty segment for token ids below `vocab_size` and packs of at most `max_length` tokens.
    #[must_use]
    pub fn new(vocab_size: u32, max_length: u32) -> Self {
        Self {
            vocab_size,
            max_length,
            tokens: Vec::new(),
            targets: Vec::new(),
            token_count: 0,
            target_count: 0,
            pack_documents: vec![0],
            document_starts: vec![0],
            rows: Vec::new(),
            pack_targets: Vec::new(),
            longest_pack: 0,
        }
    }

    /// Appends a pack of whole documents.
    ///
    /// # Errors
    /// A document that breaks a rule of the format, or a pack that is empty or too long; nothing is appended then.
    pub fn push_pack(&mut self, documents: &[DocumentTokens<'_>]) -> Result<(), SegmentFault> {
        let pack = self.pack_targets.len();
        let length: usize = documents.iter().map(|document| document.tokens.len()).sum();
        if documents.is_empty() || length > self.max_length as usize {
            let (tokens, max_length) = (length as u64, self.max_length);
            return Err(SegmentFault::PackLength { pack, tokens, max_length });
        }
        for document in documents {
            self.check(document)?;
        }
        let before = self.target_count;
        for document in documents {
            self.push_document(document);
        }
        self.pack_documents.push(self.rows.len() as u32);
        self.pack_targets.push((self.target_count - before) as u32);
        self.longest_pack = self.longest_pack.max(length as u32);
        Ok(())
    }

    fn check(&self, document: &DocumentTokens<'_>) -> Result<(), SegmentFault> {
        let refuse = |reason| Err(SegmentFault::Document { row: document.row.0, reason });
        if document.tokens.is_empty() {
            return refuse("it has no tokens");
        }
        if document.tokens.len() != document.targets.len() {
            return refuse("it has not one target mark a token");
        }
        if document.targets[0] {
            return refuse("its first token is a target");
        }
        if document.tokens.iter().any(|&id| id >= self.vocab_size) {
            return refuse("a token id is outside the vocabulary");
        }
        Ok(())
    }

    fn push_document(&mut self, document: &DocumentTokens<'_>) {
        for (&id, &target) in document.tokens.iter().zip(document.targets) {
            let bytes = id.to_le_bytes();
            self.tokens.extend_from_slice(&bytes[..token_bytes(self.vocab_size).into()]);
            let bit = self.token_count % 8;
            if bit == 0 {
                self.targets.push(0);
            }
            if let Some(last) = self.targets.last_mut() {
                *last |= u8::from(target) << bit;
            }
            self.token_count += 1;
            self.target_count += u64::from(target);
        }
        self.document_starts.push(self.token_count);
        self.rows.push(document.row.0);
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When the header cannot be encoded.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, SegmentFault> {
        let header = Header {
            vocab_size: self.vocab_size,
            max_length: self.max_length,
            token_bytes: token_bytes(self.vocab_size),
            tokens: self.token_count,
            target_tokens: self.target_count,
            documents: self.rows.len() as u32,
            packs: self.pack_targets.len() as u32,
            sections: [Section::default(); SECTIONS.len()],
        };
        let mut bytes = header.lay_out()?.to_bytes()?;
        bytes.extend_from_slice(&self.tokens);
        bytes.extend_from_slice(&self.targets);
        bytes.extend(self.pack_documents.iter().flat_map(|entry| entry.to_le_bytes()));
        bytes.extend(self.document_starts.iter().flat_map(|entry| entry.to_le_bytes()));
        bytes.extend(self.rows.iter().flat_map(|entry| entry.to_le_bytes()));
        bytes.extend(self.pack_targets.iter().flat_map(|entry| entry.to_le_bytes()));
        Ok(bytes)
    }

    /// Writes the segment to `path` (complete or not at all) and gives its manifest entry, whose `file` is `name`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, name: &str) -> Result<SegmentEntry, DatasetError> {
        let bytes =
            self.to_bytes().map_err(|fault| DatasetError::Segment { path: path.to_path_buf(), fault })?;
        write_atomically(path, &bytes)?;
        Ok(self.entry(&bytes, name))
    }

    pub(super) fn entry(&self, bytes: &[u8], name: &str) -> SegmentEntry {
        SegmentEntry {
            file: name.to_owned(),
            bytes: bytes.len() as u64,
            blake3: blake3::hash(bytes).to_hex().to_string(),
            packs: self.pack_targets.len() as u32,
            documents: self.rows.len() as u32,
            tokens: self.token_count,
            target_tokens: self.target_count,
            longest_pack: self.longest_pack,
        }
    }
}
