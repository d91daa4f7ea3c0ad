#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

double bytes(const LocalResponseNormShape& s, int arrays) {
  return 4.0 * arrays * static_cast<double>(s.N * s.C);
}

void forward(Bench& bench, const LocalResponseNormShape& s) {
  const Array x = Array::uniform(s.N * s.C, 1), y(s.N * s.C);
  bench.measure({.bytes = bytes(s, 2)}, y, &Table::local_response_norm_scratch_bytes,
                &Table::local_response_norm_forward, s, x, y);
}

void backward(Bench& bench, const LocalResponseNormShape& s) {
  const Array dy = Array::uniform(s.N * s.C, 1), x = Array::uniform(s.N * s.C, 2), dx(s.N * s.C);
  bench.measure({.bytes = bytes(s, 3)}, dx, &Table::local_response_norm_scratch_bytes,
                &Table::local_response_norm_backward, s, dy, x, dx);
}

}  // namespace

void add_local_response_norm() {
  for (const LocalResponseNormSize& z : local_response_norm_sizes) {
    const LocalResponseNormShape s{
        .N = z.N * z.H * z.H, .C = z.C, .size = z.size, .alpha = 1e-4, .beta = 0.75, .k = 2};
    const std::string name = join({z.N, z.C, z.H, z.size});
    add("local_response_norm_forward", name, [s](Bench& b) { forward(b, s); });
    add("local_response_norm_backward", name, [s](Bench& b) { backward(b, s); });
  }
}

}  // namespace fastnn::bench
