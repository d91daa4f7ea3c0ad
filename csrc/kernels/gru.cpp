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
  static constexpr int64_t products = 3, sums = 4;
  static constexpr int64_t sum(int64_t product) { return product < 2 ? product : 3; }
  int64_t H;
  T* gates;  // null at inference
  const T* bias_m;

  const T* bias(int64_t u) const { return bias_m ? bias_m + u : nullptr; }
  void activate(const SumsTile<T>& t, const T* before, int64_t before_row,
                const NewState<T>& to) const {
    for_each_vector<T>(
        t.rows, 0, t.units, [&](int64_t k, int64_t j, auto part) FASTNN_INLINE_LAMBDA {
          const Vec<T> r = sigmoid<T>(t.at(0, k, j, part)), z = sigmoid<T>(t.at(1, k, j, part)),
                       m = t.at(3, k, j, part), n = tanh<T>(fma(r, m, t.at(2, k, j, part)));
          to.put(k, j, fma(z, load(before + k * before_row + j, part) - n, n), part);
          if (gates) {
            T* const gate = gates + (t.row + k) * 4 * H + t.u + j;
            store(gate, r, part);
            store(gate + H, z, part);
            store(gate + 2 * H, n, part);
            store(gate + 3 * H, m, part);
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
void gru_forward(const Exec& exec, const RecurrentShape& s, const RecurrentWeights<T>& w,
                 const T* x, const T* h0, T* y, T* h_n, T* gates) {
  const T* const bias_m = w.bias_hh ? w.bias_hh + 2 * s.H : nullptr;
  recurrent_forward(exec, s, w, 2 * s.H, GruForwardCell<T>{s.H, gates, bias_m}, x, h0, y, h_n);
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
  t.gru_forward_scratch_bytes = recurrent_forward_scratch_bytes<T, GruForwardCell<T>>;
  t.gru_forward = gru_forward<T>;
  t.gru_backward_scratch_bytes = gru_backward_scratch_bytes<T>;
  t.gru_backward = gru_backward<T>;
}

}  // namespace

void fill_gru(Ops<float>& t) { fill(t); }
void fill_gru(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
