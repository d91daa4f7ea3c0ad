// Convolution with stride 1 by Winograd's algorithm (winograd.h), forward and backward-input: a
// tile of outputs x outputs pixels of y is A^T [sum over c of U[c][k] . (B^T d[c] B)] A with d the
// points x points input pixels under it and U = G w G^T, so F(4x4, 3x3) takes 36 products where the
// definition has 144. Channels-last. U[panel of k][point][c][k] is made first, or panel by panel
// where it is needed; then, block of tiles by block of tiles, V[group of tiles][point][chunk of
// c][tile][c] = B^T d B, and for each panel point by point M[tile][point][k] = V U, and y. Parallel
// over blocks x panels; threads that share a block transform it each for themselves (fetching it
// from another core took 2 of 8 ms on 32,512,7). A block of V and M stays in L2 while U comes from
// L3; where U, four times the weights, does not fit that, a block is as large as L3 allows.
#include "conv2d.h"
#include "epilogue.h"
#include "winograd.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t L = lanes<float>;
constexpr int64_t W = panel_width<float>;
constexpr int64_t line = 16;             // floats in a cache line: channels of a chunk
constexpr bool whole_lines = L == line;  // parts of lines are not written past the caches
using V = VecF32;

// The convolution that both passes are.
struct WinogradShape {
  int64_t N, groups;
  int64_t C, H, W, K, P, Q, taps;  // C and K of each group
  int64_t pad_h, pad_w;
  int64_t w_k, w_c;  // strides of the weights
  bool flip;         // the taps are those of the filter turned around
  int64_t x_pixel() const { return groups * C; }
  int64_t y_pixel() const { return groups * K; }
};

WinogradShape forward_shape(const Conv2dShape& s) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups, taps = s.R * s.S;
  return {s.N, s.groups, C, s.H, s.W, K, s.P, s.Q, s.R, s.pad_h, s.pad_w, C * taps, taps, false};
}

WinogradShape backward_input_shape(const Conv2dShape& s) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups, taps = s.R * s.S;
  return {s.N,  s.groups, K,   s.P, s.Q, C, s.H, s.W, s.R, s.R - 1 - s.pad_h, s.S - 1 - s.pad_w,
          taps, C * taps, true};
}

// to[i][j] = rows[j][i] for n >= 4 elements of 4 rows, rows of `to` W apart.
FASTNN_INLINE void transpose(const float* const* rows, int64_t n, float* to) {
  using Four __attribute__((vector_size(16))) = float;
  const auto low = [](Four a, Four b) { return Four{a[0], b[0], a[1], b[1]}; };
  const auto high = [](Four a, Four b) { return Four{a[2], b[2], a[3], b[3]}; };
  for (int64_t i = 0; i < n; i += 4) {
    i = min_of(i, n - 4);
    Four r[4];
    for (int j = 0; j < 4; ++j) std::memcpy(&r[j], rows[j] + i, sizeof r[j]);
    const Four even_low = low(r[0], r[2]), even_high = high(r[0], r[2]);
    const Four odd_low = low(r[1], r[3]), odd_high = high(r[1], r[3]);
    const Four columns[4] = {low(even_low, odd_low), high(even_low, odd_low),
                             low(even_high, odd_high), high(even_high, odd_high)};
    for (int j = 0; j < 4; ++j) std::memcpy(to + (i + j) * W, &columns[j], sizeof columns[j]);
  }
}

// Strides of an odd number of cache lines spread the points over the sets of the cache.
constexpr int64_t odd_lines(int64_t n) { return (ceil_div(n, line) | 1) * line; }

constexpr int64_t block_tiles = 14;  // 28 and 42 take the same within 4 %, the noise
constexpr int64_t most_cached_u = 16 << 20, most_cached_v = 12 << 20;  // bytes of L3

