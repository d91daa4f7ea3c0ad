// fastnn.ops: relu_*, sigmoid_*, tanh_*, leaky_relu_*, elu_*, softsign_*, silu_*, gelu_*.
#include "arrays.h"

namespace fastnn {
namespace {

py::array forward(const char* op, Activation activation, double parameter, py::handle x_object) {
  const py::array x = dense(real_array(op, "x", x_object));
  py::array y = empty_like(op, x);
  by_type(real_type(op, "x", x), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().activation_forward);
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    run(op, x, [&](const Exec& exec) { kernel(exec, activation, parameter, x.size(), from, to); });
  });
  return y;
}

// v is the output y or the input x.
py::array backward(const char* op, Activation activation, double parameter, py::handle dy_object,
                   py::handle v_object) {
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
    run(op, v, [&](const Exec& exec) {
      kernel(exec, activation, parameter, v.size(), dy_data, v_data, dx_data);
    });
  });
  return dx;
}

// <name>_forward and <name>_backward.
void bind(py::module_& m, Activation activation, const char* forward_name, const char* forward_doc,
          const char* backward_name, const char* backward_doc) {
  m.def(
      forward_name, [=](py::handle x) { return forward(forward_name, activation, 0, x); },
      py::arg("x"), forward_doc);
  m.def(
      backward_name,
      [=](py::handle dy, py::handle v) { return backward(backward_name, activation, 0, dy, v); },
      py::arg("dy"), py::arg(gradient_from_input(activation) ? "x" : "y"), backward_doc);
}

// The same with a parameter.
void bind(py::module_& m, Activation activation, const char* parameter, double standard,
          const char* forward_name, const char* forward_doc, const char* backward_name,
          const char* backward_doc) {
  m.def(
      forward_name, [=](py::handle x, double a) { return forward(forward_name, activation, a, x); },
      py::arg("x"), py::arg(parameter) = standard, forward_doc);
  m.def(
      backward_name,
      [=](py::handle dy, py::handle y, double a) {
        if (activation == Activation::elu && !(a >= 0)) {
          value_error(backward_name, ": alpha is ", a, "; expected at least 0");
        }
        return backward(backward_name, activation, a, dy, y);
      },
      py::arg("dy"), py::arg("y"), py::arg(parameter) = standard, backward_doc);
}

Activation gelu(const char* op, const std::string& approximate) {
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
  bind(m, Activation::leaky_relu, "negative_slope", 0.01, "leaky_relu_forward",
       "y = x where x is positive, else negative_slope * x.", "leaky_relu_backward",
       "dx = dy where y is positive, else negative_slope * dy; y being the output of "
       "leaky_relu_forward, or its input,\nwhich it must be for a negative slope.");
  bind(m, Activation::elu, "alpha", 1.0, "elu_forward",
       "y = x where x is positive, else alpha * (exp(x) - 1).", "elu_backward",
       "dx = dy where y is positive, else dy * (y + alpha); y being the output of elu_forward.");
  bind(m, Activation::softsign, "softsign_forward", "y = x / (1 + abs(x)), element-wise.",
       "softsign_backward", "dx = dy * (1 - abs(y))**2, y being the output of softsign_forward.");
  bind(m, Activation::silu, "silu_forward", "y = x / (1 + exp(-x)), element-wise.", "silu_backward",
       "dx = dy * s * (1 + x * (1 - s)) with s = 1 / (1 + exp(-x)).");
  m.def(
      "gelu_forward",
      [](py::handle x, const std::string& approximate) {
        return forward("gelu_forward", gelu("gelu_forward", approximate), 0, x);
      },
      py::arg("x"), py::arg("approximate") = "none",
      "y = x * P(X <= x), X normally distributed; approximate 'tanh': with "
      "(1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2\nin the place of the probability.");
  m.def(
      "gelu_backward",
      [](py::handle dy, py::handle x, const std::string& approximate) {
        return backward("gelu_backward", gelu("gelu_backward", approximate), 0, dy, x);
      },
      py::arg("dy"), py::arg("x"), py::arg("approximate") = "none",
      "dx of gelu_forward, x being its input.");
}

}  // namespace fastnn
