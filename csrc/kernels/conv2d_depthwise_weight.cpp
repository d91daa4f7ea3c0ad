// The weight gradient of depthwise and narrowly grouped convolution:
//   dw[k][c][r][s] = sum over n, p, q of dy[n][p][q][k]
//                    x[n][p stride_h + r dilation_h - pad_h][q stride_w + s dilation_w - pad_w][c],
// db[k] = sum of dy. As in conv2d_depthwise.cpp a vector holds neighbouring channels of some
// groups: lane c of sum g of a tap belongs to input channel c and output channel c ^ g. Parallel
// over blocks of rows whose number depends on the shape alone, each with sums
// [vector][tap][g][lane] of its own, added up in order at the end. 2 N P Q K G R S operations;
// reads dy and x from memory once.
#include "conv2d.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int most_chunk = 7;

// Some neighbouring taps of a row, and the pixels for which they lie in the image.
struct Chunk {
  int64_t first, count, column;  // column: of x, for the first tap and pixel 0
  Range tap[most_chunk], all;    // each of them; all of them
};

// A row of dy.
template <class T>
struct Row {
  const T* x;  // where tap (0, 0) of the chunk and pixel 0 is
  int64_t x_pixel, x_row, x_tap;
  const T* dy;
  int64_t dy_pixel;
  T* sums;
  int64_t sums_vector, sums_row;
  int64_t shift;  // of Multiplied
};

// sum[tap][g] += x[tap] times dy with lanes c and c ^ g exchanged, from g on.
template <class T, int G, int taps, int g = 0>
FASTNN_INLINE void add_products(const Vec<T>* x, const Vec<T>& dy, Vec<T> (*sum)[G]) {
  const Vec<T> d = g % 4 ? swap_lanes<g % 4>(dy) : dy;
#pragma GCC unroll 8
  for (int t = 0; t < taps; ++t) sum[t][g] = fma(x[t], d, sum[t][g]);
  if constexpr (g == 3 && g + 1 < G) {
    add_products<T, G, taps, g + 1>(x, swap_lanes<4>(dy), sum);
  } else if constexpr (g + 1 < G) {
    add_products<T, G, taps, g + 1>(x, dy, sum);
  }
}

// Adds some pixels of a row to the sums of rows r0 to r0 + `rows` of `taps` taps, for vectors v0 to
// v1.
template <class T, int G, Sides sides, int taps, int rows, class Part>
void add_pixels(const Row<T>& row, const Chunk& chunk, int64_t r0, Range pixels, int64_t v0,
                int64_t v1, Part part) {
  using V = Vec<T>;
  constexpr int64_t L = lanes<T>;
  const Multiplied<T, sides> channels(row.shift);
  const int64_t x_pixel = row.x_pixel, x_row = row.x_row, x_tap = row.x_tap;
  const int64_t begin = min_of(max_of(chunk.all.begin, pixels.begin), pixels.end),
                end = max_of(min_of(chunk.all.end, pixels.end), begin);
  for (int64_t v = v0; v < v1; ++v) {
    T* const sums = row.sums + v * row.sums_vector + r0 * row.sums_row;
    V sum[rows][taps][G];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 8
        for (int g = 0; g < G; ++g) sum[r][t][g] = load(sums + r * row.sums_row + (t * G + g) * L);
      }
    }
    const T* x = row.x + channels.of_x(v * L) + r0 * x_row + pixels.begin * x_pixel;
    const T* dy = row.dy + v * L + pixels.begin * row.dy_pixel;
    const auto some_taps = [&](int64_t q) __attribute__((always_inline)) {
      const V d = load(dy, part);
#pragma GCC unroll 8
      for (int t = 0; t < taps; ++t) {
        if (q < chunk.tap[t].begin || q >= chunk.tap[t].end) continue;
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
          const V xv = channels.load_x(x + r * x_row + t * x_tap, part);
          add_products<T, G, 1>(&xv, d, sum[r] + t);
        }
      }
      x += x_pixel;
      dy += row.dy_pixel;
    };
    for (int64_t q = pixels.begin; q < begin; ++q) some_taps(q);
    for (int64_t q = begin; q < end; ++q, x += x_pixel, dy += row.dy_pixel) {
      const V d = load(dy, part);
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) {
        V xv[taps];
#pragma GCC unroll 8
        for (int t = 0; t < taps; ++t) xv[t] = channels.load_x(x + r * x_row + t * x_tap, part);
        add_products<T, G, taps>(xv, d, sum[r]);
      }
    }
    for (int64_t q = end; q < pixels.end; ++q) some_taps(q);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 8
        for (int g = 0; g < G; ++g) store(sums + r * row.sums_row + (t * G + g) * L, sum[r][t][g]);
      }
    }
  }
}

