// fastnn.ops: local_response_norm_forward, local_response_norm_backward.
#include "arrays.h"

namespace fastnn {
namespace {

LocalResponseNormShape shape(const char* op, const py::array& x, py::handle size, double alpha,
                             double beta, double k) {
  return {.N = count_channel_rows(x),
          .C = x.shape(1),
          .size = integer(op, "size", size, 1),
          .alpha = alpha,
          .beta = beta,
          .k = k};
}

py::array forward(py::handle x_object, py::handle size, double alpha, double beta, double k) {
  const char* const op = "local_response_norm_forward";
  const py::array x = channel_rows(op, "x", real_array(op, "x", x_object));
  const LocalResponseNormShape s = shape(op, x, size, alpha, beta, k);
  py::array y = empty_like(op, x);
  by_type(real_type(op, "x", x), [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.local_response_norm_forward);
    const T* x_data = data<T>(x);
    T* y_data = mutable_data<T>(y);
    run(
        op, x, [&](int threads) { return table.local_response_norm_scratch_bytes(s, threads); },
        [&](const Exec& exec) { kernel(exec, s, x_data, y_data); });
  });
  return y;
}

py::array backward(py::handle dy_object, py::handle x_object, py::handle size, double alpha,
                   double beta, double k) {
  const char* const op = "local_response_norm_backward";
  const py::array x = channel_rows(op, "x", real_array(op, "x", x_object));
  const LocalResponseNormShape s = shape(op, x, size, alpha, beta, k);
  py::array dy = real_array_like(op, "dy", dy_object, x, "x");
  check_shape(op, "dy", dy, shape_of(x));
  dy = channel_rows(op, "dy", dy);
  py::array dx = empty_like(op, x);
  by_type(real_type(op, "x", x), [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.local_response_norm_backward);
    const T *dy_data = data<T>(dy), *x_data = data<T>(x);
    T* dx_data = mutable_data<T>(dx);
    run(
        op, x, [&](int threads) { return table.local_response_norm_scratch_bytes(s, threads); },
        [&](const Exec& exec) { kernel(exec, s, dy_data, x_data, dx_data); });
  });
  return dx;
}

}  // namespace

void bind_local_response_norm(py::module_& m) {
  m.def("local_response_norm_forward", &forward, py::arg("x"), py::arg("size"),
        py::arg("alpha") = 1e-4, py::arg("beta") = 0.75, py::arg("k") = 1.0,
        "y = x / (k + alpha / size * sum)**beta, sum that of x**2 over the channels from size // 2 "
        "before to (size - 1) // 2\nbehind: (N, C) or (N, C, H, W).");
  m.def("local_response_norm_backward", &backward, py::arg("dy"), py::arg("x"), py::arg("size"),
        py::arg("alpha") = 1e-4, py::arg("beta") = 0.75, py::arg("k") = 1.0,
        "dx from dy and the arguments of forward.");
}

}  // namespace fastnn
