// y as in conv2d_direct.cpp, for rows of few pixels and for the gradient of strided 1x1
// convolutions: one row of the grid of all images is cut into blocks of pixels, so that the tiles
// are high however short the rows are. The pixels under some taps and channels are copied side by
// side and meet panels of weights, each for all tiles of the block; the block's sums stay in L2
// until they are whole and go where they belong, with the zeros around them where the grid asks for
// them. Parallel over grid rows, blocks of pixels and of panels. 2 N P Q K C taps operations, less
// those of taps whose rows lie in the padding; copies x once for each tap and 256 output channels.
#include "conv2d_packed.h"
#include "epilogue.h"

namespace fastnn::FASTNN_ISA {
namespace {

// A block: pixels, terms of the reduction, panels of output channels.
constexpr int64_t block_tiles = 8, block_pixels = block_tiles * tile_rows, block_terms = 512,
                  block_panels = 8;
constexpr int64_t most_taps = 64;   // of a block
constexpr int64_t least_items = 8;  // of work for the threads

template <class T>
struct Plan {
  static constexpr int64_t W = panel_width<T>, L = lanes<T>;
  TapGrid g;
  PackedWeights<T> weights;
  int64_t pieces_together;  // pieces of the reduction, each a tap of a block of c, in a block
  int64_t pixel_blocks, panel_blocks;
  int64_t a_row, a_size, sums_row, sums_size;
  bool in_one_piece;    // the pixels of x, which are read in order
  T* blocks = nullptr;  // of each thread: copied pixels
  T* sums = nullptr;    // of each thread
  int64_t bytes;

