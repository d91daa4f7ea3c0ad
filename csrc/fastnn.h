// The C++ API of fastnn: shape structs, the table of kernels of one instruction set, and how to
// choose a table.
//
//   const fastnn::Ops<float>& ops = fastnn::ops<float>();  // the best table of this processor
//   const fastnn::Exec exec{.threads = fastnn::num_threads()};
//   ops.activation_forward(exec, {fastnn::Activation::relu}, n, x, y);
//
// Arrays. Activations are channels-last and dense: x[n][h][w][c], y[n][p][q][k]. Weights are stored
// as published: w[k][c / groups][r][s] for convolutions, w[out][in] for linear layers. Everything
// else is row-major and dense.
//
// Gradient contract. Kernels overwrite activation gradients. Parameter gradients (dw, db) are
// overwritten, or added to when `accumulate` is true. A null pointer for an optional array (bias,
// db, argmax, ...) means "not wanted".
//
// Scratch. Kernels do not allocate: where a `<op>_scratch_bytes(shape, threads)` stands beside an
// op, its Exec must carry that many bytes, 64-byte aligned, for that number of threads. The result
// never depends on the number of threads.
//
// Kernels trust their arguments (the bindings check them), are noexcept, and may be called from
// several threads at once. A null entry of a table means that the operation is not supported there.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastnn {

enum class Isa : int { baseline, avx2, avx512, neon };

// How a kernel runs: at most `threads` threads, and scratch memory where the op asks for it.
struct Exec {
  int threads = 1;
  void* scratch = nullptr;
};

// c (+)= a b + bias, where c[i][j] is c[i * c_row + j], a[i][k] is a[i * a_row + k * a_col] and
// b[k][j] is b[k * b_row + j * b_col]; bias one value a column.
struct GemmShape {
  int64_t M, N, K;
  int64_t a_row, a_col, b_row, b_col, c_row;
};

// How a convolution is computed. direct: the sums of the definition. winograd: fewer products of
// transformed tiles, with more rounding, and a NaN or an infinity of x also reaches the pixels that
// share a tile with its windows; float, 3x3 and 5x5 windows, stride 1, dilation 1, one group or
// groups of more than 8 channels.
enum class Conv2dAlgorithm : int { automatic, direct, winograd };

// x (N, C, H, W), w (K, C / groups, R, S), y (N, K, P, Q). Padding is that before the first row and
// column; what is read beyond the last ones is zero as well, so P and Q decide how much padding
// there is behind. An algorithm that cannot do the shape is not taken.
struct Conv2dShape {
  int64_t N, C, H, W, K, R, S, P, Q;
  int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
  Conv2dAlgorithm algorithm = Conv2dAlgorithm::automatic;
};

// What becomes of the sums of a convolution before they are written: y = sum * scale + bias +
// residual, and where `relu` at least 0. scale and bias: one value an output channel; residual: as
// y. Null pointers stand for 1, 0 and 0.
template <class T>
struct Epilogue {
  const T* scale = nullptr;
  const T* bias = nullptr;
  const T* residual = nullptr;
  bool relu = false;
  bool more() const noexcept { return scale || residual || relu; }  // than a bias
};

// x (N, C, H, W), windows R x S, y (N, C, P, Q). pad_h and pad_w on both sides; a window may reach
// beyond the padding (ceil_mode). divisor: 0 for the window size (as count_include_pad says), or
// the number to divide by. adaptive: window p of P spans the rows floor(p H / P) to
// ceil((p + 1) H / P) - 1, and likewise the columns; R x S is then at least as large as any window,
// and stride, pad, dilation, count_include_pad and divisor say nothing.
struct Pool2dShape {
  int64_t N, C, H, W, R, S, P, Q;
  int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  bool count_include_pad;
  int64_t divisor;
  bool adaptive = false;
};

// Dimensions, those first along which y takes the longest steps, and from element to element the
// steps in x and in y. None at all is a single element.
struct CopyShape {
  static constexpr int most_dims = 8;
  int dims = 0;
  int64_t size[most_dims], x_step[most_dims], y_step[most_dims];

  // Adds a dimension inside of the others, which may continue the one before; false where there is
  // no room.
  bool add(int64_t n, int64_t x, int64_t y) noexcept {
    if (n == 1) return true;
    if (dims > 0 && x_step[dims - 1] == n * x && y_step[dims - 1] == n * y) {
      --dims;
      n *= size[dims];
    }
    if (dims == most_dims) return false;
    size[dims] = n;
    x_step[dims] = x;
    y_step[dims] = y;
    ++dims;
    return true;
  }
};

