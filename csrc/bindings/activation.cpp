// fastnn.ops: <activation>_forward and <activation>_backward.
#include <cmath>

#include "arrays.h"

namespace fastnn {
namespace {

// Parameters that the function is not defined for.
void check(const char* op, const Activation& f) {
  if (f.kind == Activation::celu && f.a == 0) value_error(op, ": alpha is 0; expected any other");
  if (f.kind == Activation::hardtanh && f.a > f.b) {
    value_error(op, ": min_val is ", f.a, ", max_val ", f.b, "; expected min_val <= max_val");
  }
  if (f.kind == Activation::softshrink && !(f.a >= 0 && std::isfinite(f.a))) {
    value_error(op, ": lambd is ", f.a, "; expected a finite number, at least 0");
  }
}

py::array forward(const char* op, const Activation& activation, py::handle x_object) {
  check(op, activation);
  const py::array x = dense(real_array(op, "x", x_object));
  py::array y = empty_like(op, x);
  by_type(real_type(op, "x", x), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().activation_forward);
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    run(op, x, [&](const Exec& exec) { kernel(exec, activation, x.size(), from, to); });
  });
  return y;
}

// v is the output y or the input x.
py::array backward(const char* op, const Activation& activation, py::handle dy_object,
                   py::handle v_object) {
  check(op, activation);
  const char* const name = gradient_from_input(activation) ? "x" : "y";
  const py::array v = dense(real_array(op, name, v_object));
  py::array dy = real_array_like(op, "dy", dy_object, v, name);
  check_shape(op, "dy", dy, shape_of(v));
  dy = with_layout_of(v, dy);
  py::array dx = empty_like(op, v);
  by_type(real_type(op, name, v), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().activation_backward);
    const T *dy_data = data<T>(dy), *v_data = data<T>(v);
    T* dx_data = mutable_data<T>(dx);
    run(op, v,
        [&](const Exec& exec) { kernel(exec, activation, v.size(), dy_data, v_data, dx_data); });
  });
  return dx;
}

template <class>
using Number = double;

// <name>_forward and <name>_backward; parameters: up to two py::arg, with their defaults.
template <class... Parameter>
void bind(py::module_& m, Activation::Kind kind, const char* forward_name, const char* forward_doc,
          const char* backward_name, const char* backward_doc, const Parameter&... parameters) {
  m.def(
      forward_name,
      [=](py::handle x, Number<Parameter>... numbers) {
        return forward(forward_name, {kind, numbers...}, x);
      },
      py::arg("x"), parameters..., forward_doc);
  m.def(
      backward_name,
      [=](py::handle dy, py::handle v, Number<Parameter>... numbers) {
        return backward(backward_name, {kind, numbers...}, dy, v);
      },
      py::arg("dy"), py::arg(gradient_from_input({kind}) ? "x" : "y"), parameters..., backward_doc);
}

Activation::Kind gelu(const char* op, const std::string& approximate) {
  if (approximate == "none") return Activation::gelu;
  if (approximate == "tanh") return Activation::gelu_tanh;
  value_error(op, ": approximate is '", approximate, "'; expected none or tanh");
}

}  // namespace

