// Vectors of the instruction set that this file is compiled for: Vec<T> is the compiler's own
// vector type, so that + - * / comparisons and m ? a : b work lane by lane; what the language
// lacks stands here. The only file with intrinsics.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

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
// What comparisons give: compilers differ in whether a 64-bit lane is a long or a long long.
using VecI32 = decltype(VecF32{} == VecF32{});
using VecI64 = decltype(VecF64{} == VecF64{});
using VecU32 = uint32_t __attribute__((vector_size(vector_bytes)));
using VecU64 = uint64_t __attribute__((vector_size(vector_bytes)));

template <class T>
struct VecTypes;
template <>
struct VecTypes<float> {
  using Real = VecF32;
  using Int = VecI32;
  using Bits = VecU32;
  using IntLane = int32_t;
};
template <>
struct VecTypes<double> {
  using Real = VecF64;
  using Int = VecI64;
  using Bits = VecU64;
  using IntLane = int64_t;
};

template <class T>
using Vec = typename VecTypes<T>::Real;
template <class T>  // as many lanes as Vec<T>; also the type of its comparisons
using IntVec = typename VecTypes<T>::Int;
template <class T>
using BitVec = typename VecTypes<T>::Bits;  // unsigned, to calculate with the bits of a number
template <class T>
constexpr int64_t lanes = vector_bytes / static_cast<int>(sizeof(T));

#define FASTNN_INLINE inline __attribute__((always_inline))
#define FASTNN_INLINE_LAMBDA __attribute__((always_inline))  // after the parameters

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