  Plan(const TapGrid& grid, int threads, void* scratch)
      : g(folded(grid)),
        weights(g, block_terms),
        pieces_together(max_of(1, min_of(most_taps, block_terms / max_of(1, weights.c_block)))),
        pixel_blocks(ceil_div(g.N * g.Q, block_pixels)),
        panel_blocks(
            max_of(ceil_div(weights.panels, block_panels),
                   min_of(weights.panels, ceil_div(least_items, max_of(1, g.P * pixel_blocks))))),
        // An odd number of vectors, so that rows do not compete for cache sets.
        a_row(round_up(pieces_together * weights.c_block, 2 * L) + L),
        a_size(block_pixels * a_row),
        sums_row(ceil_div(weights.panels, panel_blocks) * W + L),
        sums_size(block_pixels * sums_row),
        in_one_piece(g.step_h == 1 && g.step_w == 1 && g.H == 1 && g.Q == g.W &&
                     weights.taps == 1) {
    Pieces pieces(scratch);
    weights.take(pieces, threads);
    blocks = pieces.take<T>(threads * a_size);
    sums = pieces.take<T>(threads * sums_size);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  // Where no taps lie in the padding, rows of images pass for images: the blocks follow each other
  // in memory.
  static TapGrid folded(TapGrid g) {
    const bool folds = g.taps_h.count == 1 && g.taps_h.offset == 0 && g.H == g.P * g.step_h &&
                       g.out_image == g.P * g.out_row && g.zeros_H % g.zeros_h == 0;
    if (folds) {
      g.N *= g.P;
      g.H = g.step_h;
      g.P = 1;
      g.out_image = g.out_row;
      g.zeros_H = g.zeros_h;
    }
    return g;
  }

  // Calls f(index in the block, image, first column, count) for the rows' parts of pixels begin to
  // end of all images' pixels of a grid row.
  template <class F>
  void for_each_row(int64_t begin, int64_t end, const F& f) const {
    for (int64_t m = begin; m < end;) {
      const int64_t n = m / g.Q, q = m % g.Q, count = min_of(g.Q - q, end - m);
      f(m - begin, n, q, count);
      m += count;
    }
  }

  // `count` channels from c on of the pixels under column tap j of the input row at `row`.
  void gather(int64_t begin, int64_t end, int64_t row, int64_t j, int64_t c, int64_t count,
              const T* x, T* to) const {
    for_each_row(begin, end, [&](int64_t i, int64_t n, int64_t q, int64_t pixels) {
      const int64_t col = q * g.step_w + g.taps_w.offset + j * g.taps_w.spacing;
      const Range valid = inside(col, g.step_w, pixels, g.W);
      T* const block = to + i * a_row;
      for (int64_t k = 0; k < pixels; ++k) {
        if (k == valid.begin) k = max_of(k, valid.end);
        if (k >= pixels) break;
        for (int64_t e = 0; e < count; e += L)
          store(block + k * a_row + e, Vec<T>{}, min_of(L, count - e));
      }
      if (valid.begin >= valid.end) return;
      copy_block(x + ((n * g.H + row) * g.W + col + valid.begin * g.step_w) * g.C + c,
                 g.step_w * g.C, valid.end - valid.begin, count, block + valid.begin * a_row,
                 a_row);
    });
  }

  // A block of pixels of grid row p and of panels panel0 to panel1.
  template <bool streaming>
  void compute(int64_t p, int64_t begin, int64_t end, int64_t panel0, int64_t panel1, const T* x,
               T* block, T* block_sums, const Epilogue<T>& epilogue, T* y) const {
    const int64_t n_pieces = weights.c_blocks * weights.taps,
                  tiles = ceil_div(end - begin, tile_rows);
    int64_t first = 0;
    do {  // once also for an empty reduction
      const int64_t last = min_of(first + pieces_together, n_pieces);
      Term terms[most_taps];
      int64_t n_terms = 0, steps = 0;
      // Taps come before channels in a panel.
      for (int64_t i = first; i < last; ++i) {
        const int64_t c_block = i / weights.taps, tap = i % weights.taps;
        const int64_t row =
            p * g.step_h + g.taps_h.offset + tap / g.taps_w.count * g.taps_h.spacing;
        if (row < 0 || row >= g.H) continue;
        const int64_t c = c_block * weights.c_block, count = weights.channels(c_block);
        gather(begin, end, row, tap % g.taps_w.count, c, count, x,
               block + n_terms * weights.c_block);
        terms[n_terms] = {n_terms * weights.c_block, (weights.taps * c + tap * count) * W, count};
        ++n_terms;
        steps += count;
      }
      for (int64_t panel = panel0; panel < panel1; ++panel) {
        // The same part of the next panel is fetched meanwhile, at last the next pixels.
        const T* const b = weights.panel(panel);
        const bool pixels = panel + 1 == panel1 && in_one_piece && n_pieces == 1;
        const T* const next =
            pixels ? x + end * g.C : b + weights.panel_size() + (n_terms > 0 ? terms[0].b : 0);
        const int64_t next_size = pixels ? (end - begin) * g.C : steps * W;
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const int64_t row = tile_begin(end - begin, tiles, tile);
          const auto [ahead, step] =
              Ahead<T>::share(next, 1, next_size, 0, tile, tiles, max_of(1, steps));
          const int64_t rows = tile_begin(end - begin, tiles, tile + 1) - row;
          T* const c = block_sums + row * sums_row + (panel - panel0) * W;
          const int64_t columns = min_of(W, g.K - panel * W);
          run_tile<T>(rows, {.a = block + row * a_row,
                             .a_row = a_row,
                             .a_col = 1,
                             .b = b,
                             .b_row = W,
                             .terms = terms,
                             .n_terms = n_terms,
                             .c = c,
                             .c_row = sums_row,
                             .columns = columns,
                             .accumulate = first > 0,
                             .ahead = ahead,
                             .ahead_step = step});
          // At once, so that the stores pass while the next tile computes.
          if (last == n_pieces)
            scatter<streaming>(p, begin + row, rows, panel * W, columns, c, epilogue, y);
        }
      }
      first = last;
    } while (first < n_pieces);
  }

