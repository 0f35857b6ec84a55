//! Properties of the plan.

use super::*;
use crate::config::{Batch, Train};
use crate::ids::{Epoch, Rank, WorldSize};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use std::collections::BTreeSet;

const SEED: u64 = 42;

/// Packs per segment, empty segments among them.
fn counts() -> impl Strategy<Value = Vec<u32>> {
    vec(prop_oneof![1 => Just(0_u32), 4 => 1..12_u32], 0..12)
}

fn all_packs(counts: &[u32]) -> Vec<PackRef> {
    let of_segment = |(segment, &count): (usize, &u32)| {
        (0..count).map(move |pack| PackRef { segment: SegmentId(segment as u32), pack })
    };
    counts.iter().enumerate().flat_map(of_segment).collect()
}

fn plan(counts: &[u32], quarantine: &Quarantine, cursor: &Cursor, lanes: u32) -> EpochPlan {
    EpochPlan::new(counts, quarantine, SEED, cursor, lanes).unwrap()
}

/// What the lanes give between two indices, lane by lane.
fn read(plan: &mut EpochPlan, from: u64, to: u64) -> Vec<PackRef> {
    let mut packs = Vec::new();
    for lane in 0..plan.lanes() {
        for index in from..to.min(plan.lane_len(lane)) {
            packs.push(plan.pack(lane, index).expect("inside of the lane"));
        }
        assert_eq!(plan.pack(lane, plan.lane_len(lane)), None);
    }
    packs
}

fn sorted(mut packs: Vec<PackRef>) -> Vec<PackRef> {
    packs.sort();
    packs
}

/// Through JSON, as every checkpoint and step report does.
fn written_and_read(cursor: &Cursor) -> Cursor {
    let read = serde_json::from_str(&serde_json::to_string(cursor).unwrap()).unwrap();
    assert_eq!(&read, cursor);
    read
}