// m[i][j] = sum over c < C of v[i][c] u[c][j] for MR tiles and NV vectors, v in chunks. The tile of
// tile.h without an epilogue, which would weigh beside so few channels. The lines at `next`, a step
// apart, are fetched meanwhile.
template <int NV, int MR>
void product(const float* v, const float* u, int64_t C, float* m, int64_t m_tile, const float* next,
             int64_t next_step) {
  V sums[MR][NV];
#pragma GCC unroll 32
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) sums[i][j] = V{};
  }
  for (; C > 0; C -= line, v += (tile_rows - 1) * line) {
    for (const float* const end = v + min_of(C, line); v != end; ++v, u += NV * L) {
      V columns[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) columns[j] = load(u + j * L);
      prefetch(next);
      next += next_step;
#pragma GCC unroll 32
      for (int i = 0; i < MR; ++i) {
        const V value = splat(v[i * line]);
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) sums[i][j] = fma(value, columns[j], sums[i][j]);
      }
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) store(m + i * m_tile + j * L, sums[i][j]);
  }
}

template <int NV, int MR>
FASTNN_INLINE void run_product(int64_t rows, const float* v, const float* u, int64_t C, float* m,
                               int64_t m_tile, const float* next, int64_t next_step) {
  if constexpr (MR > 1) {
    if (rows < MR) return run_product<NV, MR - 1>(rows, v, u, C, m, m_tile, next, next_step);
  }
  product<NV, MR>(v, u, C, m, m_tile, next, next_step);
}

template <class F>
struct Plan {
  static constexpr int64_t weight_channels = 8;  // together: the taps of one fill no cache line
  static constexpr int64_t points = F::points * F::points;

  const WinogradShape& s;
  int64_t tiles_h, tiles_w, tiles, groups;             // groups of tiles
  int64_t panels, all_panels, chunks;                  // panels of a group of channels, of all
  int64_t u_point, u_panel, v_point, v_group, m_tile;  // strides
  int64_t block_groups, blocks;
  float* u = nullptr;
  float* v = nullptr;
  float* m = nullptr;
  int64_t bytes;

