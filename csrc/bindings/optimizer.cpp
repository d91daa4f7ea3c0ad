// fastnn.ops: sgd.
#include "arrays.h"

namespace fastnn {
namespace {

// "params[3]", for messages.
std::string element(const char* list, size_t i) {
  return std::string(list) + "[" + std::to_string(i) + "]";
}

// An array that a kernel updates in place, whatever the order of its axes in memory.
py::array updated_array(const char* op, const std::string& name, py::handle object) {
  if (!py::isinstance<py::array>(object)) {
    type_error(op, ": ", name, " is a ", Py_TYPE(object.ptr())->tp_name,
               "; expected a NumPy array to update");
  }
  const py::array a = py::reinterpret_borrow<py::array>(object);
  real_type(op, name.c_str(), a);
  if (a.dtype().byteorder() != '=') {
    type_error(op, ": ", name, " has dtype ", std::string(py::str(a.dtype())),
               "; expected the native byte order");
  }
  if (!a.writeable() || !dense(a).is(a)) {
    value_error(op, ": ", name, " must be writeable and dense in memory");
  }
  return a;
}

// The parameters of one element type, and the arrays that their pointers point into.
template <class T>
struct Group {
  std::vector<SgdParam<T>> params;
  std::vector<py::array> grads;
};

template <class T>
void update(const char* op, const SgdStep& step, const Group<T>& group) {
  if (group.params.empty()) return;
  const auto kernel = supported(op, ops<T>().sgd);
  run(op, group.grads[0], [&](const Exec& exec) {
    kernel(exec, step, static_cast<int64_t>(group.params.size()), group.params.data());
  });
}

void sgd(const std::vector<py::object>& params, const std::vector<py::object>& grads,
         const std::vector<py::object>& buffers, const std::vector<bool>& first_steps, double lr,
         double momentum, double dampening, double weight_decay, bool nesterov, bool maximize) {
  const char* op = "sgd";
  if (grads.size() != params.size() || buffers.size() != params.size() ||
      first_steps.size() != params.size()) {
    value_error(op, ": params, grads, buffers and first_steps have lengths ", params.size(), ", ",
                grads.size(), ", ", buffers.size(), " and ", first_steps.size(),
                "; expected the same");
  }
  Group<float> singles;
  Group<double> doubles;
  for (size_t i = 0; i < params.size(); ++i) {
    const std::string p_name = element("params", i), g_name = element("grads", i);
    py::array p = updated_array(op, p_name, params[i]);
    const Shape shape(p.shape(), p.shape() + p.ndim());
    py::array g = real_array_like(op, g_name.c_str(), grads[i], p, p_name.c_str());
    check_shape(op, g_name.c_str(), g, shape);
    g = with_layout_of(p, g);

    std::optional<py::array> buf;
    if (momentum != 0) {
      const std::string name = element("buffers", i);
      if (buffers[i].is_none()) value_error(op, ": ", name, " is None, momentum is ", momentum);
      buf = updated_array(op, name, buffers[i]);
      real_array_like(op, name.c_str(), *buf, p, p_name.c_str());
      check_shape(op, name.c_str(), *buf, shape);
      if (!with_layout_of(p, *buf).is(*buf)) {
        value_error(op, ": ", name, " must have the memory layout of ", p_name);
      }
    }
    const auto add = [&]<class T>(Group<T>& group) {
      T* buf_data = buf ? mutable_data<T>(*buf) : nullptr;
      group.params.push_back(
          {mutable_data<T>(p), data<T>(g), buf_data, p.size(), bool{first_steps[i]}});
      group.grads.push_back(g);
    };
    if (real_type(op, p_name.c_str(), p) == Real::f32) {
      add(singles);
    } else {
      add(doubles);
    }
  }
  const SgdStep step{lr, momentum, dampening, weight_decay, nesterov, maximize};
  update(op, step, singles);
  update(op, step, doubles);
}

}  // namespace

void bind_optimizer(py::module_& m) {
  m.def("sgd", &sgd, py::arg("params"), py::arg("grads"), py::arg("buffers"),
        py::arg("first_steps"), py::arg("lr"), py::arg("momentum") = 0.0,
        py::arg("dampening") = 0.0, py::arg("weight_decay") = 0.0, py::arg("nesterov") = false,
        py::arg("maximize") = false,
        "One step of stochastic gradient descent on all params, in place; buffers hold the "
        "momentum, written where first_steps is true and None without momentum.");
}

}  // namespace fastnn
