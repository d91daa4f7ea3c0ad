// Vectors of the instruction set that this file is compiled for: Vec<T> is the compiler's own
// vector type, so that
// + - * / comparisons and m ? a : b work lane by lane; what the language lacks stands here. The
// only file with intrinsics.
#pragma once

#include <cstdint>
#include <cstring>

#include "../fastnn.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace fastnn::FASTNN_ISA {
namespace {

#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
constexpr Isa this_isa = Isa::avx512;
constexpr int vector_bytes = 64;
constexpr int vector_registers = 32;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr Isa this_isa = Isa::avx2;
constexpr int vector_bytes = 32;
constexpr int vector_registers = 16;
#elif defined(__aarch64__)
constexpr Isa this_isa = Isa::neon;
constexpr int vector_bytes = 16;
constexpr int vector_registers = 32;
#else
constexpr Isa this_isa = Isa::baseline;
constexpr int vector_bytes = 16;
constexpr int vector_registers = 16;
#endif
static_assert(this_isa == Isa::FASTNN_ISA, "the compiler's flags do not match FASTNN_ISA");

using VecF32 = float __attribute__((vector_size(vector_bytes)));
using VecF64 = double __attribute__((vector_size(vector_bytes)));
using VecI32 = int32_t __attribute__((vector_size(vector_bytes)));
using VecI64 = int64_t __attribute__((vector_size(vector_bytes)));

template <class T>
struct VecTypes;
template <>
struct VecTypes<float> {
  using Real = VecF32;
  using Int = VecI32;
  using IntLane = int32_t;
};
template <>
struct VecTypes<double> {
  using Real = VecF64;
  using Int = VecI64;
  using IntLane = int64_t;
};

template <class T>
using Vec = typename VecTypes<T>::Real;
template <class T>
using IntVec =
    typename VecTypes<T>::Int;  // as many lanes as Vec<T>; also the type of its comparisons
template <class T>
constexpr int64_t lanes = vector_bytes / static_cast<int>(sizeof(T));

#define FASTNN_INLINE inline __attribute__((always_inline))

template <class T>
FASTNN_INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
FASTNN_INLINE void store(T* p, const Vec<T>& v) {
  std::memcpy(p, &v, sizeof v);
}

template <class T>
FASTNN_INLINE Vec<T> splat(T value) {
  return value - Vec<T>{};
}

#if defined(__AVX2__) && !defined(__AVX512F__)
// n ones, then zeros: the mask of a partial load starts at [8 - n].
alignas(64) constexpr int32_t partial_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                   0,  0,  0,  0,  0,  0,  0,  0};
FASTNN_INLINE __m256i partial_mask(int64_t bytes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(partial_masks + 8 - bytes / 4));
}
#endif

// The first n lanes (0 <= n <= lanes), the others zero. Memory behind them is not touched.
FASTNN_INLINE VecF32 load(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return (VecF32)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
#elif defined(__AVX2__)
  return (VecF32)_mm256_maskload_ps(p, partial_mask(4 * n));
#else
  VecF32 v{};
  std::memcpy(&v, p, static_cast<size_t>(n) * sizeof *p);
  return v;
#endif
}
FASTNN_INLINE VecF64 load(const double* p, int64_t n) {
#if defined(__AVX512F__)
  return (VecF64)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
#elif defined(__AVX2__)
  return (VecF64)_mm256_maskload_pd(p, partial_mask(8 * n));
#else
  VecF64 v{};
  std::memcpy(&v, p, static_cast<size_t>(n) * sizeof *p);
  return v;
#endif
}
FASTNN_INLINE void store(float* p, const VecF32& v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), (__m512)v);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(p, partial_mask(4 * n), (__m256)v);
#else
  std::memcpy(p, &v, static_cast<size_t>(n) * sizeof *p);
#endif
}
FASTNN_INLINE void store(double* p, const VecF64& v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), (__m512d)v);
#elif defined(__AVX2__)
  _mm256_maskstore_pd(p, partial_mask(8 * n), (__m256d)v);
#else
  std::memcpy(p, &v, static_cast<size_t>(n) * sizeof *p);
#endif
}

// a b + c, rounded once where the hardware can.
FASTNN_INLINE VecF32 fma(VecF32 a, VecF32 b, VecF32 c) {
#if defined(__AVX512F__)
  return (VecF32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (VecF32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (VecF32)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}
FASTNN_INLINE VecF64 fma(VecF64 a, VecF64 b, VecF64 c) {
#if defined(__AVX512F__)
  return (VecF64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
  return (VecF64)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
  return (VecF64)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
  return a * b + c;
#endif
}

// The larger lane; b where either is NaN.
template <class V>
FASTNN_INLINE V max(V a, V b) {
  return a > b ? a : b;
}
template <class V>
FASTNN_INLINE V min(V a, V b) {
  return a < b ? a : b;
}

// Sum of the lanes by halves: the same order on every call.
template <class T>
FASTNN_INLINE T reduce_add(const Vec<T>& v) {
  T part[lanes<T>];
  store(part, v);
  for (int64_t half = lanes<T> / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; ++i) part[i] += part[i + half];
  }
  return part[0];
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
