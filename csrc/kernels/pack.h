// Copies of blocks of a matrix into memory that suits the tile of tile.h.
#pragma once

#include "gemm.h"

namespace fastnn::FASTNN_ISA {
namespace {

// to[i * to_row + j] = from[i * from_row + j].
template <class T>
void copy_block(const T* from, int64_t from_row, int64_t rows, int64_t cols, T* to,
                int64_t to_row) {
  constexpr int64_t L = lanes<T>;
  for (int64_t i = 0; i < rows; ++i, from += from_row, to += to_row) {
    int64_t j = 0;
    for (; j + L <= cols; j += L) store(to + j, load(from + j));
    if (j < cols) store(to + j, load(from + j, cols - j), cols - j);
  }
}

// to[j * to_row + i] = from[i * from_row + j].
template <class T>
void transpose_block(const T* from, int64_t from_row, int64_t rows, int64_t cols, T* to,
                     int64_t to_row) {
  constexpr int64_t S = transpose_tile_size;
  const int64_t whole_rows = rows / S * S, whole_cols = cols / S * S;
  for (int64_t i = 0; i < whole_rows; i += S) {
    for (int64_t j = 0; j < whole_cols; j += S)
      transpose_tile(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = i < whole_rows ? whole_cols : 0; j < cols; ++j)
      to[j * to_row + i] = from[i * from_row + j];
  }
}

// panel[k * panel_width + j] = b[k * b_row + j * b_col] for j < columns, and 0 for the others.
template <class T>
void pack_panel(const T* b, int64_t b_row, int64_t b_col, int64_t K, int64_t columns, T* panel) {
  constexpr int64_t W = panel_width<T>, L = lanes<T>;
  constexpr int64_t block = 64;  // rows of a panel that stay in L1 while columns come one by one
  if (b_col == 1) {
    const int64_t whole = columns / L * L;
    for (int64_t k = 0; k < K; ++k, b += b_row, panel += W) {
      for (int64_t j = 0; j < whole; j += L) store(panel + j, load(b + j));
      for (int64_t j = whole; j < W; j += L) store(panel + j, load(b + j, max_of(0, columns - j)));
    }
    return;
  }
  for (int64_t i = 0; columns < W && i < K * W; i += L) store(panel + i, Vec<T>{});
  if (b_row == 1) {
    for (int64_t k = 0; k < K; k += block) {
      const int64_t next = min_of(k + block, K);  // its columns are too short to be foreseen
      for (int64_t j = 0; j < columns; ++j)
        prefetch_to_l2(b + j * b_col + next, min_of(block, K - next));
      transpose_block(b + k, b_col, columns, min_of(block, K - k), panel + k * W, W);
    }
  } else {
    for (int64_t k = 0; k < K; ++k) {
      for (int64_t j = 0; j < columns; ++j) panel[k * W + j] = b[k * b_row + j * b_col];
    }
  }
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
