//! Reading a segment through a memory map.

use super::super::error::{DatasetError, SegmentFault};
use super::super::manifest::SegmentEntry;
use super::super::mapped::Mapped;
use super::check;
use super::layout::{Header, Ranges, count, u16_at, u32_at, u64_at};
use crate::ids::RowId;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How much of a segment is compared with the manifest when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// The hash of every byte, and the structure.
    Content,
    /// The structure only: nothing can be read out of range, but a changed token may go unnoticed. For tools that
    /// look at many segments.
    Structure,
}

/// An open segment. Everything a reader relies on was checked when it was opened.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    file: Mapped,
    header: Header,
    ranges: Ranges,
}

impl Segment {
    /// Maps a segment, compares its content with the manifest's BLAKE3 and checks its structure.
    ///
    /// `vocab_size` is the manifest's.
    ///
    /// # Errors
    /// The file cannot be read, or is not exactly the one that the manifest lists.
    pub fn open(path: &Path, entry: &SegmentEntry, vocab_size: u32) -> Result<Self, DatasetError> {
        Self::open_with(path, entry, vocab_size, Verification::Content)
    }

    /// As [`Segment::open`], with the hash only where asked for.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn open_with(
        path: &Path,
        entry: &SegmentEntry,
        vocab_size: u32,
        verification: Verification,
    ) -> Result<Self, DatasetError> {
        let file = Mapped::open(path)?;
        let checked = (|| {
            if verification == Verification::Content {
                let found = blake3::hash(&file).to_hex();
                if found.as_str() != entry.blake3 {
                    return Err(hash_fault(entry, &file, found.as_str()));
                }
            }
            let (header, ranges) = Header::read(&file)?;
            agrees(&header, entry, vocab_size, file.len() as u64)?;
            check::content(&file, &header, &ranges)?;
            Ok((header, ranges))
        })();
        match checked {
            Ok((header, ranges)) => Ok(Self { path: path.to_path_buf(), file, header, ranges }),
            Err(fault) => Err(DatasetError::Segment { path: path.to_path_buf(), fault }),
        }
    }

    /// Number of packs; may be 0.
    #[must_use]
    pub fn packs(&self) -> usize {
        self.header.packs as usize
    }

    /// Number of documents over all packs.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.header.documents as usize
    }

    /// Pack `index`, from 0.
    ///
    /// # Errors
    /// When there is no such pack.
    pub fn pack(&self, index: usize) -> Result<Pack<'_>, DatasetError> {
        if index >= self.packs() {
            let fault = SegmentFault::NoSuchPack { pack: index, packs: self.packs() };
            return Err(DatasetError::Segment { path: self.path.clone(), fault });
        }
        let firsts = self.section(&self.ranges.pack_documents);
        let documents = u32_at(firsts, index) as usize..u32_at(firsts, index + 1) as usize;
        let starts = self.section(&self.ranges.document_starts);
        let tokens = u64_at(starts, documents.start) as usize..u64_at(starts, documents.end) as usize;
        Ok(Pack { segment: self, index, documents, tokens })
    }

    /// The index of the pack that holds a document of this source row, when the segment has one.
    #[must_use]
    pub fn pack_of_row(&self, row: RowId) -> Option<usize> {
        let rows = self.section(&self.ranges.rows);
        let document = (0..self.documents()).find(|&document| u64_at(rows, document) == row.0)?;
        let firsts = self.section(&self.ranges.pack_documents);
        (0..self.packs()).find(|&pack| document < u32_at(firsts, pack + 1) as usize)
    }

    fn section(&self, range: &Range<usize>) -> &[u8] {
        self.file.get(range.clone()).unwrap_or_default()
    }
}

/// The file is not the one listed: say so by its length when that already differs.
fn hash_fault(entry: &SegmentEntry, file: &[u8], found: &str) -> SegmentFault {
    if file.len() as u64 != entry.bytes {
        return SegmentFault::Truncated { expected: entry.bytes, found: file.len() as u64 };
    }
    SegmentFault::Hash { expected: entry.blake3.clone(), found: found.to_owned() }
}

fn agrees(header: &Header, entry: &SegmentEntry, vocab_size: u32, bytes: u64) -> Result<(), SegmentFault> {
    let pairs: [(&'static str, u64, u64); 6] = [
        ("length in bytes", entry.bytes, bytes),
        ("vocabulary size", vocab_size.into(), header.vocab_size.into()),
        ("pack count", entry.packs.into(), header.packs.into()),
        ("document count", entry.documents.into(), header.documents.into()),
        ("token count", entry.tokens, header.tokens),
        ("target count", entry.target_tokens, header.target_tokens),
    ];
    match pairs.into_iter().find(|(_, expected, found)| expected != found) {
        Some((what, expected, found)) => Err(count(what, expected, found)),
        None => Ok(()),
    }
}

/// One training sample: whole documents, one after the other, at most `max_length` tokens.
#[derive(Debug, Clone)]
pub struct Pack<'a> {
    segment: &'a Segment,
    index: usize,
    documents: Range<usize>,
    tokens: Range<usize>,
}

/// A document inside a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its tokens, counted from the start of the pack.
    pub range: Range<usize>,
    /// The source row that it was made from.
    pub row: RowId,
}

impl Pack<'_> {
    /// Length in tokens, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a pack is never empty")]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Appends the token ids.
    pub fn copy_tokens(&self, out: &mut Vec<i64>) {
        let width = usize::from(self.segment.header.token_bytes);
        let section = self.segment.section(&self.segment.ranges.tokens);
        let bytes = section.get(self.tokens.start * width..self.tokens.end * width).unwrap_or_default();
        if width == 2 {
            out.extend(bytes.chunks_exact(2).map(|id| i64::from(u16_at(id, 0))));
        } else {
            out.extend(bytes.chunks_exact(4).map(|id| i64::from(u32_at(id, 0))));
        }
    }

    /// Whether token `index` of the pack is to be predicted from the tokens before it in its document.
    #[must_use]
    pub fn is_target(&self, index: usize) -> bool {
        let bits = self.segment.section(&self.segment.ranges.targets);
        index < self.len() && check::bit(bits, self.tokens.start + index)
    }

    /// Number of targets.
    #[must_use]
    pub fn target_count(&self) -> usize {
        u32_at(self.segment.section(&self.segment.ranges.pack_targets), self.index) as usize
    }

    /// The documents in order; together they are the whole pack.
    pub fn documents(&self) -> impl Iterator<Item = Document> + '_ {
        let starts = self.segment.section(&self.segment.ranges.document_starts);
        let rows = self.segment.section(&self.segment.ranges.rows);
        let base = self.tokens.start;
        self.documents.clone().map(move |document| Document {
            range: u64_at(starts, document) as usize - base..u64_at(starts, document + 1) as usize - base,
            row: RowId(u64_at(rows, document)),
        })
    }
}
