#include <vector>

#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

constexpr int64_t ignore_index = -100;

std::vector<int64_t> labels_for(const SoftmaxShape& s) {
  std::vector<int64_t> labels(static_cast<size_t>(s.N));
  for (size_t n = 0; n < labels.size(); ++n) labels[n] = static_cast<int64_t>(n * 7) % s.C;
  return labels;
}

Cost cost(const SoftmaxShape& s) { return {.bytes = 8.0 * static_cast<double>(s.N * s.C)}; }

CrossEntropyTarget<float> target_of(const std::vector<int64_t>& labels, double smoothing) {
  return {.labels = labels.data(),
          .ignore_index = ignore_index,
          .probabilities = nullptr,
          .weight = nullptr,
          .smoothing = smoothing};
}

void forward(Bench& bench, const SoftmaxShape& s, double smoothing) {
  const std::vector<int64_t> labels = labels_for(s);
  const Array x = Array::uniform(s.N * s.C, 1), loss(s.N), y(s.N * s.C);
  bench.measure(cost(s), y, &Table::softmax_cross_entropy_forward, s, target_of(labels, smoothing),
                x, loss, y);
}

void backward(Bench& bench, const SoftmaxShape& s, double smoothing) {
  const std::vector<int64_t> labels = labels_for(s);
  const Array dloss = Array::uniform(s.N, 1), y = Array::uniform(s.N * s.C, 2), dx(s.N * s.C);
  bench.measure(cost(s), dx, &Table::softmax_cross_entropy_backward, s,
                target_of(labels, smoothing), dloss, y, dx);
}

}  // namespace

void add_loss() {
  for (const auto [N, C] : softmax_sizes) {
    const SoftmaxShape s{.N = N, .C = C};
    add("softmax_cross_entropy_forward", join({N, C}), [s](Bench& b) { forward(b, s, 0); });
    add("softmax_cross_entropy_backward", join({N, C}), [s](Bench& b) { backward(b, s, 0); });
    add("smooth_cross_entropy_forward", join({N, C}), [s](Bench& b) { forward(b, s, 0.1); });
    add("smooth_cross_entropy_backward", join({N, C}), [s](Bench& b) { backward(b, s, 0.1); });
  }
}

}  // namespace fastnn::bench
