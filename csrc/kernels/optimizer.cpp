// The optimizers' steps as fastnn.h states them, over dense parameters.
// The elements of all parameters, laid end to end, are cut into blocks, and threads share the
// blocks: many small parameters cost one parallel region. Products are rounded before they are
// added, as NumPy and (but for its fused multiply-adds) PyTorch do. Reads p, g and the state,
// writes p and the state: in float32 20 bytes an element with momentum, 28 for Adam, and at most 18
// operations, square roots and divisions among them.
#include "parallel.h"
#include "table.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// a + weight * (b - a), from the nearer end as in PyTorch: exactly b where weight is 1.
template <class T>
FASTNN_INLINE Vec<T> lerp(Vec<T> a, Vec<T> b, T weight) {
  return weight < T(0.5) ? a + weight * (b - a) : b - (b - a) * (1 - weight);
}

double power(double base, int64_t exponent) {
  return __builtin_pow(base, static_cast<double>(exponent));
}

// Each rule is made for one parameter and its step, and changes a vector of p and of each array of
// the state by one of g. `has` says which of the arrays there are.

template <class T>
class Sgd {
 public:
  static constexpr int states = 1;
  Sgd(const SgdStep& s, const OptimizerParam<T>& a)
      : lr_(static_cast<T>(s.lr)),
        momentum_(static_cast<T>(s.momentum)),
        undamped_(static_cast<T>(1 - s.dampening)),
        weight_decay_(static_cast<T>(s.weight_decay)),
        nesterov_(s.nesterov),
        maximize_(s.maximize),
        first_step_(a.step == 1) {}

  FASTNN_INLINE void operator()(Vec<T> g, Vec<T>& p, Vec<T>* state, const bool* has) const {
    Vec<T>& buf = state[0];
    if (maximize_) g = -g;
    if (weight_decay_ != 0) g = g + weight_decay_ * p;
    if (has[0]) {
      buf = first_step_ ? g : momentum_ * buf + undamped_ * g;
      g = nesterov_ ? g + momentum_ * buf : buf;
    }
    p = p - lr_ * g;
  }

 private:
  T lr_, momentum_, undamped_, weight_decay_;
  bool nesterov_, maximize_, first_step_;
};

template <class T>
class Adagrad {
 public:
  static constexpr int states = 1;
  Adagrad(const AdagradStep& s, const OptimizerParam<T>& a)
      : lr_(static_cast<T>(s.lr / (1 + static_cast<double>(a.step - 1) * s.lr_decay))),
        weight_decay_(static_cast<T>(s.weight_decay)),
        eps_(static_cast<T>(s.eps)),
        maximize_(s.maximize) {}

  FASTNN_INLINE void operator()(Vec<T> g, Vec<T>& p, Vec<T>* state, const bool*) const {
    Vec<T>& sum = state[0];
    if (maximize_) g = -g;
    if (weight_decay_ != 0) g = g + weight_decay_ * p;
    sum = sum + g * g;
    p = p - lr_ * g / (sqrt(sum) + eps_);
  }

 private:
  T lr_, weight_decay_, eps_;
  bool maximize_;
};

template <class T>
class Rmsprop {
 public:
  static constexpr int states = 3;
  Rmsprop(const RmspropStep& s, const OptimizerParam<T>&)
      : lr_(static_cast<T>(s.lr)),
        alpha_(static_cast<T>(s.alpha)),
        fresh_(static_cast<T>(1 - s.alpha)),
        eps_(static_cast<T>(s.eps)),
        weight_decay_(static_cast<T>(s.weight_decay)),
        momentum_(static_cast<T>(s.momentum)),
        maximize_(s.maximize) {}

  FASTNN_INLINE void operator()(Vec<T> g, Vec<T>& p, Vec<T>* state, const bool* has) const {
    Vec<T>&square_avg = state[0], &grad_avg = state[1], &buf = state[2];
    if (maximize_) g = -g;
    if (weight_decay_ != 0) g = g + weight_decay_ * p;
    square_avg = alpha_ * square_avg + fresh_ * g * g;
    Vec<T> avg = square_avg;
    if (has[1]) {
      grad_avg = lerp(grad_avg, g, fresh_);
      avg = avg - grad_avg * grad_avg;
    }
    avg = sqrt(avg) + eps_;
    if (has[2]) {
      buf = momentum_ * buf + g / avg;
      p = p - lr_ * buf;
    } else {
      p = p - lr_ * g / avg;
    }
  }

 private:
  T lr_, alpha_, fresh_, eps_, weight_decay_, momentum_;
  bool maximize_;
};

template <class T>
class Adadelta {
 public:
  static constexpr int states = 2;
  Adadelta(const AdadeltaStep& s, const OptimizerParam<T>&)
      : lr_(static_cast<T>(s.lr)),
        rho_(static_cast<T>(s.rho)),
        fresh_(static_cast<T>(1 - s.rho)),
        eps_(static_cast<T>(s.eps)),
        weight_decay_(static_cast<T>(s.weight_decay)),
        maximize_(s.maximize) {}

