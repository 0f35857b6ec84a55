//! Links in the autograd graph that `tch` has no words for.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::ffi::{self, make_tensor, tensor_ptr};

/// The compute copy of a master weight, as a node of the graph: its value is `copy` (which the caller keeps up to date
/// with [`crate::optim::copy_list`]), and its gradient goes to `master`. No data is copied.
///
/// This is how training in bf16 with fp32 master weights works: forward computes with the bf16 copy, and what backward
/// makes in bf16 is added up in fp32. If `master` already has a gradient (always, under a [`crate::Reducer`]), backward
/// adds to it in place, so take gradients from `master.grad()`, not as the result of `Tensor::run_backward`.
///
/// # Errors
/// [`Error::InvalidArgument`] when the shapes differ or `master` does not require a gradient.
pub fn cast_param(master: &Tensor, copy: &Tensor) -> Result<Tensor> {
    if master.size() != copy.size() {
        return Err(Error::InvalidArgument(format!(
            "cast_param: the master weight has shape {:?}, but its copy {:?}",
            master.size(),
            copy.size()
        )));
    }
    if !master.requires_grad() {
        return Err(Error::InvalidArgument(
            "cast_param: the master weight does not require a gradient; use its copy as it is".to_owned(),
        ));
    }
    if copy.requires_grad() || copy.kind() == Kind::Int64 {
        return Err(Error::InvalidArgument(
            "cast_param: the copy must be floating point and not require a gradient of its own".to_owned(),
        ));
    }
    // SAFETY: both tensors outlive the call and `out` is written on success.
    make_tensor(|out| unsafe { ffi::ek_cast_param(tensor_ptr(master), tensor_ptr(copy), out) })
}
