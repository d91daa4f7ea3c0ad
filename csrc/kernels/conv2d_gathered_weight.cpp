// dw[k][c][r][s] as in conv2d_direct_weight.cpp, for strides and many channels: the pixels under a
// tap are copied side by side, block by block of a strip's pixels and input channels, so that a
// strip is one term however short its rows are. Such a block meets the panels of dy of the same
// pixels, packed once for all taps. Parallel over splits of the images and over taps and blocks of
// input and output channels. 2 N P Q K C R S operations; copies x R S times for each 256 output
// channels.
#include "conv2d_weight_sums.h"

namespace fastnn::FASTNN_ISA {
namespace {

// A block: pixels, input channels, output channels: of floats 400 KB of dy and up to 180 KB of x.
// Fewer pixels were slower, with twice the bytes, too: 256 by 1 to 6 % (AVX2, 3x3 with strides 1
// and 2), 200 of doubles by 7 % (512 channels of 7 x 7).
constexpr int64_t block_pixels = 400, block_tiles = 8, block_columns = 256;
constexpr int64_t block_channels = block_tiles * tile_rows;

template <class T>
struct Plan {
  static constexpr int64_t W = panel_width<T>, block_panels = block_columns / W;
  const Conv2dShape& s;
  int64_t C, K, panels, tiles;  // of a group
  int64_t taps, c_blocks, panel_blocks, units;
  int64_t row_blocks, images, pixels;  // a strip: some rows of an image, or whole images
  WeightSums<T> sums;
  int64_t panels_size, block_size;
  T* panel_buffers = nullptr;  // of each thread: dy of a strip
  T* blocks = nullptr;         // of each thread: the pixels under a tap
  int64_t bytes;

  Plan(const Conv2dShape& shape, int threads, void* scratch)
      : s(shape),
        C(s.C / s.groups),
        K(s.K / s.groups),
        panels(ceil_div(K, W)),
        tiles(ceil_div(C, tile_rows)),
        taps(s.R * s.S),
        c_blocks(ceil_div(C, block_channels)),
        panel_blocks(ceil_div(panels, block_panels)),
        units(s.groups * panel_blocks * taps * c_blocks),
        row_blocks(ceil_div(s.P, rows_in(block_pixels))),
        images(row_blocks == 1 ? max_of(1, min_of(s.N, rows_in(block_pixels) / s.P)) : 1),
        pixels(images * ceil_div(s.P, max_of(1, row_blocks)) * s.Q),
        sums(s, units, ceil_div(s.N, images)),
        panels_size(min_of(panels, block_panels) * pixels * W),
        block_size(pixels * block_channels) {
    Pieces pieces(scratch);
    sums.take(pieces, threads);
    panel_buffers = pieces.take<T>(threads * panels_size);
    blocks = pieces.take<T>(threads * block_size);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  int64_t rows_in(int64_t n) const { return max_of(1, n / max_of(1, s.Q)); }

  // Grid rows p0 to p1 of images n0 to n1.
  struct Strip {
    int64_t n0, n1, p0, p1;
    int64_t rows() const { return (n1 - n0) * (p1 - p0); }
  };

  // `columns` channels of dy from k on.
  void pack(const Strip& strip, int64_t k, int64_t columns, const T* dy, T* panel) const {
    const int64_t count = (strip.p1 - strip.p0) * s.Q;
    for (int64_t n = strip.n0; n < strip.n1; ++n, panel += count * W)
      pack_panel(dy + (n * s.P + strip.p0) * s.Q * s.K + k, s.K, 1, count, columns, panel);
  }

  // `count` channels from `channel` on of the pixels of x under a tap.
  void gather(const Strip& strip, int64_t tap, int64_t channel, int64_t count, const T* x,
              T* to) const {
    const int64_t first_col = tap % s.S * s.dilation_w - s.pad_w;
    const Range valid = inside(first_col, s.stride_w, s.Q, s.W);
    for (int64_t n = strip.n0; n < strip.n1; ++n) {
      for (int64_t p = strip.p0; p < strip.p1; ++p, to += s.Q * block_channels) {
        const int64_t row = p * s.stride_h + tap / s.S * s.dilation_h - s.pad_h;
        if (row < 0 || row >= s.H || valid.begin >= valid.end) {
          zero(to, s.Q);
          continue;
        }
        const int64_t col = first_col + valid.begin * s.stride_w;
        zero(to, valid.begin);
        copy_block(x + ((n * s.H + row) * s.W + col) * s.C + channel, s.stride_w * s.C,
                   valid.end - valid.begin, count, to + valid.begin * block_channels,
                   block_channels);
        zero(to + valid.end * block_channels, s.Q - valid.end);
      }
    }
  }
  static void zero(T* to, int64_t count) {
    for (int64_t i = 0; i < count * block_channels; i += lanes<T>) store(to + i, Vec<T>{});
  }

  // What the tile `call` of `calls` of a tap fetches: the rows of x under the next tap, or those of
  // the next strip and its dy.
  Ahead<T> ahead(const Strip& strip, int64_t tap, bool last, const T* dy, const T* x, int64_t call,
                 int64_t calls) const {
    const int64_t rows = strip.rows(), steps = rows * s.Q, row_size = s.W * s.C;
    const int64_t top = s.H * strip.n0 + s.stride_h * strip.p0;
    if (!last) {
      const int64_t next = top + (tap + 1) % taps / s.S * s.dilation_h - s.pad_h;
      return Ahead<T>::share(x + next * row_size, rows, row_size, s.stride_h * row_size, call,
                             calls, steps);
    }
    const int64_t piece = min_of(s.R, s.stride_h) * row_size;
    const int64_t x_calls = max_of(1, calls * piece / (piece + s.Q * s.K)),
                  dy_calls = max_of(1, calls - x_calls);
    if (call < x_calls) {
      return Ahead<T>::share(x + (top + rows * s.stride_h) * row_size, rows, piece,
                             s.stride_h * row_size, call, x_calls, steps);
    }
    return Ahead<T>::share(dy + (strip.n0 * s.P + strip.p0 + rows) * s.Q * s.K, 1, steps * s.K, 0,
                           call - x_calls, dy_calls, steps);
  }

  // Adds what a strip gives to the units begin to end of a split.
  void compute(const Strip& strip, int64_t split, int64_t begin, int64_t end, const T* dy,
               const T* x, int64_t thread, bool with_db, bool accumulate) const {
    const Term all{0, 0, strip.rows() * s.Q};
    T *const packed = panel_buffers + thread * panels_size, *const block =
                                                                blocks + thread * block_size;
    int64_t packed_block = -1;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t c_block = unit % c_blocks, tap = unit / c_blocks % taps;
      const int64_t panel_block = unit / c_blocks / taps % panel_blocks;
      const int64_t group = unit / c_blocks / taps / panel_blocks;
      const int64_t panel0 = tile_begin(panels, panel_blocks, panel_block),
                    count = tile_begin(panels, panel_blocks, panel_block + 1) - panel0;
      if (packed_block != group * panel_blocks + panel_block) {
        packed_block = group * panel_blocks + panel_block;
        for (int64_t i = 0; i < count; ++i) {
          const int64_t k = (panel0 + i) * W;
          pack(strip, group * K + k, min_of(W, K - k), dy, packed + i * all.k * W);
        }
      }
      if (with_db && tap == 0 && c_block == 0) {
        const int64_t k = panel0 * W;
        sums.add_bias(split, group, k, min_of(count * W, K - k),
                      dy + (strip.n0 * s.P + strip.p0) * s.Q * s.K, all.k, accumulate);
      }
      const int64_t c0 = c_block * block_channels, channels = min_of(block_channels, C - c0);
      gather(strip, tap, group * C + c0, channels, x, block);
      const bool last = unit + c_blocks >= end;
      const int64_t count_tiles = ceil_div(channels, tile_rows);
      for (int64_t tile = 0; tile < count_tiles; ++tile) {
        const int64_t c = tile_begin(channels, count_tiles, tile);
        for (int64_t i = 0; i < count; ++i) {
          const auto [next, step] = ahead(
              strip, tap, last, dy, x, (c_block * block_tiles + tile) * count + i, tiles * count);
          run_tile<T>(tile_begin(channels, count_tiles, tile + 1) - c,
                      {.a = block + c,
                       .a_row = 1,
                       .a_col = block_channels,
                       .b = packed + i * all.k * W,
                       .b_row = W,
                       .terms = &all,
                       .n_terms = 1,
                       .c = sums.row(split, group, panel0 + i, tap, c0 + c),
                       .c_row = W,
                       .columns = min_of(W, K - (panel0 + i) * W),
                       .accumulate = accumulate,
                       .ahead = next,
                       .ahead_step = step});
        }
      }
    }
  }

