// The soft plus of vectors, log(1 + e^x).
#pragma once

#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// log((1 + s) / (1 - s)) = 2 s + s z p(z) with z = s^2 and the polynomial p, interpolated in
// Chebyshev's points for |s| <= (sqrt(2) - 1) / (sqrt(2) + 1).
template <class T>
struct LogConstants;
template <>
struct LogConstants<float> {
  static constexpr float p[] = {0.66666667f, 0.40000122f, 0.28550779f, 0.23331614f};
};
template <>
struct LogConstants<double> {
  static constexpr double p[] = {0.666666666666666665, 0.400000000000008832, 0.28571428570799785,
                                 0.222222223925810451, 0.181817955475211362, 0.153862447376216666,
                                 0.132686383692668239, 0.130880348509275538};
};

// log(1 + x) for 0 <= x <= 1, within 2 ulp.
template <class T>
FASTNN_INLINE Vec<T> log1p_of_fraction(Vec<T> x) {
  using K = LogConstants<T>;
  const auto large = x > T(0.41421356237309504880);  // 1 + x = 2 (1 + f) above sqrt(2)
  const Vec<T> f = large ? T(0.5) * x - T(0.5) : x;
  const Vec<T> s = f / (f + T(2)), z = s * s;  // 2 s = f - s f
  constexpr int degree = sizeof(K::p) / sizeof(T) - 1;
  Vec<T> p = splat(K::p[degree]);
  for (int i = degree - 1; i >= 0; --i) p = fma(p, z, splat(K::p[i]));
  return fma(s, z * p - f, f) + (large ? splat(T(0.69314718055994530942)) : Vec<T>{});
}

// log(1 + e^x), without overflow and exact in the digits of small results; NaN for NaN.
template <class T>
FASTNN_INLINE Vec<T> softplus(Vec<T> x) {
  return max(Vec<T>{}, x) + log1p_of_fraction<T>(exp_below_overflow<T>(-magnitude<T>(x)));
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
