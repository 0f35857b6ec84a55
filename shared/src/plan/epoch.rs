//! What is left of an epoch, cut into lanes.

use super::cursor::broken;
use super::line::{Line, Quarantine};
use super::spans::{Indexed, Span, complement, difference, merged, total};
use super::{Cursor, PackRef, PlanError};
use crate::ids::{Epoch, Rank, SegmentId, WorldSize};
use std::collections::BTreeMap;
use std::ops::Range;

/// The lanes of one epoch from a cursor on.
#[derive(Debug, Clone)]
pub struct EpochPlan {
    epoch: Epoch,
    line: Line,
    consumed: Vec<Span>,
    skipped: Vec<Span>,
    cut: Cut,
    taken: u64,
    /// The pack order of the segment that a lane is in; only lanes that are read have one.
    open: BTreeMap<u32, (SegmentId, Vec<u32>)>,
}

impl EpochPlan {
    /// The plan of the cursor's epoch with this many lanes.
    ///
    /// With the cursor's number of lanes and an unchanged quarantine it goes on inside the cursor's cut at
    /// [`taken`](Self::taken). Otherwise what is done is set aside and the rest is cut anew, `taken` being 0.
    ///
    /// # Errors
    /// No lanes; a cursor of a data set of another size or one that contradicts itself; a quarantine of packs that the
    /// data set does not have.
    pub fn new(
        pack_counts: &[u32],
        quarantine: &Quarantine,
        seed: u64,
        cursor: &Cursor,
        lanes: u32,
    ) -> Result<Self, PlanError> {
        if lanes == 0 {
            return Err(PlanError::NoLanes);
        }
        let line = Line::new(pack_counts, seed, cursor.epoch);
        cursor.check(line.len())?;
        let quarantined = line.spans_of(quarantine)?;

        let old_cut = Cut::new(&cursor.consumed, &cursor.skipped, line.len(), cursor.lanes.max(1));
        if cursor.taken > old_cut.longest_lane() {
            let longest = old_cut.longest_lane();
            return Err(broken(format!("{} packs are taken from lanes of at most {longest}", cursor.taken)));
        }
        let skipped = difference(&quarantined, &cursor.consumed, line.len());
        let (epoch, open) = (cursor.epoch, BTreeMap::new());
        if lanes == cursor.lanes && skipped == cursor.skipped {
            let consumed = cursor.consumed.clone();
            return Ok(Self { epoch, line, consumed, skipped, cut: old_cut, taken: cursor.taken, open });
        }
        let consumed = old_cut.with_taken(&cursor.consumed, cursor.taken);
        let skipped = difference(&quarantined, &consumed, line.len());
        let cut = Cut::new(&consumed, &skipped, line.len(), lanes);
        Ok(Self { epoch, line, consumed, skipped, cut, taken: 0, open })
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Number of lanes.
    #[must_use]
    pub fn lanes(&self) -> u32 {
        self.cut.lanes
    }

    /// Packs of each lane that the cursor says are done: reading goes on at this index.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Packs in a lane of this cut, done ones included; 0 for a lane that does not exist.
    #[must_use]
    pub fn lane_len(&self, lane: u32) -> u64 {
        let range = self.cut.lane(lane);
        range.end - range.start
    }

    /// Packs in the longest lane; the others have as many or one fewer.
    #[must_use]
    pub fn longest_lane(&self) -> u64 {
        self.cut.longest_lane()
    }

    /// Whether nothing is left once each lane has given `taken` packs.
    #[must_use]
    pub fn is_finished_after(&self, taken: u64) -> bool {
        taken >= self.longest_lane()
    }

    /// The pack at an index of a lane, counted from the lane's beginning in this cut; `None` past its end.
    ///
    /// Takes `&mut self` to keep the order of the lane's open segment; the answer does not depend on earlier calls.
    pub fn pack(&mut self, lane: u32, index: u64) -> Option<PackRef> {
        let range = self.cut.lane(lane);
        if index >= range.end - range.start {
            return None;
        }
        let (segment, offset) = self.line.locate(self.cut.left.position(range.start + index)?)?;
        let open = self.open.entry(lane).or_insert_with(|| (segment, self.line.pack_order(segment)));
        if open.0 != segment {
            *open = (segment, self.line.pack_order(segment));
        }
        let pack = *open.1.get(offset as usize)?;
        Some(PackRef { segment, pack })
    }

    /// The cursor to write down once each lane has given `taken` packs (more than there are counts as all).
    #[must_use]
    pub fn cursor_after(&self, taken: u64) -> Cursor {
        Cursor {
            epoch: self.epoch,
            packs: self.line.len(),
            lanes: self.cut.lanes,
            taken: taken.min(self.longest_lane()),
            consumed: self.consumed.clone(),
            skipped: self.skipped.clone(),
        }
    }

    /// What has become of the epoch's packs once each lane has given `taken` packs.
    #[must_use]
    pub fn coverage(&self, taken: u64) -> Coverage {
        let trained = total(&self.cut.with_taken(&self.consumed, taken));
        let quarantined = total(&self.skipped);
        let planned = self.line.len();
        Coverage { planned, trained, quarantined, left: planned - trained - quarantined }
    }
}

/// The account of an epoch's packs: `planned = trained + quarantined + left`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// Packs of the data set.
    pub planned: u64,
    /// Packs read, each exactly once.
    pub trained: u64,
    /// Packs left out because of the quarantine.
    pub quarantined: u64,
    /// Packs still to be read.
    pub left: u64,
}

/// The lanes that a rank serves: `rank`, `rank + world`, and so on below `lanes`.
pub fn lanes_of(rank: Rank, world: WorldSize, lanes: u32) -> impl Iterator<Item = u32> + Clone {
    (rank.0..lanes).step_by(world.0.max(1) as usize)
}

/// Contiguous lanes over the line positions that are left.
#[derive(Debug, Clone)]
struct Cut {
    left: Indexed,
    lanes: u32,
}

impl Cut {
    /// `lanes` is at least 1.
    fn new(consumed: &[Span], skipped: &[Span], length: u64, lanes: u32) -> Self {
        let gone = merged([consumed, skipped].concat());
        Self { left: Indexed::new(complement(&gone, length)), lanes }
    }

    /// A lane as indices into what is left. The first lanes have the extra packs.
    fn lane(&self, lane: u32) -> Range<u64> {
        let (share, extra) =
            (self.left.len() / u64::from(self.lanes), self.left.len() % u64::from(self.lanes));
        let lane = u64::from(lane);
        if lane >= u64::from(self.lanes) {
            return 0..0;
        }
        let start = lane * share + lane.min(extra);
        start..start + share + u64::from(lane < extra)
    }

    fn longest_lane(&self) -> u64 {
        self.left.len().div_ceil(u64::from(self.lanes))
    }

    /// `consumed` and the first `taken` packs of each lane.
    fn with_taken(&self, consumed: &[Span], taken: u64) -> Vec<Span> {
        let mut spans = consumed.to_vec();
        // Lanes past the number of packs are empty; a damaged cursor may claim billions of them.
        let filled = u64::from(self.lanes).min(self.left.len());
        for lane in 0..u32::try_from(filled).unwrap_or(self.lanes) {
            let range = self.lane(lane);
            spans.extend(self.left.slice(range.start, range.end.min(range.start.saturating_add(taken))));
        }
        merged(spans)
    }
}
