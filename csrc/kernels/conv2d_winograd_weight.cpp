// Backward-weight of convolutions with stride 1 by Winograd's algorithm (winograd.h):
//   dw = G^T [sum over tiles of (B^T x B) . (A dy A^T)] G,
// where a tile is outputs x outputs pixels of dy and the points x points pixels of x that meet
// them. For each point of transformed tiles the sum is a matrix product whose reduction runs over
// tiles, so F(4x4, 3x3) takes 36 products where the definition has 144. A block of tiles of x and
// dy is transformed to [point][tile][channel], its products are added to
// sums[split][point][panel of c][k][c], and at the end the sums are transformed back, or where all
// tiles are one block piece by piece, before they leave the cache (16,512,7: 8.9 ms instead
// of 10.3). Parallel over splits of the tiles, whose number depends on the shape alone, and over k.
// Every thread transforms the x and dy that it needs itself, x perhaps again: reading what another
// core has just written takes longer (both transformed once for all threads: 31 to 35 ms for
// 8,64,224 instead of 24).
#include "conv2d.h"
#include "row_sums.h"
#include "winograd.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t L = lanes<float>;
using V = VecF32;

// Tiles of a block: a long reduction, so that reading and writing the sums takes little of its
// time.
constexpr int64_t most_block_tiles = 112;
// A split has at least so many tiles, because adding up splits is work as well; fewer where K alone
// makes too few items.
constexpr int64_t split_tiles = 768, least_split_tiles = 48, least_items = 4, most_splits = 16;
constexpr int64_t unit = 4 * L;  // filters that are not divided among threads

// Fetches the Step columns that the next tile adds to the Size rows from `from` on: the hardware
// sees no pattern in these short pieces of rows (without it, transforming 2 x 25 MB from memory
// takes 8.4 ms instead of 3.3).
template <int Size, int Step>
FASTNN_INLINE void prefetch_patch(const Image& image, int64_t h, int64_t w, int64_t c) {
  const float* const from =
      image.pixels + h * image.row_stride + (w + Size) * image.pixel_stride + c;
#pragma GCC unroll 6
  for (int i = 0; i < Size; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < Step; ++j) prefetch(from + i * image.row_stride + j * image.pixel_stride);
  }
}

// The distance of rows of so many channels: spread over the sets of a cache.
constexpr int64_t row_size(int64_t channels) {
  const int64_t row = round_up(channels, L);
  return row % (4 * L) == 0 ? row + L : row;
}

template <class F>
struct Plan {
  static constexpr int64_t W = panel_width<float>;
  static constexpr int points = F::points * F::points;
  const Conv2dShape& s;
  int64_t C, K;                                            // of a group
  int64_t tiles_h, tiles_w, tiles, splits, units, panels;  // units and panels of a group
  int64_t block_tiles, x_row, dy_row, x_point, dy_point;   // of a thread's transformed x and dy
  bool one_block;
  int64_t sums_point, sums_split;
  float* sums;       // with one block: of each thread, [point][k of a tile of products][c]
  float* bias_sums;  // [split][k]
  float* xs;
  float* dys;
  int64_t bytes;

