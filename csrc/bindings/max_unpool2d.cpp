// fastnn.ops: max_unpool2d_forward, max_unpool2d_backward.
#include <algorithm>

#include "arrays.h"

namespace fastnn {
namespace {

// Flat indices, of the shape of `like`, channels-last.
py::array pixel_indices(const char* op, py::handle object, const char* like_name,
                        const py::array& like) {
  py::array indices = as_array(op, "indices", object);
  if (indices.dtype().num() != py::dtype::of<int64_t>().num()) {
    indices = int64_array(op, "indices", object, 4);
  }
  if (shape_of(indices) != shape_of(like)) {
    value_error(op, ": indices has shape ", shape_text(indices), ", ", like_name, " has ",
                shape_text(like));
  }
  return channels_last(indices);
}

// What the kernel did not find on its way. (Its caller may have changed the indices since.)
[[noreturn]] void no_pixel(const char* op, const py::array& indices, int64_t P, int64_t Q) {
  const auto* index = static_cast<const int64_t*>(indices.data());
  const auto* const end = index + indices.size();
  const auto* const found = std::find_if(index, end, [=](int64_t at) {
    return static_cast<uint64_t>(at) >= static_cast<uint64_t>(P * Q);
  });
  value_error(op, ": indices holds ", found == end ? 0 : *found, ", out of range for an output of ",
              P, " x ", Q);
}

py::array forward(py::handle x_object, py::handle indices_object, py::handle output_size) {
  const char* const op = "max_unpool2d_forward";
  py::array x = real_array(op, "x", x_object, 4);
  const Real type = real_type(op, "x", x);
  const Pair size = pair(op, "output_size", output_size, 0);
  const Resize2dShape s{x.shape(0), x.shape(1), x.shape(2), x.shape(3), size.h, size.w};
  py::array y = empty_channels_last(op, type, s.N, s.C, s.P, s.Q);  // knows that P * Q is a number
  const py::array indices = pixel_indices(op, indices_object, "x", x);
  x = channels_last(x);
  bool all_pixels = true;
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().max_unpool2d_forward);
    const T* from = data<T>(x);
    const auto* where = static_cast<const int64_t*>(indices.data());
    T* to = mutable_data<T>(y);
    run(op, x, [&](const Exec& exec) { all_pixels = kernel(exec, s, from, where, to); });
  });
  if (!all_pixels) no_pixel(op, indices, s.P, s.Q);
  return y;
}

py::array backward(py::handle dy_object, py::handle indices_object) {
  const char* const op = "max_unpool2d_backward";
  py::array dy = real_array(op, "dy", dy_object, 4);
  const Real type = real_type(op, "dy", dy);
  const py::array like = as_array(op, "indices", indices_object);
  if (like.ndim() != 4 || like.shape(0) != dy.shape(0) || like.shape(1) != dy.shape(1)) {
    value_error(op, ": indices has shape ", shape_text(like), "; expected (", dy.shape(0), ", ",
                dy.shape(1), ", H, W)");
  }
  const Resize2dShape s{dy.shape(0),   dy.shape(1), like.shape(2),
                        like.shape(3), dy.shape(2), dy.shape(3)};
  const py::array indices = pixel_indices(op, indices_object, "dx", like);
  dy = channels_last(dy);
  py::array dx = empty_channels_last(op, type, s.N, s.C, s.H, s.W);
  bool all_pixels = true;
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().max_unpool2d_backward);
    const T* from = data<T>(dy);
    const auto* where = static_cast<const int64_t*>(indices.data());
    T* to = mutable_data<T>(dx);
    run(op, dy, [&](const Exec& exec) { all_pixels = kernel(exec, s, from, where, to); });
  });
  if (!all_pixels) no_pixel(op, indices, s.P, s.Q);
  return dx;
}

}  // namespace

void bind_max_unpool2d(py::module_& m) {
  m.def("max_unpool2d_forward", &forward, py::arg("x"), py::arg("indices"), py::arg("output_size"),
        "y (N, C, P, Q) with output_size (P, Q): x (N, C, H, W) where indices say, which are p * Q "
        "+ q; 0 elsewhere.\nThe last of several with one index wins.");
  m.def("max_unpool2d_backward", &backward, py::arg("dy"), py::arg("indices"),
        "dx (N, C, H, W): the elements of dy (N, C, P, Q) at the indices.");
}

}  // namespace fastnn
