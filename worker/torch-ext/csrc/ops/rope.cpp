// Rotary position embedding. Element i of the first half of a head and element i of the second half are turned
// together by the angle of their position (the convention of Hugging Face's Llama). Backward turns back.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "common.h"

namespace {

using namespace ek;

at::Tensor turn(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, float direction) {
  const auto heads = x.size(1);
  const auto half = x.size(2) / 2;
  auto y = at::empty_like(x);
  with_kernels(x.scalar_type(), [&](const auto& kernels) {
      using T = Element<decltype(kernels)>;
    at::parallel_for(0, x.size(0), row_grain(heads * half * 2), [&](int64_t begin, int64_t end) {
      const auto offset = begin * heads * half * 2;
      kernels.rope(
          out<T>(y) + offset,
          in<T>(x) + offset,
          in<float>(cos) + begin * half,
          in<float>(sin) + begin * half,
          end - begin,
          heads,
          half,
          direction);
    });
  });
  return y;
}

class Rope : public Function<Rope> {
 public:
  static Variable forward(AutogradContext* ctx, const Variable& x, const Variable& cos, const Variable& sin) {
    ctx->save_for_backward({cos, sin});
    return turn(x, cos, sin, 1.0f);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {turn(grads[0].contiguous(), saved[0], saved[1], -1.0f), Variable(), Variable()};
  }
};

at::Tensor composed(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const auto halves = x.to(at::kFloat).chunk(2, -1);
  const auto c = cos.unsqueeze(1);
  const auto s = sin.unsqueeze(1);
  return at::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s}, -1).to(x.scalar_type());
}

at::Tensor rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  TORCH_CHECK(
      x.dim() == 3 && x.size(2) % 2 == 0 && cos.dim() == 2 && cos.size(0) == x.size(0) &&
          cos.size(1) * 2 == x.size(2) && cos.sizes() == sin.sizes(),
      "rope: x ", x.sizes(), " must be [tokens, heads, 2 * half], cos ", cos.sizes(), " and sin ", sin.sizes(),
      " [tokens, half]");
  TORCH_CHECK(cos.scalar_type() == at::kFloat && sin.scalar_type() == at::kFloat, "rope: cos and sin must be fp32");
  const bool fused = suits_kernels(x) && suits_kernels(cos) && suits_kernels(sin);
  return fused ? Rope::apply(x, cos, sin) : composed(x, cos, sin);
}

} // namespace

extern "C" ek_status ek_rope(TensorPtr x, TensorPtr cos, TensorPtr sin, TensorPtr* out) {
  return guarded([&] { *out = give(rope(*x, *cos, *sin)); });
}
