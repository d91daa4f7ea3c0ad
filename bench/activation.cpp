#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

void forward(Bench& bench, const Activation& f, int64_t n) {
  const Array x = Array::uniform(n, 1), y(n);
  bench.measure({.bytes = 8.0 * static_cast<double>(n)}, y, &Table::activation_forward, f, n, x, y);
}

void backward(Bench& bench, const Activation& f, int64_t n) {
  const Array dy = Array::uniform(n, 1), v = Array::uniform(n, 2), dx(n);
  bench.measure({.bytes = 12.0 * static_cast<double>(n)}, dx, &Table::activation_backward, f, n, dy,
                v, dx);
}

void prelu_forward(Bench& bench, const PReluShape& s) {
  const int64_t n = s.N * s.C;
  const Array x = Array::uniform(n, 1), w = Array::uniform(s.C, 2), y(n);
  bench.measure({.bytes = 8.0 * static_cast<double>(n)}, y, &Table::prelu_scratch_bytes,
                &Table::prelu_forward, s, x, w, y);
}

void prelu_backward(Bench& bench, const PReluShape& s) {
  const int64_t n = s.N * s.C;
  const Array dy = Array::uniform(n, 1), x = Array::uniform(n, 2), w = Array::uniform(s.C, 3);
  const Array dx(n), dw(s.C);
  bench.measure({.bytes = 12.0 * static_cast<double>(n)}, dx, &Table::prelu_scratch_bytes,
                &Table::prelu_backward, s, dy, x, w, dx, dw);
}

void maxout_forward(Bench& bench, const MaxoutShape& s) {
  const int64_t n = s.outer * s.C * s.inner;
  const Array x = Array::uniform(n * s.pieces, 1), y(n);
  bench.measure({.bytes = 4.0 * static_cast<double>(n * (s.pieces + 1))}, y, &Table::maxout_forward,
                s, x, y, nullptr);
}

}  // namespace

void add_activation() {
  const struct {
    std::string name;
    Activation activation;
  } activations[] = {{"relu", {Activation::relu}},
                     {"sigmoid", {Activation::sigmoid}},
                     {"tanh", {Activation::tanh}},
                     {"softsign", {Activation::softsign}},
                     {"leaky_relu", {Activation::leaky_relu, 0.01}},
                     {"elu", {Activation::elu, 1}},
                     {"selu", {Activation::selu}},
                     {"celu", {Activation::celu, 1}},
                     {"silu", {Activation::silu}},
                     {"gelu", {Activation::gelu}},
                     {"gelu_tanh", {Activation::gelu_tanh}},
                     {"mish", {Activation::mish}},
                     {"softplus", {Activation::softplus, 1, 20}},
                     {"logsigmoid", {Activation::logsigmoid}},
                     {"hardtanh", {Activation::hardtanh, -1, 1}},
                     {"hardsigmoid", {Activation::hardsigmoid}},
                     {"hardswish", {Activation::hardswish}},
                     {"threshold", {Activation::threshold, 0.1, 20}},
                     {"softshrink", {Activation::softshrink, 0.5}},
                     {"hardshrink", {Activation::hardshrink, 0.5}},
                     {"tanhshrink", {Activation::tanhshrink}}};
  for (const auto& [name, f] : activations) {
    for (const auto sizes : Tables<ElementCount>{activation_sizes, small_activation_sizes}) {
      for (const auto [n] : sizes) {
        add(name + "_forward", join({n}), [f = f, n = n](Bench& b) { forward(b, f, n); });
        add(name + "_backward", join({n}), [f = f, n = n](Bench& b) { backward(b, f, n); });
      }
    }
  }
  for (const PReluShape& s : {PReluShape{25690112, 1}, PReluShape{401408, 64}}) {
    add("prelu_forward", join({s.N, s.C}), [s](Bench& b) { prelu_forward(b, s); });
    add("prelu_backward", join({s.N, s.C}), [s](Bench& b) { prelu_backward(b, s); });
  }
  for (const int64_t pieces : {2, 3, 4, 5}) {
    for (const int64_t inner : {1, 3136}) {
      const MaxoutShape s{32, 3136 / inner * 64, pieces, inner};
      add("maxout_forward", join({s.outer, s.C, pieces, inner}),
          [s](Bench& b) { maxout_forward(b, s); });
    }
  }
}

}  // namespace fastnn::bench
