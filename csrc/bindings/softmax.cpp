// fastnn.ops: softmax_*, log_softmax_*.
#include <algorithm>

#include "arrays.h"

namespace fastnn {
namespace {

// A negative axis counts from the last. An array without dimensions has one axis of one element, as
// in PyTorch.
py::ssize_t axis_of(const char* op, const py::array& a, int64_t axis) {
  const int64_t ndim = std::max<int64_t>(a.ndim(), 1);
  if (axis < -ndim || axis >= ndim) {
    throw py::index_error(text(op, ": axis is ", axis, "; expected ", -ndim, " to ", ndim - 1,
                               " for x of shape ", shape_text(a)));
  }
  return axis < 0 ? axis + ndim : axis;
}

// `a` with dense memory in which this axis is the innermost: rows for the kernel. No copy where it
// is so already, as along the channels of channels-last images.
py::array with_axis_innermost(const py::array& a, py::ssize_t axis) {
  if (a.ndim() == 4 && axis == 1) return channels_last(a);
  py::array d = dense(a);
  if (d.ndim() == 0 || d.shape(axis) == 1 || d.strides(axis) == d.itemsize()) return d;
  const py::array last = contiguous(py::array(d.attr("swapaxes")(axis, -1)));
  return py::array(last.attr("swapaxes")(axis, -1));
}

SoftmaxShape rows(const py::array& a, py::ssize_t axis) {
  const int64_t C = a.ndim() == 0 ? 1 : a.shape(axis);
  return {C == 0 ? 0 : a.size() / C, C};
}

// `entry` picks the kernel from a table.
template <class Entry>
py::array forward(const char* op, const Entry& entry, py::handle x_object, int64_t axis_argument) {
  py::array x = real_array(op, "x", x_object);
  const py::ssize_t axis = axis_of(op, x, axis_argument);
  x = with_axis_innermost(x, axis);
  const SoftmaxShape shape = rows(x, axis);
  py::array y = empty_like(op, x);
  by_type(real_type(op, "x", x), [&]<class T>() {
    const auto kernel = supported(op, entry(ops<T>()));
    const T* x_data = data<T>(x);
    T* y_data = mutable_data<T>(y);
    run(op, x, [&](const Exec& exec) { kernel(exec, shape, x_data, y_data); });
  });
  return y;
}

template <class Entry>
py::array backward(const char* op, const Entry& entry, py::handle dy_object, py::handle y_object,
                   int64_t axis_argument) {
  py::array y = real_array(op, "y", y_object);
  const py::ssize_t axis = axis_of(op, y, axis_argument);
  py::array dy = real_array_like(op, "dy", dy_object, y, "y");
  check_shape(op, "dy", dy, shape_of(y));
  y = with_axis_innermost(y, axis);
  dy = with_layout_of(y, dy);
  const SoftmaxShape shape = rows(y, axis);
  py::array dx = empty_like(op, y);
  by_type(real_type(op, "y", y), [&]<class T>() {
    const auto kernel = supported(op, entry(ops<T>()));
    const T *dy_data = data<T>(dy), *y_data = data<T>(y);
    T* dx_data = mutable_data<T>(dx);
    run(op, y, [&](const Exec& exec) { kernel(exec, shape, dy_data, y_data, dx_data); });
  });
  return dx;
}

}  // namespace

void bind_softmax(py::module_& m) {
  m.def(
      "softmax_forward",
      [](py::handle x, int64_t axis) {
        const auto entry = [](const auto& table) { return table.softmax_forward; };
        return forward("softmax_forward", entry, x, axis);
      },
      py::arg("x"), py::arg("axis") = -1, "y = exp(x) / sum(exp(x)) along an axis.");
  m.def(
      "softmax_backward",
      [](py::handle dy, py::handle y, int64_t axis) {
        const auto entry = [](const auto& table) { return table.softmax_backward; };
        return backward("softmax_backward", entry, dy, y, axis);
      },
      py::arg("dy"), py::arg("y"), py::arg("axis") = -1,
      "dx = y * (dy - sum(dy * y)) along an axis, y being the output of softmax_forward.");
  m.def(
      "log_softmax_forward",
      [](py::handle x, int64_t axis) {
        const auto entry = [](const auto& table) { return table.log_softmax_forward; };
        return forward("log_softmax_forward", entry, x, axis);
      },
      py::arg("x"), py::arg("axis") = -1, "y = x - log(sum(exp(x))) along an axis.");
  m.def(
      "log_softmax_backward",
      [](py::handle dy, py::handle y, int64_t axis) {
        const auto entry = [](const auto& table) { return table.log_softmax_backward; };
        return backward("log_softmax_backward", entry, dy, y, axis);
      },
      py::arg("dy"), py::arg("y"), py::arg("axis") = -1,
      "dx = dy - exp(y) * sum(dy) along an axis, y being the output of log_softmax_forward.");
}

}  // namespace fastnn
