// Backward-input for few input channels, where direct convolution would leave most of each vector
// empty. The rows of the filter are cut into `groups` bands of `band` rows, r = g band + i. What
// one pixel of dy gives to a band lies side by side, i, s, c, and the groups are summed in
// registers:
//   columns[t][q][i][s][c] = sum over g, p with p stride + g band = t and k of
//                            dy[n][p][q][k] w[k][c][g band + i][s],
// a matrix product over the pixels of a row; dx[n][h][w][c] is the sum of columns over the rows t =
// h + pad - i and the windows that cover w. The last `band` rows t stay in a ring, mostly in L1.
// Parallel over images and blocks of rows of dx. 2 N P Q K C R S operations.
#include "conv2d.h"
#include "epilogue.h"

namespace fastnn::FASTNN_ISA {
namespace {

// The output positions whose windows reach input position `at`.
Range covering(int64_t at, int64_t window, int64_t stride, int64_t pad, int64_t outputs) {
  const int64_t first = at + pad - window + 1;
  return {first <= 0 ? 0 : ceil_div(first, stride), min_of(outputs, (at + pad) / stride + 1)};
}

// A wide band fills vectors, a narrow one leaves less to add: per pixel, half a cycle for each
// vector operation and two for each window of columns.
template <class T>
int64_t choose_band(const Conv2dShape& s) {
  const auto cost = [&](int64_t band) {
    return ceil_div(s.R, band) * ceil_div(band * s.S * s.C, lanes<T>) * s.K + 4 * band * s.S;
  };
  int64_t best = 1;
  for (int64_t band = 2; band <= s.R; ++band) {
    if (cost(band) < cost(best)) best = band;
  }
  return best;
}

template <class T>
struct Plan {
  static constexpr int64_t W = panel_width<T>;
  const Conv2dShape& s;
  int64_t band, groups;
  int64_t used, panels, width;  // of a pixel of columns: band S C elements, padded to whole vectors
  int64_t rows;                 // t < rows
  int64_t blocks;               // of rows of dx
  T* packed = nullptr;          // [panel][g][k][column]
  Term* terms = nullptr;        // `groups` for each row t, of which counts[t] are in use
  int64_t* counts = nullptr;
  Range* covering_cols = nullptr;  // of each column of dx
  T* rings = nullptr;
  int64_t ring_size, bytes;

  Plan(const Conv2dShape& shape, int threads, void* scratch)
      : s(shape),
        band(choose_band<T>(s)),
        groups(ceil_div(s.R, band)),
        used(band * s.S * s.C),
        panels(ceil_div(used, W)),
        width(round_up(used, lanes<T>)),
        rows((s.P - 1) * s.stride_h + (groups - 1) * band + 1),
        blocks(1) {
    while (s.N * blocks < wanted_items && s.H / blocks >= 4 * s.R) blocks *= 2;
    Pieces pieces(scratch);
    packed = pieces.take<T>(panels * groups * s.K * W);
    terms = pieces.take<Term>(rows * groups);
    counts = pieces.take<int64_t>(rows);
    covering_cols = pieces.take<Range>(s.W);
    ring_size =
        round_up(band * s.Q * width + lanes<T>, 64);  // the last columns are read in vectors
    rings = pieces.take<T>(threads * ring_size);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  void fill_tables() const {
    for (int64_t w = 0; w < s.W; ++w) covering_cols[w] = covering(w, s.S, s.stride_w, s.pad_w, s.Q);
    for (int64_t t = 0; t < rows; ++t) {
      counts[t] = 0;
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t at = t - g * band;
        if (at < 0 || at % s.stride_h != 0 || at / s.stride_h >= s.P) continue;
        terms[t * groups + counts[t]++] = {at / s.stride_h * s.Q * s.K, g * s.K * W, s.K};
      }
    }
  }

  void pack(const T* w) const {
    for (int64_t column = 0; column < panels * W; ++column) {
      const int64_t c = column % s.C, tap = column / s.C % s.S, i = column / s.C / s.S;
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t r = g * band + i;
        T* const to = packed + ((column / W * groups + g) * s.K) * W + column % W;
        for (int64_t k = 0; k < s.K; ++k) {
          to[k * W] = column < used && r < s.R ? w[((k * s.C + c) * s.R + r) * s.S + tap] : 0;
        }
      }
    }
  }

