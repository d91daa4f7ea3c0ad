// What the recurrent layers share: the walk over the time steps, and the two loops around a cell.
//
// Forward: a team of threads walks the steps. Each thread holds the weights of its hidden units,
// packed into panels once. It makes the input's share of its units' sums, bias included, for as
// many steps as its L2 cache has room for; then, step by step, for a tile of rows by a block of
// units, it adds the product with the state and applies the cell while the sums are in L1. One
// barrier a step (two where outputs are projected).
// Backward: the cell turns the gradient of a step's outputs into that of its gates, which are
// multiplied back to the step before: one barrier a step again. The gradients of the weights and of
// x are single products over all rows behind the loop.
// 2 G H (I + R) operations a row forward, twice as many backward.
//
// A cell states, as constants, how many products a step has (`products`, G above) and how many sums
// they make a unit (`sums`); and backward how many vectors of gradients it makes (`gradients`), the
// first of those that the recurrent weights meet in their own order (`turned`: they are rotated by
// so many gates), and whether the gradient of the state before is added to what the cell itself
// wrote there (`adds`).
#pragma once

#include "pack.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Elements from row to row of a buffer with rows of n: whole vectors, and never so many that the
// rows of a tile compete for the same cache sets.
template <class T>
constexpr int64_t padded_row(int64_t n) {
  const int64_t row = round_up(n, lanes<T>);
  return row * static_cast<int64_t>(sizeof(T)) % 512 == 0 ? row + lanes<T> : row;
}

// A time step: its rows start at row `first` of all; the first `kept` of them continue the rows
// from `previous` on, and the others start from the initial state.
struct Step {
  int64_t first, rows, previous, kept;
};

// Calls body(step) for each time step, from the last one on if `descending`.
template <class Body>
FASTNN_INLINE void for_each_step(const RecurrentShape& s, bool descending, const Body& body) {
  const auto size = [&](int64_t t) {
    return t < 0 || t == s.T ? 0 : s.batch_sizes ? s.batch_sizes[t] : s.N;
  };
  int64_t first = descending ? s.rows : 0;
  for (int64_t i = 0; i < s.T; ++i) {
    const int64_t t = descending ? s.T - 1 - i : i, rows = size(t);
    if (descending) first -= rows;
    const int64_t before = size(s.reverse ? t + 1 : t - 1);
    body(Step{first, rows, s.reverse ? first + rows : first - before, min_of(rows, before)});
    if (!descending) first += rows;
  }
}

// The weights that a step multiplies with, K x columns in `parts`: for each block of panel_width
// columns the panels of all parts.
template <class T>
struct Panels {
  static constexpr int64_t W = panel_width<T>;
  int64_t parts, K, columns;
  T* data = nullptr;

  int64_t blocks() const { return ceil_div(columns, W); }
  int64_t width(int64_t block) const { return min_of(W, columns - block * W); }
  int64_t size() const { return blocks() * parts * K * W; }
  T* panel(int64_t block, int64_t part) const { return data + (block * parts + part) * K * W; }

  // Part `part` is the matrix at w.
  void pack(int64_t block, int64_t part, const T* w, int64_t w_row, int64_t w_col) const {
    pack_panel(w + block * W * w_col, w_row, w_col, K, width(block), panel(block, part));
  }

  // c (+)= a times a panel (+ bias), for up to tile_rows rows; of few rows, those of `count` parts,
  // W apart in c. This does `count` of `calls` parts, from `call` on, of fetching the `next_size`
  // elements at `next`.
  void multiply(int64_t block, int64_t part, int64_t rows, const T* a, int64_t a_row, T* c,
                int64_t c_row, bool accumulate, const T* bias, const T* next, int64_t next_size,
                int64_t call, int64_t calls, int64_t count = 1) const {
    const Term all{0, 0, K};
    const int64_t share = next_size / calls;
    run_tile<T>(rows, {.a = a,
                       .a_row = a_row,
                       .a_col = 1,
                       .b = panel(block, part),
                       .b_row = W,
                       .terms = &all,
                       .n_terms = 1,
                       .c = c,
                       .c_row = c_row,
                       .columns = width(block),
                       .accumulate = accumulate,
                       .end = {.bias = bias},
                       .ahead = next + call * share,
                       .ahead_step = ceil_div(count * share, K),
                       .panels = count,
                       .b_panel = K * W,
                       .c_panel = W});
  }

