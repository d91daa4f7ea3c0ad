// fastnn.ops: layer_norm_forward, layer_norm_backward, rms_norm_forward, rms_norm_backward.
#include "arrays.h"

namespace fastnn {
namespace {

// x as rows: its last dimensions, the normalised ones, lie in one piece of memory, in any order.
struct Rows {
  Rows(const char* op, py::handle x_object, py::handle normalized_object, bool centered)
      : x(real_array(op, "x", x_object)) {
    if (!PySequence_Check(normalized_object.ptr()) ||
        PySequence_Size(normalized_object.ptr()) < 1) {
      PyErr_Clear();
      type_error(op, ": normalized_shape is ", std::string(py::repr(normalized_object)),
                 "; expected at least one int");
    }
    const auto ndim = static_cast<size_t>(PySequence_Size(normalized_object.ptr()));
    normalized = shape_argument(op, "normalized_shape", normalized_object, ndim);
    const Shape all = shape_of(x);
    if (all.size() < ndim || !std::equal(normalized.begin(), normalized.end(), all.end() - ndim)) {
      value_error(op, ": x has shape ", shape_text(x), "; expected its last dimensions to be ",
                  shape_text(normalized));
    }
    x = dense(x);
    row = first_row();
    if (!is_dense(row)) {
      x = contiguous(x);
      row = first_row();
    }
    s.D = row.size();
    s.N = s.D == 0 ? 0 : x.size() / s.D;
    s.centered = centered;
  }

  // A parameter in the memory order of a row.
  std::optional<py::array> parameter(const char* op, const char* name,
                                     const py::object& object) const {
    if (object.is_none()) return std::nullopt;
    const py::array a = real_array_like(op, name, object, x, "x");
    check_shape(op, name, a, normalized);
    return with_layout_of(row, a);
  }
  // One value a row.
  py::array statistic(const char* op, const char* name, py::handle object) const {
    const py::array a = contiguous(real_array_like(op, name, object, x, "x", 1));
    check_shape(op, name, a, {s.N});
    return a;
  }

  py::array x, row;
  Shape normalized;
  LayerNormShape s{};

 private:
  py::array first_row() const {
    if (x.size() == 0) return py::array(x.dtype(), normalized);
    return py::array(x[py::tuple(py::cast(Shape(x.ndim() - normalized.size())))]);
  }
};

struct Results {
  py::array y, mean, inv_std;
};

Results forward(const char* op, const Rows& rows, const py::object& w_object,
                const py::object& b_object, double eps) {
  const std::optional<py::array> w = rows.parameter(op, "weight", w_object),
                                 b = rows.parameter(op, "bias", b_object);
  const LayerNormShape& s = rows.s;
  const Real type = real_type(op, "x", rows.x);
  Results r{empty_like(op, rows.x), empty(op, type, {s.centered ? s.N : 0}),
            empty(op, type, {s.N})};
  by_type(type, [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.layer_norm_forward);
    const T *x_data = data<T>(rows.x), *w_data = data_or_null<T>(w), *b_data = data_or_null<T>(b);
    T *y_data = mutable_data<T>(r.y), *inv_std_data = mutable_data<T>(r.inv_std);
    T* mean_data = s.centered ? mutable_data<T>(r.mean) : nullptr;
    run(
        op, rows.x, [&](int threads) { return table.layer_norm_forward_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          kernel(exec, s, eps, x_data, w_data, b_data, y_data, mean_data, inv_std_data);
        });
  });
  return r;
}

py::tuple layer_norm_forward(py::handle x, py::handle normalized_shape, const py::object& w,
                             const py::object& b, double eps) {
  const char* const op = "layer_norm_forward";
  const Results r = forward(op, Rows(op, x, normalized_shape, true), w, b, eps);
  return py::make_tuple(r.y, r.mean, r.inv_std);
}

py::tuple rms_norm_forward(py::handle x, py::handle normalized_shape, const py::object& w,
                           double eps) {
  const char* const op = "rms_norm_forward";
  const Results r = forward(op, Rows(op, x, normalized_shape, false), w, py::none(), eps);
  return py::make_tuple(r.y, r.inv_std);
}

// (dx, dw, db); mean is None where the rows are not centered.
py::tuple backward(const char* op, py::handle dy_object, const Rows& rows,
                   const py::object& mean_object, py::handle inv_std_object,
                   const py::object& w_object, bool bias) {
  const LayerNormShape& s = rows.s;
  py::array dy = real_array_like(op, "dy", dy_object, rows.x, "x");
  check_shape(op, "dy", dy, shape_of(rows.x));
  dy = with_layout_of(rows.x, dy);
  std::optional<py::array> mean;
  if (s.centered) mean = rows.statistic(op, "mean", mean_object);
  const py::array inv_std = rows.statistic(op, "inv_std", inv_std_object);
  const std::optional<py::array> w = rows.parameter(op, "weight", w_object);
  py::array dx = empty_like(op, rows.x);
  std::optional<py::array> dw, db;
  if (w) dw = empty_like(op, rows.row);
  if (bias) db = empty_like(op, rows.row);
  by_type(real_type(op, "x", rows.x), [&]<class T>() {
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.layer_norm_backward);
    const T *dy_data = data<T>(dy), *x_data = data<T>(rows.x), *mean_data = data_or_null<T>(mean),
            *inv_std_data = data<T>(inv_std), *w_data = data_or_null<T>(w);
    T *dx_data = mutable_data<T>(dx), *dw_data = data_or_null<T>(dw),
      *db_data = data_or_null<T>(db);
    run(
        op, rows.x,
        [&](int threads) { return table.layer_norm_backward_scratch_bytes(s, threads); },
        [&](const Exec& exec) {
          kernel(exec, s, dy_data, x_data, mean_data, inv_std_data, w_data, dx_data, dw_data,
                 db_data);
        });
  });
  if (dw) dw = contiguous(*dw);
  if (db) db = contiguous(*db);
  return py::make_tuple(dx, dw, db);
}

