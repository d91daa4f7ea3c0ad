// y[i] = f(x[i]), and dx[i] = dy[i] f'(x[i]) written in terms of y[i] where that is possible, of
// x[i] otherwise (v[i] below is the one or the other, as gradient_from_input says); a and b are the
// parameters, s(x) = 1 / (1 + e^-x):
//   relu         y = max(x, 0)                    dx = y <= 0 ? 0 : dy
//   leaky_relu   y = x > 0 ? x : a x              dx = v > 0 ? dy : a dy
//   elu          y = x > 0 ? x : a (e^x - 1)      dx = y <= 0 ? dy (y + a) : dy; a < 0: of a e^x
//   selu         y = S (x > 0 ? x : A (e^x - 1))  dx = y <= 0 ? dy (y + S A) : S dy
//   celu         y = x > 0 ? x : a (e^(x/a) - 1)  dx = y <= 0 ? dy (y / a + 1) : dy
//   sigmoid      y = s(x)                         dx = dy y (1 - y)
//   tanh         y = tanh(x)                      dx = dy (1 - y^2)
//   softsign     y = x / (1 + |x|)                dx = dy (1 - |y|)^2
//   silu         y = x s(x)                       dx = dy (s + x s (1 - s))
//   gelu         y = x P(X <= x), X normal        dx = dy (P(X <= x) + x e^(-x^2/2) / sqrt(2 pi))
//   gelu_tanh    y = x s(2 u(x))                  dx = dy (s + x s (1 - s) 2 u'(x))
//   mish         y = x tanh(log(1 + e^x))         dx = dy (t + x (1 - t^2) s(x)), t that tanh
//   softplus     y = log(1 + e^(a x)) / a, x where a x > b   dx = dy s(a x), dy there
//   logsigmoid   y = log(s(x))                    dx = dy (1 - e^y)
//   hardtanh     y = min(max(x, a), b)            dx = a < y < b ? dy : 0
//   hardsigmoid  y = min(max(x + 3, 0), 6) / 6    dx = -3 < x < 3 ? dy / 6 : 0
//   hardswish    y = x hardsigmoid(x)             dx = dy (x / 3 + 1 / 2), 0 up to -3, dy from 3 on
//   threshold    y = x <= a ? b : x               dx = x <= a ? 0 : dy
//   softshrink   y = x - min(max(x, -a), a)       dx = |x| > a ? dy : 0
//   hardshrink   y = -a <= x <= a ? 0 : x         dx = x > a or x < -a ? dy : 0
//   tanhshrink   y = x - tanh(x)                  dx = dy tanh(x)^2
// with u(x) = sqrt(2 / pi) (x + 0.044715 x^3). Dense arrays of n elements; parallel over blocks of
// elements. Reads 1 (backward 2) arrays, writes 1; 1 to some 50 operations an element. Measured
// against extended precision: elu within 1.1 ulp, silu 2, softplus and logsigmoid 1.5, mish,
// sigmoid and tanh 2.5, gelu see below.
#include "elementwise.h"
#include "log.h"
#include "parallel.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Of the normal distribution: P(X <= -z) = e^(-z^2 / 2) polynomial(t) / (z + center) with
// t = (z - center) / (z + center), for z up to where e^(-z^2 / 2) is no normal number; interpolated
// in Chebyshev's points.
template <class T>
struct NormalConstants;
template <>
struct NormalConstants<float> {
  static constexpr float center = 3;
  static constexpr float polynomial[] = {0.72908366f,   -0.5093319f,    0.23001933f,
                                         -0.047263104f, -0.010481445f,  0.006955275f,
                                         0.001091628f,  -0.0009445649f, -0.0002974696f};
};
template <>
struct NormalConstants<double> {
  static constexpr double center = 4;
  static constexpr double polynomial[] = {
      0.755285130415751482,     -0.607896641971891756,   0.387137400742218271,
      -0.186521857959694808,    0.0603965748907301617,   -0.00754018896556145206,
      -0.00347969236284029225,  0.00163081844124276596,  0.000133344259876998646,
      -0.000231094811459889555, -1.90789904542265821e-6, 0.0000351441393258252715,
      7.15112789176635983e-7,   -5.91873782794706776e-6, -6.25340226107043871e-7,
      1.01945129207166625e-6,   2.6389746266048703e-7,   -1.53777666422862089e-7,
      -7.64476127669280825e-8,  1.4210966127840914e-8,   1.38586458714322789e-8,
      1.9054838690700548e-10,   -9.1847714516788792e-10};
};

