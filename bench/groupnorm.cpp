#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

// Each pass reads x, or dy and x, once for sums and again to write.
double bytes(const GroupNormShape& s, int arrays) {
  return 4.0 * arrays * static_cast<double>(s.N * s.P * s.C);
}

void forward(Bench& bench, const GroupNormShape& s) {
  const int64_t n = s.N * s.P * s.C, groups = s.N * s.G;
  const Array x = Array::uniform(n, 1), w = Array::uniform(s.C, 2), b = Array::uniform(s.C, 3);
  const Array results(n + 2 * groups);  // all in one, so that all are checked
  float *const y = results, *const mean = y + n, *const inv_std = mean + groups;
  bench.measure({.bytes = bytes(s, 3)}, results, &Table::group_norm_forward_scratch_bytes,
                &Table::group_norm_forward, s, 1e-5, x, w, b, y, mean, inv_std);
}

void backward(Bench& bench, const GroupNormShape& s) {
  const int64_t n = s.N * s.P * s.C, groups = s.N * s.G;
  const Array dy = Array::uniform(n, 1), x = Array::uniform(n, 2), w = Array::uniform(s.C, 3);
  const Array mean = Array::uniform(groups, 4), inv_std = Array::uniform(groups, 5);
  const Array gradients(n + 2 * s.C);
  float *const dx = gradients, *const dw = dx + n, *const db = dw + s.C;
  bench.measure({.bytes = bytes(s, 5)}, gradients, &Table::group_norm_backward_scratch_bytes,
                &Table::group_norm_backward, s, dy, x, mean, inv_std, w, dx, dw, db);
}

void add_sizes(const GroupNormSize& z) {
  const GroupNormShape s{.N = z.N, .P = z.H * z.H, .C = z.C, .G = z.groups};
  const std::string name = join({z.N, z.C, z.H, z.groups});
  add("group_norm_forward", name, [s](Bench& b) { forward(b, s); });
  add("group_norm_backward", name, [s](Bench& b) { backward(b, s); });
}

}  // namespace

void add_groupnorm() {
  for (const GroupNormSize& z : group_norm_sizes) add_sizes(z);
  for (const InstanceNormSize& z : instance_norm_sizes) add_sizes({z.N, z.C, z.H, z.C});
}

}  // namespace fastnn::bench
