// fastnn.ops: gru_forward, gru_backward.
#include "recurrent.h"

namespace fastnn {
namespace {

py::tuple forward(py::handle x, py::handle h0_object, py::handle w_ih, py::handle w_hh,
                  const py::object& b_ih, const py::object& b_hh, const py::object& batch_sizes,
                  bool reverse, bool training, const py::object& y_object) {
  RecurrentCall call("gru", 3, x, w_ih, w_hh, py::none(), batch_sizes, reverse);
  RecurrentShape& s = call.s;
  const auto biases = call.biases(b_ih, b_hh);
  const py::array h0 = call.state("h0", h0_object, s.H);
  py::array y = call.output(y_object), h_n = call.new_state(s.H);
  std::optional<py::array> gates;
  if (training) gates = call.new_array({s.rows, 4 * s.H});
  by_type(call.type, [&]<class T>() {
    const char* const op = "gru_forward";
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.gru_forward);
    const auto weights = call.weights<T>(biases);
    const T *x_data = data<T>(call.x), *h0_data = data<T>(h0);
    T *y_data = mutable_data<T>(y), *h_n_data = mutable_data<T>(h_n),
      *gates_data = data_or_null<T>(gates);
    describe(call.forward_work());
    run(
        op, call.x, [&](int threads) { return table.gru_forward_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          kernel(exec, s, weights, x_data, h0_data, y_data, h_n_data, gates_data);
        });
  });
  return py::make_tuple(y, h_n, gates);
}

py::tuple backward(const py::object& dy_object, const py::object& dh_n_object, py::handle x,
                   py::handle h0_object, py::handle w_ih, py::handle w_hh, py::handle y_object,
                   py::handle gates_object, const py::object& batch_sizes, bool reverse, bool bias,
                   const py::object& dx_object, bool input_gradient) {
  RecurrentCall call("gru", 3, x, w_ih, w_hh, py::none(), batch_sizes, reverse);
  const RecurrentShape& s = call.s;
  const py::array h0 = call.state("h0", h0_object, s.H);
  const auto dy = call.output_gradient(dy_object);
  const auto dh_n = call.state_gradient("dh_n", dh_n_object, s.H);
  const py::array y = call.saved_output(y_object),
                  gates = call.kept("gates", gates_object, 4 * s.H);
  RecurrentGradientArrays to(call, false, bias, dx_object, input_gradient);
  by_type(call.type, [&]<class T>() {
    const char* const op = "gru_backward";
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.gru_backward);
    const auto weights = call.weights<T>();
    const auto gradients = to.pointers<T>();
    const T *dy_data = data_or_null<T>(dy), *dh_n_data = data_or_null<T>(dh_n),
            *x_data = data<T>(call.x), *h0_data = data<T>(h0), *y_data = data<T>(y),
            *gates_data = data<T>(gates);
    run(
        op, call.x, [&](int threads) { return table.gru_backward_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          kernel(exec, s, weights, dy_data, dh_n_data, x_data, h0_data, y_data, gates_data,
                 gradients);
        });
  });
  return py::make_tuple(to.dx, to.dh0, to.dw_ih, to.dw_hh, to.db_ih, to.db_hh);
}

}  // namespace

void bind_gru(py::module_& m) {
  m.def(
      "gru_forward", &forward, py::arg("x"), py::arg("h0"), py::arg("weight_ih"),
      py::arg("weight_hh"), py::arg("bias_ih") = py::none(), py::arg("bias_hh") = py::none(),
      py::kw_only(), py::arg("batch_sizes") = py::none(), py::arg("reverse") = false,
      py::arg("training") = true, py::arg("y") = py::none(),
      "(y, h_n, gates) of a GRU layer in one direction: x (T, N, I), h0 (N, H), weights (3 H, I) "
      "and (3 H, H), biases\n(3 H,), the gates in the order r z n -> y (T, N, H), h_n (N, H). The "
      "reset gate is applied behind the product.\nNone for h0: zeros. gates (rows, 4 H), which "
      "are r z n after their functions and h weight_hn^T + bias_hn, are for\nbackward: None "
      "unless training. batch_sizes, reverse, y: as in lstm_forward.");
  m.def("gru_backward", &backward, py::arg("dy"), py::arg("dh_n"), py::arg("x"), py::arg("h0"),
        py::arg("weight_ih"), py::arg("weight_hh"), py::arg("y"), py::arg("gates"), py::kw_only(),
        py::arg("batch_sizes") = py::none(), py::arg("reverse") = false, py::arg("bias") = true,
        py::arg("dx") = py::none(), py::arg("input_gradient") = true,
        "(dx, dh0, dweight_ih, dweight_hh, dbias_ih, dbias_hh) from the gradients of y and h_n "
        "(None: zeros) and the\narguments and results of gru_forward. None for what there was not, "
        "and for dx without input_gradient. A given dx\nis added to.");
}

}  // namespace fastnn