  FASTNN_INLINE void operator()(Vec<T> g, Vec<T>& p, Vec<T>* state, const bool*) const {
    Vec<T>&square_avg = state[0], &acc_delta = state[1];
    if (maximize_) g = -g;
    if (weight_decay_ != 0) g = g + weight_decay_ * p;
    square_avg = rho_ * square_avg + fresh_ * g * g;
    const Vec<T> delta = sqrt(acc_delta + eps_) / sqrt(square_avg + eps_) * g;
    acc_delta = rho_ * acc_delta + fresh_ * delta * delta;
    p = p - lr_ * delta;
  }

 private:
  T lr_, rho_, fresh_, eps_, weight_decay_;
  bool maximize_;
};

// What Adam and its kin share: the weight decay and the averages of the gradient and its square.
template <class T>
class Averages {
 public:
  template <class Step>
  explicit Averages(const Step& s)
      : fresh1_(static_cast<T>(1 - s.beta1)),
        beta2_(static_cast<T>(s.beta2)),
        fresh2_(static_cast<T>(1 - s.beta2)),
        weight_decay_(static_cast<T>(s.weight_decay)),
        kept_(static_cast<T>(1 - s.lr * s.weight_decay)),
        decoupled_(s.decoupled),
        maximize_(s.maximize) {}

  FASTNN_INLINE void operator()(Vec<T>& g, Vec<T>& p, Vec<T>& exp_avg, Vec<T>& exp_avg_sq) const {
    if (maximize_) g = -g;
    if (decoupled_) {
      p = p * kept_;
    } else if (weight_decay_ != 0) {
      g = g + weight_decay_ * p;
    }
    exp_avg = lerp(exp_avg, g, fresh1_);
    exp_avg_sq = beta2_ * exp_avg_sq + fresh2_ * g * g;
  }

 private:
  T fresh1_, beta2_, fresh2_, weight_decay_, kept_;
  bool decoupled_, maximize_;
};

template <class T>
class Adam {
 public:
  static constexpr int states = 3;
  Adam(const AdamStep& s, const OptimizerParam<T>& a)
      : averages_(s),
        step_size_(static_cast<T>(s.lr / (1 - power(s.beta1, a.step)))),
        root_correction_(static_cast<T>(__builtin_sqrt(1 - power(s.beta2, a.step)))),
        eps_(static_cast<T>(s.eps)) {}

  FASTNN_INLINE void operator()(Vec<T> g, Vec<T>& p, Vec<T>* state, const bool* has) const {
    Vec<T>&exp_avg = state[0], &exp_avg_sq = state[1], &max_exp_avg_sq = state[2];
    averages_(g, p, exp_avg, exp_avg_sq);
    Vec<T> square = exp_avg_sq;
    if (has[2]) square = max_exp_avg_sq = max(max_exp_avg_sq, exp_avg_sq);
    p = p - step_size_ * exp_avg / (sqrt(square) / root_correction_ + eps_);
  }

 private:
  Averages<T> averages_;
  T step_size_, root_correction_, eps_;
};

template <class T>
class Adamax {
 public:
  static constexpr int states = 2;
  Adamax(const AdamaxStep& s, const OptimizerParam<T>& a)
      : step_size_(static_cast<T>(s.lr / (1 - power(s.beta1, a.step)))),
        fresh1_(static_cast<T>(1 - s.beta1)),
        beta2_(static_cast<T>(s.beta2)),
        eps_(static_cast<T>(s.eps)),
        weight_decay_(static_cast<T>(s.weight_decay)),
        maximize_(s.maximize) {}

  FASTNN_INLINE void operator()(Vec<T> g, Vec<T>& p, Vec<T>* state, const bool*) const {
    Vec<T>&exp_avg = state[0], &exp_inf = state[1];
    if (maximize_) g = -g;
    if (weight_decay_ != 0) g = g + weight_decay_ * p;
    exp_avg = lerp(exp_avg, g, fresh1_);
    const Vec<T> decayed = beta2_ * exp_inf, magnitude = (g < 0 ? -g : g) + eps_;
    exp_inf = decayed == decayed ? max(decayed, magnitude) : decayed;  // NaN stays
    p = p - step_size_ * exp_avg / exp_inf;
  }

 private:
  T step_size_, fresh1_, beta2_, eps_, weight_decay_;
  bool maximize_;
};

template <class T>
class Nadam {
 public:
  static constexpr int states = 2;
  Nadam(const NadamStep& s, const OptimizerParam<T>& a)
      : averages_(s),
        correction2_(static_cast<T>(1 - power(s.beta2, a.step))),
        eps_(static_cast<T>(s.eps)),
        g_size_(static_cast<T>(s.lr * (1 - a.mu) / (1 - a.mu_product))),
        avg_size_(static_cast<T>(s.lr * a.mu_next / (1 - a.mu_product * a.mu_next))) {}

