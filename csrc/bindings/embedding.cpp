// fastnn.ops: embedding_forward, embedding_backward.
#include "arrays.h"

namespace fastnn {
namespace {

using Indices = py::array_t<int64_t>;

// Indices of any shape, each a row of a weight of V rows.
Indices rows_of(const char* op, py::handle object, int64_t V) {
  Indices x = int64_array(op, "x", object, -1);
  const int64_t* index = x.data();
  for (int64_t n = 0; n < x.size(); ++n) {
    if (index[n] < 0 || index[n] >= V) {
      throw py::index_error(
          text(op, ": x holds the index ", index[n], ", out of range for ", V, " embeddings"));
    }
  }
  return x;
}

py::array forward(py::handle x_object, py::handle w_object) {
  const char* const op = "embedding_forward";
  const py::array w = contiguous(real_array(op, "weight", w_object, 2));
  const Indices x = rows_of(op, x_object, w.shape(0));
  const EmbeddingShape s{.N = x.size(), .V = w.shape(0), .D = w.shape(1)};
  Shape y_shape = shape_of(x);
  y_shape.push_back(s.D);
  py::array y = empty(op, real_type(op, "weight", w), y_shape);
  by_type(real_type(op, "weight", w), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().embedding_forward);
    const int64_t* x_data = x.data();
    const T* w_data = data<T>(w);
    T* y_data = mutable_data<T>(y);
    run(op, x, [&](const Exec& exec) { kernel(exec, s, x_data, w_data, y_data); });
  });
  return y;
}

py::object backward(py::handle dy_object, py::handle x_object, py::handle V_object,
                    const py::object& padding_idx_object, const py::object& dw_object,
                    bool accumulate) {
  const char* const op = "embedding_backward";
  const int64_t V = integer(op, "num_embeddings", V_object, 0);
  const int64_t padding_idx =
      padding_idx_object.is_none() ? -1 : integer(op, "padding_idx", padding_idx_object, 0);
  const py::array dy = contiguous(real_array(op, "dy", dy_object));
  const Indices x = rows_of(op, x_object, V);
  if (dy.ndim() < 1) value_error(op, ": dy has no dimensions; expected at least 1");
  Shape dy_shape = shape_of(x);
  dy_shape.push_back(dy.shape(dy.ndim() - 1));
  check_shape(op, "dy", dy, dy_shape);
  const EmbeddingShape s{.N = x.size(), .V = V, .D = dy_shape.back()};
  ParameterGradients gradients(op, dy, x, {s.V, s.D}, 0, false, dw_object, py::none(), accumulate);
  by_type(real_type(op, "dy", dy), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().embedding_backward);
    const T* dy_data = data<T>(dy);
    const int64_t* x_data = x.data();
    T* dw_data = mutable_data<T>(gradients.dw);
    run(op, dy, [&](const Exec& exec) {
      kernel(exec, s, dy_data, x_data, padding_idx, dw_data, accumulate);
    });
  });
  return gradients.dw;
}

}  // namespace

void bind_embedding(py::module_& m) {
  m.def("embedding_forward", &forward, py::arg("x"), py::arg("weight"),
        "y[..., :] = weight[x[...]]: indices (...), (V, D) -> (..., D).");
  m.def("embedding_backward", &backward, py::arg("dy"), py::arg("x"), py::arg("num_embeddings"),
        py::arg("padding_idx") = py::none(), py::kw_only(), py::arg("dw") = py::none(),
        py::arg("accumulate") = false,
        "dw (V, D) from dy (..., D) and the indices (...): row v is the sum of dy where x is v, 0 "
        "where v is\npadding_idx. A given array dw is overwritten, or added to if accumulate.");
}

}  // namespace fastnn
