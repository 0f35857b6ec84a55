//! Properties of the plan.

use super::*;
use crate::ids::Epoch;

#[test]
fn a_small_epoch_is_covered() {
    let counts = [3, 0, 2];
    let cursor = Cursor::start(Epoch(0), &counts);
    let mut plan = EpochPlan::new(&counts, &Quarantine::default(), 7, &cursor, 2).unwrap();
    let mut seen: Vec<_> = (0..2)
        .flat_map(|lane| (0..3).map(move |index| (lane, index)))
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|(lane, index)| plan.pack(lane, index))
        .collect();
    seen.sort();
    assert_eq!(seen.len(), 5);
    seen.dedup();
    assert_eq!(seen.len(), 5);
}