  FASTNN_INLINE void operator()(Vec<T> g, Vec<T>& p, Vec<T>* state, const bool*) const {
    Vec<T>&exp_avg = state[0], &exp_avg_sq = state[1];
    averages_(g, p, exp_avg, exp_avg_sq);
    const Vec<T> root = sqrt(exp_avg_sq / correction2_) + eps_;
    p = p - g_size_ * g / root;
    p = p - avg_size_ * exp_avg / root;
  }

 private:
  Averages<T> averages_;
  T correction2_, eps_, g_size_, avg_size_;
};

template <class T>
class Radam {
 public:
  static constexpr int states = 2;
  Radam(const RadamStep& s, const OptimizerParam<T>& a)
      : averages_(s),
        lr_(static_cast<T>(s.lr)),
        correction1_(static_cast<T>(1 - power(s.beta1, a.step))),
        eps_(static_cast<T>(s.eps)) {
    const double power2 = power(s.beta2, a.step), correction2 = 1 - power2;
    const double rho_inf = 2 / (1 - s.beta2) - 1;
    const double rho = rho_inf - 2 * static_cast<double>(a.step) * power2 / correction2;
    rectified_ = rho > 5;
    if (!rectified_) return;
    root_correction_ = static_cast<T>(__builtin_sqrt(correction2));
    rectification_ = static_cast<T>(
        __builtin_sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)));
  }

  FASTNN_INLINE void operator()(Vec<T> g, Vec<T>& p, Vec<T>* state, const bool*) const {
    Vec<T>&exp_avg = state[0], &exp_avg_sq = state[1];
    averages_(g, p, exp_avg, exp_avg_sq);
    Vec<T> update = exp_avg / correction1_ * lr_;
    if (rectified_) {
      update = update * (root_correction_ / (sqrt(exp_avg_sq) + eps_)) * rectification_;
    }
    p = p - update;
  }

 private:
  Averages<T> averages_;
  T lr_, correction1_, eps_, root_correction_ = 0, rectification_ = 0;
  bool rectified_;
};

template <class T>
class Lerp {
 public:
  static constexpr int states = 0;
  Lerp(const LerpStep& s, const OptimizerParam<T>&) : weight_(static_cast<T>(s.weight)) {}
  FASTNN_INLINE void operator()(Vec<T> g, Vec<T>& p, Vec<T>*, const bool*) const {
    p = lerp(p, g, weight_);
  }

 private:
  T weight_;
};

// Elements [begin, end) of one parameter.
template <class T, class Rule>
void update_range(const Rule& rule, const OptimizerParam<T>& a, int64_t begin, int64_t end) {
  bool has[Rule::states + 1];  // a rule may have none
  for (int k = 0; k < Rule::states; ++k) has[k] = a.state[k] != nullptr;
  const auto step = [&](int64_t at, auto... n) __attribute__((always_inline)) {
    Vec<T> p = load(a.p + at, n...), state[Rule::states + 1] = {};
    for (int k = 0; k < Rule::states; ++k) {
      if (has[k]) state[k] = load(a.state[k] + at, n...);
    }
    rule(load(a.g + at, n...), p, state, has);
    store(a.p + at, p, n...);
    for (int k = 0; k < Rule::states; ++k) {
      if (has[k]) store(a.state[k] + at, state[k], n...);
    }
  };
  int64_t i = begin;
  for (; i + lanes<T> <= end; i += lanes<T>) step(i);
  if (i < end) step(i, end - i);
}

template <class Rule, class T, class Step>
void update(const Exec& exec, const Step& step, int64_t count, const OptimizerParam<T>* params) {
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) total += params[i].n;
  parallel_elements(exec, total, [&](int64_t begin, int64_t end) {
    int64_t first = 0;  // of this parameter's elements among all
    for (int64_t i = 0; i < count && first < end; first += params[i].n, ++i) {
      const int64_t from = max_of(begin - first, 0), to = min_of(end - first, params[i].n);
      if (from < to) update_range(Rule(step, params[i]), params[i], from, to);
    }
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.sgd = update<Sgd<T>, T, SgdStep>;
  t.adagrad = update<Adagrad<T>, T, AdagradStep>;
  t.rmsprop = update<Rmsprop<T>, T, RmspropStep>;
  t.adam = update<Adam<T>, T, AdamStep>;
  t.adadelta = update<Adadelta<T>, T, AdadeltaStep>;
  t.adamax = update<Adamax<T>, T, AdamaxStep>;
  t.nadam = update<Nadam<T>, T, NadamStep>;
  t.radam = update<Radam<T>, T, RadamStep>;
  t.lerp = update<Lerp<T>, T, LerpStep>;
}

}  // namespace

void fill_optimizer(Ops<float>& t) { fill(t); }
void fill_optimizer(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
