// Plain loops over memory for the CPU, compiled once for each instruction set and chosen when the process starts, so
// that one binary runs everywhere. bf16 values are passed as their bits (uint16_t).
#pragma once

#include <cstdint>

namespace ek {

// `Row` functions work on a range of rows; callers divide rows between threads.
template <typename T>
struct TypedKernels {
  // y = weight * T(x * rstd), rstd = 1 / sqrt(mean(x^2) + eps), each for `width` elements in `rows` rows.
  void (*rms_norm_forward)(
      T* y, float* rstd, const T* x, const T* weight, int64_t rows, int64_t width, float eps);
  // dx, and dweight added up over the rows.
  void (*rms_norm_backward)(
      T* dx,
      float* dweight,
      const T* dy,
      const T* x,
      const float* rstd,
      const T* weight,
      int64_t rows,
      int64_t width);
  // y = silu(gate) * up
  void (*swiglu_forward)(T* y, const T* gate, const T* up, int64_t count);
  // The gradients, and in the same pass the product silu(gate) * up again.
  void (*swiglu_backward)(
      T* dgate, T* dup, T* product, const T* dproduct, const T* gate, const T* up, int64_t count);
  // Rotates the two halves of each head by the angle of its row; `direction` -1 rotates back.
  void (*rope)(
      T* y,
      const T* x,
      const float* cos,
      const float* sin,
      int64_t rows,
      int64_t heads,
      int64_t half,
      float direction);
  // Cross entropy of each row of logits in fp32: `losses[row]`; with `with_gradient` the logits become
  // softmax(logits) - onehot(target).
  void (*cross_entropy)(
      T* logits, float* losses, const int64_t* targets, int64_t rows, int64_t width, bool with_gradient);
};

struct Kernels {
  const char* instruction_set;
  // sum += factor * add
  void (*add_bf16)(float* sum, const uint16_t* add, float factor, int64_t count);
  TypedKernels<float> f32;
  TypedKernels<uint16_t> bf16;
};

// The best for this machine.
const Kernels& kernels();

} // namespace ek
