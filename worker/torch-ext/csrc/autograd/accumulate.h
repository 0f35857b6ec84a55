#pragma once

#include <ATen/core/Tensor.h>

namespace ek {

// sum += factor * grad, where `grad` may be of a narrower kind; without a copy of it in the kind of `sum`.
void accumulate(const at::Tensor& sum, const at::Tensor& grad, double factor);

// Adds `factor * grad` to the gradient that `weight` already has as a leaf and gives an undefined tensor, which tells
// autograd that there is nothing left to add. For a weight that is no leaf or has no gradient yet, gives the product
// in the weight's kind for autograd to go on with.
//
// Autograd visits a leaf's accumulator after an undefined gradient too, and so the Reducer's hook still runs.
at::Tensor add_to_leaf(const at::Tensor& weight, const at::Tensor& grad, double factor);

} // namespace ek
