// fastnn.ops: conv2d_forward, conv2d_backward_input, conv2d_backward_weight, and the algorithm that
// they take.
#include <algorithm>
#include <atomic>

#include "arrays.h"

namespace fastnn {
namespace {

// The window of a convolution as the caller gives it.
struct Window {
  Pair stride, padding, dilation;
  int64_t groups;
  Window(const char* op, py::handle stride_object, py::handle padding_object,
         py::handle dilation_object, int64_t groups_given)
      : stride(pair(op, "stride", stride_object, 1)),
        padding(pair(op, "padding", padding_object, 0)),
        dilation(pair(op, "dilation", dilation_object, 1)),
        groups(groups_given) {
    if (groups < 1) value_error(op, ": groups is ", groups, "; expected at least 1");
  }
};

int64_t output_size(const char* op, const char* what, int64_t size, int64_t kernel, int64_t stride,
                    int64_t padding, int64_t dilation) {
  const __int128 span = static_cast<__int128>(dilation) * (kernel - 1) + 1;
  const __int128 padded = static_cast<__int128>(size) + 2 * static_cast<__int128>(padding);
  if (span > padded) {
    value_error(op, ": the kernel covers ", static_cast<int64_t>(span), " ", what,
                ", the padded input has ", static_cast<int64_t>(padded));
  }
  return static_cast<int64_t>((padded - span) / stride + 1);
}

// Kernels copy parts of the padded input and count their bytes in 64 bits: more elements than this
// fit no memory. Padding and dilation can reach it without any large array.
constexpr double most_padded_elements = 0x1p44;

void check_padded_size(const char* op, const Shape& x, const Shape& w, const Window& window) {
  const int64_t rows = x[2] + 2 * window.padding.h, columns = x[3] + 2 * window.padding.w;
  const int64_t channels = std::max(x[1], w[0]);
  if (static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(channels) >
      most_padded_elements) {
    value_error(op, ": the padded input of ", rows, " x ", columns, " pixels and ", channels,
                " channels is too large");
  }
}

// The whole shape from those of x and w; everything that can be wrong with them is checked here.
Conv2dShape conv2d_shape(const char* op, const Shape& x, const Shape& w, const Window& window) {
  for (const int64_t n : w) {
    if (n < 1)
      value_error(op, ": weight has shape ", shape_text(w), "; expected sizes of at least 1");
  }
  if (x[2] < 1 || x[3] < 1) {
    value_error(op, ": x has shape ", shape_text(x), "; expected a height and width of at least 1");
  }
  if (x[1] % window.groups != 0 || w[0] % window.groups != 0) {
    value_error(op, ": x has ", x[1], " channels, weight has ", w[0],
                " output channels; expected multiples of ", window.groups, " groups");
  }
  if (w[1] != x[1] / window.groups) {
    value_error(op, ": weight has ", w[1] * window.groups, " input channels",
                window.groups > 1 ? " in all groups" : "", ", x has ", x[1]);
  }
  check_padded_size(op, x, w, window);
  return {.N = x[0],
          .C = x[1],
          .H = x[2],
          .W = x[3],
          .K = w[0],
          .R = w[2],
          .S = w[3],
          .P = output_size(op, "rows", x[2], w[2], window.stride.h, window.padding.h,
                           window.dilation.h),
          .Q = output_size(op, "columns", x[3], w[3], window.stride.w, window.padding.w,
                           window.dilation.w),
          .stride_h = window.stride.h,
          .stride_w = window.stride.w,
          .pad_h = window.padding.h,
          .pad_w = window.padding.w,
          .dilation_h = window.dilation.h,
          .dilation_w = window.dilation.w,
          .groups = window.groups};
}

// The same for the pass from y to dx, which is a transposed convolution, and for that from x to y.
Work work_of(const Conv2dShape& s, bool transposed) {
  return {s.N * s.K * s.P * s.Q * (s.C / s.groups) * s.R * s.S,
          WindowView{{s.R, s.S},
                     {s.stride_h, s.stride_w},
                     {s.pad_h, s.pad_w},
                     {s.dilation_h, s.dilation_w},
                     transposed}};
}

constexpr const char* algorithm_names[] = {"auto", "direct", "winograd"};

const char* algorithm_name(Conv2dAlgorithm algorithm) {
  return algorithm_names[static_cast<int>(algorithm)];
}

Conv2dAlgorithm algorithm_argument(const char* op, const std::string& name) {
  for (int i = 0; i < static_cast<int>(std::size(algorithm_names)); ++i) {
    if (name == algorithm_names[i]) return static_cast<Conv2dAlgorithm>(i);
  }
  value_error(op, ": algorithm is '", name, "'; expected 'auto', 'direct' or 'winograd'");
}

// What 'auto' stands for in this process.
std::atomic<Conv2dAlgorithm> preferred{Conv2dAlgorithm::automatic};

// Enters the algorithm that the caller wants into the shape; returns the name of the one that
// `choice` takes. The preference of the process may be for what a shape cannot have, an argument
// may not.
const char* set_algorithm(const char* op, const std::string& name, Real type,
                          Conv2dAlgorithm (*choice)(const Conv2dShape&), Conv2dShape* s) {
  const Conv2dAlgorithm wanted = algorithm_argument(op, name);
  s->algorithm = wanted == Conv2dAlgorithm::automatic ? preferred.load() : wanted;
  const Conv2dAlgorithm taken = choice(*s);
  if (wanted != Conv2dAlgorithm::automatic && taken != wanted) {
    value_error(
        op, ": algorithm '", name,
        "' takes float32, a 3x3 or 5x5 kernel, stride 1, dilation 1 and 1 group or groups of "
        "more than 8 channels; got ",
        type == Real::f32 ? "float32" : "float64", ", a ", s->R, "x", s->S, " kernel, stride ",
        shape_text({s->stride_h, s->stride_w}), ", dilation ",
        shape_text({s->dilation_h, s->dilation_w}), ", groups ", s->groups, " of ",
        s->C / s->groups, " input and ", s->K / s->groups, " output channels");
  }
  return algorithm_name(taken);
}

// What is added to the sums, or nothing.
std::optional<py::array> residual_argument(const char* op, const py::object& object,
                                           const py::array& like, const char* like_name,
                                           const Shape& shape) {
  if (object.is_none()) return std::nullopt;
  const py::array residual = real_array_like(op, "residual", object, like, like_name, 4);
  check_shape(op, "residual", residual, shape);
  return channels_last(residual);
}

// x, w, bias and the shape of a forward pass, checked.
struct Forward {
  py::array x, w;
  std::optional<py::array> b;
  Conv2dShape s;
  Forward(const char* op, py::handle x_object, py::handle w_object, const py::object& b_object,
          py::handle stride, py::handle padding, py::handle dilation, int64_t groups)
      : x(real_array(op, "x", x_object, 4)),
        w(real_array_like(op, "weight", w_object, x, "x", 4)),
        s(conv2d_shape(op, shape_of(x), shape_of(w),
                       Window(op, stride, padding, dilation, groups))) {
    b = channels(op, "bias", b_object);
  }
  // One value an output channel, or nothing.
  std::optional<py::array> channels(const char* op, const char* name,
                                    const py::object& object) const {
    if (object.is_none()) return std::nullopt;
    py::array a = contiguous(real_array_like(op, name, object, x, "x", 1));
    check_shape(op, name, a, {s.K});
    return a;
  }
};

py::tuple forward_size(py::handle x, py::handle w, const py::object& b, py::handle stride,
                       py::handle padding, py::handle dilation, int64_t groups) {
  const Conv2dShape s = Forward("conv2d_forward", x, w, b, stride, padding, dilation, groups).s;
  return py::make_tuple(s.N, s.K, s.P, s.Q);
}

py::array forward(py::handle x_object, py::handle w_object, const py::object& b_object,
                  py::handle stride, py::handle padding, py::handle dilation, int64_t groups,
                  const std::string& algorithm, const py::object& scale_object,
                  const py::object& residual_object, bool relu) {
  const char* const op = "conv2d_forward";
  Forward given(op, x_object, w_object, b_object, stride, padding, dilation, groups);
  Conv2dShape& s = given.s;
  const std::optional<py::array> scale = given.channels(op, "scale", scale_object);
  const std::optional<py::array> residual =
      residual_argument(op, residual_object, given.x, "x", {s.N, s.K, s.P, s.Q});
  const Real type = real_type(op, "x", given.x);
  const char* const taken = by_type(type, [&]<class T>() {
    return set_algorithm(op, algorithm, type, ops<T>().conv2d_forward_algorithm, &s);
  });
  py::array y = empty_channels_last(op, type, s.N, s.K, s.P, s.Q);
  if (y.size() == 0) return y;
  const py::array x = channels_last(given.x), w = contiguous(given.w);
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.conv2d_forward);
    const auto pointer = [](const std::optional<py::array>& a) {
      return a ? data<T>(*a) : nullptr;
    };
    const Epilogue<T> epilogue{pointer(scale), pointer(given.b), pointer(residual), relu};
    const T *x_data = data<T>(x), *w_data = data<T>(w);
    T* y_data = mutable_data<T>(y);
    describe(work_of(s, false));
    run(
        op, y, [&](int threads) { return table.conv2d_forward_scratch_bytes(s, threads); },
        [&](const Exec& exec) { kernel(exec, s, x_data, w_data, epilogue, y_data); }, taken);
  });
  return y;
}

