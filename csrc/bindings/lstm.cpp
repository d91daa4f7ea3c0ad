// fastnn.ops: lstm_forward, lstm_backward.
#include "recurrent.h"

namespace fastnn {
namespace {

py::tuple forward(py::handle x, py::handle h0_object, py::handle c0_object, py::handle w_ih,
                  py::handle w_hh, const py::object& b_ih, const py::object& b_hh,
                  const py::object& w_hr, const py::object& batch_sizes, bool reverse,
                  bool training, const py::object& y_object) {
  RecurrentCall call("lstm", 4, x, w_ih, w_hh, w_hr, batch_sizes, reverse);
  RecurrentShape& s = call.s;
  const auto biases = call.biases(b_ih, b_hh);
  const py::array h0 = call.state("h0", h0_object, s.R), c0 = call.state("c0", c0_object, s.H);
  py::array y = call.output(y_object), h_n = call.new_state(s.R), c_n = call.new_state(s.H);
  std::optional<py::array> gates, cells;
  if (training) {
    gates = call.new_array({s.rows, 4 * s.H});
    cells = call.new_array({s.rows, s.H});
  }
  by_type(call.type, [&]<class T>() {
    const char* const op = "lstm_forward";
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.lstm_forward);
    const auto weights = call.weights<T>(biases);
    const T *x_data = data<T>(call.x), *h0_data = data<T>(h0), *c0_data = data<T>(c0);
    T *y_data = mutable_data<T>(y), *h_n_data = mutable_data<T>(h_n),
      *c_n_data = mutable_data<T>(c_n), *gates_data = data_or_null<T>(gates),
      *cells_data = data_or_null<T>(cells);
    describe(call.forward_work());
    run(
        op, call.x, [&](int threads) { return table.lstm_forward_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          kernel(exec, s, weights, x_data, h0_data, c0_data, y_data, h_n_data, c_n_data, gates_data,
                 cells_data);
        });
  });
  return py::make_tuple(y, h_n, c_n, gates, cells);
}

py::tuple backward(const py::object& dy_object, const py::object& dh_n_object,
                   const py::object& dc_n_object, py::handle x, py::handle h0_object,
                   py::handle c0_object, py::handle w_ih, py::handle w_hh, const py::object& w_hr,
                   py::handle y_object, py::handle gates_object, py::handle cells_object,
                   const py::object& batch_sizes, bool reverse, bool bias,
                   const py::object& dx_object, bool input_gradient) {
  RecurrentCall call("lstm", 4, x, w_ih, w_hh, w_hr, batch_sizes, reverse);
  const RecurrentShape& s = call.s;
  const py::array h0 = call.state("h0", h0_object, s.R), c0 = call.state("c0", c0_object, s.H);
  const auto dy = call.output_gradient(dy_object);
  const auto dh_n = call.state_gradient("dh_n", dh_n_object, s.R),
             dc_n = call.state_gradient("dc_n", dc_n_object, s.H);
  const py::array y = call.saved_output(y_object),
                  gates = call.kept("gates", gates_object, 4 * s.H),
                  cells = call.kept("cells", cells_object, s.H);
  RecurrentGradientArrays to(call, true, bias, dx_object, input_gradient);
  by_type(call.type, [&]<class T>() {
    const char* const op = "lstm_backward";
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.lstm_backward);
    const auto weights = call.weights<T>();
    const auto gradients = to.pointers<T>();
    const T *dy_data = data_or_null<T>(dy), *dh_n_data = data_or_null<T>(dh_n),
            *dc_n_data = data_or_null<T>(dc_n), *x_data = data<T>(call.x), *h0_data = data<T>(h0),
            *c0_data = data<T>(c0), *y_data = data<T>(y), *gates_data = data<T>(gates),
            *cells_data = data<T>(cells);
    run(
        op, call.x, [&](int threads) { return table.lstm_backward_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          kernel(exec, s, weights, dy_data, dh_n_data, dc_n_data, x_data, h0_data, c0_data, y_data,
                 gates_data, cells_data, gradients);
        });
  });
  return py::make_tuple(to.dx, to.dh0, to.dc0, to.dw_ih, to.dw_hh, to.db_ih, to.db_hh, to.dw_hr);
}

}  // namespace

void bind_lstm(py::module_& m) {
  m.def("lstm_forward", &forward, py::arg("x"), py::arg("h0"), py::arg("c0"), py::arg("weight_ih"),
        py::arg("weight_hh"), py::arg("bias_ih") = py::none(), py::arg("bias_hh") = py::none(),
        py::arg("weight_hr") = py::none(), py::kw_only(), py::arg("batch_sizes") = py::none(),
        py::arg("reverse") = false, py::arg("training") = true, py::arg("y") = py::none(),
        "(y, h_n, c_n, gates, cells) of an LSTM layer in one direction: x (T, N, I), h0 (N, R), c0 "
        "(N, H), weights (4 H, I),\n(4 H, R) and (R, H), biases (4 H,), the gates in the order i f "
        "g o -> y (T, N, R), h_n (N, R), c_n (N, H).\nR = H without weight_hr. None for h0 and c0: "
        "zeros. gates (rows, 4 H), which are i f g o after their functions, and\ncells (rows, H), "
        "which are c, are for backward: None unless training.\nWith batch_sizes, positive and not "
        "increasing, x and y are (rows, ...): the rows of step t follow those of step t - 1.\n"
        "reverse: from each sequence's last step to its first. A given y is written to; its rows "
        "may lie apart.");
  m.def("lstm_backward", &backward, py::arg("dy"), py::arg("dh_n"), py::arg("dc_n"), py::arg("x"),
        py::arg("h0"), py::arg("c0"), py::arg("weight_ih"), py::arg("weight_hh"),
        py::arg("weight_hr"), py::arg("y"), py::arg("gates"), py::arg("cells"), py::kw_only(),
        py::arg("batch_sizes") = py::none(), py::arg("reverse") = false, py::arg("bias") = true,
        py::arg("dx") = py::none(), py::arg("input_gradient") = true,
        "(dx, dh0, dc0, dweight_ih, dweight_hh, dbias_ih, dbias_hh, dweight_hr) from the gradients "
        "of y, h_n and c_n (None:\nzeros) and the arguments and results of lstm_forward. None for "
        "what there was not, and for dx without\ninput_gradient. A given dx is added to.");
}

}  // namespace fastnn
