// Tensors cross the border as the `at::Tensor*` that tch's own binding uses.
#pragma once

#include <cstddef>
#include <vector>

#include <ATen/core/Tensor.h>

namespace ek {

// Borrowed from the caller.
using TensorPtr = at::Tensor*;

inline std::vector<at::Tensor> to_vector(const TensorPtr* tensors, size_t count) {
  std::vector<at::Tensor> list;
  list.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    list.push_back(*tensors[i]);
  }
  return list;
}

// The caller becomes the owner, as with a tensor that tch made.
inline TensorPtr give(at::Tensor tensor) {
  return new at::Tensor(std::move(tensor));
}

} // namespace ek
