//! How parameters are divided into the buckets that are reduced together.

/// Sizes of gradient buckets in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketSizes {
    /// The first bucket that backward fills. A small one lets the reduction begin early.
    pub first: u64,
    /// Every other bucket.
    pub rest: u64,
}

impl Default for BucketSizes {
    /// 1 MiB, then 25 MiB: as PyTorch's DDP.
    fn default() -> Self {
        Self { first: 1024 * 1024, rest: 25 * 1024 * 1024 }
    }
}

/// What decides whether two gradients can lie in one buffer, and how much room one takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GradientShape<K> {
    pub(crate) bytes: u64,
    /// Kind and device.
    pub(crate) place: K,
}

/// Indices of parameters for each bucket, in the order in which backward fills them: the reverse of registration.
///
/// A bucket is closed by the parameter with which it reaches its size, or by a change of kind or device.
pub(crate) fn layout<K: PartialEq>(params: &[GradientShape<K>], sizes: BucketSizes) -> Vec<Vec<usize>> {
    let mut buckets: Vec<Vec<usize>> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut open_bytes = 0;
    for (index, param) in params.iter().enumerate().rev() {
        if open.last().is_some_and(|&last| params[last].place != param.place) {
            buckets.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
        open.push(index);
        open_bytes += param.bytes;
        let limit = if buckets.is_empty() { sizes.first } else { sizes.rest };
        if open_bytes >= limit {
            buckets.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
    }
    if !open.is_empty() {
        buckets.push(open);
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(params: &[(u64, char)], first: u64, rest: u64, expected: &[&[usize]]) {
        let shapes: Vec<_> = params.iter().map(|&(bytes, place)| GradientShape { bytes, place }).collect();
        assert_eq!(layout(&shapes, BucketSizes { first, rest }), expected);
    }

    #[test]
    fn buckets_go_backward_and_the_first_is_smaller() {
        check(&[(4, 'a'); 6], 4, 8, &[&[5], &[4, 3], &[2, 1], &[0]]);
    }

    #[test]
    fn another_kind_or_device_opens_a_new_bucket() {
        check(&[(4, 'a'), (4, 'b'), (4, 'b'), (4, 'a')], 100, 100, &[&[3], &[2, 1], &[0]]);
    }

    #[test]
    fn a_parameter_larger_than_a_bucket_has_its_own() {
        check(&[(1, 'a'), (50, 'a'), (1, 'a')], 1, 8, &[&[2], &[1], &[0]]);
    }

    #[test]
    fn no_parameters_make_no_bucket() {
        check(&[], 1, 1, &[]);
    }
}
