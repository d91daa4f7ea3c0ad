// The passes over N rows of C channels, the channels adjacent in memory, that normalise each
// channel: sums over blocks of rows, those over all blocks, and what is made with them. What
// BatchNorm does with a batch, GroupNorm does with each image.
#pragma once

#include "channel_rows.h"

namespace fastnn::FASTNN_ISA {
namespace {

// ---- statistics ---------------------------------------------------------------------------------

// The sums of each column of a block: of x - near and of its square. near is the mean of the first
// 16 rows (of fewer, the first one): no further from the block's mean than a few standard
// deviations, even beside outliers and far from 0, so that the variance keeps its digits.
template <class T>
struct BlockSums {
  T *near, *sum, *squares;
  BlockSums(void* scratch, int64_t block, int64_t width)
      : near(static_cast<T*>(scratch) + 3 * block * width),
        sum(near + width),
        squares(sum + width) {}
};

template <class T>
void block_sums(int64_t begin, int64_t end, int64_t far, int64_t width, const T* x,
                BlockSums<T> sums) {
  using V = Vec<T>;
  const int64_t step = end - begin >= 16 * width ? width : 0;
  const int64_t first_end = min_of(begin + width, end);
  for_each_vector<T, 1>(
      begin, first_end, width, [=]<int>(int64_t i, int64_t c, auto... n) FASTNN_INLINE_LAMBDA {
        V first[16];
        for (int64_t r = 0; r < 16; ++r) first[r] = load(x + i + r * step, n...);
        store(sums.near + c, sum_of<16>(first) / T(16), n...);  // equal values are their own mean
        store(sums.sum + c, V{}, n...);
        store(sums.squares + c, V{}, n...);
      });
  for_each_vector<T, summed_rows>(
      begin, end, width, [=]<int R>(int64_t i, int64_t c, auto... n) FASTNN_INLINE_LAMBDA {
        const V near = load(sums.near + c, n...);
        V d[R], square[R];
        for (int r = 0; r < R; ++r, i += width) {
          d[r] = load_ahead(x + i, i < far ? most_ahead : 0, n...) - near;
          square[r] = d[r] * d[r];
        }
        store(sums.sum + c, load(sums.sum + c, n...) + sum_of<R>(d), n...);
        store(sums.squares + c, load(sums.squares + c, n...) + sum_of<R>(square), n...);
      });
}

// Of channels c0 to c0 + n - 1, a chunk: the mean over all blocks, and the sum of the squares of
// what the values differ from it.
template <class T>
void channel_moments(const Layout& l, void* scratch, int64_t c0, int64_t n, double* mean_of,
                     double* squares_of) {
  // Calls f(values, near[c0], sum[c0], squares[c0]) for each block and repetition.
  const auto for_each_part = [&](const auto& f) {
    for (int64_t b = 0; b < l.blocks; ++b) {
      const BlockSums<T> sums(scratch, b, l.width);
      for (int64_t j = 0; j < l.repeats; ++j) {
        const int64_t at = j * l.C + c0, values = l.column_size(b, j);
        if (values > 0)
          f(static_cast<double>(values), sums.near + at, sums.sum + at, sums.squares + at);
      }
    }
  };
  for (int64_t c = 0; c < n; ++c) mean_of[c] = squares_of[c] = 0;
  for_each_part([&](double values, const T* near, const T* sum, const T*) {
    for (int64_t c = 0; c < n; ++c)
      mean_of[c] += values * static_cast<double>(near[c]) + static_cast<double>(sum[c]);
  });
  const double by_count = 1 / static_cast<double>(max_of(1, l.size / l.C));
  for (int64_t c = 0; c < n; ++c) mean_of[c] *= by_count;
  // About the part's own mean, then about the whole's.
  for_each_part([&](double values, const T* near, const T* sum, const T* squares) {
    const double by_values = 1 / values;
    for (int64_t c = 0; c < n; ++c) {
      const double d = static_cast<double>(sum[c]) * by_values;
      const double off = static_cast<double>(near[c]) + d - mean_of[c];
      squares_of[c] += static_cast<double>(squares[c]) + values * (off * off - d * d);
    }
  });
  for (int64_t c = 0; c < n; ++c) squares_of[c] = squares_of[c] < 0 ? 0 : squares_of[c];
}

// ---- forward ------------------------------------------------------------------------------------

// What normalises, for each element of a row.
template <class T>
struct Normalization {
  T *mean, *scale, *shift;

  Normalization(void* scratch, const Layout& l)
      : mean(static_cast<T*>(scratch)), scale(mean + l.width), shift(scale + l.width) {}
  T* rest(const Layout& l) const { return shift + l.width; }

  void set(const Exec& exec, const Layout& l, const BatchNormParams<T>& p) const {
    parallel_for(exec, 1, 1, [&](int64_t, int64_t, int) {
      for (int64_t i = 0; i < l.repeats; ++i) {
        for (int64_t c = 0, at = i * l.C; c < l.C; ++c, ++at) {
          mean[at] = p.mean[c];
          scale[at] = p.w ? p.inv_std[c] * p.w[c] : p.inv_std[c];
          shift[at] = p.b ? p.b[c] : T(0);
        }
      }
    });
  }

