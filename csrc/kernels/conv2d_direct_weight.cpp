// dw[k][c][r][s] = sum over n, p, q of dy[n][p][q][k] x[n][p stride_h + r dilation_h - pad_h]
// [q stride_w + s dilation_w - pad_w][c]: a matrix product whose reduction runs over pixels. The
// tile's rows are input channels (of all taps of a row at once where they lie side by side), its
// columns output channels, its terms the rows of pixels of a strip; dw is summed in scratch as
// [split][group][panel of k][tap][c][k]. Parallel over those tiles, each thread walking all strips
// in order; where they are few, also over a number of splits of the images that depends on the
// shape alone, summed in order at the end. 2 N P Q K C R S operations.
#include "conv2d.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
struct Plan {
  static constexpr int64_t W = panel_width<T>;
  const Conv2dShape& s;
  int64_t C, K, panels;  // of a group
  bool merged;
  Taps h, w;
  Strip strip;
  int64_t taps, rows, tiles, units;  // tiles of `rows` rows a tap; units of work in a split
  int64_t grid_rows, row_blocks, images, splits;  // a strip: grid_rows rows of each of some images
  int64_t strip_size, sums_size;
  T* sums = nullptr;
  T* strips = nullptr;
  Term* terms = nullptr;
  int64_t terms_size, bytes;

  Plan(const Conv2dShape& shape, int threads, void* scratch)
      : s(shape),
        C(s.C / s.groups),
        K(s.K / s.groups),
        panels(ceil_div(K, W)),
        merged(s.dilation_w == 1 && s.groups == 1),
        h{s.R, -s.pad_h, s.dilation_h, 0, 1},
        w{s.S, -s.pad_w, s.dilation_w, 0, 1},
        strip(s.H, s.W, s.C, s.P, s.Q, s.stride_h, s.stride_w, h, w),
        taps(merged ? s.R : s.R * s.S),
        rows(merged ? s.S * C : C),
        tiles(ceil_div(rows, tile_rows)),
        units(s.groups * panels * taps * tiles) {
    grid_rows = strip.grid_rows(s.P, sizeof(T));
    row_blocks = ceil_div(s.P, grid_rows);
    grid_rows = ceil_div(s.P, max_of(1, row_blocks));
    const int64_t one =
        max_of(1, strip.rows(s.P) * strip.row_stride() * static_cast<int64_t>(sizeof(T)));
    images = row_blocks == 1 ? max_of(1, min_of(s.N, strip_bytes / one)) : 1;
    splits = min_of(ceil_div(s.N, images), ceil_div(wanted_items, max_of(1, units)));
    strip_size = strip.padded ? round_up(images * strip.image_stride(grid_rows), 64) : 0;
    terms_size = images * grid_rows;
    sums_size = s.groups * panels * taps * rows * W;
    Pieces pieces(scratch);
    sums = pieces.take<T>(splits * sums_size);
    terms = pieces.take<Term>(threads * terms_size);
    strips = pieces.take<T>(threads * strip_size);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  // Adds what grid rows p0 to p1 of images n0 to n1 give to the units begin to end of a split.
  void compute(int64_t n0, int64_t n1, int64_t p0, int64_t p1, int64_t begin, int64_t end,
               const T* dy, const T* x, T* split_sums, Term* term_list, T* buffer,
               bool first) const {
    const int64_t image = s.H * s.W * s.C, image_stride = strip.image_stride(p1 - p0);
    const T* from = nullptr;
    int64_t n_terms = 0;
    for (int64_t n = n0; n < n1; ++n) {
      const T* const got = strip.get(x + n * image, p0, p1 - p0, buffer + (n - n0) * image_stride);
      if (n == n0) from = got;
      for (int64_t p = p0; p < p1; ++p) {
        term_list[n_terms++] = {
            (n - n0) * image_stride + (p - p0) * s.stride_h * strip.row_stride(),
            ((n - n0) * s.P + p - p0) * s.Q * s.K, s.Q};
      }
    }
    const T* const dy_rows = dy + (n0 * s.P + p0) * s.Q * s.K;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t tile = unit % tiles, tap = unit / tiles % taps, all_panel = unit / tiles / taps;
      const int64_t group = all_panel / panels, k0 = all_panel % panels * W;
      const int64_t r = merged ? tap : tap / s.S, column = merged ? 0 : tap % s.S * s.dilation_w;
      const int64_t row = tile_begin(rows, tiles, tile);
      const TileArgs<T> args{
          .a = from + r * s.dilation_h * strip.row_stride() + column * s.C + group * C + row,
          .a_row = 1,
          .a_col = s.stride_w * s.C,
          .b = dy_rows + group * K + k0,
          .b_row = s.K,
          .terms = term_list,
          .n_terms = n_terms,
          .c = split_sums + ((all_panel * taps + tap) * rows + row) * W,
          .c_row = W,
          .bias = nullptr,
          .columns = min_of(W, K - k0),
          .accumulate = !first};
      const int64_t tile_height = tile_begin(rows, tiles, tile + 1) - row;
      if (args.columns % lanes<T> == 0) {
        run_tile<T>(tile_height, args);
      } else {
        run_tile<T, true>(tile_height, args);
      }
    }
  }

