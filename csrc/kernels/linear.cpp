// y[n][o] = b[o] + sum_i x[n][i] w[o][i]; dx[n][i] = sum_o dy[n][o] w[o][i];
// dw[o][i] = sum_n dy[n][o] x[n][i]; db[o] = sum_n dy[n][o].
// Each of the first three is one matrix product of 2 N I O operations (gemm.cpp).
#include "gemm.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
size_t scratch_bytes(const LinearShape& s, int threads) {
  size_t bytes = linear_backward_weight_scratch_bytes(s, threads, sizeof(T));
  for (const GemmShape& g : {forward_gemm(s), backward_input_gemm(s)}) {
    const size_t needed = gemm_scratch_bytes(g, threads, sizeof(T));
    if (needed > bytes) bytes = needed;
  }
  return bytes;
}

template <class T>
void forward(const Exec& exec, const LinearShape& s, const T* x, const T* w, const T* b, T* y) {
  gemm(exec, forward_gemm(s), x, w, Epilogue<T>{.bias = b}, y, false);
}

template <class T>
void backward_input(const Exec& exec, const LinearShape& s, const T* dy, const T* w, T* dx) {
  gemm(exec, backward_input_gemm(s), dy, w, Epilogue<T>{}, dx, false);
}

// Long sums meet dy where the product does, and read it from memory but once.
template <class T>
void backward_weight(const Exec& exec, const LinearShape& s, const T* dy, const T* x, T* dw, T* db,
                     bool accumulate) {
  const GemmShape g = backward_weight_gemm(s);
  if (has_long_reduction(g)) return gemm_long_reduction(exec, g, dy, x, dw, db, accumulate);
  gemm(exec, g, dy, x, Epilogue<T>{}, dw, accumulate);
  if (db) column_sums(exec, s.N, s.O, dy, db, accumulate);
}

template <class T>
void fill(Ops<T>& t) {
  t.linear_scratch_bytes = scratch_bytes<T>;
  t.linear_forward = forward<T>;
  t.linear_backward_input = backward_input<T>;
  t.linear_backward_weight = backward_weight<T>;
}

}  // namespace

size_t linear_backward_weight_scratch_bytes(const LinearShape& s, int threads, size_t item) {
  const size_t product = gemm_scratch_bytes(backward_weight_gemm(s), threads, item);
  const size_t sums = column_sums_scratch_bytes(s.N, s.O, item);
  return product > sums ? product : sums;
}
void linear_backward_weight(const Exec& exec, const LinearShape& s, const float* dy, const float* x,
                            float* dw, float* db, bool accumulate) {
  backward_weight(exec, s, dy, x, dw, db, accumulate);
}
void linear_backward_weight(const Exec& exec, const LinearShape& s, const double* dy,
                            const double* x, double* dw, double* db, bool accumulate) {
  backward_weight(exec, s, dy, x, dw, db, accumulate);
}

void fill_linear(Ops<float>& t) { fill(t); }
void fill_linear(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
