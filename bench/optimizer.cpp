#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

void sgd_momentum(Bench& bench, int64_t n) {
  // Parameter and momentum buffer lie in one array, so that both are checked.
  const Array state = Array::uniform(2 * n, 1), g = Array::uniform(n, 2);
  const SgdParam<float> param{.p = state, .g = g, .buf = state + n, .n = n, .first_step = false};
  const SgdStep step{.lr = 0.1,
                     .momentum = 0.9,
                     .dampening = 0,
                     .weight_decay = 0,
                     .nesterov = false,
                     .maximize = false};
  const SgdParam<float>* const params = &param;
  bench.measure({.bytes = 20.0 * static_cast<double>(n)}, state, &Table::sgd, step, int64_t{1},
                params);
}

}  // namespace

void add_optimizer() {
  for (const auto [n] : optimizer_sizes) {
    add("sgd_momentum", join({n}), [n = n](Bench& b) { sgd_momentum(b, n); });
  }
}

}  // namespace fastnn::bench
