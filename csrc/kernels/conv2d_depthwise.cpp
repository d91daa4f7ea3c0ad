// Depthwise convolution, with one filter a channel or some (conv2d.h, Sides), and convolution in
// narrow groups of G = 2, 4 or 8 channels:
//   y[n][p][q][k] = b[k] + sum over taps (i, j) and channels c of k's group of
//                   x[n][p step_h + h_i][q step_w + w_j][c] w[k][c][r_i][s_j],
// channels-last. A vector holds neighbouring channels, those of some groups. Accumulator g of a
// pixel sums in lane c what channel c gives to channel c ^ g of its group, so that x needs no
// broadcasts and nothing is multiplied by zero; the lanes go to their places once, at the end.
// Weights packed as [vector][tap][g][lane]; taps beyond the image are left out. Parallel over grid
// rows. 2 N P Q K G taps operations; reads x from memory once and from L2 once a row of taps,
// writes y once.
#include "conv2d.h"
#include "epilogue.h"

namespace fastnn::FASTNN_ISA {
namespace {

// A row of the grid.
template <class T>
struct Row {
  const T* x;  // where tap (0, 0) of the first pixel is
  int64_t x_pixel, x_i, x_j;
  const T* w;
  int64_t w_vector, w_i;
  Range taps_i;  // those within the image
  int64_t taps_j;
  T* y;
  int64_t y_pixel;
  bool streaming;
  int64_t shift;  // of Multiplied
  Epilogue<T> end;
  const T* next;  // what the next row of the grid reads first, next_size elements; null: nothing
  int64_t next_size;
};

// The sum over g of acc[g], lane c ^ g to lane c.
template <class T, int G>
FASTNN_INLINE Vec<T> gather_lanes(const Vec<T>* acc) {
  if constexpr (G == 1) {
    return *acc;
  } else {
    return gather_lanes<T, G / 2>(acc) + swap_lanes<G / 2>(gather_lanes<T, G / 2>(acc + G / 2));
  }
}

// Pixels q to q + count <= q + M, all vectors from v0 to v1, for S neighbouring columns of taps and
// pixels `step` columns apart. Goes column by column of x: each is loaded once for all pixels that
// it takes part in, and left out where it is not within `columns`.
template <class T, int G, Sides sides, int M, int S, int step, class Part>
void compute_columns(const Row<T>& t, int64_t q, int64_t count, Range columns, int64_t v0,
                     int64_t v1, Part part) {
  using V = Vec<T>;
  constexpr int64_t L = lanes<T>;
  const Multiplied<T, sides> channels(t.shift);
  const int64_t begin = columns.begin, end = min_of(columns.end, (count - 1) * step + S);
  for (int64_t v = v0; v < v1; ++v) {
    V acc[M][G];
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
      for (int g = 0; g < G; ++g) acc[m][g] = V{};
    }
    const T* const first = t.x + q * t.x_pixel + channels.of_x(v * L);
    for (int64_t i = t.taps_i.begin; i < t.taps_i.end; ++i) {
      const T* x = first + i * t.x_i;
      const T* const from_w = t.w + v * t.w_vector + i * t.w_i;
      V w[S][G];
#pragma GCC unroll 8
      for (int j = 0; j < S; ++j) {
#pragma GCC unroll 8
        for (int g = 0; g < G; ++g) w[j][g] = load(from_w + (j * G + g) * L);
      }
#pragma GCC unroll 32
      for (int column = 0; column < (M - 1) * step + S; ++column, x += t.x_j) {
        if (column < begin || column >= end) continue;
        const V xv = channels.load_x(x, part);
#pragma GCC unroll 8
        for (int j = column % step; j < S; j += step) {
          const int m = (column - j) / step;
          if (column < j || m >= M) continue;
#pragma GCC unroll 8
          for (int g = 0; g < G; ++g) acc[m][g] = fma(xv, w[j][g], acc[m][g]);
        }
      }
    }
    const auto y_part = channels.y_part(part);
    const int64_t k = channels.of_y(v * L);
    const EpilogueColumns<T> finish(t.end, k, y_part);
    int64_t at = q * t.y_pixel + k;
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m, at += t.y_pixel) {
      if (m >= count) continue;
      const V sums = channels.to_y(gather_lanes<T, G>(acc[m]));
      put(t.streaming, t.y + at, finish(sums, at, y_part), y_part);
    }
  }
}

