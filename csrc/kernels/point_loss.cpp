// loss[i] = f(x[i], t[i]), or the sum of these, and dx[i] = dloss[i] f'(x[i]), with d = x - t and
// the parameter a:
//   squared       d^2                                               2 d
//   absolute      |d|                                               the sign of d, 0 at 0
//   smooth_l1     d^2 / (2 a) where |d| < a, else |d| - a / 2       d / a, else the sign of d
//   huber         d^2 / 2 where |d| <= a, else a (|d| - a / 2)      d, else a with the sign of d
//   soft_margin   log(1 + e^(-t x))                                 -t / (1 + e^(t x))
//   binary_cross_entropy              -t log(x) - (1 - t) log(1 - x), the logarithms at least -100
//                                     (x - t) / (x (1 - x)), the divisor at least 1e-12
//   binary_cross_entropy_with_logits  (1 - t) x + (1 + (w - 1) t) log(1 + e^-x), w = pos_weight[i]
//                                     (1 + (w - 1) t) / (1 + e^-x) - w t
// Dense arrays of n elements; parallel over blocks of elements. A sum adds the elements of a block
// lane by lane, and then the blocks in their order. Reads 2 or 3 arrays (backward 3 or 4) and
// writes at most 1; 2 to some 60 operations an element.
#include "elementwise.h"
#include "log.h"
#include "parallel.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// |d| where it is at most `limit`, else `limit`; all with the sign of d. NaN for NaN.
template <class T>
FASTNN_INLINE Vec<T> within(Vec<T> d, T limit) {
  return min(splat(limit), max(splat(-limit), d));
}

// Calls visit(f, further arrays of f...) with the f of a loss.
template <class T, class Visit>
void with_loss(PointLoss kind, T a, const T* pos_weight, const Visit& visit) {
  using V = Vec<T>;
  switch (kind) {
    case PointLoss::squared:
      return visit([](V x, V t) { return (x - t) * (x - t); });
    case PointLoss::absolute:
      return visit([](V x, V t) { return magnitude<T>(x - t); });
    case PointLoss::smooth_l1:
      return visit([a](V x, V t) {
        const V d = magnitude<T>(x - t);
        return d < a ? T(0.5) * d * d / a : d - T(0.5) * a;
      });
    case PointLoss::huber:
      return visit([a](V x, V t) {
        const V d = magnitude<T>(x - t);
        return d <= a ? T(0.5) * d * d : a * (d - T(0.5) * a);
      });
    case PointLoss::soft_margin:
      return visit([](V x, V t) { return softplus<T>(-t * x); });
    case PointLoss::binary_cross_entropy:
      return visit([](V x, V t) {
        const V lowest = splat(T(-100));
        return (t - T(1)) * max(lowest, log1p<T>(-x)) - t * max(lowest, log<T>(x));
      });
    case PointLoss::binary_cross_entropy_with_logits:
      if (pos_weight) {
        return visit(
            [](V x, V t, V w) { return fma(1 + (w - 1) * t, softplus<T>(-x), (1 - t) * x); },
            pos_weight);
      }
      return visit([](V x, V t) {  // the larger part of softplus(-x) and x cancel
        const V rest = log1p<T>(exp<T>(-magnitude<T>(x)));
        return max(x, V{}) - x * t + rest;
      });
  }
}

// The same with the f of its derivative.
template <class T, class Visit>
void with_slope(PointLoss kind, T a, const T* pos_weight, const Visit& visit) {
  using V = Vec<T>;
  switch (kind) {
    case PointLoss::squared:
      return visit([](V x, V t) { return 2 * (x - t); });
    case PointLoss::absolute:
      return visit([](V x, V t) {
        const V d = x - t, one = splat(T(1));
        return d > T(0) ? one : d < T(0) ? -one : d;
      });
    case PointLoss::smooth_l1:
      return visit([a](V x, V t) { return within<T>(x - t, a) / a; });
    case PointLoss::huber:
      return visit([a](V x, V t) { return within<T>(x - t, a); });
    case PointLoss::soft_margin:
      return visit([](V x, V t) { return -t * sigmoid<T>(-t * x); });
    case PointLoss::binary_cross_entropy:
      return visit([](V x, V t) { return (x - t) / max(splat(T(1e-12)), x * (1 - x)); });
    case PointLoss::binary_cross_entropy_with_logits:
      if (pos_weight) {
        return visit([](V x, V t, V w) { return (1 + (w - 1) * t) * sigmoid<T>(x) - w * t; },
                     pos_weight);
      }
      return visit([](V x, V t) { return sigmoid<T>(x) - t; });
  }
}

// The sum of f(x[i]...) over begin <= i < end. Four sums take turns, so that none waits for itself.
template <class T, class F, class... X>
FASTNN_INLINE T sum(int64_t begin, int64_t end, const F& f, const X*... x) {
  constexpr int64_t L = lanes<T>;
  Vec<T> sums[4] = {};
  int64_t i = begin;
  for (; i + 4 * L <= end; i += 4 * L) {
    for (int u = 0; u < 4; ++u) sums[u] += f(load(x + i + u * L)...);
  }
  for (; i + L <= end; i += L) sums[0] += f(load(x + i)...);
  if (i < end) {
    const IntVec<T> inside =
        lane_numbers<T>() < static_cast<typename VecTypes<T>::IntLane>(end - i);
    sums[0] += inside ? f(load(x + i, end - i)...) : Vec<T>{};
  }
  return reduce_add<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

size_t scratch_bytes(int64_t n, int) {
  return static_cast<size_t>(ceil_div(n, element_block)) * sizeof(double);
}

template <class T>
void point_loss_forward(const Exec& exec, PointLoss kind, double parameter, int64_t n, const T* x,
                        const T* t, const T* pos_weight, T* loss, double* total) {
  const T a = static_cast<T>(parameter);
  with_loss<T>(kind, a, pos_weight, [&](const auto& f, const auto*... more) {
    if (loss) return parallel_map(exec, n, f, loss, x, t, more...);
    double* const sums = static_cast<double*>(exec.scratch);
    parallel_elements(exec, n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += element_block) {
        sums[i / element_block] = sum<T>(i, min_of(i + element_block, end), f, x, t, more...);
      }
    });
    *total = 0;
    for (int64_t i = 0; i < ceil_div(n, element_block); ++i) *total += sums[i];
  });
}

template <class T>
void point_loss_backward(const Exec& exec, PointLoss kind, double parameter, int64_t n,
                         const T* dloss, bool one_dloss, const T* x, const T* t,
                         const T* pos_weight, T* dx) {
  using V = Vec<T>;
  const T a = static_cast<T>(parameter);
  with_slope<T>(kind, a, pos_weight, [&](const auto& f, const auto*... more) {
    if (one_dloss) {
      const T g = *dloss;
      parallel_map(exec, n, [&f, g](auto... v) { return g * f(v...); }, dx, x, t, more...);
    } else {
      parallel_map(exec, n, [&f](V g, auto... v) { return g * f(v...); }, dx, dloss, x, t, more...);
    }
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.point_loss_scratch_bytes = scratch_bytes;
  t.point_loss_forward = point_loss_forward<T>;
  t.point_loss_backward = point_loss_backward<T>;
}

}  // namespace

void fill_point_loss(Ops<float>& t) { fill(t); }
void fill_point_loss(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
