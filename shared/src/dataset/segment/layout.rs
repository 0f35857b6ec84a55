//! Where everything is in a segment file.

use super::super::error::SegmentFault;
use crate::codec;
use bincode::{Decode, Encode};
use std::ops::Range;

pub(super) const MAGIC: [u8; 8] = *b"EVKLSEG\n";
pub(super) const VERSION: u8 = 1;
/// Magic and header length.
const PREFIX: u64 = 12;

/// The header record. Field order is the format.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Header {
    pub vocab_size: u32,
    pub max_length: u32,
    /// Bytes per token id: 2 or 4.
    pub token_bytes: u8,
    pub tokens: u64,
    pub target_tokens: u64,
    pub documents: u32,
    pub packs: u32,
    pub sections: [Section; SECTIONS.len()],
}

/// One array of the file, in bytes from the start of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Section {
    pub offset: u64,
    pub bytes: u64,
}

pub(super) const SECTIONS: [&str; 6] =
    ["tokens", "targets", "pack_documents", "document_starts", "rows", "pack_targets"];

/// Bytes per token id that a vocabulary needs.
pub(super) fn token_bytes(vocab_size: u32) -> u8 {
    if vocab_size <= 1 << 16 { 2 } else { 4 }
}

/// The byte ranges of the sections, each proven to lie inside the file.
#[derive(Debug, Clone)]
pub(super) struct Ranges {
    pub tokens: Range<usize>,
    pub targets: Range<usize>,
    pub pack_documents: Range<usize>,
    pub document_starts: Range<usize>,
    pub rows: Range<usize>,
    pub pack_targets: Range<usize>,
}

impl Header {
    /// Fills in the section table from the counts.
    ///
    /// # Errors
    /// When the record cannot be encoded.
    pub(super) fn lay_out(mut self) -> Result<Self, SegmentFault> {
        // Fixed-width integers: the length of the record does not depend on the offsets.
        let record = codec::encode(VERSION, &self)?.len() as u64;
        let lengths = self.section_lengths().ok_or(overflow())?;
        let mut offset = PREFIX + record;
        for (section, bytes) in self.sections.iter_mut().zip(lengths) {
            *section = Section { offset, bytes };
            offset = offset.checked_add(bytes).ok_or(overflow())?;
        }
        Ok(self)
    }

    /// Magic, length and record.
    ///
    /// # Errors
    /// When the record cannot be encoded.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, SegmentFault> {
        let record = codec::encode(VERSION, self)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((record.len() as u32).to_le_bytes());
        bytes.extend(record);
        Ok(bytes)
    }

    /// Reads the header and checks that its sections, one after the other, are exactly the rest of the file and have
    /// the lengths that follow from the counts.
    ///
    /// # Errors
    /// Any deviation.
    pub(super) fn read(file: &[u8]) -> Result<(Self, Ranges), SegmentFault> {
        let short = |expected: u64| SegmentFault::Truncated { expected, found: file.len() as u64 };
        let prefix = file.get(..PREFIX as usize).ok_or_else(|| short(PREFIX))?;
        let (magic, length) = prefix.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(SegmentFault::Magic);
        }
        let record_bytes = u64::from(u32_at(length, 0));
        let end = PREFIX + record_bytes;
        let record = usize::try_from(end).ok().and_then(|end| file.get(PREFIX as usize..end));
        let header: Self = codec::decode(VERSION, record.ok_or_else(|| short(end))?)?;
        let ranges = header.check(end, file.len() as u64)?;
        Ok((header, ranges))
    }

    fn check(&self, start: u64, file_bytes: u64) -> Result<Ranges, SegmentFault> {
        let expected = u64::from(token_bytes(self.vocab_size));
        if u64::from(self.token_bytes) != expected {
            return Err(count("width of a token id", expected, self.token_bytes.into()));
        }
        let lengths = self.section_lengths().ok_or(overflow())?;
        let mut offset = start;
        for ((section, bytes), name) in self.sections.iter().zip(lengths).zip(SECTIONS) {
            if *section != (Section { offset, bytes }) {
                let (found_offset, found_bytes) = (section.offset, section.bytes);
                return Err(SegmentFault::Section {
                    section: name,
                    offset,
                    bytes,
                    found_offset,
                    found_bytes,
                });
            }
            offset = offset.checked_add(bytes).ok_or(overflow())?;
        }
        if offset > file_bytes {
            return Err(SegmentFault::Truncated { expected: offset, found: file_bytes });
        }
        if offset < file_bytes {
            return Err(count("length in bytes", offset, file_bytes));
        }
        let range = |index: usize| {
            let Section { offset, bytes } = self.sections[index];
            // Both ends are at most the length of the file, which is in memory.
            offset as usize..(offset + bytes) as usize
        };
        Ok(Ranges {
            tokens: range(0),
            targets: range(1),
            pack_documents: range(2),
            document_starts: range(3),
            rows: range(4),
            pack_targets: range(5),
        })
    }

    /// Bytes of each section in file order; `None` when a damaged count overflows.
    fn section_lengths(&self) -> Option<[u64; SECTIONS.len()]> {
        let (packs, documents) = (u64::from(self.packs), u64::from(self.documents));
        Some([
            self.tokens.checked_mul(self.token_bytes.into())?,
            self.tokens.div_ceil(8),
            4 * (packs + 1),
            8 * (documents + 1),
            8 * documents,
            4 * packs,
        ])
    }
}

fn overflow() -> SegmentFault {
    count("token count", u64::MAX / 8, u64::MAX)
}

pub(super) fn count(what: &'static str, expected: u64, found: u64) -> SegmentFault {
    SegmentFault::Count { what, expected, found }
}

// The readers below take entry `index` of a section whose length was checked; beyond its end they give 0 rather than
// panic, so that a mistake in a caller cannot bring a worker down.

pub(super) fn u16_at(section: &[u8], index: usize) -> u16 {
    entry(section, index).map_or(0, u16::from_le_bytes)
}

pub(super) fn u32_at(section: &[u8], index: usize) -> u32 {
    entry(section, index).map_or(0, u32::from_le_bytes)
}

pub(super) fn u64_at(section: &[u8], index: usize) -> u64 {
    entry(section, index).map_or(0, u64::from_le_bytes)
}

fn entry<const N: usize>(section: &[u8], index: usize) -> Option<[u8; N]> {
    section.get(index * N..)?.first_chunk().copied()
}
