// fastnn.ops: sum.
#include "arrays.h"

namespace fastnn {
namespace {

py::array sum(py::handle x_object, py::ssize_t dim_argument) {
  const char* const op = "sum";
  const py::array x = contiguous(real_array(op, "x", x_object));
  if (dim_argument < -x.ndim() || dim_argument >= x.ndim()) {
    value_error(op, ": dim is ", dim_argument, "; expected one of the ", x.ndim(), " dimensions");
  }
  const auto dim = static_cast<size_t>(dim_argument < 0 ? dim_argument + x.ndim() : dim_argument);
  Shape shape = shape_of(x);
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i != dim) (i < dim ? outer : inner) *= shape[i];
  }
  const int64_t n = shape[dim];
  shape.erase(shape.begin() + static_cast<py::ssize_t>(dim));
  const Real type = real_type(op, "x", x);
  py::array y = empty(op, type, shape);
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.sum);
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    run(
        op, x, [&](int) { return table.sum_scratch_bytes(outer, n, inner); },
        [&](const Exec& exec) { kernel(exec, outer, n, inner, from, to); });
  });
  return y;
}

}  // namespace

void bind_sum(py::module_& m) {
  m.def("sum", &sum, py::arg("x"), py::arg("dim"),
        "The sums along one dimension, which the result lacks; 0 over none.");
}

}  // namespace fastnn
