// fastnn.ops: pad2d_forward, pad2d_backward.
#include "arrays.h"

namespace fastnn {
namespace {

Padding padding_mode(const char* op, const std::string& mode) {
  constexpr std::pair<const char*, Padding> modes[] = {{"constant", Padding::constant},
                                                       {"reflect", Padding::reflect},
                                                       {"replicate", Padding::replicate},
                                                       {"circular", Padding::circular}};
  for (const auto& [name, padding] : modes) {
    if (mode == name) return padding;
  }
  value_error(op, ": mode is '", mode, "'; expected constant, reflect, replicate or circular");
}

// The size of one dimension of y, where `before` and `behind` are added to one of x.
int64_t padded_size(const char* op, const char* dimension, int64_t size, int64_t before,
                    int64_t behind, Padding padding) {
  const int64_t most = before > behind ? before : behind;
  const auto refuse = [&](const char* expected, int64_t limit) {
    value_error(op, ": the ", dimension, " ", size, " is padded by ", before, " and ", behind,
                "; expected ", expected, " ", limit);
  };
  const int64_t padded = size + before + behind;
  if (padding == Padding::constant) {
    if (padded < 0) refuse("to crop at most", size);
    return padded;
  }
  if (padding == Padding::reflect && most >= size) refuse("less than", size);
  if (padding == Padding::circular && most > size) refuse("at most", size);
  if (size == 0 || padded < 1) refuse("to leave at least", 1);
  return padded;
}

Pad2dShape pad_shape(const char* op, const Shape& x, py::handle pad, const std::string& mode) {
  if (!PySequence_Check(pad.ptr()) || PySequence_Size(pad.ptr()) != 4) {
    PyErr_Clear();
    type_error(op, ": pad is ", std::string(py::repr(pad)),
               "; expected 4 ints: left, right, top, bottom");
  }
  int64_t sides[4];
  for (size_t i = 0; i < 4; ++i) {
    sides[i] =
        integer(op, "pad", py::object(py::reinterpret_borrow<py::sequence>(pad)[i]), -largest_size);
  }
  const Padding padding = padding_mode(op, mode);
  const int64_t P = padded_size(op, "height", x[2], sides[2], sides[3], padding);
  const int64_t Q = padded_size(op, "width", x[3], sides[0], sides[1], padding);
  return {x[0], x[1], x[2], x[3], P, Q, sides[2], sides[0], padding};
}

py::array forward(py::handle x_object, py::handle pad, const std::string& mode, double value) {
  const char* const op = "pad2d_forward";
  py::array x = real_array(op, "x", x_object, 4);
  const Real type = real_type(op, "x", x);
  const Pad2dShape s = pad_shape(op, shape_of(x), pad, mode);
  x = channels_last(x);
  py::array y = empty_channels_last(op, type, s.N, s.C, s.P, s.Q);
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().pad2d_forward);
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    run(op, x, [&](const Exec& exec) { kernel(exec, s, value, from, to); });
  });
  return y;
}

py::array backward(py::handle dy_object, py::handle input_size, py::handle pad,
                   const std::string& mode) {
  const char* const op = "pad2d_backward";
  py::array dy = real_array(op, "dy", dy_object, 4);
  const Real type = real_type(op, "dy", dy);
  const Pad2dShape s = pad_shape(op, shape_argument(op, "input_size", input_size, 4), pad, mode);
  check_shape(op, "dy", dy, {s.N, s.C, s.P, s.Q});
  dy = channels_last(dy);
  py::array dx = empty_channels_last(op, type, s.N, s.C, s.H, s.W);
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().pad2d_backward);
    const T* from = data<T>(dy);
    T* to = mutable_data<T>(dx);
    run(op, dy, [&](const Exec& exec) { kernel(exec, s, from, to); });
  });
  return dx;
}

}  // namespace

void bind_pad2d(py::module_& m) {
  m.def("pad2d_forward", &forward, py::arg("x"), py::arg("pad"), py::arg("mode") = "constant",
        py::arg("value") = 0.0,
        "y (N, C, H + top + bottom, W + left + right) from x (N, C, H, W) and pad (left, right, "
        "top, bottom);\nnegative ones crop. Outside of x there is value, or with mode 'reflect', "
        "'replicate' or 'circular' what\ntorch.nn.functional.pad has there.");
  m.def("pad2d_backward", &backward, py::arg("dy"), py::arg("input_size"), py::arg("pad"),
        py::arg("mode") = "constant",
        "dx (N, C, H, W): for each element of x the sum of dy over its copies in y.");
}

}  // namespace fastnn
