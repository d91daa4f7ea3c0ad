// The one-dimensional transforms of Winograd's minimal filtering (Lavin and Gray, Fast algorithms
// for convolutional neural networks, 2016) with the points 0, 1, -1, 2, -2 and infinity: 6 input
// values, 6 products. F(4, 3) makes 4 outputs of a filter of 3 taps from them:
//   y = A^T [(G g) . (B^T d)].
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

}  // namespace
}  // namespace fastnn::FASTNN_ISA
