// Natural logarithms of vectors. The tests hold softplus to 3 eps of its result, and the logarithms
// of binary cross-entropy to 2.
#pragma once

#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// log((1 + s) / (1 - s)) = 2 s + s z p(z) with z = s^2 and the polynomial p, interpolated in
// Chebyshev's points for |s| <= (sqrt(2) - 1) / (sqrt(2) + 1). log(2) = log2_hi + log2_lo as for
// exp.
template <class T>
struct LogConstants;
template <>
struct LogConstants<float> {
  static constexpr uint32_t one = 0x3f800000, sqrt_half = 0x3f3504f3, round = 0x4b400000;
  static constexpr float smallest_normal = 1.17549435e-38f;
  static constexpr float p[] = {0.66666667f, 0.40000122f, 0.28550779f, 0.23331614f};
};
template <>
struct LogConstants<double> {
  static constexpr uint64_t one = 0x3ff0000000000000, sqrt_half = 0x3fe6a09e667f3bcd,
                            round = 0x4338000000000000;
  static constexpr double smallest_normal = 2.2250738585072014e-308;
  static constexpr double p[] = {0.666666666666666665, 0.400000000000008832, 0.28571428570799785,
                                 0.222222223925810451, 0.181817955475211362, 0.153862447376216666,
                                 0.132686383692668239, 0.130880348509275538};
};

template <class T>
FASTNN_INLINE Vec<T> log_polynomial(Vec<T> z) {
  using K = LogConstants<T>;
  constexpr int degree = sizeof(K::p) / sizeof(T) - 1;
  Vec<T> p = splat(K::p[degree]);
  for (int i = degree - 1; i >= 0; --i) p = fma(p, z, splat(K::p[i]));
  return p;
}

// Of positive normal numbers.
template <class T>
FASTNN_INLINE Vec<T> log_of_normal(Vec<T> x) {
  using K = LogConstants<T>;
  using E = ExpConstants<T>;
  using Bits = BitVec<T>;
  // x = 2^e m with sqrt(1/2) <= m < sqrt(2)
  const Bits bits = reinterpret_cast<Bits>(x);
  const Bits biased = (bits + (K::one - K::sqrt_half)) >> E::mantissa_bits;
  const Vec<T> m = reinterpret_cast<Vec<T>>(bits + K::one - (biased << E::mantissa_bits));
  const Vec<T> e = reinterpret_cast<Vec<T>>(biased + K::round) - (E::round + E::exponent_bias);

  const Vec<T> f = m - T(1), s = f / (f + T(2)), z = s * s;  // 2 s = f - s f
  const Vec<T> less = s * (f - z * log_polynomial<T>(z)) - e * E::log2_lo;
  return fma(e, splat(E::log2_hi), f - less);
}

// -infinity for 0 and denormal numbers, NaN below 0 and for NaN.
template <class T>
FASTNN_INLINE Vec<T> log(Vec<T> x) {
  Vec<T> y = log_of_normal<T>(x);
  y = x < LogConstants<T>::smallest_normal ? splat(-std::numeric_limits<T>::infinity()) : y;
  y = x < T(0) ? splat(std::numeric_limits<T>::quiet_NaN()) : y;
  return x < std::numeric_limits<T>::infinity() ? y : x;
}

// log(1 + x), also of small x.
template <class T>
FASTNN_INLINE Vec<T> log1p(Vec<T> x) {
  const Vec<T> u = x + T(1), y = log<T>(u);
  const Vec<T> lost = (x - (u - T(1))) / u;
  return (u > T(0)) & (u < std::numeric_limits<T>::infinity()) ? y + lost : y;
}

// log(1 + x) for 0 <= x <= 1.
template <class T>
FASTNN_INLINE Vec<T> log1p_of_fraction(Vec<T> x) {
  const auto large = x > T(0.41421356237309504880);  // 1 + x = 2 (1 + f) above sqrt(2)
  const Vec<T> f = large ? T(0.5) * x - T(0.5) : x;
  const Vec<T> s = f / (f + T(2)), z = s * s;  // 2 s = f - s f
  return fma(s, z * log_polynomial<T>(z) - f, f) +
         (large ? splat(T(0.69314718055994530942)) : Vec<T>{});
}

// log(1 + e^x), without overflow and exact in the digits of small results; NaN for NaN.
template <class T>
FASTNN_INLINE Vec<T> softplus(Vec<T> x) {
  return max(Vec<T>{}, x) + log1p_of_fraction<T>(exp_below_overflow<T>(-magnitude<T>(x)));
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
