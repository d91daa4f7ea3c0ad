// fastnn.ops: add, subtract, multiply, divide.
#include "arrays.h"

namespace fastnn {
namespace {

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
  py::array a = real_array(op, "a", a_object);
  const bool one_b = PyFloat_Check(b_object.ptr()) || PyLong_Check(b_object.ptr());
  const double scalar_b = one_b ? number_argument(op, "b", b_object) : 0;
  py::array b;
  if (!one_b) {
    b = real_array_like(op, "b", b_object, a, "a");
    if (const auto rows = row_operand(a, b)) return by_row(op, kind, *rows);
    check_shape(op, "b", b, shape_of(a));
    if (!is_dense(a) && is_dense(b)) a = with_layout_of(b, a);
  }
  a = dense(a);
  if (!one_b) b = with_layout_of(a, b);
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
}

}  // namespace fastnn
