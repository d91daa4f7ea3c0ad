// Convolution with stride 1 by Winograd's algorithm (winograd.h), forward and backward-input: a
// tile of outputs x outputs pixels of y is A^T [sum over c of U[c][k] . (B^T d[c] B)] A with d the
// points x points input pixels under it and U = G w G^T, so F(4x4, 3x3) takes 36 products where the
// definition has 144. Channels-last. V[group of tiles][point][chunk of c][tile][c] = B^T d B and
// U[panel of k][point][c][k] are multiplied point by point on the tile of gemm.h into
// M[point][panel][tile][k]. Parallel over blocks of tiles x blocks of panels.
//
// What would not fit the cache of a core is prepared once for all threads, and the other operand is
// made when it is used: U is shared where C is small (a block of V stays in L2), V where C is large
// (U of a deep layer is four times its weights and would stream from memory for each block).
#include "conv2d.h"
#include "winograd.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t L = lanes<float>;
constexpr int64_t W = panel_width<float>;
constexpr int64_t line = 16;  // floats in a cache line: channels of a chunk
using V = VecF32;

// The convolution that both passes are.
struct WinogradShape {
  int64_t N, C, H, W, K, P, Q, taps;
  int64_t pad_h, pad_w;
  int64_t w_k, w_c;  // strides of the weights
  bool flip;         // the taps are those of the filter turned around
};

WinogradShape forward_shape(const Conv2dShape& s) {
  const int64_t taps = s.R * s.S;
  return {s.N, s.C, s.H, s.W, s.K, s.P, s.Q, s.R, s.pad_h, s.pad_w, s.C * taps, taps, false};
}

WinogradShape backward_input_shape(const Conv2dShape& s) {
  const int64_t taps = s.R * s.S;
  return {s.N,  s.K,        s.P, s.Q, s.C, s.H, s.W, s.R, s.R - 1 - s.pad_h, s.S - 1 - s.pad_w,
          taps, s.C * taps, true};
}

// Strides of an odd number of cache lines spread the points over the sets of the cache.
constexpr int64_t odd_lines(int64_t n) { return (ceil_div(n, line) | 1) * line; }

template <class F>
struct Plan {
  static constexpr int64_t points = F::points * F::points;

  const WinogradShape& s;
  int64_t tiles_h, tiles_w, tiles, groups, panels, chunks;
  bool share_weights;  // else the transformed input
  int64_t block_groups, block_panels, blocks, panel_blocks;
  int64_t round_groups, rounds;  // groups of tiles whose transformed input is shared at a time
  int64_t u_point, u_panel, v_point, v_group, m_point;  // strides
  float* u = nullptr;
  float* v = nullptr;
  float* m = nullptr;
  Term* terms = nullptr;
  int64_t bytes;

