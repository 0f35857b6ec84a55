// Operations over whole lists of tensors.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "status.h"
#include "tensors.h"

extern "C" {

// One AdamW step with decoupled weight decay. `step` counts from 1 and includes this step.
ek_status ek_fused_adamw(
    const ek::TensorPtr* params,
    const ek::TensorPtr* grads,
    const ek::TensorPtr* exp_avgs,
    const ek::TensorPtr* exp_avg_sqs,
    size_t count,
    int64_t step,
    double learning_rate,
    double beta1,
    double beta2,
    double eps,
    double weight_decay) {
  return ek::guarded([&] {
    at::NoGradGuard no_grad;
    if (count == 0) {
      return;
    }
    // The operator wants a counter for each parameter; all have made the same number of steps, so they share one.
    auto steps = at::full({}, static_cast<double>(step), params[0]->options().dtype(at::kFloat));
    at::_fused_adamw_(
        ek::to_vector(params, count),
        ek::to_vector(grads, count),
        ek::to_vector(exp_avgs, count),
        ek::to_vector(exp_avg_sqs, count),
        /*max_exp_avg_sqs=*/{},
        std::vector<at::Tensor>(count, steps),
        learning_rate,
        beta1,
        beta2,
        weight_decay,
        eps,
        /*amsgrad=*/false,
        /*maximize=*/false);
  });
}

// The L2 norm over all elements of all tensors. One synchronisation with the device.
ek_status ek_total_norm(const ek::TensorPtr* tensors, size_t count, double* norm) {
  return ek::guarded([&] {
    at::NoGradGuard no_grad;
    if (count == 0) {
      *norm = 0.0;
      return;
    }
    auto norms = at::_foreach_norm(ek::to_vector(tensors, count), 2, at::kFloat);
    *norm = at::stack(norms).to(at::kDouble).norm().item<double>();
  });
}

ek_status ek_scale(const ek::TensorPtr* tensors, size_t count, double factor) {
  return ek::guarded([&] {
    at::NoGradGuard no_grad;
    if (count != 0) {
      at::_foreach_mul_(ek::to_vector(tensors, count), factor);
    }
  });
}

// Copies each source into the destination beside it, cast to the destination's kind.
ek_status ek_copy_list(const ek::TensorPtr* destinations, const ek::TensorPtr* sources, size_t count) {
  return ek::guarded([&] {
    at::NoGradGuard no_grad;
    if (count != 0) {
      at::_foreach_copy_(ek::to_vector(destinations, count), ek::to_vector(sources, count));
    }
  });
}

} // extern "C"
