// LayerNorm of N rows of D elements: with the mean of a row and inv_std = 1 / sqrt(variance + eps)
//   y = z w + b,  z = (x - mean) inv_std;
// not centered, mean is 0 and the mean of x^2 stands for the variance. With g = dy w, and means
// over the row:  dx = inv_std (g - mean(g) - z mean(g z)),  dw = sum of dy z,  db = sum of dy over
// rows. Rows that fit into the cache are read from memory once by each pass and are parallel by
// blocks of rows; longer ones are cut into pieces, which are parallel, too, and are read twice.
// Sums over a piece and over a block are of T, those over pieces and blocks of double and in their
// order. Forward reads x and writes y, backward reads dy and x and writes dx; some 10 and 15
// operations an element.
#include "elementwise.h"
#include "parallel.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Pieces of a row, and blocks of rows: for the sums over rows at least 8, so that a block's sums
// are few beside its elements, and no more than keep the digits of sums of T.
struct Layout {
  int64_t N, D, piece, pieces, block, blocks;
  static Layout of(const LayerNormShape& s) {
    Layout l{};
    l.N = s.N;
    l.D = s.D;
    l.piece = s.D <= 8192 ? max_of(1, s.D) : 4096;
    l.pieces = ceil_div(s.D, l.piece);
    l.block = min_of(1024, l.pieces > 1 ? max_of(1, s.N) : max_of(8, ceil_div(s.N, 32)));
    l.blocks = ceil_div(s.N, l.block);
    return l;
  }
  int64_t size_of(int64_t p) const { return min_of(piece, D - p * piece); }
};

// Calls f(row, piece) for all of them.
template <class F>
void for_each_piece(const Exec& exec, const Layout& l, const F& f) {
  parallel_for(exec, l.N * l.pieces, ceil_div(1 << 14, l.piece),
               [&](int64_t begin, int64_t end, int) {
                 for (int64_t i = begin; i < end; ++i) f(i / l.pieces, i % l.pieces);
               });
}

template <class T>
constexpr auto plus = [](Vec<T> a, Vec<T> b) FASTNN_INLINE_LAMBDA { return a + b; };

// ---- statistics ---------------------------------------------------------------------------------

// The mean of some values and the sum of the squares of what they differ from it.
struct Moments {
  double mean, squares;
};

template <class T>
Moments moments_of(int64_t n, const T* x, bool centered) {
  using V = Vec<T>;
  const auto sum_of_squares = [=](T m) {
    const auto add = [m](V sum, V v) FASTNN_INLINE_LAMBDA { return fma(v - m, v - m, sum); };
    return static_cast<double>(reduce_add<T>(fold(n, V{}, m, add, plus<T>, x)));
  };
  if (!centered) return {0, sum_of_squares(0)};
  // Relative to one of the values, and then to the mean, so that the variance keeps its digits also
  // far from 0.
  const T near = x[0];
  const auto add = [near](V sum, V v) FASTNN_INLINE_LAMBDA { return sum + (v - near); };
  const T sum = reduce_add<T>(fold(n, V{}, near, add, plus<T>, x));
  const double count = static_cast<double>(n);
  const double mean = static_cast<double>(near) + static_cast<double>(sum) / count;
  const T m = static_cast<T>(mean);
  const double off = static_cast<double>(m) - mean;
  return {mean, sum_of_squares(m) - count * off * off};
}

// The moments of a row from those of its pieces.
Moments joined(const Layout& l, const Moments* pieces) {
  if (l.pieces == 1) return pieces[0];
  Moments all{};
  for (int64_t p = 0; p < l.pieces; ++p)
    all.mean += static_cast<double>(l.size_of(p)) * pieces[p].mean;
  all.mean /= static_cast<double>(l.D);
  for (int64_t p = 0; p < l.pieces; ++p) {
    const double off = pieces[p].mean - all.mean;
    all.squares += pieces[p].squares + static_cast<double>(l.size_of(p)) * off * off;
  }
  return all;
}

// ---- forward ------------------------------------------------------------------------------------

template <class T>
struct Row {
  T mean, inv_std;
  Row(const Layout& l, const Moments& m, double eps) : mean(static_cast<T>(m.mean)) {
    const double variance = (m.squares < 0 ? 0 : m.squares) / static_cast<double>(l.D);
    inv_std = static_cast<T>(1 / __builtin_sqrt(variance + eps));
  }
};

template <class T>
void normalize(int64_t n, Row<T> row, const T* x, const T* w, const T* b, T* y) {
  using V = Vec<T>;
  const auto z = [row](V v) FASTNN_INLINE_LAMBDA { return (v - row.mean) * row.inv_std; };
  if (w && b) {
    map(0, n, [z](V v, V wv, V bv) FASTNN_INLINE_LAMBDA { return fma(z(v), wv, bv); }, y, x, w, b);
  } else if (w) {
    map(0, n, [z](V v, V wv) FASTNN_INLINE_LAMBDA { return z(v) * wv; }, y, x, w);
  } else if (b) {
    map(0, n, [z](V v, V bv) FASTNN_INLINE_LAMBDA { return z(v) + bv; }, y, x, b);
  } else {
    map(0, n, z, y, x);
  }
}

