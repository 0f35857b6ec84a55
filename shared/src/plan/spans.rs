//! Sets of line positions as sorted, disjoint spans.

use serde::{Deserialize, Serialize};

/// Line positions from `start` up to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// First position.
    pub start: u64,
    /// One past the last position.
    pub end: u64,
}

impl Span {
    /// Number of positions.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds no position.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// Positions in all of `spans`, which are disjoint.
pub(super) fn total(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.len()).sum()
}

/// The union, sorted, disjoint, without touching neighbours and without empty spans.
pub(super) fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| !span.is_empty());
    spans.sort_unstable();
    let mut union: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match union.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => union.push(span),
        }
    }
    union
}

/// The positions of `0..length` that are in none of `spans`, which are merged.
pub(super) fn complement(spans: &[Span], length: u64) -> Vec<Span> {
    let mut gaps = Vec::with_capacity(spans.len() + 1);
    let mut start = 0;
    for span in spans {
        gaps.push(Span { start, end: span.start });
        start = span.end;
    }
    gaps.push(Span { start, end: length });
    gaps.retain(|gap| !gap.is_empty());
    gaps
}

/// The positions of `from` that are not in `taken`; both are merged and lie in `0..length`.
pub(super) fn difference(from: &[Span], taken: &[Span], length: u64) -> Vec<Span> {
    let mut outside = complement(from, length);
    outside.extend_from_slice(taken);
    complement(&merged(outside), length)
}

/// Merged spans seen as one run of positions counted from 0 without the gaps between them.
#[derive(Debug, Clone)]
pub(super) struct Indexed {
    spans: Vec<Span>,
    /// Number of positions before each span.
    before: Vec<u64>,
    len: u64,
}

impl Indexed {
    pub(super) fn new(spans: Vec<Span>) -> Self {
        let mut len = 0;
        let before = spans
            .iter()
            .map(|span| {
                let start = len;
                len += span.len();
                start
            })
            .collect();
        Self { spans, before, len }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The line position of the `index`-th position.
    pub(super) fn position(&self, index: u64) -> Option<u64> {
        if index >= self.len {
            return None;
        }
        let slot = self.before.partition_point(|&before| before <= index) - 1;
        Some(self.spans[slot].start + (index - self.before[slot]))
    }

    /// The line positions of the indices `start..end`, as spans.
    pub(super) fn slice(&self, start: u64, end: u64) -> impl Iterator<Item = Span> + '_ {
        let first = self.before.partition_point(|&before| before <= start).saturating_sub(1);
        let pairs = self.spans[first.min(self.spans.len())..]
            .iter()
            .zip(&self.before[first.min(self.before.len())..]);
        pairs
            .take_while(move |(_, before)| **before < end)
            .map(move |(span, before)| Span {
                start: span.start + start.saturating_sub(*before),
                end: span.end.min(span.start + (end - before)),
            })
            .filter(|span| !span.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> Span {
        Span { start, end }
    }

    #[test]
    fn union_complement_and_difference() {
        let union = merged(vec![span(5, 7), span(0, 2), span(3, 3), span(2, 3), span(6, 9)]);
        assert_eq!(union, [span(0, 3), span(5, 9)]);
        assert_eq!(complement(&union, 12), [span(3, 5), span(9, 12)]);
        assert_eq!(complement(&[], 2), [span(0, 2)]);
        assert_eq!(complement(&[span(0, 2)], 2), []);
        assert_eq!(difference(&union, &[span(1, 6)], 12), [span(0, 1), span(6, 9)]);
    }

    #[test]
    fn indices_skip_the_gaps() {
        let indexed = Indexed::new(vec![span(2, 4), span(7, 8), span(9, 12)]);
        let positions: Vec<_> = (0..7).map_while(|index| indexed.position(index)).collect();
        assert_eq!(positions, [2, 3, 7, 9, 10, 11]);
        assert_eq!(indexed.slice(1, 5).collect::<Vec<_>>(), [span(3, 4), span(7, 8), span(9, 11)]);
        assert_eq!(indexed.slice(2, 2).count(), 0);
        assert_eq!(Indexed::new(Vec::new()).slice(0, 0).count(), 0);
    }
}
