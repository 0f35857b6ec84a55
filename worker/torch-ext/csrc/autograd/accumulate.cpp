#include "accumulate.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/Parallel.h>

#include "../kernels/kernels.h"

namespace ek {

void accumulate(const at::Tensor& sum, const at::Tensor& grad, double factor) {
  at::NoGradGuard no_grad;
  const bool has_kernel = sum.is_cpu() && sum.scalar_type() == at::kFloat &&
      grad.scalar_type() == at::kBFloat16 && sum.is_contiguous() && grad.is_contiguous() &&
      sum.numel() == grad.numel();
  if (!has_kernel) {
    sum.add_(grad, factor);
    return;
  }
  auto* to = sum.data_ptr<float>();
  const auto* from = static_cast<const uint16_t*>(grad.const_data_ptr());
  at::parallel_for(0, grad.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
    kernels().add_bf16(to + begin, from + begin, static_cast<float>(factor), end - begin);
  });
}

at::Tensor add_to_leaf(const at::Tensor& weight, const at::Tensor& grad, double factor) {
  if (weight.is_leaf() && weight.grad().defined()) {
    accumulate(weight.grad(), grad, factor);
    return {};
  }
  const auto scaled = factor == 1.0 ? grad : grad * factor;
  return scaled.to(weight.scalar_type());
}

} // namespace ek
