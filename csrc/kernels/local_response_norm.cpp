// LocalResponseNorm of N rows of C channels, the channels adjacent in memory:
//   y[c] = x[c] s[c]^-beta,  s[c] = k + alpha / size * (the sum of x^2 over the window of c),
// where the window of c reaches from size / 2 channels before it to (size - 1) / 2 behind it. With
// t[c] = dy[c] x[c] s[c]^(-beta - 1):
//   dx[i] = dy[i] s[i]^-beta - 2 alpha beta / size x[i] (the sum of t[c] over the windows with i).
// Parallel over rows, a few of which go through the cache at a time. Forward reads x and writes y;
// backward reads dy and x and writes dx. Some size + 20 operations an element and sum for beta
// 0.75.
#include <math.h>

#include "parallel.h"
#include "table.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Values of some rows, each between zeros: every window is a number of adjacent ones.
struct Padded {
  int64_t C, before, after, inner, width, rows;
  template <class T>
  static Padded of(const LocalResponseNormShape& s) {
    Padded p{};
    p.C = s.C;
    p.before = min_of(s.size / 2, s.C);
    p.after = min_of((s.size - 1) / 2, s.C);
    p.inner = round_up(s.C, lanes<T>);
    p.width = p.inner + 2 * p.before;  // what is summed may lie the other way round in backward
    // Several rows: what is stored has left for the cache when its neighbours are loaded with it.
    constexpr int64_t elements = 8192 / sizeof(T);
    p.rows = max_of(1, min_of(16, elements / max_of(1, p.width)));
    return p;
  }
  int64_t size() const { return rows * width; }
};

// Calls f(first row, rows, padded) for all rows; the `count` arrays of `padded` have zeros around
// the values that are to be stored in them.
template <class T, class F>
void for_some_rows(const Exec& exec, const LocalResponseNormShape& s, const Padded& p,
                   int64_t count, const F& f) {
  if (s.C == 0) return;  // there is no scratch memory
  const int64_t grain = ceil_div(1 << 14, max_of(1, p.rows * p.C));
  parallel_for(exec, ceil_div(s.N, p.rows), grain, [&](int64_t begin, int64_t end, int thread) {
    T* const padded = static_cast<T*>(exec.scratch) + thread * count * p.size();
    std::memset(padded, 0, static_cast<size_t>(count * p.size()) * sizeof(T));
    for (int64_t i = begin; i < end; ++i) f(i * p.rows, min_of(p.rows, s.N - i * p.rows), padded);
  });
}

// Calls f(i, at, n) for the vectors of some rows: i an element of the array, at its place among
// padded values, n what load and store want to know.
template <class T, class F>
FASTNN_INLINE void for_each_vector(const Padded& p, int64_t row, int64_t rows, const F& f) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t from = (row + r) * p.C, to = r * p.width + p.before;
    int64_t c = 0;
    for (; c + lanes<T> <= p.C; c += lanes<T>) f(from + c, to + c, Vectors<1>{});
    if (c < p.C) f(from + c, to + c, FirstLanes{p.C - c});
  }
}

template <class T>
FASTNN_INLINE Vec<T> window_sum(const T* first, int64_t count) {
  Vec<T> sum = load(first);
  for (int64_t i = 1; i < count; ++i) sum += load(first + i);
  return sum;
}

template <class T>
struct Powers {
  Vec<T> by_beta, by_one;  // s^-beta, s^-1
};
struct BetaThreeQuarters {
  template <class T>
  FASTNN_INLINE Powers<T> of(Vec<T> s) const {
    const Vec<T> r = rsqrt(s), power = r * r * rsqrt(r);
    return {power == power ? power : r, r * r};  // 0 and infinity stay what they are
  }
};
FASTNN_INLINE float pow(float x, float y) { return ::powf(x, y); }
FASTNN_INLINE double pow(double x, double y) { return ::pow(x, y); }
struct AnyBeta {
  double beta;
  template <class T>
  FASTNN_INLINE Powers<T> of(Vec<T> s) const {
    Vec<T> power;
    for (int i = 0; i < lanes<T>; ++i) power[i] = pow(s[i], static_cast<T>(-beta));
    return {power, 1 / s};
  }
};

