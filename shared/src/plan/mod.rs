//! Who reads which pack and when: a pure function of the data set's pack counts, the seed and a cursor.
//!
//! For an epoch the segments are put in a random order, and so are the packs inside each segment. Written one after
//! the other they are a *line* of packs. The part of the line that is still to be read is cut into contiguous *lanes*
//! whose lengths differ by at most one. Rank `r` of `W` serves the lanes `r, r + W, …`, each from its beginning to its
//! end, so it has one segment open per lane.
//!
//! A [`Cursor`] says how far an epoch has come. It is a few numbers, so a run resumes without replaying anything, and
//! also with another number of lanes: what is left is then cut anew.
//!
//! Every participant computes the plan by itself and comes to the same result; nothing but the cursor travels.
//! Memory is proportional to the number of segments, plus the pack order of the segment that each served lane has open.

mod cursor;
mod epoch;
mod line;
mod order;
mod spans;
mod steps;

#[cfg(test)]
mod tests;

pub use cursor::Cursor;
pub use epoch::{Coverage, EpochPlan, lanes_of};
pub use line::{PackRef, Quarantine};
pub use spans::Span;
pub use steps::{RunLength, packs_per_lane};

use crate::ids::SegmentId;

/// A plan that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No lane to put packs into.
    #[error("an epoch was to be cut into 0 lanes; at least one lane (one rank) is needed")]
    NoLanes,
    /// The cursor counts the packs of another data set.
    #[error(
        "the position to resume from belongs to a data set of {cursor} packs, but this data set has {dataset}. \
         Resume with the data set that the checkpoint was written with, or start a new run from its model"
    )]
    DifferentData {
        /// Packs that the cursor was made for.
        cursor: u64,
        /// Packs of the data set at hand.
        dataset: u64,
    },
    /// The cursor contradicts itself.
    #[error("the position to resume from is damaged: {reason}. Resume from an earlier checkpoint")]
    BrokenCursor {
        /// What does not fit.
        reason: String,
    },
    /// Quarantine of something that the data set does not have.
    #[error(
        "{what} is in quarantine, but the data set has no such thing; the quarantine list belongs to another data set"
    )]
    UnknownQuarantine {
        /// "segment 7" or "pack 3 of segment 7".
        what: String,
    },
    /// Fewer packs than lanes: some ranks would never have anything to do.
    #[error(
        "the data set has {packs} packs, too few for {lanes} lanes (one per worker unless data.lanes is set). \
         Use fewer workers, more data, or a smaller vectorize.max_length"
    )]
    TooFewPacks {
        /// Packs of the data set.
        packs: u64,
        /// Lanes asked for.
        lanes: u32,
    },
}

impl PlanError {
    fn unknown_segment(segment: SegmentId) -> Self {
        Self::UnknownQuarantine { what: format!("segment {segment}") }
    }

    fn unknown_pack(pack: PackRef) -> Self {
        Self::UnknownQuarantine { what: format!("pack {} of segment {}", pack.pack, pack.segment) }
    }
}
