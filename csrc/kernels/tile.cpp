// All tiles, compiled once: each is some hundred unrolled instructions.
#include "tile.h"

#include "epilogue.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T, TileForm form, int NV, int MR>
void tile(const TileArgs<T>& t) {
  constexpr bool PartialB = form == TileForm::partial_b, LongRows = form == TileForm::long_rows;
  using V = Vec<T>;
  constexpr int64_t L = lanes<T>;
  // With a single vector of columns loads are the limit. Then every third row has a pointer of its
  // own, hidden from the compiler, which would make it one pointer and more offsets than there are
  // registers. (32 groups of 16 channels, 14 x 14: 1.02 ms instead of 1.14.)
  constexpr int step = LongRows && NV == 1 ? 3 : MR;
  const int64_t last = t.columns - (NV - 1) * L;  // valid lanes of the last vector
  // A prefetch of an unmapped address walks the page tables each time.
  const T* ahead = t.ahead ? t.ahead : t.a;
  if (t.accumulate) {  // c arrives during the reduction
    for (int i = 0; i < MR; ++i) {
      for (int j = 0; j < NV; ++j) prefetch(t.c + i * t.c_row + j * L);
    }
  }
  if (!PartialB && t.end.residual) {
    for (int i = 0; i < MR; ++i) {
      for (int j = 0; j < NV; ++j) prefetch(t.end.residual + i * t.c_row + j * L);
    }
  }
  V acc[MR][NV];
#pragma GCC unroll 32
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) acc[i][j] = V{};
  }
  for (const Term *term = t.terms, *end = t.terms + t.n_terms; term != end; ++term) {
    const T* a[(MR + step - 1) / step];
    for (int i = 0; i < MR; i += step) a[i / step] = t.a + term->a + i * t.a_row;
    const T* b = t.b + term->b;
    for (int64_t k = term->k; k > 0; --k) {
      if constexpr (step < MR) {
#pragma GCC unroll 5
        for (int i = 0; i < MR; i += step) asm("" : "+r"(a[i / step]));
      }
      prefetch(ahead);
      ahead += t.ahead_step;
      V bv[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        bv[j] = PartialB && j == NV - 1 ? load(b + j * L, last) : load(b + j * L);
      }
#pragma GCC unroll 32
      for (int i = 0; i < MR; ++i) {
        const V av = splat(a[i / step][i % step * t.a_row]);
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
      }
#pragma GCC unroll 5
      for (int i = 0; i < MR; i += step) a[i / step] += t.a_col;
      b += t.b_row;
    }
  }
  const bool whole = last == L;
  // Apart from each other, since most tiles end with their sums, or a bias: with all in one, 16
  // channels of 32 x 32 pixels take 6 % longer.
  if (!PartialB && t.end.more()) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      const EpilogueColumns<T> finish = j < NV - 1 || whole
                                            ? EpilogueColumns<T>(t.end, j * L)
                                            : EpilogueColumns<T>(t.end, j * L, last);
#pragma GCC unroll 32
      for (int i = 0; i < MR; ++i) {
        const int64_t at = i * t.c_row + j * L;
        T* const c = t.c + at;
        if (j == NV - 1 && !whole) {
          const V v = t.accumulate ? load(c, last) + acc[i][j] : acc[i][j];
          store(c, finish(v, at, last), last);
          continue;
        }
        const V v = finish(t.accumulate ? load(c) + acc[i][j] : acc[i][j], at);
        if (t.streaming) {
          stream(c, v);
        } else {
          store(c, v);
        }
      }
    }
    return;
  }
#pragma GCC unroll 4
  for (int j = 0; j < NV; ++j) {
    const bool full = j < NV - 1 || whole;
    V bias{};
    if (t.end.bias) bias = full ? load(t.end.bias + j * L) : load(t.end.bias + j * L, last);
#pragma GCC unroll 32
    for (int i = 0; i < MR; ++i) {
      T* c = t.c + i * t.c_row + j * L;
      if (full) {
        const V v = (t.accumulate ? load(c) + acc[i][j] : acc[i][j]) + bias;
        if (t.streaming) {
          stream(c, v);
        } else {
          store(c, v);
        }
      } else {
        store(c, (t.accumulate ? load(c, last) + acc[i][j] : acc[i][j]) + bias, last);
      }
    }
  }
}

