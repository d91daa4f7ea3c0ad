// The plain recurrent layer of fastnn.h (Elman 1990): h = f(x w_ih^T + b_ih + h' w_hh^T + b_hh), f
// tanh or relu. Backward: dh h's own f'(sum), which the output tells: 1 - h^2, or whether h > 0.
// Loops, layout and parallelisation: recurrent.h.
#include "recurrent.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
struct RnnForwardCell {
  static constexpr int64_t products = 1, sums = 1;
  static constexpr int64_t sum(int64_t product) { return product; }
  bool relu;

  static const T* bias(int64_t) { return nullptr; }
  void activate(const SumsTile<T>& t, const T*, int64_t, const NewState<T>& to) const {
    for_each_vector<T>(t.rows, 0, t.units,
                       [&](int64_t k, int64_t j, auto part) FASTNN_INLINE_LAMBDA {
                         const Vec<T> v = t.at(0, k, j, part);
                         to.put(k, j, relu ? (v <= Vec<T>{} ? Vec<T>{} : v) : tanh<T>(v), part);
                       });
  }
};

template <class T>
struct RnnBackwardCell {
  static constexpr int64_t products = 1, gradients = 1, turned = 0;
  static constexpr bool adds = false;
  int64_t H, y_row;
  const T* y;
  bool relu;

  void start(int64_t, int64_t) const {}
  void activate(const Step& step, int64_t begin, int64_t end, const OutputGradient<T>& gradient,
                const T*, T*, T* dgates, int64_t dgates_row, T* bias_sums, T*) const {
    for_each_vector<T>(step.rows, begin, end,
                       [&](int64_t k, int64_t u, auto part) FASTNN_INLINE_LAMBDA {
                         const Vec<T> h = load(y + (step.first + k) * y_row + u, part),
                                      d = gradient.at(k, u, part);
                         const Vec<T> v = relu ? (h <= Vec<T>{} ? Vec<T>{} : d) : d * (1 - h * h);
                         store(dgates + k * dgates_row + u, v, part);
                         store(bias_sums + u, load(bias_sums + u, part) + v, part);
                       });
  }
};

template <class T>
void rnn_forward(const Exec& exec, const RecurrentShape& s, Activation::Kind f,
                 const RecurrentWeights<T>& w, const T* x, const T* h0, T* y, T* h_n) {
  recurrent_forward(exec, s, w, s.H, RnnForwardCell<T>{f == Activation::relu}, x, h0, y, h_n);
}

template <class T>
size_t rnn_backward_scratch_bytes(const RecurrentShape& s, int threads) {
  return Backward<T, RnnBackwardCell<T>>(s, threads, nullptr).bytes;
}

template <class T>
void rnn_backward(const Exec& exec, const RecurrentShape& s, Activation::Kind f,
                  const RecurrentWeights<T>& w, const T* dy, const T* dh_n, const T* x, const T* h0,
                  const T* y, const RecurrentGradients<T>& to) {
  const Backward<T, RnnBackwardCell<T>> plan(s, exec.threads, exec.scratch);
  plan.run(exec, w, {s.H, s.y_row, y, f == Activation::relu}, dy, dh_n, x, h0, y, to);
}

template <class T>
void fill(Ops<T>& t) {
  t.rnn_forward_scratch_bytes = recurrent_forward_scratch_bytes<T, RnnForwardCell<T>>;
  t.rnn_forward = rnn_forward<T>;
  t.rnn_backward_scratch_bytes = rnn_backward_scratch_bytes<T>;
  t.rnn_backward = rnn_backward<T>;
}

}  // namespace

void fill_rnn(Ops<float>& t) { fill(t); }
void fill_rnn(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
