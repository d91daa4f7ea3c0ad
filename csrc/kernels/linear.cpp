// y[n][o] = b[o] + sum_i x[n][i] w[o][i]; dx[n][i] = sum_o dy[n][o] w[o][i];
// dw[o][i] = sum_n dy[n][o] x[n][i]; db[o] = sum_n dy[n][o].
// Each of the first three is one matrix product of 2 N I O operations (gemm.cpp).
#include "gemm.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
size_t linear_scratch_bytes(const LinearShape& s, int threads) {
  size_t bytes = column_sums_scratch_bytes(s.N, s.O, sizeof(T));
  for (const GemmShape& g : {forward_gemm(s), backward_input_gemm(s), backward_weight_gemm(s)}) {
    const size_t needed = gemm_scratch_bytes(g, threads, sizeof(T));
    if (needed > bytes) bytes = needed;
  }
  return bytes;
}

template <class T>
void linear_forward(const Exec& exec, const LinearShape& s, const T* x, const T* w, const T* b,
                    T* y) {
  gemm(exec, forward_gemm(s), x, w, Epilogue<T>{.bias = b}, y, false);
}

template <class T>
void linear_backward_input(const Exec& exec, const LinearShape& s, const T* dy, const T* w, T* dx) {
  gemm(exec, backward_input_gemm(s), dy, w, Epilogue<T>{}, dx, false);
}

template <class T>
void linear_backward_weight(const Exec& exec, const LinearShape& s, const T* dy, const T* x, T* dw,
                            T* db, bool accumulate) {
  gemm(exec, backward_weight_gemm(s), dy, x, Epilogue<T>{}, dw, accumulate);
  if (db) column_sums(exec, s.N, s.O, dy, db, accumulate);
}

template <class T>
void fill(Ops<T>& t) {
  t.linear_scratch_bytes = linear_scratch_bytes<T>;
  t.linear_forward = linear_forward<T>;
  t.linear_backward_input = linear_backward_input<T>;
  t.linear_backward_weight = linear_backward_weight<T>;
}

}  // namespace

void fill_linear(Ops<float>& t) { fill(t); }
void fill_linear(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
