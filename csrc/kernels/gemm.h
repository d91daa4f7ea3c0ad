// The matrix product made of the tiles of tile.h, and what is built on it.
#pragma once

#include "parallel.h"
#include "tile.h"

namespace fastnn::FASTNN_ISA {

// The matrix product as in fastnn.h.
size_t gemm_scratch_bytes(const GemmShape& s, int threads, size_t item);
void gemm(const Exec&, const GemmShape&, const float* a, const float* b, const Epilogue<float>&,
          float* c, bool accumulate);
void gemm(const Exec&, const GemmShape&, const double* a, const double* b, const Epilogue<double>&,
          double* c, bool accumulate);

// Its forms for two kinds of shapes; gemm() takes them where they apply, the second first. Few rows
// of a, for which packing b would cost as much as the product:
bool has_few_rows(const GemmShape&);
void gemm_few_rows(const Exec&, const GemmShape&, const float* a, const float* b, const float* bias,
                   float* c, bool accumulate);
void gemm_few_rows(const Exec&, const GemmShape&, const double* a, const double* b,
                   const double* bias, double* c, bool accumulate);
// and a long reduction into a small c, which is split. Without a bias. a_sums[i] (+)= sum over k of
// a[i][k], where it is not null; columns of a lie in one piece then.
bool has_long_reduction(const GemmShape&);
size_t gemm_long_reduction_scratch_bytes(const GemmShape&, int threads, size_t item);
void gemm_long_reduction(const Exec&, const GemmShape&, const float* a, const float* b, float* c,
                         float* a_sums, bool accumulate);
void gemm_long_reduction(const Exec&, const GemmShape&, const double* a, const double* b, double* c,
                         double* a_sums, bool accumulate);

// Of a linear layer: dw (+)= dy^T x, and db, which may be null, (+)= the sums of dy over its rows.
size_t linear_backward_weight_scratch_bytes(const LinearShape&, int threads, size_t item);
void linear_backward_weight(const Exec&, const LinearShape&, const float* dy, const float* x,
                            float* dw, float* db, bool accumulate);
void linear_backward_weight(const Exec&, const LinearShape&, const double* dy, const double* x,
                            double* dw, double* db, bool accumulate);

// out[j] (+)= sum over i < rows of x[i * cols + j], in fixed blocks of rows.
size_t column_sums_scratch_bytes(int64_t rows, int64_t cols, size_t item);
void column_sums(const Exec&, int64_t rows, int64_t cols, const float* x, float* out,
                 bool accumulate);
void column_sums(const Exec&, int64_t rows, int64_t cols, const double* x, double* out,
                 bool accumulate);

namespace {

// Hands out pieces of scratch memory; with a null base it only counts.
class Pieces {
 public:
  explicit Pieces(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(int64_t n) {
    char* const piece = base_ ? base_ + used_ : nullptr;
    used_ += round_up(max_of(n, 0) * static_cast<int64_t>(sizeof(T)), 64);
    return reinterpret_cast<T*>(piece);
  }
  size_t bytes() const { return static_cast<size_t>(used_); }
  void* rest() const { return base_ + used_; }

 private:
  char* base_;
  int64_t used_ = 0;
};

// The matrix products of a linear layer: y = x w^T, dx = dy w, dw = dy^T x.
constexpr GemmShape forward_gemm(const LinearShape& s) {
  return {.M = s.N,
          .N = s.O,
          .K = s.I,
          .a_row = s.I,
          .a_col = 1,
          .b_row = 1,
          .b_col = s.I,
          .c_row = s.O};
}
constexpr GemmShape backward_input_gemm(const LinearShape& s) {
  return {.M = s.N,
          .N = s.I,
          .K = s.O,
          .a_row = s.O,
          .a_col = 1,
          .b_row = s.I,
          .b_col = 1,
          .c_row = s.I};
}
constexpr GemmShape backward_weight_gemm(const LinearShape& s) {
  return {.M = s.O,
          .N = s.I,
          .K = s.N,
          .a_row = 1,
          .a_col = s.O,
          .b_row = s.I,
          .b_col = 1,
          .c_row = s.I};
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
