// y[n][p][q][k] = b[k] + sum over taps (i, j) and c of x[n][p step_h + h_i][q step_w + w_j][c]
// w[k][c][r_i][s_j], zero outside of x; channels-last, weights packed as [group][panel of k][block
// of c][tap][c][k]. Parallel over blocks of grid rows of an image (and of panels, where there are
// few). 2 N P Q K C taps operations, less those of taps whose rows lie in the padding; the tile
// keeps 14 pixels x 32 channels in registers over all taps and reads x from L1 or L2, the weight
// panel from L2.
#include "conv2d.h"
#include "pack.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t near_bytes = 1 << 20;

template <class T>
struct Plan {
  static constexpr int64_t W = panel_width<T>;
  const TapGrid& g;
  Strip strip;
  int64_t taps, panels, all_panels, c_block, c_blocks, n_terms;
  bool merged;                       // the taps of a row lie side by side: one term
  int64_t row_blocks, panel_blocks;  // work items: N x row_blocks x panel_blocks
  T* packed = nullptr;
  T* strips = nullptr;
  Term* terms = nullptr;
  T* transposed = nullptr;  // for each thread, weights of a panel on their way into it
  int64_t strip_size, transposed_channels, transposed_size, bytes;

  Plan(const TapGrid& grid, int threads, void* scratch)
      : g(grid),
        strip(g.H, g.W, g.C, g.groups, g.P, g.Q, g.step_h, g.step_w, g.taps_h, g.taps_w),
        taps(g.taps_h.count * g.taps_w.count),
        panels(ceil_div(g.K, W)),
        all_panels(g.groups * panels) {
    constexpr auto item = static_cast<int64_t>(sizeof(T));
    const int64_t fit = max_of(16, weight_panel_bytes / (max_of(1, taps) * W * item));
    c_blocks = max_of(1, ceil_div(g.C, fit));
    c_block = ceil_div(g.C, c_blocks);
    merged = g.taps_w.spacing == 1 && c_blocks == 1;
    n_terms = taps == 0 || g.C == 0 ? 0 : merged ? g.taps_h.count : taps;
    row_blocks = ceil_div(g.P, strip.grid_rows(g.P, sizeof(T)));
    while (g.N * row_blocks < wanted_items && g.P / row_blocks >= 8) row_blocks *= 2;
    panel_blocks = min_of(all_panels, ceil_div(wanted_items, max_of(1, g.N * row_blocks)));
    strip_size = strip.copied && n_terms > 0
                     ? strip.rows(ceil_div(g.P, row_blocks)) * strip.row_stride()
                     : 0;
    Pieces pieces(scratch);
    packed = pieces.take<T>(all_panels * taps * g.C * W);
    terms = pieces.take<Term>(c_blocks * n_terms);
    strip_size = round_up(strip_size, 64);
    strips = pieces.take<T>(threads * strip_size);
    transposed_channels = max_of(1, 64 / max_of(1, g.w_c));
    transposed_size = transposes() ? transposed_channels * g.w_c * W : 0;
    transposed = pieces.take<T>(threads * transposed_size);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  int64_t block_channels(int64_t block) const { return min_of(c_block, g.C - block * c_block); }

  bool transposes() const { return g.w_k > g.w_c; }

  void fill_terms() const {
    for (int64_t block = 0; block < c_blocks; ++block) {
      const int64_t C = block_channels(block);
      Term* term = terms + block * n_terms;
      if (n_terms == 0) return;
      for (int64_t i = 0; i < g.taps_h.count; ++i) {
        const int64_t row = i * g.taps_h.spacing * strip.row_stride();
        if (merged) {
          *term++ = {row, i * g.taps_w.count * C * W, g.taps_w.count * C};
          continue;
        }
        for (int64_t j = 0; j < g.taps_w.count; ++j) {
          *term++ = {row + j * g.taps_w.spacing * strip.pixel, (i * g.taps_w.count + j) * C * W, C};
        }
      }
    }
  }

  void pack(const Exec& exec, const T* w) const {
    const int64_t panel_size = taps * g.C * W;
    parallel_for(exec, all_panels, 1 + 30000 / (panel_size + 1),
                 [&](int64_t begin, int64_t end, int thread) {
                   for (int64_t p = begin; p < end; ++p) {
                     T* const panel = packed + p * panel_size;
                     const int64_t k0 = p % panels * W, columns = min_of(W, g.K - k0);
                     if (columns < W) {
                       for (int64_t i = 0; i < panel_size; ++i) panel[i] = 0;
                     }
                     pack_panel_of(w + p / panels * g.w_group + k0 * g.w_k, columns,
                                   transposed + thread * transposed_size, panel);
                   }
                 });
  }

  // A panel. Where the weights of an output channel lie in one piece, they are transposed, some
  // channels c at a time. One by one, 2048 x 1024 weights took a quarter of the whole convolution.
  void pack_panel_of(const T* w, int64_t columns, T* buffer, T* panel) const {
    for (int64_t block = 0; block < c_blocks; ++block) {
      const int64_t c0 = block * c_block, C = block_channels(block);
      T* const to = panel + taps * c0 * W;
      if (!transposes()) {
        for (int64_t c = 0; c < C; ++c)
          pack_channel(w + (c0 + c) * g.w_c, g.w_k, 1, columns, C, to + c * W);
        continue;
      }
      for (int64_t first = 0; first < C; first += transposed_channels) {
        const int64_t count = min_of(transposed_channels, C - first);
        transpose_block(w + (c0 + first) * g.w_c, g.w_k, columns, count * g.w_c, buffer, W);
        for (int64_t c = 0; c < count; ++c)
          pack_channel(buffer + c * g.w_c * W, 1, W, columns, C, to + (first + c) * W);
      }
    }
  }

  // Weights of one c at w, whose columns and taps lie `column` and `tap` apart.
  void pack_channel(const T* w, int64_t column, int64_t tap, int64_t columns, int64_t C,
                    T* to) const {
    for (int64_t i = 0; i < g.taps_h.count; ++i) {
      const int64_t r = g.taps_h.weight + i * g.taps_h.weight_step;
      for (int64_t j = 0; j < g.taps_w.count; ++j, to += C * W) {
        const int64_t s = g.taps_w.weight + j * g.taps_w.weight_step;
        const T* const from = w + (r * g.w_r + s * g.w_s) * tap;
        if (column == 1 && columns == W) {
          for (int64_t k = 0; k < W; k += lanes<T>) store(to + k, load(from + k));
        } else {
          for (int64_t k = 0; k < columns; ++k) to[k] = from[k * column];
        }
      }
    }
  }

  // Grid rows p0 to p1 of image n, panels begin to end.
  void compute(int64_t n, int64_t p0, int64_t p1, int64_t begin, int64_t end, const T* x,
               const Epilogue<T>& epilogue, T* y, T* buffer) const {
    const int64_t tiles = ceil_div(g.Q, tile_rows), row_terms = n_terms / max_of(1, g.taps_h.count);
    // What follows in the image is fetched meanwhile, row by row of the grid.
    const int64_t row = g.W * strip.image_pixel, piece = min_of(strip.span, g.step_h) * row;
    const T* const image = x + n * g.H * row;
    const T* const next = image + (p1 * g.step_h + strip.first_row) * row;
    // Not what L2 holds anyway: to share it out costs a short tile some tens of cycles.
    const bool near = g.N * g.H * row * static_cast<int64_t>(sizeof(T)) <= near_bytes;
    const int64_t calls = (end - begin) * c_blocks * (p1 - p0) * tiles;
    int64_t call = 0;
    const T* from = x;
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t group = panel / panels, k0 = panel % panels * W;
      if (n_terms > 0 && (panel == begin || k0 == 0))
        from = strip.get(image + group * g.C, p0, p1 - p0, buffer);
      for (int64_t block = 0; block < c_blocks; ++block) {
        for (int64_t p = p0; p < p1; ++p) {
          // Only the taps whose rows are inside of the image.
          const int64_t top = p * g.step_h + g.taps_h.offset, spacing = g.taps_h.spacing;
          const int64_t first_tap = top < 0 ? min_of(ceil_div(-top, spacing), g.taps_h.count) : 0;
          const int64_t end_tap =
              max_of(first_tap, min_of(g.taps_h.count, ceil_div(g.H - top, spacing)));
          const int64_t steps = (end_tap - first_tap) * g.taps_w.count * block_channels(block);
          for (int64_t tile = 0; tile < tiles; ++tile, ++call) {
            const int64_t q = tile_begin(g.Q, tiles, tile),
                          rows = tile_begin(g.Q, tiles, tile + 1) - q;
            const int64_t k = group * g.K + k0;
            const int64_t at = n * g.out_image + p * g.out_row + q * g.out_col + k;
            const auto [ahead, step] = near ? Ahead<T>{nullptr, 0}
                                            : Ahead<T>::share(next, p1 - p0, piece, g.step_h * row,
                                                              call, calls, max_of(1, steps));
            run_tile<T>(rows,
                        {.a = from + (p - p0) * g.step_h * strip.row_stride() +
                              q * g.step_w * strip.pixel + block * c_block,
                         .a_row = g.step_w * strip.pixel,
                         .a_col = 1,
                         .b = packed + taps * (panel * g.C + block * c_block) * W,
                         .b_row = W,
                         .terms = terms + block * n_terms + first_tap * row_terms,
                         .n_terms = (end_tap - first_tap) * row_terms,
                         .c = y + at,
                         .c_row = g.out_col,
                         .columns = min_of(W, g.K - k0),
                         .accumulate = block > 0,
                         .end = block == c_blocks - 1 ? part_of(epilogue, k, at) : Epilogue<T>{},
                         .ahead = ahead,
                         .ahead_step = step});
          }
        }
      }
    }
  }
};

