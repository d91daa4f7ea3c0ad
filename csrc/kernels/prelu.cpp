// PReLU of N rows of C channels, the channels adjacent in memory (a row is a sample or a pixel):
//   y = x > 0 ? x : w x,  dx = x > 0 ? dy : w dy,  dw = sum over the rows of x > 0 ? 0 : x dy.
// Parallel over blocks of rows. A block's sums are of T, those over the blocks of double and in the
// order of the blocks. Forward reads x and writes y; backward reads dy and x and writes dx; 4
// operations an element.
#include "channel_rows.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// The slope of each element of a row; behind them there is room for sums.
template <class T>
T* spread_slopes(const Exec& exec, const Layout& l, const T* w) {
  T* const slopes = static_cast<T*>(exec.scratch);
  for (int64_t i = 0; i < l.width; i += l.C) {
    for (int64_t c = 0; c < l.C; ++c) slopes[i + c] = w[c];
  }
  return slopes;
}

template <class T>
void forward(const Exec& exec, const PReluShape& s, const T* x, const T* w, T* y) {
  using V = Vec<T>;
  const Layout l = Layout::of<T>(s.N, s.C);
  const T* const slopes = spread_slopes(exec, l, w);
  const bool streaming = l.streams(y);
  for_each_block(exec, l, false, [&](int64_t, int64_t begin, int64_t end) {
    for_each_vector<T, 1>(begin, end, l.width,
                          [=]<int>(int64_t i, int64_t c, auto... n) FASTNN_INLINE_LAMBDA {
                            const V v = load(x + i, n...), slope = load(slopes + c, n...);
                            put(streaming, y + i, v > V{} ? v : slope * v, n...);
                          });
    if (streaming) fence();
  });
}

// dx of a block, and where `summed` the sums of its columns.
template <bool summed, class T>
void block_gradients(int64_t begin, int64_t end, int64_t far, int64_t width, const T* slopes,
                     const T* dy, const T* x, T* dx, T* sums) {
  using V = Vec<T>;
  if constexpr (summed) {
    for_each_vector<T, 1>(begin, min_of(begin + width, end), width,
                          [=]<int>(int64_t, int64_t c, auto... n)
                              FASTNN_INLINE_LAMBDA { store(sums + c, V{}, n...); });
  }
  for_each_vector<T, summed ? summed_rows : 1>(
      begin, end, width, [=]<int R>(int64_t i, int64_t c, auto... n) FASTNN_INLINE_LAMBDA {
        const V slope = load(slopes + c, n...);
        V product[R];
        for (int r = 0; r < R; ++r, i += width) {
          const int64_t ahead = i < far ? most_ahead : 0;
          const V v = load_ahead(x + i, ahead, n...), g = load_ahead(dy + i, ahead, n...);
          product[r] = v > V{} ? V{} : v * g;
          store(dx + i, v > V{} ? g : slope * g, n...);
        }
        if constexpr (summed) store(sums + c, load(sums + c, n...) + sum_of<R>(product), n...);
      });
}

template <class T>
void backward(const Exec& exec, const PReluShape& s, const T* dy, const T* x, const T* w, T* dx,
              T* dw) {
  const Layout l = Layout::of<T>(s.N, s.C);
  const T* const slopes = spread_slopes(exec, l, w);
  T* const sums = static_cast<T*>(exec.scratch) + l.width;
  const auto kernel = dw ? block_gradients<true, T> : block_gradients<false, T>;
  for_each_block(exec, l, false, [&](int64_t b, int64_t begin, int64_t end) {
    kernel(begin, end, l.size - most_ahead, l.width, slopes, dy, x, dx, sums + b * l.width);
  });
  if (!dw) return;
  for_each_chunk(exec, l, [&](int64_t c0, int64_t n) {
    double sum_of[chunk] = {};
    for (int64_t i = 0; i < l.blocks * l.repeats; ++i) {
      const int64_t block = i / l.repeats, repeat = i % l.repeats;
      if (l.column_size(block, repeat) == 0) continue;
      const T* const sum = sums + block * l.width + repeat * l.C + c0;
      for (int64_t c = 0; c < n; ++c) sum_of[c] += static_cast<double>(sum[c]);
    }
    for (int64_t c = 0; c < n; ++c) dw[c0 + c] = static_cast<T>(sum_of[c]);
  });
}

template <class T>
size_t scratch_bytes(const PReluShape& s, int) {
  const Layout l = Layout::of<T>(s.N, s.C);
  return static_cast<size_t>((1 + l.blocks) * l.width) * sizeof(T);
}

template <class T>
void fill(Ops<T>& t) {
  t.prelu_scratch_bytes = scratch_bytes<T>;
  t.prelu_forward = forward<T>;
  t.prelu_backward = backward<T>;
}

}  // namespace

void fill_prelu(Ops<float>& t) { fill(t); }
void fill_prelu(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