// x (N, C, H, W), y (N, C, P, Q).
struct Resize2dShape {
  int64_t N, C, H, W, P, Q;
};

// What lies outside of an image: a value; the image mirrored at its first and last pixels, which
// are not repeated; its first and last pixels; the image again.
enum class Padding : int { constant, reflect, replicate, circular };

// x (N, C, H, W), y (N, C, P, Q): row p of y is row p - top of x, and column q is column q - left.
// Negative top and left, and small P and Q, crop. What is read is at most H - 1 rows outside of the
// image (reflect), or H rows (circular); columns likewise.
struct Pad2dShape {
  int64_t N, C, H, W, P, Q, top, left;
  Padding padding;
};

// What the rows or the columns of y are made of, where y is x resized: element i is
// (1 - weight[i]) times element low[i] of x plus weight[i] times the one behind it (or the same
// where there is none behind), and with null weights element low[i]. low never decreases.
template <class T>
struct ResizeTaps {
  const int64_t* low;
  const T* weight;
};

// x (N, I), w (O, I), y (N, O).
struct LinearShape {
  int64_t N, I, O;
};

// N rows of C channels; a row is a sample or a pixel.
struct BatchNormShape {
  int64_t N, C;
};

// One value a channel each. w and b may be null: 1 and 0.
template <class T>
struct BatchNormParams {
  const T *mean, *inv_std, *w, *b;
};

// What training keeps of its batches: running += momentum (batch - running), the variance of a
// batch with divisor N - 1. Null pointers: nothing is kept.
template <class T>
struct BatchNormRunning {
  T *mean, *var;
  double momentum;
};

// N rows of D elements, each row normalised by itself: by its mean and variance, or where it is not
// centered by the mean of its squares.
struct LayerNormShape {
  int64_t N, D;
  bool centered = true;
};

// N images of P pixels of C channels, in G groups of C / G adjacent channels. Each group of each
// image is normalised by itself.
struct GroupNormShape {
  int64_t N, P, C, G;
};

// N rows of C channels; a row is a pixel. A window is `size` channels wide.
struct LocalResponseNormShape {
  int64_t N, C, size;
  double alpha, beta, k;
};

// Rows of C classes. A label equal to ignore_index makes its row count for nothing.
// Rows of C classes.
struct SoftmaxShape {
  int64_t N, C;
};

// What the rows of a cross-entropy aim at: q[n][c] = (1 - smoothing) p[n][c] + smoothing / C, where
// p is probabilities (N, C) or, where those are null, 1 for the class labels[n] and 0 for others. A
// label equal to ignore_index makes its row count for nothing. Class c counts weight[c] times, once
// where weight is null.
template <class T>
struct CrossEntropyTarget {
  const int64_t* labels;
  int64_t ignore_index;
  const T *probabilities, *weight;
  double smoothing;
};

// Losses of a prediction x and its target t, one for each element (see kernels/point_loss.cpp).
enum class PointLoss : int {
  squared,
  absolute,
  smooth_l1,  // its parameter is beta, above 0
  huber,      // its parameter is delta
  soft_margin,
  binary_cross_entropy,
  binary_cross_entropy_with_logits,
};

// One direction of a recurrent layer over T time steps of at most N sequences: x (rows, I), y
// (rows, R), where y_row elements lie from row to row of y and dy_row of dy. Step t has
// batch_sizes[t] rows, which stand behind those of step t - 1; they do not increase and start with
// N (null: N each), and the sequence in row n of a step is in row n of all. `reverse` goes from the
// last step of each sequence to its first. H hidden units; R = H, or smaller where an LSTM projects
// its output.
struct RecurrentShape {
  int64_t T, N, I, H, R, rows;
  const int64_t* batch_sizes;
  bool reverse;
  int64_t y_row, dy_row;
};

// ih (G H, I), hh (G H, R), the biases (G H) or null, hr (R, H) or null: a projection, of LSTMs
// alone. G gates of H rows each: lstm 4 (i f g o), gru 3 (r z n), rnn 1.
template <class T>
struct RecurrentWeights {
  const T *ih, *hh, *bias_ih, *bias_hh, *hr;
};

// What a recurrent backward writes. dx may be null, and is added to if add_dx; the gradients of the
// biases may be null.
template <class T>
struct RecurrentGradients {
  T* dx;
  bool add_dx;
  T *dh0, *dc0, *dw_ih, *dw_hh, *db_ih, *db_hh, *dw_hr;
};

