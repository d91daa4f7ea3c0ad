// fastnn.ops: max_pool2d_*, avg_pool2d_*, adaptive_max_pool2d_*, adaptive_avg_pool2d_*.
#include "arrays.h"

namespace fastnn {
namespace {

// How the windows lie over the input, as the caller gave it.
struct Windows {
  Pair kernel, stride, padding, dilation;
  bool ceil_mode;
};

std::string text_of(Pair p) { return text("(", p.h, ", ", p.w, ")"); }

Windows windows(const char* op, py::handle kernel_size, py::handle stride, py::handle padding,
                py::handle dilation, bool ceil_mode) {
  const Pair kernel = pair(op, "kernel_size", kernel_size, 1);
  return {kernel, stride.is_none() ? kernel : pair(op, "stride", stride, 1),
          pair(op, "padding", padding, 0), pair(op, "dilation", dilation, 1), ceil_mode};
}

// The number of windows along one dimension of the input.
int64_t output_size(const char* op, const char* dimension, int64_t size, int64_t kernel,
                    int64_t stride, int64_t padding, int64_t dilation, bool ceil_mode) {
  int64_t extent;
  if (__builtin_mul_overflow(dilation, kernel - 1, &extent)) {
    value_error(op, ": kernel_size ", kernel, " with dilation ", dilation, " is too large");
  }
  extent += 1;
  if (padding > kernel / 2) {
    value_error(op, ": padding is ", padding, "; expected at most half of kernel_size ", kernel);
  }
  if (size == 0) value_error(op, ": the input has ", dimension, " 0; expected at least 1");
  const int64_t span = size + 2 * padding - extent + (ceil_mode ? stride - 1 : 0);
  if (span < 0) {
    value_error(op, ": the kernel's extent is ", extent, " (kernel_size ", kernel, ", dilation ",
                dilation, "); expected at most the input's ", dimension, " ", size,
                " with padding ", padding, " on both sides");
  }
  const int64_t count = span / stride + 1;
  // ceil_mode leaves out a window that would start behind the input and its padding before it.
  return ceil_mode && (count - 1) * stride >= size + padding ? count - 1 : count;
}

Pool2dShape pool_shape(const char* op, const Shape& x, const Windows& w) {
  if (w.kernel.h > INT32_MAX / w.kernel.w) {
    value_error(op, ": kernel_size is ", text_of(w.kernel), "; expected at most ", INT32_MAX,
                " elements");
  }
  Pool2dShape s{};
  s.N = x[0];
  s.C = x[1];
  s.H = x[2];
  s.W = x[3];
  s.R = w.kernel.h;
  s.S = w.kernel.w;
  s.stride_h = w.stride.h;
  s.stride_w = w.stride.w;
  s.pad_h = w.padding.h;
  s.pad_w = w.padding.w;
  s.dilation_h = w.dilation.h;
  s.dilation_w = w.dilation.w;
  s.P = output_size(op, "height", s.H, s.R, s.stride_h, s.pad_h, s.dilation_h, w.ceil_mode);
  s.Q = output_size(op, "width", s.W, s.S, s.stride_w, s.pad_w, s.dilation_w, w.ceil_mode);
  return s;
}

// Adaptive windows of different sizes are none that could be described.
Work work_of(const Pool2dShape& s) {
  if (s.adaptive) return {};
  return {
      0,
      WindowView{
          {s.R, s.S}, {s.stride_h, s.stride_w}, {s.pad_h, s.pad_w}, {s.dilation_h, s.dilation_w}}};
}

py::dtype argmax_type(const Pool2dShape& s) {
  return argmax_bytes(s) == 1 ? py::dtype::of<uint8_t>() : py::dtype::of<int32_t>();
}

// 0 stands for the window size.
void set_divisor(const char* op, Pool2dShape& s, bool count_include_pad, py::handle divisor) {
  s.count_include_pad = count_include_pad;
  if (divisor.is_none()) return;
  s.divisor = integer(op, "divisor_override", divisor, -largest_size);
  if (s.divisor == 0) value_error(op, ": divisor_override is 0; expected another int or None");
}

// The size of P adaptive windows along one dimension where they all have the same, and otherwise a
// bound of their sizes.
int64_t adaptive_extent(const char* op, const char* dimension, int64_t size, int64_t P) {
  if (size == 0) value_error(op, ": the input has ", dimension, " 0; expected at least 1");
  return size / P + (size % P == 0 ? 0 : 2);
}

Pool2dShape adaptive_shape(const char* op, const Shape& x, Pair output) {
  Pool2dShape s{};
  s.N = x[0];
  s.C = x[1];
  s.H = x[2];
  s.W = x[3];
  s.P = output.h;
  s.Q = output.w;
  s.R = adaptive_extent(op, "height", s.H, s.P);
  s.S = adaptive_extent(op, "width", s.W, s.Q);
  s.stride_h = s.R;
  s.stride_w = s.S;
  s.dilation_h = s.dilation_w = 1;
  s.adaptive = s.H % s.P != 0 || s.W % s.Q != 0;
  return s;
}

// An int, a pair, or a pair in which None stands for the input's size.
Pair output_size_argument(const char* op, py::handle object, const Shape& x) {
  if (object.is_none()) return {x[2], x[3]};
  if (!py::isinstance<py::tuple>(object) && !py::isinstance<py::list>(object)) {
    return pair(op, "output_size", object, 1);
  }
  const auto sizes = py::reinterpret_borrow<py::sequence>(object);
  py::list given;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const py::object size = sizes[i];
    given.append(size.is_none() && i < 2 ? py::object(py::int_(x[i + 2])) : size);
  }
  return pair(op, "output_size", given, 1);
}

py::tuple max_forward(const char* op, py::array x, const Pool2dShape& s, bool return_argmax) {
  const Real type = real_type(op, "x", x);
  x = channels_last(x);
  py::array y = empty_channels_last(op, type, s.N, s.C, s.P, s.Q);
  py::object argmax = py::none();
  void* positions = nullptr;
  if (return_argmax) {
    py::array memory = empty_bytes(op, argmax_type(s), {s.N, s.P, s.Q, s.C});
    positions = memory.mutable_data();
    argmax = memory.attr("transpose")(0, 3, 1, 2);
  }
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().max_pool2d_forward);
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    describe(work_of(s));
    run(op, x, [&](const Exec& exec) { kernel(exec, s, from, to, positions); });
  });
  return py::make_tuple(y, argmax);
}

