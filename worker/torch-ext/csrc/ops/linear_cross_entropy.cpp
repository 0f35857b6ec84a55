// The last layer and the loss in one: sum over rows of cross entropy(hidden @ weight^T, target), a few rows at a time,
// so that the logits of all rows never exist at once. Forward also makes the gradients, because the logits are there;
// backward only scales them.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "../autograd/accumulate.h"
#include "common.h"

namespace {

using namespace ek;

// What one pass over the rows makes. A gradient that nobody wants is undefined.
struct Outcome {
  at::Tensor loss;
  at::Tensor grad_hidden;
  at::Tensor grad_weight;
};

struct Wanted {
  bool hidden;
  bool weight;

  bool any() const {
    return hidden || weight;
  }
};

// Turns logits into their gradients in place (if wanted) and gives each row's loss, in fp32.
at::Tensor cross_entropy(at::Tensor& logits, const at::Tensor& targets, bool with_gradient) {
  const auto rows = logits.size(0);
  const auto width = logits.size(1);
  if (suits_kernels(logits)) {
    auto losses = at::empty({rows}, logits.options().dtype(at::kFloat));
    with_kernels(logits.scalar_type(), [&](const auto& kernels) {
      using T = Element<decltype(kernels)>;
      at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
        kernels.cross_entropy(
            out<T>(logits) + begin * width,
            out<float>(losses) + begin,
            in<int64_t>(targets) + begin,
            end - begin,
            width,
            with_gradient);
      });
    });
    return losses;
  }
  auto log_probs = logits.to(at::kFloat).log_softmax(-1);
  const auto places = targets.unsqueeze(1);
  auto losses = log_probs.gather(1, places).squeeze(1).neg();
  if (with_gradient) {
    log_probs.exp_();
    log_probs.scatter_add_(1, places, at::full_like(places, -1, log_probs.options()));
    logits.copy_(log_probs);
  }
  return losses;
}

// Adds logits_grad^T @ hidden to `sum`, which is undefined before the first chunk.
void add_weight_gradient(
    at::Tensor& sum, const at::Tensor& logits_grad, const at::Tensor& hidden, bool only_chunk) {
  const auto turned = logits_grad.t();
  if (sum.defined() && sum.scalar_type() == hidden.scalar_type()) {
    sum.addmm_(turned, hidden);
    return;
  }
  auto product = at::mm(turned, hidden);
  if (only_chunk || product.scalar_type() == at::kFloat) {
    sum = product;
    return;
  }
  // Several chunks of a narrow kind are summed in fp32, or small chunks would be rounded away.
  if (!sum.defined()) {
    sum = product.to(at::kFloat);
    return;
  }
  accumulate(sum, product, 1.0);
}

Outcome run(
    const at::Tensor& hidden,
    const at::Tensor& weight,
    const at::Tensor& targets,
    int64_t chunk,
    Wanted wanted) {
  at::NoGradGuard no_grad;
  const auto rows = hidden.size(0);
  Outcome outcome;
  outcome.loss = at::zeros({}, hidden.options().dtype(at::kFloat));
  if (wanted.hidden) {
    outcome.grad_hidden = at::empty_like(hidden, at::MemoryFormat::Contiguous);
  }
  const auto weight_turned = weight.t();
  at::Tensor buffer;
  if (rows > 0) {
    buffer = at::empty({std::min(chunk, rows), weight.size(0)}, hidden.options());
  }
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const auto count = std::min(chunk, rows - begin);
    const auto part = hidden.narrow(0, begin, count);
    auto logits = buffer.narrow(0, 0, count);
    at::mm_out(logits, part, weight_turned);
    outcome.loss += cross_entropy(logits, targets.narrow(0, begin, count), wanted.any()).sum();
    if (wanted.hidden) {
      auto grad = outcome.grad_hidden.narrow(0, begin, count);
      at::mm_out(grad, logits, weight);
    }
    if (wanted.weight) {
      add_weight_gradient(outcome.grad_weight, logits, part, count == rows);
    }
  }
  return outcome;
}

class LinearCrossEntropy : public Function<LinearCrossEntropy> {
 public:
  static Variable forward(
      AutogradContext* ctx,
      const Variable& hidden,
      const Variable& weight,
      const at::Tensor& compute_weight,
      const at::Tensor& targets,
      int64_t chunk) {
    const Wanted wanted{hidden.requires_grad(), weight.requires_grad()};
    auto outcome = run(hidden, compute_weight, targets, chunk, wanted);
    ctx->save_for_backward({weight, outcome.grad_hidden, outcome.grad_weight});
    return outcome.loss;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &weight = saved[0], &grad_hidden = saved[1], &grad_weight = saved[2];
    const double factor = grads[0].item<double>();
    Variable for_hidden;
    if (grad_hidden.defined()) {
      for_hidden = factor == 1.0 ? grad_hidden : grad_hidden * factor;
    }
    Variable for_weight;
    if (grad_weight.defined()) {
      for_weight = add_to_leaf(weight, grad_weight, factor);
    }
    return {for_hidden, for_weight, Variable(), Variable(), Variable()};
  }
};

at::Tensor linear_cross_entropy(
    const at::Tensor& hidden,
    const at::Tensor& weight,
    const at::Tensor& compute_weight,
    const at::Tensor& targets,
    int64_t chunk) {
  TORCH_CHECK(
      hidden.dim() == 2 && compute_weight.dim() == 2 && hidden.size(1) == compute_weight.size(1),
      "linear_cross_entropy: hidden ", hidden.sizes(), " must be [rows, width] and weight ",
      compute_weight.sizes(), " [vocabulary, width]");
  TORCH_CHECK(
      hidden.scalar_type() == compute_weight.scalar_type(),
      "linear_cross_entropy: hidden and the weight to compute with must have one kind");
  TORCH_CHECK(
      weight.sizes() == compute_weight.sizes(), "linear_cross_entropy: weight and its compute copy differ in shape");
  TORCH_CHECK(
      targets.dim() == 1 && targets.size(0) == hidden.size(0) && targets.scalar_type() == at::kLong &&
          targets.is_contiguous(),
      "linear_cross_entropy: targets ", targets.sizes(), " must be one contiguous i64 for each of ",
      hidden.size(0), " rows");
  TORCH_CHECK(chunk > 0, "linear_cross_entropy: chunk must be at least 1 row");
  if (targets.is_cpu() && targets.numel() > 0) {
    // The kernel would read outside the row. On CUDA gather checks.
    const auto limits = targets.aminmax();
    const auto low = std::get<0>(limits).item<int64_t>();
    const auto high = std::get<1>(limits).item<int64_t>();
    TORCH_CHECK(
        low >= 0 && high < compute_weight.size(0), "linear_cross_entropy: targets go from ", low, " to ", high,
        ", but the vocabulary has ", compute_weight.size(0), " tokens");
  }
  if (!at::GradMode::is_enabled() || !(hidden.requires_grad() || weight.requires_grad())) {
    return run(hidden, compute_weight, targets, chunk, Wanted{false, false}).loss;
  }
  return LinearCrossEntropy::apply(hidden, weight, compute_weight, targets, chunk);
}

} // namespace

extern "C" ek_status ek_linear_cross_entropy(
    TensorPtr hidden,
    TensorPtr weight,
    TensorPtr compute_weight,
    TensorPtr targets,
    int64_t chunk,
    TensorPtr* out) {
  return guarded(
      [&] { *out = give(linear_cross_entropy(*hidden, *weight, compute_weight->detach(), *targets, chunk)); });
}
