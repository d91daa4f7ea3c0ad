// dw[k][c][r][s] = sum over n, p, q of dy[n][p][q][k] x[n][p stride_h + r dilation_h - pad_h]
// [q stride_w + s dilation_w - pad_w][c]: a matrix product whose reduction runs over pixels. The
// tile's rows are input channels (of all taps of a row at once where they lie side by side), its
// columns output channels, packed for each strip where they are many, its terms the rows of pixels
// of a strip; dw is summed in WeightSums. Parallel over splits of the images and over those tiles,
// each thread walking the strips in order. 2 N P Q K C R S operations.
#include "conv2d_weight_sums.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Of dy of a strip and a panel. It would reach L3 with images of few channels, of which more rows
// make a strip (8 images, 3 -> 64 channels of 224 x 224 pixels: 11.5 ms).
constexpr int64_t panel_bytes = 128 << 10;
// Up to so many panels dy is read where it lies (the same: 9.6 -> 8.9 ms).
constexpr int64_t most_panels_in_place = 2;

template <class T>
struct Plan {
  static constexpr int64_t W = panel_width<T>;
  const Conv2dShape& s;
  int64_t C, K, panels;  // of a group
  bool merged;
  Taps h, w;
  Strip strip;
  int64_t taps, rows, tiles, units;       // tiles of `rows` rows a tap; units of work in a split
  int64_t grid_rows, row_blocks, images;  // a strip: grid_rows rows of each of some images
  WeightSums<T> sums;
  bool in_place;  // dy is read where it lies
  int64_t strip_size, panel_size;
  T* panel_buffers = nullptr;  // dy of a strip, one panel, for each thread
  T* strips = nullptr;
  Term* terms = nullptr;
  int64_t terms_size, bytes;

  Plan(const Conv2dShape& shape, int threads, void* scratch)
      : s(shape),
        C(s.C / s.groups),
        K(s.K / s.groups),
        panels(ceil_div(K, W)),
        merged(s.dilation_w == 1),
        h{s.R, -s.pad_h, s.dilation_h, 0, 1},
        w{s.S, -s.pad_w, s.dilation_w, 0, 1},
        strip(s.H, s.W, C, s.groups, s.P, s.Q, s.stride_h, s.stride_w, h, w),
        taps(merged ? s.R : s.R * s.S),
        rows(merged ? s.S * C : C),
        tiles(ceil_div(rows, tile_rows)),
        units(s.groups * panels * taps * tiles),
        grid_rows(min_of(strip.grid_rows(s.P, sizeof(T)), max_of(1, panel_rows()))),
        row_blocks(ceil_div(s.P, grid_rows)),
        images(row_blocks == 1 ? images_in_strip() : 1),
        sums(s, units, ceil_div(s.N, images)) {
    grid_rows = ceil_div(s.P, max_of(1, row_blocks));
    strip_size = strip.copied ? round_up(images * strip.image_stride(grid_rows), 64) : 0;
    terms_size = images * grid_rows;
    in_place = s.groups == 1 && panels <= most_panels_in_place;
    panel_size = in_place ? 0 : images * grid_rows * s.Q * W;
    Pieces pieces(scratch);
    sums.take(pieces, threads);
    panel_buffers = pieces.take<T>(threads * panel_size);
    terms = pieces.take<Term>(threads * terms_size);
    strips = pieces.take<T>(threads * strip_size);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  // Rows of dy in panel_bytes.
  int64_t panel_rows() const {
    return panel_bytes / max_of(1, s.Q * min_of(K, W) * static_cast<int64_t>(sizeof(T)));
  }

  int64_t images_in_strip() const {
    const int64_t one = strip.rows(s.P) * strip.row_stride() * static_cast<int64_t>(sizeof(T));
    const int64_t fit = min_of(strip.budget() / max_of(1, one), panel_rows() / max_of(1, s.P));
    return max_of(1, min_of(s.N, fit));
  }

  // dy of grid rows p0 to p1 of images n0 to n1, `columns` output channels from k on.
  void pack(int64_t n0, int64_t n1, int64_t p0, int64_t p1, int64_t k, int64_t columns, const T* dy,
            T* panel) const {
    const int64_t pixels = (p1 - p0) * s.Q;
    for (int64_t n = n0; n < n1; ++n, panel += pixels * W) {
      pack_panel(dy + (n * s.P + p0) * s.Q * s.K + k, s.K, 1, pixels, columns, panel);
    }
  }

  // What the tile `call` of `calls` fetches of the strip that follows: in the first calls the rows
  // of x, without those that a stride skips, in the others dy.
  Ahead<T> ahead(const T* x, const T* dy, int64_t grid_rows_here, int64_t call,
                 int64_t calls) const {
    const int64_t pixels = grid_rows_here * s.Q, row_size = s.W * s.C;
    const int64_t piece = min_of(s.R, s.stride_h) * row_size;
    const int64_t x_calls = max_of(1, calls * piece / (piece + s.Q * s.K)),
                  dy_calls = max_of(1, calls - x_calls);
    if (call < x_calls) {
      return Ahead<T>::share(x, grid_rows_here, piece, s.stride_h * row_size, call, x_calls,
                             pixels);
    }
    return Ahead<T>::share(dy, 1, pixels * s.K, 0, call - x_calls, dy_calls, pixels);
  }

  // Adds what grid rows p0 to p1 of images n0 to n1 give to the units begin to end of a split.
  void compute(int64_t n0, int64_t n1, int64_t p0, int64_t p1, int64_t begin, int64_t end,
               const T* dy, const T* x, int64_t split, int64_t thread, bool with_db,
               bool first) const {
    const int64_t image = s.H * s.W * s.C, image_stride = strip.image_stride(p1 - p0);
    T* const buffer = strips + thread * strip_size;
    T* const panel = panel_buffers + thread * panel_size;
    Term* const term_list = terms + thread * terms_size;
    int64_t n_terms = 0;
    for (int64_t n = n0; n < n1; ++n) {
      for (int64_t p = p0; p < p1; ++p) {
        term_list[n_terms] = {(n - n0) * image_stride + (p - p0) * s.stride_h * strip.row_stride(),
                              in_place ? ((n - n0) * s.P + p - p0) * s.Q * K : n_terms * s.Q * W,
                              s.Q};
        ++n_terms;
      }
    }
    const T* const next_x = x + n0 * image + (p0 + n_terms) * s.stride_h * s.W * s.C;
    const T* const next_dy = dy + (n0 * s.P + p0 + n_terms) * s.Q * s.K;
    const T* from = nullptr;
    int64_t packed = -1, copied = -1;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t tile = unit % tiles, tap = unit / tiles % taps, all_panel = unit / tiles / taps;
      const int64_t group = all_panel / panels, k0 = all_panel % panels * W;
      const int64_t r = merged ? tap : tap / s.S, column = merged ? 0 : tap % s.S * s.dilation_w;
      const int64_t row = tile_begin(rows, tiles, tile);
      if (copied != group) {
        for (int64_t n = n0; n < n1; ++n) {
          const T* const got =
              strip.get(x + n * image + group * C, p0, p1 - p0, buffer + (n - n0) * image_stride);
          if (n == n0) from = got;
        }
        copied = group;
      }
      if (!in_place && packed != all_panel) {
        pack(n0, n1, p0, p1, group * K + k0, min_of(W, K - k0), dy, panel);
        packed = all_panel;
      }
      if (with_db && tap == 0 && tile == 0) {
        sums.add_bias(split, group, k0, min_of(W, K - k0), dy + (n0 * s.P + p0) * s.Q * s.K,
                      n_terms * s.Q, !first);
      }
      const auto [next, step] = ahead(next_x, next_dy, n_terms, unit - begin, end - begin);
      const TileArgs<T> args{
          .a = from + r * s.dilation_h * strip.row_stride() + column * C + row,
          .a_row = 1,
          .a_col = s.stride_w * C,
          .b = in_place ? dy + (n0 * s.P + p0) * s.Q * K + k0 : panel,
          .b_row = in_place ? K : W,
          .terms = term_list,
          .n_terms = n_terms,
          .c = sums.row(split, group, all_panel % panels, merged ? tap * s.S : tap, row),
          .c_row = W,
          .columns = min_of(W, K - k0),
          .accumulate = !first,
          .ahead = next,
          .ahead_step = step};
      const int64_t tile_height = tile_begin(rows, tiles, tile + 1) - row;
      run_tile<T>(tile_height, args,
                  in_place && K % lanes<T> != 0 ? TileForm::partial_b : TileForm::general);
    }
  }