// An argument argmax of max_forward, in channels-last memory.
py::array argmax_array(const char* op, py::handle object, const Pool2dShape& s) {
  const py::array argmax = as_array(op, "argmax", object);
  if (!argmax.dtype().equal(argmax_type(s))) {
    type_error(op, ": argmax has dtype ", std::string(py::str(argmax.dtype())), "; expected ",
               std::string(py::str(argmax_type(s))), " for kernel_size ", text_of({s.R, s.S}));
  }
  check_shape(op, "argmax", argmax, {s.N, s.C, s.P, s.Q});
  return channels_last(argmax);
}

py::array max_indices(const char* op, py::handle argmax_object, const Pool2dShape& s) {
  const py::array argmax = argmax_array(op, argmax_object, s);
  const py::dtype int64 = py::dtype::of<int64_t>();
  py::array memory = empty_bytes(op, int64, {s.N, s.P, s.Q, s.C});
  const auto kernel = supported(op, ops<float>().max_pool2d_indices);
  const void* positions = argmax.data();
  auto* to = static_cast<int64_t*>(memory.mutable_data());
  run(op, argmax, [&](const Exec& exec) { kernel(exec, s, positions, to); });
  return memory.attr("transpose")(0, 3, 1, 2);
}

py::array max_backward(const char* op, py::array dy, py::handle argmax_object,
                       const Pool2dShape& s) {
  check_shape(op, "dy", dy, {s.N, s.C, s.P, s.Q});
  const py::array argmax = argmax_array(op, argmax_object, s);
  const Real type = real_type(op, "dy", dy);

  dy = channels_last(dy);
  py::array dx = empty_channels_last(op, type, s.N, s.C, s.H, s.W);
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().max_pool2d_backward);
    const T* from = data<T>(dy);
    const void* positions = argmax.data();
    T* to = mutable_data<T>(dx);
    run(op, dy, [&](const Exec& exec) { kernel(exec, s, from, positions, to); });
  });
  return dx;
}