proptest! {
    #[test]
    fn every_pack_once_however_often_the_rest_is_cut_anew(
        counts in counts(),
        epoch in 0..4_u32,
        cuts in vec((1..9_u32, 0..6_u64), 1..6),
    ) {
        let mut cursor = Cursor::start(Epoch(epoch), &counts);
        let mut seen = Vec::new();
        for (lanes, take) in cuts {
            let mut plan = plan(&counts, &Quarantine::default(), &cursor, lanes);
            let (from, to) = (plan.taken(), plan.taken() + take);
            seen.extend(read(&mut plan, from, to));
            cursor = written_and_read(&plan.cursor_after(to));
            let coverage = plan.coverage(to);
            prop_assert_eq!(coverage.trained, seen.len() as u64);
            prop_assert_eq!(coverage.planned, coverage.trained + coverage.left);
        }
        let mut last = plan(&counts, &Quarantine::default(), &cursor, 3);
        let (from, end) = (last.taken(), last.longest_lane());
        seen.extend(read(&mut last, from, end));
        prop_assert!(last.is_finished_after(end));
        prop_assert_eq!(last.coverage(end).left, 0);
        prop_assert_eq!(sorted(seen), all_packs(&counts));
    }

    #[test]
    fn lanes_differ_by_at_most_one_pack(counts in counts(), lanes in 1..20_u32) {
        let plan = plan(&counts, &Quarantine::default(), &Cursor::start(Epoch(0), &counts), lanes);
        let lengths: Vec<u64> = (0..lanes).map(|lane| plan.lane_len(lane)).collect();
        let (min, max) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
        prop_assert!(max - min <= 1);
        prop_assert_eq!(*max, plan.longest_lane());
        prop_assert_eq!(plan.lane_len(lanes), 0);
    }

    #[test]
    fn a_lane_opens_each_of_its_segments_once(counts in counts(), lanes in 1..6_u32) {
        let mut plan = plan(&counts, &Quarantine::default(), &Cursor::start(Epoch(1), &counts), lanes);
        for lane in 0..lanes {
            let mut opened: Vec<SegmentId> =
                (0..plan.lane_len(lane)).map(|index| plan.pack(lane, index).unwrap().segment).collect();
            opened.dedup();
            let distinct: BTreeSet<_> = opened.iter().collect();
            prop_assert_eq!(distinct.len(), opened.len());
        }
    }

    #[test]
    fn going_on_in_the_same_cut_reads_what_would_have_come(
        counts in counts(), lanes in 1..6_u32, take in 0..8_u64,
    ) {
        let cursor = Cursor::start(Epoch(2), &counts);
        let mut whole = plan(&counts, &Quarantine::default(), &cursor, lanes);
        let mut resumed = plan(&counts, &Quarantine::default(), &written_and_read(&whole.cursor_after(take)), lanes);
        let end = whole.longest_lane();
        prop_assert_eq!(resumed.taken(), take.min(end));
        prop_assert_eq!(read(&mut resumed, take.min(end), end), read(&mut whole, take.min(end), end));
    }

    #[test]
    fn with_lanes_fixed_a_global_batch_is_the_same_for_every_world_size(
        counts in counts(), per_lane in 1..4_u64, epoch in 0..3_u32,
    ) {
        let lanes = 12;
        let cursor = Cursor::start(Epoch(epoch), &counts);
        let batches = |world: u32| {
            let plans = (0..world).map(|rank| (rank, plan(&counts, &Quarantine::default(), &cursor, lanes)));
            let mut batches = vec![BTreeSet::new(); 20];
            for (rank, mut plan) in plans {
                for (step, batch) in batches.iter_mut().enumerate() {
                    for lane in lanes_of(Rank(rank), WorldSize(world), lanes) {
                        let from = step as u64 * per_lane;
                        let packs = (from..from + per_lane).filter_map(|index| plan.pack(lane, index));
                        batch.extend(packs.map(|pack| (lane, pack)));
                    }
                }
            }
            batches
        };
        let alone = batches(1);
        for world in [2, 3, 5, 12] {
            prop_assert_eq!(&batches(world), &alone);
        }
    }

    #[test]
    fn ranks_share_the_lanes_out(world in 1..20_u32, lanes in 0..40_u32) {
        let mut served: Vec<u32> =
            (0..world).flat_map(|rank| lanes_of(Rank(rank), WorldSize(world), lanes)).collect();
        served.sort_unstable();
        prop_assert_eq!(served, (0..lanes).collect::<Vec<_>>());
    }

    #[test]
    fn quarantined_packs_are_left_out_from_the_moment_on(
        counts in counts(),
        changes in vec((1..6_u32, 0..4_u64, btree_set((0..12_u32, 0..12_u32), 0..4), btree_set(0..12_u32, 0..2)), 1..5),
    ) {
        let mut cursor = Cursor::start(Epoch(0), &counts);
        let (mut seen, mut forbidden) = (BTreeSet::new(), BTreeSet::new());
        for (lanes, take, packs, segments) in changes {
            let quarantine = quarantine_of(&counts, &packs, &segments);
            forbidden = all_packs(&counts).into_iter().filter(|pack| in_quarantine(&quarantine, *pack)).collect();
            let mut plan = plan(&counts, &quarantine, &cursor, lanes);
            let (from, to) = (plan.taken(), plan.taken() + take);
            for pack in read(&mut plan, from, to) {
                prop_assert!(!in_quarantine(&quarantine, pack), "a quarantined pack was read");
                prop_assert!(seen.insert(pack), "a pack was read twice");
            }
            cursor = written_and_read(&plan.cursor_after(to));
        }
        let quarantine = Quarantine { segments: BTreeSet::new(), packs: forbidden.clone() };
        let mut rest = plan(&counts, &quarantine, &cursor, 2);
        let (from, end) = (rest.taken(), rest.longest_lane());
        seen.extend(read(&mut rest, from, end));
        let coverage = rest.coverage(end);
        prop_assert_eq!((coverage.trained, coverage.left), (seen.len() as u64, 0));
        prop_assert_eq!(coverage.planned, coverage.trained + coverage.quarantined);
        let all: BTreeSet<_> = all_packs(&counts).into_iter().collect();
        let unseen: BTreeSet<_> = all.difference(&seen).copied().collect();
        prop_assert!(unseen.is_subset(&forbidden), "packs were lost: {:?}", unseen);
    }

    #[test]
    fn no_cursor_makes_it_panic(
        packs in 0..30_u64, lanes in any::<u32>(), taken in any::<u64>(),
        consumed in vec((0..30_u64, 0..30_u64), 0..4), skipped in vec((0..30_u64, 0..30_u64), 0..3),
        new_lanes in 0..5_u32,
    ) {
        let spans = |pairs: Vec<(u64, u64)>| pairs.into_iter().map(|(start, end)| Span { start, end }).collect();
        let (consumed, skipped) = (spans(consumed), spans(skipped));
        let cursor = Cursor { epoch: Epoch(0), packs, lanes, taken, consumed, skipped };
        for lanes in [new_lanes, lanes] {
            if let Ok(mut plan) = EpochPlan::new(&[4, 0, 6], &Quarantine::default(), SEED, &cursor, lanes) {
                prop_assert_eq!(packs, 10);
                prop_assert!(plan.coverage(u64::MAX).left == 0);
                plan.pack(0, 0);
            }
        }
    }

    #[test]
    fn steps_done_and_left_make_the_total(
        counts in counts(), lanes in 1..6_u32, epochs in 1..4_u32, global_tokens in 1..2_000_u64,
        max_steps in prop_oneof![Just(0_u64), 1..40_u64],
    ) {
        let train = Train { epochs, max_steps, ..Train::default() };
        let batch = Batch { global_tokens, ..Batch::default() };
        let cursor = Cursor::start(Epoch(0), &counts);
        prop_assume!(cursor.packs >= u64::from(lanes));
        let length = RunLength::new(&train, &batch, cursor.packs, 100, lanes).unwrap();
        let mut done = 0;
        for epoch in 0..epochs {
            let plan = plan(&counts, &Quarantine::default(), &Cursor::start(Epoch(epoch), &counts), lanes);
            let mut taken = 0;
            while !plan.is_finished_after(taken) && (max_steps == 0 || done < max_steps) {
                prop_assert_eq!(length.total_steps_from(done, &plan, taken), length.total_steps());
                taken += length.packs_per_lane();
                done += 1;
            }
        }
        prop_assert_eq!(done, length.total_steps());
    }
}