  Plan(const Conv2dShape& shape, int threads, void* scratch)
      : s(shape),
        C(s.C / s.groups),
        K(s.K / s.groups),
        tiles_h(ceil_div(s.P, F::outputs)),
        tiles_w(ceil_div(s.Q, F::outputs)),
        tiles(s.N * tiles_h * tiles_w),
        splits(1),
        units(ceil_div(K, unit)),
        panels(ceil_div(C, W)),
        block_tiles(min_of(tiles, most_block_tiles)),
        x_row(row_size(C)),
        dy_row(row_size(K)),
        x_point(block_tiles * x_row + L),
        dy_point(block_tiles * dy_row + L) {
    const auto at_least = [&] {
      return splits * s.groups * units < least_items ? least_split_tiles : split_tiles;
    };
    while (2 * splits <= most_splits && 2 * splits * at_least() <= tiles) splits *= 2;
    if (tiles == 0) splits = 0;
    one_block = splits == 1 && tiles <= block_tiles;
    sums_point = one_block ? tile_rows * W : panels * s.K * W + L;
    sums_split = points * sums_point;
    const int64_t workers = min_of(threads, splits * s.groups * units);
    Pieces pieces(scratch);
    sums = pieces.take<float>((one_block ? workers : splits) * sums_split);
    bias_sums = pieces.take<float>(splits * s.K);
    xs = pieces.take<float>(workers * points * x_point);
    dys = pieces.take<float>(workers * points * dy_point);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  // The transforms of a tile of a group, of channels k0 to k1 of its dy; the results' addresses are
  // those of point 0.
  void transform(int64_t tile, int64_t group, int64_t k0, int64_t k1, const float* dy,
                 const float* x, float* x_to, float* dy_to) const {
    const int64_t n = tile / (tiles_h * tiles_w), p = tile / tiles_w % tiles_h * F::outputs,
                  q = tile % tiles_w * F::outputs;
    // Input pixels that no output pixel needs might hold anything.
    const Image x_image{x + n * s.H * s.W * s.C + group * C,
                        min_of(s.H, s.P + F::taps - 1 - s.pad_h),
                        min_of(s.W, s.Q + F::taps - 1 - s.pad_w), s.W * s.C, s.C};
    for (int64_t c = 0; c < C; c += L) {
      prefetch_patch<F::points, F::outputs>(x_image, p - s.pad_h, q - s.pad_w, c);
      with_patch<F::points>(x_image, p - s.pad_h, q - s.pad_w, c, min_of(L, C - c),
                            [&](const auto& pixel) FASTNN_INLINE_LAMBDA {
                              transform_patch<F>(pixel, x_to + c, x_point);
                            });
    }
    const Image dy_image{dy + n * s.P * s.Q * s.K + group * K, s.P, s.Q, s.Q * s.K, s.K};
    for (int64_t k = k0; k < k1; k += L) {
      prefetch_patch<F::outputs, F::outputs>(dy_image, p, q, k);
      with_patch<F::outputs>(dy_image, p, q, k, min_of(L, k1 - k),
                             [&](const auto& pixel)
                                 FASTNN_INLINE_LAMBDA { transform_patch_of_dy(pixel, dy_to + k); });
    }
  }

  // A d A^T.
  template <class Pixel>
  FASTNN_INLINE void transform_patch_of_dy(const Pixel& pixel, float* to) const {
    V columns[F::outputs][F::points];
#pragma GCC unroll 4
    for (int j = 0; j < F::outputs; ++j) {
      V d[F::outputs];
#pragma GCC unroll 4
      for (int i = 0; i < F::outputs; ++i) d[i] = pixel(i, j);
      F::output_transposed(d, 1, columns[j]);
    }
#pragma GCC unroll 6
    for (int i = 0; i < F::points; ++i) {
      V row[F::points];
      F::output_transposed(columns[0] + i, F::points, row);
#pragma GCC unroll 6
      for (int j = 0; j < F::points; ++j) store(to + (i * F::points + j) * dy_point, row[j]);
    }
  }

  // c of a panel and filters k to end, at a point: the product over n transformed tiles.
  void product(int64_t point, int64_t panel, int64_t k, int64_t end, int64_t n, const float* xt,
               const float* dyt, float* c, bool accumulate, const Ahead<float>& ahead) const {
    const Term reduction{0, 0, n};
    run_tile<float>(end - k, {.a = dyt + point * dy_point + k,
                              .a_row = 1,
                              .a_col = dy_row,
                              .b = xt + point * x_point + panel * W,
                              .b_row = x_row,
                              .terms = &reduction,
                              .n_terms = 1,
                              .c = c,
                              .c_row = W,
                              .columns = min_of(W, round_up(C, L) - panel * W),
                              .accumulate = accumulate,
                              .ahead = ahead.from,
                              .ahead_step = ahead.step});
  }

  // Adds the products over n transformed tiles to the sums, of which `to` is the group's first. The
  // transformed tiles come from L3: those of the next point are fetched meanwhile.
  void multiply(int64_t n, int64_t k0, int64_t k1, const float* xt, const float* dyt, float* to,
                bool first) const {
    const int64_t row_tiles = ceil_div(k1 - k0, tile_rows), calls = panels * row_tiles,
                  x_calls = max_of(1, calls * C / (C + k1 - k0)),
                  dy_calls = max_of(1, calls - x_calls);
    for (int64_t point = 0; point < points; ++point) {
      const int64_t next = min_of(point + 1, points - 1);
      int64_t call = 0;
      for (int64_t panel = 0; panel < panels; ++panel) {
        for (int64_t i = 0; i < row_tiles; ++i, ++call) {
          const int64_t k = k0 + tile_begin(k1 - k0, row_tiles, i);
          const auto ahead =
              call < x_calls
                  ? Ahead<float>::share(xt + next * x_point, 1, n * x_row, 0, call, x_calls, n)
                  : Ahead<float>::share(dyt + next * dy_point + k0, n, k1 - k0, dy_row,
                                        call - x_calls, dy_calls, n);
          product(point, panel, k, k0 + tile_begin(k1 - k0, row_tiles, i + 1), n, xt, dyt,
                  to + point * sums_point + (panel * K + k) * W, !first, ahead);
        }
      }
    }
  }

  // dw of filters k0 to k1 of a group, all of whose n tiles are transformed. What the next filters
  // need at a point is fetched meanwhile.
  void multiply_back(int64_t group, int64_t n, int64_t k0, int64_t k1, const float* xt,
                     const float* dyt, float* products, float* dw, bool accumulate) const {
    const int64_t row_tiles = ceil_div(k1 - k0, tile_rows);
    for (int64_t panel = 0; panel < panels; ++panel) {
      for (int64_t i = 0; i < row_tiles; ++i) {
        const int64_t k = k0 + tile_begin(k1 - k0, row_tiles, i),
                      end = k0 + tile_begin(k1 - k0, row_tiles, i + 1);
        for (int64_t point = 0; point < points; ++point) {
          product(point, panel, k, end, n, xt, dyt, products + point * sums_point, false,
                  {dyt + point * dy_point + (end < k1 ? end : k0), dy_row});
        }
        for (int64_t j = k; j < end; ++j)
          transform_back(products + (j - k) * W, panel, group * K + j, dw, accumulate);
      }
    }
  }

  // Adds n transformed tiles to the sums of dy over all pixels: row 1 of A is all ones, so point
  // (1, 1) of a tile is the sum of its pixels.
  void add_bias(int64_t n, int64_t k0, int64_t k1, const float* dyt, float* to, bool first) const {
    sum_rows(dyt + (F::points + 1) * dy_point + k0, n, dy_row, k1 - k0, to + k0, !first);
  }

  // The sums of a split for filters k0 to k1 of a group; with one block dw itself.
  void compute(int64_t split, int64_t group, int64_t k0, int64_t k1, const float* dy,
               const float* x, float* xt, float* dyt, float* products, float* dw,
               bool accumulate) const {
    const int64_t begin = tiles * split / splits, n = tiles * (split + 1) / splits - begin;
    const int64_t blocks = ceil_div(n, block_tiles);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t first = begin + n * block / blocks, end = begin + n * (block + 1) / blocks;
      for (int64_t tile = first; tile < end; ++tile) {
        transform(tile, group, k0, k1, dy, x, xt + (tile - first) * x_row,
                  dyt + (tile - first) * dy_row);
      }
      if (one_block) {
        multiply_back(group, end - first, k0, k1, xt, dyt, products, dw, accumulate);
      } else {
        multiply(end - first, k0, k1, xt, dyt, sums + split * sums_split + group * panels * K * W,
                 block == 0);
      }
      add_bias(end - first, k0, k1, dyt, bias_sums + split * s.K + group * K, block == 0);
    }
  }

