// fastnn.ops: add, subtract, multiply, divide; cat, split.
#include "arrays.h"

namespace fastnn {
namespace {

double scalar_value(const char* op, const char* name, py::handle value) {
  const double scalar = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred()) {
    PyErr_Clear();
    value_error(op, ": ", name, " is too large for a float");
  }
  return scalar;
}

// How b goes with the elements of a in the order of memory: to `rows` rows of n in each of `groups`
// groups of them, its own n elements to each row or, `one_b`, one.
struct RowOperand {
  py::array a, b;
  int64_t groups, rows, n;
  bool one_b;
};

// b (N or 1, C, 1, 1) for an a (N, C, H, W); b (1, ..., 1, n), with any number of dimensions, or
// (..., 1) for an a (..., n).
std::optional<RowOperand> row_operand(const py::array& a, const py::array& b) {
  const Shape shape = shape_of(a), b_shape = shape_of(b);
  if (shape.empty() || b_shape.empty() || shape == b_shape) return {};
  const int64_t n = shape.back(), rows = n > 0 ? a.size() / n : 0;
  if (a.ndim() == 4 && b.ndim() == 4 && b.shape(1) == a.shape(1) && b.shape(2) == 1 &&
      b.shape(3) == 1 && (b.shape(0) == a.shape(0) || b.shape(0) == 1)) {
    const int64_t groups = b.shape(0), pixels = a.shape(2) * a.shape(3);
    return RowOperand{channels_last(a), contiguous(b),
                      groups,           groups == 1 ? a.shape(0) * pixels : pixels,
                      a.shape(1),       false};
  }
  if (b.ndim() <= a.ndim() && b_shape.back() == n && b.size() == n)
    return RowOperand{contiguous(a), contiguous(b), 1, rows, n, false};
  Shape column = shape;
  column.back() = 1;
  if (b_shape == column) return RowOperand{contiguous(a), contiguous(b), rows, 1, n, true};
  return {};
}

py::array by_row(const char* op, Arithmetic kind, const RowOperand& rows) {
  py::array y = empty_like(op, rows.a);
  by_type(real_type(op, "a", rows.a), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().arithmetic_by_row);
    const T *a_data = data<T>(rows.a), *b_data = data<T>(rows.b);
    T* to = mutable_data<T>(y);
    run(op, rows.a, [&](const Exec& exec) {
      kernel(exec, kind, rows.groups, rows.rows, rows.n, a_data, b_data, rows.one_b, to);
    });
  });
  return y;
}

py::array arithmetic(const char* op, Arithmetic kind, py::handle a_object, py::handle b_object) {
  const py::array a = dense(real_array(op, "a", a_object));
  const bool one_b = PyFloat_Check(b_object.ptr()) || PyLong_Check(b_object.ptr());
  const double scalar_b = one_b ? scalar_value(op, "b", b_object) : 0;
  py::array b;
  if (!one_b) {
    b = real_array_like(op, "b", b_object, a, "a");
    if (const auto rows = row_operand(a, b)) return by_row(op, kind, *rows);
    check_shape(op, "b", b, shape_of(a));
    b = with_layout_of(a, b);
  }
  py::array y = empty_like(op, a);
  by_type(real_type(op, "a", a), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().arithmetic);
    const T scalar = static_cast<T>(scalar_b);
    const T *a_data = data<T>(a), *b_data = one_b ? &scalar : data<T>(b);
    T* to = mutable_data<T>(y);
    run(op, a, [&](const Exec& exec) { kernel(exec, kind, a.size(), a_data, b_data, one_b, to); });
  });
  return y;
}

void bind(py::module_& m, Arithmetic kind, const char* name, const char* doc) {
  m.def(
      name, [=](py::handle a, py::handle b) { return arithmetic(name, kind, a, b); }, py::arg("a"),
      py::arg("b"), doc);
}

// Whether the memory is channels-last and not in C order, too.
bool only_channels_last(const py::array& a) {
  return is_channels_last(a) && !(a.flags() & py::array::c_style);
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
  bool inside = only_channels_last(first);  // whether channels lie innermost
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
    inside = inside || only_channels_last(a);
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
  const bool inside = only_channels_last(x);
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
  real_type(op, "dst", dst);
  if (!dst.writeable() || dst.dtype().byteorder() != '=')
    value_error(op, ": dst must be writeable and of the native byte order");
  const py::module_ numpy = py::module_::import("numpy");
  py::array src;
  if (PyFloat_Check(src_object.ptr()) || PyLong_Check(src_object.ptr())) {
    const double number = scalar_value(op, "src", src_object);
    src = numpy.attr("broadcast_to")(numpy.attr("asarray")(number, dst.dtype()), shape_of(dst));
  } else {
    src = real_array_like(op, "src", src_object, dst, "dst");
    check_shape(op, "src", src, shape_of(dst));
  }
  if (numpy.attr("may_share_memory")(dst, src).cast<bool>()) {
    numpy.attr("copyto")(dst, src);
  } else {
    copy_elements(op, src, dst);
  }
}

}  // namespace

void bind_arithmetic(py::module_& m) {
  bind(m, Arithmetic::add, "add",
       "a + b; b is an array of the shape of a, (N or 1, C, 1, 1) for an a (N, C, H, W), "
       "(n,) or (..., 1) for an a (..., n), or a number.");
  bind(m, Arithmetic::subtract, "subtract",
       "a - b; b is an array of the shape of a, (N or 1, C, 1, 1) for an a (N, C, H, W), "
       "(n,) or (..., 1) for an a (..., n), or a number.");
  bind(m, Arithmetic::multiply, "multiply",
       "a * b; b is an array of the shape of a, (N or 1, C, 1, 1) for an a (N, C, H, W), "
       "(n,) or (..., 1) for an a (..., n), or a number.");
  bind(m, Arithmetic::divide, "divide",
       "a / b; b is an array of the shape of a, (N or 1, C, 1, 1) for an a (N, C, H, W), "
       "(n,) or (..., 1) for an a (..., n), or a number.");
  m.def("copy", &copy, py::arg("dst"), py::arg("src"),
        "Overwrites dst, whatever its strides, with src: an array of its shape, or a number.");
  m.def("cat", &cat, py::arg("arrays"), py::arg("dim") = 0,
        "The arrays joined along one dimension; channels-last where one of them is.");
  m.def("split", &split, py::arg("x"), py::arg("sizes"), py::arg("dim") = 0,
        "x cut into new arrays of these sizes along one dimension: the inverse of cat.");
}

}  // namespace fastnn
