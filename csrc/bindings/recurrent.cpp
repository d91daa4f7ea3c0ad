#include "recurrent.h"

#include <cstring>

namespace fastnn {

RecurrentCall::RecurrentCall(const char* op_name, int64_t gate_count, py::handle x_object,
                             py::handle w_ih_object, py::handle w_hh_object,
                             const py::object& w_hr_object, const py::object& batch_sizes_object,
                             bool reverse)
    : op(op_name), gates(gate_count), s{} {
  const bool packed = !batch_sizes_object.is_none();
  x = contiguous(real_array(op, "x", x_object));
  type = real_type(op, "x", x);
  if (x.ndim() != (packed ? 2 : 3)) {
    value_error(op, ": x has shape ", shape_text(x), "; expected ",
                packed ? "(rows, I), with batch_sizes" : "(T, N, I)");
  }
  w_ih = contiguous(real_array_like(op, "weight_ih", w_ih_object, x, "x", 2));
  w_hh = contiguous(real_array_like(op, "weight_hh", w_hh_object, x, "x", 2));
  s.I = x.shape(x.ndim() - 1);
  s.H = w_hh.shape(0) / gates;
  if (s.H == 0 || w_hh.shape(0) != gates * s.H) {
    value_error(op, ": weight_hh has ", w_hh.shape(0), " rows; expected ", gates,
                gates == 1 ? " for each hidden unit" : " times the hidden units");
  }
  s.R = s.H;
  if (!w_hr_object.is_none()) {
    w_hr = contiguous(real_array_like(op, "weight_hr", w_hr_object, x, "x", 2));
    s.R = w_hr->shape(0);
    if (s.R < 1 || s.R >= s.H || w_hr->shape(1) != s.H) {
      value_error(op, ": weight_hr has shape ", shape_text(*w_hr), "; expected (R, ", s.H,
                  ") with R from 1 to ", s.H - 1);
    }
  }
  check_shape(op, "weight_hh", w_hh, {gates * s.H, s.R});
  if (w_ih.shape(1) != s.I) {
    value_error(op, ": weight_ih has ", w_ih.shape(1), " input features, x has ", s.I);
  }
  check_shape(op, "weight_ih", w_ih, {gates * s.H, s.I});
  s.reverse = reverse;
  if (packed) {
    batch_sizes = int64_array(op, "batch_sizes", batch_sizes_object, 1);
    s.T = batch_sizes->shape(0);
    s.rows = x.shape(0);
    s.batch_sizes = batch_sizes->data();
    int64_t sum = 0;
    for (int64_t t = 0; t < s.T; ++t) {
      const int64_t size = s.batch_sizes[t];
      if (size < 1 || size > s.rows) {
        value_error(op, ": batch_sizes[", t, "] is ", size, "; expected 1 to the ", s.rows,
                    " rows of x");
      }
      if (t > 0 && size > s.batch_sizes[t - 1]) {
        value_error(op, ": batch_sizes increase from ", s.batch_sizes[t - 1], " to ", size,
                    " at step ", t, "; longer sequences must come first");
      }
      sum += size;
    }
    if (sum != s.rows) value_error(op, ": batch_sizes sum to ", sum, ", x has ", s.rows, " rows");
    s.N = s.T > 0 ? s.batch_sizes[0] : 0;
  } else {
    s.T = x.shape(0);
    s.N = x.shape(1);
    s.rows = s.T * s.N;
  }
  if (s.T == 0) value_error(op, ": x has no time steps");
  if (s.N == 0) value_error(op, ": x has an empty batch");
}

Shape RecurrentCall::like_x(int64_t features) const {
  Shape shape = shape_of(x);
  shape.back() = features;
  return shape;
}

py::array RecurrentCall::state(const char* name, py::handle object, int64_t width) const {
  if (!object.is_none()) {
    const py::array a = contiguous(real_array_like(op, name, object, x, "x", 2));
    check_shape(op, name, a, {s.N, width});
    return a;
  }
  py::array zeros = new_state(width);
  std::memset(zeros.mutable_data(), 0, static_cast<size_t>(zeros.nbytes()));
  return zeros;
}

std::optional<py::array> RecurrentCall::state_gradient(const char* name, const py::object& object,
                                                       int64_t width) const {
  if (object.is_none()) return std::nullopt;
  return state(name, object, width);
}

std::optional<std::array<py::array, 2>> RecurrentCall::biases(const py::object& ih,
                                                              const py::object& hh) const {
  if (ih.is_none() != hh.is_none()) {
    value_error(op, ": bias_", ih.is_none() ? "ih" : "hh",
                " is None; expected both biases or none");
  }
  if (ih.is_none()) return std::nullopt;
  std::array<py::array, 2> b = {contiguous(real_array_like(op, "bias_ih", ih, x, "x", 1)),
                                contiguous(real_array_like(op, "bias_hh", hh, x, "x", 1))};
  check_shape(op, "bias_ih", b[0], {gates * s.H});
  check_shape(op, "bias_hh", b[1], {gates * s.H});
  return b;
}

py::array RecurrentCall::kept(const char* name, py::handle object, int64_t width) const {
  const py::array a = contiguous(real_array_like(op, name, object, x, "x", 2));
  check_shape(op, name, a, {s.rows, width});
  return a;
}

// `a` itself where its rows lie evenly apart, a copy otherwise.
RowsView RecurrentCall::rows_of(const char* name, const py::array& a) const {
  check_shape(op, name, a, like_x(s.R));
  const int64_t item = a.itemsize(), last = a.ndim() - 1;
  const bool adjacent = s.R == 1 || a.strides(last) == item;
  int64_t stride = s.R * item;  // of a single row
  bool even = true;
  if (a.ndim() == 2) {
    if (s.rows > 1) stride = a.strides(0);
  } else if (s.N > 1) {
    stride = a.strides(1);
    even = s.T == 1 || a.strides(0) == s.N * stride;
  } else if (s.T > 1) {
    stride = a.strides(0);
  }
  if (adjacent && even && stride >= s.R * item && stride % item == 0) return {a, stride / item};
  return {contiguous(a), s.R};
}

Work RecurrentCall::forward_work() const {
  const int64_t row = gates * s.H * (s.I + s.R) + (w_hr ? s.R * s.H : 0);
  return {.multiply_adds = s.rows * row};
}

py::array RecurrentCall::output(const py::object& y_object) {
  s.y_row = s.R;
  if (y_object.is_none()) return new_array(like_x(s.R));
  if (!py::isinstance<py::array>(y_object)) {
    type_error(op, ": y is a ", Py_TYPE(y_object.ptr())->tp_name,
               "; expected a NumPy array to write to");
  }
  const py::array y = real_array_like(op, "y", y_object, x, "x");
  const RowsView rows = rows_of("y", y);
  if (!y.writeable() || !rows.array.is(y) || !y.is(y_object)) {
    value_error(op, ": y must be writeable, with adjacent features and rows evenly apart");
  }
  s.y_row = rows.row;
  return y;
}

py::array RecurrentCall::saved_output(py::handle y_object) {
  RowsView rows = rows_of("y", real_array_like(op, "y", y_object, x, "x"));
  s.y_row = rows.row;
  return rows.array;
}

std::optional<py::array> RecurrentCall::output_gradient(const py::object& dy_object) {
  if (dy_object.is_none()) return std::nullopt;
  RowsView rows = rows_of("dy", real_array_like(op, "dy", dy_object, x, "x"));
  s.dy_row = rows.row;
  return rows.array;
}

RecurrentGradientArrays::RecurrentGradientArrays(const RecurrentCall& call, bool cell_state,
                                                 bool bias, const py::object& dx_object,
                                                 bool input_gradient)
    : add_dx(!dx_object.is_none()),
      dh0(call.new_state(call.s.R)),
      dw_ih(call.new_array({call.gates * call.s.H, call.s.I})),
      dw_hh(call.new_array({call.gates * call.s.H, call.s.R})) {
  if (add_dx) {
    dx = output_array(call.op, "dx", dx_object, call.x, shape_of(call.x));
  } else if (input_gradient) {
    dx = call.new_array(shape_of(call.x));
  }
  if (cell_state) dc0 = call.new_state(call.s.H);
  if (call.w_hr) dw_hr = call.new_array({call.s.R, call.s.H});
  if (bias) {
    db_ih = call.new_array({call.gates * call.s.H});
    db_hh = call.new_array({call.gates * call.s.H});
  }
}

}  // namespace fastnn
