// Causal attention inside each document of a pack, with grouped queries: query head h uses key head h / group.
#include <ATen/ATen.h>

#include "common.h"

namespace {

using namespace ek;

struct Shape {
  int64_t key_heads;
  int64_t group;
  int64_t width;
};

// [tokens, heads, width] of one document as the [key heads, group, tokens, width] that the attention operators take:
// key heads stand in the place of the batch, so that keys need not be repeated in memory.
at::Tensor queries_of(const at::Tensor& pack, int64_t begin, int64_t count, const Shape& shape) {
  return pack.narrow(0, begin, count)
      .view({count, shape.key_heads, shape.group, shape.width})
      .permute({1, 2, 0, 3});
}

at::Tensor keys_of(const at::Tensor& pack, int64_t begin, int64_t count, const Shape& shape) {
  return pack.narrow(0, begin, count)
      .permute({1, 0, 2})
      .unsqueeze(1)
      .expand({shape.key_heads, shape.group, count, shape.width});
}

// Gradients of keys or values: the sum over the queries of the group.
void put_key_gradient(const at::Tensor& pack, int64_t begin, int64_t count, const at::Tensor& grad) {
  pack.narrow(0, begin, count).copy_(grad.sum(1).permute({1, 0, 2}));
}

// At or below this length the bf16 backward operator spends more time on packing than on the work itself; in fp32 it
// is 7 times faster at 64 tokens, equal at about 256.
constexpr int64_t wide_backward_up_to = 256;

class CausalAttention : public Function<CausalAttention> {
 public:
  static Variable forward(
      AutogradContext* ctx,
      const Variable& q,
      const Variable& k,
      const Variable& v,
      const std::vector<int64_t>& starts,
      double scale) {
    const Shape shape{k.size(1), q.size(1) / k.size(1), q.size(2)};
    auto out = at::empty_like(q);
    variable_list saved{q, k, v, out};
    for (size_t i = 0; i + 1 < starts.size(); ++i) {
      const auto begin = starts[i];
      const auto count = starts[i + 1] - begin;
      auto [part, log_sum] = at::_scaled_dot_product_flash_attention_for_cpu(
          queries_of(q, begin, count, shape),
          keys_of(k, begin, count, shape),
          keys_of(v, begin, count, shape),
          /*dropout_p=*/0.0,
          /*is_causal=*/true,
          /*attn_mask=*/{},
          scale);
      queries_of(out, begin, count, shape).copy_(part);
      saved.push_back(log_sum);
    }
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["starts"] = starts;
    ctx->saved_data["scale"] = scale;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3];
    const auto starts = ctx->saved_data["starts"].toIntVector();
    const auto scale = ctx->saved_data["scale"].toDouble();
    const Shape shape{k.size(1), q.size(1) / k.size(1), q.size(2)};
    const auto dout = grads[0].contiguous();
    auto dq = at::empty_like(q);
    auto dk = at::empty_like(k);
    auto dv = at::empty_like(v);
    for (size_t i = 0; i + 1 < starts.size(); ++i) {
      const auto begin = starts[i];
      const auto count = starts[i + 1] - begin;
      const auto kind = count <= wide_backward_up_to ? at::kFloat : q.scalar_type();
      const auto widened = [&](const at::Tensor& pack) {
        return pack.narrow(0, begin, count).to(kind);
      };
      const auto [part_q, part_k, part_v] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          queries_of(widened(dout), 0, count, shape),
          queries_of(widened(q), 0, count, shape),
          keys_of(widened(k), 0, count, shape),
          keys_of(widened(v), 0, count, shape),
          queries_of(widened(out), 0, count, shape),
          saved[4 + i],
          /*dropout_p=*/0.0,
          /*is_causal=*/true,
          /*attn_mask=*/{},
          scale);
      queries_of(dq, begin, count, shape).copy_(part_q);
      put_key_gradient(dk, begin, count, part_k);
      put_key_gradient(dv, begin, count, part_v);
    }
    return {dq, dk, dv, Variable(), Variable()};
  }
};

// Differentiable operators only; on CUDA they choose the flash or memory-efficient kernel themselves.
at::Tensor composed(
    const at::Tensor& q,
    const at::Tensor& k,
    const at::Tensor& v,
    const std::vector<int64_t>& starts,
    double scale) {
  std::vector<at::Tensor> parts;
  parts.reserve(starts.size());
  const auto of_document = [](const at::Tensor& pack, int64_t begin, int64_t count) {
    return pack.narrow(0, begin, count).transpose(0, 1).unsqueeze(0);
  };
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    const auto begin = starts[i];
    const auto count = starts[i + 1] - begin;
    auto part = at::scaled_dot_product_attention(
        of_document(q, begin, count),
        of_document(k, begin, count),
        of_document(v, begin, count),
        /*attn_mask=*/{},
        /*dropout_p=*/0.0,
        /*is_causal=*/true,
        scale,
        /*enable_gqa=*/q.size(1) != k.size(1));
    parts.push_back(part.squeeze(0).transpose(0, 1));
  }
  return at::cat(parts, 0);
}

at::Tensor causal_attention(
    const at::Tensor& q,
    const at::Tensor& k,
    const at::Tensor& v,
    const std::vector<int64_t>& starts,
    double scale) {
  TORCH_CHECK(
      q.dim() == 3 && k.dim() == 3 && k.sizes() == v.sizes() && q.size(0) == k.size(0) && q.size(2) == k.size(2) &&
          k.size(1) > 0 && q.size(1) % k.size(1) == 0,
      "causal_attention: q ", q.sizes(), ", k ", k.sizes(), " and v ", v.sizes(),
      " must be [tokens, heads, width] with a whole number of query heads for each key head");
  TORCH_CHECK(
      starts.size() >= 2 && starts.front() == 0 && starts.back() == q.size(0),
      "causal_attention: document starts must begin with 0 and end with the number of tokens, ", q.size(0));
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    TORCH_CHECK(starts[i] < starts[i + 1], "causal_attention: document ", i, " is empty");
  }
  const bool one_kind = q.scalar_type() == k.scalar_type() && q.scalar_type() == v.scalar_type();
  const bool fused = one_kind && suits_kernels(q) && suits_kernels(k) && suits_kernels(v);
  return fused ? CausalAttention::apply(q, k, v, starts, scale) : composed(q, k, v, starts, scale);
}

} // namespace

extern "C" ek_status ek_causal_attention(
    TensorPtr q,
    TensorPtr k,
    TensorPtr v,
    const int64_t* starts,
    size_t start_count,
    double scale,
    TensorPtr* out) {
  return guarded([&] {
    const std::vector<int64_t> list(starts, starts + start_count);
    *out = give(causal_attention(*q, *k, *v, list, scale));
  });
}