fn quarantine_of(counts: &[u32], packs: &BTreeSet<(u32, u32)>, segments: &BTreeSet<u32>) -> Quarantine {
    let exists = |segment: u32, pack: u32| counts.get(segment as usize).is_some_and(|&count| pack < count);
    Quarantine {
        segments: segments.iter().filter(|&&s| (s as usize) < counts.len()).map(|&s| SegmentId(s)).collect(),
        packs: packs
            .iter()
            .filter(|(segment, pack)| exists(*segment, *pack))
            .map(|&(segment, pack)| PackRef { segment: SegmentId(segment), pack })
            .collect(),
    }
}

fn in_quarantine(quarantine: &Quarantine, pack: PackRef) -> bool {
    quarantine.packs.contains(&pack) || quarantine.segments.contains(&pack.segment)
}

/// Written down so that a change of the order, which would break every cursor in the field, is noticed; the values
/// were computed from the description in `order.rs` by a second implementation in another language.
#[test]
fn the_order_is_the_documented_one() {
    assert_eq!(order::segment_order(42, Epoch(1), 12), [11, 6, 10, 9, 8, 2, 4, 0, 7, 5, 1, 3]);
    assert_eq!(order::pack_order(42, Epoch(1), SegmentId(3), 12), [0, 10, 1, 9, 2, 7, 5, 6, 3, 11, 4, 8]);
}

#[test]
fn epochs_seeds_and_segments_have_their_own_orders() {
    let segments = |seed, epoch| order::segment_order(seed, Epoch(epoch), 50);
    let packs = |epoch, segment| order::pack_order(1, Epoch(epoch), SegmentId(segment), 50);
    let orders = [segments(1, 0), segments(1, 1), segments(2, 0), packs(0, 0), packs(1, 0), packs(0, 1)];
    let distinct: BTreeSet<_> = orders.iter().collect();
    assert_eq!(distinct.len(), orders.len());
    for order in orders {
        assert_eq!(order.into_iter().collect::<BTreeSet<_>>(), (0..50).collect());
    }
}

#[test]
fn a_cursor_of_other_data_is_refused() {
    let cursor = Cursor::start(Epoch(0), &[4, 4]);
    let error = EpochPlan::new(&[4, 5], &Quarantine::default(), SEED, &cursor, 2).unwrap_err();
    assert_eq!(error, PlanError::DifferentData { cursor: 8, dataset: 9 });
}

#[test]
fn a_cursor_past_the_end_is_refused() {
    let plan = plan(&[4, 4], &Quarantine::default(), &Cursor::start(Epoch(0), &[4, 4]), 2);
    let cursor = Cursor { taken: 5, ..plan.cursor_after(4) };
    let error = EpochPlan::new(&[4, 4], &Quarantine::default(), SEED, &cursor, 2).unwrap_err();
    assert!(matches!(error, PlanError::BrokenCursor { .. }), "{error}");
    assert_eq!(plan.cursor_after(99).taken, 4);
}

#[test]
fn quarantine_of_what_is_not_there_is_refused() {
    let cursor = Cursor::start(Epoch(0), &[4, 4]);
    let segment = Quarantine { segments: [SegmentId(2)].into(), ..Quarantine::default() };
    let error = EpochPlan::new(&[4, 4], &segment, SEED, &cursor, 2).unwrap_err().to_string();
    assert!(error.starts_with("segment 2 is in quarantine"), "{error}");
    let pack = PackRef { segment: SegmentId(1), pack: 4 };
    let packs = Quarantine { packs: [pack].into(), ..Quarantine::default() };
    let error = EpochPlan::new(&[4, 4], &packs, SEED, &cursor, 2).unwrap_err().to_string();
    assert!(error.starts_with("pack 4 of segment 1 is in quarantine"), "{error}");
}

#[test]
fn a_step_takes_whole_packs_of_every_lane() {
    assert_eq!(packs_per_lane(4096, 1024, 2), 2);
    assert_eq!(packs_per_lane(4097, 1024, 2), 3);
    assert_eq!(packs_per_lane(1, 1024, 8), 1);
    assert_eq!(packs_per_lane(u64::MAX, 1, 1), u64::MAX);
}

#[test]
fn more_lanes_than_packs_is_refused() {
    let refused =
        |packs, lanes| RunLength::new(&Train::default(), &Batch::default(), packs, 8, lanes).unwrap_err();
    assert_eq!(refused(3, 4), PlanError::TooFewPacks { packs: 3, lanes: 4 });
    assert_eq!(refused(3, 0), PlanError::NoLanes);
}