template <class T>
void forward(const Exec& exec, const LayerNormShape& s, double eps, const T* x, const T* w,
             const T* b, T* y, T* mean, T* inv_std) {
  const Layout l = Layout::of(s);
  const auto keep = [=](int64_t n, const Row<T>& row) {
    if (mean) mean[n] = row.mean;
    if (inv_std) inv_std[n] = row.inv_std;
  };
  if (l.pieces <= 1) {
    return for_each_piece(exec, l, [=](int64_t n, int64_t) {
      const T* const xn = x + n * l.D;
      const Row<T> row(l, moments_of(l.D, xn, s.centered), eps);
      normalize(l.D, row, xn, w, b, y + n * l.D);
      keep(n, row);
    });
  }
  auto* const moments = static_cast<Moments*>(exec.scratch);
  for_each_piece(exec, l, [=](int64_t n, int64_t p) {
    moments[n * l.pieces + p] = moments_of(l.size_of(p), x + n * l.D + p * l.piece, s.centered);
  });
  for_each_piece(exec, l, [=](int64_t n, int64_t p) {
    const Row<T> row(l, joined(l, moments + n * l.pieces), eps);
    const int64_t c = p * l.piece, at = n * l.D + c;
    normalize(l.size_of(p), row, x + at, w ? w + c : w, b ? b + c : b, y + at);
    if (p == 0) keep(n, row);
  });
}

template <class T>
size_t forward_scratch_bytes(const LayerNormShape& s, int) {
  const Layout l = Layout::of(s);
  return l.pieces <= 1 ? 0 : static_cast<size_t>(l.N * l.pieces) * sizeof(Moments);
}

// ---- backward -----------------------------------------------------------------------------------

// Sums over a row, or a piece of it: of g, and of g (x - mean).
struct RowSums {
  double g, products;
};

template <class T>
RowSums row_sums(int64_t n, T mean, const T* dy, const T* x, const T* w) {
  using V = Vec<T>;
  constexpr int64_t L = lanes<T>;
  V sums[4] = {}, products[4] = {};
  const auto add = [&](int u, int64_t i, auto part) FASTNN_INLINE_LAMBDA {
    V g = load(dy + i, part);
    if (w) g *= load(w + i, part);
    sums[u] += g;
    products[u] = fma(g, load(x + i, part) - mean, products[u]);
  };
  int64_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L) {
    for (int u = 0; u < 4; ++u) add(u, i + u * L, Vectors<1>{});
  }
  for (; i + L <= n; i += L) add(0, i, Vectors<1>{});
  if (i < n) add(0, i, FirstLanes{n - i});
  const auto total = [](const V* v) {
    return static_cast<double>(reduce_add<T>((v[0] + v[1]) + (v[2] + v[3])));
  };
  return {total(sums), total(products)};
}

// What a row's gradient is made with: dx = inv_std g + by_x (x - mean) + constant.
template <class T>
struct RowGradient {
  T mean, inv_std, by_x, constant;
  RowGradient() = default;
  RowGradient(const Layout& l, T row_mean, T row_inv_std, const RowSums& sums, bool centered)
      : mean(row_mean), inv_std(row_inv_std) {
    const double scale = -static_cast<double>(inv_std) / static_cast<double>(l.D);
    const double squared = static_cast<double>(inv_std) * static_cast<double>(inv_std);
    by_x = static_cast<T>(scale * squared * sums.products);
    constant = centered ? static_cast<T>(scale * sums.g) : T(0);
  }
};

// The gradients of n columns of R rows that lie `step` apart; of w and b added to dw and db, which
// are loaded and stored once for all of these rows.
template <int R, bool with_weight, bool with_sums, class T>
void gradients(int64_t n, int64_t step, const RowGradient<T>* rows, const T* dy, const T* x,
               const T* w, T* dx, T* dw, T* db) {
  using V = Vec<T>;
  RowGradient<T> row[R];
  for (int r = 0; r < R; ++r) row[r] = rows[r];
  const auto columns = [&](int64_t c, auto part) FASTNN_INLINE_LAMBDA {
    const V wv = with_weight ? load(w + c, part) : V{};
    V dw_sum = with_sums ? load(dw + c, part) : V{}, db_sum = with_sums ? load(db + c, part) : V{};
    for (int r = 0; r < R; ++r) {
      const int64_t i = r * step + c;
      const V dyv = load(dy + i, part), d = load(x + i, part) - row[r].mean;
      const V g = with_weight ? dyv * wv : dyv;
      store(dx + i,
            fma(splat(row[r].inv_std), g, fma(splat(row[r].by_x), d, splat(row[r].constant))),
            part);
      if constexpr (with_sums) {
        dw_sum = fma(d * row[r].inv_std, dyv, dw_sum);
        db_sum += dyv;
      }
    }
    if constexpr (with_sums) {
      store(dw + c, dw_sum, part);
      store(db + c, db_sum, part);
    }
  };
  int64_t c = 0;
  for (; c + lanes<T> <= n; c += lanes<T>) columns(c, Vectors<1>{});
  if (c < n) columns(c, FirstLanes{n - c});
}