// Pixels q to q + M of vectors v0 to v1, all of whose columns of taps lie in the image.
template <class T, int G, Sides sides, int M, class Part>
void compute_pixels(const Row<T>& t, int64_t q, int64_t v0, int64_t v1, Part part) {
  using V = Vec<T>;
  constexpr int64_t L = lanes<T>;
  const Multiplied<T, sides> channels(t.shift);
  for (int64_t v = v0; v < v1; ++v) {
    V acc[M][G];
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
      for (int g = 0; g < G; ++g) acc[m][g] = V{};
    }
    const T* const first = t.x + q * t.x_pixel + channels.of_x(v * L);
    for (int64_t i = t.taps_i.begin; i < t.taps_i.end; ++i) {
      const T* x = first + i * t.x_i;
      const T* w = t.w + v * t.w_vector + i * t.w_i;
      for (int64_t j = 0; j < t.taps_j; ++j, x += t.x_j, w += G * L) {
        V xv[M];
#pragma GCC unroll 16
        for (int m = 0; m < M; ++m) xv[m] = channels.load_x(x + m * t.x_pixel, part);
#pragma GCC unroll 8
        for (int g = 0; g < G; ++g) {
          const V wv = load(w + g * L);
#pragma GCC unroll 16
          for (int m = 0; m < M; ++m) acc[m][g] = fma(xv[m], wv, acc[m][g]);
        }
      }
    }
    const auto y_part = channels.y_part(part);
    const int64_t k = channels.of_y(v * L);
    const EpilogueColumns<T> finish(t.end, k, y_part);
    int64_t at = q * t.y_pixel + k;
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m, at += t.y_pixel) {
      const V sums = channels.to_y(gather_lanes<T, G>(acc[m]));
      put(t.streaming, t.y + at, finish(sums, at, y_part), y_part);
    }
  }
}

// Vectors v to v + M of pixel q, of the columns `taps_j` of taps.
template <class T, int G, Sides sides, int M, class Part>
void compute_pixel(const Row<T>& t, int64_t q, Range taps_j, int64_t v, Part part) {
  using V = Vec<T>;
  constexpr int64_t L = lanes<T>;
  const Multiplied<T, sides> channels(t.shift);
  V acc[M][G];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) acc[m][g] = V{};
  }
  for (int64_t i = t.taps_i.begin; i < t.taps_i.end; ++i) {
    const T* x = t.x + q * t.x_pixel + channels.of_x(v * L) + i * t.x_i + taps_j.begin * t.x_j;
    const T* w = t.w + v * t.w_vector + i * t.w_i + taps_j.begin * G * L;
    for (int64_t j = taps_j.begin; j < taps_j.end; ++j, x += t.x_j, w += G * L) {
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        const V xv = channels.load_x(x + channels.of_x(m * L), part);
#pragma GCC unroll 8
        for (int g = 0; g < G; ++g)
          acc[m][g] = fma(xv, load(w + m * t.w_vector + g * L), acc[m][g]);
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
    const auto y_part = channels.y_part(part);
    const int64_t k = channels.of_y((v + m) * L), at = q * t.y_pixel + k;
    const EpilogueColumns<T> finish(t.end, k, y_part);
    const V sums = channels.to_y(gather_lanes<T, G>(acc[m]));
    put(t.streaming, t.y + at, finish(sums, at, y_part), y_part);
  }
}

template <class T, int G, Sides sides>
class Plan {
 public:
  Plan(const TapGrid& grid, void* scratch)
      : g(grid),
        per_group(max_of(g.C, g.K)),
        channels(g.groups * per_group),
        vectors(ceil_div(channels, L)),
        vector_size(g.taps_h.count * g.taps_w.count * G * L),
        packed(static_cast<T*>(scratch)) {}

  size_t bytes() const { return static_cast<size_t>(vectors * vector_size) * sizeof(T); }

  void pack(const T* w) const {
    T* to = packed;
    for (int64_t v = 0; v < vectors; ++v) {
      for (int64_t i = 0; i < g.taps_h.count; ++i) {
        for (int64_t j = 0; j < g.taps_w.count; ++j) {
          const T* const from = w + (g.taps_h.weight + i * g.taps_h.weight_step) * g.w_r +
                                (g.taps_w.weight + j * g.taps_w.weight_step) * g.w_s;
          for (int64_t a = 0; a < G; ++a) {
            for (int64_t c = v * L; c < (v + 1) * L; ++c) {
              const int64_t group = c / per_group, k = min_of((c ^ a) % per_group, g.K - 1);
              const int64_t at =
                  group * g.w_group + k * g.w_k + min_of(c % per_group, g.C - 1) * g.w_c;
              *to++ = c < channels ? from[at] : 0;
            }
          }
        }
      }
    }
  }

