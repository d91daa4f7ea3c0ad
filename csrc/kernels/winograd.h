// The one-dimensional transforms of Winograd's minimal filtering (Lavin and Gray, Fast algorithms
// for convolutional neural networks, 2016) with the points 0, 1, -1, 2, -2 and infinity: 6 input
// values, 6 products. F(4, 3) makes 4 outputs of a filter of 3 taps from them, F(2, 5) 2 outputs of
// one of 5 taps:
//   y = A^T [(G g) . (B^T d)].
// F(2, 3) leaves out 2 and -2: 4 input values, 4 products, 2 outputs.
// A convolution applies each along both dimensions. Its gradients are the transposed maps.
#pragma once

#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// d -> B^T d for the values d[0], d[step], ..., d[5 step], in place.
template <class V>
FASTNN_INLINE void winograd_input(V* d, int step) {
  const V two = V{} + 2, four = V{} + 4, minus_four = V{} - 4, minus_five = V{} - 5;
  const V d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step],
          d5 = d[5 * step];
  const V even = fma(minus_four, d2, d4), odd = fma(minus_four, d1, d3);
  const V even2 = d4 - d2, odd2 = two * (d3 - d1);
  d[0] = fma(four, d0, fma(minus_five, d2, d4));
  d[step] = even + odd;
  d[2 * step] = even - odd;
  d[3 * step] = even2 + odd2;
  d[4 * step] = even2 - odd2;
  d[5 * step] = fma(four, d1, fma(minus_five, d3, d5));
}

// m[0..5] -> A^T m, the 4 outputs at y[0], ..., y[3].
template <class V>
FASTNN_INLINE void winograd_output(const V* m, V* y) {
  const V two = V{} + 2, four = V{} + 4, eight = V{} + 8;
  const V sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4],
          difference2 = m[3] - m[4];
  y[0] = m[0] + sum + sum2;
  y[1] = fma(two, difference2, difference);
  y[2] = fma(four, sum2, sum);
  y[3] = fma(eight, difference2, difference) + m[5];
}

// g -> G g.
template <class V>
FASTNN_INLINE void winograd_weight(const V& g0, const V& g1, const V& g2, V* u) {
  const V sixth = V{} - 1.f / 6;
  const V sum = sixth * (g0 + g2), middle = sixth * g1;
  const V sum2 = fma(V{} + 1.f / 24, g0, (V{} + 1.f / 6) * g2), middle2 = (V{} + 1.f / 12) * g1;
  u[0] = (V{} + 0.25f) * g0;
  u[1] = sum + middle;
  u[2] = sum - middle;
  u[3] = sum2 + middle2;
  u[4] = sum2 - middle2;
  u[5] = g2;
}

// The families: so many products make so many outputs of a filter of so many taps. The transposed
// maps, y -> A y and u -> G^T u, take every step-th value.
struct F4x3 {
  static constexpr int points = 6, outputs = 4, taps = 3;
  template <class V>
  FASTNN_INLINE static void input(V* d, int step) {
    winograd_input(d, step);
  }
  template <class V>
  FASTNN_INLINE static void weight(const V* g, V* u) {
    winograd_weight(g[0], g[1], g[2], u);
  }
  template <class V>
  FASTNN_INLINE static void output(const V* m, V* y) {
    winograd_output(m, y);
  }
  template <class V>
  FASTNN_INLINE static void output_transposed(const V* y, int step, V* m) {
    const V two = V{} + 2, four = V{} + 4;
    const V y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
    const V even = y0 + y2, odd = y1 + y3;
    const V even2 = fma(four, y2, y0), odd2 = two * fma(four, y3, y1);
    m[0] = y0;
    m[1] = even + odd;
    m[2] = even - odd;
    m[3] = even2 + odd2;
    m[4] = even2 - odd2;
    m[5] = y3;
  }
  template <class V>
  FASTNN_INLINE static void weight_transposed(const V* u, int step, V* g) {
    const V sixth = V{} + 1.f / 6;
    const V sum = u[step] + u[2 * step], difference = u[2 * step] - u[step];
    const V sum2 = u[3 * step] + u[4 * step], difference2 = u[3 * step] - u[4 * step];
    g[0] = fma(V{} + 0.25f, u[0], fma(V{} + 1.f / 24, sum2, -sixth * sum));
    g[1] = fma(sixth, difference, (V{} + 1.f / 12) * difference2);
    g[2] = fma(sixth, sum2 - sum, u[5 * step]);
  }
};

struct F2x3 {
  static constexpr int points = 4, outputs = 2, taps = 3;
  template <class V>
  FASTNN_INLINE static void input(V* d, int step) {
    const V d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    d[0] = d0 - d2;
    d[step] = d1 + d2;
    d[2 * step] = d2 - d1;
    d[3 * step] = d3 - d1;
  }
  template <class V>
  FASTNN_INLINE static void weight(const V* g, V* u) {
    const V half = V{} + 0.5f, even = half * (g[0] + g[2]), odd = half * g[1];
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = g[2];
  }
  template <class V>
  FASTNN_INLINE static void output(const V* m, V* y) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] + m[3];
  }
  template <class V>
  FASTNN_INLINE static void output_transposed(const V* y, int step, V* m) {
    const V y0 = y[0], y1 = y[step];
    m[0] = y0;
    m[1] = y0 + y1;
    m[2] = y0 - y1;
    m[3] = y1;
  }
  template <class V>
  FASTNN_INLINE static void weight_transposed(const V* u, int step, V* g) {
    const V half = V{} + 0.5f, even = half * (u[step] + u[2 * step]);
    g[0] = u[0] + even;
    g[1] = half * (u[step] - u[2 * step]);
    g[2] = even + u[3 * step];
  }
};