  // The units begin to end of a split over all of its images.
  void compute_split(int64_t split, int64_t begin, int64_t end, const T* dy, const T* x,
                     int64_t thread, bool with_db) const {
    const int64_t first = s.N * split / sums.splits, last = s.N * (split + 1) / sums.splits;
    for (int64_t n = first; n < last; n += images) {
      for (int64_t block = 0; block < row_blocks; ++block) {
        compute(n, min_of(n + images, last), s.P * block / row_blocks,
                s.P * (block + 1) / row_blocks, begin, end, dy, x, split, thread, with_db,
                n == first && block == 0);
      }
    }
  }
};

template <class T>
void direct_backward_weight_of(const Exec& exec, const Conv2dShape& s, const T* dy, const T* x,
                               T* dw, T* db, bool accumulate) {
  const Plan<T> plan(s, exec.threads, exec.scratch);
  const int64_t work = s.N * s.P * s.Q * tile_rows * Plan<T>::W / plan.sums.splits;
  const auto compute = [&](int64_t split, int64_t begin, int64_t end, int64_t thread) {
    plan.compute_split(split, begin, end, dy, x, thread, db != nullptr);
  };
  plan.sums.run(exec, plan.units, 1 + 1000000 / (work + 1), compute, dw, db, accumulate);
}

}  // namespace

size_t direct_backward_weight_scratch_bytes(const Conv2dShape& s, int threads, size_t item) {
  return static_cast<size_t>(item == sizeof(float) ? Plan<float>(s, threads, nullptr).bytes
                                                   : Plan<double>(s, threads, nullptr).bytes);
}
void direct_backward_weight(const Exec& exec, const Conv2dShape& s, const float* dy, const float* x,
                            float* dw, float* db, bool accumulate) {
  direct_backward_weight_of(exec, s, dy, x, dw, db, accumulate);
}
void direct_backward_weight(const Exec& exec, const Conv2dShape& s, const double* dy,
                            const double* x, double* dw, double* db, bool accumulate) {
  direct_backward_weight_of(exec, s, dy, x, dw, db, accumulate);
}

}  // namespace fastnn::FASTNN_ISA
