#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

constexpr double parameter = 0.01;  // where there is one

void forward(Bench& bench, Activation activation, int64_t n) {
  const Array x = Array::uniform(n, 1), y(n);
  bench.measure({.bytes = 8.0 * static_cast<double>(n)}, y, &Table::activation_forward, activation,
                parameter, n, x, y);
}

void backward(Bench& bench, Activation activation, int64_t n) {
  const Array dy = Array::uniform(n, 1), v = Array::uniform(n, 2), dx(n);
  bench.measure({.bytes = 12.0 * static_cast<double>(n)}, dx, &Table::activation_backward,
                activation, parameter, n, dy, v, dx);
}

}  // namespace

void add_activation() {
  const struct {
    std::string name;
    Activation activation;
  } activations[] = {{"relu", Activation::relu},
                     {"sigmoid", Activation::sigmoid},
                     {"tanh", Activation::tanh},
                     {"softsign", Activation::softsign},
                     {"leaky_relu", Activation::leaky_relu},
                     {"elu", Activation::elu},
                     {"silu", Activation::silu},
                     {"gelu", Activation::gelu},
                     {"gelu_tanh", Activation::gelu_tanh}};
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
