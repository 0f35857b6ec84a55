// Scalar functions that the compiler turns into vector instructions inside the kernels' loops.
//
// Everything is in an unnamed namespace: this file is compiled for several instruction sets, and a function shared
// between them by the linker could hold instructions that the machine does not have.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

inline float load(float value) {
  return value;
}

inline float load(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

// Round to nearest, ties to even, as torch does; a NaN stays a NaN.
inline void store(float* place, float value) {
  *place = value;
}

inline void store(uint16_t* place, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  *place = static_cast<uint16_t>(is_nan ? 0x7fc0u : rounded);
}

// The value after a trip through T.
inline float round_to(float value, const float*) {
  return value;
}

inline float round_to(float value, const uint16_t*) {
  uint16_t bits;
  store(&bits, value);
  return load(bits);
}

// e^x with a relative error below 2e-7: x = n ln 2 + r with |r| <= ln 2 / 2, and the Taylor series of e^r to the
// seventh degree. Below -87.3 the result is 0, above 88.7 infinity. NaN gives NaN.
inline float exp_of(float x) {
  constexpr float log2_e = 1.44269504088896341f;
  // ln 2 in two parts, so that n ln 2 is exact to more than fp32.
  constexpr float ln2_high = 0.693145751953125f;
  constexpr float ln2_low = 1.42860682030941723e-6f;
  // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
  constexpr float rounding = 12582912.0f;
  float clamped = x < -87.3f ? -87.3f : x;
  clamped = clamped > 88.7f ? 88.7f : clamped;
  const float shifted = clamped * log2_e + rounding;
  const float n = shifted - rounding;
  const float r = (clamped - n * ln2_high) - n * ln2_low;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // n can be 128, which has no exponent of its own: scale by the two halves.
  const int32_t whole = static_cast<int32_t>(n);
  const int32_t half = whole >> 1;
  const int32_t first_bits = (half + 127) << 23;
  const int32_t second_bits = (whole - half + 127) << 23;
  float first;
  float second;
  std::memcpy(&first, &first_bits, sizeof first);
  std::memcpy(&second, &second_bits, sizeof second);
  float result = p * first * second;
  result = x < -87.3f ? 0.0f : result;
  result = x > 88.7f ? __builtin_inff() : result;
  return x != x ? x : result;
}

} // namespace
