//! Operations over whole lists of tensors: the optimizer's side of a step.

use std::borrow::Borrow;

use tch::Tensor;

use crate::error::{Error, Result};
use crate::ffi::{self, tensor_ptrs};

/// Settings of AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization").
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Step size, before bias correction.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// The weight shrinks by `learning_rate * weight_decay` in each step.
    pub weight_decay: f64,
}

/// Parameters with what AdamW needs of each, in the same order.
#[derive(Debug)]
pub struct AdamWTensors<'a, T> {
    /// Changed in place.
    pub params: &'a [T],
    /// Only read.
    pub grads: &'a [T],
    /// First moments, changed in place; zeros before the first step.
    pub exp_avgs: &'a [T],
    /// Second moments, changed in place; zeros before the first step.
    pub exp_avg_sqs: &'a [T],
}

/// One AdamW step over all tensors, in place. `step` counts from 1 and includes this step.
///
/// # Errors
/// [`Error::InvalidArgument`] when the lists differ in length or `step` is 0.
pub fn fused_adamw_step<T: Borrow<Tensor>>(
    tensors: &AdamWTensors<'_, T>,
    step: u64,
    settings: &AdamW,
) -> Result<()> {
    let count = tensors.params.len();
    same_length("gradients", tensors.grads.len(), count)?;
    same_length("first moments", tensors.exp_avgs.len(), count)?;
    same_length("second moments", tensors.exp_avg_sqs.len(), count)?;
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    if step == 0 {
        return Err(Error::InvalidArgument("AdamW's step counts from 1, but 0 was given".to_owned()));
    }
    let params = tensor_ptrs(tensors.params);
    let grads = tensor_ptrs(tensors.grads);
    let exp_avgs = tensor_ptrs(tensors.exp_avgs);
    let exp_avg_sqs = tensor_ptrs(tensors.exp_avg_sqs);
    // SAFETY: the four lists have `count` live tensors each.
    unsafe {
        ffi::ek_fused_adamw(
            params.as_ptr(),
            grads.as_ptr(),
            exp_avgs.as_ptr(),
            exp_avg_sqs.as_ptr(),
            count,
            step,
            settings.learning_rate,
            settings.beta1,
            settings.beta2,
            settings.eps,
            settings.weight_decay,
        )
    }
    .ok()
}

/// The L2 norm over all elements of all tensors, NaN or infinite when one of them is. One synchronisation with the device.
///
/// # Errors
/// What libtorch says.
pub fn grad_norm<T: Borrow<Tensor>>(grads: &[T]) -> Result<f64> {
    let pointers = tensor_ptrs(grads);
    let mut norm = 0.0;
    // SAFETY: the list has as many live tensors as its length says, and `norm` is written on success.
    unsafe { ffi::ek_total_norm(pointers.as_ptr(), pointers.len(), &mut norm) }.ok()?;
    Ok(norm)
}

/// Multiplies all tensors by `factor`, in place.
///
/// # Errors
/// What libtorch says.
pub fn scale_in_place<T: Borrow<Tensor>>(tensors: &[T], factor: f64) -> Result<()> {
    let pointers = tensor_ptrs(tensors);
    // SAFETY: the list has as many live tensors as its length says.
    unsafe { ffi::ek_scale(pointers.as_ptr(), pointers.len(), factor) }.ok()
}

/// Copies each source into the destination at the same place, cast to the destination's kind.
///
/// # Errors
/// [`Error::InvalidArgument`] when the lists differ in length.
pub fn copy_list<T: Borrow<Tensor>, U: Borrow<Tensor>>(destinations: &[T], sources: &[U]) -> Result<()> {
    same_length("sources", sources.len(), destinations.len())?;
    let to = tensor_ptrs(destinations);
    let from = tensor_ptrs(sources);
    // SAFETY: both lists have as many live tensors as the length says.
    unsafe { ffi::ek_copy_list(to.as_ptr(), from.as_ptr(), to.len()) }.ok()
}

fn same_length(what: &str, length: usize, expected: usize) -> Result<()> {
    if length == expected {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!("expected {expected} {what}, one for each tensor, but got {length}")))
}
