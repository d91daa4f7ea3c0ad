// maxout_forward: y[o][c][i] = max over j of x[o][c * pieces + j][i], argmax[o][c][i] = the j that
// won: the last NaN, else the first maximum. 2 compares an element of x.
// maxout_backward: dx[o][c * pieces + j][i] = j == argmax[o][c][i] ? dy[o][c][i] : 0.
// x, dx (outer, C * pieces, inner), y, dy, argmax (outer, C, inner), dense. Parallel over blocks of
// y. Reads x and writes y (and 1 byte of argmax an element) once; backward the other way round.
// Where inner is 1 the pieces of an output are neighbours in x, and are taken apart in registers.
#include "parallel.h"
#include "positions.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// The largest of pieces that come one after the other.
template <class T>
struct Best {
  Vec<T> value;
  IntVec<T> index{};
  FASTNN_INLINE void compare(Vec<T> v, int64_t j) {
    const IntVec<T> stays = v > value ? IntVec<T>{} : v == v;
    value = stays ? value : v;
    index = stays ? index : splat_index<T>(j);
  }
};

// Calls f(begin, end) on ranges of outputs.
template <class F>
void parallel_outputs(const Exec& exec, const MaxoutShape& s, const F& f) {
  constexpr int64_t block = 1024;
  const int64_t n = s.outer * s.C * s.inner, grain = ceil_div(1 << 16, block * s.pieces);
  parallel_for(exec, ceil_div(n, block), grain,
               [&](int64_t begin, int64_t end, int) { f(begin * block, min_of(end * block, n)); });
}

// Calls f(x_at, y_at, n) for the parts of rows of `inner` elements in which the outputs from begin
// to end lie.
template <class F>
void for_each_row(const MaxoutShape& s, int64_t begin, int64_t end, const F& f) {
  while (begin < end) {
    const int64_t row = begin / s.inner, i = begin % s.inner;
    const int64_t n = min_of(s.inner - i, end - begin);
    f(row * s.pieces * s.inner + i, begin, n);
    begin += n;
  }
}

// Calls f(i, part) for n elements, a vector at a time: load(p, part) and store(p, v, part) fit.
template <class T, class F>
FASTNN_INLINE void for_each_part(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) f(i, Vectors<1>{});
  if (i < n) f(i, FirstLanes{n - i});
}

// ---- pieces that are rows -----------------------------------------------------------------------

template <class T, class Position>
void rows_forward(const MaxoutShape& s, int64_t begin, int64_t end, const T* x, T* y,
                  Position* argmax) {
  for_each_row(s, begin, end, [=](int64_t x_at, int64_t y_at, int64_t n) {
    for_each_part<T>(n, [=](int64_t i, auto part) FASTNN_INLINE_LAMBDA {
      const T* piece = x + x_at + i;
      Best<T> best{load(piece, part)};
      for (int64_t j = 1; j < s.pieces; ++j) best.compare(load(piece += s.inner, part), j);
      store(y + y_at + i, best.value, part);
      if (argmax) store_positions(argmax + y_at + i, best.index, part);
    });
  });
}

template <class T, class Position>
void rows_backward(const MaxoutShape& s, int64_t begin, int64_t end, const T* dy,
                   const Position* argmax, T* dx) {
  for_each_row(s, begin, end, [=](int64_t x_at, int64_t y_at, int64_t n) {
    for (int64_t j = 0; j < s.pieces; ++j) {
      T* const piece = dx + x_at + j * s.inner;
      for_each_part<T>(n, [=](int64_t i, auto part) FASTNN_INLINE_LAMBDA {
        const IntVec<T> won = load_positions<T>(argmax + y_at + i, part);
        store(piece + i, won == splat_index<T>(j) ? load(dy + y_at + i, part) : Vec<T>{}, part);
      });
    }
  });
}

// ---- pieces that are neighbours -----------------------------------------------------------------

// Piece j of the outputs whose pieces fill these vectors.
template <int pieces, class T>
FASTNN_INLINE Vec<T> piece_of(const Vec<T>* all, int j) {
  using Lane = typename VecTypes<T>::IntLane;
  IntVec<T> from, which;
  for (int i = 0; i < lanes<T>; ++i) {
    from[i] = static_cast<Lane>((i * pieces + j) % lanes<T>);
    which[i] = static_cast<Lane>((i * pieces + j) / lanes<T>);
  }
  Vec<T> piece = permute(all[0], from);
#pragma GCC unroll 4
  for (int k = 1; k < pieces; ++k) piece = which == k ? permute(all[k], from) : piece;
  return piece;
}

constexpr bool is_whole(Vectors<1>) { return true; }
constexpr bool is_whole(FirstLanes) { return false; }