  // The blocks begin to end of c (+)= a times the sum of the parts, whose K columns of a follow
  // each other.
  void multiply_all(int64_t begin, int64_t end, int64_t rows, const T* a, int64_t a_row, T* c,
                    int64_t c_row, bool accumulate) const {
    const int64_t tiles = ceil_div(rows, tile_rows);
    for (int64_t part = 0; part < parts; ++part) {
      for (int64_t block = begin; block < end; ++block) {
        const T* const next = block + 1 < end ? panel(block + 1, part)
                                              : panel(begin, part + 1 < parts ? part + 1 : 0);
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const int64_t n = tile_begin(rows, tiles, tile);
          multiply(block, part, tile_begin(rows, tiles, tile + 1) - n, a + n * a_row + part * K,
                   a_row, c + n * c_row + block * W, c_row, accumulate || part > 0, nullptr, next,
                   K * W, tile, tiles);
        }
      }
    }
  }
};

// Calls f(i, u, part) for the vectors of units begin to end of each of the rows 0 to rows; `part`
// tells load and store how many lanes there are.
template <class T, class F>
FASTNN_INLINE void for_each_vector(int64_t rows, int64_t begin, int64_t end, const F& f) {
  for (int64_t i = 0; i < rows; ++i) {
    int64_t u = begin;
    for (; u + lanes<T> <= end; u += lanes<T>) f(i, u, Vectors<1>{});
    if (u < end) f(i, u, FirstLanes{end - u});
  }
}

// A thread more for so many operations of a step, which is longer than the threads take to meet
// (LSTM, one row, I = H = 64, 50 steps: 59 microseconds on one thread, 38 on two), and for so many
// of all steps, which is longer than they take to start.
constexpr int64_t operations_a_step = 12000, operations_a_thread = 300000;

inline int team_size(int most, const RecurrentShape& s, int64_t products, int64_t blocks) {
  const int64_t operations = 2 * products * s.N * s.H * s.R;
  const int64_t wanted =
      min_of(operations / operations_a_step, operations * s.T / operations_a_thread);
  return static_cast<int>(max_of(1, min_of(min_of(most, blocks), wanted)));
}

// A tile of a step: `rows` rows, the first of them `row` of all and `n` of its step, by `units`
// units from u on; and their sums, those of a unit `pitch` apart.
template <class T>
struct SumsTile {
  int64_t row, n, rows, u, units;
  const T* sums;
  int64_t sums_row, pitch;

  // Sum q of the units from j on of row k.
  template <class Part>
  FASTNN_INLINE Vec<T> at(int64_t q, int64_t k, int64_t j, Part part) const {
    return load(sums + k * sums_row + q * pitch + j, part);
  }
};

// Where a cell puts the state of a tile's rows: h, and y where that is not null.
template <class T>
struct NewState {
  T* h;
  int64_t h_row;
  T* y;
  int64_t y_row;

  template <class Part>
  FASTNN_INLINE void put(int64_t k, int64_t j, Vec<T> v, Part part) const {
    store(h + k * h_row + j, v, part);
    if (y) store(y + k * y_row + j, v, part);
  }
};

// The elements begin to end of the bias: the first `both` of all are b_ih + b_hh, the others b_ih.
template <class T>
void add_biases(const RecurrentWeights<T>& w, int64_t both, int64_t begin, int64_t end, T* bias) {
  if (!w.bias_ih) return;
  for (int64_t i = begin; i < end; ++i) bias[i] = w.bias_ih[i] + (i < both ? w.bias_hh[i] : 0);
}

// Whether the weights are packed, or multiplied with where they lie: a single step of few rows, as
// cells have it, would not make up for packing (LSTM, one row, I = H = 512: 281 and 101
// microseconds; 32 rows, I = H = 256: 247 and 390).
inline bool packs(const RecurrentShape& s) { return s.T > 1 || s.N > 8; }

// ---- forward ------------------------------------------------------------------------------------

// How many products of a step continue the input's share. The last one may make sums of its own.
template <class Cell>
constexpr int64_t continued_products =
    Cell::sum(Cell::products - 1) == Cell::products - 1 ? Cell::products : Cell::products - 1;

