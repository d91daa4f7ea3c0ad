// y[o][i] = sum over j < n of x[o][j][i]. Dense arrays. Parallel over parts of about 16384 elements
// of n rows of `inner`; a part's sums are of T, 4 rows at once, or where inner is 1 four vectors in
// turn; those over the parts are of double and in the order of the parts. Reads x once; 1 addition
// an element.
#include "elementwise.h"
#include "parallel.h"
#include "short_rows.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t part_elements = 16384;

// How the n rows are cut: into parts of `rows`, and long rows into chunks of columns whose sums
// stay in L1. Parts of at least 64 rows: their sums are few beside the elements.
struct Parts {
  int64_t rows, count, chunk, chunks;
  Parts(int64_t n, int64_t inner)
      : rows(max_of(64, part_elements / max_of(1, inner))),
        count(max_of(1, ceil_div(n, rows))),
        chunk(min_of(2048, max_of(1, inner))),
        chunks(ceil_div(inner, chunk)) {}
};

template <class T>
constexpr auto plus = [](Vec<T> a, Vec<T> b) FASTNN_INLINE_LAMBDA { return a + b; };

// By blocks of 2048, so that sums of T keep their digits.
template <class T>
double sum_row(int64_t n, const T* x) {
  constexpr int64_t block = 2048;
  double sum = 0;
  for (int64_t i = 0; i < n; i += block) {
    sum += static_cast<double>(
        reduce_add<T>(fold(min_of(block, n - i), Vec<T>{}, T(0), plus<T>, plus<T>, x + i)));
  }
  return sum;
}

// sum[i] = sum over r < rows of x[r * step + i].
template <class T>
void sum_columns(int64_t rows, int64_t step, int64_t width, const T* x, T* sum) {
  using V = Vec<T>;
  const auto add = [](V s, V a, V b, V c, V d) { return s + ((a + b) + (c + d)); };
  map(0, width, [] { return V{}; }, sum);
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4, x += 4 * step)
    map(0, width, add, sum, sum, x, x + step, x + 2 * step, x + 3 * step);
  for (; r < rows; ++r, x += step) map(0, width, plus<T>, sum, sum, x);
}

// The same for dense rows shorter than `wide`: several pass for one, so that vectors are full.
constexpr int64_t wide = 64;
template <class T>
void sum_short_rows(int64_t rows, int64_t width, const T* x, T* sum) {
  T wide_sum[wide * lanes<T>];
  const int64_t fill_vectors = lanes<T> / min_of(lanes<T>, width & -width);
  const int64_t repeats = round_up(ceil_div(wide, width), fill_vectors);
  if (rows < 4 * repeats || repeats * width > wide * lanes<T>)
    return sum_columns(rows, width, width, x, sum);
  const int64_t long_rows = rows / repeats, rest = rows % repeats;
  sum_columns(long_rows, repeats * width, repeats * width, x, wide_sum);
  map(0, rest * width, plus<T>, wide_sum, static_cast<const T*>(wide_sum),
      x + long_rows * repeats * width);
  sum_columns(repeats, width, width, static_cast<const T*>(wide_sum), sum);
}

template <class T>
size_t scratch_bytes(int64_t outer, int64_t n, int64_t inner) {
  const Parts parts(n, inner);
  return parts.count == 1 ? 0 : static_cast<size_t>(outer * parts.count * inner) * sizeof(T);
}

// y[o] = sum over j < n of x[o][j].
template <class T>
void sum_few(const Exec& exec, int64_t outer, int64_t n, const T* x, T* y) {
  for_some_short_rows(exec, outer, n, [=](int64_t o, int64_t count) {
    ShortRows<T> rows;
    rows.read(count, n, x + o * n);
    T sums[side_by_side];
    for (int64_t r = 0; r < side_by_side; r += lanes<T>) {
      Vec<T> sum{};
      for (int64_t j = 0; j < n; ++j) sum += load(rows.column[j] + r);
      store(sums + r, sum);
    }
    std::memcpy(y + o, sums, static_cast<size_t>(count) * sizeof *y);
  });
}

template <class T>
void sum(const Exec& exec, int64_t outer, int64_t n, int64_t inner, const T* x, T* y) {
  if (inner == 1 && n <= most_short_columns) return sum_few(exec, outer, n, x, y);
  const Parts parts(n, inner);
  T* const sums = parts.count == 1 ? y : static_cast<T*>(exec.scratch);
  const int64_t grain = ceil_div(2 * part_elements, max_of(1, min_of(n, parts.rows)) * parts.chunk);
  parallel_for(exec, outer * parts.count * parts.chunks, grain,
               [=](int64_t begin, int64_t end, int) {
                 for (int64_t item = begin; item < end; ++item) {
                   const int64_t row = item / parts.chunks, c = item % parts.chunks * parts.chunk;
                   const int64_t j = row % parts.count * parts.rows;
                   const int64_t rows = min_of(parts.rows, n - j);
                   const int64_t width = min_of(parts.chunk, inner - c);
                   const T* from = x + (row / parts.count * n + j) * inner + c;
                   T* const to = sums + row * inner + c;
                   if (inner == 1) {
                     *to = static_cast<T>(sum_row(rows, from));
                   } else if (inner < wide) {
                     sum_short_rows(rows, inner, from, to);
                   } else {
                     sum_columns(rows, inner, width, from, to);
                   }
                 }
               });
  if (parts.count == 1) return;
  constexpr int64_t block = 64;
  const int64_t blocks = ceil_div(inner, block);
  parallel_for(exec, outer * blocks, ceil_div(part_elements, block * parts.count),
               [=](int64_t begin, int64_t end, int) {
                 for (int64_t item = begin; item < end; ++item) {
                   const int64_t o = item / blocks, c = item % blocks * block;
                   const int64_t width = min_of(block, inner - c);
                   double total[block] = {};
                   for (int64_t p = 0; p < parts.count; ++p) {
                     const T* from = sums + (o * parts.count + p) * inner + c;
                     for (int64_t i = 0; i < width; ++i) total[i] += static_cast<double>(from[i]);
                   }
                   for (int64_t i = 0; i < width; ++i)
                     y[o * inner + c + i] = static_cast<T>(total[i]);
                 }
               });
}

template <class T>
void fill(Ops<T>& t) {
  t.sum_scratch_bytes = scratch_bytes<T>;
  t.sum = sum<T>;
}

}  // namespace

void fill_sum(Ops<float>& t) { fill(t); }
void fill_sum(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
