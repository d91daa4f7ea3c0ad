// y[i] = f(x[i]), and dx[i] = dy[i] f'(x[i]) written in terms of y[i] where that is possible, of
// x[i] otherwise (v[i] below is the one or the other, as gradient_from_input says); a is the
// parameter:
//   relu        y = max(x, 0)                 dx = y <= 0 ? 0 : dy
//   leaky_relu  y = x > 0 ? x : a x           dx = v > 0 ? dy : a dy
//   elu         y = x > 0 ? x : a (e^x - 1)   dx = y <= 0 ? dy (y + a) : dy
//   sigmoid     y = 1 / (1 + e^-x)            dx = dy y (1 - y)
//   tanh        y = tanh(x)                   dx = dy (1 - y^2)
//   softsign    y = x / (1 + |x|)             dx = dy (1 - |y|)^2
//   silu        y = x s, s = 1 / (1 + e^-x)   dx = dy (s + x s (1 - s))
//   gelu        y = x P(X <= x), X normal     dx = dy (P(X <= x) + x e^(-x^2 / 2) / sqrt(2 pi))
//   gelu_tanh   y = x s(2 u(x))               dx = dy (s + x s (1 - s) 2 u'(x))
// with u(x) = sqrt(2 / pi) (x + 0.044715 x^3). Dense arrays of n elements; parallel over blocks of
// elements. Reads 1 (backward 2) arrays, writes 1; 1 to some 50 operations an element. Measured
// against extended precision: elu within 1.1 ulp, silu 2, sigmoid and tanh 2.5, gelu see below.
#include "elementwise.h"
#include "parallel.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
FASTNN_INLINE Vec<T> magnitude(Vec<T> x) {
  return reinterpret_cast<Vec<T>>(reinterpret_cast<BitVec<T>>(x) &
                                  ~reinterpret_cast<BitVec<T>>(splat(T(-0.0))));
}

// The complementary error function by (1 + 2 z) e^(z^2) erfc(z) / 2 = polynomial((z - 2) / (z + 2))
// for 0 <= z <= largest, beyond which e^(-z^2) is 0; interpolated in Chebyshev's points.
template <class T>
struct NormalConstants;
template <>
struct NormalConstants<float> {
  static constexpr float largest = 10;
  static constexpr float polynomial[] = {0.6384891912f,     -0.04638190821f,  -0.08301524586f,
                                         0.08202546307f,    -0.02710915649f,  -0.004015063313f,
                                         0.004355973083f,   0.0006257067700f, -0.0007138965752f,
                                         -0.0002009407879f, 8.774447802e-5f,  4.135298569e-5f};
};
template <>
struct NormalConstants<double> {
  static constexpr double largest = 28;
  static constexpr double polynomial[] = {
      0.638489190776264360,     -0.0463819132928729744,    -0.0830151988076449769,
      0.0820256400167178889,    -0.0271100004959904404,    -0.00401700754111349753,
      0.00436132693686670166,   0.000635669481592655155,   -0.000728406956298919962,
      -0.000227170405010793843, 0.000103183433150830847,   0.0000755195350624937994,
      -7.53843669980249122e-7,  -0.0000182114382984764219, -6.75082353337288619e-6,
      1.85438498899032397e-6,   2.62366950872984204e-6,    7.55234474951167848e-7,
      -3.68408843535049049e-7,  -4.24887563766466885e-7,   -1.08045707835489084e-7,
      7.99437580918029608e-8,   6.54405572151668764e-8,    4.00983624085602579e-9,
      -1.11022392949301681e-8,  -3.26915232511224126e-9};
};

// Of the normal distribution: probability P(X <= x) and bell = e^(-x^2 / 2). gelu is within 5 ulp
// of it above -1 and 5 + x^2 below (measured), as far as e^(-x^2 / 2) is a normal number.
template <class T>
struct Normal {
  Vec<T> probability, bell;
};
template <class T>
FASTNN_INLINE Normal<T> normal(Vec<T> x) {
  using K = NormalConstants<T>;
  const Vec<T> bell = exp<T>(T(-0.5) * x * x);
  const Vec<T> z = min(splat(K::largest), magnitude<T>(x) * T(0.70710678118654752440));
  const Vec<T> scale = 1 + 2 * z, inverse = 1 / ((z + 2) * scale);  // one division for both
  const Vec<T> t = (z - 2) * scale * inverse;
  constexpr int degree = sizeof(K::polynomial) / sizeof(T) - 1;
  Vec<T> p = splat(K::polynomial[degree]);
  for (int i = degree - 1; i >= 0; --i) p = fma(p, t, splat(K::polynomial[i]));
  const Vec<T> tail = bell * p * ((z + 2) * inverse);
  return {x > T(0) ? 1 - tail : tail, bell};
}