template <class T, class Cell>
struct Forward {
  static constexpr int64_t G = Cell::products, W = Panels<T>::W;
  const RecurrentShape& s;
  int threads;
  int64_t state_row, hidden_row;
  int64_t sums_row, sums_rows;  // of a thread; a unit's sums lie W apart
  Panels<T> input, recurrent, projection;
  T* state[2];  // h, of the step before and of this one
  T* hidden;    // what is projected
  T* sums;
  T* bias;  // b_ih + b_hh, or what the cell makes of them
  size_t bytes;

  Forward(const RecurrentShape& shape, int most_threads, void* scratch)
      : s(shape),
        threads(team_size(most_threads, s, G, ceil_div(s.H, W))),
        state_row(padded_row<T>(s.R)),
        hidden_row(padded_row<T>(s.H)),
        sums_row(padded_row<T>(ceil_div(ceil_div(s.H, W), threads) * Cell::sums * W)),
        sums_rows(rows_in_cache()),
        input{G, s.I, s.H},
        recurrent{G, s.R, s.H},
        projection{1, s.H, s.R} {
    Pieces pieces(scratch);
    const bool projects = s.R < s.H;
    for (T*& h : state) h = pieces.take<T>(s.N * state_row);
    hidden = pieces.take<T>(projects ? s.N * hidden_row : 0);
    sums = pieces.take<T>(threads * sums_rows * sums_row);
    bias = pieces.take<T>(G * s.H);
    input.data = pieces.take<T>(input.size());
    recurrent.data = pieces.take<T>(recurrent.size());
    projection.data = pieces.take<T>(projects ? projection.size() : 0);
    bytes = pieces.bytes();
  }

  void run(const RecurrentWeights<T>& w, int64_t both, const Cell& cell, const T* x, const T* h0,
           T* y, T* h_n) const {
    parallel_team(threads, [&](Team team) {
      const int64_t begin = team.begin(recurrent.blocks()), end = team.end(recurrent.blocks());
      for (int64_t b = team.begin(projection.blocks()); w.hr && b < team.end(projection.blocks());
           ++b)
        projection.pack(b, 0, w.hr, 1, s.H);
      add_biases(w, both, team.begin(G * s.H), team.end(G * s.H), bias);
      const int64_t n0 = team.begin(s.N), n1 = team.end(s.N);
      for (T* h : state)
        copy_block(h0 + n0 * s.R, s.R, n1 - n0, s.R, h + n0 * state_row, state_row);
      team.wait();

      const T *w_ih = w.ih, *w_hh = w.hh;  // null once they are packed
      T *h = state[0], *next = state[1];
      T* const mine = sums + team.thread * sums_rows * sums_row;
      int64_t from = 0, to = 0;  // the rows whose inputs are in `mine`
      for_each_step(s, s.reverse, [&](const Step& step) {
        if (step.first < from || step.first + step.rows > to) {
          from = s.reverse ? max_of(0, step.first + step.rows - sums_rows) : step.first;
          to = min_of(s.rows, from + sums_rows);
          multiply_input(begin, end, w_ih, to - from, x + from * s.I, w.bias_ih ? bias : nullptr,
                         mine);
          w_ih = nullptr;
        }
        T* const y_step = y + step.first * s.y_row;
        advance(cell, step, begin, end, w_hh, mine + (step.first - from) * sums_row, h,
                w.hr ? hidden : next, w.hr ? hidden_row : state_row, w.hr ? nullptr : y_step);
        w_hh = nullptr;
        team.wait();
        if (w.hr) {
          project(step, team, next, y_step);
          team.wait();
        }
        T* const old = h;
        h = next;
        next = old;
      });
    });
    int64_t seen = 0;  // the last output of each row, from the last step on
    for_each_step(s, !s.reverse, [&](const Step& step) {
      copy_block(y + (step.first + seen) * s.y_row, s.y_row, step.rows - seen, s.R,
                 h_n + seen * s.R, s.R);
      seen = max_of(seen, step.rows);
    });
  }