py::tuple layer_norm_backward(py::handle dy, py::handle x, const py::object& mean,
                              py::handle inv_std, py::handle normalized_shape, const py::object& w,
                              bool bias) {
  const char* const op = "layer_norm_backward";
  return backward(op, dy, Rows(op, x, normalized_shape, true), mean, inv_std, w, bias);
}

py::tuple rms_norm_backward(py::handle dy, py::handle x, py::handle inv_std,
                            py::handle normalized_shape, const py::object& w) {
  const char* const op = "rms_norm_backward";
  const py::tuple all =
      backward(op, dy, Rows(op, x, normalized_shape, false), py::none(), inv_std, w, false);
  return py::make_tuple(all[0], all[1]);
}

}  // namespace

void bind_layernorm(py::module_& m) {
  m.def("layer_norm_forward", &layer_norm_forward, py::arg("x"), py::arg("normalized_shape"),
        py::arg("weight") = py::none(), py::arg("bias") = py::none(), py::arg("eps") = 1e-5,
        "(y, mean, inv_std): y = (x - mean) * inv_std * weight + bias with inv_std = 1 / "
        "sqrt(variance + eps), over the last\ndimensions, those of normalized_shape. mean and "
        "inv_std (rows,) in the order of the rows in the memory of x.");
  m.def("layer_norm_backward", &layer_norm_backward, py::arg("dy"), py::arg("x"), py::arg("mean"),
        py::arg("inv_std"), py::arg("normalized_shape"), py::arg("weight") = py::none(),
        py::arg("bias") = true,
        "(dx, dweight, dbias) from dy and what forward was given and returned; None for what there "
        "was not.");
  m.def(
      "rms_norm_forward", &rms_norm_forward, py::arg("x"), py::arg("normalized_shape"),
      py::arg("weight") = py::none(), py::arg("eps") = 1e-5,
      "(y, inv_std): y = x * inv_std * weight with inv_std = 1 / sqrt(mean(x**2) + eps), over the "
      "last dimensions, those of\nnormalized_shape. inv_std (rows,) as of layer_norm_forward.");
  m.def("rms_norm_backward", &rms_norm_backward, py::arg("dy"), py::arg("x"), py::arg("inv_std"),
        py::arg("normalized_shape"), py::arg("weight") = py::none(),
        "(dx, dweight) from dy and what forward was given and returned; None without a weight.");
}

}  // namespace fastnn