// `fixed` pieces; 0 for any number.
template <int fixed, class T, class Position>
void neighbours_forward(int64_t pieces, int64_t begin, int64_t end, const T* x, T* y,
                        Position* argmax) {
  for_each_part<T>(end - begin, [=](int64_t i, auto part) FASTNN_INLINE_LAMBDA {
    const int64_t at = begin + i;
    const T* const first = x + at * pieces;
    Best<T> best;
    if constexpr (fixed > 0 && is_whole(decltype(part){})) {
      Vec<T> all[fixed];
#pragma GCC unroll 4
      for (int k = 0; k < fixed; ++k) all[k] = load(first + k * lanes<T>);
      best.value = piece_of<fixed, T>(all, 0);
#pragma GCC unroll 4
      for (int j = 1; j < fixed; ++j) best.compare(piece_of<fixed, T>(all, j), j);
    } else {
      const auto piece = [&](int64_t j) FASTNN_INLINE_LAMBDA {
        T lane[lanes<T>] = {};
        for (int64_t l = 0; l < lanes_of<T>(part); ++l) lane[l] = first[l * pieces + j];
        return load(lane);
      };
      best.value = piece(0);
      for (int64_t j = 1; j < pieces; ++j) best.compare(piece(j), j);
    }
    store(y + at, best.value, part);
    if (argmax) store_positions(argmax + at, best.index, part);
  });
}

// A vector of outputs at a time, whose gradient is spread over as many vectors as there are pieces.
template <class T, class Position>
void neighbours_backward(int64_t pieces, int64_t begin, int64_t end, const T* dy,
                         const Position* argmax, T* dx) {
  using Int = IntVec<T>;
  // Element k of dx belongs to output k / pieces and is its piece k % pieces.
  const Int number = lane_numbers<T>(), count = splat_index<T>(pieces);
  const Int outputs = splat_index<T>(lanes<T> / pieces), rest = splat_index<T>(lanes<T> % pieces);
  const Int first_output = number / count, first_piece = number % count;
  for_each_part<T>(end - begin, [=](int64_t i, auto part) FASTNN_INLINE_LAMBDA {
    const int64_t at = begin + i, size = lanes_of<T>(part) * pieces;
    const Vec<T> g = load(dy + at, part);
    const Int won = load_positions<T>(argmax + at, part);
    T* const to = dx + at * pieces;
    Int output = first_output, piece = first_piece;
    for (int64_t k = 0; k < size; k += lanes<T>) {
      const Vec<T> v = permute(won, output) == piece ? permute(g, output) : Vec<T>{};
      if (k + lanes<T> <= size) {
        store(to + k, v);
      } else {
        store(to + k, v, size - k);
      }
      piece += rest;
      const Int beyond = piece >= count;  // -1 where it is
      piece -= beyond & count;
      output += outputs - beyond;
    }
  });
}

// ---- entries ------------------------------------------------------------------------------------

template <class T, class Position>
void forward(const Exec& exec, const MaxoutShape& s, const T* x, T* y, Position* argmax) {
  const auto neighbours = s.pieces == 2   ? neighbours_forward<2, T, Position>
                          : s.pieces == 3 ? neighbours_forward<3, T, Position>
                          : s.pieces == 4 ? neighbours_forward<4, T, Position>
                                          : neighbours_forward<0, T, Position>;
  parallel_outputs(exec, s, [&](int64_t begin, int64_t end) {
    if (s.inner == 1) {
      neighbours(s.pieces, begin, end, x, y, argmax);
    } else {
      rows_forward(s, begin, end, x, y, argmax);
    }
  });
}

template <class T, class Position>
void backward(const Exec& exec, const MaxoutShape& s, const T* dy, const Position* argmax, T* dx) {
  parallel_outputs(exec, s, [&](int64_t begin, int64_t end) {
    if (s.inner == 1) {
      neighbours_backward(s.pieces, begin, end, dy, argmax, dx);
    } else {
      rows_backward(s, begin, end, dy, argmax, dx);
    }
  });
}

template <class T>
void maxout_forward(const Exec& exec, const MaxoutShape& s, const T* x, T* y, void* argmax) {
  if (argmax_bytes(s) == 4) {
    forward(exec, s, x, y, static_cast<int32_t*>(argmax));
  } else {
    forward(exec, s, x, y, static_cast<uint8_t*>(argmax));
  }
}

template <class T>
void maxout_backward(const Exec& exec, const MaxoutShape& s, const T* dy, const void* argmax,
                     T* dx) {
  if (argmax_bytes(s) == 4) {
    backward(exec, s, dy, static_cast<const int32_t*>(argmax), dx);
  } else {
    backward(exec, s, dy, static_cast<const uint8_t*>(argmax), dx);
  }
}

template <class T>
void fill(Ops<T>& t) {
  t.maxout_forward = maxout_forward<T>;
  t.maxout_backward = maxout_backward<T>;
}

}  // namespace

void fill_maxout(Ops<float>& t) { fill(t); }
void fill_maxout(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