void bind_activation(py::module_& m) {
  bind(m, Activation::relu, "relu_forward", "y = max(x, 0), element-wise; NaN stays NaN.",
       "relu_backward", "dx = dy where the output y of relu_forward is positive (or NaN), else 0.");
  bind(m, Activation::sigmoid, "sigmoid_forward", "y = 1 / (1 + exp(-x)), element-wise.",
       "sigmoid_backward", "dx = dy * y * (1 - y), y being the output of sigmoid_forward.");
  bind(m, Activation::tanh, "tanh_forward", "y = tanh(x), element-wise.", "tanh_backward",
       "dx = dy * (1 - y**2), y being the output of tanh_forward.");
  bind(m, Activation::leaky_relu, "leaky_relu_forward",
       "y = x where x is positive, else negative_slope * x.", "leaky_relu_backward",
       "dx = dy where y is positive, else negative_slope * dy; y being the output of "
       "leaky_relu_forward, or its input,\nwhich it must be for a negative slope.",
       py::arg("negative_slope") = 0.01);
  bind(m, Activation::elu, "elu_forward", "y = x where x is positive, else alpha * (exp(x) - 1).",
       "elu_backward",
       "dx = dy where y is positive, else dy * (y + alpha); y being the output of elu_forward, or "
       "where alpha is negative\nits input.",
       py::arg("alpha") = 1.0);
  bind(m, Activation::celu, "celu_forward",
       "y = x where x is positive, else alpha * (exp(x / alpha) - 1).", "celu_backward",
       "dx = dy where y is positive, else dy * (y / alpha + 1); y being the output of "
       "celu_forward.",
       py::arg("alpha") = 1.0);
  bind(m, Activation::selu, "selu_forward",
       "y = 1.0507009873554805 * (x where x is positive, else 1.6732632423543772 * (exp(x) - 1)).",
       "selu_backward", "dx of selu_forward, y being its output.");
  bind(m, Activation::softsign, "softsign_forward", "y = x / (1 + abs(x)), element-wise.",
       "softsign_backward", "dx = dy * (1 - abs(y))**2, y being the output of softsign_forward.");
  bind(m, Activation::silu, "silu_forward", "y = x / (1 + exp(-x)), element-wise.", "silu_backward",
       "dx = dy * s * (1 + x * (1 - s)) with s = 1 / (1 + exp(-x)).");
  bind(m, Activation::mish, "mish_forward", "y = x * tanh(log(1 + exp(x))), element-wise.",
       "mish_backward", "dx of mish_forward, x being its input.");
  bind(m, Activation::softplus, "softplus_forward",
       "y = log(1 + exp(beta * x)) / beta, and x where beta * x is above the threshold.",
       "softplus_backward",
       "dx = dy / (1 + exp(-beta * x)), and dy where beta * x is above the threshold.",
       py::arg("beta") = 1.0, py::arg("threshold") = 20.0);
  bind(m, Activation::logsigmoid, "logsigmoid_forward", "y = -log(1 + exp(-x)), element-wise.",
       "logsigmoid_backward", "dx = dy * (1 - exp(y)), y being the output of logsigmoid_forward.");
  bind(m, Activation::hardtanh, "hardtanh_forward", "y = min(max(x, min_val), max_val).",
       "hardtanh_backward",
       "dx = dy where min_val < y < max_val, else 0; y being the output of hardtanh_forward.",
       py::arg("min_val") = -1.0, py::arg("max_val") = 1.0);
  bind(m, Activation::hardsigmoid, "hardsigmoid_forward", "y = min(max(x + 3, 0), 6) / 6.",
       "hardsigmoid_backward", "dx = dy / 6 where -3 < x < 3, else 0.");
  bind(m, Activation::hardswish, "hardswish_forward", "y = x * min(max(x + 3, 0), 6) / 6.",
       "hardswish_backward", "dx = dy * (x / 3 + 1 / 2) where -3 < x < 3; 0 below, dy above.");
  bind(m, Activation::threshold, "threshold_forward",
       "y = x where x is above the threshold, else value.", "threshold_backward",
       "dx = dy where x is above the threshold, else 0.", py::arg("threshold"), py::arg("value"));
  bind(m, Activation::softshrink, "softshrink_forward",
       "y = x - lambd above lambd, x + lambd below -lambd, else 0.", "softshrink_backward",
       "dx = dy where abs(x) is above lambd, else 0.", py::arg("lambd") = 0.5);
  bind(m, Activation::hardshrink, "hardshrink_forward", "y = 0 where -lambd <= x <= lambd, else x.",
       "hardshrink_backward", "dx = dy where x is above lambd or below -lambd, else 0.",
       py::arg("lambd") = 0.5);
  bind(m, Activation::tanhshrink, "tanhshrink_forward", "y = x - tanh(x), element-wise.",
       "tanhshrink_backward", "dx = dy * tanh(x)**2.");
  m.def(
      "gelu_forward",
      [](py::handle x, const std::string& approximate) {
        return forward("gelu_forward", {gelu("gelu_forward", approximate)}, x);
      },
      py::arg("x"), py::arg("approximate") = "none",
      "y = x * P(X <= x), X normally distributed; approximate 'tanh': with "
      "(1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2\nin the place of the probability.");
  m.def(
      "gelu_backward",
      [](py::handle dy, py::handle x, const std::string& approximate) {
        return backward("gelu_backward", {gelu("gelu_backward", approximate)}, dy, x);
      },
      py::arg("dy"), py::arg("x"), py::arg("approximate") = "none",
      "dx of gelu_forward, x being its input.");
}

}  // namespace fastnn
