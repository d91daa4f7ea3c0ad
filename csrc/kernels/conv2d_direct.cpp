// y[n][p][q][k] = b[k] + sum over taps (i, j) and c of x[n][p step_h + h_i][q step_w + w_j][c]
// w[k][c][r_i][s_j], zero outside of x; channels-last, weights packed. Parallel over blocks of grid
// rows of an image (and of panels, where there are few). 2 N P Q K C taps operations, less those of
// taps whose rows lie in the padding; the tile keeps 14 pixels x 32 channels in registers over all
// taps and reads x from L1 or L2, the weight panel from L2.
#include "conv2d_packed.h"
#include "epilogue.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t near_bytes = 1 << 20;

template <class T>
struct Plan {
  static constexpr int64_t W = panel_width<T>;
  const TapGrid& g;
  Strip strip;
  PackedWeights<T> weights;
  int64_t panels, all_panels, n_terms;
  bool merged;                       // the taps of a row lie side by side: one term
  int64_t row_blocks, panel_blocks;  // work items: N x row_blocks x panel_blocks
  T* strips = nullptr;
  Term* terms = nullptr;
  int64_t strip_size, bytes;

  Plan(const TapGrid& grid, int threads, void* scratch)
      : g(grid),
        strip(g.H, g.W, g.C, g.groups, g.P, g.Q, g.step_h, g.step_w, g.taps_h, g.taps_w),
        weights(g, channels_in_panel(g)),
        panels(weights.panels),
        all_panels(g.groups * panels) {
    const int64_t taps = weights.taps;
    merged = g.taps_w.spacing == 1 && weights.c_blocks == 1;
    n_terms = taps == 0 || g.C == 0 ? 0 : merged ? g.taps_h.count : taps;
    row_blocks = ceil_div(g.P, strip.grid_rows(g.P, sizeof(T)));
    while (g.N * row_blocks < wanted_items && g.P / row_blocks >= 8) row_blocks *= 2;
    panel_blocks = min_of(all_panels, ceil_div(wanted_items, max_of(1, g.N * row_blocks)));
    strip_size = strip.copied && n_terms > 0
                     ? strip.rows(ceil_div(g.P, row_blocks)) * strip.row_stride()
                     : 0;
    Pieces pieces(scratch);
    weights.take(pieces, threads);
    terms = pieces.take<Term>(weights.c_blocks * n_terms);
    strip_size = round_up(strip_size, 64);
    strips = pieces.take<T>(threads * strip_size);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  static int64_t channels_in_panel(const TapGrid& g) {
    const int64_t taps = g.taps_h.count * g.taps_w.count;
    return max_of(16, weight_panel_bytes / (max_of(1, taps) * W * static_cast<int64_t>(sizeof(T))));
  }

  void fill_terms() const {
    for (int64_t block = 0; block < weights.c_blocks; ++block) {
      const int64_t C = weights.channels(block);
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

  // Whether y is written with stream(): in whole lines, and once.
  bool streams(const T* y) const {
    return weights.c_blocks == 1 && vector_bytes == 64 && g.K % lanes<T> == 0 &&
           outgrows_caches(y, g.N * g.out_image);
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
    const int64_t calls = (end - begin) * weights.c_blocks * (p1 - p0) * tiles;
    int64_t call = 0;
    const bool streaming = streams(y);
    const T* from = x;
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t group = panel / panels, k0 = panel % panels * W;
      if (n_terms > 0 && (panel == begin || k0 == 0))
        from = strip.get(image + group * g.C, p0, p1 - p0, buffer);
      for (int64_t block = 0; block < weights.c_blocks; ++block) {
        for (int64_t p = p0; p < p1; ++p) {
          // Only the taps whose rows are inside of the image.
          const int64_t top = p * g.step_h + g.taps_h.offset, spacing = g.taps_h.spacing;
          const int64_t first_tap = top < 0 ? min_of(ceil_div(-top, spacing), g.taps_h.count) : 0;
          const bool all_below = top + strip.span <= g.H;  // divisions are 1/10 of a short tile
          const int64_t end_tap =
              all_below ? g.taps_h.count
                        : max_of(first_tap, min_of(g.taps_h.count, ceil_div(g.H - top, spacing)));
          const int64_t steps = (end_tap - first_tap) * g.taps_w.count * weights.channels(block);
          int64_t q = 0;
          for (int64_t tile = 0; tile < tiles; ++tile, ++call) {
            const int64_t end_q = tile_begin(g.Q, tiles, tile + 1), rows = end_q - q;
            const int64_t k = group * g.K + k0;
            const int64_t at = n * g.out_image + p * g.out_row + q * g.out_col + k;
            // The strips of groups have fetched what follows.
            const auto [ahead, step] = near || g.groups > 1
                                           ? Ahead<T>{nullptr, 0}
                                           : Ahead<T>::share(next, p1 - p0, piece, g.step_h * row,
                                                             call, calls, max_of(1, steps));
            run_tile<T>(
                rows,
                {.a = from + (p - p0) * g.step_h * strip.row_stride() + q * g.step_w * strip.pixel +
                      block * weights.c_block,
                 .a_row = g.step_w * strip.pixel,
                 .a_col = 1,
                 .b = weights.panel(panel) + weights.taps * block * weights.c_block * W,
                 .b_row = W,
                 .terms = terms + block * n_terms + first_tap * row_terms,
                 .n_terms = (end_tap - first_tap) * row_terms,
                 .c = y + at,
                 .c_row = g.out_col,
                 .columns = min_of(W, g.K - k0),
                 .accumulate = block > 0,
                 .end = block == weights.c_blocks - 1 ? part_of(epilogue, k, at) : Epilogue<T>{},
                 .streaming = streaming,
                 .ahead = ahead,
                 .ahead_step = step},
                TileForm::long_rows);
            q = end_q;
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
  plan.weights.pack(exec, w);
  const int64_t work =
      g.N * g.P * g.Q * plan.all_panels * Plan<T>::W * (plan.weights.taps * g.C + 1) / items;
  parallel_for(exec, items, 1 + 1000000 / work, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t panel_block = item % plan.panel_blocks, rest = item / plan.panel_blocks;
      const int64_t row_block = rest % plan.row_blocks, n = rest / plan.row_blocks;
      plan.compute(n, g.P * row_block / plan.row_blocks, g.P * (row_block + 1) / plan.row_blocks,
                   plan.all_panels * panel_block / plan.panel_blocks,
                   plan.all_panels * (panel_block + 1) / plan.panel_blocks, x, epilogue, y,
                   plan.strips + thread * plan.strip_size);
    }
    fence();
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