template <class T, int G, Sides sides>
class Plan {
 public:
  Plan(const Conv2dShape& shape, void* scratch)
      : s(shape),
        full_vectors(s.K / L),
        vectors(ceil_div(s.K, L)),
        chunks(ceil_div(s.S, most_taps)),
        splits(min_of(s.N * s.P, wanted_items)),
        sums(static_cast<T*>(scratch)) {
    const int64_t row = (s.stride_h * s.W * s.C + s.Q * s.K) * static_cast<int64_t>(sizeof(T));
    strip = max_of(1, strip_bytes / row);
    // One vector along whole rows loads and stores its sums once a row; but where pixels lie a
    // large power of two apart, what it reads competes for few sets of L1. (3 x 3, whole rows and 8
    // pixels by 8 vectors: 128 channels of 56 x 56 3.0 and 3.5 ms, with stride 2 1.9 and 1.0; 144
    // channels 1.7 and 3.5; 512 channels of 14 x 14 0.81 and 0.51.)
    const int64_t apart = s.stride_w * s.C * static_cast<int64_t>(sizeof(T));
    const bool few_sets = apart % (s.stride_w == 1 ? 2048 : 1024) == 0;
    most_pixels = few_sets ? 8 : 64;
    most_vectors = few_sets ? 8 : 1;
    // In an L1 of 64 sets of 8 lines.
    const int64_t pixel_lines = s.C * static_cast<int64_t>(sizeof(T)) / 64;
    const int64_t l1_sets = 64 / min_of(64, max_of(1, pixel_lines & -pixel_lines));
    rows_fit_l1 = (s.R + s.stride_h + 1) * s.W <= 8 * l1_sets;
  }

  size_t bytes() const { return static_cast<size_t>(splits * split_size()) * sizeof(T); }

  void compute(const Exec& exec, const T* dy, const T* x, T* dw, T* db, bool accumulate) const {
    const int64_t work = s.N * s.P * s.Q * vectors * L * (s.R * s.S * G + 4) / max_of(1, splits);
    parallel_for(exec, splits, 1 + 1000000 / (work + 1), [&](int64_t begin, int64_t end, int) {
      for (int64_t split = begin; split < end; ++split) sum_split(split, dy, x, db != nullptr);
    });
    parallel_for(exec, vectors, 1 + 100000 / ((splits + 1) * vector_size()),
                 [&](int64_t begin, int64_t end, int) {
                   for (int64_t v = begin; v < end; ++v) write(v, dw, db, accumulate);
                 });
  }

 private:
  static constexpr int64_t L = lanes<T>;
  // Their sums, their x, and dy twice in registers.
  static constexpr int fit = (vector_registers - 2) / (G + 1),
                       most_taps = fit < most_chunk ? fit : most_chunk;
  // Rows of taps at once: enough sums that do not wait for each other, and dy is read less often.
  static constexpr int most_rows(int taps) {
    if (sizeof(T) == sizeof(double)) return 1;  // each form is some hundred instructions
    const int rows = (vector_registers == 32 ? 16 : 12) / (G * taps);
    return rows < 1 ? 1 : rows > 3 ? 3 : rows;
  }

  int64_t shift() const {
    return sides == Sides::equal ? 0 : __builtin_ctzll(static_cast<uint64_t>(s.K / s.C));
  }
  // The sums of a vector: of all taps, and behind them of dy itself.
  int64_t vector_size() const { return (s.R * s.S * G + 1) * L; }
  int64_t split_size() const { return vectors * vector_size(); }

  // Strips of rows that stay in L2 while blocks of vectors, whose sums stay in L1, pass over them.
  void sum_split(int64_t split, const T* dy, const T* x, bool with_db) const {
    T* const own = sums + split * split_size();
    for (int64_t i = 0; i < split_size(); i += L) store(own + i, Vec<T>{});
    const int64_t end = s.N * s.P * (split + 1) / splits;
    for (int64_t first = s.N * s.P * split / splits; first < end; first += strip) {
      for (int64_t v = 0; v < vectors; v += most_vectors)
        add_strip(first, min_of(first + strip, end), v, min_of(v + most_vectors, vectors), dy, x,
                  own, with_db);
    }
  }

