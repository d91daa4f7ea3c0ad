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

// The same as below for labels of few classes.
template <class T>
void short_backward(const Exec& exec, const SoftmaxShape& s, const CrossEntropyTarget<T>& target,
                    const T* dloss, const T* y, T* dx) {
  using V = Vec<T>;
  const Aim<T> a = aim_of(s, target);
  for_some_short_rows(exec, s.N, s.C, [&](int64_t n, int64_t count) {
    ShortRows<T> rows;
    rows.read(count, s.C, y + n * s.C);
    T labels[side_by_side] = {}, hards[side_by_side] = {}, softs[side_by_side] = {};
    for (int64_t r = 0; r < count; ++r) {
      const int64_t label = target.labels[n + r];
      const bool counted = counts(label, target.ignore_index, s.C);
      labels[r] = counted ? static_cast<T>(label) : T(-1);
      hards[r] = dloss[n + r] * a.hard * (target.weight && counted ? target.weight[label] : 1);
      softs[r] = a.soft == 0 ? T(0) : dloss[n + r] * a.soft;
    }
    for (int64_t r = 0; r < side_by_side; r += lanes<T>) {
      const V label = load(labels + r), hard = load(hards + r), soft = load(softs + r);
      const V total = hard + soft * a.weights;
      for (int64_t c = 0; c < s.C; ++c) {
        V v = total * exp<T>(load(rows.column[c] + r));
        v -= soft * (target.weight ? target.weight[c] : 1);
        v = label == static_cast<T>(c) ? v - hard : v;
        store(rows.column[c] + r, label < V{} ? V{} : v);
      }
    }
    rows.write(count, s.C, dx + n * s.C);
  });
}

template <class T>
void cross_entropy_backward(const Exec& exec, const SoftmaxShape& s,
                            const CrossEntropyTarget<T>& target, const T* dloss, const T* y,
                            T* dx) {
  using V = Vec<T>;
  if (target.labels && s.C <= most_short_columns)
    return short_backward(exec, s, target, dloss, y, dx);
  const Aim<T> a = aim_of(s, target);
  const T* const w = target.weight;
  parallel_rows(exec, s, [&](int64_t n) {
    const T* yn = y + n * s.C;
    T* dxn = dx + n * s.C;
    const T g = dloss[n];
    if (!target.labels) {
      const T* p = target.probabilities + n * s.C;
      const T total = g * total_aim(s.C, w, p, a);
      const V hard = splat(g * a.hard), soft = splat(g * a.soft);
      if (w) {
        const auto f = [=](V v, V t, V u) { return total * exp<T>(v) - u * fma(hard, t, soft); };
        return map(0, s.C, f, dxn, yn, p, w);
      }
      const auto f = [=](V v, V t) { return total * exp<T>(v) - fma(hard, t, soft); };
      return map(0, s.C, f, dxn, yn, p);
    }
    const int64_t label = target.labels[n];
    if (!counts(label, target.ignore_index, s.C)) return map(0, s.C, [] { return V{}; }, dxn);
    const T hard = a.hard * (w ? w[label] : 1);
    const T total = g * (hard + a.soft * a.weights), soft = g * a.soft;
    if (a.soft == 0) {
      map(0, s.C, [=](V v) { return total * exp<T>(v); }, dxn, yn);
    } else if (w) {
      map(0, s.C, [=](V v, V u) { return total * exp<T>(v) - soft * u; }, dxn, yn, w);
    } else {
      map(0, s.C, [=](V v) { return total * exp<T>(v) - soft; }, dxn, yn);
    }
    dxn[label] -= g * hard;
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