template <class T>
void tap_grid_of(const Exec& exec, const TapGrid& g, const T* x, const T* w,
                 const Epilogue<T>& epilogue, T* y) {
  const Plan<T> plan(g, exec.threads, exec.scratch);
  const int64_t items = g.N * plan.row_blocks * plan.panel_blocks;
  if (items == 0 || g.Q == 0) return;
  plan.fill_terms();
  plan.pack(exec, w);
  const int64_t work =
      g.N * g.P * g.Q * plan.all_panels * Plan<T>::W * (plan.taps * g.C + 1) / items;
  parallel_for(exec, items, 1 + 1000000 / work, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t panel_block = item % plan.panel_blocks, rest = item / plan.panel_blocks;
      const int64_t row_block = rest % plan.row_blocks, n = rest / plan.row_blocks;
      plan.compute(n, g.P * row_block / plan.row_blocks, g.P * (row_block + 1) / plan.row_blocks,
                   plan.all_panels * panel_block / plan.panel_blocks,
                   plan.all_panels * (panel_block + 1) / plan.panel_blocks, x, epilogue, y,
                   plan.strips + thread * plan.strip_size);
    }
  });
}

}  // namespace

size_t tap_grid_scratch_bytes(const TapGrid& g, int threads, size_t item) {
  return static_cast<size_t>(item == sizeof(float) ? Plan<float>(g, threads, nullptr).bytes
                                                   : Plan<double>(g, threads, nullptr).bytes);
}
void tap_grid(const Exec& exec, const TapGrid& g, const float* x, const float* w,
              const Epilogue<float>& epilogue, float* y) {
  tap_grid_of(exec, g, x, w, epilogue, y);
}
void tap_grid(const Exec& exec, const TapGrid& g, const double* x, const double* w,
              const Epilogue<double>& epilogue, double* y) {
  tap_grid_of(exec, g, x, w, epilogue, y);
}

}  // namespace fastnn::FASTNN_ISA