  // Row p of the grid in image n.
  void row(int64_t n, int64_t p, const T* x, const Epilogue<T>& epilogue, T* y) const {
    const int64_t first = p * g.step_h + g.taps_h.offset;
    const int64_t next = n * g.H + first + g.taps_h.span();  // may lie in the next image
    const int64_t pixel = g.groups * g.C;
    const Row<T> t{
        .x = x + ((n * g.H + first) * g.W + g.taps_w.offset) * pixel,
        .x_pixel = g.step_w * pixel,
        .x_i = g.taps_h.spacing * g.W * pixel,
        .x_j = g.taps_w.spacing * pixel,
        .w = packed,
        .w_vector = vector_size,
        .w_i = g.taps_w.count * G * L,
        .taps_i = inside(first, g.taps_h.spacing, g.taps_h.count, g.H),
        .taps_j = g.taps_w.count,
        .y = y + n * g.out_image + p * g.out_row,
        .y_pixel = g.out_col,
        .streaming = g.groups * g.K % L == 0 && outgrows_caches(y, g.N * g.out_image),
        .shift = sides == Sides::equal ? 0 : __builtin_ctzll(static_cast<uint64_t>(per_group)),
        .end = part_of(epilogue, 0, n * g.out_image + p * g.out_row),
        .next = next < 0 || next + g.step_h > g.N * g.H ? nullptr : x + next * g.W * pixel,
        .next_size = g.step_h * g.W * pixel};
    if (columns(t)) return;
    const Range whole =  // the pixels all of whose columns of taps lie in the image
        inside(g.taps_w.offset, g.step_w, g.Q, g.W + 1 - max_of(1, g.taps_w.span()));
    for (int64_t q = 0; q < whole.begin; ++q) border(t, q);
    pixels(t, whole);
    for (int64_t q = whole.end; q < g.Q; ++q) border(t, q);
  }

 private:
  static constexpr int64_t L = lanes<T>;
  static constexpr int64_t half_of_l1 = 16 << 10;
  // Pixels at once, so that their sums, their x and a vector of w are in registers; more than 8
  // gain nothing.
  static constexpr int fit = (vector_registers - 1) / (G + 1), most = fit < 8 ? fit : 8;
  static constexpr int half = most > 1 ? most / 2 : 1;

  // False where no code is made for such taps; each kind of them is some hundred instructions, so
  // there is none for double.
  bool columns(const Row<T>& t) const {
    if constexpr (G <= 2 && sizeof(T) == sizeof(float)) {
      if (g.taps_w.spacing == 1 && g.step_w == 1) return columns_of_step<1>(t);
      if (g.taps_w.spacing == 1 && g.step_w == 2) return columns_of_step<2>(t);
    }
    return false;
  }

  template <int step>
  bool columns_of_step(const Row<T>& t) const {
    switch (g.taps_w.count) {
      case 1:
        return columns_of<1, step>(t);
      case 2:
        return columns_of<2, step>(t);
      case 3:
        return columns_of<3, step>(t);
      case 5:
        return columns_of<5, step>(t);
      case 7:
        return columns_of<7, step>(t);
    }
    return false;
  }