enum class Arithmetic : int { add, subtract, multiply, divide };

// An element-wise function, and its parameters where it has any.
struct Activation {
  enum Kind : int {
    relu,
    sigmoid,
    tanh,
    leaky_relu,  // a: the slope for negative x
    elu,         // a: alpha
    celu,        // a: alpha, not 0
    selu,
    softsign,
    silu,
    gelu,
    gelu_tanh,  // the approximation of gelu
    mish,
    softplus,  // a: beta, b: the threshold of beta x above which y = x
    logsigmoid,
    hardtanh,  // a, b: the smallest and the largest y
    hardsigmoid,
    hardswish,
    threshold,   // a: the threshold, b: y up to there
    softshrink,  // a: lambda
    hardshrink,  // a: lambda
    tanhshrink,
  };
  Kind kind;
  double a = 0, b = 0;
};

// Whether an activation's backward wants the input x; otherwise it is told by the output y.
constexpr bool gradient_from_input(const Activation& f) noexcept {
  switch (f.kind) {
    case Activation::leaky_relu:
    case Activation::elu:  // the sign of y tells that of x
      return !(f.a >= 0);
    case Activation::relu:
    case Activation::sigmoid:
    case Activation::tanh:
    case Activation::celu:
    case Activation::selu:
    case Activation::softsign:
    case Activation::logsigmoid:
    case Activation::hardtanh:
      return false;
    default:
      return true;
  }
}

// N rows of C channels, each with a slope of its own for negative x.
struct PReluShape {
  int64_t N, C;
};

// Numbers drawn uniformly from [low, high), the bounds as T has them.
struct UniformNumbers {
  double low, high;
  uint64_t seed;
};

// Numbers drawn from a normal distribution.
struct NormalNumbers {
  double mean, std;
  uint64_t seed;
};

// Slopes for negative x, drawn uniformly from [lower, upper].
struct RandomSlopes {
  double lower, upper;
  uint64_t seed;
};

// x (outer, C * pieces, inner), y (outer, C, inner).
struct MaxoutShape {
  int64_t outer, C, pieces, inner;
};

// With probability p an element x becomes 0 x + dropped, otherwise scale x + kept.
struct Dropout {
  double p;
  uint64_t seed;
  double scale, dropped = 0, kept = 0;
};

// N indices into V rows of D elements.
struct EmbeddingShape {
  int64_t N, V, D;
};

// Images x (N, C, H, W), channels-last or else channel by channel: x[n][h][w][c] or x[n][c][h][w].
// Pixels, which the ops take as void, are T from 0 to 1 or, with `bytes`, uint8_t from 0 to 255,
// which are calculated with in T and rounded to the nearest.
struct ImageShape {
  int64_t N, C, H, W;
  bool channels_last, bytes;
};

// What lies around an image: one value a channel, or the image mirrored at its outermost pixels,
// which reaches H - 1 rows and W - 1 columns far.
enum class Border : int { fill, reflect };

// Where a window P x Q lies in each image: from row top[n] and column left[n] on, which may be
// negative; taken from right to left where flip[n].
struct CropWindows {
  int64_t P, Q;
  Border border;
  const int64_t *top, *left;
  const uint8_t* flip;  // 0 or not
};

// A rectangle in each image: rows top to bottom - 1, columns left to right - 1, all inside it.
struct Box {
  int64_t top, left, bottom, right;
};

// What can be done to the colours of an image.
enum class ColorChange : uint8_t { brightness, contrast, saturation, hue };
constexpr int64_t color_changes = 4;

// Random words, of which each image has `count`: word i of image n is word i % 4 of what Philox
// makes of the counter (index[n] % 2^32, index[n] / 2^32, epoch, block + i / 4) and the key `seed`.
struct ImageDraws {
  int64_t N, count;
  uint64_t seed;
  uint32_t epoch, block;
  const int64_t* index;
};

// The optimizers' steps, in PyTorch's order of operations. Each starts from
//   g = (maximize ? -g : g) + weight_decay * p,
// and keeps up to three arrays of state for a parameter, named here in the order of OptimizerParam.

// State: buf (null without momentum).
//   buf = step == 1 ? g : momentum * buf + (1 - dampening) * g;
//   p -= lr * (nesterov ? g + momentum * buf : buf).
struct SgdStep {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize;
};

// State: sum.
//   sum += g g;  p -= lr / (1 + (step - 1) * lr_decay) * g / (sqrt(sum) + eps).
struct AdagradStep {
  double lr, lr_decay, weight_decay, eps;
  bool maximize;
};

