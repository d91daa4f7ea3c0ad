// The three passes of the 2-D convolution, each by the algorithm that suits the shape: Winograd's
// where it pays, otherwise direct convolution; that is a matrix product over the pixels for 1x1
// with stride 1, and for few output channels neighbouring pixels share a vector. Small images and
// gradients with strides or many channels go over pixels that are gathered first. Backward-input
// with strides is one direct convolution for each residue class of the input pixels, so that
// nothing is multiplied by inserted zeros; for few input channels it goes by columns.
#include "conv2d.h"

#include "epilogue.h"
#include "row_sums.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Whether Winograd's algorithm is the faster one, forward and backward-input. From
// bench/conv2d_algorithms.cpp, 2 threads: with 32 channels and more it nearly always was (AVX-512
// 1.02 to 11 times; AVX2 0.8 times for single images of a few pixels). With 16, AVX-512 gained from
// some 1500 pixels on (1.1 to 2.7 times) and AVX2 did not; with 8, neither. In groups of 16 to 24
// it gained at 12544 pixels (1.1 to 1.5 times) and lost at 3136 (0.8).
bool winograd_pays(const Conv2dShape& s) {
  const int64_t channels = min_of(s.C, s.K) / s.groups, pixels = s.N * s.P * s.Q;
  return channels >= 32 ||
         (lanes<float> >= 16 && channels >= 16 && pixels >= (s.groups > 1 ? 8000 : 1500));
}

// The same for backward-weight: as fast as direct convolution or up to twice as fast at 392 pixels.
bool winograd_backward_weight_pays(const Conv2dShape& s) {
  return min_of(s.C, s.K) / s.groups >= 16 && s.N * s.P * s.Q >= 300;
}

// `pays`: whether Winograd's algorithm is to be taken where the choice is free.
template <class T>
Conv2dAlgorithm choose(const Conv2dShape& s, bool pays) {
  const bool can = sizeof(T) == sizeof(float) && winograd_can(s);
  const bool wanted = s.algorithm == Conv2dAlgorithm::winograd ||
                      (s.algorithm == Conv2dAlgorithm::automatic && pays);
  return can && wanted ? Conv2dAlgorithm::winograd : Conv2dAlgorithm::direct;
}

template <class T>
Conv2dAlgorithm forward_algorithm(const Conv2dShape& s) {
  return choose<T>(s, winograd_pays(s));
}

template <class T>
Conv2dAlgorithm backward_input_algorithm(const Conv2dShape& s) {
  return choose<T>(s, winograd_pays(s));
}

template <class T>
Conv2dAlgorithm backward_weight_algorithm(const Conv2dShape& s) {
  return choose<T>(s, winograd_backward_weight_pays(s));
}

bool is_matrix_product(const Conv2dShape& s) {
  return s.R == 1 && s.S == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_h == 0 &&
         s.pad_w == 0 && s.groups == 1 && s.P == s.H && s.Q == s.W;
}

// A 1x1 convolution is a linear layer over N P Q pixels.
constexpr LinearShape pixels(const Conv2dShape& s) {
  return {.N = s.N * s.P * s.Q, .I = s.C, .O = s.K};
}

TapGrid forward_grid(const Conv2dShape& s) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  return {.N = s.N,
          .groups = s.groups,
          .H = s.H,
          .W = s.W,
          .C = C,
          .P = s.P,
          .Q = s.Q,
          .K = K,
          .step_h = s.stride_h,
          .step_w = s.stride_w,
          .taps_h = {s.R, -s.pad_h, s.dilation_h, 0, 1},
          .taps_w = {s.S, -s.pad_w, s.dilation_w, 0, 1},
          .out_image = s.P * s.Q * s.K,
          .out_row = s.Q * s.K,
          .out_col = s.K,
          .w_group = K * C * s.R * s.S,
          .w_k = C * s.R * s.S,
          .w_c = s.R * s.S,
          .w_r = s.S,
          .w_s = 1};
}

