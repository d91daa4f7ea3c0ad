// BatchNorm of N rows of C channels, the channels adjacent in memory (a row is a sample or a
// pixel):
//   y = relu((x - mean) inv_std w + b + residual)
// with g = dy where relu let y pass:  dresidual = g,  db = sum g,  dw = inv_std sum g (x - mean),
//   dx = inv_std w (g - db / N - (x - mean) inv_std dw / N); outside of training dx = inv_std w g.
// Parallel over blocks of rows. A block's sums are of T, those over the blocks of double and in the
// order of the blocks. Forward reads x twice (statistics, then y; and residual once) and writes y;
// backward reads dy and x twice (and y once) and writes dx (and dresidual): 8 arrays a layer with
// relu, some 5 operations an element and pass.
#include "batchnorm.h"

#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
void statistics(const Exec& exec, const BatchNormShape& s, const T* x, double eps,
                const BatchNormRunning<T>& running, T* mean, T* inv_std) {
  const Layout l = Layout::of<T>(s.N, s.C);
  const int64_t far = l.size - most_ahead;
  for_each_block(exec, l, false, [&](int64_t b, int64_t begin, int64_t end) {
    block_sums(begin, end, far, l.width, x, BlockSums<T>(exec.scratch, b, l.width));
  });

  const auto move = [&](T* kept, const double* batch, double factor, int64_t c0, int64_t n) {
    if (!kept || s.N == 0) return;
    for (int64_t c = 0; c < n; ++c) {
      const double before = (1 - running.momentum) * static_cast<double>(kept[c0 + c]);
      kept[c0 + c] = static_cast<T>(before + running.momentum * factor * batch[c]);
    }
  };
  const double by_count = 1 / static_cast<double>(max_of(1, s.N));
  for_each_chunk(exec, l, [&](int64_t c0, int64_t n) {
    double mean_of[chunk], squares_of[chunk];
    channel_moments<T>(l, exec.scratch, c0, n, mean_of, squares_of);
    for (int64_t c = 0; c < n; ++c) {
      mean[c0 + c] = static_cast<T>(mean_of[c]);
      inv_std[c0 + c] = static_cast<T>(1 / __builtin_sqrt(squares_of[c] * by_count + eps));
    }
    move(running.mean, mean_of, 1, c0, n);
    move(running.var, squares_of, 1 / static_cast<double>(max_of(1, s.N - 1)), c0, n);
  });
}

template <class T>
void forward(const Exec& exec, const BatchNormShape& s, const BatchNormParams<T>& p, const T* x,
             const T* residual, bool relu, T* y) {
  const Layout l = Layout::of<T>(s.N, s.C);
  const Normalization<T> normalization(exec.scratch, l);
  normalization.set(exec, l, p);
  const bool streaming = l.streams(y);
  const auto kernel = residual ? relu ? normalize<true, true, T> : normalize<true, false, T>
                      : relu   ? normalize<false, true, T>
                               : normalize<false, false, T>;
  for_each_block(exec, l, true, [&](int64_t, int64_t begin, int64_t end) {
    kernel(begin, end, l.width, streaming, normalization, x, residual, y);
  });
}

template <Mask mask, class T>
void masked_backward(const Exec& exec, const BatchNormShape& s, const BatchNormParams<T>& p,
                     const T* dy, const T* x, const T* y, bool training, T* dx, T* dresidual, T* dw,
                     T* db) {
  const Layout l = Layout::of<T>(s.N, s.C);
  const Normalization<T> normalization(exec.scratch, l);
  normalization.set(exec, l, p);
  T *const by_x = normalization.rest(l), *const constant = by_x + l.width;
  T* const sums = constant + l.width;
  const int64_t far = l.size - most_ahead;
  const auto sum_up = dresidual ? gradient_sums<mask, true, T> : gradient_sums<mask, false, T>;
  for_each_block(exec, l, false, [&](int64_t b, int64_t begin, int64_t end) {
    T *const sum = sums + 2 * b * l.width, *const products = sum + l.width;
    sum_up(begin, end, far, l.width, normalization, dy, x, y, dresidual, sum, products);
  });

  const double by_count = 1 / static_cast<double>(max_of(1, s.N));
  for_each_chunk(exec, l, [&](int64_t c0, int64_t n) {
    double sum_of[chunk], products_of[chunk];
    channel_sums(l, sums, c0, n, sum_of, products_of);
    for (int64_t c = 0; c < n; ++c) {
      const int64_t k = c0 + c;
      const double inv_std = static_cast<double>(p.inv_std[k]);
      const double scale = -static_cast<double>(normalization.scale[k]) * by_count;
      by_x[k] = static_cast<T>(scale * inv_std * inv_std * products_of[c]);
      constant[k] = static_cast<T>(scale * sum_of[c]);
      products_of[c] *= inv_std;
    }
    for (int64_t i = c0 + s.C; i < l.width; i += s.C) {
      for (int64_t c = 0; c < n; ++c) {
        by_x[i + c] = by_x[c0 + c];
        constant[i + c] = constant[c0 + c];
      }
    }
    for (int64_t c = 0; dw && c < n; ++c) dw[c0 + c] = static_cast<T>(products_of[c]);
    for (int64_t c = 0; db && c < n; ++c) db[c0 + c] = static_cast<T>(sum_of[c]);
  });

  if (!dx) return;
  constexpr Mask none = Mask::none;
  const auto kernel =
      dresidual  ? training ? input_gradient<none, true, T> : input_gradient<none, false, T>
      : training ? input_gradient<mask, true, T>
                 : input_gradient<mask, false, T>;
  const T* const g = dresidual ? dresidual : dy;
  const bool streaming = l.streams(dx);
  for_each_block(exec, l, true, [&](int64_t, int64_t begin, int64_t end) {
    kernel(begin, end, far, l.width, streaming, normalization, g, x, y, by_x, constant, dx);
  });
}

template <class T>
void backward(const Exec& exec, const BatchNormShape& s, const BatchNormParams<T>& p, const T* dy,
              const T* x, const T* y, bool training, bool relu, T* dx, T* dresidual, T* dw, T* db) {
  const auto kernel = !relu ? masked_backward<Mask::none, T>
                      : y   ? masked_backward<Mask::from_y, T>
                            : masked_backward<Mask::from_x, T>;
  kernel(exec, s, p, dy, x, y, training, dx, dresidual, dw, db);
}

template <class T>
size_t scratch_bytes(const BatchNormShape& s, int) {
  const Layout l = Layout::of<T>(s.N, s.C);
  const int64_t of_statistics = 3 * l.blocks, of_backward = 3 + 2 + 2 * l.blocks;
  return static_cast<size_t>(max_of(of_statistics, of_backward) * l.width) * sizeof(T);
}

template <class T>
void fill_table(Ops<T>& t) {
  t.batch_norm_scratch_bytes = scratch_bytes<T>;
  t.batch_norm_statistics = statistics<T>;
  t.batch_norm_forward = forward<T>;
  t.batch_norm_backward = backward<T>;
}

}  // namespace

void fill_batchnorm(Ops<float>& t) { fill_table(t); }
void fill_batchnorm(Ops<double>& t) { fill_table(t); }

}  // namespace fastnn::FASTNN_ISA