py::array avg_forward(const char* op, py::array x, const Pool2dShape& s) {
  const Real type = real_type(op, "x", x);
  x = channels_last(x);
  py::array y = empty_channels_last(op, type, s.N, s.C, s.P, s.Q);
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().avg_pool2d_forward);
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    describe(work_of(s));
    run(op, x, [&](const Exec& exec) { kernel(exec, s, from, to); });
  });
  return y;
}

// The average over all pixels of each image, by sums that take all threads to one image, too, and
// that need no other memory layout than x has.
py::array global_average(const char* op, py::array x, const Pool2dShape& s) {
  const Real type = real_type(op, "x", x);
  const bool inside = is_channels_last(x);  // whether channels lie innermost
  if (!inside) x = contiguous(x);
  const int64_t outer = inside ? s.N : s.N * s.C, inner = inside ? s.C : 1;
  py::array y = empty_channels_last(op, type, s.N, s.C, 1, 1);
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto sum = supported(op, table.sum);
    const auto arithmetic = supported(op, table.arithmetic);
    const int64_t pixels = s.H * s.W;
    const T count = static_cast<T>(pixels);
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    describe(work_of(s));
    run(
        op, x, [&](int) { return table.sum_scratch_bytes(outer, pixels, inner); },
        [&](const Exec& exec) {
          sum(exec, outer, pixels, inner, from, to);
          arithmetic(exec, Arithmetic::divide, s.N * s.C, to, &count, true, to);
        });
  });
  return y;
}

py::array avg_backward(const char* op, py::array dy, const Pool2dShape& s) {
  check_shape(op, "dy", dy, {s.N, s.C, s.P, s.Q});
  const Real type = real_type(op, "dy", dy);
  dy = channels_last(dy);
  py::array dx = empty_channels_last(op, type, s.N, s.C, s.H, s.W);
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().avg_pool2d_backward);
    const T* from = data<T>(dy);
    T* to = mutable_data<T>(dx);
    run(op, dy, [&](const Exec& exec) { kernel(exec, s, from, to); });
  });
  return dx;
}

py::tuple max_pool2d_forward(py::handle x_object, py::handle kernel_size, py::handle stride,
                             py::handle padding, py::handle dilation, bool ceil_mode,
                             bool return_argmax) {
  const char* const op = "max_pool2d_forward";
  const py::array x = real_array(op, "x", x_object, 4);
  const Windows w = windows(op, kernel_size, stride, padding, dilation, ceil_mode);
  return max_forward(op, x, pool_shape(op, shape_of(x), w), return_argmax);
}

py::array max_pool2d_backward(py::handle dy_object, py::handle argmax, py::handle input_size,
                              py::handle kernel_size, py::handle stride, py::handle padding,
                              py::handle dilation, bool ceil_mode) {
  const char* const op = "max_pool2d_backward";
  const py::array dy = real_array(op, "dy", dy_object, 4);
  const Windows w = windows(op, kernel_size, stride, padding, dilation, ceil_mode);
  const Shape x = shape_argument(op, "input_size", input_size, 4);
  return max_backward(op, dy, argmax, pool_shape(op, x, w));
}