// The taps r < R that reach input positions residue, residue + stride, ...: those with residue +
// pad - r dilation a multiple of the stride. They are evenly spaced; listed so that the output
// positions that they read ascend.
Taps residue_taps(int64_t residue, int64_t R, int64_t stride, int64_t pad, int64_t dilation) {
  int64_t count = 0, last = 0, step = 0;
  for (int64_t r = 0; r < R; ++r) {
    if ((residue + pad - r * dilation) % stride != 0) continue;
    if (count > 0) step = r - last;
    last = r;
    ++count;
  }
  if (count == 0) return {0, 0, 1, 0, 0};
  return {count, (residue + pad - last * dilation) / stride,
          count > 1 ? step * dilation / stride : 1, last, -step};
}

TapGrid backward_input_grid(const Conv2dShape& s, int64_t residue_h, int64_t residue_w) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  return {.N = s.N,
          .groups = s.groups,
          .H = s.P,
          .W = s.Q,
          .C = K,
          .P = ceil_div(s.H - residue_h, s.stride_h),
          .Q = ceil_div(s.W - residue_w, s.stride_w),
          .K = C,
          .step_h = 1,
          .step_w = 1,
          .taps_h = residue_taps(residue_h, s.R, s.stride_h, s.pad_h, s.dilation_h),
          .taps_w = residue_taps(residue_w, s.S, s.stride_w, s.pad_w, s.dilation_w),
          .out_image = s.H * s.W * s.C,
          .out_row = s.stride_h * s.W * s.C,
          .out_col = s.stride_w * s.C,
          .w_group = K * C * s.R * s.S,
          .w_k = s.R * s.S,
          .w_c = C * s.R * s.S,
          .w_r = s.S,
          .w_s = 1};
}

// Whether a grid is computed over blocks of pixels of all images: for rows that do not fill a tile,
// and for the gradient of strided 1x1 convolutions with the zeros between its pixels. 2 threads,
// 16 images, direct form first: 3x3 with stride 2, 512 -> 512 channels of 14 x 14 pixels 7.8 -> 7.5
// ms; gradient of 1x1 with stride 2, 256 -> 128 channels of 56 x 56, 32 images, 6.8 -> 4.6, 128 ->
// 256 of 28 x 28 0.54 -> 0.50; but 32 -> 64 of 16 x 16, 3x3, 0.66 -> 0.74.
bool gathers(const TapGrid& g) {
  const int64_t channels = g.groups == 1 ? min_of(g.C, g.K) : 0;
  if (g.zeros_h * g.zeros_w > 1) return channels >= 32;
  return channels >= 64 && g.Q < 14 && g.N * g.Q >= 56;
}

// Calls f(grid, offset of its first pixel in dx) for each residue class; of 1x1 filters just for
// the one that has a tap, where the engine writes the zeros of the others.
template <class F>
void for_each_residue(const Conv2dShape& s, const F& f) {
  if (s.R == 1 && s.S == 1 && s.pad_h == 0 && s.pad_w == 0) {
    TapGrid grid = backward_input_grid(s, 0, 0);
    grid.zeros_h = s.stride_h;
    grid.zeros_w = s.stride_w;
    grid.zeros_H = s.H;
    grid.zeros_W = s.W;
    if (gathers(grid)) return f(grid, 0);
  }
  for (int64_t i = 0; i < min_of(s.stride_h, s.H); ++i) {
    for (int64_t j = 0; j < min_of(s.stride_w, s.W); ++j)
      f(backward_input_grid(s, i, j), (i * s.W + j) * s.C);
  }
}

// With few output channels a pixel of y fills a part of a vector only. Then `count` neighbouring
// pixels of a row, which lie side by side in memory, pass for one pixel of count K channels: those
// of a filter that is wider by count - 1 strides and holds, for neighbour j, the weights shifted by
// j strides. The zeros beside them are multiplied for nothing, but 6 channels by 5 columns take
// 2 x 5 vector operations for two pixels one by one, and 6 as neighbours.
struct Neighbours {
  int64_t count;
  Conv2dShape shape;  // of the wider convolution
};

