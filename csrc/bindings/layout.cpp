// fastnn.ops: empty, to_channels_last, to_contiguous, copy, cat, split.
#include "arrays.h"

namespace fastnn {
namespace {

void check_plain(const char* op, const char* name, const py::dtype& type) {
  if (type.kind() == 'O' || type.flags() & 0x01)
    type_error(op, ": ", name, " holds Python objects");
}

py::array empty_array(const Shape& shape, const py::object& dtype, bool channels_last_memory) {
  const py::dtype type = py::dtype::from_args(dtype);
  if (!channels_last_memory) {
    check_plain("empty", "dtype", type);
    return empty_bytes("empty", type, shape);
  }
  const py::array probe(type, Shape{0});
  if (shape.size() != 4)
    value_error("empty: channels_last needs 4 dimensions, shape is ", shape_text(shape));
  return empty_channels_last("empty", real_type("empty", "dtype", probe), shape[0], shape[1],
                             shape[2], shape[3]);
}

// Whether joined or cut images are channels-last.
bool keeps_channels_inside(const py::array& a) {
  return channels_inside(a) && !(a.flags() & py::array::c_style);
}

py::ssize_t dimension(const char* op, py::ssize_t dim, py::ssize_t ndim) {
  if (dim < -ndim || dim >= ndim) {
    value_error(op, ": dim is ", dim, "; expected one of the ", ndim, " dimensions");
  }
  return dim < 0 ? dim + ndim : dim;
}

// Elements first to first + size along one dimension.
py::array part_along(const py::array& a, py::ssize_t dim, int64_t first, int64_t size) {
  Shape shape = shape_of(a);
  shape[static_cast<size_t>(dim)] = size;
  const auto* const from = static_cast<const char*>(a.data()) + first * a.strides(dim);
  return py::array(a.dtype(), shape, Shape(a.strides(), a.strides() + a.ndim()), from, a);
}

py::array cat(const py::sequence& objects, py::ssize_t dim_argument) {
  const char* const op = "cat";
  if (objects.empty()) value_error(op, ": arrays is empty; expected one or more");
  std::vector<py::array> arrays;
  arrays.push_back(real_array(op, "arrays[0]", py::object(objects[0])));
  const py::array first = arrays[0];
  const py::ssize_t dim = dimension(op, dim_argument, first.ndim());
  Shape shape = shape_of(first);
  bool inside = keeps_channels_inside(first);  // whether channels lie innermost
  for (size_t i = 1; i < objects.size(); ++i) {
    const std::string name = text("arrays[", i, "]");
    py::array a = real_array_like(op, name.c_str(), py::object(objects[i]), first, "arrays[0]",
                                  static_cast<int>(first.ndim()));
    Shape expected = shape_of(first);
    expected[static_cast<size_t>(dim)] = a.shape(dim);
    check_shape(op, name.c_str(), a, expected);
    if (__builtin_add_overflow(shape[static_cast<size_t>(dim)], a.shape(dim),
                               &shape[static_cast<size_t>(dim)])) {
      value_error(op, ": the result is too large");
    }
    inside = inside || keeps_channels_inside(a);
    arrays.push_back(std::move(a));
  }

  const Real type = real_type(op, "arrays[0]", first);
  py::array y = inside ? empty_channels_last(op, type, shape[0], shape[1], shape[2], shape[3])
                       : empty(op, type, shape);
  int64_t at = 0;
  for (const py::array& a : arrays) {
    py::array part = part_along(y, dim, at, a.shape(dim));
    copy_elements(op, a, part);
    at += a.shape(dim);
  }
  return y;
}

py::list split(py::handle x_object, const std::vector<int64_t>& sizes, py::ssize_t dim_argument) {
  const char* const op = "split";
  const py::array x = real_array(op, "x", x_object);
  const py::ssize_t dim = dimension(op, dim_argument, x.ndim());
  int64_t left = x.shape(dim);
  for (const int64_t size : sizes) {
    if (size < 0 || size > left) value_error(op, ": sizes do not add up to ", x.shape(dim));
    left -= size;
  }
  if (left != 0) value_error(op, ": sizes do not add up to ", x.shape(dim));

  const Real type = real_type(op, "x", x);
  const bool inside = keeps_channels_inside(x);
  py::list parts;
  int64_t at = 0;
  for (const int64_t size : sizes) {
    const py::array part = part_along(x, dim, at, size);
    const Shape shape = shape_of(part);
    py::array y = inside ? empty_channels_last(op, type, shape[0], shape[1], shape[2], shape[3])
                         : empty(op, type, shape);
    copy_elements(op, part, y);
    parts.append(y);
    at += size;
  }
  return parts;
}

void copy(py::handle dst_object, py::handle src_object) {
  const char* const op = "copy";
  if (!py::isinstance<py::array>(dst_object)) {
    type_error(op, ": dst is a ", Py_TYPE(dst_object.ptr())->tp_name,
               "; expected a NumPy array to write to");
  }
  py::array dst = py::reinterpret_borrow<py::array>(dst_object);
  const Real type = real_type(op, "dst", dst);
  if (!dst.writeable() || dst.dtype().byteorder() != '=')
    value_error(op, ": dst must be writeable and of the native byte order");
  if (PyFloat_Check(src_object.ptr()) || PyLong_Check(src_object.ptr())) {
    const double number = number_argument(op, "src", src_object);
    py::array element = empty(op, type, {});
    by_type(type, [&]<class T>() { *mutable_data<T>(element) = static_cast<T>(number); });
    const Shape shape = shape_of(dst);
    const Shape steps(shape.size(), 0);
    return copy_elements(op, py::array(dst.dtype(), shape, steps, element.data(), element), dst);
  }
  const py::array src = real_array_like(op, "src", src_object, dst, "dst");
  check_shape(op, "src", src, shape_of(dst));
  const py::module_ numpy = py::module_::import("numpy");
  if (!tracing() && numpy.attr("may_share_memory")(dst, src).cast<bool>()) {
    numpy.attr("copyto")(dst, src);
  } else {
    copy_elements(op, src, dst);
  }
}

}  // namespace

void bind_layout(py::module_& m) {
  m.def("empty", &empty_array, py::arg("shape"), py::arg("dtype") = "float32", py::kw_only(),
        py::arg("channels_last") = false, "An uninitialised array from the caching allocator.");
  m.def(
      "to_channels_last",
      [](py::handle x) { return channels_last(real_array("to_channels_last", "x", x, 4)); },
      py::arg("x"),
      "x (N, C, H, W) with channels-last memory; x itself where it has that already.");
  m.def(
      "to_contiguous",
      [](py::handle object) {
        const py::array x = as_array("to_contiguous", "x", object);
        check_plain("to_contiguous", "x", x.dtype());  // a copy would start as no objects at all
        return contiguous(x);
      },
      py::arg("x"), "x with C-contiguous memory; x itself where it has that already.");
  m.def("copy", &copy, py::arg("dst"), py::arg("src"),
        "Overwrites dst, whatever its strides, with src: an array of its shape, or a number.");
  m.def("cat", &cat, py::arg("arrays"), py::arg("dim") = 0,
        "The arrays joined along one dimension; channels-last where one of them is.");
  m.def("split", &split, py::arg("x"), py::arg("sizes"), py::arg("dim") = 0,
        "x cut into new arrays of these sizes along one dimension: the inverse of cat.");
}

}  // namespace fastnn
