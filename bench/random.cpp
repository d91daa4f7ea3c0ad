#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {

void add_random() {
  for (const auto [n] : activation_sizes) {
    const Cost cost{.bytes = 4.0 * static_cast<double>(n)};
    add("random_uniform", join({n}), [=, n = n](Bench& bench) {
      const Array y(n);
      const UniformNumbers numbers{.low = -1, .high = 1, .seed = 0};
      bench.measure(cost, y, &Table::random_uniform, numbers, n, y);
    });
    add("random_normal", join({n}), [=, n = n](Bench& bench) {
      const Array y(n);
      const NormalNumbers numbers{.mean = 0, .std = 1, .seed = 0};
      bench.measure(cost, y, &Table::random_normal, numbers, n, y);
    });
  }
}

}  // namespace fastnn::bench