// The probability P(X <= x), and bell = e^(-x^2 / 2); anything for NaN. gelu is within 4 ulp of it
// above -1 and 4 + x^2 / 4 below (measured), as far as bell is a normal number.
template <class T>
struct Normal {
  Vec<T> probability, bell;
};
template <class T>
FASTNN_INLINE Normal<T> normal(Vec<T> x) {
  using K = NormalConstants<T>;
  const Vec<T> bell = exp_below_overflow<T>(T(-0.5) * x * x);
  const Vec<T> inverse = 1 / (magnitude<T>(x) + K::center);
  const Vec<T> t = fma(inverse, splat(-2 * K::center), splat(T(1)));
  constexpr int degree = sizeof(K::polynomial) / sizeof(T) - 1;
  Vec<T> p = splat(K::polynomial[degree]);
  for (int i = degree - 1; i >= 0; --i) p = fma(p, t, splat(K::polynomial[i]));
  const Vec<T> tail = bell * p * inverse;
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

// tanh(log(1 + e^x)) of mish is w / (w + 2) with w = e^x (e^x + 2): 1 from here on.
template <class T>
constexpr T mish_is_x = T(20);

template <class T>
struct SeluConstants {
  static constexpr T alpha = T(1.6732632423543772848170429916717);
  static constexpr T scale = T(1.0507009873554804934193349852946);
};

template <class T>
void activation_forward(const Exec& exec, const Activation& activation, int64_t n, const T* x,
                        T* y) {
  using V = Vec<T>;
  using Selu = SeluConstants<T>;
  const T a = static_cast<T>(activation.a), b = static_cast<T>(activation.b);
  const auto apply = [&](const auto& f) { parallel_map(exec, n, f, y, x); };
  // (A NaN is not <= 0 and passes; min and max return their second argument where that is NaN.)
  switch (activation.kind) {
    case Activation::relu:
      return apply([](V v) { return v <= V{} ? V{} : v; });
    case Activation::leaky_relu:
      return apply([=](V v) { return v > V{} ? v : a * v; });
    case Activation::elu:
      return apply([=](V v) { return v > V{} ? v : a * expm1<T>(min(V{}, v)); });
    case Activation::selu:
      return apply([](V v) {
        return v > V{} ? Selu::scale * v : Selu::scale * Selu::alpha * expm1<T>(min(V{}, v));
      });
    case Activation::celu: {
      const T inverse = 1 / a;
      if (a > 0)
        return apply([=](V v) { return v > V{} ? v : a * expm1<T>(min(V{}, v) * inverse); });
      return apply([=](V v) {  // e^(x/a) grows without limit
        const V u = v * inverse;
        return v > V{} ? v : a * (u > T(1) ? exp<T>(u) - T(1) : expm1<T>(min(splat(T(1)), u)));
      });
    }
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
    case Activation::mish:
      return apply([](V v) {
        const V e = exp<T>(min(splat(mish_is_x<T>), v)), w = e * (e + 2);
        return v * (w / (w + 2));
      });
    case Activation::softplus: {
      const T inverse = 1 / a;
      return apply([=](V v) {
        const V u = a * v;
        return u > b ? v : softplus<T>(u) * inverse;
      });
    }
    case Activation::logsigmoid:
      return apply([](V v) { return V{} - softplus<T>(-v); });
    case Activation::hardtanh:
      return apply([=](V v) { return min(splat(b), max(splat(a), v)); });
    case Activation::hardsigmoid:
      return apply([](V v) { return min(splat(T(1)), max(V{}, v + T(3)) * T(1.0 / 6)); });
    case Activation::hardswish:
      return apply([](V v) { return v >= T(3) ? v : v * (max(V{}, v + T(3)) * T(1.0 / 6)); });
    case Activation::threshold:
      return apply([=](V v) { return v <= a ? splat(b) : v; });
    case Activation::softshrink:
      return apply([=](V v) { return v - min(splat(a), max(splat(-a), v)); });
    case Activation::hardshrink:
      return apply([=](V v) { return (v >= -a) & (v <= a) ? V{} : v; });
    case Activation::tanhshrink:
      return apply([](V v) { return v - tanh<T>(v); });
  }
}

template <class T>
void activation_backward(const Exec& exec, const Activation& activation, int64_t n, const T* dy,
                         const T* v_data, T* dx) {
  using V = Vec<T>;
  using Selu = SeluConstants<T>;
  const T a = static_cast<T>(activation.a), b = static_cast<T>(activation.b);
  const auto apply = [&](const auto& f) { parallel_map(exec, n, f, dx, dy, v_data); };
  switch (activation.kind) {
    case Activation::relu:
      return apply([](V g, V v) { return v <= V{} ? V{} : g; });
    case Activation::leaky_relu:
      return apply([=](V g, V v) { return v > V{} ? g : a * g; });
    case Activation::elu:
      if (gradient_from_input(activation))
        return apply([=](V g, V v) { return v > V{} ? g : g * (a * exp<T>(min(V{}, v))); });
      return apply([=](V g, V v) { return v <= V{} ? g * (v + a) : g; });
    case Activation::selu:
      return apply([](V g, V v) {
        return g * (v <= V{} ? v + Selu::scale * Selu::alpha : splat(Selu::scale));
      });
    case Activation::celu: {
      const T inverse = 1 / a;
      return apply([=](V g, V v) { return v <= V{} ? g * (v * inverse + T(1)) : g; });
    }
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
    case Activation::mish:
      return apply([](V g, V v) {
        const V u = min(splat(mish_is_x<T>), v), e = exp<T>(u), w = e * (e + 2);
        const V inverse = 1 / (w + 2);  // (1 - t^2) s = 4 e (e + 1) inverse^2
        return g * ((w + 4 * u * (e + e * e) * inverse) * inverse);
      });
    case Activation::softplus:
      return apply([=](V g, V v) {
        const V u = a * v;
        return u > b ? g : g * sigmoid<T>(u);
      });
    case Activation::logsigmoid:
      return apply([](V g, V v) { return g * -expm1<T>(v); });
    case Activation::hardtanh:
      return apply([=](V g, V v) { return (v > a) & (v < b) ? g : V{}; });
    case Activation::hardsigmoid:
      return apply([](V g, V v) { return (v > T(-3)) & (v < T(3)) ? g * T(1.0 / 6) : V{}; });
    case Activation::hardswish:
      return apply([](V g, V v) {
        const V inside = g * (v * T(1.0 / 3) + T(0.5));
        return v >= T(3) ? g : v <= T(-3) ? V{} : inside;
      });
    case Activation::threshold:
      return apply([=](V g, V v) { return v <= a ? V{} : g; });
    case Activation::softshrink:
    case Activation::hardshrink:
      return apply([=](V g, V v) { return (v > a) | (v < -a) ? g : V{}; });
    case Activation::tanhshrink:
      return apply([](V g, V v) {
        const V t = tanh<T>(v);
        return g * (t * t);
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
