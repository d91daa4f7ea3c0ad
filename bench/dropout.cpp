#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {

void add_dropout() {
  for (const auto [n] : activation_sizes) {
    add("dropout", join({n}), [n = n](Bench& bench) {
      const Array x = Array::uniform(n, 1), y(n);
      const Dropout half{.p = 0.5, .seed = 0, .scale = 2};
      bench.measure({.bytes = 8.0 * static_cast<double>(n)}, y, &Table::dropout, half, n, x, y);
    });
  }
}

}  // namespace fastnn::bench
