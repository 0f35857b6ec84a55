//! Which rows go into which segment.

use evenkeel_shared::ids::RowId;

/// Names the use of the hash, so that the same seed gives other numbers elsewhere.
const CONTEXT: &str = "evenkeel vectorize row order 1";

/// Spreads the rows over segments, so that each segment is a random sample of the input.
///
/// Row `i` has the key that is bytes `8 i .. 8 i + 8`, little-endian, of the extended output (XOF) of BLAKE3 in
/// key-derivation mode with the context `evenkeel vectorize row order 1` and the seed as 8 little-endian bytes as
/// input. The rows are sorted by key, equal keys by row number. With `n = max(1, ceil(total / segment_bytes))`, a row
/// before which `c` of the `total` bytes lie in that order belongs to part `floor(c * n / total)`; parts without rows
/// are left out. Inside a segment the rows are in input order, so that reading them goes forward through the files.
pub(super) fn segments(
    rows: impl Iterator<Item = (RowId, u64)>,
    seed: u64,
    segment_bytes: u64,
) -> Vec<Vec<RowId>> {
    let mut keys = blake3::Hasher::new_derive_key(CONTEXT).update(&seed.to_le_bytes()).finalize_xof();
    let mut order: Vec<(u64, RowId, u64)> = rows
        .map(|(row, bytes)| {
            let mut key = [0; 8];
            keys.set_position(8 * row.0);
            keys.fill(&mut key);
            (u64::from_le_bytes(key), row, bytes)
        })
        .collect();
    order.sort_unstable_by_key(|&(key, row, _)| (key, row));
    let total: u64 = order.iter().map(|&(_, _, bytes)| bytes).sum();
    let parts = total.div_ceil(segment_bytes.max(1)).max(1);
    let mut segments: Vec<Vec<RowId>> = Vec::new();
    let (mut before, mut current) = (0u64, None);
    for (_, row, bytes) in order {
        let part = u128::from(before) * u128::from(parts) / u128::from(total.max(1));
        if current != Some(part) {
            segments.push(Vec::new());
            current = Some(part);
        }
        if let Some(segment) = segments.last_mut() {
            segment.push(row);
        }
        before += bytes;
    }
    for segment in &mut segments {
        segment.sort_unstable();
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(count: u64, bytes: u64) -> impl Iterator<Item = (RowId, u64)> {
        (0..count).map(move |row| (RowId(row), bytes))
    }

    #[test]
    fn the_order_is_fixed_for_all_time() {
        let shape = |seed| -> Vec<Vec<u64>> {
            segments(rows(8, 10), seed, 20)
                .into_iter()
                .map(|s| s.into_iter().map(|row| row.0).collect())
                .collect()
        };
        assert_eq!(shape(0), EXPECTED);
        assert_ne!(shape(0), shape(1));
    }

    /// Also worked out in Python with the `blake3` package, from the formula in the documentation above.
    const EXPECTED: [[u64; 2]; 4] = [[1, 5], [2, 7], [3, 6], [0, 4]];

    proptest! {
        #[test]
        fn every_row_is_in_one_segment_of_about_the_size(
            sizes in prop::collection::vec(1u64..1000, 0..300), seed in any::<u64>(), segment_bytes in 1u64..5000
        ) {
            let numbered = sizes.iter().enumerate().map(|(row, &bytes)| (RowId(row as u64 * 3), bytes));
            let parts = segments(numbered, seed, segment_bytes);
            let mut seen: Vec<u64> = parts.iter().flatten().map(|row| row.0).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..sizes.len() as u64).map(|row| row * 3).collect::<Vec<_>>());
            for part in &parts {
                prop_assert!(!part.is_empty());
                let bytes: u64 = part.iter().map(|row| sizes[row.0 as usize / 3]).sum();
                prop_assert!(bytes < segment_bytes + 1000);
            }
        }
    }
}
