// fastnn.ops: maxout_forward, maxout_backward.
#include "arrays.h"

namespace fastnn {
namespace {

// x of this shape, and the one of y along the same axis.
struct Plan {
  Shape y_shape;
  MaxoutShape s{1, 0, 0, 1};
  Plan(const char* op, const Shape& x_shape, int64_t pieces, int64_t axis) : y_shape(x_shape) {
    const size_t along = axis_argument(op, axis, x_shape);
    if (x_shape[along] % pieces) {
      value_error(op, ": x has shape ", shape_text(x_shape), "; expected a multiple of ", pieces,
                  " pieces along axis ", along);
    }
    s.C = y_shape[along] = x_shape[along] / pieces;
    s.pieces = pieces;
    const Around around(x_shape, along);
    s.outer = around.outer;
    s.inner = around.inner;
  }
};

py::dtype argmax_type(const MaxoutShape& s) {
  return argmax_bytes(s) == 1 ? py::dtype::of<uint8_t>() : py::dtype::of<int32_t>();
}

py::object forward(py::handle x_object, const py::object& pieces, int64_t axis,
                   bool return_argmax) {
  const char* const op = "maxout_forward";
  py::array x = real_array(op, "x", x_object);
  const Plan plan(op, shape_of(x), integer(op, "pieces", pieces, 1), axis);
  x = in_order(x);
  const Real type = real_type(op, "x", x);
  py::array y = empty_in_order(op, type, plan.y_shape);
  std::optional<py::array> argmax;
  if (return_argmax) argmax = empty_bytes(op, argmax_type(plan.s), {y.size()});
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().maxout_forward);
    const T* x_data = data<T>(x);
    T* y_data = mutable_data<T>(y);
    void* const argmax_data = argmax ? argmax->mutable_data() : nullptr;
    run(op, x, [&](const Exec& exec) { kernel(exec, plan.s, x_data, y_data, argmax_data); });
  });
  return py::make_tuple(y, argmax);
}

py::array backward(py::handle dy_object, py::handle argmax_object, const py::object& pieces,
                   int64_t axis) {
  const char* const op = "maxout_backward";
  py::array dy = real_array(op, "dy", dy_object);
  Shape x_shape = shape_of(dy);
  const int64_t count = integer(op, "pieces", pieces, 1);
  const auto ndim = static_cast<int64_t>(x_shape.size());
  if (axis >= -ndim && axis < ndim) {
    int64_t& along = x_shape[static_cast<size_t>(axis < 0 ? axis + ndim : axis)];
    if (__builtin_mul_overflow(along, count, &along)) {
      value_error(op, ": ", count, " pieces are too many for dy of shape ", shape_text(dy));
    }
  }
  const Plan plan(op, x_shape, count, axis);
  const py::array argmax = contiguous(as_array(op, "argmax", argmax_object));
  if (!argmax.dtype().is(argmax_type(plan.s))) {
    type_error(op, ": argmax has dtype ", std::string(py::str(argmax.dtype())), "; expected ",
               std::string(py::str(argmax_type(plan.s))));
  }
  check_shape(op, "argmax", argmax, {dy.size()});
  dy = in_order(dy);
  const Real type = real_type(op, "dy", dy);
  py::array dx = empty_in_order(op, type, x_shape);
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().maxout_backward);
    const T* dy_data = data<T>(dy);
    T* dx_data = mutable_data<T>(dx);
    run(op, dx, [&](const Exec& exec) { kernel(exec, plan.s, dy_data, argmax.data(), dx_data); });
  });
  return dx;
}

}  // namespace

void bind_maxout(py::module_& m) {
  m.def(
      "maxout_forward", &forward, py::arg("x"), py::arg("pieces"), py::arg("axis") = -1,
      py::arg("return_argmax") = true,
      "(y, argmax): the largest of each group of `pieces` neighbours along an axis, and its place "
      "in the group (the first\nmaximum, or the last NaN) in the order of y's memory; None for "
      "argmax without return_argmax.");
  m.def("maxout_backward", &backward, py::arg("dy"), py::arg("argmax"), py::arg("pieces"),
        py::arg("axis") = -1, "dx of maxout_forward, argmax being its second result.");
}

}  // namespace fastnn