  Chunk chunk_of_taps(int64_t i) const {
    Chunk chunk;
    chunk.first = tile_begin(s.S, chunks, i);
    chunk.count = tile_begin(s.S, chunks, i + 1) - chunk.first;
    chunk.column = chunk.first * s.dilation_w - s.pad_w;
    for (int64_t t = 0; t < chunk.count; ++t)
      chunk.tap[t] = inside(chunk.column + t * s.dilation_w, s.stride_w, s.Q, s.W);
    chunk.all = inside(chunk.column, s.stride_w, s.Q, s.W - (chunk.count - 1) * s.dilation_w);
    return chunk;
  }

  // Rows row0 to row1 of all images, for vectors v0 to v1.
  void add_strip(int64_t row0, int64_t row1, int64_t v0, int64_t v1, const T* dy, const T* x,
                 T* own, bool with_db) const {
    const int64_t tiles = ceil_div(s.Q, most_pixels);
    for (int64_t i = 0; i < chunks; ++i) {
      const Chunk chunk = chunk_of_taps(i);
      for (int64_t row = row0; row < row1; ++row) {
        const int64_t n = row / s.P, first = row % s.P * s.stride_h - s.pad_h;
        const Range rows = inside(first, s.dilation_h, s.R, s.H);
        const Row<T> at{.x = x + ((n * s.H + first) * s.W + chunk.column) * s.C,
                        .x_pixel = s.stride_w * s.C,
                        .x_row = s.dilation_h * s.W * s.C,
                        .x_tap = s.dilation_w * s.C,
                        .dy = dy + row * s.Q * s.K,
                        .dy_pixel = s.K,
                        .sums = own + chunk.first * G * L,
                        .sums_vector = vector_size(),
                        .sums_row = s.S * G * L,
                        .shift = shift()};
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const Range pixels{tile_begin(s.Q, tiles, tile), tile_begin(s.Q, tiles, tile + 1)};
          if (i == 0) prefetch_rows(row, pixels, v0, v1, dy, x);
          add_taps<most_taps>(at, chunk, rows, pixels, v0, v1);
        }
      }
    }
    for (int64_t row = row0; with_db && row < row1; ++row) {
      for (int64_t v = v0; v < v1; ++v) {
        const T* const from = dy + row * s.Q * s.K + v * L;
        T* const to = own + (v + 1) * vector_size() - L;
        if (v < full_vectors) {
          add_dy(from, to, Vectors<1>{});
        } else {
          add_dy(from, to, FirstLanes{s.K - v * L});
        }
      }
    }
  }

  template <int taps>
  void add_taps(const Row<T>& row, const Chunk& chunk, Range rows, Range pixels, int64_t v0,
                int64_t v1) const {
    if constexpr (taps > 1) {
      if (chunk.count < taps) return add_taps<taps - 1>(row, chunk, rows, pixels, v0, v1);
    }
    for (int64_t r = rows.begin; r < rows.end; r += most_rows(taps))
      add_rows<taps, most_rows(taps)>(rows.end - r, row, chunk, r, pixels, v0, v1);
  }

  template <int taps, int rows>
  void add_rows(int64_t left, const Row<T>& row, const Chunk& chunk, int64_t r, Range pixels,
                int64_t v0, int64_t v1) const {
    if constexpr (rows > 1) {
      if (left < rows) return add_rows<taps, rows - 1>(left, row, chunk, r, pixels, v0, v1);
    }
    const int64_t full = min_of(v1, full_vectors);
    add_pixels<T, G, sides, taps, rows>(row, chunk, r, pixels, v0, full, Vectors<1>{});
    add_pixels<T, G, sides, taps, rows>(row, chunk, r, pixels, full, v1,
                                        FirstLanes{s.K - full * L});
  }

  template <class Part>
  void add_dy(const T* dy, T* to, Part part) const {
    Vec<T> sum[4] = {load(to), {}, {}, {}};
    int64_t q = 0;
    for (; q + 4 <= s.Q; q += 4) {
      for (int i = 0; i < 4; ++i) sum[i] += load(dy + (q + i) * s.K, part);
    }
    for (; q < s.Q; ++q) sum[0] += load(dy + q * s.K, part);
    store(to, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  }

  // The part of the rows to come, of dy and of x, that the same vectors will need: of the one after
  // the next to L2, of the next one to L1 where the vectors of a few rows have room there, so far
  // apart as they are. (3 x 3, 144 channels of 56 x 56: without 3.0 ms, next row to L1 1.7, to L2
  // 3.0, Zen 5; next row to L1 7.6, both 3.3, Zen 4. 128 channels: next row to L1 4.4, both 4.2, L2
  // alone 3.3.) Where a vector takes less than its width from x, what there is to wait for is
  // short. Inlined, because GCC takes a call that only prefetches for one without effect.
  FASTNN_INLINE void prefetch_rows(int64_t row, Range pixels, int64_t v0, int64_t v1, const T* dy,
                                   const T* x) const {
    if (sides != Sides::equal || row + 2 >= s.N * s.P) return;
    const int64_t first = v0 * L, channels = min_of(v1 * L, s.K) - first;
    for (int64_t q = pixels.begin; q < pixels.end; ++q)
      prefetch_pixel(dy + ((row + 1) * s.Q + q) * s.K + first, channels, s.Q * s.K);
    const int64_t last = row % s.P * s.stride_h - s.pad_h + (s.R - 1) * s.dilation_h;
    for (int64_t i = 1; i <= s.stride_h; ++i) {
      const int64_t h = row / s.P * s.H + last + i;  // may lie in the next image
      if (h < 0 || h + s.stride_h >= s.N * s.H) continue;
      const int64_t end = s.W * pixels.end / s.Q;
      for (int64_t w = s.W * pixels.begin / s.Q; w < end; ++w)
        prefetch_pixel(x + (h * s.W + w) * s.C + first, channels, s.stride_h * s.W * s.C);
    }
  }
  FASTNN_INLINE void prefetch_pixel(const T* p, int64_t channels, int64_t row) const {
    if (rows_fit_l1) prefetch_to_l1(p, channels);
    prefetch_to_l2(p + row, channels);
  }

  // Adds up the splits of vector v.
  void write(int64_t v, T* dw, T* db, bool accumulate) const {
    const int64_t taps = s.R * s.S, channels = min_of(L, s.K - v * L);
    const auto put = [&](T* to, T value) { *to = accumulate ? *to + value : value; };
    for (int64_t i = 0; i <= taps * G; ++i) {
      Vec<T> sum{};
      for (int64_t split = 0; split < splits; ++split)
        sum += load(sums + split * split_size() + v * vector_size() + i * L);
      T value[L];
      store(value, sum);
      for (int64_t lane = 0; lane < channels; ++lane) {
        const int64_t c = v * L + lane;
        if (i < taps * G) {
          put(dw + ((c ^ (i % G)) * G + c % G) * taps + i / G, value[lane]);
        } else if (db) {
          put(db + c, value[lane]);
        }
      }
    }
  }

  const Conv2dShape& s;
  int64_t full_vectors, vectors, chunks;  // chunks of the taps of a row
  int64_t strip, splits;                  // rows at a time; blocks of rows
  int64_t most_pixels, most_vectors;      // of a row at a time
  bool rows_fit_l1;                       // those that a row of dy needs, of a vector
  T* sums;
};

