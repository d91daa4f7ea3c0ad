// fastnn.ops: sgd, adagrad, rmsprop, adam, adadelta, adamax, nadam, radam, lerp.
#include <cmath>

#include "arrays.h"

namespace fastnn {
namespace {

using Objects = std::vector<py::object>;

// "params[3]", for messages.
std::string element(const char* list, size_t i) {
  return std::string(list) + "[" + std::to_string(i) + "]";
}

// An argument that gives one array for each parameter.
struct Arrays {
  const char* name;
  const Objects& arrays;
};

// One array of state for each parameter; not looked at where `why` is empty, otherwise why the op
// needs it.
struct State {
  const char* name;
  const Objects& arrays;
  std::string why;
};

// The parameters of one element type, and the arrays that their pointers point into.
template <class T>
struct Group {
  std::vector<OptimizerParam<T>> params;
  std::vector<py::array> grads;
};

template <class T, class Step>
using Kernel = void (*Ops<T>::*)(const Exec&, const Step&, int64_t, const OptimizerParam<T>*);

template <class T, class Step>
void run_group(const char* op, const Step& step, const Group<T>& group, Kernel<T, Step> entry) {
  if (group.params.empty()) return;
  const auto kernel = supported(op, ops<T>().*entry);
  run(op, group.grads[0], [&](const Exec& exec) {
    kernel(exec, step, static_cast<int64_t>(group.params.size()), group.params.data());
  });
}

// The momenta of OptimizerParam.
struct Momenta {
  double mu, mu_next, mu_product;
};

// Checks all arrays, then updates all parameters: one call of the kernel for each element type.
// step_numbers (of the name steps_name) and momenta (none but NAdam's) are those of OptimizerParam.
template <class Step>
void update(const char* op, const Step& step, const Objects& params, const Arrays& grads,
            std::initializer_list<State> states, const char* steps_name,
            const std::vector<int64_t>& step_numbers, Kernel<float, Step> single_entry,
            Kernel<double, Step> double_entry, const std::vector<Momenta>& momenta = {}) {
  const auto same_length = [&](const char* name, size_t length) {
    if (length != params.size()) {
      value_error(op, ": ", name, " has length ", length, ", params has ", params.size());
    }
  };
  same_length(grads.name, grads.arrays.size());
  for (const State& state : states) same_length(state.name, state.arrays.size());
  same_length(steps_name, step_numbers.size());

  Group<float> singles;
  Group<double> doubles;
  for (size_t i = 0; i < params.size(); ++i) {
    const std::string p_name = element("params", i), g_name = element(grads.name, i);
    py::array p = updated_array(op, p_name, params[i]);
    const Shape shape = shape_of(p);
    py::array g = real_array_like(op, g_name.c_str(), grads.arrays[i], p, p_name.c_str());
    check_shape(op, g_name.c_str(), g, shape);
    g = with_layout_of(p, g);
    if (step_numbers[i] < 1) {
      value_error(op, ": ", element(steps_name, i), " is ", step_numbers[i],
                  "; expected at least 1");
    }

    void* state_data[3] = {};
    size_t k = 0;
    for (const State& state : states) {
      void*& data = state_data[k++];
      if (state.why.empty()) continue;
      const std::string name = element(state.name, i);
      if (state.arrays[i].is_none()) value_error(op, ": ", name, " is None, ", state.why);
      py::array a = updated_array(op, name, state.arrays[i]);
      real_array_like(op, name.c_str(), a, p, p_name.c_str());
      check_shape(op, name.c_str(), a, shape);
      if (!with_layout_of(p, a).is(a)) {
        value_error(op, ": ", name, " must have the memory layout of ", p_name);
      }
      data = a.mutable_data();
    }
    const Momenta m = momenta.empty() ? Momenta{} : momenta[i];
    const auto add = [&]<class T>(Group<T>& group) {
      group.params.push_back({mutable_data<T>(p),
                              data<T>(g),
                              {static_cast<T*>(state_data[0]), static_cast<T*>(state_data[1]),
                               static_cast<T*>(state_data[2])},
                              p.size(),
                              step_numbers[i],
                              m.mu,
                              m.mu_next,
                              m.mu_product});
      group.grads.push_back(g);
    };
    if (real_type(op, p_name.c_str(), p) == Real::f32) {
      add(singles);
    } else {
      add(doubles);
    }
  }
  run_group(op, step, singles, single_entry);
  run_group(op, step, doubles, double_entry);
}

void sgd(const Objects& params, const Objects& grads, const Objects& buffers,
         const std::vector<bool>& first_steps, double lr, double momentum, double dampening,
         double weight_decay, bool nesterov, bool maximize) {
  std::vector<int64_t> steps;
  steps.reserve(first_steps.size());
  for (const bool first : first_steps) steps.push_back(first ? 1 : 2);
  update("sgd", SgdStep{lr, momentum, dampening, weight_decay, nesterov, maximize}, params,
         {"grads", grads},
         {{"buffers", buffers, momentum != 0 ? text("momentum is ", momentum) : ""}}, "first_steps",
         steps, &Ops<float>::sgd, &Ops<double>::sgd);
}

void adagrad(const Objects& params, const Objects& grads, const Objects& sums,
             const std::vector<int64_t>& steps, double lr, double lr_decay, double weight_decay,
             double eps, bool maximize) {
  update("adagrad", AdagradStep{lr, lr_decay, weight_decay, eps, maximize}, params,
         {"grads", grads}, {{"sums", sums, "expected an array"}}, "steps", steps,
         &Ops<float>::adagrad, &Ops<double>::adagrad);
}

void rmsprop(const Objects& params, const Objects& grads, const Objects& square_avgs,
             const Objects& grad_avgs, const Objects& buffers, double lr, double alpha, double eps,
             double weight_decay, double momentum, bool centered, bool maximize) {
  update("rmsprop", RmspropStep{lr, alpha, eps, weight_decay, momentum, maximize}, params,
         {"grads", grads},
         {{"square_avgs", square_avgs, "expected an array"},
          {"grad_avgs", grad_avgs, centered ? "centered is True" : ""},
          {"buffers", buffers, momentum != 0 ? text("momentum is ", momentum) : ""}},
         "steps", std::vector<int64_t>(params.size(), 1), &Ops<float>::rmsprop,
         &Ops<double>::rmsprop);
}

void adam(const Objects& params, const Objects& grads, const Objects& exp_avgs,
          const Objects& exp_avg_sqs, const Objects& max_exp_avg_sqs,
          const std::vector<int64_t>& steps, double lr, double beta1, double beta2, double eps,
          double weight_decay, bool decoupled, bool amsgrad, bool maximize) {
  update("adam", AdamStep{lr, beta1, beta2, eps, weight_decay, decoupled, maximize}, params,
         {"grads", grads},
         {{"exp_avgs", exp_avgs, "expected an array"},
          {"exp_avg_sqs", exp_avg_sqs, "expected an array"},
          {"max_exp_avg_sqs", max_exp_avg_sqs, amsgrad ? "amsgrad is True" : ""}},
         "steps", steps, &Ops<float>::adam, &Ops<double>::adam);
}

void adadelta(const Objects& params, const Objects& grads, const Objects& square_avgs,
              const Objects& acc_deltas, double lr, double rho, double eps, double weight_decay,
              bool maximize) {
  update("adadelta", AdadeltaStep{lr, rho, eps, weight_decay, maximize}, params, {"grads", grads},
         {{"square_avgs", square_avgs, "expected an array"},
          {"acc_deltas", acc_deltas, "expected an array"}},
         "steps", std::vector<int64_t>(params.size(), 1), &Ops<float>::adadelta,
         &Ops<double>::adadelta);
}

void adamax(const Objects& params, const Objects& grads, const Objects& exp_avgs,
            const Objects& exp_infs, const std::vector<int64_t>& steps, double lr, double beta1,
            double beta2, double eps, double weight_decay, bool maximize) {
  update("adamax", AdamaxStep{lr, beta1, beta2, eps, weight_decay, maximize}, params,
         {"grads", grads},
         {{"exp_avgs", exp_avgs, "expected an array"}, {"exp_infs", exp_infs, "expected an array"}},
         "steps", steps, &Ops<float>::adamax, &Ops<double>::adamax);
}

std::vector<double> nadam(const Objects& params, const Objects& grads, const Objects& exp_avgs,
                          const Objects& exp_avg_sqs, const std::vector<double>& mu_products,
                          const std::vector<int64_t>& steps, double lr, double beta1, double beta2,
                          double eps, double weight_decay, double momentum_decay, bool decoupled,
                          bool maximize) {
  if (mu_products.size() != steps.size()) {
    value_error("nadam: mu_products has length ", mu_products.size(), ", steps has ", steps.size());
  }
  const auto momentum = [&](int64_t step) {
    return beta1 * (1 - 0.5 * std::pow(0.96, static_cast<double>(step) * momentum_decay));
  };
  std::vector<Momenta> momenta;
  std::vector<double> products;
  for (size_t i = 0; i < steps.size(); ++i) {
    const double mu = momentum(steps[i]);
    // In single precision, as PyTorch keeps it: otherwise float64 parameters would agree with its
    // own to seven digits only.
    products.push_back(static_cast<float>(mu_products[i]) * static_cast<float>(mu));
    momenta.push_back({mu, momentum(steps[i] + 1), products[i]});
  }
  update("nadam", NadamStep{lr, beta1, beta2, eps, weight_decay, decoupled, maximize}, params,
         {"grads", grads},
         {{"exp_avgs", exp_avgs, "expected an array"},
          {"exp_avg_sqs", exp_avg_sqs, "expected an array"}},
         "steps", steps, &Ops<float>::nadam, &Ops<double>::nadam, momenta);
  return products;
}

void radam(const Objects& params, const Objects& grads, const Objects& exp_avgs,
           const Objects& exp_avg_sqs, const std::vector<int64_t>& steps, double lr, double beta1,
           double beta2, double eps, double weight_decay, bool decoupled, bool maximize) {
  update("radam", RadamStep{lr, beta1, beta2, eps, weight_decay, decoupled, maximize}, params,
         {"grads", grads},
         {{"exp_avgs", exp_avgs, "expected an array"},
          {"exp_avg_sqs", exp_avg_sqs, "expected an array"}},
         "steps", steps, &Ops<float>::radam, &Ops<double>::radam);
}

void lerp(const Objects& params, const Objects& ends, double weight) {
  update("lerp", LerpStep{weight}, params, {"ends", ends}, {}, "steps",
         std::vector<int64_t>(params.size(), 1), &Ops<float>::lerp, &Ops<double>::lerp);
}

}  // namespace

void bind_optimizer(py::module_& m) {
  m.def("sgd", &sgd, py::arg("params"), py::arg("grads"), py::arg("buffers"),
        py::arg("first_steps"), py::arg("lr"), py::arg("momentum") = 0.0,
        py::arg("dampening") = 0.0, py::arg("weight_decay") = 0.0, py::arg("nesterov") = false,
        py::arg("maximize") = false,
        "One step of stochastic gradient descent on all params, in place; buffers hold the "
        "momentum, written where first_steps is true and None without momentum.");
  m.def("adagrad", &adagrad, py::arg("params"), py::arg("grads"), py::arg("sums"), py::arg("steps"),
        py::arg("lr"), py::arg("lr_decay") = 0.0, py::arg("weight_decay") = 0.0,
        py::arg("eps") = 1e-10, py::arg("maximize") = false,
        "One step of Adagrad on all params, in place; sums hold the sums of squared gradients, "
        "steps the number of each parameter's step, from 1.");
  m.def("rmsprop", &rmsprop, py::arg("params"), py::arg("grads"), py::arg("square_avgs"),
        py::arg("grad_avgs"), py::arg("buffers"), py::arg("lr"), py::arg("alpha") = 0.99,
        py::arg("eps") = 1e-8, py::arg("weight_decay") = 0.0, py::arg("momentum") = 0.0,
        py::arg("centered") = false, py::arg("maximize") = false,
        "One step of RMSprop on all params, in place; square_avgs, grad_avgs (None unless "
        "centered) and buffers (None without momentum) are its state, zeros before the first "
        "step.");
  m.def("adam", &adam, py::arg("params"), py::arg("grads"), py::arg("exp_avgs"),
        py::arg("exp_avg_sqs"), py::arg("max_exp_avg_sqs"), py::arg("steps"), py::arg("lr"),
        py::arg("beta1") = 0.9, py::arg("beta2") = 0.999, py::arg("eps") = 1e-8,
        py::arg("weight_decay") = 0.0, py::arg("decoupled") = false, py::arg("amsgrad") = false,
        py::arg("maximize") = false,
        "One step of Adam (with decoupled weight decay AdamW) on all params, in place; exp_avgs, "
        "exp_avg_sqs and max_exp_avg_sqs (None unless amsgrad) are its state, zeros before the "
        "first step; steps the number of each parameter's step, from 1.");
  m.def("adadelta", &adadelta, py::arg("params"), py::arg("grads"), py::arg("square_avgs"),
        py::arg("acc_deltas"), py::arg("lr"), py::arg("rho") = 0.9, py::arg("eps") = 1e-6,
        py::arg("weight_decay") = 0.0, py::arg("maximize") = false,
        "One step of Adadelta on all params, in place; square_avgs and acc_deltas are its state, "
        "zeros before the first step.");
  m.def("adamax", &adamax, py::arg("params"), py::arg("grads"), py::arg("exp_avgs"),
        py::arg("exp_infs"), py::arg("steps"), py::arg("lr"), py::arg("beta1") = 0.9,
        py::arg("beta2") = 0.999, py::arg("eps") = 1e-8, py::arg("weight_decay") = 0.0,
        py::arg("maximize") = false,
        "One step of Adamax on all params, in place; exp_avgs and exp_infs are its state, zeros "
        "before the first step; steps the number of each parameter's step, from 1.");
  m.def("nadam", &nadam, py::arg("params"), py::arg("grads"), py::arg("exp_avgs"),
        py::arg("exp_avg_sqs"), py::arg("mu_products"), py::arg("steps"), py::arg("lr"),
        py::arg("beta1") = 0.9, py::arg("beta2") = 0.999, py::arg("eps") = 1e-8,
        py::arg("weight_decay") = 0.0, py::arg("momentum_decay") = 4e-3,
        py::arg("decoupled") = false, py::arg("maximize") = false,
        "One step of NAdam on all params, in place; exp_avgs and exp_avg_sqs are its state, zeros "
        "before the first step; steps the number of each parameter's step, from 1. mu_products "
        "are the products of the momenta of each parameter's steps before, 1 for the first one; "
        "those up to this step are returned.");
  m.def("radam", &radam, py::arg("params"), py::arg("grads"), py::arg("exp_avgs"),
        py::arg("exp_avg_sqs"), py::arg("steps"), py::arg("lr"), py::arg("beta1") = 0.9,
        py::arg("beta2") = 0.999, py::arg("eps") = 1e-8, py::arg("weight_decay") = 0.0,
        py::arg("decoupled") = false, py::arg("maximize") = false,
        "One step of RAdam on all params, in place; exp_avgs and exp_avg_sqs are its state, zeros "
        "before the first step; steps the number of each parameter's step, from 1.");
  m.def("lerp", &lerp, py::arg("params"), py::arg("ends"), py::arg("weight"),
        "Moves all params, in place, the share `weight` of the way to their ends: params + weight "
        "* (ends - params).");
}

}  // namespace fastnn