struct F2x5 {
  static constexpr int points = 6, outputs = 2, taps = 5;
  template <class V>
  FASTNN_INLINE static void input(V* d, int step) {
    winograd_input(d, step);
  }
  template <class V>
  FASTNN_INLINE static void weight(const V* g, V* u) {
    const V two = V{} + 2, four = V{} + 4, sixth = V{} - 1.f / 6, twentyfourth = V{} + 1.f / 24;
    const V even = sixth * (g[0] + g[2] + g[4]), odd = sixth * (g[1] + g[3]);
    const V even2 = twentyfourth * fma(four, fma(four, g[4], g[2]), g[0]),
            odd2 = twentyfourth * (two * fma(four, g[3], g[1]));
    u[0] = (V{} + 0.25f) * g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = even2 + odd2;
    u[4] = even2 - odd2;
    u[5] = g[4];
  }
  template <class V>
  FASTNN_INLINE static void output(const V* m, V* y) {
    const V two = V{} + 2;
    y[0] = m[0] + (m[1] + m[2]) + (m[3] + m[4]);
    y[1] = fma(two, m[3] - m[4], m[1] - m[2]) + m[5];
  }
  template <class V>
  FASTNN_INLINE static void output_transposed(const V* y, int step, V* m) {
    const V y0 = y[0], y1 = y[step], two_y1 = y1 + y1;
    m[0] = y0;
    m[1] = y0 + y1;
    m[2] = y0 - y1;
    m[3] = y0 + two_y1;
    m[4] = y0 - two_y1;
    m[5] = y1;
  }
  template <class V>
  FASTNN_INLINE static void weight_transposed(const V* u, int step, V* g) {
    const V four = V{} + 4, sixth = V{} - 1.f / 6, twentyfourth = V{} + 1.f / 24;
    const V sum = sixth * (u[step] + u[2 * step]), difference = sixth * (u[step] - u[2 * step]);
    const V sum2 = twentyfourth * (u[3 * step] + u[4 * step]),
            difference2 = (V{} + 1.f / 12) * (u[3 * step] - u[4 * step]);
    g[0] = fma(V{} + 0.25f, u[0], sum + sum2);
    g[1] = difference + difference2;
    g[2] = fma(four, sum2, sum);
    g[3] = fma(four, difference2, difference);
    g[4] = fma(V{} + 16, sum2, sum) + u[5 * step];
  }
};

// The pixels of an image that count: H rows of W, the others read as zero.
struct Image {
  const float* pixels;
  int64_t H, W, row_stride, pixel_stride;
};

// Calls f with a function that gives pixel (i, j), channels c to c + n (at most lanes<float>), of
// the Size x Size pixels from (h, w) on. Most tiles of a small image reach over its border: whether
// a pixel lies inside chooses an address, without a jump.
template <int Size, class Function>
FASTNN_INLINE void with_patch(const Image& image, int64_t h, int64_t w, int64_t c, int64_t n,
                              const Function& f) {
  constexpr int64_t L = lanes<float>;
  static constexpr float zeros[L] = {};
  const float* const from = image.pixels + h * image.row_stride + w * image.pixel_stride + c;
  const auto address = [&](int i, int j) FASTNN_INLINE_LAMBDA {
    return from + i * image.row_stride + j * image.pixel_stride;
  };
  if (h >= 0 && w >= 0 && h + Size <= image.H && w + Size <= image.W && n == L)
    return f([&](int i, int j) FASTNN_INLINE_LAMBDA { return load(address(i, j)); });
  bool rows[Size], columns[Size];
  for (int i = 0; i < Size; ++i) {
    rows[i] = h + i >= 0 && h + i < image.H;
    columns[i] = w + i >= 0 && w + i < image.W;
  }
  const auto real = [&](int i, int j) FASTNN_INLINE_LAMBDA {
    return rows[i] & columns[j] ? address(i, j) : zeros;
  };
  if (n == L) return f([&](int i, int j) FASTNN_INLINE_LAMBDA { return load(real(i, j)); });
  f([&](int i, int j) FASTNN_INLINE_LAMBDA { return load(real(i, j), n); });
}

// B^T d B for the patch d of pixel(i, j): point after point at to, to + point_stride, ...
template <class F, class Pixel>
FASTNN_INLINE void transform_patch(const Pixel& pixel, float* to, int64_t point_stride) {
  Vec<float> d[F::points * F::points];
#pragma GCC unroll 6
  for (int j = 0; j < F::points; ++j) {
#pragma GCC unroll 6
    for (int i = 0; i < F::points; ++i) d[i * F::points + j] = pixel(i, j);
    F::input(d + j, F::points);
  }
#pragma GCC unroll 6
  for (int i = 0; i < F::points; ++i) {
    F::input(d + i * F::points, 1);
#pragma GCC unroll 6
    for (int j = 0; j < F::points; ++j)
      store(to + (i * F::points + j) * point_stride, d[i * F::points + j]);
  }
}

// Calls f with the family that takes less time for N x P x Q outputs of filters of taps x taps,
// where transforming the filters takes as long as the products of so many tiles. The transforms of
// F2x3 weigh more beside its fewer products.
template <class Function>
decltype(auto) with_winograd_family(int64_t taps, int64_t N, int64_t P, int64_t Q,
                                    int64_t filter_tiles, const Function& f) {
  if (taps == 5) return f.template operator()<F2x5>();
  const int64_t tiles4 = N * ((P + 3) / 4) * ((Q + 3) / 4),
                tiles2 = N * ((P + 1) / 2) * ((Q + 1) / 2);
  if (16 * (tiles2 * 6 / 5 + filter_tiles) < 36 * (tiles4 + filter_tiles))
    return f.template operator()<F2x3>();
  return f.template operator()<F4x3>();
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
