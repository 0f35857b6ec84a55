//! How far an epoch has come.

use super::PlanError;
use super::spans::Span;
use crate::ids::Epoch;
use serde::{Deserialize, Serialize};

/// A position in the data, to go on from with any number of lanes. Small enough for every step report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The epoch.
    pub epoch: Epoch,
    /// Packs of the whole data set: a cursor of another data set is refused, not misread.
    pub packs: u64,
    /// Lanes of the current cut; 0 when the epoch has not been cut yet.
    pub lanes: u32,
    /// Packs done in each lane of the current cut (a lane that is one pack shorter is done one pack earlier).
    pub taken: u64,
    /// Line positions done under earlier cuts of this epoch: sorted, disjoint, not touching.
    pub consumed: Vec<Span>,
    /// Line positions that the current cut leaves out because of the quarantine: sorted, disjoint, not touching.
    pub skipped: Vec<Span>,
}

impl Cursor {
    /// The beginning of an epoch over a data set with these packs per segment.
    #[must_use]
    pub fn start(epoch: Epoch, pack_counts: &[u32]) -> Self {
        Self {
            epoch,
            packs: pack_counts.iter().map(|&count| u64::from(count)).sum(),
            lanes: 0,
            taken: 0,
            consumed: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// The beginning of the epoch after this one.
    #[must_use]
    pub fn next_epoch(&self) -> Self {
        Self {
            epoch: Epoch(self.epoch.0.saturating_add(1)),
            packs: self.packs,
            lanes: 0,
            taken: 0,
            consumed: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Refuses a cursor that was not made for a data set of `packs` packs or contradicts itself.
    pub(super) fn check(&self, packs: u64) -> Result<(), PlanError> {
        if self.packs != packs {
            return Err(PlanError::DifferentData { cursor: self.packs, dataset: packs });
        }
        if self.lanes == 0 && self.taken > 0 {
            return Err(broken(format!("{} packs are taken from each of 0 lanes", self.taken)));
        }
        check_spans("consumed", &self.consumed, packs)?;
        check_spans("skipped", &self.skipped, packs)
    }
}

fn check_spans(name: &str, spans: &[Span], packs: u64) -> Result<(), PlanError> {
    let mut previous: Option<Span> = None;
    for span in spans {
        if span.is_empty() || span.end > packs {
            let Span { start, end } = span;
            return Err(broken(format!("its {name} span {start}..{end} is not inside the {packs} packs")));
        }
        if previous.is_some_and(|previous| span.start <= previous.end) {
            return Err(broken(format!(
                "its {name} spans are not sorted and apart at position {}",
                span.start
            )));
        }
        previous = Some(*span);
    }
    Ok(())
}

pub(super) fn broken(reason: String) -> PlanError {
    PlanError::BrokenCursor { reason }
}