 private:
  // As many rows of sums as a quarter of a megabyte holds, in whole steps, and one step at least.
  int64_t rows_in_cache() const {
    const int64_t bytes_a_step = s.N * sums_row * static_cast<int64_t>(sizeof(T));
    return min_of(s.rows, max_of(1, (int64_t{1} << 18) / max_of(1, bytes_a_step)) * s.N);
  }

  // The input's share of the sums of the blocks begin to end. A panel is packed just before it is
  // used for the first time, where w is not null.
  void multiply_input(int64_t begin, int64_t end, const T* w, int64_t rows, const T* x,
                      const T* first_bias, T* to) const {
    const int64_t tiles = ceil_div(rows, tile_rows), size = G * s.I * W;
    for (int64_t block = begin; block < end; ++block) {
      const T* const ahead =
          block + 1 < end ? input.panel(block + 1, 0) : recurrent.panel(begin, 0);
      for (int64_t q = 0; q < G; ++q) {
        if (w) input.pack(block, q, w + q * s.H * s.I, 1, s.I);
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const int64_t n = tile_begin(rows, tiles, tile);
          input.multiply(block, q, tile_begin(rows, tiles, tile + 1) - n, x + n * s.I, s.I,
                         to + n * sums_row + ((block - begin) * Cell::sums + q) * W, sums_row,
                         false, first_bias ? first_bias + q * s.H + block * W : nullptr, ahead,
                         size, q * tiles + tile, tiles * G);
        }
      }
    }
  }

  // The blocks of hidden units begin to end of a step: from h and the sums at `at` to `out`, and to
  // y where that is not null. Panels are packed from w as in multiply_input().
  void advance(const Cell& cell, const Step& step, int64_t begin, int64_t end, const T* w, T* at,
               const T* h, T* out, int64_t out_row, T* y) const {
    const int64_t tiles = ceil_div(step.rows, tile_rows), size = G * s.R * W;
    for (int64_t block = begin; block < end; ++block) {
      const int64_t u = block * W, units = recurrent.width(block);
      const T* const ahead = recurrent.panel(block + 1 < end ? block + 1 : begin, 0);
      for (int64_t q = 0; w && q < G; ++q) recurrent.pack(block, q, w + q * s.H * s.R, 1, s.R);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t n = tile_begin(step.rows, tiles, tile),
                      rows = tile_begin(step.rows, tiles, tile + 1) - n;
        T* const to = at + n * sums_row + (block - begin) * Cell::sums * W;
        static_assert(continued_products<Cell> != 3);  // as a number of panels at once
        int64_t count = 1;
        for (int64_t q = 0; q < G; q += count) {
          const int64_t sum = Cell::sum(q);  // one of its own starts with its bias
          count = sum == q ? min_of(panels_at_once(rows), continued_products<Cell> - q) : 1;
          recurrent.multiply(block, q, rows, h + n * state_row, state_row, to + sum * W, sums_row,
                             sum == q, sum == q ? nullptr : cell.bias(u), ahead, size, tile * G + q,
                             tiles * G, count);
        }
        cell.activate({step.first + n, n, rows, u, units, to, sums_row, W}, h + n * state_row + u,
                      state_row,
                      {out + n * out_row + u, out_row, y ? y + n * s.y_row + u : nullptr, s.y_row});
      }
    }
  }

  void project(const Step& step, Team team, T* next, T* y) const {
    const int64_t begin = team.begin(projection.blocks()), end = team.end(projection.blocks());
    const int64_t u = begin * W, units = min_of(end * W, s.R) - u;
    projection.multiply_all(begin, end, step.rows, hidden, hidden_row, next, state_row, false);
    copy_block(next + u, state_row, step.rows, units, y + u, s.y_row);
  }
};

// The same for a single step of few rows.
template <class T, class Cell>
struct SingleStep {
  static constexpr int64_t G = Cell::products;
  const RecurrentShape& s;
  int64_t sums_row;
  T *sums, *hidden, *bias;
  void* rest;
  size_t bytes;

