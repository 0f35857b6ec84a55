//! NCCL groups, as far as a machine without a GPU can tell: they link, and a missing device is an error.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use evenkeel_torch_ext::{Member, ProcessGroup};
use support::{options, serve};

#[test]
fn a_group_forms_only_where_there_is_a_device() {
    let store = serve();
    let outcome = ProcessGroup::nccl(&store, "generation-1", Member { rank: 0, world_size: 1 }, 0, options());
    assert_eq!(outcome.is_ok(), tch::Cuda::is_available(), "{outcome:?}");
}
