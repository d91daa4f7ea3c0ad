#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

Conv2dShape shape_of(const ConvSize& z) {
  const int64_t P = (z.H + 2 * z.pad - z.R) / z.stride + 1;
  return {.N = z.N,
          .C = z.C,
          .H = z.H,
          .W = z.H,
          .K = z.K,
          .R = z.R,
          .S = z.R,
          .P = P,
          .Q = P,
          .stride_h = z.stride,
          .stride_w = z.stride,
          .pad_h = z.pad,
          .pad_w = z.pad,
          .dilation_h = 1,
          .dilation_w = 1,
          .groups = z.groups};
}

// The operations of the definition, whatever the algorithm: a Winograd kernel may pass 100 % of the
// peak.
Cost cost(const Conv2dShape& s) {
  return {.flops = 2.0 * static_cast<double>(s.N * s.K * s.P * s.Q) *
                   static_cast<double>(s.C / s.groups * s.R * s.S)};
}

int64_t x_size(const Conv2dShape& s) { return s.N * s.H * s.W * s.C; }
int64_t w_size(const Conv2dShape& s) { return s.K * (s.C / s.groups) * s.R * s.S; }
int64_t y_size(const Conv2dShape& s) { return s.N * s.P * s.Q * s.K; }

void forward(Bench& bench, const Conv2dShape& s) {
  const Array x = Array::uniform(x_size(s), 1), w = Array::uniform(w_size(s), 2),
              b = Array::uniform(s.K, 3), y(y_size(s));
  const Epilogue<float> epilogue{.bias = b};
  bench.measure(cost(s), y, &Table::conv2d_forward_scratch_bytes, &Table::conv2d_forward, s, x, w,
                epilogue, y);
}

void backward_input(Bench& bench, const Conv2dShape& s) {
  const Array dy = Array::uniform(y_size(s), 1), w = Array::uniform(w_size(s), 2), dx(x_size(s));
  bench.measure(cost(s), dx, &Table::conv2d_backward_input_scratch_bytes,
                &Table::conv2d_backward_input, s, dy, w, Epilogue<float>{}, dx);
}

void backward_weight(Bench& bench, const Conv2dShape& s) {
  const Array dy = Array::uniform(y_size(s), 1), x = Array::uniform(x_size(s), 2);
  const Array gradients(w_size(s) + s.K);  // dw and db in one, so that both are checked
  float *const dw = gradients, *const db = dw + w_size(s);
  bench.measure(cost(s), gradients, &Table::conv2d_backward_weight_scratch_bytes,
                &Table::conv2d_backward_weight, s, dy, x, dw, db, false);
}

}  // namespace

void add_conv2d() {
  for (const auto sizes : Tables<ConvSize>{
           conv2d_3x3_sizes, conv2d_1x1_sizes, conv2d_1x1_resnet_sizes, conv2d_first_sizes,
           conv2d_stride_2_sizes, conv2d_5x5_sizes, conv2d_grouped_sizes, conv2d_narrow_sizes}) {
    for (const ConvSize& z : sizes) {
      const std::string name = z.groups == 1
                                   ? join({z.N, z.C, z.H, z.K, z.R, z.stride, z.pad})
                                   : join({z.N, z.C, z.H, z.K, z.R, z.stride, z.pad, z.groups});
      const Conv2dShape s = shape_of(z);
      add("conv2d_forward", name, [s](Bench& b) { forward(b, s); });
      add("conv2d_backward_input", name, [s](Bench& b) { backward_input(b, s); });
      add("conv2d_backward_weight", name, [s](Bench& b) { backward_weight(b, s); });
    }
  }
}

}  // namespace fastnn::bench
