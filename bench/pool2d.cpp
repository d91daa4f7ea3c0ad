#include <vector>

#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

Pool2dShape shape_of(const PoolSize& z) {
  const int64_t P = (z.H + 2 * z.pad - z.R) / z.stride + 1;
  return {.N = z.N,
          .C = z.C,
          .H = z.H,
          .W = z.H,
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
          .count_include_pad = true,
          .divisor = 0};
}

Pool2dShape shape_of(const AdaptivePoolSize& z) {
  const bool even = z.H % z.out == 0;
  const int64_t R = z.H / z.out + (even ? 0 : 2);
  return {.N = z.N,
          .C = z.C,
          .H = z.H,
          .W = z.H,
          .R = R,
          .S = R,
          .P = z.out,
          .Q = z.out,
          .stride_h = R,
          .stride_w = R,
          .pad_h = 0,
          .pad_w = 0,
          .dilation_h = 1,
          .dilation_w = 1,
          .count_include_pad = true,
          .divisor = 0,
          .adaptive = !even};
}

std::string name_of(const PoolSize& z) { return join({z.N, z.C, z.H, z.R, z.stride, z.pad}); }

int64_t x_size(const Pool2dShape& s) { return s.N * s.H * s.W * s.C; }
int64_t y_size(const Pool2dShape& s) { return s.N * s.P * s.Q * s.C; }

Cost cost(const Pool2dShape& s, int64_t argmax_width) {
  return {.bytes = 4.0 * static_cast<double>(x_size(s)) +
                   static_cast<double>((4 + argmax_width) * y_size(s))};
}

std::vector<unsigned char> argmax_array(const Pool2dShape& s) {
  return std::vector<unsigned char>(static_cast<size_t>(y_size(s) * argmax_bytes(s)));
}

void max_forward(Bench& bench, const Pool2dShape& s) {
  const Array x = Array::uniform(x_size(s), 1), y(y_size(s));
  std::vector<unsigned char> argmax = argmax_array(s);
  void* const positions = argmax.data();
  bench.measure(cost(s, argmax_bytes(s)), y, &Table::max_pool2d_forward, s, x, y, positions);
}

void max_backward(Bench& bench, const Pool2dShape& s) {
  const Array dy = Array::uniform(y_size(s), 1), dx(x_size(s));
  std::vector<unsigned char> argmax = argmax_array(s);  // as forward would choose them
  if (setup().table->max_pool2d_forward) {
    const Array x = Array::uniform(x_size(s), 2), y(y_size(s));
    setup().table->max_pool2d_forward(Exec{.threads = setup().threads}, s, x, y, argmax.data());
  }
  const void* const positions = argmax.data();
  bench.measure(cost(s, argmax_bytes(s)), dx, &Table::max_pool2d_backward, s, dy, positions, dx);
}

void avg_forward(Bench& bench, const Pool2dShape& s) {
  const Array x = Array::uniform(x_size(s), 1), y(y_size(s));
  bench.measure(cost(s, 0), y, &Table::avg_pool2d_forward, s, x, y);
}

void avg_backward(Bench& bench, const Pool2dShape& s) {
  const Array dy = Array::uniform(y_size(s), 1), dx(x_size(s));
  bench.measure(cost(s, 0), dx, &Table::avg_pool2d_backward, s, dy, dx);
}

}  // namespace

void add_pool2d() {
  for (const PoolSize& z : max_pool2d_sizes) {
    const Pool2dShape s = shape_of(z);
    add("max_pool2d_forward", name_of(z), [s](Bench& b) { max_forward(b, s); });
    add("max_pool2d_backward", name_of(z), [s](Bench& b) { max_backward(b, s); });
  }
  for (const PoolSize& z : avg_pool2d_sizes) {
    const Pool2dShape s = shape_of(z);
    add("avg_pool2d_forward", name_of(z), [s](Bench& b) { avg_forward(b, s); });
    add("avg_pool2d_backward", name_of(z), [s](Bench& b) { avg_backward(b, s); });
  }
  for (const AdaptivePoolSize& z : adaptive_avg_pool2d_sizes) {
    const Pool2dShape s = shape_of(z);
    const std::string name = join({z.N, z.C, z.H, z.out});
    add("adaptive_avg_pool2d_forward", name, [s](Bench& b) { avg_forward(b, s); });
    add("adaptive_avg_pool2d_backward", name, [s](Bench& b) { avg_backward(b, s); });
  }
}

}  // namespace fastnn::bench