  SingleStep(const RecurrentShape& shape, int threads, void* scratch)
      : s(shape), sums_row(padded_row<T>(Cell::sums * s.H)) {
    Pieces pieces(scratch);
    sums = pieces.take<T>(s.N * sums_row);
    hidden = pieces.take<T>(s.R < s.H ? s.N * s.H : 0);
    bias = pieces.take<T>(G * s.H);
    size_t most = 0;
    for (const GemmShape& g : {product(G, s.I), product(continued_products<Cell>, s.R),
                               product(1, s.R), product_of(s.R, s.H, s.y_row)}) {
      const size_t needed = gemm_scratch_bytes(g, threads, sizeof(T));
      if (needed > most) most = needed;
    }
    bytes = pieces.bytes() + most;
    rest = scratch ? pieces.rest() : nullptr;
  }

  void run(const Exec& exec, const RecurrentWeights<T>& w, int64_t both, const Cell& cell,
           const T* x, const T* h0, T* y, T* h_n) const {
    const Exec inner{exec.threads, rest};
    add_biases(w, both, 0, G * s.H, bias);
    gemm(inner, product(G, s.I), x, w.ih, Epilogue<T>{.bias = w.bias_ih ? bias : nullptr}, sums,
         false);
    gemm(inner, product(continued_products<Cell>, s.R), h0, w.hh, Epilogue<T>{}, sums, true);
    for (int64_t q = continued_products<Cell>; q < G; ++q)
      gemm(inner, product(1, s.R), h0, w.hh + q * s.H * s.R, Epilogue<T>{.bias = cell.bias(0)},
           sums + Cell::sum(q) * s.H, false);
    const int64_t blocks = ceil_div(s.H, Panels<T>::W);
    parallel_for(exec, blocks, 16, [&](int64_t begin, int64_t end, int) {
      const int64_t u = begin * Panels<T>::W, units = min_of(end * Panels<T>::W, s.H) - u;
      T* const h = w.hr ? hidden : y;
      cell.activate({0, 0, s.N, u, units, sums + u, sums_row, s.H}, h0 + u, s.R,
                    {h + u, w.hr ? s.H : s.y_row, nullptr, 0});
    });
    if (w.hr) gemm(inner, product_of(s.R, s.H, s.y_row), hidden, w.hr, Epilogue<T>{}, y, false);
    copy_block(y, s.y_row, s.N, s.R, h_n, s.R);
  }

 private:
  GemmShape product(int64_t gates, int64_t K) const { return product_of(gates * s.H, K, sums_row); }
  // Rows of K by a matrix (columns, K).
  GemmShape product_of(int64_t columns, int64_t K, int64_t c_row) const {
    return {.M = s.N,
            .N = columns,
            .K = K,
            .a_row = K,
            .a_col = 1,
            .b_row = 1,
            .b_col = K,
            .c_row = c_row};
  }
};

template <class T, class Cell>
size_t recurrent_forward_scratch_bytes(const RecurrentShape& s, int threads) {
  return packs(s) ? Forward<T, Cell>(s, threads, nullptr).bytes
                  : SingleStep<T, Cell>(s, threads, nullptr).bytes;
}

// In the first `both` elements both biases are added, in the others there is bias_ih alone.
template <class T, class Cell>
void recurrent_forward(const Exec& exec, const RecurrentShape& s, const RecurrentWeights<T>& w,
                       int64_t both, const Cell& cell, const T* x, const T* h0, T* y, T* h_n) {
  if (packs(s)) {
    Forward<T, Cell>(s, exec.threads, exec.scratch).run(w, both, cell, x, h0, y, h_n);
  } else {
    SingleStep<T, Cell>(s, exec.threads, exec.scratch).run(exec, w, both, cell, x, h0, y, h_n);
  }
}

// ---- backward -----------------------------------------------------------------------------------

// The gradient of the outputs of a step's rows: dh + dy.
template <class T>
struct OutputGradient {
  const T* dh;
  int64_t dh_row;
  const T* dy;  // null: zeros
  int64_t dy_row;

  template <class Part>
  FASTNN_INLINE Vec<T> at(int64_t i, int64_t u, Part part) const {
    const Vec<T> v = load(dh + i * dh_row + u, part);
    return dy ? v + load(dy + i * dy_row + u, part) : v;
  }
};

template <class T, class Cell>
struct Backward {
  static constexpr int64_t G = Cell::products;
  const RecurrentShape& s;
  int64_t gates_row, hidden_row;
  Panels<T> recurrent, projection;
  T *dgates, *h_before, *bias_sums;
  T *dprojected, *hidden, *dhidden;  // of all rows; of all rows; of a step's rows
  void* rest;
  size_t bytes;

