#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

constexpr double parameter = 0.5;  // where there is one
constexpr const float* no_weight = nullptr;
constexpr double* no_sum = nullptr;

void forward(Bench& bench, PointLoss loss, int64_t n) {
  const Array x = Array::uniform(n, 1), t = Array::uniform(n, 2), y(n);
  bench.measure({.bytes = 12.0 * static_cast<double>(n)}, y, &Table::point_loss_forward, loss,
                parameter, n, x, t, no_weight, y, no_sum);
}

void backward(Bench& bench, PointLoss loss, int64_t n) {
  const Array dy = Array::uniform(1, 1), x = Array::uniform(n, 2), t = Array::uniform(n, 3), dx(n);
  bench.measure({.bytes = 12.0 * static_cast<double>(n)}, dx, &Table::point_loss_backward, loss,
                parameter, n, dy, true, x, t, no_weight, dx);
}

}  // namespace

void add_point_loss() {
  const struct {
    std::string name;
    PointLoss loss;
  } losses[] = {{"mse_loss", PointLoss::squared},
                {"huber_loss", PointLoss::huber},
                {"bce_with_logits", PointLoss::binary_cross_entropy_with_logits}};
  for (const auto& [name, f] : losses) {
    for (const auto [n] : activation_sizes) {
      add(name + "_forward", join({n}), [f = f, n = n](Bench& b) { forward(b, f, n); });
      add(name + "_backward", join({n}), [f = f, n = n](Bench& b) { backward(b, f, n); });
    }
  }
}

}  // namespace fastnn::bench