  // The units begin to end of a split over all of its images.
  void compute_split(int64_t split, int64_t begin, int64_t end, const T* dy, const T* x,
                     int64_t thread, bool with_db) const {
    const int64_t first = s.N * split / sums.splits, last = s.N * (split + 1) / sums.splits;
    for (int64_t n = first; n < last; n += images) {
      for (int64_t block = 0; block < row_blocks; ++block) {
        compute(
            {n, min_of(n + images, last), s.P * block / row_blocks, s.P * (block + 1) / row_blocks},
            split, begin, end, dy, x, thread, with_db, n > first || block > 0);
      }
    }
  }
};

template <class T>
void gathered_backward_weight_of(const Exec& exec, const Conv2dShape& s, const T* dy, const T* x,
                                 T* dw, T* db, bool accumulate) {
  const Plan<T> plan(s, exec.threads, exec.scratch);
  const int64_t work = s.N * s.P * s.Q * block_channels * Plan<T>::W / plan.sums.splits;
  const auto compute = [&](int64_t split, int64_t begin, int64_t end, int64_t thread) {
    plan.compute_split(split, begin, end, dy, x, thread, db != nullptr);
  };
  plan.sums.run(exec, plan.units, 1 + 1000000 / (work + 1), compute, dw, db, accumulate);
}

}  // namespace

size_t gathered_backward_weight_scratch_bytes(const Conv2dShape& s, int threads, size_t item) {
  return static_cast<size_t>(item == sizeof(float) ? Plan<float>(s, threads, nullptr).bytes
                                                   : Plan<double>(s, threads, nullptr).bytes);
}
void gathered_backward_weight(const Exec& exec, const Conv2dShape& s, const float* dy,
                              const float* x, float* dw, float* db, bool accumulate) {
  gathered_backward_weight_of(exec, s, dy, x, dw, db, accumulate);
}
void gathered_backward_weight(const Exec& exec, const Conv2dShape& s, const double* dy,
                              const double* x, double* dw, double* db, bool accumulate) {
  gathered_backward_weight_of(exec, s, dy, x, dw, db, accumulate);
}

}  // namespace fastnn::FASTNN_ISA