  Plan(const WinogradShape& shape, int threads, void* scratch)
      : s(shape),
        tiles_h(ceil_div(s.P, F::outputs)),
        tiles_w(ceil_div(s.Q, F::outputs)),
        tiles(s.N * tiles_h * tiles_w),
        groups(ceil_div(tiles, tile_rows)),
        panels(ceil_div(s.K, W)),
        chunks(ceil_div(s.C, line)),
        u_point(s.C * W + line),
        u_panel(points * u_point),
        v_point(odd_lines(chunks * tile_rows * line)),
        v_group(points * v_point) {
    share_weights = v_group * 28 / tile_rows <= shared_weights_v;
    block_groups = share_weights ? 28 / tile_rows : 56 / tile_rows;
    block_panels = 2;
    round_groups = share_weights ? groups : max_of(block_groups, shared_input_v / v_group);
    rounds = ceil_div(groups, max_of(1, round_groups));
    round_groups = ceil_div(groups, max_of(1, rounds));
    blocks = ceil_div(round_groups, block_groups);
    panel_blocks = ceil_div(panels, block_panels);
    m_point = odd_lines(block_panels * block_groups * tile_rows * W);
    Pieces pieces(scratch);
    terms = pieces.take<Term>(chunks);
    u = pieces.take<float>((share_weights ? panels : threads * block_panels) * u_panel);
    v = pieces.take<float>((share_weights ? threads * block_groups : round_groups) * v_group);
    m = pieces.take<float>(threads * points * m_point);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  static constexpr int64_t shared_weights_v = (640 << 10) / 4;  // floats
  static constexpr int64_t shared_input_v = (12 << 20) / 4;

  // Of items with so many multiply-adds each: some tens of microseconds.
  static int64_t grain(int64_t work) { return 1 + 1000000 / max_of(1, work); }

  int64_t first_tile(int64_t group) const { return tile_begin(tiles, groups, group); }

  // The channels c0 to c1 of a panel.
  void transform_weights(int64_t panel, int64_t c0, int64_t c1, const float* w, float* to) const {
    constexpr int taps = F::taps * F::taps;
    constexpr int64_t some = 8;  // channels: read together, for the taps of one fill no cache line
    const int64_t columns = min_of(W, s.K - panel * W);
    alignas(64) float g[some * taps][W];
    for (int64_t c = c0; c < c1; c += some) {
      const int64_t channels = min_of(some, c1 - c);
      for (int64_t j = 0; j < W; ++j) {
        if (j >= columns) {
          for (int64_t i = 0; i < channels * taps; ++i) g[i][j] = 0;
          continue;
        }
        const float* const from = w + (panel * W + j) * s.w_k + c * s.w_c;
        for (int64_t k = 0; k < channels; ++k) {
          for (int i = 0; i < taps; ++i) {
            g[k * taps + i][j] = from[k * s.w_c + (s.flip ? taps - 1 - i : i)];
          }
        }
      }
      for (int64_t k = 0; k < channels; ++k) {
        for (int64_t j = 0; j < W; j += L) {
          V half[F::points][F::taps];
          for (int i = 0; i < F::taps; ++i) {
            V column[F::taps], u_column[F::points];
            for (int r = 0; r < F::taps; ++r) column[r] = load(g[k * taps + r * F::taps + i] + j);
            F::weight(column, u_column);
            for (int r = 0; r < F::points; ++r) half[r][i] = u_column[r];
          }
          for (int r = 0; r < F::points; ++r) {
            V row[F::points];
            F::weight(half[r], row);
            for (int i = 0; i < F::points; ++i) {
              store(to + (r * F::points + i) * u_point + (c + k) * W + j, row[i]);
            }
          }
        }
      }
    }
  }

  struct Place {
    int64_t n, p, q;  // the first output pixel of a tile
  };
  Place place(int64_t tile) const {
    const int64_t in_image = tile % (tiles_h * tiles_w);
    return {tile / (tiles_h * tiles_w), in_image / tiles_w * F::outputs,
            in_image % tiles_w * F::outputs};
  }

  void transform_tile(const Place& at, const float* x, float* to) const {
    const int64_t h = at.p - s.pad_h, w = at.q - s.pad_w;
    const int64_t h0 = max_of(0, -h), h1 = min_of(F::points, s.H - h);
    const int64_t w0 = max_of(0, -w), w1 = min_of(F::points, s.W - w);
    const bool inside = h0 == 0 && w0 == 0 && h1 == F::points && w1 == F::points;
    const float* const from = x + ((at.n * s.H + h) * s.W + w) * s.C;
    for (int64_t c = 0; c < s.C; c += L) {
      const int64_t n = min_of(L, s.C - c);
      V d[points];
      if (inside && n == L) {
#pragma GCC unroll 6
        for (int i = 0; i < F::points; ++i) {
#pragma GCC unroll 6
          for (int j = 0; j < F::points; ++j) {
            d[i * F::points + j] = load(from + (i * s.W + j) * s.C + c);
          }
        }
      } else {
        for (int i = 0; i < F::points; ++i) {
          for (int j = 0; j < F::points; ++j) {
            const bool real = i >= h0 && i < h1 && j >= w0 && j < w1;
            d[i * F::points + j] = real ? load(from + (i * s.W + j) * s.C + c, n) : V{};
          }
        }
      }
#pragma GCC unroll 6
      for (int j = 0; j < F::points; ++j) F::input(d + j, F::points);
      float* const column = to + c / line * tile_rows * line + c % line;
#pragma GCC unroll 6
      for (int i = 0; i < F::points; ++i) {
        F::input(d + i * F::points, 1);
#pragma GCC unroll 6
        for (int j = 0; j < F::points; ++j) {
          store(column + (i * F::points + j) * v_point, d[i * F::points + j]);
        }
      }
    }
  }

  void transform_input(int64_t group, const float* x, float* to) const {
    for (int64_t t = first_tile(group); t < first_tile(group + 1); ++t) {
      transform_tile(place(t), x, to + (t - first_tile(group)) * line);
    }
  }

  void transform_output(const Place& at, int64_t k0, const float* from, const float* bias,
                        float* y) const {
    const int64_t rows = min_of(F::outputs, s.P - at.p), cols = min_of(F::outputs, s.Q - at.q);
    for (int64_t k = k0; k < min_of(k0 + W, s.K); k += L) {
      const int64_t n = min_of(L, s.K - k);
      V half[F::points][F::outputs];
#pragma GCC unroll 6
      for (int i = 0; i < F::points; ++i) {
        V row[F::points];
#pragma GCC unroll 6
        for (int j = 0; j < F::points; ++j) {
          row[j] = load(from + (i * F::points + j) * m_point + k - k0);
        }
        F::output(row, half[i]);
      }
      const V b = bias ? load(bias + k, n) : V{};
#pragma GCC unroll 4
      for (int j = 0; j < F::outputs; ++j) {
        V column[F::points], out[F::outputs];
#pragma GCC unroll 6
        for (int i = 0; i < F::points; ++i) column[i] = half[i][j];
        F::output(column, out);
        if (j >= cols) continue;
#pragma GCC unroll 4
        for (int i = 0; i < F::outputs; ++i) {
          if (i >= rows) continue;
          float* const pixel = y + (((at.n * s.P + at.p + i) * s.Q) + at.q + j) * s.K + k;
          if (n == L) {
            store(pixel, out[i] + b);
          } else {
            store(pixel, out[i] + b, n);
          }
        }
      }
    }
  }

  // The pixels of y of groups g0 to g1 and panels p0 to p1, whose operands are at v_block and
  // u_block.
  void compute(int64_t g0, int64_t g1, int64_t p0, int64_t p1, const float* v_block,
               const float* u_block, const float* bias, float* y, float* m_block) const {
    const int64_t rows = first_tile(g1) - first_tile(g0);
    for (int64_t point = 0; point < points; ++point) {
      for (int64_t panel = p0; panel < p1; ++panel) {
        for (int64_t group = g0; group < g1; ++group) {
          const int64_t row = first_tile(group) - first_tile(g0);
          run_tile<float>(first_tile(group + 1) - first_tile(group),
                          {.a = v_block + (group - g0) * v_group + point * v_point,
                           .a_row = line,
                           .a_col = 1,
                           .b = u_block + (panel - p0) * u_panel + point * u_point,
                           .b_row = W,
                           .terms = terms,
                           .n_terms = chunks,
                           .c = m_block + point * m_point + ((panel - p0) * rows + row) * W,
                           .c_row = W,
                           .bias = nullptr,
                           .columns = min_of(W, round_up(s.K - panel * W, L)),
                           .accumulate = false});
        }
      }
    }
    for (int64_t row = 0; row < rows; ++row) {
      const Place at = place(first_tile(g0) + row);
      for (int64_t panel = p0; panel < p1; ++panel) {
        transform_output(at, panel * W, m_block + ((panel - p0) * rows + row) * W, bias, y);
      }
    }
  }

  void run(const Exec& exec, const float* x, const float* w, const float* bias, float* y) const {
    if (tiles == 0) return;
    for (int64_t i = 0; i < chunks; ++i) {
      terms[i] = {i * tile_rows * line, i * line * W, min_of(line, s.C - i * line)};
    }
    if (share_weights) {
      constexpr int64_t some = 8;
      const int64_t parts = ceil_div(s.C, some);
      parallel_for(exec, panels * parts, grain(some * points * W * 8),
                   [&](int64_t begin, int64_t end, int) {
                     for (int64_t i = begin; i < end; ++i) {
                       const int64_t panel = i / parts, c = i % parts * some;
                       transform_weights(panel, c, min_of(c + some, s.C), w, u + panel * u_panel);
                     }
                   });
    }
    for (int64_t round = 0; round < rounds; ++round) {
      const int64_t g0 = groups * round / rounds, g1 = groups * (round + 1) / rounds;
      if (!share_weights) {
        parallel_for(exec, g1 - g0, grain(tile_rows * s.C * points * 8),
                     [&](int64_t begin, int64_t end, int) {
                       for (int64_t i = begin; i < end; ++i)
                         transform_input(g0 + i, x, v + i * v_group);
                     });
      }
      const int64_t items = blocks * panel_blocks;
      const int64_t products = (first_tile(g1) - first_tile(g0)) * points * s.C * panels * W;
      parallel_for(
          exec, items, grain(products / items), [&](int64_t begin, int64_t end, int thread) {
            float* const own_m = m + thread * points * m_point;
            int64_t prepared = -1;
            for (int64_t item = begin; item < end; ++item) {
              const int64_t block = share_weights ? item / panel_blocks : item % blocks,
                            panel_block = share_weights ? item % panel_blocks : item / blocks;
              const int64_t b0 = g0 + (g1 - g0) * block / blocks,
                            b1 = g0 + (g1 - g0) * (block + 1) / blocks;
              const int64_t p0 = panels * panel_block / panel_blocks,
                            p1 = panels * (panel_block + 1) / panel_blocks;
              const float *v_block, *u_block;
              if (share_weights) {
                float* const own = v + thread * block_groups * v_group;
                if (block != prepared) {
                  for (int64_t g = b0; g < b1; ++g) transform_input(g, x, own + (g - b0) * v_group);
                }
                prepared = block;
                v_block = own;
                u_block = u + p0 * u_panel;
              } else {
                float* const own = u + thread * block_panels * u_panel;
                if (panel_block != prepared) {
                  for (int64_t p = p0; p < p1; ++p)
                    transform_weights(p, 0, s.C, w, own + (p - p0) * u_panel);
                }
                prepared = panel_block;
                v_block = v + (b0 - g0) * v_group;
                u_block = own;
              }
              compute(b0, b1, p0, p1, v_block, u_block, bias, y, own_m);
            }
          });
    }
  }
};

size_t scratch_bytes(const WinogradShape& s, int threads) {
  return with_winograd_family(s.taps, s.P, s.Q, [&]<class F>() {
    return static_cast<size_t>(Plan<F>(s, threads, nullptr).bytes);
  });
}

void winograd(const Exec& exec, const WinogradShape& s, const float* x, const float* w,
              const float* bias, float* y) {
  with_winograd_family(s.taps, s.P, s.Q, [&]<class F>() {
    Plan<F>(s, exec.threads, exec.scratch).run(exec, x, w, bias, y);
  });
}

}  // namespace

size_t winograd_forward_scratch_bytes(const Conv2dShape& s, int threads) {
  return scratch_bytes(forward_shape(s), threads);
}
void winograd_forward(const Exec& exec, const Conv2dShape& s, const float* x, const float* w,
                      const float* bias, float* y) {
  winograd(exec, forward_shape(s), x, w, bias, y);
}

size_t winograd_backward_input_scratch_bytes(const Conv2dShape& s, int threads) {
  return scratch_bytes(backward_input_shape(s), threads);
}
void winograd_backward_input(const Exec& exec, const Conv2dShape& s, const float* dy,
                             const float* w, float* dx) {
  winograd(exec, backward_input_shape(s), dy, w, nullptr, dx);
}

}  // namespace fastnn::FASTNN_ISA