// Asks for the cache line of p in L2; any address is allowed.
FASTNN_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }
// Asks for n elements in L1, or in L2.
template <class T>
FASTNN_INLINE void prefetch_to_l1(const T* p, int64_t n) {
  for (int64_t i = 0; i < n; i += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(p + i);
}
template <class T>
FASTNN_INLINE void prefetch_to_l2(const T* p, int64_t n) {
  for (int64_t i = 0; i < n; i += 64 / static_cast<int64_t>(sizeof(T))) prefetch(p + i);
}

// Stores past the caches; p is aligned to a vector. Needs a fence before other threads read.
FASTNN_INLINE void stream(float* p, const VecF32& v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, (__m256)v);
#elif defined(__x86_64__)
  _mm_stream_ps(p, (__m128)v);
#else
  store(p, v);
#endif
}
FASTNN_INLINE void stream(double* p, const VecF64& v) {
#if defined(__AVX512F__)
  _mm512_stream_pd(p, (__m512d)v);
#elif defined(__AVX2__)
  _mm256_stream_pd(p, (__m256d)v);
#elif defined(__x86_64__)
  _mm_stream_pd(p, (__m128d)v);
#else
  store(p, v);
#endif
}
FASTNN_INLINE void fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// Whether the n elements at y are better written with stream(): they would not stay in the caches
// until they are read, and caches read what they write first. Zen 4: ReLU of 103 MB 5.6 -> 4.1 ms,
// BatchNorm's backward 16.0 -> 11.5; 12.8 MB of a 1x1 convolution 2.6 -> 1.95. In training steps
// of ResNet-50 BatchNorm takes 116 ms with a limit of 8 MB, 134 with 32, convolutions 3 % less;
// with 4 MB they take the same, and BatchNorm's forward in CIFAR's ResNet-20 4.1 ms instead of 4.8.
constexpr int64_t most_cached_bytes = 4 << 20;
template <class T>
bool outgrows_caches(const T* y, int64_t n) {
  return n * static_cast<int64_t>(sizeof(T)) > most_cached_bytes &&
         reinterpret_cast<uintptr_t>(y) % vector_bytes == 0;
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

// The first n lanes, the others `fill`.
template <class T>
FASTNN_INLINE Vec<T> load(const T* p, int64_t n, T fill) {
  IntVec<T> lane;
  for (int i = 0; i < lanes<T>; ++i) lane[i] = i;
  return lane < static_cast<typename VecTypes<T>::IntLane>(n) ? load(p, n) : splat(fill);
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

// y[j][i] = x[i][j] for a tile of 4 x 4.
constexpr int64_t transpose_tile_size = 4;

template <class T>
FASTNN_INLINE void transpose_tile(const T* x, int64_t x_row, T* y, int64_t y_row) {
  using V __attribute__((vector_size(4 * sizeof(T)))) = T;
  const auto interleave_low = [](V a, V b) { return V{a[0], b[0], a[1], b[1]}; };
  const auto interleave_high = [](V a, V b) { return V{a[2], b[2], a[3], b[3]}; };
  V a, b, c, d;
  std::memcpy(&a, x, sizeof a);
  std::memcpy(&b, x + x_row, sizeof b);
  std::memcpy(&c, x + 2 * x_row, sizeof c);
  std::memcpy(&d, x + 3 * x_row, sizeof d);
  const V ac_low = interleave_low(a, c), ac_high = interleave_high(a, c);
  const V bd_low = interleave_low(b, d), bd_high = interleave_high(b, d);
  a = interleave_low(ac_low, bd_low);
  b = interleave_high(ac_low, bd_low);
  c = interleave_low(ac_high, bd_high);
  d = interleave_high(ac_high, bd_high);
  std::memcpy(y, &a, sizeof a);
  std::memcpy(y + y_row, &b, sizeof b);
  std::memcpy(y + 2 * y_row, &c, sizeof c);
  std::memcpy(y + 3 * y_row, &d, sizeof d);
}

// What is handled together: n whole vectors, or the first n lanes of one.
template <int n>
struct Vectors {
  static constexpr int count = n;
};
struct FirstLanes {
  static constexpr int count = 1;
  int64_t n;
};

template <class T, int n>
constexpr int64_t lanes_of(Vectors<n>) {
  return n * lanes<T>;
}
template <class T>
constexpr int64_t lanes_of(FirstLanes first) {
  return first.n;
}

template <class T, int n>
FASTNN_INLINE Vec<T> load(const T* p, Vectors<n>) {
  return load(p);
}
template <class T>
FASTNN_INLINE Vec<T> load(const T* p, FirstLanes first) {
  return load(p, first.n);
}
template <class T, int n>
FASTNN_INLINE void store(T* p, const Vec<T>& v, Vectors<n>) {
  store(p, v);
}
template <class T>
FASTNN_INLINE void store(T* p, const Vec<T>& v, FirstLanes first) {
  store(p, v, first.n);
}

// store(), or stream() where `streaming` and the vector is whole.
template <class T>
FASTNN_INLINE void put(bool streaming, T* p, const Vec<T>& v) {
  if (streaming) {
    stream(p, v);
  } else {
    store(p, v);
  }
}
template <class T, int n>
FASTNN_INLINE void put(bool streaming, T* p, const Vec<T>& v, Vectors<n>) {
  put(streaming, p, v);
}
template <class T, class Part>
FASTNN_INLINE void put(bool, T* p, const Vec<T>& v, Part part) {
  store(p, v, part);
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

// The 64-bit products of the low halves of the lanes.
FASTNN_INLINE VecU64 multiply_low_halves(VecU64 a, VecU64 b) {
#if defined(__AVX512F__)
  return (VecU64)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (VecU64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
  return (VecU64)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  const VecU64 low = 0xFFFFFFFF - VecU64{};
  return (a & low) * (b & low);
#endif
}

// (The masks of ones spare a false warning of GCC.)
FASTNN_INLINE VecF32 sqrt(VecF32 v) {
#if defined(__AVX512F__)
  return (VecF32)_mm512_maskz_sqrt_ps(0xffff, (__m512)v);
#elif defined(__AVX2__)
  return (VecF32)_mm256_sqrt_ps((__m256)v);
#elif defined(__x86_64__)
  return (VecF32)_mm_sqrt_ps((__m128)v);
#else
  return (VecF32)vsqrtq_f32((float32x4_t)v);
#endif
}
FASTNN_INLINE VecF64 sqrt(VecF64 v) {
#if defined(__AVX512F__)
  return (VecF64)_mm512_maskz_sqrt_pd(0xff, (__m512d)v);
#elif defined(__AVX2__)
  return (VecF64)_mm256_sqrt_pd((__m256d)v);
#elif defined(__x86_64__)
  return (VecF64)_mm_sqrt_pd((__m128d)v);
#else
  return (VecF64)vsqrtq_f64((float64x2_t)v);
#endif
}

// 1 / sqrt(v) within 3 ulp: infinity of 0, 0 of infinity, NaN of negative numbers.
FASTNN_INLINE VecF32 rsqrt(VecF32 v) {
#if defined(__AVX512F__) || defined(__AVX2__)
#if defined(__AVX512F__)
  const VecF32 r = (VecF32)_mm512_maskz_rsqrt14_ps(0xffff, (__m512)v);
#else
  const VecF32 r = (VecF32)_mm256_rsqrt_ps((__m256)v);
#endif
  const VecF32 refined = fma(r * 0.5f, fma(-v * r, r, splat(1.0f)), r);
  return refined == refined ? refined : r;
#else
  return 1 / sqrt(v);
#endif
}
FASTNN_INLINE VecF64 rsqrt(VecF64 v) { return 1 / sqrt(v); }

// The larger lane; b where either is NaN.
template <class V>
FASTNN_INLINE V max(V a, V b) {
  return a > b ? a : b;
}
template <class V>
FASTNN_INLINE V min(V a, V b) {
  return a < b ? a : b;
}

// Without the sign.
template <class T>
FASTNN_INLINE Vec<T> magnitude(Vec<T> x) {
  return reinterpret_cast<Vec<T>>(reinterpret_cast<BitVec<T>>(x) &
                                  ~reinterpret_cast<BitVec<T>>(splat(T(-0.0))));
}

// Lane i is lane from[i] of v.
template <class V>
FASTNN_INLINE V permute(const V& v, const decltype(v == v)& from) {
#if defined(__clang__)
  return __builtin_shufflevector(v, from);
#else
  return __builtin_shuffle(v, from);
#endif
}

template <class T>
FASTNN_INLINE IntVec<T> splat_index(int64_t value) {
  return static_cast<typename VecTypes<T>::IntLane>(value) - IntVec<T>{};
}

// 0, 1, ...
template <class T>
FASTNN_INLINE IntVec<T> lane_numbers() {
  IntVec<T> v;
  for (int i = 0; i < lanes<T>; ++i) v[i] = i;
  return v;
}

// Lanes i and i ^ distance exchanged, for a power of two below the number of lanes.
template <int distance, class V>
FASTNN_INLINE V swap_lanes(const V& v) {
  decltype(v == v) from;
  constexpr int count = sizeof v / sizeof v[0];
  for (int i = 0; i < count; ++i) from[i] = i ^ distance;
  return permute(v, from);
}

// The n lanes at p combined by halves, in the same order always: f of the first and the second half
// lane by lane, and so on down to one.
template <int n, class T, class F>
FASTNN_INLINE T combine_halves(const T* p, const F& f) {
  if constexpr (n == 1) {
    return *p;
  } else {
    typedef T Half __attribute__((vector_size(n / 2 * sizeof(T))));
    Half first, second;
    std::memcpy(&first, p, sizeof first);
    std::memcpy(&second, p + n / 2, sizeof second);
    first = f(first, second);
    T half[n / 2];
    std::memcpy(half, &first, sizeof half);
    return combine_halves<n / 2>(half, f);
  }
}

// As many bytes as Vec<T> has lanes, as integers of its width; and the low bytes of such integers,
// which must be 0 to 255. (Compilers make scalar code of the plain conversions. The masks of ones
// spare a false warning of GCC.)
template <class T>
FASTNN_INLINE IntVec<T> load_bytes(const uint8_t* p);
template <>
FASTNN_INLINE VecI32 load_bytes<float>(const uint8_t* p) {
#if defined(__AVX512F__)
  return (VecI32)_mm512_maskz_cvtepu8_epi32(0xffff,
                                            _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  return (VecI32)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__x86_64__)
  int32_t bytes;
  std::memcpy(&bytes, p, sizeof bytes);
  const __m128i zero = _mm_setzero_si128();
  const __m128i wide = _mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero);
  return (VecI32)_mm_unpacklo_epi16(wide, zero);
#else
  return VecI32{p[0], p[1], p[2], p[3]};
#endif
}
template <>
FASTNN_INLINE VecI64 load_bytes<double>(const uint8_t* p) {
#if defined(__AVX512F__)
  return (VecI64)_mm512_maskz_cvtepu8_epi64(0xff,
                                            _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  int32_t bytes;
  std::memcpy(&bytes, p, sizeof bytes);
  return (VecI64)_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(bytes));
#else
  return VecI64{p[0], p[1]};
#endif
}
FASTNN_INLINE void store_bytes(uint8_t* p, const VecI32& v) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)v));
#elif defined(__x86_64__)
#if defined(__AVX2__)
  const __m256i all = (__m256i)v;
  const __m128i words =
      _mm_packs_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
