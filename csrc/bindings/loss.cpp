// fastnn.ops: softmax_cross_entropy_*.
#include <algorithm>

#include "arrays.h"

namespace fastnn {
namespace {

using Labels = py::array_t<int64_t>;

// Labels (N,) for x (N, C), each in [0, C) or ignore_index.
Labels labels_for(const char* op, py::handle object, int64_t N, int64_t C, int64_t ignore_index) {
  Labels labels = int64_array(op, "target", object, 1);
  check_shape(op, "target", labels, {N});
  const int64_t* label = labels.data();
  const auto wrong = [=](int64_t at) {
    return (static_cast<uint64_t>(at) >= static_cast<uint64_t>(C)) & (at != ignore_index);
  };
  bool any_wrong = false;  // without a jump out of the loop, which makes vectors of it
  for (int64_t n = 0; n < N; ++n) any_wrong |= wrong(label[n]);
  if (any_wrong) {
    const int64_t n = std::find_if(label, label + N, wrong) - label;
    throw py::index_error(text(op, ": target[", n, "] is ", label[n], ", out of range for ", C,
                               " classes (and not ignore_index ", ignore_index, ")"));
  }
  return labels;
}

// The arrays of a CrossEntropyTarget: class labels, or probabilities where they have x's shape.
class Target {
 public:
  Target(const char* op, py::handle target, const py::object& weight, int64_t ignore_index,
         double smoothing, const py::array& x, const char* x_name)
      : ignore_index_(ignore_index), smoothing_(smoothing) {
    const Shape shape = shape_of(x);
    const py::array array = as_array(op, "target", target);
    if (array.dtype().kind() == 'f') {
      py::array p = real_array_like(op, "target", array, x, x_name);
      check_shape(op, "target", p, shape);
      probabilities_ = contiguous(p);
    } else {
      labels_ = labels_for(op, array, shape[0], shape[1], ignore_index);
    }
    if (!weight.is_none()) {
      weight_ = contiguous(real_array_like(op, "weight", weight, x, x_name, 1));
      check_shape(op, "weight", *weight_, {shape[1]});
    }
    if (!(smoothing >= 0 && smoothing <= 1)) {
      value_error(op, ": label_smoothing is ", smoothing, "; expected 0 to 1");
    }
  }

  template <class T>
  CrossEntropyTarget<T> get() const {
    return {labels_ ? labels_->data() : nullptr, ignore_index_, data_or_null<T>(probabilities_),
            data_or_null<T>(weight_), smoothing_};
  }

 private:
  std::optional<Labels> labels_;
  int64_t ignore_index_;
  std::optional<py::array> probabilities_, weight_;
  double smoothing_;
};

py::tuple cross_entropy_forward(py::handle x_object, py::handle target_object, int64_t ignore_index,
                                bool return_log_probabilities, const py::object& weight,
                                double label_smoothing) {
  const char* op = "softmax_cross_entropy_forward";
  const py::array x = contiguous(real_array(op, "x", x_object, 2));
  const SoftmaxShape shape{x.shape(0), x.shape(1)};
  const Target target(op, target_object, weight, ignore_index, label_smoothing, x, "x");
  const Real type = real_type(op, "x", x);
  py::array loss = empty(op, type, {shape.N});
  std::optional<py::array> y;
  if (return_log_probabilities) y = empty(op, type, {shape.N, shape.C});
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().softmax_cross_entropy_forward);
    const CrossEntropyTarget<T> aim = target.get<T>();
    const T* x_data = data<T>(x);
    T* loss_data = mutable_data<T>(loss);
    T* y_data = data_or_null<T>(y);
    run(op, x, [&](const Exec& exec) { kernel(exec, shape, aim, x_data, loss_data, y_data); });
  });
  return py::make_tuple(loss, y);
}

py::array cross_entropy_backward(py::handle dloss_object, py::handle y_object,
                                 py::handle target_object, int64_t ignore_index,
                                 const py::object& weight, double label_smoothing) {
  const char* op = "softmax_cross_entropy_backward";
  const char* y_name = "log_probabilities";
  const py::array y = contiguous(real_array(op, y_name, y_object, 2));
  const SoftmaxShape shape{y.shape(0), y.shape(1)};
  py::array dloss = real_array_like(op, "dloss", dloss_object, y, y_name, 1);
  check_shape(op, "dloss", dloss, {shape.N});
  dloss = contiguous(dloss);
  const Target target(op, target_object, weight, ignore_index, label_smoothing, y, y_name);
  py::array dx = empty_like(op, y);
  by_type(real_type(op, y_name, y), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().softmax_cross_entropy_backward);
    const CrossEntropyTarget<T> aim = target.get<T>();
    const T *dloss_data = data<T>(dloss), *y_data = data<T>(y);
    T* dx_data = mutable_data<T>(dx);
    run(op, y, [&](const Exec& exec) { kernel(exec, shape, aim, dloss_data, y_data, dx_data); });
  });
  return dx;
}

}  // namespace

void bind_loss(py::module_& m) {
  m.def("softmax_cross_entropy_forward", &cross_entropy_forward, py::arg("x"), py::arg("target"),
        py::arg("ignore_index") = -100, py::arg("return_log_probabilities") = true, py::kw_only(),
        py::arg("weight") = py::none(), py::arg("label_smoothing") = 0.0,
        "The loss (N,) of logits x (N, C) with a target of labels (N,) or probabilities (N, C), 0 "
        "where the label is ignore_index;\nand the log-probabilities (N, C) for backward, or None. "
        "weight: (C,). Label smoothing mixes the target with 1 / C.");
  m.def("softmax_cross_entropy_backward", &cross_entropy_backward, py::arg("dloss"),
        py::arg("log_probabilities"), py::arg("target"), py::arg("ignore_index") = -100,
        py::kw_only(), py::arg("weight") = py::none(), py::arg("label_smoothing") = 0.0,
        "dx (N, C) from dloss (N,) and the log-probabilities of softmax_cross_entropy_forward.");
}

}  // namespace fastnn
