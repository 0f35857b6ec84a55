// Root mean square norm: y = weight * T(x * rstd), rstd = 1 / sqrt(mean(x^2) + eps), computed in fp32; the normalised
// value is rounded to x's kind before the weight, as in LlamaRMSNorm of transformers.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "common.h"

namespace {

using namespace ek;

class RmsNorm : public Function<RmsNorm> {
 public:
  static Variable forward(AutogradContext* ctx, const Variable& x, const Variable& weight, double eps) {
    const auto width = x.size(-1);
    const auto rows = x.numel() / width;
    auto y = at::empty_like(x);
    auto rstd = at::empty({rows}, x.options().dtype(at::kFloat));
    with_kernels(x.scalar_type(), [&](const auto& kernels) {
      using T = Element<decltype(kernels)>;
      at::parallel_for(0, rows, row_grain(width), [&](int64_t begin, int64_t end) {
        kernels.rms_norm_forward(
            out<T>(y) + begin * width,
            out<float>(rstd) + begin,
            in<T>(x) + begin * width,
            in<T>(weight),
            end - begin,
            width,
            static_cast<float>(eps));
      });
    });
    ctx->save_for_backward({x, weight, rstd});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &rstd = saved[2];
    const auto dy = grads[0].contiguous();
    const auto width = x.size(-1);
    const auto rows = x.numel() / width;
    auto dx = at::empty_like(x);
    // One sum for each task. The number of tasks depends on the thread count alone, so results repeat exactly.
    const int64_t tasks = std::min<int64_t>(at::get_num_threads(), std::max<int64_t>(rows, 1));
    auto partial = at::zeros({tasks, width}, rstd.options());
    with_kernels(x.scalar_type(), [&](const auto& kernels) {
      using T = Element<decltype(kernels)>;
      at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
        for (int64_t task = first; task < last; ++task) {
          const int64_t begin = rows * task / tasks;
          const int64_t end = rows * (task + 1) / tasks;
          kernels.rms_norm_backward(
              out<T>(dx) + begin * width,
              out<float>(partial) + task * width,
              in<T>(dy) + begin * width,
              in<T>(x) + begin * width,
              in<float>(rstd) + begin,
              in<T>(weight),
              end - begin,
              width);
        }
      });
    });
    auto dweight = partial.sum(0).to(weight.scalar_type());
    return {dx, dweight, Variable()};
  }
};

at::Tensor composed(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const auto wide = x.to(at::kFloat);
  const auto rstd = (wide.square().mean(-1, /*keepdim=*/true) + eps).rsqrt();
  return weight * (wide * rstd).to(x.scalar_type());
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  TORCH_CHECK(
      x.dim() >= 1 && weight.dim() == 1 && x.size(-1) == weight.size(0),
      "rms_norm: weight of shape ", weight.sizes(), " does not fit input of shape ", x.sizes());
  const bool fused = suits_kernels(x) && suits_kernels(weight) && x.scalar_type() == weight.scalar_type();
  return fused ? RmsNorm::apply(x, weight, eps) : composed(x, weight, eps);
}

} // namespace

extern "C" ek_status ek_rms_norm(TensorPtr x, TensorPtr weight, double eps, TensorPtr* out) {
  return guarded([&] { *out = give(rms_norm(*x, *weight, eps)); });
}
