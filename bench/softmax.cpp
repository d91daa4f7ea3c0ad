#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

using Forward = void (*Table::*)(const Exec&, const SoftmaxShape&, const float*, float*);
using Backward = void (*Table::*)(const Exec&, const SoftmaxShape&, const float*, const float*,
                                  float*);

void forward(Bench& bench, Forward op, const SoftmaxShape& s) {
  const Array x = Array::uniform(s.N * s.C, 1), y(s.N * s.C);
  bench.measure({.bytes = 8.0 * static_cast<double>(s.N * s.C)}, y, op, s, x, y);
}

void backward(Bench& bench, Backward op, const SoftmaxShape& s) {
  const Array dy = Array::uniform(s.N * s.C, 1), y = Array::uniform(s.N * s.C, 2), dx(s.N * s.C);
  bench.measure({.bytes = 12.0 * static_cast<double>(s.N * s.C)}, dx, op, s, dy, y, dx);
}

}  // namespace

void add_softmax() {
  for (const auto [N, C] : softmax_sizes) {
    const SoftmaxShape s{.N = N, .C = C};
    const std::string name = join({N, C});
    add("softmax_forward", name, [s](Bench& b) { forward(b, &Table::softmax_forward, s); });
    add("softmax_backward", name, [s](Bench& b) { backward(b, &Table::softmax_backward, s); });
    add("log_softmax_forward", name, [s](Bench& b) { forward(b, &Table::log_softmax_forward, s); });
    add("log_softmax_backward", name,
        [s](Bench& b) { backward(b, &Table::log_softmax_backward, s); });
  }
}

}  // namespace fastnn::bench