template <class T>
Neighbours neighbours(const Conv2dShape& s) {
  Neighbours best{1, s};
  if (s.groups > 1 || s.dilation_w > 1) return best;
  const auto cost = [&](int64_t count) {  // vector operations a pixel, times all counts tried
    return ceil_div(count * s.K, lanes<T>) * (s.S + s.stride_w * (count - 1)) * 12 / count;
  };
  for (const int64_t count : {2, 3, 4}) {
    if (s.Q % count != 0 || cost(count) * 5 > cost(best.count) * 4) continue;
    best.count = count;
  }
  best.shape.K *= best.count;
  best.shape.S += s.stride_w * (best.count - 1);
  best.shape.Q /= best.count;
  best.shape.stride_w *= best.count;
  return best;
}

constexpr int64_t weight_size(const Conv2dShape& s) { return s.K * (s.C / s.groups) * s.R * s.S; }

// The place in the wider filter, for neighbour j, of weight `column` of row `row` of all k, c, r.
constexpr int64_t wide_place(const Conv2dShape& s, const Neighbours& wide, int64_t j, int64_t row,
                             int64_t column) {
  return (j * s.K * s.C * s.R + row) * wide.shape.S + j * s.stride_w + column;
}

// Whether no element is infinite or NaN. Neighbours see each other's pixels times zero, which must
// stay zero.
template <class T>
bool all_finite(const Exec& exec, int64_t n, const T* x) {
  bool finite = true;
  parallel_elements(exec, n, [&](int64_t begin, int64_t end) {
    Vec<T> sum{};
    int64_t i = begin;
    for (; i + lanes<T> <= end; i += lanes<T>) {
      const Vec<T> v = load(x + i);
      sum += v - v;
    }
    const Vec<T> rest = load(x + i, end - i);
    sum += rest - rest;
    if (reduce_add<T>(sum) != 0) __atomic_store_n(&finite, false, __ATOMIC_RELAXED);
  });
  return finite;
}

template <class T>
void widen_weights(const Conv2dShape& s, const Neighbours& wide, const T* w, T* wide_w) {
  for (int64_t i = 0; i < weight_size(wide.shape); ++i) wide_w[i] = 0;
  for (int64_t j = 0; j < wide.count; ++j) {
    for (int64_t row = 0; row < s.K * s.C * s.R; ++row) {
      for (int64_t i = 0; i < s.S; ++i) wide_w[wide_place(s, wide, j, row, i)] = w[row * s.S + i];
    }
  }
}

template <class T>
void narrow_gradient(const Exec& exec, const Conv2dShape& s, const Neighbours& wide,
                     const T* wide_dw, T* dw, bool accumulate) {
  parallel_for(exec, 1, 1, [&](int64_t, int64_t, int) {
    for (int64_t row = 0; row < s.K * s.C * s.R; ++row) {
      for (int64_t i = 0; i < s.S; ++i) {
        T sum = 0;
        for (int64_t j = 0; j < wide.count; ++j) sum += wide_dw[wide_place(s, wide, j, row, i)];
        T& out = dw[row * s.S + i];
        out = accumulate ? out + sum : sum;
      }
    }
  });
}

// A grid by the engine that suits it.
template <class T>
size_t grid_scratch_bytes(const TapGrid& g, int threads) {
  return gathers(g) ? gathered_grid_scratch_bytes(g, threads, sizeof(T))
                    : tap_grid_scratch_bytes(g, threads, sizeof(T));
}
template <class T>
void grid(const Exec& exec, const TapGrid& g, const T* x, const T* w, const Epilogue<T>& epilogue,
          T* y) {
  gathers(g) ? gathered_grid(exec, g, x, w, epilogue, y) : tap_grid(exec, g, x, w, epilogue, y);
}

template <class T>
size_t forward_scratch_bytes(const Conv2dShape& s, int threads) {
  if (forward_algorithm<T>(s) == Conv2dAlgorithm::winograd)
    return winograd_forward_scratch_bytes(s, threads);
  if (is_depthwise(s, sizeof(T))) return depthwise_grid_scratch_bytes(forward_grid(s), sizeof(T));
  if (is_matrix_product(s)) return gemm_scratch_bytes(forward_gemm(pixels(s)), threads, sizeof(T));
  const size_t alone = grid_scratch_bytes<T>(forward_grid(s), threads);
  const Neighbours wide = neighbours<T>(s);
  if (wide.count == 1) return alone;
  Pieces pieces(nullptr);
  pieces.take<T>(weight_size(wide.shape));
  pieces.take<T>(wide.shape.K);  // scale
  pieces.take<T>(wide.shape.K);  // bias
  const size_t together =
      pieces.bytes() + tap_grid_scratch_bytes(forward_grid(wide.shape), threads, sizeof(T));
  return alone > together ? alone : together;
}