#else
  const __m128i words = _mm_packs_epi32((__m128i)v, (__m128i)v);
#endif
  const __m128i bytes = _mm_packus_epi16(words, words);
  std::memcpy(p, &bytes, lanes<float>);
#else
  for (int i = 0; i < lanes<float>; ++i) p[i] = static_cast<uint8_t>(v[i]);
#endif
}
FASTNN_INLINE void store_bytes(uint8_t* p, const VecI64& v) {
#if defined(__AVX512F__)
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi64_epi8(0xff, (__m512i)v));
#else
  for (int i = 0; i < lanes<double>; ++i) p[i] = static_cast<uint8_t>(v[i]);
#endif
}

// The sum of the lanes.
template <class T>
FASTNN_INLINE T reduce_add(const Vec<T>& v) {
  T part[lanes<T>];
  store(part, v);
  return combine_halves<lanes<T>>(part, [](auto a, auto b) { return a + b; });
}

// The largest lane. No lane may be NaN.
template <class T>
FASTNN_INLINE T reduce_max(const Vec<T>& v) {
  T part[lanes<T>];
  store(part, v);
  return combine_halves<lanes<T>>(part, [](auto a, auto b) { return max(a, b); });
}

// What exp and tanh need to know of T. expm1(r) = r + r^2 q(r) for |r| <= log(2) / 2, q the
// minimax polynomial of the relative error; log(2) = log2_hi + log2_lo, where log2_hi has so few
// bits that its multiples are exact.
template <class T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  static constexpr int mantissa_bits = 23, exponent_bias = 127;
  static constexpr float round = 0x1.8p23f;  // v + round - round is v rounded to an integer
  static constexpr float log2_hi = 0.693359375f, log2_lo = -2.12194440e-4f;
  static constexpr float largest = 88.7228317f;    // exp overflows above
  static constexpr float smallest = -87.3365402f;  // exp is below the normal numbers below
  static constexpr float tanh_is_1 = 9.02f;        // tanh rounds to 1 from here on
  static constexpr float q[] = {0.5f,         0.16666667f,   0.041666355f,
                                0.008333274f, 0.0013941022f, 0.00019913574f};
};
template <>
struct ExpConstants<double> {
  static constexpr int mantissa_bits = 52, exponent_bias = 1023;
  static constexpr double round = 0x1.8p52;
  static constexpr double log2_hi = 6.93147180369123816490e-01,
                          log2_lo = 1.90821492927058770002e-10;
  static constexpr double largest = 709.78271289338397;
  static constexpr double smallest = -708.39641853226408;
  static constexpr double tanh_is_1 = 19.07;
  static constexpr double q[] = {0.5,
                                 0.16666666666666677,
                                 0.0416666666666667,
                                 0.008333333333321615,
                                 0.0013888888888866835,
                                 0.0001984126988615903,
                                 2.4801587360559802e-05,
                                 2.7557244181502035e-06,
                                 2.7557242757482614e-07,
                                 2.510904501628204e-08,
                                 2.0924443771550156e-09};
};

