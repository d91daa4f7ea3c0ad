// fastnn.ops: prelu_forward, prelu_backward.
#include "arrays.h"

namespace fastnn {
namespace {

// One slope for all of x, or one for each channel of rows of channels.
struct Arguments {
  py::array x, w;
  PReluShape s;
  Arguments(const char* op, py::handle x_object, py::handle w_object)
      : x(real_array(op, "x", x_object)),
        w(contiguous(real_array_like(op, "weight", w_object, x, "x", 1))),
        s{.N = x.size(), .C = 1} {
    if (w.size() == 1) {
      x = dense(x);
      return;
    }
    if (x.ndim() != 2 && x.ndim() != 4) {
      value_error(op, ": x has shape ", shape_text(x), "; expected (N, C) or (N, C, H, W)");
    }
    check_shape(op, "weight", w, {x.shape(1)});
    x = x.ndim() == 2 ? contiguous(x) : channels_last(x);
    s.C = w.size();
    s.N = s.C > 0 ? x.size() / s.C : 0;
  }
};

py::array forward(py::handle x_object, py::handle w_object) {
  const char* const op = "prelu_forward";
  const Arguments a(op, x_object, w_object);
  py::array y = empty_like(op, a.x);
  by_type(real_type(op, "x", a.x), [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.prelu_forward);
    const T *x = data<T>(a.x), *w = data<T>(a.w);
    T* y_data = mutable_data<T>(y);
    run(
        op, a.x, [&](int threads) { return table.prelu_scratch_bytes(a.s, threads); },
        [&](const Exec& exec) { kernel(exec, a.s, x, w, y_data); });
  });
  return y;
}

py::tuple backward(py::handle dy_object, py::handle x_object, py::handle w_object,
                   bool weight_gradient) {
  const char* const op = "prelu_backward";
  const Arguments a(op, x_object, w_object);
  py::array dy = real_array_like(op, "dy", dy_object, a.x, "x");
  check_shape(op, "dy", dy, shape_of(a.x));
  dy = with_layout_of(a.x, dy);
  const Real type = real_type(op, "x", a.x);
  py::array dx = empty_like(op, a.x);
  std::optional<py::array> dw;
  if (weight_gradient) dw = empty(op, type, {a.s.C});
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.prelu_backward);
    const T *dy_data = data<T>(dy), *x = data<T>(a.x), *w = data<T>(a.w);
    T *dx_data = mutable_data<T>(dx), *dw_data = data_or_null<T>(dw);
    run(
        op, a.x, [&](int threads) { return table.prelu_scratch_bytes(a.s, threads); },
        [&](const Exec& exec) { kernel(exec, a.s, dy_data, x, w, dx_data, dw_data); });
  });
  return py::make_tuple(dx, dw);
}

}  // namespace

void bind_prelu(py::module_& m) {
  m.def("prelu_forward", &forward, py::arg("x"), py::arg("weight"),
        "y = x where x is positive, else weight * x: any shape for a weight (1,), (N, C) or (N, C, "
        "H, W) for a weight (C,).");
  m.def("prelu_backward", &backward, py::arg("dy"), py::arg("x"), py::arg("weight"),
        py::arg("weight_gradient") = true,
        "(dx, dweight) of prelu_forward; None for dweight without weight_gradient.");
}

}  // namespace fastnn
