// fastnn.ops: mse_loss_*, l1_loss_*, smooth_l1_loss_*, huber_loss_*, soft_margin_loss_*,
// binary_cross_entropy_*, binary_cross_entropy_with_logits_*.
#include "arrays.h"

namespace fastnn {
namespace {

// x, target and pos_weight (empty: 1 everywhere), all of one shape and layout.
struct Operands {
  Operands(const char* op, py::handle x_object, py::handle target_object,
           const py::object& pos_weight_object)
      : x(dense(real_array(op, "x", x_object))), target(like_x(op, "target", target_object)) {
    if (!pos_weight_object.is_none()) pos_weight = like_x(op, "pos_weight", pos_weight_object);
  }
  py::array like_x(const char* op, const char* name, py::handle object) const {
    const py::array a = real_array_like(op, name, object, x, "x");
    check_shape(op, name, a, shape_of(x));
    return with_layout_of(x, a);
  }
  py::array x, target;
  std::optional<py::array> pos_weight;
};

void check_parameter(const char* op, PointLoss kind, double parameter) {
  if (kind == PointLoss::smooth_l1 && !(parameter > 0)) {
    value_error(op, ": beta is ", parameter, "; expected a number above 0");
  }
  if (kind == PointLoss::huber && !(parameter > 0)) {
    value_error(op, ": delta is ", parameter, "; expected a number above 0");
  }
}

py::array forward(const char* op, PointLoss kind, double parameter, py::handle x_object,
                  py::handle target_object, const py::object& pos_weight,
                  const std::string& reduction) {
  const Operands o(op, x_object, target_object, pos_weight);
  check_parameter(op, kind, parameter);
  const bool none = reduction == "none", mean = reduction == "mean";
  if (!none && !mean && reduction != "sum") {
    value_error(op, ": reduction is '", reduction, "'; expected none, mean or sum");
  }
  const int64_t n = o.x.size();
  const Real type = real_type(op, "x", o.x);
  py::array loss = none ? empty_like(op, o.x) : empty(op, type, {});
  by_type(type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().point_loss_forward);
    const T *x = data<T>(o.x), *t = data<T>(o.target), *w = data_or_null<T>(o.pos_weight);
    T* const to = mutable_data<T>(loss);
    double sum = 0;
    const auto scratch = [n, none](int threads) {
      return none ? 0 : ops<T>().point_loss_scratch_bytes(n, threads);
    };
    run(op, o.x, scratch, [&](const Exec& exec) {
      kernel(exec, kind, parameter, n, x, t, w, none ? to : nullptr, &sum);
    });
    if (!none) *to = static_cast<T>(mean ? sum / static_cast<double>(n) : sum);
  });
  return loss;
}

py::array backward(const char* op, PointLoss kind, double parameter, py::handle dloss_object,
                   py::handle x_object, py::handle target_object, const py::object& pos_weight) {
  const Operands o(op, x_object, target_object, pos_weight);
  check_parameter(op, kind, parameter);
  py::array dloss = real_array_like(op, "dloss", dloss_object, o.x, "x");
  const bool one = dloss.ndim() == 0;
  if (!one) {
    check_shape(op, "dloss", dloss, shape_of(o.x));
    dloss = with_layout_of(o.x, dloss);
  }
  py::array dx = empty_like(op, o.x);
  by_type(real_type(op, "x", o.x), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().point_loss_backward);
    const T *g = data<T>(dloss), *x = data<T>(o.x), *t = data<T>(o.target);
    const T* w = data_or_null<T>(o.pos_weight);
    T* to = mutable_data<T>(dx);
    run(op, o.x,
        [&](const Exec& exec) { kernel(exec, kind, parameter, o.x.size(), g, one, x, t, w, to); });
  });
  return dx;
}

// <name>_forward and <name>_backward.
struct Names {
  const char *forward, *forward_doc, *backward, *backward_doc;
};

