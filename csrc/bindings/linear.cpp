// fastnn.ops: linear_forward, linear_backward_input, linear_backward_weight.
#include "arrays.h"

namespace fastnn {
namespace {

// The shape of y from that of x or the other way round: the last dimension is another one.
Shape with_last(const py::array& a, int64_t last) {
  Shape shape(a.shape(), a.shape() + a.ndim());
  shape.back() = last;
  return shape;
}

py::array rows_of(const char* op, const char* name, const py::array& a) {
  if (a.ndim() < 1) value_error(op, ": ", name, " has no dimensions; expected at least 1");
  return contiguous(a);
}

LinearShape linear_shape(const py::array& rows, int64_t I, int64_t O) {
  int64_t N = 1;
  for (py::ssize_t i = 0; i + 1 < rows.ndim(); ++i) N *= rows.shape(i);
  return {.N = N, .I = I, .O = O};
}

py::array forward(py::handle x_object, py::handle w_object, const py::object& b_object) {
  const char* const op = "linear_forward";
  const py::array x = rows_of(op, "x", real_array(op, "x", x_object));
  const py::array w = contiguous(real_array_like(op, "weight", w_object, x, "x", 2));
  const int64_t O = w.shape(0), I = w.shape(1);
  if (x.shape(x.ndim() - 1) != I) {
    value_error("linear: weight has ", I, " input features, x has ", x.shape(x.ndim() - 1));
  }
  py::array b;
  if (!b_object.is_none()) {
    b = contiguous(real_array_like(op, "bias", b_object, x, "x", 1));
    check_shape(op, "bias", b, {O});
  }
  const LinearShape s = linear_shape(x, I, O);
  py::array y = empty(op, real_type(op, "x", x), with_last(x, O));
  by_type(real_type(op, "x", x), [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.linear_forward);
    const T *x_data = data<T>(x), *w_data = data<T>(w),
            *b_data = b_object.is_none() ? nullptr : data<T>(b);
    T* y_data = mutable_data<T>(y);
    describe({.multiply_adds = s.N * s.I * s.O});
    run(
        op, x, [&](int threads) { return table.linear_scratch_bytes(s, threads); },
        [&](const Exec& exec) { kernel(exec, s, x_data, w_data, b_data, y_data); });
  });
  return y;
}

py::array backward_input(py::handle dy_object, py::handle w_object) {
  const char* const op = "linear_backward_input";
  const py::array dy = rows_of(op, "dy", real_array(op, "dy", dy_object));
  const py::array w = contiguous(real_array_like(op, "weight", w_object, dy, "dy", 2));
  const int64_t O = w.shape(0), I = w.shape(1);
  if (dy.shape(dy.ndim() - 1) != O) {
    value_error("linear: weight has ", O, " output features, dy has ", dy.shape(dy.ndim() - 1));
  }
  const LinearShape s = linear_shape(dy, I, O);
  py::array dx = empty(op, real_type(op, "dy", dy), with_last(dy, I));
  by_type(real_type(op, "dy", dy), [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.linear_backward_input);
    const T *dy_data = data<T>(dy), *w_data = data<T>(w);
    T* dx_data = mutable_data<T>(dx);
    run(
        op, dy, [&](int threads) { return table.linear_scratch_bytes(s, threads); },
        [&](const Exec& exec) { kernel(exec, s, dy_data, w_data, dx_data); });
  });
  return dx;
}

py::tuple backward_weight(py::handle dy_object, py::handle x_object, bool bias,
                          const py::object& dw_object, const py::object& db_object,
                          bool accumulate) {
  const char* const op = "linear_backward_weight";
  const py::array dy = rows_of(op, "dy", real_array(op, "dy", dy_object));
  const py::array x = rows_of(op, "x", real_array_like(op, "x", x_object, dy, "dy"));
  const int64_t O = dy.shape(dy.ndim() - 1), I = x.shape(x.ndim() - 1);
  check_shape(op, "x", x, with_last(dy, I));
  const LinearShape s = linear_shape(dy, I, O);
  ParameterGradients gradients(op, dy, x, {O, I}, O, bias, dw_object, db_object, accumulate);
  by_type(real_type(op, "dy", dy), [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.linear_backward_weight);
    const T *dy_data = data<T>(dy), *x_data = data<T>(x);
    T *dw_data = mutable_data<T>(gradients.dw),
      *db_data = bias ? mutable_data<T>(gradients.db) : nullptr;
    run(
        op, dy, [&](int threads) { return table.linear_scratch_bytes(s, threads); },
        [&](const Exec& exec) { kernel(exec, s, dy_data, x_data, dw_data, db_data, accumulate); });
  });
  return gradients.result(bias);
}

}  // namespace

void bind_linear(py::module_& m) {
  m.def("linear_forward", &forward, py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(),
        "y = x weight^T + bias: (..., I), (O, I), (O,) -> (..., O).");
  m.def("linear_backward_input", &backward_input, py::arg("dy"), py::arg("weight"),
        "dx = dy weight: (..., O), (O, I) -> (..., I).");
  m.def("linear_backward_weight", &backward_weight, py::arg("dy"), py::arg("x"),
        py::arg("bias") = true, py::kw_only(), py::arg("dw") = py::none(),
        py::arg("db") = py::none(), py::arg("accumulate") = false,
        "(dw, db) = (dy^T x, sum of dy): (..., O), (..., I) -> (O, I), (O,). db is None without "
        "bias. Given arrays dw\n"
        "and db are overwritten, or added to if accumulate.");
}

}  // namespace fastnn
