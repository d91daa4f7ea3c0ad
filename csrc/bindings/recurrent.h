// What the bindings of the recurrent layers share: their arguments, checked, and their results.
#pragma once

#include "arrays.h"

namespace fastnn {

// The rows of an array (rows, n) or (T, N, n) whose features are adjacent, `row` elements apart.
struct RowsView {
  py::array array;
  int64_t row;
};

// The arguments of every forward and backward of a layer in one direction.
struct RecurrentCall {
  const char* op;
  int64_t gates;
  Real type;
  py::array x, w_ih, w_hh;
  std::optional<py::array> w_hr;
  std::optional<py::array_t<int64_t>> batch_sizes;
  RecurrentShape s;

  RecurrentCall(const char* op_name, int64_t gate_count, py::handle x_object,
                py::handle w_ih_object, py::handle w_hh_object, const py::object& w_hr_object,
                const py::object& batch_sizes_object, bool reverse);

  // The shape of an array with `features` for each row of x.
  Shape like_x(int64_t features) const;
  // A state (N, width): zeros for None.
  py::array state(const char* name, py::handle object, int64_t width) const;
  // The gradient of a state; None where there is none.
  std::optional<py::array> state_gradient(const char* name, const py::object& object,
                                          int64_t width) const;
  // bias_ih and bias_hh: both or none.
  std::optional<std::array<py::array, 2>> biases(const py::object& ih, const py::object& hh) const;
  // What training kept, (rows, width).
  py::array kept(const char* name, py::handle object, int64_t width) const;

  // y: a new array, or the caller's, written in place. Sets s.y_row.
  py::array output(const py::object& y_object);
  // y and dy of a backward. Set s.y_row and s.dy_row.
  py::array saved_output(py::handle y_object);
  std::optional<py::array> output_gradient(const py::object& dy_object);

  Work forward_work() const;

  py::array new_array(const Shape& shape) const { return empty(op, type, shape); }
  py::array new_state(int64_t width) const { return new_array({s.N, width}); }

  template <class T>
  RecurrentWeights<T> weights(const std::optional<std::array<py::array, 2>>& b = {}) const {
    return {data<T>(w_ih), data<T>(w_hh), b ? data<T>((*b)[0]) : nullptr,
            b ? data<T>((*b)[1]) : nullptr, w_hr ? data<T>(*w_hr) : nullptr};
  }

 private:
  RowsView rows_of(const char* name, const py::array& a) const;
};

// The gradients that a backward returns, and dx as the caller gave it or wanted it.
struct RecurrentGradientArrays {
  std::optional<py::array> dx;
  bool add_dx;
  py::array dh0, dw_ih, dw_hh;
  std::optional<py::array> dc0, db_ih, db_hh, dw_hr;

  RecurrentGradientArrays(const RecurrentCall& call, bool cell_state, bool bias,
                          const py::object& dx_object, bool input_gradient);

  template <class T>
  RecurrentGradients<T> pointers() {
    return {data_or_null<T>(dx),    add_dx,
            mutable_data<T>(dh0),   data_or_null<T>(dc0),
            mutable_data<T>(dw_ih), mutable_data<T>(dw_hh),
            data_or_null<T>(db_ih), data_or_null<T>(db_hh),
            data_or_null<T>(dw_hr)};
  }
};

}  // namespace fastnn
