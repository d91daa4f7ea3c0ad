#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

void forward(Bench& bench, Activation activation, int64_t n) {
  const Array x = Array::uniform(n, 1), y(n);
  bench.measure({.bytes = 8.0 * static_cast<double>(n)}, y, &Table::activation_forward, activation,
                n, x, y);
}

void backward(Bench& bench, Activation activation, int64_t n) {
  const Array dy = Array::uniform(n, 1), y = Array::uniform(n, 2), dx(n);
  bench.measure({.bytes = 12.0 * static_cast<double>(n)}, dx, &Table::activation_backward,
                activation, n, dy, y, dx);
}

}  // namespace

void add_activation() {
  const struct {
    std::string name;
    Activation activation;
  } activations[] = {
      {"relu", Activation::relu}, {"sigmoid", Activation::sigmoid}, {"tanh", Activation::tanh}};
  for (const auto& [name, f] : activations) {
    for (const auto sizes : Tables<ElementCount>{activation_sizes, small_activation_sizes}) {
      for (const auto [n] : sizes) {
        add(name + "_forward", join({n}), [f = f, n = n](Bench& b) { forward(b, f, n); });
        add(name + "_backward", join({n}), [f = f, n = n](Bench& b) { backward(b, f, n); });
      }
    }
  }
}

}  // namespace fastnn::bench
