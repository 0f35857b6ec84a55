// What the fused operations share.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "../kernels/kernels.h"
#include "../status.h"
#include "../tensors.h"

namespace ek {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Whether the CPU kernels can work on this tensor. Everything else (CUDA, fp16, fp64) takes composed ATen operations.
inline bool suits_kernels(const at::Tensor& tensor) {
  return tensor.is_cpu() && tensor.is_contiguous() &&
      (tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16);
}

// Calls `body` with the kernels for a kind that `suits_kernels` let through.
template <typename Body>
void with_kernels(at::ScalarType kind, Body&& body) {
  if (kind == at::kFloat) {
    body(kernels().f32);
  } else {
    body(kernels().bf16);
  }
}

template <typename T>
T element_of(const TypedKernels<T>&);

// The element type of the kernels that `with_kernels` passed.
template <typename Kernels>
using Element = decltype(element_of(std::declval<Kernels>()));

template <typename T>
const T* in(const at::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <typename T>
T* out(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// Rows per task such that a task is worth starting a thread for.
inline int64_t row_grain(int64_t width) {
  return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, width));
}

} // namespace ek
