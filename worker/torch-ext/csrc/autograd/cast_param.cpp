// Training in a narrow kind with fp32 master weights: the link between a master weight and its compute copy.
#include <torch/csrc/autograd/custom_function.h>

#include "../status.h"
#include "../tensors.h"
#include "accumulate.h"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

class CastParam : public torch::autograd::Function<CastParam> {
 public:
  static Variable forward(AutogradContext* ctx, const Variable& master, const Variable& copy) {
    ctx->save_for_backward({master});
    ctx->set_materialize_grads(false);
    // Another handle on the same memory: an input given back as it is would become a view of itself.
    return copy.detach();
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    if (!grads[0].defined()) {
      return {Variable(), Variable()};
    }
    const auto master = ctx->get_saved_variables()[0];
    return {ek::add_to_leaf(master, grads[0], 1.0), Variable()};
  }
};

} // namespace

extern "C" ek_status ek_cast_param(ek::TensorPtr master, ek::TensorPtr copy, ek::TensorPtr* out) {
  return ek::guarded([&] { *out = ek::give(CastParam::apply(*master, *copy)); });
}