// x = n log(2) + r with an integer n: expm1(r), and 2^0 with n added to its exponent is 2^n.
template <class T>
struct ReducedExp {
  Vec<T> expm1_r;
  BitVec<T> exponent;
};
template <class T>
FASTNN_INLINE ReducedExp<T> reduce_exp(Vec<T> x) {
  using K = ExpConstants<T>;
  const Vec<T> shifted = fma(x, splat(T(1.44269504088896340736)), splat(K::round));
  const Vec<T> n = shifted - K::round;
  const Vec<T> r = fma(n, splat(-K::log2_lo), fma(n, splat(-K::log2_hi), x));
  constexpr int degree = sizeof(K::q) / sizeof(T) - 1;
  Vec<T> q = splat(K::q[degree]);
  for (int i = degree - 1; i >= 0; --i) q = fma(q, r, splat(K::q[i]));
  // The low bits of `shifted` are n; those above go out at the top.
  return {fma(r * r, q, r), reinterpret_cast<BitVec<T>>(shifted) << K::mantissa_bits};
}

// e^x as by exp where that does not overflow; anything for NaN.
template <class T>
FASTNN_INLINE Vec<T> exp_below_overflow(Vec<T> x) {
  using K = ExpConstants<T>;
  const ReducedExp<T> e = reduce_exp<T>(x);
  // Adding to the exponent of e^r, and not multiplying with 2^n, reaches results whose 2^n is
  // itself no normal number.
  const auto y =
      reinterpret_cast<Vec<T>>(reinterpret_cast<BitVec<T>>(e.expm1_r + T(1)) + e.exponent);
  return x < K::smallest ? Vec<T>{} : y;
}