  template <int S, int step>
  bool columns_of(const Row<T>& t) const {
    const int64_t tiles = ceil_div(g.Q, most), full = channels / L;
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t q = tile_begin(g.Q, tiles, i), count = tile_begin(g.Q, tiles, i + 1) - q;
      const int64_t first = q * step + g.taps_w.offset;
      const Range columns = inside(first, 1, (most - 1) * step + S, g.W);
      // The hardware does not see the order of these loads as a stream: 2.6 ms become 1.8 for 32 x
      // 128 x 56 x 56, 3 x 3. What would fill half of an L1 of 32 KB, and be gone before its turn,
      // is fetched to L2 (the same on Zen 4: 4.2 -> 2.4 ms, with stride 2 3.4 -> 2.5).
      if (t.next) {
        const T* const from = t.next + i * t.next_size / tiles;
        const int64_t size = t.next_size / tiles;
        if (t.next_size * static_cast<int64_t>(sizeof(T)) > half_of_l1) {
          prefetch_to_l2(from, size);
        } else {
          prefetch_to_l1(from, size);
        }
      }
      compute_columns<T, G, sides, most, S, step>(t, q, count, columns, 0, full, Vectors<1>{});
      compute_columns<T, G, sides, most, S, step>(t, q, count, columns, full, vectors,
                                                  FirstLanes{channels - full * L});
    }
    return true;
  }

  void pixels(const Row<T>& t, Range range) const {
    int64_t q = range.begin;
    for (; range.end - q >= most; q += most) some_pixels<most>(t, q);
    for (; range.end - q >= half; q += half) some_pixels<half>(t, q);
    for (; q < range.end; ++q) some_pixels<1>(t, q);
  }

  template <int M>
  void some_pixels(const Row<T>& t, int64_t q) const {
    const int64_t full = channels / L;
    compute_pixels<T, G, sides, M>(t, q, 0, full, Vectors<1>{});
    compute_pixels<T, G, sides, M>(t, q, full, vectors, FirstLanes{channels - full * L});
  }

  // Pixel q, of whose taps some may lie outside of the row: several vectors at once, so that sums
  // do not wait for each other.
  void border(const Row<T>& t, int64_t q) const {
    constexpr int across = most > 4 ? 4 : most;
    const Range taps_j =
        inside(q * g.step_w + g.taps_w.offset, g.taps_w.spacing, g.taps_w.count, g.W);
    const int64_t full = channels / L;
    int64_t v = 0;
    for (; v + across <= full; v += across)
      compute_pixel<T, G, sides, across>(t, q, taps_j, v, Vectors<1>{});
    for (; v < full; ++v) compute_pixel<T, G, sides, 1>(t, q, taps_j, v, Vectors<1>{});
    if (v < vectors) compute_pixel<T, G, sides, 1>(t, q, taps_j, v, FirstLanes{channels - v * L});
  }

  const TapGrid& g;
  int64_t per_group, channels;   // sums of a group, and of all
  int64_t vectors, vector_size;  // of `packed`
  T* packed;
};

// Calls f.operator()<G, sides>() for a grid.
template <class T, class F>
auto for_grid(const TapGrid& g, const F& f) {
  if (g.C < g.K) return f.template operator()<1, Sides::narrow_x>();
  if (g.C > g.K) return f.template operator()<1, Sides::narrow_y>();
  return for_group<T>(g.C, [&]<int G>() { return f.template operator()<G, Sides::equal>(); });
}

template <class T>
void depthwise_grid_of(const Exec& exec, const TapGrid& grid, const T* x, const T* w,
                       const Epilogue<T>& epilogue, T* y) {
  for_grid<T>(grid, [&]<int G, Sides sides>() {
    const Plan<T, G, sides> plan(grid, exec.scratch);
    plan.pack(w);
    const int64_t taps = grid.taps_h.count * grid.taps_w.count;
    const int64_t sums = round_up(grid.groups * max_of(grid.C, grid.K), lanes<T>);
    const int64_t work = grid.Q * sums * (taps * G + 4);
    parallel_for(exec, grid.N * grid.P, 1 + 1000000 / (work + 1),
                 [&](int64_t begin, int64_t end, int) {
                   for (int64_t i = begin; i < end; ++i)
                     plan.row(i / grid.P, i % grid.P, x, epilogue, y);
                   fence();  // rows may be streamed
                 });
  });
}

}  // namespace

bool is_depthwise(const Conv2dShape& s, size_t item) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups,
                L = vector_bytes / static_cast<int64_t>(item);
  return s.groups > 1 && (K & (K - 1)) == 0 && (C == K ? C <= min_of(8, L) : C == 1 && K <= L);
}

size_t depthwise_grid_scratch_bytes(const TapGrid& g, size_t item) {
  const auto bytes = [&]<class T>(T) {
    return for_grid<T>(g,
                       [&]<int G, Sides sides>() { return Plan<T, G, sides>(g, nullptr).bytes(); });
  };
  return item == sizeof(float) ? bytes(float{}) : bytes(double{});
}
void depthwise_grid(const Exec& exec, const TapGrid& g, const float* x, const float* w,
                    const Epilogue<float>& epilogue, float* y) {
  depthwise_grid_of(exec, g, x, w, epilogue, y);
}
void depthwise_grid(const Exec& exec, const TapGrid& g, const double* x, const double* w,
                    const Epilogue<double>& epilogue, double* y) {
  depthwise_grid_of(exec, g, x, w, epilogue, y);
}

}  // namespace fastnn::FASTNN_ISA