  void fill_columns(int64_t t, const T* dy, T* columns) const {
    const int64_t tiles = ceil_div(s.Q, tile_rows);
    for (int64_t panel = 0; panel < panels; ++panel) {
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t q = tile_begin(s.Q, tiles, tile);
        run_tile<T>(tile_begin(s.Q, tiles, tile + 1) - q, {.a = dy + q * s.K,
                                                           .a_row = s.K,
                                                           .a_col = 1,
                                                           .b = packed + panel * groups * s.K * W,
                                                           .b_row = W,
                                                           .terms = terms + t * groups,
                                                           .n_terms = counts[t],
                                                           .c = columns + q * width + panel * W,
                                                           .c_row = width,
                                                           .columns = min_of(W, width - panel * W),
                                                           .accumulate = false});
      }
    }
  }

  // Row h of dx, at element `at`, from the columns of the rows from `first` to `last`.
  void add_columns(int64_t h, int64_t first, int64_t last, const T* ring,
                   const EpilogueColumns<T>& finish, int64_t at, T* dx) const {
    const int64_t step = width - s.stride_w * s.C;  // from a window to the next that covers a pixel
    const int64_t first_slot = first % band;
    for (int64_t w = 0; w < s.W; ++w, at += s.C) {
      const Range q = covering_cols[w];
      const int64_t tap = w + s.pad_w - q.begin * s.stride_w, windows = q.end - q.begin;
      Vec<T> sum{};
      for (int64_t t = first, slot = first_slot; t <= last;
           ++t, slot = slot + 1 < band ? slot + 1 : 0) {
        if (counts[t] == 0) continue;
        const T* const from =
            ring + (slot * s.Q + q.begin) * width + ((h + s.pad_h - t) * s.S + tap) * s.C;
        for (int64_t j = 0; j < windows; ++j) sum += load(from + j * step);
      }
      store(dx + at, finish(sum, at, s.C), s.C);
    }
  }

  // Rows h0 to h1 of image n.
  void compute(int64_t n, int64_t h0, int64_t h1, const T* dy, const Epilogue<T>& epilogue, T* dx,
               T* ring) const {
    const EpilogueColumns<T> finish(epilogue, 0, s.C);
    int64_t next = max_of(0, h0 + s.pad_h - band + 1);
    for (int64_t h = h0; h < h1; ++h) {
      const int64_t first = max_of(0, h + s.pad_h - band + 1), last = min_of(rows - 1, h + s.pad_h);
      for (next = max_of(next, first); next <= last; ++next) {
        if (counts[next] > 0) {
          fill_columns(next, dy + n * s.P * s.Q * s.K, ring + next % band * s.Q * width);
        }
      }
      add_columns(h, first, last, ring, finish, (n * s.H + h) * s.W * s.C, dx);
    }
  }
};

template <class T>
void columns_backward_input_of(const Exec& exec, const Conv2dShape& s, const T* dy, const T* w,
                               const Epilogue<T>& epilogue, T* dx) {
  const Plan<T> plan(s, exec.threads, exec.scratch);
  plan.fill_tables();
  plan.pack(w);
  const int64_t items = s.N * plan.blocks,
                work = s.P * s.Q * plan.groups * plan.panels * Plan<T>::W * s.K / plan.blocks;
  parallel_for(exec, items, 1 + 1000000 / (work + 1), [&](int64_t begin, int64_t end, int thread) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t n = item / plan.blocks, block = item % plan.blocks;
      plan.compute(n, s.H * block / plan.blocks, s.H * (block + 1) / plan.blocks, dy, epilogue, dx,
                   plan.rings + thread * plan.ring_size);
    }
  });
}

}  // namespace

size_t columns_backward_input_scratch_bytes(const Conv2dShape& s, int threads, size_t item) {
  return static_cast<size_t>(item == sizeof(float) ? Plan<float>(s, threads, nullptr).bytes
                                                   : Plan<double>(s, threads, nullptr).bytes);
}
void columns_backward_input(const Exec& exec, const Conv2dShape& s, const float* dy, const float* w,
                            const Epilogue<float>& epilogue, float* dx) {
  columns_backward_input_of(exec, s, dy, w, epilogue, dx);
}
void columns_backward_input(const Exec& exec, const Conv2dShape& s, const double* dy,
                            const double* w, const Epilogue<double>& epilogue, double* dx) {
  columns_backward_input_of(exec, s, dy, w, epilogue, dx);
}

}  // namespace fastnn::FASTNN_ISA
