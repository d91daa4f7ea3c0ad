// fastnn.ops: glu_forward, glu_backward.
#include "arrays.h"

namespace fastnn {
namespace {

// The halves of an array of this shape along an axis, as they lie in memory.
struct Halves {
  Shape y_shape;
  int64_t rows, n;
  Halves(const char* op, const Shape& x_shape, int64_t axis) : y_shape(x_shape) {
    const size_t along = axis_argument(op, axis, x_shape);
    if (x_shape[along] % 2) {
      value_error(op, ": x has shape ", shape_text(x_shape), "; expected an even size along axis ",
                  along);
    }
    y_shape[along] = x_shape[along] / 2;
    const Around around(x_shape, along);
    rows = around.outer;
    n = y_shape[along] * around.inner;
  }
};

py::array forward(py::handle x_object, int64_t axis) {
  const char* const op = "glu_forward";
  py::array x = real_array(op, "x", x_object);
  const Halves halves(op, shape_of(x), axis);
  x = in_order(x);
  const Real type = real_type(op, "x", x);
  py::array y = empty_in_order(op, type, halves.y_shape);
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().glu_forward);
    const T* x_data = data<T>(x);
    T* y_data = mutable_data<T>(y);
    run(op, x, [&](const Exec& exec) { kernel(exec, halves.rows, halves.n, x_data, y_data); });
  });
  return y;
}

py::array backward(py::handle dy_object, py::handle x_object, int64_t axis) {
  const char* const op = "glu_backward";
  py::array x = real_array(op, "x", x_object);
  py::array dy = real_array_like(op, "dy", dy_object, x, "x");
  const Halves halves(op, shape_of(x), axis);
  check_shape(op, "dy", dy, halves.y_shape);
  x = in_order(x);
  dy = in_order(dy);
  const Real type = real_type(op, "x", x);
  py::array dx = empty_in_order(op, type, shape_of(x));
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().glu_backward);
    const T *dy_data = data<T>(dy), *x_data = data<T>(x);
    T* dx_data = mutable_data<T>(dx);
    run(op, x,
        [&](const Exec& exec) { kernel(exec, halves.rows, halves.n, dy_data, x_data, dx_data); });
  });
  return dx;
}

}  // namespace

void bind_glu(py::module_& m) {
  m.def("glu_forward", &forward, py::arg("x"), py::arg("axis") = -1,
        "a * sigmoid(b), a and b being the halves of x along an axis.");
  m.def("glu_backward", &backward, py::arg("dy"), py::arg("x"), py::arg("axis") = -1,
        "dx of glu_forward.");
}

}  // namespace fastnn
