// SwiGLU and the projection behind it: (silu(gate) * up) @ weight^T. The product is made again in backward, in the pass
// that needs gate and up anyway, so it is not kept: the widest activation of a block costs no memory.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "common.h"

namespace {

using namespace ek;

constexpr int64_t grain = 1 << 13;

at::Tensor product_of(const at::Tensor& gate, const at::Tensor& up) {
  auto product = at::empty_like(gate);
  with_kernels(gate.scalar_type(), [&](const auto& kernels) {
    using T = Element<decltype(kernels)>;
    at::parallel_for(0, gate.numel(), grain, [&](int64_t begin, int64_t end) {
      kernels.swiglu_forward(out<T>(product) + begin, in<T>(gate) + begin, in<T>(up) + begin, end - begin);
    });
  });
  return product;
}

class SwigluLinear : public Function<SwigluLinear> {
 public:
  static Variable forward(
      AutogradContext* ctx, const Variable& gate, const Variable& up, const Variable& weight) {
    ctx->save_for_backward({gate, up, weight});
    return at::mm(product_of(gate, up), weight.t());
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &gate = saved[0], &up = saved[1], &weight = saved[2];
    const auto& dy = grads[0];
    const auto dproduct = at::mm(dy, weight);
    auto dgate = at::empty_like(gate);
    auto dup = at::empty_like(up);
    auto product = at::empty_like(gate);
    with_kernels(gate.scalar_type(), [&](const auto& kernels) {
      using T = Element<decltype(kernels)>;
      at::parallel_for(0, gate.numel(), grain, [&](int64_t begin, int64_t end) {
        kernels.swiglu_backward(
            out<T>(dgate) + begin,
            out<T>(dup) + begin,
            out<T>(product) + begin,
            in<T>(dproduct) + begin,
            in<T>(gate) + begin,
            in<T>(up) + begin,
            end - begin);
      });
    });
    Variable dweight;
    if (ctx->needs_input_grad(2)) {
      dweight = at::mm(dy.t(), product);
    }
    return {dgate, dup, dweight};
  }
};

at::Tensor swiglu_linear(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& weight) {
  TORCH_CHECK(
      gate.dim() == 2 && gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(),
      "swiglu_linear: gate ", gate.sizes(), " and up ", up.sizes(), " must be matrices of one shape and kind");
  TORCH_CHECK(
      weight.dim() == 2 && weight.size(1) == gate.size(1) && weight.scalar_type() == gate.scalar_type(),
      "swiglu_linear: weight ", weight.sizes(), " does not fit gate ", gate.sizes());
  const bool fused = suits_kernels(gate) && suits_kernels(up);
  return fused ? SwigluLinear::apply(gate, up, weight) : at::linear(at::mul(at::silu(gate), up), weight);
}

} // namespace

extern "C" ek_status ek_swiglu_linear(TensorPtr gate, TensorPtr up, TensorPtr weight, TensorPtr* out) {
  return guarded([&] { *out = give(swiglu_linear(*gate, *up, *weight)); });
}