// State: square_avg, grad_avg (null: not centered), buf (null without momentum).
//   square_avg = alpha * square_avg + (1 - alpha) * g g;  grad_avg += (1 - alpha) * (g - grad_avg);
//   avg = sqrt(square_avg - grad_avg grad_avg) + eps;
//   buf = momentum * buf + g / avg;  p -= lr * buf.
struct RmspropStep {
  double lr, alpha, eps, weight_decay, momentum;
  bool maximize;
};

// State: exp_avg, exp_avg_sq, max_exp_avg_sq (null: no AMSGrad).
//   decoupled (AdamW): p *= 1 - lr * weight_decay, in place of the weight decay in g;
//   exp_avg += (1 - beta1) * (g - exp_avg);
//   exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g g;
//   max_exp_avg_sq = max(max_exp_avg_sq, exp_avg_sq), which then stands for exp_avg_sq;
//   p -= lr / (1 - beta1^step) * exp_avg / (sqrt(exp_avg_sq) / sqrt(1 - beta2^step) + eps).
struct AdamStep {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled, maximize;
};

// State: square_avg, acc_delta.
//   square_avg = rho * square_avg + (1 - rho) * g g;
//   delta = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g;
//   acc_delta = rho * acc_delta + (1 - rho) * delta delta;  p -= lr * delta.
struct AdadeltaStep {
  double lr, rho, eps, weight_decay;
  bool maximize;
};

// State: exp_avg, exp_inf.
//   exp_avg += (1 - beta1) * (g - exp_avg);  exp_inf = max(beta2 * exp_inf, |g| + eps);
//   p -= lr / (1 - beta1^step) * exp_avg / exp_inf.
struct AdamaxStep {
  double lr, beta1, beta2, eps, weight_decay;
  bool maximize;
};

// State: exp_avg, exp_avg_sq. The averages and decoupled weight decay are Adam's. With the momenta
// of OptimizerParam,
//   root = sqrt(exp_avg_sq / (1 - beta2^step)) + eps;
//   p -= lr * (1 - mu) / (1 - mu_product) * g / root;
//   p -= lr * mu_next / (1 - mu_product * mu_next) * exp_avg / root.
struct NadamStep {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled, maximize;
};

// State: exp_avg, exp_avg_sq. The averages and decoupled weight decay are Adam's. With
// rho_inf = 2 / (1 - beta2) - 1 and rho = rho_inf - 2 * step * beta2^step / (1 - beta2^step),
//   update = exp_avg / (1 - beta1^step) * lr; where rho > 5 also times
//     sqrt(1 - beta2^step) / (sqrt(exp_avg_sq) + eps) and the rectification
//     sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho));
//   p -= update.
struct RadamStep {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled, maximize;
};

// No state: p moves the share `weight` of the way to g, p += weight * (g - p).
struct LerpStep {
  double weight;
};

// One parameter of a fused optimizer call: n elements, their gradient, the arrays of its state
// (null where they are not used), and the number of this step, from 1. For NAdam also the momentum
// mu of this step and of the next one, and the product of mu over all steps up to this one.
template <class T>
struct OptimizerParam {
  T* p;
  const T* g;
  T* state[3];
  int64_t n, step;
  double mu, mu_next, mu_product;
};

// The width in bytes of one max-pooling window position (r * S + s), and of one piece of maxout.
inline int64_t argmax_bytes(const Pool2dShape& s) noexcept { return s.R * s.S <= 256 ? 1 : 4; }
inline int64_t argmax_bytes(const MaxoutShape& s) noexcept { return s.pieces <= 256 ? 1 : 4; }

template <class T>
struct Ops {
  Isa isa;
  int64_t lanes;  // elements of T in a vector

  // Writes every element of x to its place in y: changes of layout, slices, joining, splitting;
  // with steps of 0 in x also filling.
  void (*copy)(const Exec&, const CopyShape&, const T* x, T* y);

  // y[i] = a[i] op b[i] for i < n; a[i] op b[0] with one_b. In place is allowed.
  void (*arithmetic)(const Exec&, Arithmetic, int64_t n, const T* a, const T* b, bool one_b, T* y);
  // y[g][r][i] = a[g][r][i] op b[g][i] for g < groups, r < rows and i < n; op b[g] with one_b.
  void (*arithmetic_by_row)(const Exec&, Arithmetic, int64_t groups, int64_t rows, int64_t n,
                            const T* a, const T* b, bool one_b, T* y);