py::array backward_input(py::handle dy_object, py::handle w_object, py::handle input_size,
                         py::handle stride, py::handle padding, py::handle dilation, int64_t groups,
                         const std::string& algorithm, const py::object& residual_object) {
  const char* const op = "conv2d_backward_input";
  py::array dy = real_array(op, "dy", dy_object, 4);
  const py::array w = contiguous(real_array_like(op, "weight", w_object, dy, "dy", 4));
  Conv2dShape s = conv2d_shape(op, shape_argument(op, "input_size", input_size, 4), shape_of(w),
                               Window(op, stride, padding, dilation, groups));
  check_shape(op, "dy", dy, {s.N, s.K, s.P, s.Q});
  const std::optional<py::array> residual =
      residual_argument(op, residual_object, dy, "dy", {s.N, s.C, s.H, s.W});
  const Real type = real_type(op, "dy", dy);
  const char* const taken = by_type(type, [&]<class T>() {
    return set_algorithm(op, algorithm, type, ops<T>().conv2d_backward_input_algorithm, &s);
  });
  py::array dx = empty_channels_last(op, type, s.N, s.C, s.H, s.W);
  if (dx.size() == 0) return dx;
  dy = channels_last(dy);
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.conv2d_backward_input);
    const T *dy_data = data<T>(dy), *w_data = data<T>(w);
    const Epilogue<T> epilogue{.residual = residual ? data<T>(*residual) : nullptr};
    T* dx_data = mutable_data<T>(dx);
    describe(work_of(s, true));
    run(
        op, dx, [&](int threads) { return table.conv2d_backward_input_scratch_bytes(s, threads); },
        [&](const Exec& exec) { kernel(exec, s, dy_data, w_data, epilogue, dx_data); }, taken);
  });
  return dx;
}