// e^x within 1.0 ulp (measured over all magnitudes, float against double, double against extended
// precision): infinity where it overflows, 0 where it would be denormal, NaN for NaN.
template <class T>
FASTNN_INLINE Vec<T> exp(Vec<T> x) {
  using K = ExpConstants<T>;
  const Vec<T> y =
      x > K::largest ? splat(std::numeric_limits<T>::infinity()) : exp_below_overflow<T>(x);
  return x == x ? y : x;
}

// 1 / (1 + e^-x) within 2.5 ulp, also at the ends: 1 / (1 + infinity) = 0.
template <class T>
FASTNN_INLINE Vec<T> sigmoid(Vec<T> x) {
  return 1 / (1 + exp<T>(-x));
}

// e^x - 1 within 1.5 ulp for x <= 2 tanh_is_1, beyond which exp(x) is the same; NaN for NaN.
template <class T>
FASTNN_INLINE Vec<T> expm1(Vec<T> x) {
  using K = ExpConstants<T>;
  const ReducedExp<T> e = reduce_exp<T>(max(splat(-2 * K::tanh_is_1), x));
  const Vec<T> power =
      reinterpret_cast<Vec<T>>(reinterpret_cast<BitVec<T>>(splat(T(1))) + e.exponent);
  return fma(power, e.expm1_r, power - T(1));
}

// tanh(x) = e / (e + 2) with e = expm1(2 |x|), under the sign of x: within 2.5 ulp (measured
// likewise), also near 0. NaN for NaN.
template <class T>
FASTNN_INLINE Vec<T> tanh(Vec<T> x) {
  using K = ExpConstants<T>;
  using Bits = BitVec<T>;
  const Bits sign = reinterpret_cast<Bits>(x) & reinterpret_cast<Bits>(splat(T(-0.0)));
  const Vec<T> magnitude = reinterpret_cast<Vec<T>>(reinterpret_cast<Bits>(x) ^ sign);
  const Vec<T> e = expm1<T>(2 * min(splat(K::tanh_is_1), magnitude));
  return reinterpret_cast<Vec<T>>(reinterpret_cast<Bits>(e / (e + T(2))) | sign);
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