  // y[o][i] = sum over j < n of x[o][j][i] for o < outer and i < inner.
  size_t (*sum_scratch_bytes)(int64_t outer, int64_t n, int64_t inner);
  void (*sum)(const Exec&, int64_t outer, int64_t n, int64_t inner, const T* x, T* y);

  size_t (*gemm_scratch_bytes)(const GemmShape&, int threads);
  void (*gemm)(const Exec&, const GemmShape&, const T* a, const T* b, const T* bias, T* c,
               bool accumulate);

  // The algorithm that each pass takes for a shape.
  Conv2dAlgorithm (*conv2d_forward_algorithm)(const Conv2dShape&);
  Conv2dAlgorithm (*conv2d_backward_input_algorithm)(const Conv2dShape&);
  Conv2dAlgorithm (*conv2d_backward_weight_algorithm)(const Conv2dShape&);
  size_t (*conv2d_forward_scratch_bytes)(const Conv2dShape&, int threads);
  void (*conv2d_forward)(const Exec&, const Conv2dShape&, const T* x, const T* w,
                         const Epilogue<T>&, T* y);
  size_t (*conv2d_backward_input_scratch_bytes)(const Conv2dShape&, int threads);
  // The epilogue's channels and residual are those of dx.
  void (*conv2d_backward_input)(const Exec&, const Conv2dShape&, const T* dy, const T* w,
                                const Epilogue<T>&, T* dx);
  size_t (*conv2d_backward_weight_scratch_bytes)(const Conv2dShape&, int threads);
  void (*conv2d_backward_weight)(const Exec&, const Conv2dShape&, const T* dy, const T* x, T* dw,
                                 T* db, bool accumulate);

  size_t (*linear_scratch_bytes)(const LinearShape&, int threads);  // of each of the three passes
  void (*linear_forward)(const Exec&, const LinearShape&, const T* x, const T* w, const T* b, T* y);
  void (*linear_backward_input)(const Exec&, const LinearShape&, const T* dy, const T* w, T* dx);
  void (*linear_backward_weight)(const Exec&, const LinearShape&, const T* dy, const T* x, T* dw,
                                 T* db, bool accumulate);

  // argmax: one window position of argmax_bytes(shape) bytes an output element.
  void (*max_pool2d_forward)(const Exec&, const Pool2dShape&, const T* x, T* y, void* argmax);
  void (*max_pool2d_backward)(const Exec&, const Pool2dShape&, const T* dy, const void* argmax,
                              T* dx);
  void (*avg_pool2d_forward)(const Exec&, const Pool2dShape&, const T* x, T* y);
  void (*avg_pool2d_backward)(const Exec&, const Pool2dShape&, const T* dy, T* dx);

  // indices[n,p,q,c] = h * W + w of the element of x that argmax names.
  void (*max_pool2d_indices)(const Exec&, const Pool2dShape&, const void* argmax, int64_t* indices);
  // y[n,indices[n,h,w,c],c] = x[n,h,w,c], indices being p * Q + q, the last of several wins; 0
  // elsewhere. Both return whether all indices are those of pixels; others count for nothing.
  bool (*max_unpool2d_forward)(const Exec&, const Resize2dShape&, const T* x,
                               const int64_t* indices, T* y);
  bool (*max_unpool2d_backward)(const Exec&, const Resize2dShape&, const T* dy,
                                const int64_t* indices, T* dx);

  void (*pad2d_forward)(const Exec&, const Pad2dShape&, double value, const T* x, T* y);
  void (*pad2d_backward)(const Exec&, const Pad2dShape&, const T* dy, T* dx);

  void (*upsample2d_forward)(const Exec&, const Resize2dShape&, const ResizeTaps<T>& rows,
                             const ResizeTaps<T>& cols, const T* x, T* y);
  void (*upsample2d_backward)(const Exec&, const Resize2dShape&, const ResizeTaps<T>& rows,
                              const ResizeTaps<T>& cols, const T* dy, T* dx);

  size_t (*batch_norm_scratch_bytes)(const BatchNormShape&, int threads);  // of each of the three
  // The mean of each channel and 1 / sqrt(variance + eps), the variance with divisor N.
  void (*batch_norm_statistics)(const Exec&, const BatchNormShape&, const T* x, double eps,
                                const BatchNormRunning<T>&, T* mean, T* inv_std);
  // y = (x - mean) inv_std w + b + residual, at least 0 where `relu`; residual may be null.
  void (*batch_norm_forward)(const Exec&, const BatchNormShape&, const BatchNormParams<T>&,
                             const T* x, const T* residual, bool relu, T* y);
  // training: mean and inv_std are those of x and have a gradient. y is needed where relu followed
  // a residual, null otherwise. Any of the gradients may be null.
  void (*batch_norm_backward)(const Exec&, const BatchNormShape&, const BatchNormParams<T>&,
                              const T* dy, const T* x, const T* y, bool training, bool relu, T* dx,
                              T* dresidual, T* dw, T* db);

