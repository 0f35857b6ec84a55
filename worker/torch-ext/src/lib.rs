//! The only place in evenkeel where C++ is called by hand: what training needs of libtorch and `tch` does not bind.
//!
//! - [`Store`]: the rendezvous store through which the members of a process group find each other.
//! - [`ProcessGroup`]: collectives (Gloo on CPU, NCCL with feature `cuda`), abortable from another thread.
//! - [`Reducer`]: gradient reduction in buckets that overlaps the backward pass.
//! - [`optim`]: operations over whole lists of tensors: fused AdamW, gradient norm, scaling.
//! - [`autograd`] and [`ops`]: custom autograd functions.
//!
//! Order of dropping: [`Reducer`] before [`ProcessGroup`] before [`Store`] (the types take each other by reference
//! count, so another order is safe, but then a group lives as long as its reducer).

#![allow(unsafe_code, reason = "this crate is the FFI")]

pub mod autograd;
mod bucket;
mod error;
mod ffi;
mod group;
mod membership;
pub mod ops;
pub mod optim;
mod reducer;
mod store;

pub use bucket::BucketSizes;
pub use error::{Error, Result};
pub use group::{AbortHandle, GroupOptions, Member, ProcessGroup};
pub use reducer::Reducer;
pub use store::Store;
