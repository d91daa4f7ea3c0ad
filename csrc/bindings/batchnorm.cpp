// fastnn.ops: batch_norm_statistics, batch_norm_forward, batch_norm_backward.
#include "arrays.h"

namespace fastnn {
namespace {

BatchNormShape shape(const py::array& x) { return {.N = count_channel_rows(x), .C = x.shape(1)}; }

// A further array of x's shape.
py::array rows_like(const char* op, const char* name, py::handle object, const py::array& x) {
  const py::array a = real_array_like(op, name, object, x, "x");
  check_shape(op, name, a, shape_of(x));
  return channel_rows(op, name, a);
}

// One value a channel.
py::array channels(const char* op, const char* name, py::handle object, const py::array& x) {
  const py::array a = contiguous(real_array_like(op, name, object, x, "x", 1));
  check_shape(op, name, a, {x.shape(1)});
  return a;
}
std::optional<py::array> optional_channels(const char* op, const char* name,
                                           const py::object& object, const py::array& x) {
  if (object.is_none()) return std::nullopt;
  return channels(op, name, object, x);
}

// The arrays of BatchNormParams.
struct Params {
  py::array mean, inv_std;
  std::optional<py::array> w, b;
  Params(const char* op, const py::array& x, py::handle mean_object, py::handle inv_std_object,
         const py::object& w_object, const py::object& b_object)
      : mean(channels(op, "mean", mean_object, x)),
        inv_std(channels(op, "inv_std", inv_std_object, x)),
        w(optional_channels(op, "weight", w_object, x)),
        b(optional_channels(op, "bias", b_object, x)) {}
  template <class T>
  BatchNormParams<T> pointers() const {
    return {data<T>(mean), data<T>(inv_std), data_or_null<T>(w), data_or_null<T>(b)};
  }
};

py::tuple statistics(py::handle x_object, double eps, const py::object& running_mean,
                     const py::object& running_var, double momentum) {
  const char* const op = "batch_norm_statistics";
  const py::array x = channel_rows(op, "x", real_array(op, "x", x_object));
  const BatchNormShape s = shape(x);
  const auto running = [&](const char* name, const py::object& object) {
    std::optional<py::array> a;
    if (!object.is_none()) a = output_array(op, name, object, x, {s.C});
    return a;
  };
  std::optional<py::array> kept_mean = running("running_mean", running_mean),
                           kept_var = running("running_var", running_var);
  const Real type = real_type(op, "x", x);
  py::array mean = empty(op, type, {s.C}), inv_std = empty(op, type, {s.C});
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.batch_norm_statistics);
    const BatchNormRunning<T> kept{data_or_null<T>(kept_mean), data_or_null<T>(kept_var), momentum};
    const T* x_data = data<T>(x);
    T *mean_data = mutable_data<T>(mean), *inv_std_data = mutable_data<T>(inv_std);
    run(
        op, x, [&](int threads) { return table.batch_norm_scratch_bytes(s, threads); },
        [&](const Exec& exec) { kernel(exec, s, x_data, eps, kept, mean_data, inv_std_data); });
  });
  return py::make_tuple(mean, inv_std);
}

py::array forward(py::handle x_object, py::handle mean, py::handle inv_std, const py::object& w,
                  const py::object& b, const py::object& residual_object, bool relu) {
  const char* const op = "batch_norm_forward";
  const py::array x = channel_rows(op, "x", real_array(op, "x", x_object));
  const Params params(op, x, mean, inv_std, w, b);
  std::optional<py::array> residual;
  if (!residual_object.is_none()) residual = rows_like(op, "residual", residual_object, x);
  const BatchNormShape s = shape(x);
  py::array y = empty_like(op, x);
  by_type(real_type(op, "x", x), [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.batch_norm_forward);
    const T *x_data = data<T>(x), *residual_data = data_or_null<T>(residual);
    T* y_data = mutable_data<T>(y);
    run(
        op, x, [&](int threads) { return table.batch_norm_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          kernel(exec, s, params.pointers<T>(), x_data, residual_data, relu, y_data);
        });
  });
  return y;
}

py::tuple backward(py::handle dy_object, py::handle x_object, py::handle mean, py::handle inv_std,
                   const py::object& w, const py::object& b, const py::object& y_object,
                   bool training, bool relu, bool residual) {
  const char* const op = "batch_norm_backward";
  const py::array x = channel_rows(op, "x", real_array(op, "x", x_object));
  const py::array dy = rows_like(op, "dy", dy_object, x);
  const Params params(op, x, mean, inv_std, w, b);
  std::optional<py::array> y;
  if (!y_object.is_none()) y = rows_like(op, "y", y_object, x);
  if (relu && residual && !y) value_error(op, ": relu after a residual needs y");
  const BatchNormShape s = shape(x);
  const Real type = real_type(op, "x", x);
  py::array dx = empty_like(op, x);
  std::optional<py::array> dw, db, dresidual;
  if (params.w) dw = empty(op, type, {s.C});
  if (params.b) db = empty(op, type, {s.C});
  if (residual) dresidual = empty_like(op, x);
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.batch_norm_backward);
    const T *dy_data = data<T>(dy), *x_data = data<T>(x), *y_data = data_or_null<T>(y);
    T *dx_data = mutable_data<T>(dx), *dresidual_data = data_or_null<T>(dresidual),
      *dw_data = data_or_null<T>(dw), *db_data = data_or_null<T>(db);
    run(
        op, x, [&](int threads) { return table.batch_norm_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          kernel(exec, s, params.pointers<T>(), dy_data, x_data, y_data, training, relu, dx_data,
                 dresidual_data, dw_data, db_data);
        });
  });
  return py::make_tuple(dx, dw, db, dresidual);
}

}  // namespace

void bind_batchnorm(py::module_& m) {
  m.def(
      "batch_norm_statistics", &statistics, py::arg("x"), py::arg("eps") = 1e-5,
      py::arg("running_mean") = py::none(), py::arg("running_var") = py::none(),
      py::arg("momentum") = 0.1,
      "(mean, inv_std) of each channel of x, (N, C) or (N, C, H, W): 1 / sqrt(variance + eps), the "
      "variance with\ndivisor n. The running arrays (C,) move towards mean and variance (with "
      "divisor n - 1) in place.");
  m.def(
      "batch_norm_forward", &forward, py::arg("x"), py::arg("mean"), py::arg("inv_std"),
      py::arg("weight") = py::none(), py::arg("bias") = py::none(),
      py::arg("residual") = py::none(), py::arg("relu") = false,
      "y = (x - mean) * inv_std * weight + bias + residual, and relu of that: (N, C) or (N, C, H, "
      "W), the same shape\nfor residual, and (C,) for the rest.");
  m.def(
      "batch_norm_backward", &backward, py::arg("dy"), py::arg("x"), py::arg("mean"),
      py::arg("inv_std"), py::arg("weight") = py::none(), py::arg("bias") = py::none(),
      py::arg("y") = py::none(), py::arg("training") = true, py::arg("relu") = false,
      py::arg("residual") = false,
      "(dx, dweight, dbias, dresidual) from dy and the arguments of forward; None for what there "
      "was not. training:\nmean and inv_std are those of x. y, the output, is needed with relu and "
      "a residual.");
}

}  // namespace fastnn