  Backward(const RecurrentShape& shape, int threads, void* scratch)
      : s(shape),
        gates_row(padded_row<T>(Cell::gradients * s.H)),
        hidden_row(padded_row<T>(s.H)),
        recurrent{G, s.H, s.R},
        projection{1, s.R, s.H} {
    Pieces pieces(scratch);
    const bool projects = s.R < s.H;
    dgates = pieces.take<T>(s.rows * gates_row);
    h_before = pieces.take<T>(s.rows * s.R);
    bias_sums = pieces.take<T>(Cell::gradients * s.H);
    recurrent.data = pieces.take<T>(packs(s) ? recurrent.size() : 0);
    projection.data = pieces.take<T>(projects ? projection.size() : 0);
    dprojected = pieces.take<T>(projects ? s.rows * s.R : 0);
    hidden = pieces.take<T>(projects ? s.rows * s.H : 0);
    dhidden = pieces.take<T>(projects ? s.N * hidden_row : 0);
    size_t most = 0;
    for (const GemmShape& g :
         {input_gemm(), weight_gemm(G * s.H, s.I), weight_gemm((G - Cell::turned) * s.H, s.R),
          weight_gemm(Cell::turned * s.H, s.R), projection_gemm(), state_gemm(G - Cell::turned),
          state_gemm(Cell::turned)}) {
      const size_t needed = gemm_scratch_bytes(g, threads, sizeof(T));
      if (needed > most) most = needed;
    }
    bytes = pieces.bytes() + most;
    rest = scratch ? pieces.rest() : nullptr;
  }

  // The gates' gradients that the input's share has: all but the first `gradients - products`.
  const T* input_gates() const { return dgates + (Cell::gradients - G) * s.H; }
  GemmShape input_gemm() const {
    return {.M = s.rows,
            .N = s.I,
            .K = G * s.H,
            .a_row = gates_row,
            .a_col = 1,
            .b_row = s.I,
            .b_col = 1,
            .c_row = s.I};
  }
  GemmShape weight_gemm(int64_t rows, int64_t columns) const {
    return {.M = rows,
            .N = columns,
            .K = s.rows,
            .a_row = 1,
            .a_col = gates_row,
            .b_row = columns,
            .b_col = 1,
            .c_row = columns};
  }
  // The gradient of h0 from so many gates, where nothing is packed.
  GemmShape state_gemm(int64_t gates) const {
    return {.M = s.N,
            .N = s.R,
            .K = gates * s.H,
            .a_row = gates_row,
            .a_col = 1,
            .b_row = s.R,
            .b_col = 1,
            .c_row = s.R};
  }
  GemmShape projection_gemm() const {
    return {.M = s.R,
            .N = s.H,
            .K = s.rows,
            .a_row = 1,
            .a_col = s.R,
            .b_row = s.H,
            .b_col = 1,
            .c_row = s.H};
  }

  void run(const Exec& exec, const RecurrentWeights<T>& w, const Cell& cell, const T* dy,
           const T* dh_n, const T* x, const T* h0, const T* y,
           const RecurrentGradients<T>& to) const {
    walk(exec, w, cell, dy, dh_n, h0, y, to.dh0);
    const Exec inner{exec.threads, rest};
    const int64_t turned = Cell::turned * s.H, straight = (G - Cell::turned) * s.H;
    if (!packs(s)) {
      gemm(inner, state_gemm(G - Cell::turned), dgates + turned, w.hh, Epilogue<T>{}, to.dh0,
           Cell::adds);
      gemm(inner, state_gemm(Cell::turned), dgates, w.hh + straight * s.R, Epilogue<T>{}, to.dh0,
           true);
    }
    gemm(inner, weight_gemm(G * s.H, s.I), input_gates(), x, Epilogue<T>{}, to.dw_ih, false);
    gemm(inner, weight_gemm(straight, s.R), dgates + turned, h_before, Epilogue<T>{}, to.dw_hh,
         false);
    gemm(inner, weight_gemm(turned, s.R), dgates, h_before, Epilogue<T>{},
         to.dw_hh + straight * s.R, false);
    if (to.dw_hr)
      gemm(inner, projection_gemm(), dprojected, hidden, Epilogue<T>{}, to.dw_hr, false);
    if (to.dx) gemm(inner, input_gemm(), input_gates(), w.ih, Epilogue<T>{}, to.dx, to.add_dx);
    if (to.db_ih) {
      copy_block(bias_sums + (Cell::gradients - G) * s.H, 0, 1, G * s.H, to.db_ih, 0);
      copy_block(bias_sums + turned, 0, 1, straight, to.db_hh, 0);
      copy_block(bias_sums, 0, 1, turned, to.db_hh + straight, 0);
    }
  }