  struct Column {
    Vec<T> mean, scale, shift;
    FASTNN_INLINE Vec<T> normalized(Vec<T> x) const { return fma(x - mean, scale, shift); }
  };
  template <class... Part>
  FASTNN_INLINE Column column(int64_t c, Part... n) const {
    return {load(mean + c, n...), load(scale + c, n...), load(shift + c, n...)};
  }
};

template <bool add, bool relu, class T>
void normalize(int64_t begin, int64_t end, int64_t width, bool streaming,
               Normalization<T> normalization, const T* x, const T* residual, T* y) {
  using V = Vec<T>;
  for_each_vector<T, 1>(begin, end, width,
                        [=]<int R>(int64_t i, int64_t c, auto... n) FASTNN_INLINE_LAMBDA {
                          const auto column = normalization.column(c, n...);
                          for (int r = 0; r < R; ++r, i += width) {
                            V v = column.normalized(load(x + i, n...));
                            if constexpr (add) v += load(residual + i, n...);
                            if constexpr (relu)
                              v = v <= V{} ? V{} : v;  // a NaN is not <= 0 and passes
                            put(streaming, y + i, v, n...);
                          }
                        });
  if (streaming) fence();
}

// ---- backward -----------------------------------------------------------------------------------

// Where relu let the gradient pass: where y > 0 (or NaN), with y read or calculated anew from x, in
// the same way as forward did: that costs nothing, reading it a tenth of the whole.
enum class Mask { none, from_x, from_y };

// What ReLU let pass of the gradient at dy.
template <Mask mask, class T, class Column, class... Part>
FASTNN_INLINE Vec<T> masked(const T* dy, Vec<T> x, const Column& column, const T* y, int64_t ahead,
                            Part... n) {
  using V = Vec<T>;
  const V g = load_ahead(dy, ahead, n...);
  if constexpr (mask == Mask::from_x) return column.normalized(x) <= V{} ? V{} : g;
  if constexpr (mask == Mask::from_y) return load_ahead(y, ahead, n...) <= V{} ? V{} : g;
  return g;
}

// Of each column: sum of g and of g (x - mean). g goes to dresidual, too, if `keep`.
template <Mask mask, bool keep, class T>
void gradient_sums(int64_t begin, int64_t end, int64_t far, int64_t width,
                   Normalization<T> normalization, const T* dy, const T* x, const T* y,
                   T* dresidual, T* sum, T* products) {
  using V = Vec<T>;
  const int64_t first_end = min_of(begin + width, end);
  for_each_vector<T, 1>(begin, first_end, width,
                        [=]<int>(int64_t, int64_t c, auto... n) FASTNN_INLINE_LAMBDA {
                          store(sum + c, V{}, n...);
                          store(products + c, V{}, n...);
                        });
  for_each_vector<T, summed_rows>(
      begin, end, width, [=]<int R>(int64_t i, int64_t c, auto... n) FASTNN_INLINE_LAMBDA {
        const auto column = normalization.column(c, n...);
        V g[R], product[R];
        for (int r = 0; r < R; ++r, i += width) {
          const int64_t ahead = i < far ? most_ahead : 0;
          const V v = load_ahead(x + i, ahead, n...);
          g[r] = masked<mask>(dy + i, v, column, y + i, ahead, n...);
          product[r] = g[r] * (v - column.mean);
          if constexpr (keep) store(dresidual + i, g[r], n...);
        }
        store(sum + c, load(sum + c, n...) + sum_of<R>(g), n...);
        store(products + c, load(products + c, n...) + sum_of<R>(product), n...);
      });
}

// Of channels c0 to c0 + n - 1, a chunk: the two sums over all blocks, of which block i's are at 2
// i width.
template <class T>
void channel_sums(const Layout& l, const T* sums, int64_t c0, int64_t n, double* sum_of,
                  double* products_of) {
  for (int64_t c = 0; c < n; ++c) sum_of[c] = products_of[c] = 0;
  for (int64_t i = 0; i < l.blocks * l.repeats; ++i) {
    const int64_t block = i / l.repeats, repeat = i % l.repeats;
    if (l.column_size(block, repeat) == 0) continue;
    const T *const sum = sums + 2 * block * l.width + repeat * l.C + c0, *products = sum + l.width;
    for (int64_t c = 0; c < n; ++c) {
      sum_of[c] += static_cast<double>(sum[c]);
      products_of[c] += static_cast<double>(products[c]);
    }
  }
}

// dx = scale g, in training + by_x (x - mean) + constant.
template <Mask mask, bool training, class T>
void input_gradient(int64_t begin, int64_t end, int64_t far, int64_t width, bool streaming,
                    Normalization<T> normalization, const T* dy, const T* x, const T* y,
                    const T* by_x, const T* constant, T* dx) {
  using V = Vec<T>;
  for_each_vector<T, 1>(
      begin, end, width, [=]<int R>(int64_t i, int64_t c, auto... n) FASTNN_INLINE_LAMBDA {
        const auto column = normalization.column(c, n...);
        const V slope = training ? load(by_x + c, n...) : V{};
        const V offset = training ? load(constant + c, n...) : V{};
        for (int r = 0; r < R; ++r, i += width) {
          const int64_t ahead = i < far ? most_ahead : 0;
          const V v = training || mask == Mask::from_x ? load_ahead(x + i, ahead, n...) : V{};
          const V g = masked<mask>(dy + i, v, column, y + i, ahead, n...);
          const V own = column.scale * g;
          put(streaming, dx + i, training ? own + fma(slope, v - column.mean, offset) : own, n...);
        }
      });
  if (streaming) fence();
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