  // The units begin to end of a split over all of its images.
  void compute_split(int64_t split, int64_t begin, int64_t end, const T* dy, const T* x,
                     Term* term_list, T* buffer) const {
    const int64_t first = s.N * split / splits, last = s.N * (split + 1) / splits;
    for (int64_t n = first; n < last; n += images) {
      for (int64_t block = 0; block < row_blocks; ++block) {
        compute(n, min_of(n + images, last), s.P * block / row_blocks,
                s.P * (block + 1) / row_blocks, begin, end, dy, x, sums + split * sums_size,
                term_list, buffer, n == first && block == 0);
      }
    }
  }

  void unpack(const Exec& exec, T* dw, bool accumulate) const {
    parallel_for(exec, s.K, 1 + 30000 / (C * s.R * s.S + 1), [&](int64_t begin, int64_t end, int) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t in_group = k % K;
        const T* const from =
            sums + (k / K * panels + in_group / W) * taps * rows * W + in_group % W;
        T* const to = dw + k * C * s.R * s.S;
        for (int64_t c = 0; c < C; ++c) {
          for (int64_t rs = 0; rs < s.R * s.S; ++rs) {
            T sum = 0;
            for (int64_t split = 0; split < splits; ++split) {
              sum += from[split * sums_size + (rs * C + c) * W];
            }
            T& out = to[c * s.R * s.S + rs];
            out = accumulate ? out + sum : sum;
          }
        }
      }
    });
  }
};

template <class T>
void direct_backward_weight_of(const Exec& exec, const Conv2dShape& s, const T* dy, const T* x,
                               T* dw, bool accumulate) {
  const Plan<T> plan(s, exec.threads, exec.scratch);
  if (s.N * s.P * s.Q == 0) {
    for (int64_t i = 0; i < s.K * plan.C * s.R * s.S && !accumulate; ++i) dw[i] = 0;
    return;
  }
  const int64_t work = s.N * s.P * s.Q * tile_rows * Plan<T>::W / plan.splits;
  const auto body = [&](int64_t begin, int64_t end, int thread) {
    for (int64_t item = begin; item < end;) {
      const int64_t split = item / plan.units, first = split * plan.units;
      const int64_t stop = min_of(end, first + plan.units);
      plan.compute_split(split, item - first, stop - first, dy, x,
                         plan.terms + thread * plan.terms_size,
                         plan.strips + thread * plan.strip_size);
      item = stop;
    }
  };
  parallel_for(exec, plan.splits * plan.units, 1 + 1000000 / (work + 1), body);
  plan.unpack(exec, dw, accumulate);
}

}  // namespace

size_t direct_backward_weight_scratch_bytes(const Conv2dShape& s, int threads, size_t item) {
  return static_cast<size_t>(item == sizeof(float) ? Plan<float>(s, threads, nullptr).bytes
                                                   : Plan<double>(s, threads, nullptr).bytes);
}
void direct_backward_weight(const Exec& exec, const Conv2dShape& s, const float* dy, const float* x,
                            float* dw, bool accumulate) {
  direct_backward_weight_of(exec, s, dy, x, dw, accumulate);
}
void direct_backward_weight(const Exec& exec, const Conv2dShape& s, const double* dy,
                            const double* x, double* dw, bool accumulate) {
  direct_backward_weight_of(exec, s, dy, x, dw, accumulate);
}

}  // namespace fastnn::FASTNN_ISA