py::array max_pool2d_indices(py::handle argmax, py::handle input_size, py::handle kernel_size,
                             py::handle stride, py::handle padding, py::handle dilation,
                             bool ceil_mode) {
  const char* const op = "max_pool2d_indices";
  const Windows w = windows(op, kernel_size, stride, padding, dilation, ceil_mode);
  const Shape x = shape_argument(op, "input_size", input_size, 4);
  return max_indices(op, argmax, pool_shape(op, x, w));
}

py::array avg_pool2d_forward(py::handle x_object, py::handle kernel_size, py::handle stride,
                             py::handle padding, bool ceil_mode, bool count_include_pad,
                             py::handle divisor_override) {
  const char* const op = "avg_pool2d_forward";
  const py::array x = real_array(op, "x", x_object, 4);
  const Windows w = windows(op, kernel_size, stride, padding, py::int_(1), ceil_mode);
  Pool2dShape s = pool_shape(op, shape_of(x), w);
  set_divisor(op, s, count_include_pad, divisor_override);
  return avg_forward(op, x, s);
}

py::array avg_pool2d_backward(py::handle dy_object, py::handle input_size, py::handle kernel_size,
                              py::handle stride, py::handle padding, bool ceil_mode,
                              bool count_include_pad, py::handle divisor_override) {
  const char* const op = "avg_pool2d_backward";
  const py::array dy = real_array(op, "dy", dy_object, 4);
  const Windows w = windows(op, kernel_size, stride, padding, py::int_(1), ceil_mode);
  Pool2dShape s = pool_shape(op, shape_argument(op, "input_size", input_size, 4), w);
  set_divisor(op, s, count_include_pad, divisor_override);
  return avg_backward(op, dy, s);
}

py::tuple adaptive_max_pool2d_forward(py::handle x_object, py::handle output_size,
                                      bool return_argmax) {
  const char* const op = "adaptive_max_pool2d_forward";
  const py::array x = real_array(op, "x", x_object, 4);
  const Shape size = shape_of(x);
  const Pair output = output_size_argument(op, output_size, size);
  return max_forward(op, x, adaptive_shape(op, size, output), return_argmax);
}

// The shape of which `dy`, the argument called `name`, is the gradient, or as large as it.
Pool2dShape adaptive_shape_of(const char* op, const char* name, const py::array& dy,
                              py::handle input_size) {
  const Shape x = shape_argument(op, "input_size", input_size, 4);
  if (dy.ndim() != 4 || dy.shape(2) == 0 || dy.shape(3) == 0) {
    value_error(op, ": ", name, " has shape ", shape_text(dy),
                "; expected a height and width of 1 or more");
  }
  return adaptive_shape(op, x, {dy.shape(2), dy.shape(3)});
}

py::array adaptive_max_pool2d_backward(py::handle dy_object, py::handle argmax,
                                       py::handle input_size) {
  const char* const op = "adaptive_max_pool2d_backward";
  const py::array dy = real_array(op, "dy", dy_object, 4);
  return max_backward(op, dy, argmax, adaptive_shape_of(op, "dy", dy, input_size));
}

py::array adaptive_max_pool2d_indices(py::handle argmax_object, py::handle input_size) {
  const char* const op = "adaptive_max_pool2d_indices";
  const py::array argmax = as_array(op, "argmax", argmax_object);
  return max_indices(op, argmax, adaptive_shape_of(op, "argmax", argmax, input_size));
}

py::array adaptive_avg_pool2d_forward(py::handle x_object, py::handle output_size) {
  const char* const op = "adaptive_avg_pool2d_forward";
  const py::array x = real_array(op, "x", x_object, 4);
  const Shape size = shape_of(x);
  const Pair output = output_size_argument(op, output_size, size);
  const Pool2dShape s = adaptive_shape(op, size, output);
  return s.P == 1 && s.Q == 1 ? global_average(op, x, s) : avg_forward(op, x, s);
}