  Plan(const WinogradShape& shape, int threads, void* scratch)
      : s(shape),
        tiles_h(ceil_div(s.P, F::outputs)),
        tiles_w(ceil_div(s.Q, F::outputs)),
        tiles(s.N * tiles_h * tiles_w),
        groups(ceil_div(tiles, tile_rows)),
        panels(ceil_div(s.K, W)),
        all_panels(s.groups * panels),
        chunks(ceil_div(s.C, line)),
        u_point(s.C * columns(0) + line),
        u_panel(points * u_point),
        v_point(odd_lines(chunks * tile_rows * line)),
        v_group(points * v_point),
        m_tile(odd_lines(points * columns(0))) {
    constexpr auto item = static_cast<int64_t>(sizeof(float));
    const bool u_is_cached = all_panels * u_panel * item <= most_cached_u;
    block_groups =
        max_of(block_tiles / tile_rows, u_is_cached ? 0 : most_cached_v / v_group / item);
    blocks = max_of(1, ceil_div(groups, block_groups));
    block_groups = ceil_div(groups, blocks);
    Pieces pieces(scratch);
    u = pieces.take<float>((shares_u() ? all_panels : threads) * u_panel);
    v = pieces.take<float>(threads * block_groups * v_group);
    m = pieces.take<float>(threads * block_groups * tile_rows * m_tile);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  // Whether all panels of U are made first, for all threads. A single block needs each only once:
  // then the thread that needs it makes it (16,512,7: 9.0 ms instead of 9.7), unless it would push
  // a large V out of L3 (32,512,7: 17.0 instead of 16.3).
  bool shares_u() const {
    return blocks > 1 ||
           block_groups * v_group * static_cast<int64_t>(sizeof(float)) > most_cached_v / 2;
  }

  // Of a panel, in whole vectors.
  int64_t columns(int64_t panel) const { return min_of(W, round_up(s.K - panel % panels * W, L)); }

  // Of items with so many multiply-adds each: some tens of microseconds.
  static int64_t grain(int64_t work) { return 1 + 1000000 / max_of(1, work); }

  int64_t first_tile(int64_t group) const { return tile_begin(tiles, groups, group); }

  // The channels c0 to c1 of a panel, at most weight_channels.
  void transform_weights(int64_t panel, int64_t c0, int64_t c1, const float* w, float* to) const {
    constexpr int taps = F::taps * F::taps;
    alignas(64) float g[weight_channels * taps][W];
    const int64_t k0 = panel % panels * W, last = min_of(W, s.K - k0) - 1;
    const float* const from = w + panel / panels * s.K * s.C * taps + k0 * s.w_k + c0 * s.w_c;
    for (int64_t j = 0; j < columns(panel); j += 4) {
      const float* rows[4];  // beyond the last column anything will do
      for (int i = 0; i < 4; ++i) rows[i] = from + min_of(j + i, last) * s.w_k;
      // Rows of a deep layer's weights lie so far apart that nothing else fetches ahead: the next
      // channels. 32,512,7: 0.8 of 7 ms.
      if (s.w_c == taps) {
        for (const float* const row : rows) {
          for (int64_t i = 0; i < weight_channels * taps; i += line)
            prefetch(row + weight_channels * taps + i);
        }
        transpose(rows, (c1 - c0) * taps, g[0] + j);
      } else {
        for (int64_t c = c0; c < c1; ++c) {
          for (int64_t i = 0; i < 4 * taps; i += line)
            prefetch(rows[0] + weight_channels * s.w_c + i);
          transpose(rows, taps, g[(c - c0) * taps] + j);
          for (const float*& row : rows) row += s.w_c;
        }
      }
    }
    for (int64_t c = c0; c < c1; ++c) {
      const float (*const taps_of_c)[W] = g + (c - c0) * taps;
      for (int64_t j = 0; j < columns(panel); j += L) {
        V half[F::points][F::taps];
        for (int i = 0; i < F::taps; ++i) {
          V column[F::taps], u_column[F::points];
          for (int r = 0; r < F::taps; ++r) {
            const int tap = r * F::taps + i;
            column[r] = load(taps_of_c[s.flip ? taps - 1 - tap : tap] + j);
          }
          F::weight(column, u_column);
          for (int r = 0; r < F::points; ++r) half[r][i] = u_column[r];
        }
        for (int r = 0; r < F::points; ++r) {
          V row[F::points];
          F::weight(half[r], row);
          for (int i = 0; i < F::points; ++i) {
            // What all threads will read is streamed: 32,512,7 5.6 instead of 7 ms, 16,256,14 3.0
            // instead of 3.3.
            float* const out = to + (r * F::points + i) * u_point + c * columns(panel) + j;
            if (whole_lines && shares_u()) {
              stream(out, row[i]);
            } else {
              store(out, row[i]);
            }
          }
        }
      }
    }
  }

  // The first output pixel of a tile.
  struct Place {
    int64_t n, p, q;
  };
  Place place(int64_t tile) const {
    const int64_t in_image = tile % (tiles_h * tiles_w);
    return {tile / (tiles_h * tiles_w), in_image / tiles_w * F::outputs,
            in_image % tiles_w * F::outputs};
  }
  void next(Place& at) const {
    at.q += F::outputs;
    if (at.q < s.Q) return;
    at.q = 0;
    at.p += F::outputs;
    if (at.p < s.P) return;
    at.p = 0;
    ++at.n;
  }

  void transform_tile(const Place& at, const float* x, float* to) const {
    const int64_t h = at.p - s.pad_h, w = at.q - s.pad_w;
    const int64_t pixel = s.x_pixel(), row = s.W * pixel;
    const Image image{x + at.n * s.H * row, s.H, s.W, row, pixel};
    for (int64_t c = 0; c < s.C; c += L) {
      // The tile after the next, but for the rows that the tiles above have read. Prefetching and
      // streaming: 8,64,224 26.3 -> 20.5 ms, 32,64,56 5.5 -> 4.9.
      if (c % line == 0) {
        const float* const ahead =
            image.pixels + h * row + (w + F::points + F::outputs) * pixel + c;
        for (int i = F::points - F::outputs; i < F::points; ++i) {
          for (int j = 0; j < F::outputs; ++j) prefetch(ahead + i * row + j * pixel);
        }
      }
      float* const column = to + c / line * tile_rows * line + c % line;
      with_patch<F::points>(image, h, w, c, min_of(L, s.C - c),
                            [&](const auto& pixels) FASTNN_INLINE_LAMBDA {
                              transform_patch<F>(pixels, column, v_point);
                            });
    }
  }

  void transform_input(int64_t g0, int64_t g1, const float* x, float* to) const {
    Place at = place(first_tile(g0));
    for (int64_t g = g0; g < g1; ++g) {
      float* row = to + (g - g0) * v_group;
      for (int64_t t = first_tile(g); t < first_tile(g + 1); ++t, row += line, next(at))
        transform_tile(at, x, row);
    }
  }

  bool stream_output(const float* y) const {
    return whole_lines && s.K % L == 0 && outgrows_caches(y, s.N * s.P * s.Q * s.y_pixel());
  }

  // `more`: than a bias. With all in one, 16 channels of 32 x 32 pixels take 6 % longer.
  template <bool more>
  void transform_output(const Place& at, int64_t panel, const float* from,
                        const Epilogue<float>& epilogue, float* y) const {
    const int64_t k0 = panel % panels * W, first = panel / panels * s.K;
    const bool streamed = stream_output(y);
    const int64_t rows = min_of(F::outputs, s.P - at.p), cols = min_of(F::outputs, s.Q - at.q);
    for (int64_t k = k0; k < min_of(k0 + W, s.K); k += L) {
      const int64_t n = min_of(L, s.K - k);
      V half[F::points][F::outputs];
#pragma GCC unroll 6
      for (int i = 0; i < F::points; ++i) {
        V row[F::points];
#pragma GCC unroll 6
        for (int j = 0; j < F::points; ++j) {
          row[j] = load(from + (i * F::points + j) * columns(panel) + k - k0);
        }
        F::output(row, half[i]);
      }
      const EpilogueColumns<float> end(epilogue, first + k, n);
      const auto finish = [&](V sum, int64_t pixel, auto... part) FASTNN_INLINE_LAMBDA {
        return more ? end(sum, pixel, part...) : sum + end.bias;
      };
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
          const int64_t pixel =
              ((at.n * s.P + at.p + i) * s.Q + at.q + j) * s.y_pixel() + first + k;
          if (streamed) {
            stream(y + pixel, finish(out[i], pixel));
          } else if (n == L) {
            store(y + pixel, finish(out[i], pixel));
          } else {
            store(y + pixel, finish(out[i], pixel, n), n);
          }
        }
      }
    }
  }

  // A panel of the pixels of a tile, which may lie behind the last.
  void prefetch_residual(const Place& at, int64_t panel, const float* residual) const {
    if (at.n >= s.N) return;
    const float* const from = residual + panel / panels * s.K + panel % panels * W;
    for (int64_t p = at.p; p < min_of(at.p + F::outputs, s.P); ++p) {
      for (int64_t q = at.q; q < min_of(at.q + F::outputs, s.Q); ++q) {
        for (int64_t k = 0; k < W; k += line)
          prefetch(from + ((at.n * s.P + p) * s.Q + q) * s.y_pixel() + k);
      }
    }
  }

  // The pixels of y of groups g0 to g1, transformed at v_block, and one panel.
  void compute(int64_t g0, int64_t g1, int64_t panel, const float* u_of_panel, const float* v_block,
               const Epilogue<float>& epilogue, float* y, float* m_block) const {
    const int64_t first = first_tile(g0), width = columns(panel);
    for (int64_t point = 0; point < points; ++point) {
      const float* const u_at = u_of_panel + point * u_point;
      for (int64_t group = g0; group < g1; ++group) {
        const int64_t tile = first_tile(group);
        const float* const from = v_block + (group - g0) * v_group + point * v_point;
        float* const to = m_block + (tile - first) * m_tile + point * width;
        // A block of several groups lies in L3 (8,512,28: 41 ms instead of 48).
        const float* const next =
            group + 1 < g1 ? from + v_group : v_block + min_of(point + 1, points - 1) * v_point;
        const int64_t next_step = g1 - g0 > 1 ? tile_rows : 0;
        if (width > L) {
          run_product<2, tile_rows>(first_tile(group + 1) - tile, from, u_at, s.C, to, m_tile, next,
                                    next_step);
        } else {
          run_product<1, tile_rows>(first_tile(group + 1) - tile, from, u_at, s.C, to, m_tile, next,
                                    next_step);
        }
      }
    }
    Place at = place(first), ahead = place(first + 2);
    for (int64_t tile = first; tile < first_tile(g1); ++tile, next(at), next(ahead)) {
      const float* const sums = m_block + (tile - first) * m_tile;
      if (epilogue.residual) prefetch_residual(ahead, panel, epilogue.residual);
      if (epilogue.more()) {
        transform_output<true>(at, panel, sums, epilogue, y);
      } else {
        transform_output<false>(at, panel, sums, epilogue, y);
      }
    }
  }

  void run(const Exec& exec, const float* x, const float* w, const Epilogue<float>& epilogue,
           float* y) const {
    if (tiles == 0) return;
    const int64_t parts = ceil_div(s.C, weight_channels);
    const auto make_u = [&](int64_t panel, int64_t part, float* to) {
      const int64_t c = part * weight_channels;
      transform_weights(panel, c, min_of(c + weight_channels, s.C), w, to);
    };
    if (shares_u()) {
      parallel_for(exec, all_panels * parts, grain(weight_channels * points * W * 8),
                   [&](int64_t begin, int64_t end, int) {
                     for (int64_t i = begin; i < end; ++i)
                       make_u(i / parts, i % parts, u + i / parts * u_panel);
                     fence();
                   });
    }
    const int64_t items = blocks * all_panels;
    parallel_for(exec, items, grain(tiles * points * s.C * all_panels * W / items),
                 [&](int64_t begin, int64_t end, int thread) {
                   float* const own_v = v + thread * block_groups * v_group;
                   int64_t prepared = -1;
                   for (int64_t item = begin; item < end; ++item) {
                     const int64_t block = item / all_panels, panel = item % all_panels;
                     const int64_t g0 = groups * block / blocks, g1 = groups * (block + 1) / blocks;
                     float* const u_of_panel = u + (shares_u() ? panel : thread) * u_panel;
                     for (int64_t part = 0; !shares_u() && part < parts; ++part)
                       make_u(panel, part, u_of_panel);
                     if (item / panels != prepared)
                       transform_input(g0, g1, x + panel / panels * s.C, own_v);
                     prepared = item / panels;
                     compute(g0, g1, panel, u_of_panel, own_v, epilogue, y,
                             m + thread * block_groups * tile_rows * m_tile);
                   }
                   fence();
                 });
  }
};

