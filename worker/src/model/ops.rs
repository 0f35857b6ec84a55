//! The model's operations in the shape that the decoder uses them; fused ones come from `torch-ext`.

use super::parameter::Parameter;
use evenkeel_torch_ext as ext;
use evenkeel_torch_ext::ops::HeadWeight;
use tch::Tensor;

/// What can go wrong inside a forward or backward pass.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libtorch's answer to an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A fused operation's.
    #[error(transparent)]
    Extension(#[from] ext::Error),
}

/// Bytes of logits that exist at a time. All rows at once make the fastest matrix products; this bounds their memory when
/// the vocabulary or the micro-batch is large.
const LOGIT_BYTES: i64 = 128 << 20;

/// `copy`, connected to the float32 leaf `master`: the gradient that arrives is added to the leaf's in float32.
pub(super) fn cast_parameter(master: &Tensor, copy: &Tensor) -> Result<Tensor, Error> {
    // Without gradients (generation) there is nothing to connect.
    if !master.requires_grad() {
        return Ok(copy.shallow_clone());
    }
    Ok(ext::autograd::cast_param(master, copy)?)
}

/// Root-mean-square norm over the last dimension (Zhang & Sennrich 2019); statistics in float32. `x [T, H]`, `weight [H]`.
pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor, Error> {
    Ok(ext::ops::rms_norm(x, weight, eps)?)
}

/// Turns the two halves of every head by the positions' angles. `x [T, heads, D]`, `cos` and `sin [T, D / 2]` float32.
pub(super) fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor, Error> {
    Ok(ext::ops::rope(x, cos, sin)?)
}

/// `(silu(gate) * up) @ down^T` (Shazeer 2020). `gate` and `up [T, I]`, `down [H, I]`.
pub(super) fn swiglu_linear(gate: &Tensor, up: &Tensor, down: &Tensor) -> Result<Tensor, Error> {
    Ok(ext::ops::swiglu_linear(gate, up, down)?)
}

/// Causal attention inside each document. `query [T, heads, D]`, `key` and `value [T, kv_heads, D]`; `bounds` are the
/// starts of the documents and, last, `T`.
pub(super) fn causal_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    bounds: &[i64],
    scale: f64,
) -> Result<Tensor, Error> {
    Ok(ext::ops::causal_attention(query, key, value, bounds, scale)?)
}

/// Sum of the cross-entropies, in nats, of `hidden [K, H] @ weight[V, H]^T` against `targets [K]` int64; float32 scalar.
pub(super) fn linear_cross_entropy(
    hidden: &Tensor,
    head: &Parameter,
    targets: &Tensor,
) -> Result<Tensor, Error> {
    let weight = match head.copy() {
        Some(copy) => HeadWeight { weight: head.master(), compute: copy },
        None => HeadWeight::plain(head.master()),
    };
    let row_bytes = weight.compute.size()[0] * weight.compute.kind().elt_size_in_bytes() as i64;
    Ok(ext::ops::linear_cross_entropy(hidden, weight, targets, (LOGIT_BYTES / row_bytes).max(1))?)
}

/// Attention of every query to every key. `query [T, heads, D]`, `key` and `value [S, kv_heads, D]`.
pub(super) fn attention_to_all(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    scale: f64,
) -> Result<Tensor, Error> {
    let part = |x: &Tensor| x.f_transpose(0, 1)?.f_unsqueeze(0);
    let (q, k, v) = (part(query)?, part(key)?, part(value)?);
    let output =
        Tensor::f_scaled_dot_product_attention(&q, &k, &v, None::<Tensor>, 0.0, false, Some(scale), true)?;
    Ok(output.f_squeeze_dim(0)?.f_transpose(0, 1)?.f_contiguous()?)
}