// 2 u(x) of gelu_tanh and its derivative.
template <class T>
FASTNN_INLINE Vec<T> gelu_argument(Vec<T> x) {
  return T(1.59576912160573071176) * x * (1 + T(0.044715) * x * x);
}
template <class T>
FASTNN_INLINE Vec<T> gelu_argument_slope(Vec<T> x) {
  return T(1.59576912160573071176) * (1 + T(0.134145) * x * x);
}

template <class T, class F, class... X>
void parallel_map(const Exec& exec, int64_t n, const F& f, T* y, const X*... x) {
  parallel_elements(exec, n, [&](int64_t begin, int64_t end) { map(begin, end, f, y, x...); });
}

template <class T>
void activation_forward(const Exec& exec, Activation activation, double parameter, int64_t n,
                        const T* x, T* y) {
  using V = Vec<T>;
  const T a = static_cast<T>(parameter);
  const auto apply = [&](const auto& f) { parallel_map(exec, n, f, y, x); };
  switch (activation) {
    case Activation::relu:  // a NaN is not <= 0 and passes
      return apply([](V v) { return v <= V{} ? V{} : v; });
    case Activation::leaky_relu:
      return apply([=](V v) { return v > V{} ? v : a * v; });
    case Activation::elu:
      return apply([=](V v) { return v > V{} ? v : a * expm1<T>(min(V{}, v)); });
    case Activation::sigmoid:
      return apply([](V v) { return sigmoid<T>(v); });
    case Activation::tanh:
      return apply([](V v) { return tanh<T>(v); });
    case Activation::softsign:
      return apply([](V v) { return v / (1 + magnitude<T>(v)); });
    case Activation::silu:
      return apply([](V v) { return v / (1 + exp<T>(-v)); });
    case Activation::gelu:
      return apply([](V v) { return v * normal<T>(v).probability; });
    case Activation::gelu_tanh:
      return apply([](V v) { return v / (1 + exp<T>(-gelu_argument<T>(v))); });
  }
}

template <class T>
void activation_backward(const Exec& exec, Activation activation, double parameter, int64_t n,
                         const T* dy, const T* v_data, T* dx) {
  using V = Vec<T>;
  const T a = static_cast<T>(parameter);
  const auto apply = [&](const auto& f) { parallel_map(exec, n, f, dx, dy, v_data); };
  switch (activation) {
    case Activation::relu:
      return apply([](V g, V v) { return v <= V{} ? V{} : g; });
    case Activation::leaky_relu:
      return apply([=](V g, V v) { return v > V{} ? g : a * g; });
    case Activation::elu:
      return apply([=](V g, V v) { return v <= V{} ? g * (v + a) : g; });
    case Activation::sigmoid:
      return apply([](V g, V v) { return g * v * (1 - v); });
    case Activation::tanh:  // 1 - y^2 would lose the digits of y near 1
      return apply([](V g, V v) { return g * ((1 - v) * (1 + v)); });
    case Activation::softsign:
      return apply([](V g, V v) {
        const V slope = 1 - magnitude<T>(v);
        return g * (slope * slope);
      });
    case Activation::silu:
      return apply([](V g, V v) {
        const V s = sigmoid<T>(v);
        return g * (s + v * (s * (1 - s)));
      });
    case Activation::gelu:
      return apply([](V g, V v) {
        const Normal<T> at = normal<T>(v);
        return g * (at.probability + v * (at.bell * T(0.39894228040143267794)));
      });
    case Activation::gelu_tanh:
      return apply([](V g, V v) {
        const V s = sigmoid<T>(gelu_argument<T>(v));
        return g * (s + v * (s * (1 - s)) * gelu_argument_slope<T>(v));
      });
  }
}

template <class T>
void fill(Ops<T>& t) {
  t.activation_forward = activation_forward<T>;
  t.activation_backward = activation_backward<T>;
}

}  // namespace

void fill_activation(Ops<float>& t) { fill(t); }
void fill_activation(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
