#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

double bytes(const LayerNormShape& s, int arrays) {
  return 4.0 * arrays * static_cast<double>(s.N * s.D);
}

void forward(Bench& bench, const LayerNormShape& s) {
  const int64_t n = s.N * s.D;
  const Array x = Array::uniform(n, 1), w = Array::uniform(s.D, 2), b = Array::uniform(s.D, 3);
  const Array results(n + 2 * s.N);  // all in one, so that all are checked
  float *const y = results, *const mean = y + n, *const inv_std = mean + s.N;
  bench.measure({.bytes = bytes(s, 2)}, results, &Table::layer_norm_forward_scratch_bytes,
                &Table::layer_norm_forward, s, 1e-5, x, w, b, y, mean, inv_std);
}

void backward(Bench& bench, const LayerNormShape& s) {
  const int64_t n = s.N * s.D;
  const Array dy = Array::uniform(n, 1), x = Array::uniform(n, 2), w = Array::uniform(s.D, 3);
  const Array mean = Array::uniform(s.N, 4), inv_std = Array::uniform(s.N, 5);
  const Array gradients(n + 2 * s.D);
  float *const dx = gradients, *const dw = dx + n, *const db = dw + s.D;
  bench.measure({.bytes = bytes(s, 3)}, gradients, &Table::layer_norm_backward_scratch_bytes,
                &Table::layer_norm_backward, s, dy, x, mean, inv_std, w, dx, dw, db);
}

}  // namespace

void add_layernorm() {
  for (const auto [N, D] : layer_norm_sizes) {
    const LayerNormShape s{.N = N, .D = D};
    const std::string name = join({N, D});
    add("layer_norm_forward", name, [s](Bench& b) { forward(b, s); });
    add("layer_norm_backward", name, [s](Bench& b) { backward(b, s); });
  }
}

}  // namespace fastnn::bench