  // y = (x - mean) inv_std w + b with inv_std = 1 / sqrt(variance + eps), the variance with divisor
  // D. mean and inv_std, one value a row, are kept for backward; x and y (N, D), w and b (D). Null
  // are mean where the rows are not centered, w and b for 1 and 0, and any output but y and dx.
  size_t (*layer_norm_forward_scratch_bytes)(const LayerNormShape&, int threads);
  void (*layer_norm_forward)(const Exec&, const LayerNormShape&, double eps, const T* x, const T* w,
                             const T* b, T* y, T* mean, T* inv_std);
  size_t (*layer_norm_backward_scratch_bytes)(const LayerNormShape&, int threads);
  void (*layer_norm_backward)(const Exec&, const LayerNormShape&, const T* dy, const T* x,
                              const T* mean, const T* inv_std, const T* w, T* dx, T* dw, T* db);

  // The same with mean and inv_std (N, G), w and b (C).
  size_t (*group_norm_forward_scratch_bytes)(const GroupNormShape&, int threads);
  void (*group_norm_forward)(const Exec&, const GroupNormShape&, double eps, const T* x, const T* w,
                             const T* b, T* y, T* mean, T* inv_std);
  size_t (*group_norm_backward_scratch_bytes)(const GroupNormShape&, int threads);
  void (*group_norm_backward)(const Exec&, const GroupNormShape&, const T* dy, const T* x,
                              const T* mean, const T* inv_std, const T* w, T* dx, T* dw, T* db);

  size_t (*local_response_norm_scratch_bytes)(const LocalResponseNormShape&, int threads);
  // y = x / (k + alpha / size * (the sum of x^2 over the window around each channel))^beta.
  void (*local_response_norm_forward)(const Exec&, const LocalResponseNormShape&, const T* x, T* y);
  void (*local_response_norm_backward)(const Exec&, const LocalResponseNormShape&, const T* dy,
                                       const T* x, T* dx);

  // Element-wise over n elements. Backward from v, which is y, or x as gradient_from_input says. In
  // place (y = x, dx = dy) is allowed.
  void (*activation_forward)(const Exec&, const Activation&, int64_t n, const T* x, T* y);
  void (*activation_backward)(const Exec&, const Activation&, int64_t n, const T* dy, const T* v,
                              T* dx);

  // y = x where x is positive, else w[c] x. dw may be null.
  size_t (*prelu_scratch_bytes)(const PReluShape&, int threads);  // of both passes
  void (*prelu_forward)(const Exec&, const PReluShape&, const T* x, const T* w, T* y);
  void (*prelu_backward)(const Exec&, const PReluShape&, const T* dy, const T* x, const T* w, T* dx,
                         T* dw);

  // y[i] = v[i] <= 0 ? slope[i] x[i] : x[i] for i < n; forward with v = x, backward on dy. The seed
  // and an element's index decide on its slope. In place is allowed.
  void (*rrelu)(const Exec&, const RandomSlopes&, int64_t n, const T* x, const T* v, T* y);

  // y[o][c][i] = max over j of x[o][c * pieces + j][i]; argmax: the j that won, argmax_bytes(shape)
  // bytes an output element.
  void (*maxout_forward)(const Exec&, const MaxoutShape&, const T* x, T* y, void* argmax);
  void (*maxout_backward)(const Exec&, const MaxoutShape&, const T* dy, const void* argmax, T* dx);

  // y[o][i] = a[o][i] * sigmoid(b[o][i]) for o < rows and i < n, where x[o] is a[o] and then b[o].
  void (*glu_forward)(const Exec&, int64_t rows, int64_t n, const T* x, T* y);
  void (*glu_backward)(const Exec&, int64_t rows, int64_t n, const T* dy, const T* x, T* dx);

  // Element-wise over n elements, in place too. The seed and an element's index decide, so that
  // backward is the same call on dy, without what is added.
  void (*dropout)(const Exec&, const Dropout&, int64_t n, const T* x, T* y);

  // y[i], a random number, for i < n. The seed, i and T decide, but n does not.
  void (*random_uniform)(const Exec&, const UniformNumbers&, int64_t n, T* y);
  void (*random_normal)(const Exec&, const NormalNumbers&, int64_t n, T* y);

