//! Documents into packs: best fit, longest first.

use std::collections::BTreeSet;

/// Puts documents into packs of at most `max_length` tokens: each pack is a list of positions in `lengths`.
///
/// Best-fit decreasing: the longest document first, each into the fullest pack that has room for it. Of equal
/// documents the first goes first, of equal packs the oldest is taken, so the result depends on nothing else. No
/// length may be above `max_length`.
pub(super) fn best_fit(lengths: &[u32], max_length: u32) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    // A stable sort keeps equal ones in input order.
    order.sort_by_key(|&document| std::cmp::Reverse(lengths[document]));
    let mut packs: Vec<Vec<usize>> = Vec::new();
    let mut room: BTreeSet<(u32, usize)> = BTreeSet::new();
    for document in order {
        let length = lengths[document];
        let (left, pack) = match room.range((length, 0)..).next().copied() {
            Some(found) => {
                room.remove(&found);
                found
            }
            None => {
                packs.push(Vec::new());
                (max_length, packs.len() - 1)
            }
        };
        packs[pack].push(document);
        let left = left.saturating_sub(length);
        if left > 0 {
            room.insert((left, pack));
        }
    }
    packs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fullest_pack_with_room_is_taken() {
        // 7 and 6 open packs with 3 and 4 left; 3 fits both and goes where it fits best; 4 then fills the other.
        assert_eq!(best_fit(&[3, 7, 4, 6], 10), [vec![1, 0], vec![3, 2]]);
        assert_eq!(best_fit(&[5, 5, 5], 10), [vec![0, 1], vec![2]]);
        assert_eq!(best_fit(&[], 10), Vec::<Vec<usize>>::new());
    }

    proptest! {
        #[test]
        fn every_document_is_in_one_pack_that_holds_it(lengths in prop::collection::vec(1u32..=50, 0..200)) {
            let packs = best_fit(&lengths, 50);
            let mut seen: Vec<usize> = packs.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            let sums: Vec<u32> = packs.iter().map(|pack| pack.iter().map(|&d| lengths[d]).sum()).collect();
            prop_assert!(sums.iter().all(|&sum| sum > 0 && sum <= 50));
            // No two packs could have been one, the mark of a fit algorithm.
            let mut sorted = sums.clone();
            sorted.sort_unstable();
            prop_assert!(sorted.len() < 2 || sorted[0] + sorted[1] > 50);
        }
    }
}
