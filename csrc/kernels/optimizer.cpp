// SGD with momentum, Nesterov and weight decay, as SgdStep states it, over dense parameters.
// The elements of all parameters, laid end to end, are cut into blocks, and threads share the
// blocks: many small parameters cost one parallel region. Products are rounded before they are
// added, as NumPy and (but for its fused multiply-adds) PyTorch do. Reads p, g, buf and writes p,
// buf: 20 bytes an element in float32 and at most 7 operations.
#include "parallel.h"
#include "table.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
class Sgd {
 public:
  explicit Sgd(const SgdStep& step)
      : lr_(static_cast<T>(step.lr)),
        momentum_(static_cast<T>(step.momentum)),
        undamped_(static_cast<T>(1 - step.dampening)),
        weight_decay_(static_cast<T>(step.weight_decay)),
        nesterov_(step.nesterov),
        maximize_(step.maximize) {}

  // Elements [begin, end) of one parameter.
  void update(const SgdParam<T>& a, int64_t begin, int64_t end) const {
    int64_t i = begin;
    for (; i + lanes<T> <= end; i += lanes<T>) {
      V p = load(a.p + i), buf = a.buf ? load(a.buf + i) : V{};
      step(a, load(a.g + i), p, buf);
      store(a.p + i, p);
      if (a.buf) store(a.buf + i, buf);
    }
    if (const int64_t n = end - i; n > 0) {
      V p = load(a.p + i, n), buf = a.buf ? load(a.buf + i, n) : V{};
      step(a, load(a.g + i, n), p, buf);
      store(a.p + i, p, n);
      if (a.buf) store(a.buf + i, buf, n);
    }
  }

 private:
  using V = Vec<T>;

  FASTNN_INLINE void step(const SgdParam<T>& a, V g, V& p, V& buf) const {
    if (maximize_) g = -g;
    if (weight_decay_ != 0) g = g + weight_decay_ * p;
    if (a.buf) {
      buf = a.first_step ? g : momentum_ * buf + undamped_ * g;
      g = nesterov_ ? g + momentum_ * buf : buf;
    }
    p = p - lr_ * g;
  }

  T lr_, momentum_, undamped_, weight_decay_;
  bool nesterov_, maximize_;
};

template <class T>
void sgd(const Exec& exec, const SgdStep& step, int64_t count, const SgdParam<T>* params) {
  const Sgd<T> rule(step);
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) total += params[i].n;
  parallel_elements(exec, total, [&](int64_t begin, int64_t end) {
    int64_t first = 0;  // of this parameter's elements among all
    for (int64_t i = 0; i < count && first < end; first += params[i].n, ++i) {
      rule.update(params[i], max_of(begin - first, 0), min_of(end - first, params[i].n));
    }
  });
}

}  // namespace

void fill_optimizer(Ops<float>& t) { t.sgd = sgd<float>; }
void fill_optimizer(Ops<double>& t) { t.sgd = sgd<double>; }

}  // namespace fastnn::FASTNN_ISA