template <class T, class Beta>
void forward(const Exec& exec, const LocalResponseNormShape& s, Beta beta, const T* x, T* y) {
  using V = Vec<T>;
  const Padded p = Padded::of<T>(s);
  const T k = static_cast<T>(s.k), alpha = static_cast<T>(s.alpha / static_cast<double>(s.size));
  for_some_rows<T>(exec, s, p, 1, [=](int64_t row, int64_t rows, T* squares) {
    for_each_vector<T>(p, row, rows, [=](int64_t i, int64_t at, auto n) FASTNN_INLINE_LAMBDA {
      const V v = load(x + i, n);
      store(squares + at, v * v);
    });
    for_each_vector<T>(p, row, rows, [=](int64_t i, int64_t at, auto n) FASTNN_INLINE_LAMBDA {
      const V sum = window_sum(squares + at - p.before, p.before + 1 + p.after);
      const V power = beta.template of<T>(fma(splat(alpha), sum, splat(k))).by_beta;
      store(y + i, load(x + i, n) * power, n);
    });
  });
}

template <class T, class Beta>
void backward(const Exec& exec, const LocalResponseNormShape& s, Beta beta, const T* dy, const T* x,
              T* dx) {
  using V = Vec<T>;
  const Padded p = Padded::of<T>(s);
  const double by_size = s.alpha / static_cast<double>(s.size);
  const T k = static_cast<T>(s.k), alpha = static_cast<T>(by_size),
          slope = static_cast<T>(-2 * by_size * s.beta);
  for_some_rows<T>(exec, s, p, 2, [=](int64_t row, int64_t rows, T* squares) {
    T* const t = squares + p.size();
    for_each_vector<T>(p, row, rows, [=](int64_t i, int64_t at, auto n) FASTNN_INLINE_LAMBDA {
      const V v = load(x + i, n);
      store(squares + at, v * v);
    });
    for_each_vector<T>(p, row, rows, [=](int64_t i, int64_t at, auto n) FASTNN_INLINE_LAMBDA {
      const V sum = window_sum(squares + at - p.before, p.before + 1 + p.after);
      const Powers<T> powers = beta.template of<T>(fma(splat(alpha), sum, splat(k)));
      const V own = load(dy + i, n) * powers.by_beta;
      store(dx + i, own, n);
      // Of the lanes that are none of the row nothing may come into other windows: 0 / 0.
      store(t + at, own * load(x + i, n) * powers.by_one, n);
    });
    for_each_vector<T>(p, row, rows, [=](int64_t i, int64_t at, auto n) FASTNN_INLINE_LAMBDA {
      const V sum = window_sum(t + at - p.after, p.after + 1 + p.before);
      store(dx + i, fma(slope * load(x + i, n), sum, load(dx + i, n)), n);
    });
  });
}

template <class T>
void choose_forward(const Exec& exec, const LocalResponseNormShape& s, const T* x, T* y) {
  if (s.beta == 0.75) return forward(exec, s, BetaThreeQuarters{}, x, y);
  forward(exec, s, AnyBeta{s.beta}, x, y);
}

template <class T>
void choose_backward(const Exec& exec, const LocalResponseNormShape& s, const T* dy, const T* x,
                     T* dx) {
  if (s.beta == 0.75) return backward(exec, s, BetaThreeQuarters{}, dy, x, dx);
  backward(exec, s, AnyBeta{s.beta}, dy, x, dx);
}

template <class T>
size_t scratch_bytes(const LocalResponseNormShape& s, int threads) {
  return static_cast<size_t>(2 * threads * Padded::of<T>(s).size()) * sizeof(T);
}

template <class T>
void fill(Ops<T>& t) {
  t.local_response_norm_scratch_bytes = scratch_bytes<T>;
  t.local_response_norm_forward = choose_forward<T>;
  t.local_response_norm_backward = choose_backward<T>;
}

}  // namespace

void fill_local_response_norm(Ops<float>& t) { fill(t); }
void fill_local_response_norm(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
