// fastnn.ops: upsample2d_forward, upsample2d_backward.
#include <algorithm>
#include <cmath>

#include "arrays.h"

namespace fastnn {
namespace {

enum class Mode { nearest, nearest_exact, linear };

Mode interpolation_mode(const char* op, const std::string& mode) {
  if (mode == "nearest") return Mode::nearest;
  if (mode == "nearest-exact") return Mode::nearest_exact;
  if (mode == "bilinear") return Mode::linear;
  value_error(op, ": mode is '", mode, "'; expected nearest, nearest-exact or bilinear");
}

struct Interpolation {
  Mode mode;
  bool align_corners;
  std::optional<double> scale[2];  // of the rows and of the columns
};

Interpolation interpolation(const char* op, const std::string& mode, bool align_corners,
                            const py::object& scales) {
  Interpolation how{interpolation_mode(op, mode), align_corners, {}};
  if (align_corners && how.mode != Mode::linear) {
    value_error(op, ": align_corners is True; expected False with mode '", mode, "'");
  }
  if (scales.is_none()) return how;
  if (!PySequence_Check(scales.ptr()) || PySequence_Size(scales.ptr()) != 2) {
    PyErr_Clear();
    type_error(op, ": scales is ", std::string(py::repr(scales)), "; expected 2 numbers or None");
  }
  for (size_t i = 0; i < 2; ++i) {
    const py::object scale = py::reinterpret_borrow<py::sequence>(scales)[i];
    if (scale.is_none()) continue;
    const double factor = PyFloat_AsDouble(scale.ptr());
    how.scale[i] = factor;
    if (PyErr_Occurred() || !(factor > 0) || std::isinf(factor)) {
      PyErr_Clear();
      value_error(op, ": scales holds ", std::string(py::repr(scale)),
                  "; expected numbers above 0, or None");
    }
  }
  return how;
}

// The taps of `count` elements made of `size`, with PyTorch's arithmetic: in float for float and
// for the nearest modes, in double for bilinear double. That decides to which side 2.9999999 falls.
template <class T>
struct TapArrays {
  std::vector<int64_t> low;
  std::vector<T> weight;
  ResizeTaps<T> taps() const { return {low.data(), weight.empty() ? nullptr : weight.data()}; }
};

// The element of `size` below a place, which may lie outside of them or be NaN.
template <class T>
int64_t element_at(T place, int64_t size) {
  if (!(place > 0)) return 0;
  return place < static_cast<T>(size) ? std::min(static_cast<int64_t>(place), size - 1) : size - 1;
}

template <class T>
TapArrays<T> nearest_taps(int64_t size, int64_t count, bool exact, std::optional<double> scale) {
  TapArrays<T> result{Shape(static_cast<size_t>(count)), {}};
  const float step = scale ? static_cast<float>(1.0 / *scale)
                           : static_cast<float>(size) / static_cast<float>(count);
  for (int64_t i = 0; i < count; ++i) {
    const float middle = static_cast<float>(i) + (exact ? 0.5F : 0.0F);
    int64_t at = element_at(middle * step, size);
    if (!exact && count == size) at = i;  // whatever the scale is, as in PyTorch
    if (!exact && count == 2 * size) at = i / 2;
    result.low[static_cast<size_t>(i)] = at;
  }
  return result;
}

template <class T>
TapArrays<T> linear_taps(int64_t size, int64_t count, bool align_corners,
                         std::optional<double> scale) {
  TapArrays<T> result{Shape(static_cast<size_t>(count)),
                      std::vector<T>(static_cast<size_t>(count))};
  T step;
  if (align_corners) {
    step = count > 1 ? static_cast<T>(size - 1) / static_cast<T>(count - 1) : T{0};
  } else {
    step = scale ? static_cast<T>(1.0 / *scale) : static_cast<T>(size) / static_cast<T>(count);
  }
  for (int64_t i = 0; i < count; ++i) {
    T at = static_cast<T>(i);
    if (align_corners) {
      at *= step;
    } else if (count != size) {
      at = (at + T(0.5)) * step - T(0.5);
    }
    const int64_t low = element_at(at, size);
    const T weight = at - static_cast<T>(low);
    result.low[static_cast<size_t>(i)] = low;
    result.weight[static_cast<size_t>(i)] = std::clamp(weight, T{0}, T{1});
  }
  return result;
}

template <class T>
TapArrays<T> taps(const Interpolation& how, int dimension, int64_t size, int64_t count) {
  const auto scale = how.scale[dimension];
  if (how.mode == Mode::linear) return linear_taps<T>(size, count, how.align_corners, scale);
  return nearest_taps<T>(size, count, how.mode == Mode::nearest_exact, scale);
}

Resize2dShape resize_shape(const char* op, const Shape& x, int64_t P, int64_t Q) {
  if (x[2] < 1 || x[3] < 1 || P < 1 || Q < 1) {
    value_error(op, ": the input has ", x[2], " x ", x[3], " pixels, the output ", P, " x ", Q,
                "; expected at least 1");
  }
  return {x[0], x[1], x[2], x[3], P, Q};
}

py::array forward(py::handle x_object, py::handle output_size, const std::string& mode,
                  bool align_corners, const py::object& scales) {
  const char* const op = "upsample2d_forward";
  py::array x = real_array(op, "x", x_object, 4);
  const Real type = real_type(op, "x", x);
  const Interpolation how = interpolation(op, mode, align_corners, scales);
  const Pair size = pair(op, "output_size", output_size, 1);
  const Resize2dShape s = resize_shape(op, shape_of(x), size.h, size.w);
  x = channels_last(x);
  py::array y = empty_channels_last(op, type, s.N, s.C, s.P, s.Q);
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().upsample2d_forward);
    const auto rows = taps<T>(how, 0, s.H, s.P), cols = taps<T>(how, 1, s.W, s.Q);
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    run(op, x, [&](const Exec& exec) { kernel(exec, s, rows.taps(), cols.taps(), from, to); });
  });
  return y;
}