 private:
  // The steps backward: dgates, h_before, bias_sums. dh is in place the gradient of each row's
  // state, from that of its last one to that of its first one.
  void walk(const Exec& exec, const RecurrentWeights<T>& w, const Cell& cell, const T* dy,
            const T* dh_n, const T* h0, const T* y, T* dh) const {
    const int64_t hidden_blocks = ceil_div(s.H, Panels<T>::W);
    const int threads = team_size(exec.threads, s, G, recurrent.blocks());
    parallel_team(threads, [&](Team team) {
      // This thread's blocks and units of the outputs and of the hidden units.
      const int64_t begin = team.begin(recurrent.blocks()), end = team.end(recurrent.blocks()),
                    r = begin * Panels<T>::W, outputs = min_of(end * Panels<T>::W, s.R) - r;
      const int64_t hidden_begin = team.begin(hidden_blocks), hidden_end = team.end(hidden_blocks),
                    u = hidden_begin * Panels<T>::W, u_end = min_of(hidden_end * Panels<T>::W, s.H);
      for (int64_t block = begin; packs(s) && block < end; ++block) {
        for (int64_t q = 0; q < G; ++q) {
          const int64_t gate = (q + G - Cell::turned) % G;
          recurrent.pack(block, q, w.hh + gate * s.H * s.R, s.R, 1);
        }
      }
      for (int64_t b = hidden_begin; w.hr && b < hidden_end; ++b)
        projection.pack(b, 0, w.hr, s.H, 1);
      for_each_vector<T>(
          s.N, r, r + outputs, [&](int64_t i, int64_t j, auto part) FASTNN_INLINE_LAMBDA {
            store(dh + i * s.R + j, dh_n ? load(dh_n + i * s.R + j, part) : Vec<T>{}, part);
          });
      for_each_vector<T>(Cell::gradients, u, u_end,
                         [&](int64_t i, int64_t j, auto part) FASTNN_INLINE_LAMBDA {
                           store(bias_sums + i * s.H + j, Vec<T>{}, part);
                         });
      cell.start(u, u_end);

      for_each_step(s, !s.reverse, [&](const Step& step) {
        T* const before = h_before + step.first * s.R;
        copy_block(y + step.previous * s.y_row + r, s.y_row, step.kept, outputs, before + r, s.R);
        copy_block(h0 + step.kept * s.R + r, s.R, step.rows - step.kept, outputs,
                   before + step.kept * s.R + r, s.R);
        OutputGradient<T> gradient{dh, s.R, dy ? dy + step.first * s.dy_row : nullptr, s.dy_row};
        if (w.hr) {
          T* const projected = dprojected + step.first * s.R;
          for_each_vector<T>(step.rows, r, r + outputs,
                             [&](int64_t i, int64_t j, auto part) FASTNN_INLINE_LAMBDA {
                               store(projected + i * s.R + j, gradient.at(i, j, part), part);
                             });
          team.wait();
          projection.multiply_all(hidden_begin, hidden_end, step.rows, projected, s.R, dhidden,
                                  hidden_row, false);
          gradient = {dhidden, hidden_row, nullptr, 0};
        }
        cell.activate(step, u, u_end, gradient, before, dh, dgates + step.first * gates_row,
                      gates_row, bias_sums, w.hr ? hidden + step.first * s.H : nullptr);
        if (!packs(s)) return;
        team.wait();
        recurrent.multiply_all(begin, end, step.rows, dgates + step.first * gates_row, gates_row,
                               dh, s.R, Cell::adds);
      });
    });
  }
};

}  // namespace
}  // namespace fastnn::FASTNN_ISA