  // y[n][d] = w[x[n]][d]. Backward: dw[v][d] = sum of dy[n][d] over the n with x[n] == v, in the
  // order of n; 0 for v == padding_idx (-1: there is none).
  void (*embedding_forward)(const Exec&, const EmbeddingShape&, const int64_t* x, const T* w, T* y);
  void (*embedding_backward)(const Exec&, const EmbeddingShape&, const T* dy, const int64_t* x,
                             int64_t padding_idx, T* dw, bool accumulate);

  void (*softmax_forward)(const Exec&, const SoftmaxShape&, const T* x, T* y);
  void (*softmax_backward)(const Exec&, const SoftmaxShape&, const T* dy, const T* y, T* dx);
  void (*log_softmax_forward)(const Exec&, const SoftmaxShape&, const T* x, T* y);
  void (*log_softmax_backward)(const Exec&, const SoftmaxShape&, const T* dy, const T* y, T* dx);

  // loss[n] = -sum_c weight[c] q[n][c] y[n][c], 0 for an ignored row; y = log softmax of x (null at
  // inference).
  // Backward: dx[n][c] = dloss[n] (exp(y[n][c]) sum_k weight[k] q[n][k] - weight[c] q[n][c]).
  void (*softmax_cross_entropy_forward)(const Exec&, const SoftmaxShape&,
                                        const CrossEntropyTarget<T>&, const T* x, T* loss, T* y);
  void (*softmax_cross_entropy_backward)(const Exec&, const SoftmaxShape&,
                                         const CrossEntropyTarget<T>&, const T* dloss, const T* y,
                                         T* dx);

  // Element-wise over n elements: the losses, or where `loss` is null their sum. pos_weight (null
  // for 1 everywhere) belongs to binary_cross_entropy_with_logits alone.
  size_t (*point_loss_scratch_bytes)(int64_t n, int threads);  // of a sum
  void (*point_loss_forward)(const Exec&, PointLoss, double parameter, int64_t n, const T* x,
                             const T* t, const T* pos_weight, T* loss, double* sum);
  // The gradient of every loss is dloss[i], or dloss[0] with one_dloss.
  void (*point_loss_backward)(const Exec&, PointLoss, double parameter, int64_t n, const T* dloss,
                              bool one_dloss, const T* x, const T* t, const T* pos_weight, T* dx);

  // Recurrent layers. States are dense: h0, h_n (N, R), c0, c_n (N, H). What training keeps is null
  // otherwise. Of dy, dh_n and dc_n, null stands for zeros.
  // (i, f, o) = sigmoid, g = tanh of x w_ih^T + b_ih + h w_hh^T + b_hh; c = f c + i g;
  // h = o tanh(c), or its projection (o tanh(c)) w_hr^T. Kept: gates (rows, 4 H), which are i f g
  // o, and cells (rows, H), which are c.
  size_t (*lstm_forward_scratch_bytes)(const RecurrentShape&, int threads);
  void (*lstm_forward)(const Exec&, const RecurrentShape&, const RecurrentWeights<T>&, const T* x,
                       const T* h0, const T* c0, T* y, T* h_n, T* c_n, T* gates, T* cells);
  size_t (*lstm_backward_scratch_bytes)(const RecurrentShape&, int threads);
  void (*lstm_backward)(const Exec&, const RecurrentShape&, const RecurrentWeights<T>&, const T* dy,
                        const T* dh_n, const T* dc_n, const T* x, const T* h0, const T* c0,
                        const T* y, const T* gates, const T* cells, const RecurrentGradients<T>&);
  // (r, z) = sigmoid of x w_ih^T + b_ih + h w_hh^T + b_hh; n = tanh(x w_in^T + b_in + r m) with
  // m = h w_hn^T + b_hn; h = (1 - z) n + z h. Kept: gates (rows, 4 H), which are r z n m.
  size_t (*gru_forward_scratch_bytes)(const RecurrentShape&, int threads);
  void (*gru_forward)(const Exec&, const RecurrentShape&, const RecurrentWeights<T>&, const T* x,
                      const T* h0, T* y, T* h_n, T* gates);
  size_t (*gru_backward_scratch_bytes)(const RecurrentShape&, int threads);
  void (*gru_backward)(const Exec&, const RecurrentShape&, const RecurrentWeights<T>&, const T* dy,
                       const T* dh_n, const T* x, const T* h0, const T* y, const T* gates,
                       const RecurrentGradients<T>&);
  // h = f(x w_ih^T + b_ih + h w_hh^T + b_hh), where f is tanh or relu.
  size_t (*rnn_forward_scratch_bytes)(const RecurrentShape&, int threads);
  void (*rnn_forward)(const Exec&, const RecurrentShape&, Activation::Kind f,
                      const RecurrentWeights<T>&, const T* x, const T* h0, T* y, T* h_n);
  size_t (*rnn_backward_scratch_bytes)(const RecurrentShape&, int threads);
  void (*rnn_backward)(const Exec&, const RecurrentShape&, Activation::Kind f,
                       const RecurrentWeights<T>&, const T* dy, const T* dh_n, const T* x,
                       const T* h0, const T* y, const RecurrentGradients<T>&);

