// Backward-input for few input channels, where direct convolution would leave most of each vector
// empty: every pixel of dy gives its whole window at once, columns[p][q][r][s][c] = sum over k of
// dy[n][p][q][k] w[k][c][r][s], a matrix product R S C wide, and dx[n][h][w][c] is the sum of
// columns over the windows that cover the pixel. One block of rows of dx at a time, so that its
// columns stay in L2. Parallel over images and blocks. 2 N P Q K C R S operations.
#include "conv2d.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t column_bytes = 768 << 10;

// The output positions whose windows reach input positions begin to end.
Range covering(int64_t begin, int64_t end, int64_t window, int64_t stride, int64_t pad,
               int64_t outputs) {
  const int64_t first = begin + pad - window + 1;
  return {first <= 0 ? 0 : ceil_div(first, stride), min_of(outputs, (end - 1 + pad) / stride + 1)};
}

template <class T>
struct Plan {
  static constexpr int64_t W = panel_width<T>;
  const Conv2dShape& s;
  int64_t used, panels, width;  // of a row of columns: R S C elements, padded to whole panels
  int64_t blocks, pixels;       // of rows of dx; pixels of dy for a block, at the most
  T* packed = nullptr;
  Range* covering_cols = nullptr;  // of each column of dx
  T* columns = nullptr;
  int64_t columns_size, bytes;

  Plan(const Conv2dShape& shape, int threads, void* scratch)
      : s(shape), used(s.R * s.S * s.C), panels(ceil_div(used, W)), width(panels * W) {
    const int64_t row = s.Q * width * static_cast<int64_t>(sizeof(T));  // of columns
    const int64_t rows = max_of(1, column_bytes / max_of(1, row) - s.R / s.stride_h) * s.stride_h;
    blocks = ceil_div(s.H, rows);
    while (s.N * blocks < wanted_items && s.H / blocks >= 4 * s.R) blocks *= 2;
    pixels = ((ceil_div(s.H, blocks) + s.R - 1) / s.stride_h + 1) * s.Q;
    columns_size = pixels * width + lanes<T>;  // whole vectors are read from the last columns
    Pieces pieces(scratch);
    packed = pieces.take<T>(panels * s.K * W);
    covering_cols = pieces.take<Range>(s.W);
    columns_size = round_up(columns_size, 64);
    columns = pieces.take<T>(threads * columns_size);
    bytes = static_cast<int64_t>(pieces.bytes());
  }

  void fill_ranges() const {
    for (int64_t w = 0; w < s.W; ++w) {
      covering_cols[w] = covering(w, w + 1, s.S, s.stride_w, s.pad_w, s.Q);
    }
  }

  // packed[panel][k][j] = w[k][c][r][s] for column (r S + s) C + c.
  void pack(const T* w) const {
    for (int64_t column = 0; column < panels * W; ++column) {
      T* const to = packed + column / W * s.K * W + column % W;
      const int64_t c = column % s.C, rs = column / s.C;
      for (int64_t k = 0; k < s.K; ++k)
        to[k * W] = column < used ? w[(k * s.C + c) * s.R * s.S + rs] : 0;
    }
  }

  void compute(int64_t n, int64_t h0, int64_t h1, const T* dy, T* dx, T* buffer) const {
    const Range rows = covering(h0, h1, s.R, s.stride_h, s.pad_h, s.P);
    const int64_t count = max_of(0, rows.end - rows.begin) * s.Q,
                  tiles = ceil_div(count, tile_rows);
    const T* const from = dy + (n * s.P + rows.begin) * s.Q * s.K;
    const Term all{0, 0, s.K};
    for (int64_t panel = 0; panel < panels; ++panel) {
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t row = tile_begin(count, tiles, tile);
        run_tile<T>(tile_begin(count, tiles, tile + 1) - row,
                    {.a = from + row * s.K,
                     .a_row = s.K,
                     .a_col = 1,
                     .b = packed + panel * s.K * W,
                     .b_row = W,
                     .terms = &all,
                     .n_terms = 1,
                     .c = buffer + row * width + panel * W,
                     .c_row = width,
                     .columns = W,
                     .accumulate = false});
      }
    }
    for (int64_t h = h0; h < h1; ++h) {
      const Range p = covering(h, h + 1, s.R, s.stride_h, s.pad_h, s.P);
      for (int64_t w = 0; w < s.W; ++w) {
        const Range q = covering_cols[w];
        const int64_t taps = q.end - q.begin, step = width - s.stride_w * s.C;
        const T* from_row =
            buffer + ((p.begin - rows.begin) * s.Q + q.begin) * width +
            ((h + s.pad_h - p.begin * s.stride_h) * s.S + w + s.pad_w - q.begin * s.stride_w) * s.C;
        Vec<T> sum{};
        for (int64_t i = p.begin; i < p.end;
             ++i, from_row += s.Q * width - s.stride_h * s.S * s.C) {
          for (int64_t j = 0; j < taps; ++j) sum += load(from_row + j * step);
        }
        store(dx + ((n * s.H + h) * s.W + w) * s.C, sum, s.C);
      }
    }
  }
};

template <class T>
void columns_backward_input_of(const Exec& exec, const Conv2dShape& s, const T* dy, const T* w,
                               T* dx) {
  const Plan<T> plan(s, exec.threads, exec.scratch);
  plan.fill_ranges();
  plan.pack(w);
  const int64_t items = s.N * plan.blocks, work = plan.pixels * plan.panels * Plan<T>::W * s.K;
  parallel_for(exec, items, 1 + 1000000 / work, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t block = item % plan.blocks;
      plan.compute(item / plan.blocks, s.H * block / plan.blocks, s.H * (block + 1) / plan.blocks,
                   dy, dx, plan.columns + thread * plan.columns_size);
    }
  });
}

}  // namespace

size_t columns_backward_input_scratch_bytes(const Conv2dShape& s, int threads, size_t item) {
  return static_cast<size_t>(item == sizeof(float) ? Plan<float>(s, threads, nullptr).bytes
                                                   : Plan<double>(s, threads, nullptr).bytes);
}
void columns_backward_input(const Exec& exec, const Conv2dShape& s, const float* dy, const float* w,
                            float* dx) {
  columns_backward_input_of(exec, s, dy, w, dx);
}
void columns_backward_input(const Exec& exec, const Conv2dShape& s, const double* dy,
                            const double* w, double* dx) {
  columns_backward_input_of(exec, s, dy, w, dx);
}

}  // namespace fastnn::FASTNN_ISA