template <class T>
void forward(const Exec& exec, const Conv2dShape& s, const T* x, const T* w,
             const Epilogue<T>& epilogue, T* y) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (forward_algorithm<T>(s) == Conv2dAlgorithm::winograd)
      return winograd_forward(exec, s, x, w, epilogue, y);
  }
  if (is_depthwise(s, sizeof(T))) return depthwise_grid(exec, forward_grid(s), x, w, epilogue, y);
  if (is_matrix_product(s)) return gemm(exec, forward_gemm(pixels(s)), x, w, epilogue, y, false);
  const Neighbours wide = neighbours<T>(s);
  if (wide.count == 1 || !all_finite(exec, s.N * s.H * s.W * s.C, x)) {
    return grid(exec, forward_grid(s), x, w, epilogue, y);
  }
  Pieces pieces(exec.scratch);
  T* const wide_w = pieces.take<T>(weight_size(wide.shape));
  widen_weights(s, wide, w, wide_w);
  const auto widened = [&](const T* channels) -> const T* {
    if (!channels) return nullptr;
    T* const all = pieces.take<T>(wide.shape.K);
    for (int64_t i = 0; i < wide.shape.K; ++i) all[i] = channels[i % s.K];
    return all;
  };
  const Epilogue<T> wide_epilogue{widened(epilogue.scale), widened(epilogue.bias),
                                  epilogue.residual, epilogue.relu};
  tap_grid({exec.threads, pieces.rest()}, forward_grid(wide.shape), x, wide_w, wide_epilogue, y);
}

template <class T>
bool by_columns(const Conv2dShape& s) {
  return 2 * s.C <= lanes<T> && s.R * s.S > 1 && s.groups == 1 && s.dilation_h == 1 &&
         s.dilation_w == 1;
}

template <class T>
size_t backward_input_scratch_bytes(const Conv2dShape& s, int threads) {
  if (backward_input_algorithm<T>(s) == Conv2dAlgorithm::winograd)
    return winograd_backward_input_scratch_bytes(s, threads);
  if (is_matrix_product(s))
    return gemm_scratch_bytes(backward_input_gemm(pixels(s)), threads, sizeof(T));
  if (by_columns<T>(s)) return columns_backward_input_scratch_bytes(s, threads, sizeof(T));
  size_t bytes = 0;
  for_each_residue(s, [&](const TapGrid& class_grid, int64_t) {
    const size_t needed = is_depthwise(s, sizeof(T))
                              ? depthwise_grid_scratch_bytes(class_grid, sizeof(T))
                              : grid_scratch_bytes<T>(class_grid, threads);
    if (needed > bytes) bytes = needed;
  });
  return bytes;
}

template <class T>
void backward_input(const Exec& exec, const Conv2dShape& s, const T* dy, const T* w,
                    const Epilogue<T>& epilogue, T* dx) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (backward_input_algorithm<T>(s) == Conv2dAlgorithm::winograd)
      return winograd_backward_input(exec, s, dy, w, epilogue, dx);
  }
  if (is_matrix_product(s))
    return gemm(exec, backward_input_gemm(pixels(s)), dy, w, epilogue, dx, false);
  if (by_columns<T>(s)) return columns_backward_input(exec, s, dy, w, epilogue, dx);
  for_each_residue(s, [&](const TapGrid& class_grid, int64_t first) {
    const Epilogue<T> end = part_of(epilogue, 0, first);
    if (is_depthwise(s, sizeof(T))) return depthwise_grid(exec, class_grid, dy, w, end, dx + first);
    grid(exec, class_grid, dy, w, end, dx + first);
  });
}

