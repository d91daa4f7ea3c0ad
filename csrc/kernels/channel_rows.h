// N rows of C channels, the channels adjacent in memory, where each channel has values or sums of
// its own: how to walk over them, and in which order to add.
#pragma once

#include "parallel.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// How the array is read. Several rows, if they are short, pass for one of `width` elements that
// holds every channel `repeats` times: loops are long, and vectors full, for any number of
// channels. The last row may be shorter. Blocks of rows: at least 16 where there are many, but so
// long that the sums of a block are few beside its elements, and so short that sums of T keep their
// digits.
struct Layout {
  int64_t size, C, repeats, width, block, blocks, grain;
  template <class T>
  static Layout of(int64_t N, int64_t C) {
    Layout l{};
    l.size = N * C;
    l.C = C;
    const int64_t fill_vectors = lanes<T> / max_of(1, min_of(lanes<T>, C & -C));
    l.repeats = C >= 512 ? 1 : round_up(ceil_div(256, max_of(1, C)), fill_vectors);
    l.width = C * l.repeats;
    const int64_t rows = ceil_div(N, l.repeats);
    l.block = max_of(16, min_of(1024, ceil_div(rows, 16))) * l.width;
    l.blocks = l.size > 0 ? ceil_div(l.size, l.block) : 0;
    l.grain = ceil_div(128 << 10, max_of(1, l.block * static_cast<int64_t>(sizeof(T))));
    return l;
  }
  int64_t end_of(int64_t i) const { return min_of(size, (i + 1) * block); }
  // Whether y, so many arrays of this layout, is better written with stream().
  template <class T>
  bool streams(const T* y, int64_t arrays = 1) const {
    return width % lanes<T> == 0 && (arrays == 1 || size % lanes<T> == 0) &&
           outgrows_caches(y, arrays * size);
  }
  // How many elements stand in a column of block i of repetition j of the channels.
  int64_t column_size(int64_t i, int64_t j) const {
    const int64_t rows = (end_of(i) - i * block) / C;
    return ceil_div(max_of(0, rows - j), repeats);
  }
};

// Calls f(i, begin, end) for all blocks and their elements, the last ones first where `backwards`:
// what the pass before has read last may still be in the cache.
template <class F>
void for_each_block(const Exec& exec, const Layout& l, bool backwards, const F& f) {
  parallel_for(exec, l.blocks, l.grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t j = begin; j < end; ++j) {
      const int64_t i = backwards ? begin + end - 1 - j : j;
      f(i, i * l.block, l.end_of(i));
    }
  });
}

// Calls f<R>(i, c) for the vectors of the elements from begin to end, R rows at a time, so that
// what belongs to a column is loaded once for them: i the first element of a vector in the first of
// these rows, c its place in the row. Rows left over come one by one as f<1>, and the n elements
// left over in a row as f<R>(i, c, n): load(p, n...) and store(p, v, n...) fit both. f takes what
// it uses by value: a store of a vector might be one to any variable that it reads through a
// reference.
template <class T, int R, class F>
FASTNN_INLINE void for_each_vector(int64_t begin, int64_t end, int64_t width, const F& f) {
  // Of long rows a page's worth, so that what belongs to the columns stays in L1.
  constexpr int64_t page = 4096 / sizeof(T);
  for (int64_t left = 0; left < width; left += page) {
    const auto some_rows = [&]<int rows>(int64_t row, int64_t row_end) FASTNN_INLINE_LAMBDA {
      int64_t c = left;
      for (; c + lanes<T> <= row_end; c += lanes<T>) f.template operator()<rows>(row + c, c);
      if (c < row_end) f.template operator()<rows>(row + c, c, row_end - c);
    };
    const int64_t right = min_of(width, left + page);
    int64_t row = begin;
    for (; row + R * width <= end; row += R * width) some_rows.template operator()<R>(row, right);
    for (; row < end; row += width) {
      some_rows.template operator()<1>(row, min_of(right, end - row));
    }
  }
}

// Rows at a time where sums are kept. Where arrays are written, one: two take 2.9 ms instead of 2.1
// for 103 MB.
constexpr int summed_rows = 4;

// Calls f(first channel, channels) for parts of the channels, for the sums over all blocks.
constexpr int64_t chunk = 64;
template <class F>
void for_each_chunk(const Exec& exec, const Layout& l, const F& f) {
  const int64_t grain = ceil_div(1 << 13, chunk * max_of(1, l.blocks * l.repeats));
  parallel_for(exec, ceil_div(l.C, chunk), grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) f(i * chunk, min_of(chunk, l.C - i * chunk));
  });
}

// v[0] + v[1] + ... + v[n - 1], by halves.
template <int n, class V>
FASTNN_INLINE V sum_of(const V* v) {
  if constexpr (n == 1) {
    return v[0];
  } else {
    return sum_of<n / 2>(v) + sum_of<n / 2>(v + n / 2);
  }
}

// The processor by itself does not fetch fast enough: BatchNorm's backward over 103 MB takes 6.4 ms
// with this, 8.3 without (Zen 5), its statistics 3.4 and 6.0 (Zen 4). Before element
// `far` what is ahead is of the same array; other memory may have no address, which takes long.
template <class T, class... Part>
FASTNN_INLINE Vec<T> load_ahead(const T* p, int64_t ahead, Part... n) {
  prefetch(p + ahead);
  return load(p, n...);
}
constexpr int64_t most_ahead = 4096;

}  // namespace
}  // namespace fastnn::FASTNN_ISA
