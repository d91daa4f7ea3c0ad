// fastnn.ops: softmax_cross_entropy_*.
#include "arrays.h"

namespace fastnn {
namespace {

using Labels = py::array_t<int64_t>;

// Labels (N,) for x (N, C), each in [0, C) or ignore_index.
Labels labels_for(const char* op, py::handle object, int64_t N, int64_t C, int64_t ignore_index) {
  Labels labels = int64_array(op, "labels", object, 1);
  check_shape(op, "labels", labels, {N});
  const int64_t* label = labels.data();
  for (int64_t n = 0; n < N; ++n) {
    if ((label[n] < 0 || label[n] >= C) && label[n] != ignore_index) {
      throw py::index_error(text(op, ": labels[", n, "] is ", label[n], ", out of range for ", C,
                                 " classes (and not ignore_index ", ignore_index, ")"));
    }
  }
  return labels;
}

py::tuple cross_entropy_forward(py::handle x_object, py::handle labels_object, int64_t ignore_index,
                                bool return_log_probabilities) {
  const char* op = "softmax_cross_entropy_forward";
  const py::array x = contiguous(real_array(op, "x", x_object, 2));
  const SoftmaxShape shape{x.shape(0), x.shape(1)};
  const Labels labels = labels_for(op, labels_object, shape.N, shape.C, ignore_index);
  const Real type = real_type(op, "x", x);
  py::array loss = empty(op, type, {shape.N});
  std::optional<py::array> y;
  if (return_log_probabilities) y = empty(op, type, {shape.N, shape.C});
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().softmax_cross_entropy_forward);
    const T* x_data = data<T>(x);
    const int64_t* labels_data = labels.data();
    T* loss_data = mutable_data<T>(loss);
    T* y_data = y ? mutable_data<T>(*y) : nullptr;
    run(op, x, [&](const Exec& exec) {
      kernel(exec, shape, x_data, labels_data, ignore_index, loss_data, y_data);
    });
  });
  return py::make_tuple(loss, y);
}

py::array cross_entropy_backward(py::handle dloss_object, py::handle y_object,
                                 py::handle labels_object, int64_t ignore_index) {
  const char* op = "softmax_cross_entropy_backward";
  const py::array y = contiguous(real_array(op, "log_probabilities", y_object, 2));
  const SoftmaxShape shape{y.shape(0), y.shape(1)};
  py::array dloss = real_array_like(op, "dloss", dloss_object, y, "log_probabilities", 1);
  check_shape(op, "dloss", dloss, {shape.N});
  dloss = contiguous(dloss);
  const Labels labels = labels_for(op, labels_object, shape.N, shape.C, ignore_index);
  py::array dx = empty_like(op, y);
  by_type(real_type(op, "log_probabilities", y), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().softmax_cross_entropy_backward);
    const T *dloss_data = data<T>(dloss), *y_data = data<T>(y);
    const int64_t* labels_data = labels.data();
    T* dx_data = mutable_data<T>(dx);
    run(op, y, [&](const Exec& exec) {
      kernel(exec, shape, dloss_data, y_data, labels_data, ignore_index, dx_data);
    });
  });
  return dx;
}

}  // namespace

void bind_loss(py::module_& m) {
  m.def("softmax_cross_entropy_forward", &cross_entropy_forward, py::arg("x"), py::arg("labels"),
        py::arg("ignore_index") = -100, py::arg("return_log_probabilities") = true,
        "The loss (N,) of logits x (N, C) and labels (N,), 0 where the label is ignore_index; and "
        "the log-probabilities (N, C) for backward, or None.");
  m.def("softmax_cross_entropy_backward", &cross_entropy_backward, py::arg("dloss"),
        py::arg("log_probabilities"), py::arg("labels"), py::arg("ignore_index") = -100,
        "dx (N, C) from dloss (N,) and the log-probabilities of softmax_cross_entropy_forward.");
}

}  // namespace fastnn