py::tuple backward_weight(py::handle dy_object, py::handle x_object, py::handle weight_size,
                          py::handle stride, py::handle padding, py::handle dilation,
                          int64_t groups, bool bias, const py::object& dw_object,
                          const py::object& db_object, bool accumulate,
                          const std::string& algorithm) {
  const char* const op = "conv2d_backward_weight";
  py::array dy = real_array(op, "dy", dy_object, 4);
  py::array x = real_array_like(op, "x", x_object, dy, "dy", 4);
  const Shape weight_shape = shape_argument(op, "weight_size", weight_size, 4);
  Conv2dShape s =
      conv2d_shape(op, shape_of(x), weight_shape, Window(op, stride, padding, dilation, groups));
  check_shape(op, "dy", dy, {s.N, s.K, s.P, s.Q});
  const Real type = real_type(op, "dy", dy);
  const char* const taken = by_type(type, [&]<class T>() {
    return set_algorithm(op, algorithm, type, ops<T>().conv2d_backward_weight_algorithm, &s);
  });
  ParameterGradients gradients(op, dy, x, weight_shape, s.K, bias, dw_object, db_object,
                               accumulate);
  dy = channels_last(dy);
  x = channels_last(x);
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.conv2d_backward_weight);
    const T *dy_data = data<T>(dy), *x_data = data<T>(x);
    T *dw_data = mutable_data<T>(gradients.dw),
      *db_data = bias ? mutable_data<T>(gradients.db) : nullptr;
    run(
        op, gradients.dw,
        [&](int threads) { return table.conv2d_backward_weight_scratch_bytes(s, threads); },
        [&](const Exec& exec) { kernel(exec, s, dy_data, x_data, dw_data, db_data, accumulate); },
        taken);
  });
  return gradients.result(bias);
}

}  // namespace

