// fastnn.ops: matmul.
#include <utility>
#include <vector>

#include "arrays.h"

namespace fastnn {
namespace {

// A matrix operand as the kernel can read it: one of its two strides is one element.
bool readable(const py::array& a) {
  const py::ssize_t rows = a.strides(a.ndim() - 2), cols = a.strides(a.ndim() - 1),
                    item = a.itemsize();
  const bool aligned = (a.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
  return aligned && rows > 0 && cols > 0 && (rows == item || cols == item);
}

py::array matmul(py::handle a_object, py::handle b_object) {
  const char* const op = "matmul";
  py::array a = real_array(op, "a", a_object), b = real_array_like(op, "b", b_object, a, "a");
  if (a.ndim() < 2 || b.ndim() < 2) {
    value_error(op, ": a has shape ", shape_text(a), ", b has ", shape_text(b),
                "; expected at least 2 dimensions each");
  }
  const int64_t M = a.shape(a.ndim() - 2), K = a.shape(a.ndim() - 1), N = b.shape(b.ndim() - 1);
  if (b.shape(b.ndim() - 2) != K) {
    value_error(op, ": a has ", K, " columns, b has ", b.shape(b.ndim() - 2), " rows");
  }
  // The leading dimensions are broadcast against each other.
  const size_t batch_dims = static_cast<size_t>(std::max(a.ndim(), b.ndim())) - 2;
  Shape batch(batch_dims, 1);
  for (const py::array* x : {&a, &b}) {
    const size_t own = static_cast<size_t>(x->ndim()) - 2;
    for (size_t i = 0; i < own; ++i) {
      int64_t& size = batch[batch_dims - own + i];
      const int64_t n = x->shape(static_cast<py::ssize_t>(i));
      if (size != n && size != 1 && n != 1) {
        value_error(op, ": the leading dimensions of a ", shape_text(a), " and b ", shape_text(b),
                    " do not broadcast");
      }
      if (size == 1) size = n;
    }
  }
  if (!readable(a)) a = contiguous(a);
  if (!readable(b)) b = contiguous(b);
  Shape shape = batch;
  shape.insert(shape.end(), {M, N});
  py::array c = empty(op, real_type(op, "a", a), shape);

  int64_t products = 1;
  for (const int64_t n : batch) products *= n;
  // Where product i of the batch starts in x, in elements.
  const auto offset = [&](const py::array& x, int64_t i) {
    const size_t own = static_cast<size_t>(x.ndim()) - 2;
    int64_t bytes = 0;
    for (size_t d = batch_dims; d-- > 0;) {
      const int64_t index = i % batch[d];
      i /= batch[d];
      if (d + own >= batch_dims) {
        const auto axis = static_cast<py::ssize_t>(d + own - batch_dims);
        if (x.shape(axis) != 1) bytes += index * x.strides(axis);
      }
    }
    return bytes / x.itemsize();
  };
  const auto stride = [](const py::array& x, py::ssize_t from_last) {
    return x.strides(x.ndim() - from_last) / x.itemsize();
  };
  const GemmShape s{.M = M,
                    .N = N,
                    .K = K,
                    .a_row = stride(a, 2),
                    .a_col = stride(a, 1),
                    .b_row = stride(b, 2),
                    .b_col = stride(b, 1),
                    .c_row = N};
  std::vector<std::pair<int64_t, int64_t>> starts;  // made here: kernels run without the GIL
  starts.reserve(static_cast<size_t>(products));
  for (int64_t i = 0; i < products; ++i) starts.emplace_back(offset(a, i), offset(b, i));
  by_type(real_type(op, "a", a), [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.gemm);
    const T *a_data = data<T>(a), *b_data = data<T>(b);
    T* c_data = mutable_data<T>(c);
    describe({.multiply_adds = products * M * N * K});
    run(
        op, a, [&](int threads) { return table.gemm_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          T* c_product = c_data;
          for (const auto& [a_start, b_start] : starts) {
            kernel(exec, s, a_data + a_start, b_data + b_start, nullptr, c_product, false);
            c_product += M * N;
          }
        });
  });
  return c;
}

}  // namespace

void bind_matmul(py::module_& m) {
  m.def(
      "matmul", &matmul, py::arg("a"), py::arg("b"),
      "The matrix product (..., M, K) x (..., K, N) -> (..., M, N); leading dimensions broadcast.");
}

}  // namespace fastnn
