//! The line of packs of one epoch.

use super::spans::{Span, merged};
use super::{PlanError, order};
use crate::ids::{Epoch, SegmentId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One pack of the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackRef {
    /// The segment, by its position in the manifest.
    pub segment: SegmentId,
    /// The pack's number inside the segment, from 0.
    pub pack: u32,
}

/// What a run must not read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quarantine {
    /// Whole segments.
    pub segments: BTreeSet<SegmentId>,
    /// Single packs of other segments.
    pub packs: BTreeSet<PackRef>,
}

/// All packs of an epoch in reading order. Positions do not depend on the quarantine, so that a cursor keeps its
/// meaning when the quarantine changes.
#[derive(Debug, Clone)]
pub(super) struct Line {
    seed: u64,
    epoch: Epoch,
    /// Manifest positions in the order of the line.
    segments: Vec<u32>,
    /// Line position of the first pack of each of `segments`, and the line's length at the end.
    starts: Vec<u64>,
}

impl Line {
    pub(super) fn new(pack_counts: &[u32], seed: u64, epoch: Epoch) -> Self {
        // A manifest numbers its segments with u32.
        let count = u32::try_from(pack_counts.len()).unwrap_or(u32::MAX);
        let segments = order::segment_order(seed, epoch, count);
        let mut starts = Vec::with_capacity(segments.len() + 1);
        let mut position = 0;
        starts.push(position);
        for &segment in &segments {
            position += u64::from(pack_counts[segment as usize]);
            starts.push(position);
        }
        Self { seed, epoch, segments, starts }
    }

    pub(super) fn len(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The segment at a line position, and the position inside its own order.
    pub(super) fn locate(&self, position: u64) -> Option<(SegmentId, u32)> {
        if position >= self.len() {
            return None;
        }
        // Of several segments that start here, all but the last are empty.
        let slot = self.starts.partition_point(|&start| start <= position) - 1;
        let offset = u32::try_from(position - self.starts[slot]).ok()?;
        Some((SegmentId(self.segments[slot]), offset))
    }

    /// The order of a segment's packs in this epoch.
    pub(super) fn pack_order(&self, segment: SegmentId) -> Vec<u32> {
        let span = self.segment_span(segment);
        let packs = span.map_or(0, |span| u32::try_from(span.len()).unwrap_or(u32::MAX));
        order::pack_order(self.seed, self.epoch, segment, packs)
    }

    /// Where the quarantined packs are on the line.
    pub(super) fn spans_of(&self, quarantine: &Quarantine) -> Result<Vec<Span>, PlanError> {
        let mut spans = Vec::new();
        for &segment in &quarantine.segments {
            spans.push(self.segment_span(segment).ok_or(PlanError::unknown_segment(segment))?);
        }
        // The set is sorted by segment, so each order is computed once.
        let mut open: Option<(SegmentId, Vec<u32>)> = None;
        for &pack in &quarantine.packs {
            let span = self.segment_span(pack.segment).ok_or(PlanError::unknown_pack(pack))?;
            if open.as_ref().is_none_or(|(segment, _)| *segment != pack.segment) {
                open = Some((pack.segment, self.pack_order(pack.segment)));
            }
            let order = open.as_ref().map_or(&[][..], |(_, order)| order);
            let offset = order.iter().position(|&other| other == pack.pack);
            let start = span.start + offset.ok_or(PlanError::unknown_pack(pack))? as u64;
            spans.push(Span { start, end: start + 1 });
        }
        Ok(merged(spans))
    }

    fn segment_span(&self, segment: SegmentId) -> Option<Span> {
        let slot = self.segments.iter().position(|&other| other == segment.0)?;
        Some(Span { start: self.starts[slot], end: self.starts[slot + 1] })
    }
}
