#include <vector>

#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

// A kernel with so many arrays of state. They and the parameters lie in one array, so that all are
// checked.
template <class Step>
void measure(Bench& bench, int64_t tensors, int64_t n, int states, const Step& step,
             void (*Table::*op)(const Exec&, const Step&, int64_t, const OptimizerParam<float>*)) {
  const int64_t total = tensors * n;
  const Array arrays = Array::uniform((1 + states) * total, 1), g = Array::uniform(total, 2);
  for (int64_t i = total; i < arrays.size(); ++i) arrays[i] *= arrays[i];  // averages of squares
  std::vector<OptimizerParam<float>> list;
  for (int64_t i = 0; i < total; i += n) {
    list.push_back({.p = arrays + i,
                    .g = g + i,
                    .state = {},
                    .n = n,
                    .step = 100,
                    .mu = 0.9,
                    .mu_next = 0.9,
                    .mu_product = 0});
    for (int k = 0; k < states; ++k) list.back().state[k] = arrays + (1 + k) * total + i;
  }
  const OptimizerParam<float>* const params = list.data();
  const double bytes = 4.0 * (3 + 2 * states) * static_cast<double>(total);
  bench.measure({.bytes = bytes}, arrays, op, step, tensors, params);
}

constexpr SgdStep sgd{.lr = 0.1,
                      .momentum = 0.9,
                      .dampening = 0,
                      .weight_decay = 0,
                      .nesterov = false,
                      .maximize = false};
constexpr AdagradStep adagrad{
    .lr = 0.01, .lr_decay = 0, .weight_decay = 0, .eps = 1e-10, .maximize = false};
constexpr RmspropStep rmsprop{
    .lr = 0.01, .alpha = 0.99, .eps = 1e-8, .weight_decay = 0, .momentum = 0, .maximize = false};
constexpr AdamStep adam{.lr = 0.001,
                        .beta1 = 0.9,
                        .beta2 = 0.999,
                        .eps = 1e-8,
                        .weight_decay = 0,
                        .decoupled = false,
                        .maximize = false};
constexpr AdadeltaStep adadelta{
    .lr = 1, .rho = 0.9, .eps = 1e-6, .weight_decay = 0, .maximize = false};
constexpr AdamaxStep adamax{
    .lr = 0.002, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0, .maximize = false};
constexpr NadamStep nadam{.lr = 0.002,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .eps = 1e-8,
                          .weight_decay = 0,
                          .decoupled = false,
                          .maximize = false};
constexpr RadamStep radam{.lr = 0.001,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .eps = 1e-8,
                          .weight_decay = 0,
                          .decoupled = false,
                          .maximize = false};
constexpr LerpStep lerp{.weight = 0.001};

}  // namespace

void add_optimizer() {
  for (const auto sizes : Tables<ParameterCount>{optimizer_sizes, small_optimizer_sizes}) {
    for (const auto [tensors, n] : sizes) {
      const auto add_n = [tensors = tensors, n = n](const char* name, int states, const auto& step,
                                                    auto op) {
        add(name, join({tensors, n}), [=](Bench& b) { measure(b, tensors, n, states, step, op); });
      };
      add_n("sgd_momentum", 1, sgd, &Table::sgd);
      add_n("adagrad", 1, adagrad, &Table::adagrad);
      add_n("rmsprop", 1, rmsprop, &Table::rmsprop);
      add_n("adam", 2, adam, &Table::adam);
      add_n("adadelta", 2, adadelta, &Table::adadelta);
      add_n("adamax", 2, adamax, &Table::adamax);
      add_n("nadam", 2, nadam, &Table::nadam);
      add_n("radam", 2, radam, &Table::radam);
      add_n("lerp", 0, lerp, &Table::lerp);
    }
  }
}

}  // namespace fastnn::bench
