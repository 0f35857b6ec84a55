//! Gradient reduction in buckets, overlapping the backward pass.

use std::ptr::null_mut;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::bucket::{BucketSizes, GradientShape, layout};
use crate::error::{Error, Result};
use crate::ffi::{self, RawReducer, tensor_ptrs};
use crate::group::{ProcessGroup, SharedGroup};

/// Sums the gradients of parameters over all ranks while backward computes them.
///
/// Each parameter's gradient is a view into a bucket from the start, so gradients are accumulated where they are reduced
/// and never copied. The buckets' layout is fixed: two runs, or a member that joins later, sum in the same order.
///
/// A step with gradient accumulation: [`zero_grad`](Self::zero_grad), then
/// [`backward_local`](Self::backward_local) for every micro-batch but the last, then
/// [`backward_and_reduce`](Self::backward_and_reduce) for the last. A rank whose last micro-batch is empty (no targets)
/// calls [`reduce_without_backward`](Self::reduce_without_backward) instead, because every rank has to take part.
///
/// After an error drop the reducer, then the group; both are of no more use. Drop the reducer before the group.
#[derive(Debug)]
pub struct Reducer {
    raw: *mut RawReducer,
    // Kept so that the group outlives the reducer's pending work.
    _group: Arc<SharedGroup>,
}

// SAFETY: the C++ object has no ties to the thread that made it. Not Sync: raw pointers keep it so.
unsafe impl Send for Reducer {}

impl Reducer {
    /// Hooks into `params` (leaves that require gradients, in order of registration, that is of their use in forward).
    /// Sets their gradients to zero.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when there is no parameter or one does not require a gradient.
    pub fn new<T: std::borrow::Borrow<Tensor>>(
        params: &[T],
        group: &ProcessGroup,
        sizes: BucketSizes,
    ) -> Result<Self> {
        if params.is_empty() {
            return Err(Error::InvalidArgument(
                "a reducer needs at least one parameter, but got none".to_owned(),
            ));
        }
        if let Some(index) = params.iter().position(|param| !param.borrow().requires_grad()) {
            return Err(Error::InvalidArgument(format!(
                "parameter {index} of {} does not require a gradient. Give the reducer only those that do",
                params.len()
            )));
        }
        let shapes: Vec<_> = params.iter().map(|param| gradient_shape(param.borrow())).collect();
        let buckets = layout(&shapes, sizes);
        let order: Vec<usize> = buckets.iter().flatten().copied().collect();
        let counts: Vec<usize> = buckets.iter().map(Vec::len).collect();
        let pointers = tensor_ptrs(params);
        let mut raw = null_mut();
        // SAFETY: the tensors and lists outlive the call (the shim keeps its own references), each list has the length
        // given with it, the counts sum to the length of `order`, and `raw` is written on success.
        unsafe {
            ffi::ek_reducer_new(
                pointers.as_ptr(),
                pointers.len(),
                order.as_ptr(),
                counts.as_ptr(),
                counts.len(),
                group.shared().raw(),
                &mut raw,
            )
        }
        .ok()?;
        Ok(Self { raw, _group: Arc::clone(group.shared()) })
    }

    /// Backward of a micro-batch that is not the step's last: gradients are added up on this rank only.
    ///
    /// # Errors
    /// What libtorch says of the backward pass.
    pub fn backward_local(&mut self, loss: &Tensor) -> Result<()> {
        Ok(loss.f_backward()?)
    }

    /// Backward of the step's last micro-batch: when it returns, every gradient is the sum over all ranks of what they
    /// accumulated since [`zero_grad`](Self::zero_grad).
    ///
    /// # Errors
    /// [`Error::PeerLost`], [`Error::Timeout`], [`Error::Aborted`], or [`Error::UnusedParameters`].
    pub fn backward_and_reduce(&mut self, loss: &Tensor) -> Result<()> {
        // SAFETY: the reducer is alive.
        unsafe { ffi::ek_reducer_prepare(self.raw) }.ok()?;
        loss.f_backward()?;
        let mut finished = 0;
        // SAFETY: the reducer is alive and `finished` is written on success.
        unsafe { ffi::ek_reducer_finished(self.raw, &mut finished) }.ok()?;
        if finished == 0 {
            return Err(Error::UnusedParameters);
        }
        Ok(())
    }

    /// Sums what this rank has accumulated (zeros, if nothing) with the other ranks, which call this or
    /// [`backward_and_reduce`](Self::backward_and_reduce).
    ///
    /// # Errors
    /// [`Error::PeerLost`], [`Error::Timeout`], [`Error::Aborted`].
    pub fn reduce_without_backward(&mut self) -> Result<()> {
        // SAFETY: the reducer is alive.
        unsafe { ffi::ek_reducer_reduce_now(self.raw) }.ok()
    }

    /// Sets all gradients to zero, in place.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn zero_grad(&mut self) -> Result<()> {
        // SAFETY: the reducer is alive.
        unsafe { ffi::ek_reducer_zero_grad(self.raw) }.ok()
    }

    /// The flat buffers in which all gradients lie, in the order in which they are reduced. Norm and scaling over these
    /// few large tensors are faster than over hundreds of parameters.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn flat_gradients(&self) -> Result<Vec<Tensor>> {
        let mut count = 0;
        // SAFETY: the reducer is alive and `count` is written on success.
        unsafe { ffi::ek_reducer_bucket_count(self.raw, &mut count) }.ok()?;
        (0..count)
            .map(|index| {
                // SAFETY: the reducer is alive, `out` is written on success.
                ffi::make_tensor(|out| unsafe { ffi::ek_reducer_bucket(self.raw, index, out) })
            })
            .collect()
    }
}

impl Drop for Reducer {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::ek_reducer_free(self.raw) }
    }
}

fn gradient_shape(param: &Tensor) -> GradientShape<(Kind, Device)> {
    let kind = param.kind();
    GradientShape { bytes: (param.numel() * kind.elt_size_in_bytes()) as u64, place: (kind, param.device()) }
}
