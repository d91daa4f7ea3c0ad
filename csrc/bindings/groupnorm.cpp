// fastnn.ops: group_norm_forward, group_norm_backward.
#include "arrays.h"

namespace fastnn {
namespace {

GroupNormShape shape(const char* op, const py::array& x, py::handle groups) {
  const int64_t C = x.shape(1), G = integer(op, "num_groups", groups, 1);
  if (C % G != 0) {
    value_error(op, ": x has ", C, " channels; expected a multiple of num_groups, which is ", G);
  }
  return {.N = x.shape(0), .P = x.ndim() == 2 ? 1 : x.shape(2) * x.shape(3), .C = C, .G = G};
}

// A further array, of the element type of x.
py::array array_of(const char* op, const char* name, py::handle object, const py::array& x,
                   const Shape& expected) {
  const py::array a = real_array_like(op, name, object, x, "x");
  check_shape(op, name, a, expected);
  return contiguous(a);
}
std::optional<py::array> channels(const char* op, const char* name, const py::object& object,
                                  const py::array& x) {
  if (object.is_none()) return std::nullopt;
  return array_of(op, name, object, x, {x.shape(1)});
}

py::tuple forward(py::handle x_object, py::handle groups, const py::object& w_object,
                  const py::object& b_object, double eps) {
  const char* const op = "group_norm_forward";
  const py::array x = channel_rows(op, "x", real_array(op, "x", x_object));
  const GroupNormShape s = shape(op, x, groups);
  const std::optional<py::array> w = channels(op, "weight", w_object, x),
                                 b = channels(op, "bias", b_object, x);
  const Real type = real_type(op, "x", x);
  py::array y = empty_like(op, x), mean = empty(op, type, {s.N, s.G}),
            inv_std = empty(op, type, {s.N, s.G});
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.group_norm_forward);
    const T *x_data = data<T>(x), *w_data = data_or_null<T>(w), *b_data = data_or_null<T>(b);
    T *y_data = mutable_data<T>(y), *mean_data = mutable_data<T>(mean),
      *inv_std_data = mutable_data<T>(inv_std);
    run(
        op, x, [&](int threads) { return table.group_norm_forward_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          kernel(exec, s, eps, x_data, w_data, b_data, y_data, mean_data, inv_std_data);
        });
  });
  return py::make_tuple(y, mean, inv_std);
}

py::tuple backward(py::handle dy_object, py::handle x_object, py::handle mean_object,
                   py::handle inv_std_object, py::handle groups, const py::object& w_object,
                   bool bias) {
  const char* const op = "group_norm_backward";
  const py::array x = channel_rows(op, "x", real_array(op, "x", x_object));
  const GroupNormShape s = shape(op, x, groups);
  py::array dy = real_array_like(op, "dy", dy_object, x, "x");
  check_shape(op, "dy", dy, shape_of(x));
  dy = channel_rows(op, "dy", dy);
  const py::array mean = array_of(op, "mean", mean_object, x, {s.N, s.G}),
                  inv_std = array_of(op, "inv_std", inv_std_object, x, {s.N, s.G});
  const std::optional<py::array> w = channels(op, "weight", w_object, x);
  const Real type = real_type(op, "x", x);
  py::array dx = empty_like(op, x);
  std::optional<py::array> dw, db;
  if (w) dw = empty(op, type, {s.C});
  if (bias) db = empty(op, type, {s.C});
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.group_norm_backward);
    const T *dy_data = data<T>(dy), *x_data = data<T>(x), *mean_data = data<T>(mean),
            *inv_std_data = data<T>(inv_std), *w_data = data_or_null<T>(w);
    T *dx_data = mutable_data<T>(dx), *dw_data = data_or_null<T>(dw),
      *db_data = data_or_null<T>(db);
    run(
        op, x, [&](int threads) { return table.group_norm_backward_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          kernel(exec, s, dy_data, x_data, mean_data, inv_std_data, w_data, dx_data, dw_data,
                 db_data);
        });
  });
  return py::make_tuple(dx, dw, db);
}

}  // namespace

void bind_groupnorm(py::module_& m) {
  m.def(
      "group_norm_forward", &forward, py::arg("x"), py::arg("num_groups"),
      py::arg("weight") = py::none(), py::arg("bias") = py::none(), py::arg("eps") = 1e-5,
      "(y, mean, inv_std): y = (x - mean) * inv_std * weight + bias with the mean and inv_std = 1 "
      "/ sqrt(variance + eps),\n(N, num_groups), of each group of adjacent channels of each x "
      "(N, C) or (N, C, H, W); weight and bias (C,).");
  m.def("group_norm_backward", &backward, py::arg("dy"), py::arg("x"), py::arg("mean"),
        py::arg("inv_std"), py::arg("num_groups"), py::arg("weight") = py::none(),
        py::arg("bias") = true,
        "(dx, dweight, dbias) from dy and what forward was given and returned; None for what there "
        "was not.");
}

}  // namespace fastnn