  // All parameters in one call.
  void (*sgd)(const Exec&, const SgdStep&, int64_t count, const OptimizerParam<T>* params);
  void (*adagrad)(const Exec&, const AdagradStep&, int64_t count, const OptimizerParam<T>* params);
  void (*rmsprop)(const Exec&, const RmspropStep&, int64_t count, const OptimizerParam<T>* params);
  void (*adam)(const Exec&, const AdamStep&, int64_t count, const OptimizerParam<T>* params);
  void (*adadelta)(const Exec&, const AdadeltaStep&, int64_t count,
                   const OptimizerParam<T>* params);
  void (*adamax)(const Exec&, const AdamaxStep&, int64_t count, const OptimizerParam<T>* params);
  void (*nadam)(const Exec&, const NadamStep&, int64_t count, const OptimizerParam<T>* params);
  void (*radam)(const Exec&, const RadamStep&, int64_t count, const OptimizerParam<T>* params);
  void (*lerp)(const Exec&, const LerpStep&, int64_t count, const OptimizerParam<T>* params);

  // What data are augmented by. Numbers drawn for an image come in as arrays; fill has one pixel
  // value a channel.
  // u[n][i] = (word i of image n + 1/2) / 2^32: uniform between 0 and 1, and never either.
  void (*augment_uniform)(const Exec&, const ImageDraws&, double* u);
  // y (N, C, P, Q): the windows.
  void (*augment_crop)(const Exec&, const ImageShape&, const CropWindows&, const void* fill,
                       const void* x, void* y);
  // y = x with each image's box filled.
  void (*augment_erase)(const Exec&, const ImageShape&, const Box* boxes, const void* fill,
                        const void* x, void* y);
  // y[n][c][h][w] = x[n][c] at row m[3] w + m[4] h + m[5] and column m[0] w + m[1] h + m[2], where
  // m = matrices[n], interpolated between four pixels; those outside x are fill.
  void (*augment_warp)(const Exec&, const ImageShape&, const T (*matrices)[6], const void* fill,
                       const void* x, void* y);
  // y[n][c] = x[n][c] scale[n][c] + offset[n][c], as T or, with y_bytes, rounded to 0 to 255.
  void (*augment_scale)(const Exec&, const ImageShape&, const T* scale, const T* offset,
                        const void* x, bool y_bytes, void* y);
  // Of each image (3 channels: red, green, blue) the changes order[n][0], order[n][1], ..., a
  // permutation. By the factor f = factors[n][change], and cut to 0 to 1 (255) after each:
  // brightness: f x;  contrast: f x + (1 - f) mean of grey;  saturation: f x + (1 - f) grey;
  // hue: turned by f of a circle. Grey is 0.2989 red + 0.587 green + 0.114 blue. A factor that
  // changes nothing (1, of hue 0) does nothing.
  size_t (*augment_colors_scratch_bytes)(const ImageShape&, int threads);
  void (*augment_colors)(const Exec&, const ImageShape&, const T (*factors)[color_changes],
                         const ColorChange (*order)[color_changes], const void* x, void* y);
};

// The table in use: the best one that the processor, the operating system and FASTNN_ISA allow, or
// what set_isa chose.
template <class T>
const Ops<T>& ops() noexcept;

// The table of one instruction set; null where it is not compiled in or the processor lacks it.
template <class T>
const Ops<T>* ops_for(Isa isa) noexcept;

Isa current_isa() noexcept;
Isa detected_isa() noexcept;     // the best one that this processor and this build support
bool set_isa(Isa isa) noexcept;  // false where it is not available
const char* isa_name(Isa isa) noexcept;
bool isa_from_name(const char* name, Isa* isa) noexcept;

int num_threads() noexcept;
void set_num_threads(int threads) noexcept;  // at least 1

}  // namespace fastnn