// MR rows by NP panels.
template <class T, int NP, int MR>
void tile_of_panels(const TileArgs<T>& t) {
  using V = Vec<T>;
  constexpr int64_t L = lanes<T>;
  constexpr int NV = tile_vectors;
  const T* ahead = t.ahead ? t.ahead : t.a;
  V acc[MR][NP][NV];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int p = 0; p < NP; ++p) {
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) acc[i][p][j] = V{};
    }
  }
  for (const Term *term = t.terms, *end = t.terms + t.n_terms; term != end; ++term) {
    const T* a = t.a + term->a;
    const T* b[NP];
#pragma GCC unroll 4
    for (int p = 0; p < NP; ++p) b[p] = t.b + p * t.b_panel + term->b;
    for (int64_t k = term->k; k > 0; --k) {
      prefetch(ahead);
      ahead += t.ahead_step;
      V av[MR];
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) av[i] = splat(a[i * t.a_row]);
#pragma GCC unroll 4
      for (int p = 0; p < NP; ++p) {
#pragma GCC unroll 2
        for (int j = 0; j < NV; ++j) {
          const V bv = load(b[p] + j * L);
#pragma GCC unroll 8
          for (int i = 0; i < MR; ++i) acc[i][p][j] = fma(av[i], bv, acc[i][p][j]);
        }
        b[p] += t.b_row;
      }
      a += t.a_col;
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < NP; ++p) {
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) {
      const int64_t at = p * t.c_panel + j * L, valid = max_of(0, t.columns - j * L);
      const auto put = [&](auto part) FASTNN_INLINE_LAMBDA {
        const V bias = t.end.bias ? load(t.end.bias + at, part) : V{};
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) {
          T* const c = t.c + at + i * t.c_row;
          store(c, (t.accumulate ? load(c, part) + acc[i][p][j] : acc[i][p][j]) + bias, part);
        }
      };
      if (valid >= L) {  // not by lanes: the next load would wait until they are in the cache
        put(Vectors<1>{});
      } else {
        put(FirstLanes{valid});
      }
    }
  }
}

template <class T, int NP, int MR>
void run_panels(int64_t rows, const TileArgs<T>& t) {
  if constexpr (MR > 1) {
    if (rows < MR) return run_panels<T, NP, MR - 1>(rows, t);
  }
  tile_of_panels<T, NP, MR>(t);
}

template <class T, TileForm form, int NV, int MR = tile_rows>
void run_rows(int64_t rows, const TileArgs<T>& t) {
  if constexpr (MR > 1) {
    if (rows < MR) return run_rows<T, form, NV, MR - 1>(rows, t);
  }
  tile<T, form, NV, MR>(t);
}

template <class T, TileForm form>
void run_form(int64_t rows, const TileArgs<T>& t) {
  if (t.columns > lanes<T>) {
    run_rows<T, form, 2>(rows, t);
  } else {
    run_rows<T, form, 1>(rows, t);
  }
}

}  // namespace

template <class T>
void run_tile(int64_t rows, const TileArgs<T>& t, TileForm form) {
  if (t.panels == 4) return run_panels<T, 4, panel_rows / 4>(rows, t);
  if (t.panels == 2) return run_panels<T, 2, panel_rows / 2>(rows, t);
  switch (form) {
    case TileForm::general:
      return run_form<T, TileForm::general>(rows, t);
    case TileForm::partial_b:
      return run_form<T, TileForm::partial_b>(rows, t);
    case TileForm::long_rows:
      return run_form<T, TileForm::long_rows>(rows, t);
  }
}

template void run_tile<float>(int64_t, const TileArgs<float>&, TileForm);
template void run_tile<double>(int64_t, const TileArgs<double>&, TileForm);

}  // namespace fastnn::FASTNN_ISA
