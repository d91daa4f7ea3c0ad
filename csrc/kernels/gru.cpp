// The GRU of fastnn.h (Cho et al. 2014, with the reset gate behind the product as in cuDNN and
// PyTorch): r, z = sigmoid of the sums;  m = h' w_hn^T + b_hn;  n = tanh(x w_in^T + b_in + r m);
//   h = (1 - z) n + z h'.
// Backward: dn = dh (1 - z) (1 - n^2);  dm = dn r;  dr = dn m r (1 - r);
//   dz = dh (h' - n) z (1 - z);  dh' = dh z + (dr, dz, dm) w_hh.
// The gradients lie as dm dr dz dn, so that those of either product follow each other.
// Loops, layout and parallelisation: recurrent.h.
#include "recurrent.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
struct GruForwardCell {
  static constexpr int64_t products = 3;
  int64_t H, gates_row;
  T* gates;
  const T* bias;  // of m, or null
  bool training;

  Sum<T> sum(int64_t q, int64_t row, int64_t u) const {
    T* const to = gates + row * gates_row + u;
    return q < 2 ? Sum<T>{to + q * H, true, nullptr}
                 : Sum<T>{to + 3 * H, false, bias ? bias + u : nullptr};
  }
  void activate(int64_t row, int64_t, int64_t rows, int64_t begin, int64_t end, const T* before,
                int64_t before_row, T* h, int64_t h_row) const {
    for_each_vector<T>(rows, begin, end, [&](int64_t k, int64_t u, auto part) FASTNN_INLINE_LAMBDA {
      T* const gate = gates + (row + k) * gates_row + u;
      const Vec<T> r = sigmoid<T>(load(gate, part)), z = sigmoid<T>(load(gate + H, part));
      const Vec<T> n = tanh<T>(fma(r, load(gate + 3 * H, part), load(gate + 2 * H, part)));
      store(h + k * h_row + u, fma(z, load(before + k * before_row + u, part) - n, n), part);
      if (training) {
        store(gate, r, part);
        store(gate + H, z, part);
        store(gate + 2 * H, n, part);
      }
    });
  }
};

template <class T>
struct GruBackwardCell {
  static constexpr int64_t products = 3, gradients = 4, turned = 1;
  static constexpr bool adds = true;
  int64_t H;
  const T* gates;

  void start(int64_t, int64_t) const {}
  void activate(const Step& step, int64_t begin, int64_t end, const OutputGradient<T>& gradient,
                const T* before, T* dh, T* dgates, int64_t dgates_row, T* bias_sums, T*) const {
    for_each_vector<T>(step.rows, begin, end,
                       [&](int64_t k, int64_t u, auto part) FASTNN_INLINE_LAMBDA {
                         const T* const gate = gates + (step.first + k) * 4 * H + u;
                         const Vec<T> r = load(gate, part), z = load(gate + H, part),
                                      n = load(gate + 2 * H, part), m = load(gate + 3 * H, part);
                         const Vec<T> d = gradient.at(k, u, part);
                         const Vec<T> dn = d * (1 - z) * (1 - n * n);
                         store(dh + k * H + u, d * z, part);
                         T* const to = dgates + k * dgates_row + u;
                         const auto put = [&](int64_t q, Vec<T> v) FASTNN_INLINE_LAMBDA {
                           store(to + q * H, v, part);
                           T* const sum = bias_sums + q * H + u;
                           store(sum, load(sum, part) + v, part);
                         };
                         put(0, dn * r);
                         put(1, dn * m * (r * (1 - r)));
                         put(2, d * (load(before + k * H + u, part) - n) * (z * (1 - z)));
                         put(3, dn);
                       });
  }
};

template <class T>
Forward<T, GruForwardCell<T>> gru_forward_plan(const RecurrentShape& s, int threads,
                                               void* scratch) {
  return {s, s.training ? 0 : s.rows * 4 * s.H, 4 * s.H, threads, scratch};
}

template <class T>
size_t gru_forward_scratch_bytes(const RecurrentShape& s, int threads) {
  return gru_forward_plan<T>(s, threads, nullptr).bytes;
}

template <class T>
void gru_forward(const Exec& exec, const RecurrentShape& s, const RecurrentWeights<T>& w,
                 const T* x, const T* h0, T* y, T* h_n, T* gates) {
  const auto plan = gru_forward_plan<T>(s, exec.threads, exec.scratch);
  const T* const bias = w.bias_hh ? w.bias_hh + 2 * s.H : nullptr;
  if (!gates) gates = plan.gates;
  plan.add_biases(w, 2 * s.H);
  plan.multiply_input(exec, w, x, gates, 4 * s.H);
  plan.run(exec, w, {s.H, 4 * s.H, gates, bias, s.training}, h0, y, h_n);
}

template <class T>
size_t gru_backward_scratch_bytes(const RecurrentShape& s, int threads) {
  return Backward<T, GruBackwardCell<T>>(s, threads, nullptr).bytes;
}

template <class T>
void gru_backward(const Exec& exec, const RecurrentShape& s, const RecurrentWeights<T>& w,
                  const T* dy, const T* dh_n, const T* x, const T* h0, const T* y, const T* gates,
                  const RecurrentGradients<T>& to) {
  const Backward<T, GruBackwardCell<T>> plan(s, exec.threads, exec.scratch);
  plan.run(exec, w, {s.H, gates}, dy, dh_n, x, h0, y, to);
}

template <class T>
void fill(Ops<T>& t) {
  t.gru_forward_scratch_bytes = gru_forward_scratch_bytes<T>;
  t.gru_forward = gru_forward<T>;
  t.gru_backward_scratch_bytes = gru_backward_scratch_bytes<T>;
  t.gru_backward = gru_backward<T>;
}

}  // namespace

void fill_gru(Ops<float>& t) { fill(t); }
void fill_gru(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