// Calls f.operator()<G, sides>() for a shape.
template <class T, class F>
auto for_shape(const Conv2dShape& s, const F& f) {
  if (s.C < s.K) return f.template operator()<1, Sides::narrow_x>();
  return for_group<T>(s.C / s.groups,
                      [&]<int G>() { return f.template operator()<G, Sides::equal>(); });
}

}  // namespace

size_t depthwise_backward_weight_scratch_bytes(const Conv2dShape& s, size_t item) {
  const auto bytes = [&]<class T>(T) {
    return for_shape<T>(
        s, [&]<int G, Sides sides>() { return Plan<T, G, sides>(s, nullptr).bytes(); });
  };
  return item == sizeof(float) ? bytes(float{}) : bytes(double{});
}
void depthwise_backward_weight(const Exec& exec, const Conv2dShape& s, const float* dy,
                               const float* x, float* dw, float* db, bool accumulate) {
  for_shape<float>(s, [&]<int G, Sides sides>() {
    Plan<float, G, sides>(s, exec.scratch).compute(exec, dy, x, dw, db, accumulate);
  });
}
void depthwise_backward_weight(const Exec& exec, const Conv2dShape& s, const double* dy,
                               const double* x, double* dw, double* db, bool accumulate) {
  for_shape<double>(s, [&]<int G, Sides sides>() {
    Plan<double, G, sides>(s, exec.scratch).compute(exec, dy, x, dw, db, accumulate);
  });
}

}  // namespace fastnn::FASTNN_ISA