// Whether backward-weight copies the pixels under each tap side by side. 3x3 with stride 2: 512
// channels of 14 x 14 pixels 15 -> 8 ms, 128 of 28 x 28 4.2 -> 3.8, but 32 of 16 x 16 0.64 -> 0.69.
// With stride 1, 512 channels of 7 x 7: 55 -> 41 ms with AVX2, 38 -> 35 with AVX-512.
template <class T>
bool gathers(const Conv2dShape& s) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  return s.stride_w > 1 ? C >= (s.S == 1 ? 16 : 64) : C >= 32 * lanes<T> && K >= 128;
}

template <class T>
size_t backward_weight_scratch_bytes(const Conv2dShape& s, int threads) {
  if (is_depthwise(s, sizeof(T))) return depthwise_backward_weight_scratch_bytes(s, sizeof(T));
  if (backward_weight_algorithm<T>(s) == Conv2dAlgorithm::winograd)
    return winograd_backward_weight_scratch_bytes(s, threads);
  if (is_matrix_product(s))
    return linear_backward_weight_scratch_bytes(pixels(s), threads, sizeof(T));
  if (gathers<T>(s)) return gathered_backward_weight_scratch_bytes(s, threads, sizeof(T));
  const Neighbours wide = neighbours<T>(s);
  Pieces pieces(nullptr);
  if (wide.count > 1) {
    pieces.take<T>(weight_size(wide.shape));
    pieces.take<T>(wide.shape.K);
  }
  return pieces.bytes() + direct_backward_weight_scratch_bytes(wide.shape, threads, sizeof(T));
}

template <class T>
void direct_weight_gradient(const Exec& exec, const Conv2dShape& s, const T* dy, const T* x, T* dw,
                            T* db, bool accumulate) {
  if (is_matrix_product(s))
    return linear_backward_weight(exec, pixels(s), dy, x, dw, db, accumulate);
  if (gathers<T>(s)) return gathered_backward_weight(exec, s, dy, x, dw, db, accumulate);
  const Neighbours wide = neighbours<T>(s);
  if (wide.count == 1) return direct_backward_weight(exec, s, dy, x, dw, db, accumulate);
  Pieces pieces(exec.scratch);
  T *const wide_dw = pieces.take<T>(weight_size(wide.shape)), *const wide_db =
                                                                  pieces.take<T>(wide.shape.K);
  direct_backward_weight({exec.threads, pieces.rest()}, wide.shape, dy, x, wide_dw,
                         db ? wide_db : nullptr, false);
  narrow_gradient(exec, s, wide, wide_dw, dw, accumulate);
  if (db) add_up(exec, wide_db, wide.count, s.K, db, accumulate);
}

template <class T>
void backward_weight(const Exec& exec, const Conv2dShape& s, const T* dy, const T* x, T* dw, T* db,
                     bool accumulate) {
  if (is_depthwise(s, sizeof(T)))
    return depthwise_backward_weight(exec, s, dy, x, dw, db, accumulate);
  if constexpr (sizeof(T) == sizeof(float)) {
    if (backward_weight_algorithm<T>(s) == Conv2dAlgorithm::winograd)
      return winograd_backward_weight(exec, s, dy, x, dw, db, accumulate);
  }
  if (s.N * s.P * s.Q > 0) return direct_weight_gradient(exec, s, dy, x, dw, db, accumulate);
  for (int64_t i = 0; i < weight_size(s) && !accumulate; ++i) dw[i] = 0;
  for (int64_t k = 0; db && k < s.K && !accumulate; ++k) db[k] = 0;
}

template <class T>
void fill(Ops<T>& t) {
  t.conv2d_forward_algorithm = forward_algorithm<T>;
  t.conv2d_backward_input_algorithm = backward_input_algorithm<T>;
  t.conv2d_backward_weight_algorithm = backward_weight_algorithm<T>;
  t.conv2d_forward_scratch_bytes = forward_scratch_bytes<T>;
  t.conv2d_forward = forward<T>;
  t.conv2d_backward_input_scratch_bytes = backward_input_scratch_bytes<T>;
  t.conv2d_backward_input = backward_input<T>;
  t.conv2d_backward_weight_scratch_bytes = backward_weight_scratch_bytes<T>;
  t.conv2d_backward_weight = backward_weight<T>;
}

}  // namespace

void fill_conv2d(Ops<float>& t) { fill(t); }
void fill_conv2d(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
