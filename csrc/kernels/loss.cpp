// Softmax cross-entropy: with q, what row n aims at, and the weights w of the classes (fastnn.h),
// loss[n] = -sum_c w[c] q[n][c] y[n][c] and, on request, y = log softmax of x; backward
// dx[n][c] = dloss[n] (exp(y[n][c]) sum_k w[k] q[n][k] - w[c] q[n][c]). Rows whose label is
// ignore_index have loss 0 and dx 0. Dense rows of C; parallel over rows. Reads x 3 times (4 with
// smoothing or probabilities), from the cache after the first, and writes y once; backward reads y,
// and the probabilities twice, and writes dx.
#include "softmax.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// The bindings refuse other labels outside of the classes; but labels belong to the caller, whose
// other threads may write to them meanwhile, and no address may depend on that.
constexpr bool counts(int64_t label, int64_t ignore_index, int64_t C) {
  return label != ignore_index && label >= 0 && label < C;
}

// q = hard * p + soft, and sum_c w[c].
template <class T>
struct Aim {
  T hard, soft, weights;
};
template <class T>
Aim<T> aim_of(const SoftmaxShape& s, const CrossEntropyTarget<T>& target) {
  const auto add = plus<T>;
  const T weights = target.weight
                        ? reduce_add<T>(fold(s.C, Vec<T>{}, T(0), add, add, target.weight))
                        : static_cast<T>(s.C);
  return {static_cast<T>(1 - target.smoothing),
          static_cast<T>(target.smoothing / static_cast<double>(s.C)), weights};
}

// sum_c w[c] (x[c] - max)
template <class T>
FASTNN_INLINE T weighted_distance(int64_t C, T max, const T* w, const T* x) {
  using V = Vec<T>;
  const auto f = [max](V sum, V v) { return sum + (v - max); };
  const auto g = [max](V sum, V v, V weight) { return fma(weight, v - max, sum); };
  return reduce_add<T>(w ? fold(C, V{}, max, g, plus<T>, x, w) : fold(C, V{}, max, f, plus<T>, x));
}

// sum_c w[c] (hard p[c] + soft) (x[c] - max)
template <class T>
FASTNN_INLINE T weighted_distance(int64_t C, T max, const T* w, const T* x, const T* p, Aim<T> a) {
  using V = Vec<T>;
  const V soft = splat(a.soft), hard = splat(a.hard);
  const auto f = [=](V sum, V v, V t) { return fma(fma(hard, t, soft), v - max, sum); };
  const auto g = [=](V sum, V v, V t, V weight) {
    return fma(weight * fma(hard, t, soft), v - max, sum);
  };
  return reduce_add<T>(w ? fold(C, V{}, max, g, plus<T>, x, p, w)
                         : fold(C, V{}, max, f, plus<T>, x, p));
}

// sum_c w[c] q[c]
template <class T>
FASTNN_INLINE T total_aim(int64_t C, const T* w, const T* p, Aim<T> a) {
  using V = Vec<T>;
  const auto dot = [](V sum, V t, V weight) { return fma(t, weight, sum); };
  const V sum =
      w ? fold(C, V{}, T(0), dot, plus<T>, p, w) : fold(C, V{}, T(0), plus<T>, plus<T>, p);
  return a.hard * reduce_add<T>(sum) + a.soft * a.weights;
}

template <class T>
void cross_entropy_forward(const Exec& exec, const SoftmaxShape& s,
                           const CrossEntropyTarget<T>& target, const T* x, T* loss, T* y) {
  const Aim<T> a = aim_of(s, target);
  const T* const w = target.weight;
  parallel_log_softmax(exec, s, x, y, [&](int64_t n, LogSumExp<T> l) {
    const T* xn = x + n * s.C;
    const int64_t label = target.labels ? target.labels[n] : -1;
    const bool ignored = target.labels && !counts(label, target.ignore_index, s.C);
    if (ignored) loss[n] = 0;
    if (!target.labels) {
      const T* p = target.probabilities + n * s.C;
      loss[n] = total_aim(s.C, w, p, a) * l.log_sum - weighted_distance(s.C, l.max, w, xn, p, a);
    } else if (!ignored) {
      loss[n] = a.hard * (w ? w[label] : 1) * (l.log_sum - (xn[label] - l.max));
      if (a.soft != 0) {
        loss[n] += a.soft * (a.weights * l.log_sum - weighted_distance(s.C, l.max, w, xn));
      }
    }
  });
}

template <class T>
void cross_entropy_backward(const Exec& exec, const SoftmaxShape& s,
                            const CrossEntropyTarget<T>& target, const T* dloss, const T* y,
                            T* dx) {
  using V = Vec<T>;
  const Aim<T> a = aim_of(s, target);
  const T* const w = target.weight;
  // `exponential` makes exp(y[n][c]) of from[c].
  const auto row = [&](int64_t n, const T* from, const auto& exponential) FASTNN_INLINE_LAMBDA {
    T* dxn = dx + n * s.C;
    const T g = dloss[n];
    if (!target.labels) {
      const T* p = target.probabilities + n * s.C;
      const T total = g * total_aim(s.C, w, p, a);
      const V hard = splat(g * a.hard), soft = splat(g * a.soft);
      if (w) {
        const auto f = [=](V v, V t, V u) {
          return total * exponential(v) - u * fma(hard, t, soft);
        };
        return map(0, s.C, f, dxn, from, p, w);
      }
      const auto f = [=](V v, V t) { return total * exponential(v) - fma(hard, t, soft); };
      return map(0, s.C, f, dxn, from, p);
    }
    const int64_t label = target.labels[n];
    if (!counts(label, target.ignore_index, s.C)) return map(0, s.C, [] { return V{}; }, dxn);
    const T hard = a.hard * (w ? w[label] : 1);
    const T total = g * (hard + a.soft * a.weights), soft = g * a.soft;
    if (a.soft == 0) {
      map(0, s.C, [=](V v) { return total * exponential(v); }, dxn, from);
    } else if (w) {
      map(0, s.C, [=](V v, V u) { return total * exponential(v) - soft * u; }, dxn, from, w);
    } else {
      map(0, s.C, [=](V v) { return total * exponential(v) - soft; }, dxn, from);
    }
    dxn[label] -= g * hard;
  };
  if (s.C > most_short_columns) {
    return parallel_rows(exec, s, [&](int64_t n) {
      row(n, y + n * s.C, [](V v) FASTNN_INLINE_LAMBDA { return exp<T>(v); });
    });
  }
  for_some_short_rows(exec, s.N, s.C, [&](int64_t n, int64_t count) {
    // All exponentials of some rows at once, for which vectors are full.
    T exponentials[side_by_side * most_short_columns];
    map(0, count * s.C, [](V v) { return exp<T>(v); }, exponentials, y + n * s.C);
    for (int64_t r = 0; r < count; ++r)
      row(n + r, exponentials + r * s.C, [](V v) FASTNN_INLINE_LAMBDA { return v; });
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.softmax_cross_entropy_forward = cross_entropy_forward<T>;
  t.softmax_cross_entropy_backward = cross_entropy_backward<T>;
}

}  // namespace

void fill_loss(Ops<float>& t) { fill(t); }
void fill_loss(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