template <class T>
void backward(const Exec& exec, const LayerNormShape& s, const T* dy, const T* x, const T* mean,
              const T* inv_std, const T* w, T* dx, T* dw, T* db) {
  constexpr int most_rows = 4;
  const Layout l = Layout::of(s);
  const bool with_sums = dw || db;
  T* const sums = static_cast<T*>(exec.scratch);  // of block i at 2 i D: dw, db
  auto* const of_pieces = reinterpret_cast<RowSums*>(sums + l.blocks * 2 * round_up(l.D, 16));
  const auto mean_of = [=](int64_t n) { return s.centered ? mean[n] : T(0); };

  if (l.pieces > 1) {
    for_each_piece(exec, l, [=](int64_t n, int64_t p) {
      const int64_t c = p * l.piece, at = n * l.D + c;
      of_pieces[n * l.pieces + p] =
          row_sums(l.size_of(p), mean_of(n), dy + at, x + at, w ? w + c : w);
    });
  }
  const auto sums_of_row = [=](int64_t n) {
    if (l.pieces <= 1) return row_sums(l.D, mean_of(n), dy + n * l.D, x + n * l.D, w);
    RowSums all{};
    for (int64_t p = 0; p < l.pieces; ++p) {
      all.g += of_pieces[n * l.pieces + p].g;
      all.products += of_pieces[n * l.pieces + p].products;
    }
    return all;
  };

  // Pieces of columns of blocks of rows.
  const auto run = [&]<bool with_weight, bool sum>() {
    const int64_t grain = ceil_div(1 << 14, l.piece * l.block);
    parallel_for(exec, l.blocks * l.pieces, grain, [=](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t block = i / l.pieces, p = i % l.pieces, c = p * l.piece;
        const int64_t columns = l.size_of(p), last = min_of(l.N, (block + 1) * l.block);
        T *const dw_sum = sums + block * 2 * l.D + c, *const db_sum = dw_sum + l.D;
        if constexpr (sum) {
          std::memset(dw_sum, 0, static_cast<size_t>(columns) * sizeof(T));
          std::memset(db_sum, 0, static_cast<size_t>(columns) * sizeof(T));
        }
        const auto rows = [&]<int R>(int64_t n) {
          RowGradient<T> row[R];
          for (int r = 0; r < R; ++r)
            row[r] =
                RowGradient<T>(l, mean_of(n + r), inv_std[n + r], sums_of_row(n + r), s.centered);
          const int64_t at = n * l.D + c;
          gradients<R, with_weight, sum>(columns, l.D, row, dy + at, x + at, w ? w + c : w, dx + at,
                                         dw_sum, db_sum);
        };
        int64_t n = block * l.block;
        for (; n + most_rows <= last; n += most_rows) rows.template operator()<most_rows>(n);
        for (; n < last; ++n) rows.template operator()<1>(n);
      }
    });
  };
  if (w) {
    with_sums ? run.template operator()<true, true>() : run.template operator()<true, false>();
  } else {
    with_sums ? run.template operator()<false, true>() : run.template operator()<false, false>();
  }

  if (!with_sums) return;
  constexpr int64_t chunk = 64;
  const int64_t grain = ceil_div(1 << 13, chunk * max_of(1, l.blocks));
  parallel_for(exec, ceil_div(l.D, chunk), grain, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t c0 = i * chunk, columns = min_of(chunk, l.D - c0);
      double dw_sum[chunk] = {}, db_sum[chunk] = {};
      for (int64_t block = 0; block < l.blocks; ++block) {
        const T *const dws = sums + block * 2 * l.D + c0, *const dbs = dws + l.D;
        for (int64_t c = 0; c < columns; ++c) {
          dw_sum[c] += static_cast<double>(dws[c]);
          db_sum[c] += static_cast<double>(dbs[c]);
        }
      }
      for (int64_t c = 0; dw && c < columns; ++c) dw[c0 + c] = static_cast<T>(dw_sum[c]);
      for (int64_t c = 0; db && c < columns; ++c) db[c0 + c] = static_cast<T>(db_sum[c]);
    }
  });
}

template <class T>
size_t backward_scratch_bytes(const LayerNormShape& s, int) {
  const Layout l = Layout::of(s);
  const size_t of_blocks = static_cast<size_t>(l.blocks * 2 * round_up(l.D, 16)) * sizeof(T);
  return of_blocks + static_cast<size_t>(l.pieces > 1 ? l.N * l.pieces : 0) * sizeof(RowSums);
}

template <class T>
void fill(Ops<T>& t) {
  t.layer_norm_forward_scratch_bytes = forward_scratch_bytes<T>;
  t.layer_norm_forward = forward<T>;
  t.layer_norm_backward_scratch_bytes = backward_scratch_bytes<T>;
  t.layer_norm_backward = backward<T>;
}

}  // namespace

void fill_layernorm(Ops<float>& t) { fill(t); }
void fill_layernorm(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
