#include <vector>

#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

// The taps of one dimension, as the bindings make them.
struct TapArrays {
  TapArrays(int64_t size, int64_t count, bool linear) {
    const float step = static_cast<float>(size) / static_cast<float>(count);
    for (int64_t i = 0; i < count; ++i) {
      float at =
          linear ? (static_cast<float>(i) + 0.5F) * step - 0.5F : static_cast<float>(i) * step;
      at = at > 0 ? at : 0;
      low.push_back(static_cast<int64_t>(at));
      if (linear) weight.push_back(at - static_cast<float>(low.back()));
    }
  }
  ResizeTaps<float> taps() const { return {low.data(), weight.empty() ? nullptr : weight.data()}; }

  std::vector<int64_t> low;
  std::vector<float> weight;
};

Resize2dShape shape_of(const ResizeSize& z) { return {z.N, z.C, z.H, z.H, z.P, z.P}; }

Cost cost(const Resize2dShape& s, bool linear) {
  const auto x = static_cast<double>(s.N * s.C * s.H * s.W);
  const auto y = static_cast<double>(s.N * s.C * s.P * s.Q);
  return {.flops = linear ? 7 * y : 0, .bytes = 4 * (x + y)};
}

void forward(Bench& bench, const Resize2dShape& s, bool linear) {
  const TapArrays rows(s.H, s.P, linear), cols(s.W, s.Q, linear);
  const Array x = Array::uniform(s.N * s.H * s.W * s.C, 1), y(s.N * s.P * s.Q * s.C);
  bench.measure(cost(s, linear), y, &Table::upsample2d_forward, s, rows.taps(), cols.taps(), x, y);
}

void backward(Bench& bench, const Resize2dShape& s, bool linear) {
  const TapArrays rows(s.H, s.P, linear), cols(s.W, s.Q, linear);
  const Array dy = Array::uniform(s.N * s.P * s.Q * s.C, 1), dx(s.N * s.H * s.W * s.C);
  bench.measure(cost(s, linear), dx, &Table::upsample2d_backward, s, rows.taps(), cols.taps(), dy,
                dx);
}

}  // namespace

void add_upsample2d() {
  for (const ResizeSize& z : upsample2d_sizes) {
    for (const bool linear : {false, true}) {
      const Resize2dShape s = shape_of(z);
      const std::string shape = (linear ? "bilinear/" : "nearest/") + join({z.N, z.C, z.H, z.P});
      add("upsample2d_forward", shape, [=](Bench& b) { forward(b, s, linear); });
      add("upsample2d_backward", shape, [=](Bench& b) { backward(b, s, linear); });
    }
  }
}

}  // namespace fastnn::bench
