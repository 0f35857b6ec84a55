// The kernels themselves. Compiled once for each instruction set, with EK_KERNELS naming the table that is made.
// Nothing but kernels.h, scalar.h and compiler builtins may be used here (see scalar.h).
//
// `omp simd reduction` allows a sum to be split over vector lanes; the order stays the same from run to run.
#include "kernels.h"
#include "scalar.h"

#define EK_TEXT_OF(name) #name
#define EK_TEXT(name) EK_TEXT_OF(name)

namespace {

void add_bf16(float* __restrict sum, const uint16_t* __restrict add, float factor, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    sum[i] += factor * load(add[i]);
  }
}

template <typename T>
void rms_norm_forward(
    T* __restrict y,
    float* __restrict rstd,
    const T* __restrict x,
    const T* __restrict weight,
    int64_t rows,
    int64_t width,
    float eps) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* __restrict in = x + row * width;
    T* __restrict out = y + row * width;
    float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < width; ++i) {
      const float value = load(in[i]);
      squares += value * value;
    }
    const float scale = 1.0f / __builtin_sqrtf(squares / static_cast<float>(width) + eps);
    rstd[row] = scale;
    for (int64_t i = 0; i < width; ++i) {
      store(&out[i], load(weight[i]) * round_to(load(in[i]) * scale, weight));
    }
  }
}

template <typename T>
void rms_norm_backward(
    T* __restrict dx,
    float* __restrict dweight,
    const T* __restrict dy,
    const T* __restrict x,
    const float* __restrict rstd,
    const T* __restrict weight,
    int64_t rows,
    int64_t width) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* __restrict in = x + row * width;
    const T* __restrict grad = dy + row * width;
    T* __restrict out = dx + row * width;
    const float scale = rstd[row];
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) {
      dot += load(grad[i]) * load(weight[i]) * load(in[i]);
    }
    // d rstd / dx_i = -rstd^3 x_i / width
    const float pull = dot * scale * scale * scale / static_cast<float>(width);
    for (int64_t i = 0; i < width; ++i) {
      const float value = load(in[i]);
      const float upstream = load(grad[i]);
      dweight[i] += upstream * round_to(value * scale, weight);
      store(&out[i], upstream * load(weight[i]) * scale - value * pull);
    }
  }
}

template <typename T>
void swiglu_forward(T* __restrict y, const T* __restrict gate, const T* __restrict up, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = load(gate[i]);
    store(&y[i], g / (1.0f + exp_of(-g)) * load(up[i]));
  }
}

template <typename T>
void swiglu_backward(
    T* __restrict dgate,
    T* __restrict dup,
    T* __restrict product,
    const T* __restrict dproduct,
    const T* __restrict gate,
    const T* __restrict up,
    int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = load(gate[i]);
    const float u = load(up[i]);
    const float upstream = load(dproduct[i]);
    const float denominator = 1.0f + exp_of(-g);
    const float sigmoid = 1.0f / denominator;
    // As in forward, so that the product is the same to the last bit.
    store(&product[i], g / denominator * u);
    store(&dup[i], upstream * g * sigmoid);
    store(&dgate[i], upstream * u * sigmoid * (1.0f + g * (1.0f - sigmoid)));
  }
}

template <typename T>
void rope(
    T* __restrict y,
    const T* __restrict x,
    const float* __restrict cos,
    const float* __restrict sin,
    int64_t rows,
    int64_t heads,
    int64_t half,
    float direction) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* __restrict c = cos + row * half;
    const float* __restrict s = sin + row * half;
    for (int64_t head = 0; head < heads; ++head) {
      const T* __restrict in = x + (row * heads + head) * 2 * half;
      T* __restrict out = y + (row * heads + head) * 2 * half;
      for (int64_t i = 0; i < half; ++i) {
        const float a = load(in[i]);
        const float b = load(in[half + i]);
        const float turn = s[i] * direction;
        store(&out[i], a * c[i] - b * turn);
        store(&out[half + i], b * c[i] + a * turn);
      }
    }
  }
}

template <typename T>
void cross_entropy(
    T* __restrict logits,
    float* __restrict losses,
    const int64_t* __restrict targets,
    int64_t rows,
    int64_t width,
    bool with_gradient) {
  for (int64_t row = 0; row < rows; ++row) {
    T* __restrict line = logits + row * width;
    float highest = load(line[0]);
#pragma omp simd reduction(max : highest)
    for (int64_t i = 1; i < width; ++i) {
      const float value = load(line[i]);
      highest = value > highest ? value : highest;
    }
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; ++i) {
      sum += exp_of(load(line[i]) - highest);
    }
    const int64_t target = targets[row];
    const float log_sum = highest + __builtin_logf(sum);
    losses[row] = log_sum - load(line[target]);
    if (!with_gradient) {
      continue;
    }
    const float target_logit = load(line[target]);
    for (int64_t i = 0; i < width; ++i) {
      store(&line[i], exp_of(load(line[i]) - log_sum));
    }
    store(&line[target], exp_of(target_logit - log_sum) - 1.0f);
  }
}

template <typename T>
constexpr ek::TypedKernels<T> typed() {
  return {
      rms_norm_forward<T>,
      rms_norm_backward<T>,
      swiglu_forward<T>,
      swiglu_backward<T>,
      rope<T>,
      cross_entropy<T>,
  };
}

} // namespace

namespace ek {

extern const Kernels EK_KERNELS;
const Kernels EK_KERNELS = {EK_TEXT(EK_KERNELS), add_bf16, typed<float>(), typed<uint16_t>()};

} // namespace ek