void bind(py::module_& m, PointLoss kind, const Names& names) {
  m.def(
      names.forward,
      [=](py::handle x, py::handle target, const std::string& reduction) {
        return forward(names.forward, kind, 0, x, target, py::none(), reduction);
      },
      py::arg("x"), py::arg("target"), py::arg("reduction") = "none", names.forward_doc);
  m.def(
      names.backward,
      [=](py::handle dloss, py::handle x, py::handle target) {
        return backward(names.backward, kind, 0, dloss, x, target, py::none());
      },
      py::arg("dloss"), py::arg("x"), py::arg("target"), names.backward_doc);
}

// The same with a parameter.
void bind(py::module_& m, PointLoss kind, const char* parameter, const Names& names) {
  m.def(
      names.forward,
      [=](py::handle x, py::handle target, double a, const std::string& reduction) {
        return forward(names.forward, kind, a, x, target, py::none(), reduction);
      },
      py::arg("x"), py::arg("target"), py::arg(parameter) = 1.0, py::arg("reduction") = "none",
      names.forward_doc);
  m.def(
      names.backward,
      [=](py::handle dloss, py::handle x, py::handle target, double a) {
        return backward(names.backward, kind, a, dloss, x, target, py::none());
      },
      py::arg("dloss"), py::arg("x"), py::arg("target"), py::arg(parameter) = 1.0,
      names.backward_doc);
}

}  // namespace

void bind_point_loss(py::module_& m) {
  bind(m, PointLoss::squared,
       {"mse_loss_forward",
        "(x - target)**2, element-wise; or the mean or sum of all elements, of 0 dimensions.",
        "mse_loss_backward",
        "dx = dloss * 2 * (x - target); dloss has the shape of x, or no dimensions."});
  bind(m, PointLoss::absolute,
       {"l1_loss_forward", "abs(x - target), element-wise; or their mean or sum.",
        "l1_loss_backward", "dx = dloss * sign(x - target)."});
  bind(m, PointLoss::smooth_l1, "beta",
       {"smooth_l1_loss_forward",
        "With d = abs(x - target): d**2 / (2 * beta) where d < beta, else d - beta / 2; or their "
        "mean or sum.",
        "smooth_l1_loss_backward", "dx of smooth_l1_loss_forward."});
  bind(m, PointLoss::huber, "delta",
       {"huber_loss_forward",
        "With d = abs(x - target): d**2 / 2 where d <= delta, else delta * (d - delta / 2); or "
        "their mean or sum.",
        "huber_loss_backward", "dx of huber_loss_forward."});
  bind(m, PointLoss::soft_margin,
       {"soft_margin_loss_forward",
        "log(1 + exp(-target * x)), without overflow; or their mean or sum.",
        "soft_margin_loss_backward", "dx = -dloss * target / (1 + exp(target * x))."});
  bind(m, PointLoss::binary_cross_entropy,
       {"binary_cross_entropy_forward",
        "-target * log(x) - (1 - target) * log(1 - x) with logarithms of at least -100; or their "
        "mean or sum.",
        "binary_cross_entropy_backward", "dx = dloss * (x - target) / max(x * (1 - x), 1e-12)."});

  const char* const logits_forward = "binary_cross_entropy_with_logits_forward";
  m.def(
      logits_forward,
      [=](py::handle x, py::handle target, const py::object& pos_weight,
          const std::string& reduction) {
        return forward(logits_forward, PointLoss::binary_cross_entropy_with_logits, 0, x, target,
                       pos_weight, reduction);
      },
      py::arg("x"), py::arg("target"), py::arg("pos_weight") = py::none(),
      py::arg("reduction") = "none",
      "-pos_weight * target * log(sigmoid(x)) - (1 - target) * log(1 - sigmoid(x)), without "
      "overflow; or their mean or sum.\npos_weight has the shape of x.");
  const char* const logits_backward = "binary_cross_entropy_with_logits_backward";
  m.def(
      logits_backward,
      [=](py::handle dloss, py::handle x, py::handle target, const py::object& pos_weight) {
        return backward(logits_backward, PointLoss::binary_cross_entropy_with_logits, 0, dloss, x,
                        target, pos_weight);
      },
      py::arg("dloss"), py::arg("x"), py::arg("target"), py::arg("pos_weight") = py::none(),
      "dx of binary_cross_entropy_with_logits_forward.");
}

}  // namespace fastnn
