//! The model's operations in the shape that the decoder uses them; fused ones come from `torch-ext`.

use tch::{Kind, Tensor};

/// What can go wrong inside a forward or backward pass.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libtorch's answer to an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// `copy`, connected to the float32 leaf `master`: the gradient that arrives is cast to float32 for the leaf.
pub(super) fn cast_parameter(master: &Tensor, copy: &Tensor) -> Result<Tensor, Error> {
    Ok(master.f_to_kind(copy.kind())?)
}

/// Root-mean-square norm over the last dimension (Zhang & Sennrich 2019); statistics in float32. `x [T, H]`, `weight [H]`.
pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor, Error> {
    let wide = x.f_to_kind(Kind::Float)?;
    let mean_square = (&wide * &wide).f_mean_dim(&[-1i64][..], true, None::<Kind>)?;
    let normalised = (&wide * (mean_square + eps).f_rsqrt()?).f_to_kind(x.kind())?;
    Ok(normalised * weight)
}

/// Turns the two halves of every head by the positions' angles. `x [T, heads, D]`, `cos` and `sin [T, D / 2]` float32.
pub(super) fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor, Error> {
    let halves = x.f_chunk(2, -1)?;
    let (cos, sin) = (cos.f_unsqueeze(1)?.f_to_kind(x.kind())?, sin.f_unsqueeze(1)?.f_to_kind(x.kind())?);
    let first = &halves[0] * &cos - &halves[1] * &sin;
    let second = &halves[1] * &cos + &halves[0] * &sin;
    Ok(Tensor::f_cat(&[first, second], -1)?)
}

/// `silu(gate) * up` (Shazeer 2020), element by element.
pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor, Error> {
    Ok(gate.f_silu()? * up)
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
    let mut outputs = Vec::with_capacity(bounds.len().saturating_sub(1));
    for pair in bounds.windows(2) {
        let part = |x: &Tensor| x.f_narrow(0, pair[0], pair[1] - pair[0])?.f_transpose(0, 1)?.f_unsqueeze(0);
        let (q, k, v) = (part(query)?, part(key)?, part(value)?);
        let output =
            Tensor::f_scaled_dot_product_attention(&q, &k, &v, None::<Tensor>, 0.0, true, Some(scale), true)?;
        outputs.push(output.f_squeeze_dim(0)?.f_transpose(0, 1)?);
    }
    Ok(Tensor::f_cat(&outputs, 0)?.f_contiguous()?)
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

/// Sum of the cross-entropies, in nats, of `hidden [K, H] @ weight[V, H]^T` against `targets [K]` int64; float32 scalar.
pub(super) fn linear_cross_entropy(
    hidden: &Tensor,
    weight: &Tensor,
    targets: &Tensor,
) -> Result<Tensor, Error> {
    let logits = hidden.f_linear(weight, None::<Tensor>)?.f_to_kind(Kind::Float)?;
    Ok(logits.f_cross_entropy_loss(targets, None::<Tensor>, tch::Reduction::Sum, -100, 0.0)?)
}
