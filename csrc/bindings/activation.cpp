// fastnn.ops: relu_*, sigmoid_*, tanh_*.
#include "arrays.h"

namespace fastnn {
namespace {

py::array forward(const char* op, Activation activation, py::handle x_object) {
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

py::array backward(const char* op, Activation activation, py::handle dy_object,
                   py::handle y_object) {
  const py::array y = dense(real_array(op, "y", y_object));
  py::array dy = real_array_like(op, "dy", dy_object, y, "y");
  check_shape(op, "dy", dy, shape_of(y));
  dy = with_layout_of(y, dy);
  py::array dx = empty_like(op, y);
  by_type(real_type(op, "y", y), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().activation_backward);
    const T *dy_data = data<T>(dy), *y_data = data<T>(y);
    T* dx_data = mutable_data<T>(dx);
    run(op, y,
        [&](const Exec& exec) { kernel(exec, activation, y.size(), dy_data, y_data, dx_data); });
  });
  return dx;
}

// <name>_forward and <name>_backward.
void bind(py::module_& m, Activation activation, const char* forward_name, const char* forward_doc,
          const char* backward_name, const char* backward_doc) {
  m.def(
      forward_name, [=](py::handle x) { return forward(forward_name, activation, x); },
      py::arg("x"), forward_doc);
  m.def(
      backward_name,
      [=](py::handle dy, py::handle y) { return backward(backward_name, activation, dy, y); },
      py::arg("dy"), py::arg("y"), backward_doc);
}

}  // namespace

void bind_activation(py::module_& m) {
  bind(m, Activation::relu, "relu_forward", "y = max(x, 0), element-wise; NaN stays NaN.",
       "relu_backward", "dx = dy where the output y of relu_forward is positive (or NaN), else 0.");
  bind(m, Activation::sigmoid, "sigmoid_forward", "y = 1 / (1 + exp(-x)), element-wise.",
       "sigmoid_backward", "dx = dy * y * (1 - y), y being the output of sigmoid_forward.");
  bind(m, Activation::tanh, "tanh_forward", "y = tanh(x), element-wise.", "tanh_backward",
       "dx = dy * (1 - y**2), y being the output of tanh_forward.");
}

}  // namespace fastnn
