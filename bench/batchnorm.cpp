#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

// One pass reads x, or dy and x, once for the sums over the channels; what follows reads them
// again.
double bytes(const BatchNormShape& s, int arrays) {
  return 4.0 * arrays * static_cast<double>(s.N * s.C);
}

// Of C channels. With these values no table rounds (x is a multiple of 2^-23), so that all of them
// agree which elements pass the ReLU.
struct Params {
  explicit Params(int64_t C) : mean(C), inv_std(C), w(C), b(C) {
    for (int64_t c = 0; c < C; ++c) {
      mean[c] = 0;
      inv_std[c] = 2;
      w[c] = 1;
      b[c] = 0.5;
    }
  }
  BatchNormParams<float> pointers() const {
    return {.mean = mean, .inv_std = inv_std, .w = w, .b = b};
  }
  Array mean, inv_std, w, b;
};

void statistics(Bench& bench, const BatchNormShape& s) {
  const Array x = Array::uniform(s.N * s.C, 1);
  const Array results(2 * s.C);  // both in one, so that both are checked
  float *const mean = results, *const inv_std = results + s.C;
  const BatchNormRunning<float> running{};
  bench.measure({.bytes = bytes(s, 1)}, results, &Table::batch_norm_scratch_bytes,
                &Table::batch_norm_statistics, s, x, 1e-5, running, mean, inv_std);
}

void forward(Bench& bench, const BatchNormShape& s) {
  const Array x = Array::uniform(s.N * s.C, 1), y(s.N * s.C);
  const Params params(s.C);
  const BatchNormParams<float> p = params.pointers();
  const float* const residual = nullptr;
  bench.measure({.bytes = bytes(s, 2)}, y, &Table::batch_norm_scratch_bytes,
                &Table::batch_norm_forward, s, p, x, residual, true, y);
}

void backward(Bench& bench, const BatchNormShape& s) {
  const int64_t n = s.N * s.C;
  const Array dy = Array::uniform(n, 1), x = Array::uniform(n, 2);
  const Params params(s.C);
  const BatchNormParams<float> p = params.pointers();
  const Array gradients(n + 2 * s.C);  // dx, dw and db in one, so that all are checked
  const float* const y = nullptr;
  float *const dx = gradients, *const dw = dx + n, *const db = dw + s.C, *const dresidual = nullptr;
  bench.measure({.bytes = bytes(s, 5)}, gradients, &Table::batch_norm_scratch_bytes,
                &Table::batch_norm_backward, s, p, dy, x, y, true, true, dx, dresidual, dw, db);
}

}  // namespace

void add_batchnorm() {
  for (const BatchNormSize& z : batch_norm_sizes) {
    const BatchNormShape s{.N = z.N * z.H * z.H, .C = z.C};
    const std::string name = join({z.N, z.C, z.H});
    add("batch_norm_statistics", name, [s](Bench& b) { statistics(b, s); });
    add("batch_norm_relu_forward", name, [s](Bench& b) { forward(b, s); });
    add("batch_norm_relu_backward", name, [s](Bench& b) { backward(b, s); });
  }
}

}  // namespace fastnn::bench