  // Writes a tile: `columns` channels from k on of `pixels` pixels.
  template <bool streaming>
  void scatter(int64_t p, int64_t begin, int64_t pixels, int64_t k, int64_t columns,
               const T* tile_sums, const Epilogue<T>& epilogue, T* y) const {
    const auto put_sums = [&](const Vec<T>& sums_of_pixel, int64_t pixel, int64_t j) {
      const int64_t n = min_of(L, columns - j);
      const EpilogueColumns<T> finish(epilogue, k + j, n);
      const Vec<T> v = finish(sums_of_pixel, pixel + j, n);
      if constexpr (streaming) {
        stream(y + pixel + j, v);
      } else if (n == L) {
        store(y + pixel + j, v);
      } else {
        store(y + pixel + j, v, n);
      }
    };
    for_each_row(begin, begin + pixels, [&](int64_t i, int64_t n, int64_t q0, int64_t count) {
      const T* from = tile_sums + i * sums_row;
      for (int64_t q = q0; q < q0 + count; ++q, from += sums_row) {
        const int64_t at = n * g.out_image + p * g.out_row + q * g.out_col + k;
        for (int64_t j = 0; j < columns; j += L) put_sums(load(from + j), at, j);
        const int64_t rows = min_of(g.zeros_h, g.zeros_H - p * g.zeros_h),
                      cols = min_of(g.zeros_w, g.zeros_W - q * g.zeros_w);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t s = r == 0 ? 1 : 0; s < cols; ++s) {
            const int64_t zero = at + r * (g.out_row / g.zeros_h) + s * (g.out_col / g.zeros_w);
            for (int64_t j = 0; j < columns; j += L) put_sums(Vec<T>{}, zero, j);
          }
        }
      }
    });
  }

  bool streams(const T* y) const { return g.K % L == 0 && outgrows_caches(y, g.N * g.out_image); }

  void run(const Exec& exec, const T* x, const T* w, const Epilogue<T>& epilogue, T* y) const {
    weights.pack(exec, w);
    const bool streaming = streams(y);
    const int64_t items = g.P * pixel_blocks * panel_blocks;
    const int64_t work = block_pixels * block_panels * W * (weights.taps * g.C + 1);
    parallel_for(exec, items, 1 + 1000000 / work, [&](int64_t begin, int64_t end, int thread) {
      T *const block = blocks + thread * a_size, *const block_sums = sums + thread * sums_size;
      for (int64_t item = begin; item < end; ++item) {
        // Panels vary last: a thread keeps to its part of the weights.
        const int64_t pixel_block = item % pixel_blocks, p = item / pixel_blocks % g.P,
                      panel_block = item / pixel_blocks / g.P;
        const int64_t panel0 = tile_begin(weights.panels, panel_blocks, panel_block),
                      panel1 = tile_begin(weights.panels, panel_blocks, panel_block + 1);
        const int64_t m0 = tile_begin(g.N * g.Q, pixel_blocks, pixel_block),
                      m1 = tile_begin(g.N * g.Q, pixel_blocks, pixel_block + 1);
        if (streaming) {
          compute<true>(p, m0, m1, panel0, panel1, x, block, block_sums, epilogue, y);
        } else {
          compute<false>(p, m0, m1, panel0, panel1, x, block, block_sums, epilogue, y);
        }
      }
      if (streaming) fence();
    });
  }
};

}  // namespace

size_t gathered_grid_scratch_bytes(const TapGrid& g, int threads, size_t item) {
  return static_cast<size_t>(item == sizeof(float) ? Plan<float>(g, threads, nullptr).bytes
                                                   : Plan<double>(g, threads, nullptr).bytes);
}
void gathered_grid(const Exec& exec, const TapGrid& g, const float* x, const float* w,
                   const Epilogue<float>& epilogue, float* y) {
  Plan<float>(g, exec.threads, exec.scratch).run(exec, x, w, epilogue, y);
}
void gathered_grid(const Exec& exec, const TapGrid& g, const double* x, const double* w,
                   const Epilogue<double>& epilogue, double* y) {
  Plan<double>(g, exec.threads, exec.scratch).run(exec, x, w, epilogue, y);
}

}  // namespace fastnn::FASTNN_ISA