  // The sums of filter k of all and a panel of its channels.
  const float* sums_of(int64_t panel, int64_t k) const {
    return sums + ((k / K * panels + panel) * K + k % K) * W;
  }

  // dw of filter k of all and a panel of its channels, from their sums.
  void transform_back(const float* sums_of_k, int64_t panel, int64_t k, float* dw,
                      bool accumulate) const {
    for (int64_t c = panel * W; c < min_of(panel * W + W, C); c += L) {
      V u[points], columns[F::points][F::taps];
      for (int point = 0; point < points; ++point) {
        const float* from = sums_of_k + point * sums_point + c % W;
        u[point] = V{};
        for (int64_t split = 0; split < splits; ++split, from += sums_split) {
          __builtin_prefetch(from + W, 0, 2);  // of the next filter
          u[point] += load(from);
        }
      }
#pragma GCC unroll 6
      for (int j = 0; j < F::points; ++j) F::weight_transposed(u + j, F::points, columns[j]);
      constexpr int taps = F::taps * F::taps;
      alignas(64) float g[taps][L];
#pragma GCC unroll 5
      for (int i = 0; i < F::taps; ++i) {
        V row[F::taps];
        F::weight_transposed(columns[0] + i, F::taps, row);
#pragma GCC unroll 5
        for (int j = 0; j < F::taps; ++j) store(g[i * F::taps + j], row[j]);
      }
      float* const to = dw + (k * C + c) * taps;
      for (int64_t j = 0; j < min_of(L, C - c); ++j) {
        for (int i = 0; i < taps; ++i) {
          float& out = to[j * taps + i];
          out = accumulate ? out + g[i][j] : g[i][j];
        }
      }
    }
  }

