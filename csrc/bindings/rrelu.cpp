// fastnn.ops: rrelu_forward, rrelu_backward.
#include <cmath>

#include "arrays.h"

namespace fastnn {
namespace {

// Scales what is not positive in v, x itself or the array that x is the gradient of.
py::array rrelu(const char* op, const char* name, py::array x, const py::array& v, double lower,
                double upper, py::handle seed) {
  if (!(std::isfinite(lower) && std::isfinite(upper) && lower <= upper)) {
    value_error(op, ": lower is ", lower, ", upper ", upper,
                "; expected finite numbers with lower <= upper");
  }
  const RandomSlopes slopes{lower, upper, seed_argument(op, seed)};
  x = with_layout_of(v, x);
  py::array y = empty_like(op, v);
  by_type(real_type(op, name, x), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().rrelu);
    const T *x_data = data<T>(x), *v_data = data<T>(v);
    T* y_data = mutable_data<T>(y);
    run(op, x, [&](const Exec& exec) { kernel(exec, slopes, x.size(), x_data, v_data, y_data); });
  });
  return y;
}

py::array forward(py::handle x_object, double lower, double upper, py::handle seed) {
  const char* const op = "rrelu_forward";
  const py::array x = dense(real_array(op, "x", x_object));
  return rrelu(op, "x", x, x, lower, upper, seed);
}

py::array backward(py::handle dy_object, py::handle x_object, double lower, double upper,
                   py::handle seed) {
  const char* const op = "rrelu_backward";
  const py::array x = dense(real_array(op, "x", x_object));
  const py::array dy = real_array_like(op, "dy", dy_object, x, "x");
  check_shape(op, "dy", dy, shape_of(x));
  return rrelu(op, "dy", dy, x, lower, upper, seed);
}

}  // namespace

void bind_rrelu(py::module_& m) {
  m.def("rrelu_forward", &forward, py::arg("x"), py::arg("lower"), py::arg("upper"),
        py::arg("seed"),
        "y = x where x is positive, else x times a number drawn from [lower, upper]. The seed (64 "
        "bits) and an element's\nplace in memory decide which.");
  m.def("rrelu_backward", &backward, py::arg("dy"), py::arg("x"), py::arg("lower"),
        py::arg("upper"), py::arg("seed"),
        "dx of rrelu_forward with the same seed, x being its input with the same memory layout.");
}

}  // namespace fastnn