py::array backward(py::handle dy_object, py::handle input_size, const std::string& mode,
                   bool align_corners, const py::object& scales) {
  const char* const op = "upsample2d_backward";
  py::array dy = real_array(op, "dy", dy_object, 4);
  const Real type = real_type(op, "dy", dy);
  const Interpolation how = interpolation(op, mode, align_corners, scales);
  const Shape x = shape_argument(op, "input_size", input_size, 4);
  const Resize2dShape s = resize_shape(op, x, dy.shape(2), dy.shape(3));
  check_shape(op, "dy", dy, {s.N, s.C, s.P, s.Q});
  dy = channels_last(dy);
  py::array dx = empty_channels_last(op, type, s.N, s.C, s.H, s.W);
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().upsample2d_backward);
    const auto rows = taps<T>(how, 0, s.H, s.P), cols = taps<T>(how, 1, s.W, s.Q);
    const T* from = data<T>(dy);
    T* to = mutable_data<T>(dx);
    run(op, dy, [&](const Exec& exec) { kernel(exec, s, rows.taps(), cols.taps(), from, to); });
  });
  return dx;
}

}  // namespace

void bind_upsample2d(py::module_& m) {
  m.def("upsample2d_forward", &forward, py::arg("x"), py::arg("output_size"),
        py::arg("mode") = "nearest", py::arg("align_corners") = false,
        py::arg("scales") = py::none(),
        "y (N, C, P, Q) with output_size (P, Q): x (N, C, H, W) resized. mode is 'nearest', "
        "'nearest-exact' or\n'bilinear'; scales, one for the rows and one for the columns, stand "
        "for P / H and Q / W.");
  m.def("upsample2d_backward", &backward, py::arg("dy"), py::arg("input_size"),
        py::arg("mode") = "nearest", py::arg("align_corners") = false,
        py::arg("scales") = py::none(),
        "dx (N, C, H, W): for each element of x the sum of dy times its weight.");
}

}  // namespace fastnn
