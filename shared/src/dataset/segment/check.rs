//! The content of a segment, checked once at open so that readers need not.

use super::super::error::SegmentFault;
use super::layout::{Header, Ranges, count, u16_at, u32_at, u64_at};

/// Checks everything that later reads rely on: boundaries, pack lengths, token ids, target bits and counts.
///
/// # Errors
/// The first fault found.
pub(super) fn content(file: &[u8], header: &Header, ranges: &Ranges) -> Result<(), SegmentFault> {
    let starts = &file[ranges.document_starts.clone()];
    let firsts = &file[ranges.pack_documents.clone()];
    rising("document starts", header.documents as usize, header.tokens, |index| u64_at(starts, index))?;
    rising("pack starts", header.packs as usize, header.documents.into(), |index| {
        u32_at(firsts, index).into()
    })?;
    token_ids(&file[ranges.tokens.clone()], header)?;

    let targets = &file[ranges.targets.clone()];
    let used = (header.tokens % 8) as u32;
    if used > 0 && targets.last().is_some_and(|last| last >> used != 0) {
        return Err(SegmentFault::SpareBits);
    }
    for document in 0..header.documents as usize {
        if bit(targets, u64_at(starts, document) as usize) {
            return Err(SegmentFault::FirstTarget(document));
        }
    }
    let counts = &file[ranges.pack_targets.clone()];
    let mut total = 0;
    for pack in 0..header.packs as usize {
        let start = u64_at(starts, u32_at(firsts, pack) as usize);
        let end = u64_at(starts, u32_at(firsts, pack + 1) as usize);
        if end - start > header.max_length.into() {
            return Err(SegmentFault::PackLength {
                pack,
                tokens: end - start,
                max_length: header.max_length,
            });
        }
        let found = count_bits(targets, start as usize, end as usize);
        let expected = u64::from(u32_at(counts, pack));
        if found != expected {
            return Err(SegmentFault::Targets { pack, expected, found });
        }
        total += found;
    }
    if total != header.target_tokens {
        return Err(count("target count", header.target_tokens, total));
    }
    Ok(())
}

/// `entries + 1` boundaries: from 0, strictly rising (nothing is empty), up to `end`.
fn rising(
    what: &'static str,
    entries: usize,
    end: u64,
    boundary: impl Fn(usize) -> u64,
) -> Result<(), SegmentFault> {
    if boundary(0) != 0 {
        return Err(SegmentFault::Boundaries { what, index: 0 });
    }
    if let Some(index) = (1..=entries).find(|&index| boundary(index) <= boundary(index - 1)) {
        return Err(SegmentFault::Boundaries { what, index });
    }
    if boundary(entries) != end {
        return Err(SegmentFault::Boundaries { what, index: entries });
    }
    Ok(())
}

fn token_ids(tokens: &[u8], header: &Header) -> Result<(), SegmentFault> {
    let vocab_size = header.vocab_size;
    let wrong = if header.token_bytes == 2 {
        // Most vocabularies of this width are smaller than it, so the check is needed here too.
        tokens.chunks_exact(2).position(|id| u32::from(u16_at(id, 0)) >= vocab_size)
    } else {
        tokens.chunks_exact(4).position(|id| u32_at(id, 0) >= vocab_size)
    };
    let Some(index) = wrong else { return Ok(()) };
    let id = if header.token_bytes == 2 { u16_at(tokens, index).into() } else { u32_at(tokens, index) };
    Err(SegmentFault::Token { index, id, vocab_size })
}

/// Bit `index`, lowest bit of a byte first.
pub(super) fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

fn count_bits(bits: &[u8], start: usize, end: usize) -> u64 {
    let aligned = start.next_multiple_of(8).min(end);
    let tail = (end - end % 8).max(aligned);
    let whole: u64 =
        bits[aligned / 8..tail.max(aligned) / 8].iter().map(|byte| u64::from(byte.count_ones())).sum();
    let edge = (start..aligned).chain(tail..end).filter(|&index| bit(bits, index)).count() as u64;
    whole + edge
}