// Calls f with the family for the shape. Transforming the weights takes as long as the products of
// some 20 tiles (512 channels, one 4x4 image: F4x3 1.4 ms, F2x3 0.45).
template <class Function>
decltype(auto) with_family(const WinogradShape& s, const Function& f) {
  return with_winograd_family(s.taps, s.N, s.P, s.Q, 20, f);
}

size_t scratch_bytes(const WinogradShape& s, int threads) {
  return with_family(
      s, [&]<class F>() { return static_cast<size_t>(Plan<F>(s, threads, nullptr).bytes); });
}

void winograd(const Exec& exec, const WinogradShape& s, const float* x, const float* w,
              const Epilogue<float>& epilogue, float* y) {
  with_family(
      s, [&]<class F>() { Plan<F>(s, exec.threads, exec.scratch).run(exec, x, w, epilogue, y); });
}

}  // namespace

size_t winograd_forward_scratch_bytes(const Conv2dShape& s, int threads) {
  return scratch_bytes(forward_shape(s), threads);
}
void winograd_forward(const Exec& exec, const Conv2dShape& s, const float* x, const float* w,
                      const Epilogue<float>& epilogue, float* y) {
  winograd(exec, forward_shape(s), x, w, epilogue, y);
}

size_t winograd_backward_input_scratch_bytes(const Conv2dShape& s, int threads) {
  return scratch_bytes(backward_input_shape(s), threads);
}
void winograd_backward_input(const Exec& exec, const Conv2dShape& s, const float* dy,
                             const float* w, const Epilogue<float>& epilogue, float* dx) {
  winograd(exec, backward_input_shape(s), dy, w, epilogue, dx);
}

}  // namespace fastnn::FASTNN_ISA