void bind_conv2d(py::module_& m) {
  m.def("conv2d_forward", &forward, py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(),
        py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1,
        py::arg("groups") = 1, py::kw_only(), py::arg("algorithm") = "auto",
        py::arg("scale") = py::none(), py::arg("residual") = py::none(), py::arg("relu") = false,
        "y = x * weight * scale + bias + residual, and relu of that: (N, C, H, W), (K, C / groups, "
        "R, "
        "S), (K,), (K,),\n(N, K, P, Q) -> (N, K, P, Q), channels-last in memory.");
  m.def(
      "conv2d_output_size", &forward_size, py::arg("x"), py::arg("weight"),
      py::arg("bias") = py::none(), py::arg("stride") = 1, py::arg("padding") = 0,
      py::arg("dilation") = 1, py::arg("groups") = 1,
      "The shape (N, K, P, Q) of what conv2d_forward makes of these; raises what it would raise.");
  m.def("conv2d_backward_input", &backward_input, py::arg("dy"), py::arg("weight"),
        py::arg("input_size"), py::arg("stride") = 1, py::arg("padding") = 0,
        py::arg("dilation") = 1, py::arg("groups") = 1, py::kw_only(),
        py::arg("algorithm") = "auto", py::arg("residual") = py::none(),
        "dx of shape input_size from dy (N, K, P, Q) and weight (K, C / groups, R, S), plus a "
        "residual of\n"
        "that shape.");
  m.def("conv2d_backward_weight", &backward_weight, py::arg("dy"), py::arg("x"),
        py::arg("weight_size"), py::arg("stride") = 1, py::arg("padding") = 0,
        py::arg("dilation") = 1, py::arg("groups") = 1, py::arg("bias") = true, py::kw_only(),
        py::arg("dw") = py::none(), py::arg("db") = py::none(), py::arg("accumulate") = false,
        py::arg("algorithm") = "auto",
        "(dw, db) from dy (N, K, P, Q) and x (N, C, H, W); db is None without bias. Given arrays "
        "dw and db are\n"
        "overwritten, or added to if accumulate.");
  m.def(
      "set_conv2d_algorithm",
      [](const std::string& name) { preferred = algorithm_argument("set_conv2d_algorithm", name); },
      py::arg("algorithm"),
      "Sets what algorithm='auto' stands for in this process: 'auto' for the fastest, 'direct' for "
      "the sums of\n"
      "the definition, 'winograd' wherever the shape allows it.");
  m.def(
      "get_conv2d_algorithm", [] { return algorithm_name(preferred); },
      "What set_conv2d_algorithm chose.");
}

}  // namespace fastnn
