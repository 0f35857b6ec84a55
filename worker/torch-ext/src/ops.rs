//! Fused autograd functions: the parts of a Llama layer that as single libtorch operations would each read and write
//! their whole input, and keep more for backward than they need.
//!
//! On the CPU, contiguous fp32 and bf16 tensors take kernels of this crate, which use all of libtorch's threads and the
//! machine's widest instructions. Anything else (CUDA, other kinds) takes libtorch's own operations, with equal results to
//! rounding. Inside, everything is computed in fp32 and rounded to the tensor's kind at the end.

use tch::Tensor;

use crate::error::Result;
use crate::ffi::{self, make_tensor, tensor_ptr};

/// Root mean square norm over the last dimension: `weight * (x * rstd)` with `rstd = 1 / sqrt(mean(x^2) + eps)`. The
/// normalised value is rounded to x's kind before the weight, as transformers' `LlamaRMSNorm` does.
///
/// Shapes: `x [.., H]`, `weight [H]`. Keeps `x` and one number a row for backward.
///
/// # Errors
/// [`crate::Error::Torch`] when the shapes do not fit.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    // SAFETY: both tensors outlive the call and `out` is written on success.
    make_tensor(|out| unsafe { ffi::ek_rms_norm(tensor_ptr(x), tensor_ptr(weight), eps, out) })
}

/// `(silu(gate) * up) @ weight^T`: SwiGLU and the projection behind it. Keeps only its inputs for backward; the product is
/// made again there.
///
/// Shapes: `gate` and `up [rows, I]`, `weight [H, I]`, all of one kind; result `[rows, H]`.
///
/// # Errors
/// [`crate::Error::Torch`] when the shapes or kinds do not fit.
pub fn swiglu_linear(gate: &Tensor, up: &Tensor, weight: &Tensor) -> Result<Tensor> {
    // SAFETY: the tensors outlive the call and `out` is written on success.
    make_tensor(|out| unsafe {
        ffi::ek_swiglu_linear(tensor_ptr(gate), tensor_ptr(up), tensor_ptr(weight), out)
    })
}

/// Rotary position embedding: turns element `i` of each half of a head by the angle of its token, the convention of
/// Hugging Face's Llama (`rotate_half`).
///
/// Shapes: `x [tokens, heads, D]`, `cos` and `sin [tokens, D/2]` in fp32.
///
/// # Errors
/// [`crate::Error::Torch`] when the shapes do not fit.
pub fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    // SAFETY: the tensors outlive the call and `out` is written on success.
    make_tensor(|out| unsafe { ffi::ek_rope(tensor_ptr(x), tensor_ptr(cos), tensor_ptr(sin), out) })
}

/// The weight of the last layer.
#[derive(Debug, Clone, Copy)]
pub struct HeadWeight<'a> {
    /// Gets the gradient: a leaf, or any node of the graph.
    pub weight: &'a Tensor,
    /// What is computed with: `weight` itself, or its up to date copy in the kind of the hidden states. With a bf16 copy
    /// of an fp32 leaf, the gradient reaches the leaf without passing through bf16 between chunks.
    pub compute: &'a Tensor,
}

impl<'a> HeadWeight<'a> {
    /// A weight that is computed with as it is.
    pub fn plain(weight: &'a Tensor) -> Self {
        Self { weight, compute: weight }
    }
}

/// The sum over rows of the cross entropy between `hidden @ weight^T` and the target, an fp32 scalar.
///
/// Works on `chunk` rows at a time and never holds the logits of more. Forward also makes the gradients (unless gradients
/// are switched off); backward multiplies them with the gradient that comes in. Give only the rows at target positions; no
/// rows are fine and give 0.
///
/// Shapes: `hidden [rows, H]`, weight `[V, H]` in the same kind, `targets [rows]` i64 from 0 to V-1. Memory: `chunk * V`
/// elements in the kind of `hidden`, and the weight's gradient (in fp32 if there is more than one chunk).
///
/// As with [`crate::autograd::cast_param`], a leaf that already has a gradient is added to in place.
///
/// # Errors
/// [`crate::Error::Torch`] when shapes or kinds do not fit or a target is outside the vocabulary.
pub fn linear_cross_entropy(
    hidden: &Tensor,
    weight: HeadWeight<'_>,
    targets: &Tensor,
    chunk: i64,
) -> Result<Tensor> {
    // SAFETY: the tensors outlive the call and `out` is written on success.
    make_tensor(|out| unsafe {
        ffi::ek_linear_cross_entropy(
            tensor_ptr(hidden),
            tensor_ptr(weight.weight),
            tensor_ptr(weight.compute),
            tensor_ptr(targets),
            chunk,
            out,
        )
    })
}

/// Causal attention inside each document of a pack, with grouped queries: query head `h` reads key head `h / (Hq / Hkv)`.
///
/// Shapes: `q [tokens, Hq, D]`, `k` and `v [tokens, Hkv, D]`, result as `q`. `document_starts` holds the first token of
/// each document and at its end the number of tokens: `[0, 12, 40]` are two documents in 40 tokens. `scale` multiplies the
/// scores, usually `1 / sqrt(D)`. Keeps its inputs, its output and one number a token and head for backward.
///
/// # Errors
/// [`crate::Error::Torch`] when the shapes do not fit or the starts do not rise from 0 to the number of tokens.
pub fn causal_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    document_starts: &[i64],
    scale: f64,
) -> Result<Tensor> {
    // SAFETY: the tensors and the list outlive the call, the length is the list's, `out` is written on success.
    make_tensor(|out| unsafe {
        ffi::ek_causal_attention(
            tensor_ptr(q),
            tensor_ptr(k),
            tensor_ptr(v),
            document_starts.as_ptr(),
            document_starts.len(),
            scale,
            out,
        )
    })
}
