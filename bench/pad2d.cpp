#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

Pad2dShape shape_of(const PadSize& z, Padding padding) {
  const int64_t padded = z.H + 2 * z.pad;
  return {z.N, z.C, z.H, z.H, padded, padded, z.pad, z.pad, padding};
}

Cost cost(const Pad2dShape& s) {
  return {.bytes = 4.0 * static_cast<double>(s.N * s.C * (s.H * s.W + s.P * s.Q))};
}

void forward(Bench& bench, const Pad2dShape& s) {
  const Array x = Array::uniform(s.N * s.H * s.W * s.C, 1), y(s.N * s.P * s.Q * s.C);
  bench.measure(cost(s), y, &Table::pad2d_forward, s, 0.0, x, y);
}

void backward(Bench& bench, const Pad2dShape& s) {
  const Array dy = Array::uniform(s.N * s.P * s.Q * s.C, 1), dx(s.N * s.H * s.W * s.C);
  bench.measure(cost(s), dx, &Table::pad2d_backward, s, dy, dx);
}

}  // namespace

void add_pad2d() {
  for (const PadSize& z : pad2d_sizes) {
    for (const auto& [name, padding] : {std::pair{"constant", Padding::constant},
                                        {"reflect", Padding::reflect},
                                        {"replicate", Padding::replicate},
                                        {"circular", Padding::circular}}) {
      const Pad2dShape s = shape_of(z, padding);
      const std::string shape = std::string(name) + "/" + join({z.N, z.C, z.H, z.pad});
      add("pad2d_forward", shape, [s](Bench& b) { forward(b, s); });
      add("pad2d_backward", shape, [s](Bench& b) { backward(b, s); });
    }
  }
}

}  // namespace fastnn::bench