  void run(const Exec& exec, const float* dy, const float* x, float* dw, float* db,
           bool accumulate) const {
    const int64_t work = tiles * C * min_of(unit, K) / max_of(1, splits);  // of an item, a point
    parallel_for(exec, splits * s.groups * units, 1 + 20000 / (work + 1),
                 [&](int64_t begin, int64_t end, int thread) {
                   for (int64_t item = begin; item < end;) {
                     const int64_t part = item / units, first = part * units;
                     const int64_t stop = min_of(end, first + units);
                     compute(part / s.groups, part % s.groups, (item - first) * unit,
                             min_of((stop - first) * unit, K), dy, x,
                             xs + thread * points * x_point, dys + thread * points * dy_point,
                             sums + (one_block ? thread * sums_split : 0), dw, accumulate);
                     item = stop;
                   }
                 });
    if (!one_block) {
      parallel_for(exec, panels * s.K, 128, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i)
          transform_back(sums_of(i / s.K, i % s.K), i / s.K, i % s.K, dw, accumulate);
      });
    }
    if (db) add_up(exec, bias_sums, splits, s.K, db, accumulate);
  }
};

}  // namespace

size_t winograd_backward_weight_scratch_bytes(const Conv2dShape& s, int threads) {
  return with_winograd_family(s.R, 1, s.P, s.Q, 0, [&]<class F>() {
    return static_cast<size_t>(Plan<F>(s, threads, nullptr).bytes);
  });
}

void winograd_backward_weight(const Exec& exec, const Conv2dShape& s, const float* dy,
                              const float* x, float* dw, float* db, bool accumulate) {
  with_winograd_family(s.R, 1, s.P, s.Q, 0, [&]<class F>() {
    Plan<F>(s, exec.threads, exec.scratch).run(exec, dy, x, dw, db, accumulate);
  });
}

}  // namespace fastnn::FASTNN_ISA
