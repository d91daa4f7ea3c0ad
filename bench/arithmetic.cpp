#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {

void add_arithmetic() {
  const struct {
    std::string name;
    Arithmetic op;
  } operations[] = {{"add", Arithmetic::add}, {"multiply", Arithmetic::multiply}};
  for (const auto& [name, op] : operations) {
    for (const auto sizes : Tables<ElementCount>{activation_sizes, small_activation_sizes}) {
      for (const auto [n] : sizes) {
        add(name, join({n}), [op = op, n = n](Bench& bench) {
          const Array a = Array::uniform(n, 1), b = Array::uniform(n, 2), y(n);
          bench.measure({.bytes = 12.0 * static_cast<double>(n)}, y, &Table::arithmetic, op, n, a,
                        b, false, y);
        });
      }
    }
  }
}

}  // namespace fastnn::bench