py::array adaptive_avg_pool2d_backward(py::handle dy_object, py::handle input_size) {
  const char* const op = "adaptive_avg_pool2d_backward";
  const py::array dy = real_array(op, "dy", dy_object, 4);
  return avg_backward(op, dy, adaptive_shape_of(op, "dy", dy, input_size));
}

}  // namespace

void bind_pool2d(py::module_& m) {
  m.def("max_pool2d_forward", &max_pool2d_forward, py::arg("x"), py::arg("kernel_size"),
        py::arg("stride") = py::none(), py::arg("padding") = 0, py::arg("dilation") = 1,
        py::arg("ceil_mode") = false, py::arg("return_argmax") = true,
        "(y, argmax): the largest element of each window, (N, C, H, W) -> (N, C, P, Q), and the "
        "position r * S + s\nin the window that it came from (uint8, or int32 for more than 256 "
        "positions; None without return_argmax).\nThe last NaN wins, else the first maximum.");
  m.def("max_pool2d_backward", &max_pool2d_backward, py::arg("dy"), py::arg("argmax"),
        py::arg("input_size"), py::arg("kernel_size"), py::arg("stride") = py::none(),
        py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("ceil_mode") = false,
        "dx (N, C, H, W): each dy goes to the element that argmax names.");
  m.def("max_pool2d_indices", &max_pool2d_indices, py::arg("argmax"), py::arg("input_size"),
        py::arg("kernel_size"), py::arg("stride") = py::none(), py::arg("padding") = 0,
        py::arg("dilation") = 1, py::arg("ceil_mode") = false,
        "indices (N, C, P, Q), int64: h * W + w of the elements of x that argmax names.");
  m.def("avg_pool2d_forward", &avg_pool2d_forward, py::arg("x"), py::arg("kernel_size"),
        py::arg("stride") = py::none(), py::arg("padding") = 0, py::arg("ceil_mode") = false,
        py::arg("count_include_pad") = true, py::arg("divisor_override") = py::none(),
        "y: the mean of each window, (N, C, H, W) -> (N, C, P, Q).");
  m.def("avg_pool2d_backward", &avg_pool2d_backward, py::arg("dy"), py::arg("input_size"),
        py::arg("kernel_size"), py::arg("stride") = py::none(), py::arg("padding") = 0,
        py::arg("ceil_mode") = false, py::arg("count_include_pad") = true,
        py::arg("divisor_override") = py::none(),
        "dx (N, C, H, W): each dy in equal shares to the elements of its window.");
  m.def("adaptive_max_pool2d_forward", &adaptive_max_pool2d_forward, py::arg("x"),
        py::arg("output_size"), py::arg("return_argmax") = true,
        "(y, argmax): the largest element of each window, (N, C, H, W) -> (N, C, P, Q) with "
        "output_size (P, Q);\nwindow p spans the rows floor(p H / P) to ceil((p + 1) H / P) - 1. "
        "argmax as in max_pool2d_forward, where S is\nW / Q, and floor(W / Q) + 2 if that is no "
        "integer.");
  m.def("adaptive_max_pool2d_backward", &adaptive_max_pool2d_backward, py::arg("dy"),
        py::arg("argmax"), py::arg("input_size"),
        "dx (N, C, H, W): each dy goes to the element that argmax names.");
  m.def("adaptive_max_pool2d_indices", &adaptive_max_pool2d_indices, py::arg("argmax"),
        py::arg("input_size"),
        "indices (N, C, P, Q), int64: h * W + w of the elements of x that argmax names.");
  m.def("adaptive_avg_pool2d_forward", &adaptive_avg_pool2d_forward, py::arg("x"),
        py::arg("output_size"),
        "y: the mean of each window of adaptive_max_pool2d_forward, (N, C, H, W) -> (N, C, P, Q).");
  m.def("adaptive_avg_pool2d_backward", &adaptive_avg_pool2d_backward, py::arg("dy"),
        py::arg("input_size"),
        "dx (N, C, H, W): each dy in equal shares to the elements of its window.");
}

}  // namespace fastnn
