// The LSTM of fastnn.h (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000):
//   i, f, o = sigmoid, g = tanh of the sums;  c = f c' + i g;  h = o tanh(c).
// Backward, from dh and the dc of the step behind:
//   dc += dh o (1 - tanh(c)^2);  do = dh tanh(c) o (1 - o);  di = dc g i (1 - i);
//   df = dc c' f (1 - f);  dg = dc i (1 - g^2);  dc' = dc f.
// Loops, layout and parallelisation: recurrent.h.
#include "recurrent.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
struct LstmForwardCell {
  static constexpr int64_t products = 4, sums = 4;
  static constexpr int64_t sum(int64_t product) { return product; }
  int64_t H;
  T *gates, *c, *cells;  // c: the running state; gates and cells: all of them, null at inference

  static const T* bias(int64_t) { return nullptr; }
  void activate(const SumsTile<T>& t, const T*, int64_t, const NewState<T>& to) const {
    for_each_vector<T>(
        t.rows, 0, t.units, [&](int64_t k, int64_t j, auto part) FASTNN_INLINE_LAMBDA {
          T* const state = c + (t.n + k) * H + t.u + j;
          const Vec<T> i = sigmoid<T>(t.at(0, k, j, part)), f = sigmoid<T>(t.at(1, k, j, part)),
                       g = tanh<T>(t.at(2, k, j, part)), o = sigmoid<T>(t.at(3, k, j, part));
          const Vec<T> next = fma(f, load(state, part), i * g);
          store(state, next, part);
          to.put(k, j, o * tanh<T>(next), part);
          if (gates) {
            const int64_t row = t.row + k;
            T* const gate = gates + row * 4 * H + t.u + j;
            store(cells + row * H + t.u + j, next, part);
            store(gate, i, part);
            store(gate + H, f, part);
            store(gate + 2 * H, g, part);
            store(gate + 3 * H, o, part);
          }
        });
  }
};

template <class T>
struct LstmBackwardCell {
  static constexpr int64_t products = 4, gradients = 4, turned = 0;
  static constexpr bool adds = false;
  int64_t N, H;
  const T *gates, *cells, *c0, *dc_n;
  T* dc;  // in place the gradient of each row's c

  void start(int64_t begin, int64_t end) const {
    for_each_vector<T>(N, begin, end, [&](int64_t i, int64_t u, auto part) FASTNN_INLINE_LAMBDA {
      store(dc + i * H + u, dc_n ? load(dc_n + i * H + u, part) : Vec<T>{}, part);
    });
  }
  void activate(const Step& step, int64_t begin, int64_t end, const OutputGradient<T>& gradient,
                const T*, T*, T* dgates, int64_t dgates_row, T* bias_sums, T* hidden) const {
    for_each_vector<T>(
        step.rows, begin, end, [&](int64_t k, int64_t u, auto part) FASTNN_INLINE_LAMBDA {
          const T* const gate = gates + (step.first + k) * 4 * H + u;
          const T* const before = k < step.kept ? cells + (step.previous + k) * H : c0 + k * H;
          T* const state = dc + k * H + u;
          const Vec<T> i = load(gate, part), f = load(gate + H, part), g = load(gate + 2 * H, part),
                       o = load(gate + 3 * H, part);
          const Vec<T> squashed = tanh<T>(load(cells + (step.first + k) * H + u, part));
          const Vec<T> dh = gradient.at(k, u, part);
          const Vec<T> d = fma(dh * o, 1 - squashed * squashed, load(state, part));
          store(state, d * f, part);
          if (hidden) store(hidden + k * H + u, o * squashed, part);
          T* const to = dgates + k * dgates_row + u;
          const auto put = [&](int64_t q, Vec<T> v) FASTNN_INLINE_LAMBDA {
            store(to + q * H, v, part);
            T* const sum = bias_sums + q * H + u;
            store(sum, load(sum, part) + v, part);
          };
          put(0, d * g * (i * (1 - i)));
          put(1, d * load(before + u, part) * (f * (1 - f)));
          put(2, d * i * (1 - g * g));
          put(3, dh * squashed * (o * (1 - o)));
        });
  }
};

template <class T>
void lstm_forward(const Exec& exec, const RecurrentShape& s, const RecurrentWeights<T>& w,
                  const T* x, const T* h0, const T* c0, T* y, T* h_n, T* c_n, T* gates, T* cells) {
  copy_block(c0, s.H, s.N, s.H, c_n, s.H);
  recurrent_forward(exec, s, w, 4 * s.H, LstmForwardCell<T>{s.H, gates, c_n, cells}, x, h0, y, h_n);
}

template <class T>
size_t lstm_backward_scratch_bytes(const RecurrentShape& s, int threads) {
  return Backward<T, LstmBackwardCell<T>>(s, threads, nullptr).bytes;
}

template <class T>
void lstm_backward(const Exec& exec, const RecurrentShape& s, const RecurrentWeights<T>& w,
                   const T* dy, const T* dh_n, const T* dc_n, const T* x, const T* h0, const T* c0,
                   const T* y, const T* gates, const T* cells, const RecurrentGradients<T>& to) {
  const Backward<T, LstmBackwardCell<T>> plan(s, exec.threads, exec.scratch);
  plan.run(exec, w, {s.N, s.H, gates, cells, c0, dc_n, to.dc0}, dy, dh_n, x, h0, y, to);
}

template <class T>
void fill(Ops<T>& t) {
  t.lstm_forward_scratch_bytes = recurrent_forward_scratch_bytes<T, LstmForwardCell<T>>;
  t.lstm_forward = lstm_forward<T>;
  t.lstm_backward_scratch_bytes = lstm_backward_scratch_bytes<T>;
  t.lstm_backward = lstm_backward<T>;
}

}  // namespace

void fill_lstm(Ops<float>& t) { fill(t); }
void fill_lstm(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
