// SwiGLU: silu(gate) * up in one pass, without keeping silu(gate) for backward.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "common.h"

namespace {

using namespace ek;

constexpr int64_t grain = 1 << 13;

class Swiglu : public Function<Swiglu> {
 public:
  static Variable forward(AutogradContext* ctx, const Variable& gate, const Variable& up) {
    auto y = at::empty_like(gate);
    with_kernels(gate.scalar_type(), [&](const auto& kernels) {
      using T = Element<decltype(kernels)>;
      at::parallel_for(0, gate.numel(), grain, [&](int64_t begin, int64_t end) {
        kernels.swiglu_forward(
            out<T>(y) + begin, in<T>(gate) + begin, in<T>(up) + begin, end - begin);
      });
    });
    ctx->save_for_backward({gate, up});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &gate = saved[0], &up = saved[1];
    const auto dy = grads[0].contiguous();
    auto dgate = at::empty_like(gate);
    auto dup = at::empty_like(up);
    with_kernels(gate.scalar_type(), [&](const auto& kernels) {
      using T = Element<decltype(kernels)>;
      at::parallel_for(0, gate.numel(), grain, [&](int64_t begin, int64_t end) {
        kernels.swiglu_backward(
            out<T>(dgate) + begin,
            out<T>(dup) + begin,
            in<T>(dy) + begin,
            in<T>(gate) + begin,
            in<T>(up) + begin,
            end - begin);
      });
    });
    return {dgate, dup};
  }
};

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  TORCH_CHECK(
      gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(),
      "swiglu: gate ", gate.sizes(), " and up ", up.sizes(), " must have one shape and kind");
  const bool fused = suits_kernels(gate) && suits_kernels(up);
  return fused ? Swiglu::apply(gate, up) : at::silu(gate) * up;
}

} // namespace

extern "C" ek_status ek_swiglu(TensorPtr gate, TensorPtr up, TensorPtr* out) {
  return guarded([&] { *out = give(swiglu(*gate, *up)); });
}
