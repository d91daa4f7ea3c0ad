#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

// Both: many rows are bound by arithmetic, one row by reading the weights.
Cost cost(const LinearShape& s) {
  return {.flops = 2.0 * static_cast<double>(s.N * s.I * s.O),
          .bytes = 4.0 * static_cast<double>(s.N * s.I + s.I * s.O + s.N * s.O)};
}

void forward(Bench& bench, const LinearShape& s) {
  const Array x = Array::uniform(s.N * s.I, 1), w = Array::uniform(s.O * s.I, 2),
              b = Array::uniform(s.O, 3), y(s.N * s.O);
  bench.measure(cost(s), y, &Table::linear_scratch_bytes, &Table::linear_forward, s, x, w, b, y);
}

void backward_input(Bench& bench, const LinearShape& s) {
  const Array dy = Array::uniform(s.N * s.O, 1), w = Array::uniform(s.O * s.I, 2), dx(s.N * s.I);
  bench.measure(cost(s), dx, &Table::linear_scratch_bytes, &Table::linear_backward_input, s, dy, w,
                dx);
}

void backward_weight(Bench& bench, const LinearShape& s) {
  const Array dy = Array::uniform(s.N * s.O, 1), x = Array::uniform(s.N * s.I, 2);
  const Array gradients(s.O * s.I + s.O);  // dw and db in one, so that both are checked
  float *const dw = gradients, *const db = dw + s.O * s.I;
  bench.measure(cost(s), gradients, &Table::linear_scratch_bytes, &Table::linear_backward_weight, s,
                dy, x, dw, db, false);
}

}  // namespace

void add_linear() {
  for (const auto sizes : Tables<LinearSize>{linear_sizes, linear_model_sizes}) {
    for (const LinearSize& z : sizes) {
      const LinearShape s{.N = z.N, .I = z.I, .O = z.O};
      const std::string name = join({s.N, s.I, s.O});
      add("linear_forward", name, [s](Bench& b) { forward(b, s); });
      add("linear_backward_input", name, [s](Bench& b) { backward_input(b, s); });
      add("linear_backward_weight", name, [s](Bench& b) { backward_weight(b, s); });
    }
  }
}

}  // namespace fastnn::bench
