#include "arrays.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>

namespace fastnn {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// NumPy's functions that we call, looked up once and never released: the interpreter may be gone at
// exit.
py::object& numpy(const char* name) {
  static auto* const cache = new std::vector<std::pair<const char*, py::object>>;
  for (auto& [key, value] : *cache) {
    if (key == name) return value;
  }
  cache->emplace_back(name, py::module_::import("numpy").attr(name));
  return cache->back().second;
}

bool aligned(const py::array& a) {
  return (a.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
}

// The axes from the largest stride to the smallest, those of one element first: their strides mean
// nothing.
std::vector<size_t> axes_by_stride(const py::array& a) {
  std::vector<size_t> axes(static_cast<size_t>(a.ndim()));
  std::iota(axes.begin(), axes.end(), size_t{0});
  const auto wide = std::stable_partition(axes.begin(), axes.end(), [&](size_t i) {
    return a.shape(static_cast<py::ssize_t>(i)) == 1;
  });
  std::stable_sort(wide, axes.end(), [&](size_t i, size_t j) {
    return std::abs(a.strides(static_cast<py::ssize_t>(i))) >
           std::abs(a.strides(static_cast<py::ssize_t>(j)));
  });
  return axes;
}

// Strides of a dense array of this shape whose axes lie in memory in this order, outermost first.
Shape dense_strides(const Shape& shape, const std::vector<size_t>& axes, int64_t item) {
  Shape strides(shape.size());
  for (size_t i = axes.size(); i-- > 0;) {
    strides[axes[i]] = item;
    item *= std::max<int64_t>(1, shape[axes[i]]);
  }
  return strides;
}

bool has_strides(const py::array& a, const Shape& strides) {
  if (a.size() == 0) return true;
  for (py::ssize_t i = 0; i < a.ndim(); ++i) {
    if (a.shape(i) != 1 && a.strides(i) != strides[static_cast<size_t>(i)]) return false;
  }
  return true;
}

py::dtype dtype_of(Real type) {
  return type == Real::f32 ? py::dtype::of<float>() : py::dtype::of<double>();
}

// NumPy takes large arrays of zeros from the operating system, which supplies memory when touched.
py::array untouched_zeros(const py::dtype& type, const Shape& shape,
                          const std::vector<size_t>& axes) {
  Shape in_memory;
  for (const size_t axis : axes) in_memory.push_back(shape[axis]);
  const py::array zeros = numpy("zeros")(in_memory, type);
  return py::array(type, shape, dense_strides(shape, axes, type.itemsize()), zeros.data(), zeros);
}

py::array allocate_array(const char* op, const py::dtype& type, const Shape& shape,
                         const std::vector<size_t>& axes) {
  int64_t bytes = type.itemsize();
  for (const int64_t n : shape) {
    if (n < 0 || __builtin_mul_overflow(bytes, std::max<int64_t>(n, 1), &bytes)) {
      value_error(op, ": an array of shape ", shape_text(shape), " is too large");
    }
  }
  if (tracing()) return untouched_zeros(type, shape, axes);
  void* const memory = allocate(static_cast<size_t>(bytes));
  if (!memory) memory_error(op, ": no memory for an array of shape ", shape_text(shape));
  const py::capsule owner(memory, [](void* block) { deallocate(block); });
  return py::array(type, shape, dense_strides(shape, axes, type.itemsize()), memory, owner);
}

std::vector<size_t> c_order(size_t ndim) {
  std::vector<size_t> axes(ndim);
  std::iota(axes.begin(), axes.end(), size_t{0});
  return axes;
}

const std::vector<size_t> channels_last_order{0, 2, 3, 1};

bool has_order(const py::array& a, const std::vector<size_t>& axes) {
  return aligned(a) && has_strides(a, dense_strides(shape_of(a), axes, a.itemsize()));
}

bool is_real(const py::array& a) {
  const int num = a.dtype().num();
  return num == py::dtype::of<float>().num() || num == py::dtype::of<double>().num();
}

// A copy of `a` whose memory has this order of axes.
py::array copy_in_order(const char* op, const py::array& a, const std::vector<size_t>& axes) {
  py::array copy = allocate_array(op, a.dtype(), shape_of(a), axes);
  copy_elements(op, a, copy);
  return copy;
}

}  // namespace

bool verbose = [] {
  const char* value = std::getenv("FASTNN_VERBOSE");
  return value && *value && std::string(value) != "0";
}();

VerboseLine::VerboseLine(const char* op, const std::string& shape, const char* algorithm)
    : op_(op), shape_(shape), algorithm_(algorithm), start_(now()) {}
VerboseLine::~VerboseLine() {
  std::fprintf(stderr, "fastnn %s %s %s%s%s %.3f ms\n", op_, shape_.c_str(),
               isa_name(current_isa()), algorithm_ ? " " : "", algorithm_ ? algorithm_ : "",
               (now() - start_) * 1e3);
}

std::string shape_text(const Shape& shape) {
  std::ostringstream out;
  out << '(';
  for (size_t i = 0; i < shape.size(); ++i) out << (i ? ", " : "") << shape[i];
  out << (shape.size() == 1 ? ",)" : ")");
  return out.str();
}

py::array as_array(const char* op, const char* name, py::handle object) {
  py::array a;
  if (py::isinstance<py::array>(object)) {
    a = py::reinterpret_borrow<py::array>(object);
  } else if (py::hasattr(object, "__dlpack__")) {
    a = numpy("from_dlpack")(object);
  } else if (py::hasattr(object, "__array__") || PyObject_CheckBuffer(object.ptr())) {
    a = numpy("asarray")(object);
  } else {
    type_error(op, ": ", name, " is a ", Py_TYPE(object.ptr())->tp_name,
               "; expected an array (NumPy, buffer protocol or DLPack)");
  }
  const char order = a.dtype().byteorder();
  if (order == '=' || order == '|') return a;
  return a.attr("astype")(a.dtype().attr("newbyteorder")("="));
}

Real real_type(const char* op, const char* name, const py::array& a) {
  const int num = a.dtype().num();
  if (num == py::dtype::of<float>().num()) return Real::f32;
  if (num == py::dtype::of<double>().num()) return Real::f64;
  type_error(op, ": ", name, " has dtype ", std::string(py::str(a.dtype())),
             "; expected float32 or float64");
}

py::array real_array(const char* op, const char* name, py::handle object, int ndim) {
  py::array a = as_array(op, name, object);
  real_type(op, name, a);
  if (ndim >= 0 && a.ndim() != ndim) {
    value_error(op, ": ", name, " has shape ", shape_text(a), "; expected ", ndim, " dimensions");
  }
  return a;
}

py::array real_array_like(const char* op, const char* name, py::handle object,
                          const py::array& first, const char* first_name, int ndim) {
  py::array a = real_array(op, name, object, ndim);
  if (a.dtype().num() != first.dtype().num()) {
    type_error(op, ": ", name, " has dtype ", std::string(py::str(a.dtype())), ", ", first_name,
               " has ", std::string(py::str(first.dtype())));
  }
  return a;
}

py::array_t<int64_t> int64_array(const char* op, const char* name, py::handle object, int ndim) {
  const py::array a = as_array(op, name, object);
  const char kind = a.dtype().kind();
  if (kind != 'i' && (kind != 'u' || a.itemsize() == sizeof(int64_t))) {
    type_error(op, ": ", name, " has dtype ", std::string(py::str(a.dtype())), "; expected int64");
  }
  if (ndim >= 0 && a.ndim() != ndim) {
    value_error(op, ": ", name, " has shape ", shape_text(a), "; expected ", ndim, " dimensions");
  }
  constexpr int dense_and_aligned =
      py::array::c_style | py::array::forcecast | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  return py::array_t<int64_t, dense_and_aligned>::ensure(a);
}

void copy_elements(const char* op, const py::array& x, py::array& y) {
  if (y.size() == 0) return;
  CopyShape shape;
  bool by_kernel = is_real(x) && x.dtype().equal(y.dtype()) && aligned(x) && aligned(y);
  for (const size_t axis : axes_by_stride(y)) {
    const auto i = static_cast<py::ssize_t>(axis);
    by_kernel = by_kernel &&
                shape.add(y.shape(i), x.strides(i) / x.itemsize(), y.strides(i) / y.itemsize());
  }
  if (!by_kernel) {
    if (!tracing()) numpy("copyto")(y, x);
    return;
  }
  by_type(real_type(op, "x", x), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().copy);
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    run(op, y, [&](const Exec& exec) { kernel(exec, shape, from, to); });
  });
}

py::array contiguous(const py::array& a) {
  const std::vector<size_t> axes = c_order(static_cast<size_t>(a.ndim()));
  return has_order(a, axes) ? a : copy_in_order("to_contiguous", a, axes);
}

bool is_channels_last(const py::array& a) {
  return a.ndim() == 4 && has_order(a, channels_last_order);
}

py::array channels_last(const py::array& a) {
  return is_channels_last(a) ? a : copy_in_order("to_channels_last", a, channels_last_order);
}

py::array in_order(const py::array& a) { return a.ndim() == 4 ? channels_last(a) : contiguous(a); }

py::array channel_rows(const char* op, const char* name, const py::array& a) {
  if (a.ndim() != 2 && a.ndim() != 4) {
    value_error(op, ": ", name, " has shape ", shape_text(a), "; expected (N, C) or (N, C, H, W)");
  }
  return a.ndim() == 2 ? contiguous(a) : channels_last(a);
}

int64_t count_channel_rows(const py::array& a) {
  return a.ndim() == 2 ? a.shape(0) : a.shape(0) * a.shape(2) * a.shape(3);
}

bool is_dense(const py::array& a) { return has_order(a, axes_by_stride(a)); }

bool channels_inside(const py::array& a) {
  return a.ndim() == 4 && a.shape(1) > 1 && a.strides(1) != 0 && axes_by_stride(a).back() == 1;
}

py::array dense(const py::array& a) {
  return is_dense(a) ? a : channels_inside(a) ? channels_last(a) : contiguous(a);
}

py::array with_layout_of(const py::array& like, const py::array& a) {
  const std::vector<size_t> axes = axes_by_stride(like);
  return has_order(a, axes) ? a : copy_in_order("copy", a, axes);
}

py::array output_array(const char* op, const char* name, py::handle object, const py::array& first,
                       const Shape& shape) {
  if (!py::isinstance<py::array>(object)) {
    type_error(op, ": ", name, " is a ", Py_TYPE(object.ptr())->tp_name,
               "; expected a NumPy array to write to");
  }
  py::array a = py::reinterpret_borrow<py::array>(object);
  if (!a.dtype().is(first.dtype()) && !a.dtype().equal(first.dtype())) {
    type_error(op, ": ", name, " has dtype ", std::string(py::str(a.dtype())), "; expected ",
               std::string(py::str(first.dtype())));
  }
  check_shape(op, name, a, shape);
  if (!a.writeable() || !has_order(a, c_order(shape.size()))) {
    value_error(op, ": ", name, " must be writeable and C-contiguous");
  }
  return a;
}

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

void check_shape(const char* op, const char* name, const py::array& a, const Shape& expected) {
  if (shape_of(a) != expected) {
    value_error(op, ": ", name, " has shape ", shape_text(a), "; expected ", shape_text(expected));
  }
}

int64_t integer(const char* op, const char* name, py::handle object, int64_t smallest) {
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (!index) {
    PyErr_Clear();
    type_error(op, ": ", name, " holds a ", Py_TYPE(object.ptr())->tp_name, "; expected an int");
  }
  int overflow = 0;
  const int64_t value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow || value < smallest || value > largest_size) {
    value_error(op, ": ", name, " is ", std::string(py::str(object)), "; expected ", smallest,
                " to ", largest_size);
  }
  return value;
}

double number_argument(const char* op, const char* name, py::handle object) {
  const double scalar = PyFloat_AsDouble(object.ptr());
  if (PyErr_Occurred()) {
    PyErr_Clear();
    value_error(op, ": ", name, " is too large for a float");
  }
  return scalar;
}

uint64_t seed_argument(const char* op, py::handle object) {
  if (!PyIndex_Check(object.ptr())) {
    type_error(op, ": seed is a ", Py_TYPE(object.ptr())->tp_name, "; expected an int");
  }
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  const uint64_t seed = PyLong_AsUnsignedLongLong(index.ptr());
  if (PyErr_Occurred()) {
    PyErr_Clear();
    value_error(op, ": seed is ", std::string(py::str(object)), "; expected 0 to 2**64 - 1");
  }
  return seed;
}

Pair pair(const char* op, const char* name, py::handle object, int64_t smallest) {
  if (PyIndex_Check(object.ptr())) {
    const int64_t value = integer(op, name, object, smallest);
    return {value, value};
  }
  if (!PySequence_Check(object.ptr()) || PyUnicode_Check(object.ptr()) ||
      PySequence_Size(object.ptr()) != 2) {
    PyErr_Clear();
    type_error(op, ": ", name, " is ", std::string(py::repr(object)),
               "; expected an int or a pair of ints");
  }
  const auto sequence = py::reinterpret_borrow<py::sequence>(object);
  return {integer(op, name, py::object(sequence[0]), smallest),
          integer(op, name, py::object(sequence[1]), smallest)};
}

size_t axis_argument(const char* op, int64_t axis, const Shape& x_shape) {
  const auto ndim = static_cast<int64_t>(x_shape.size());
  if (axis < -ndim || axis >= ndim) {
    throw py::index_error(text(op, ": axis is ", axis, "; expected ", -ndim, " to ", ndim - 1,
                               " for x of shape ", shape_text(x_shape)));
  }
  return static_cast<size_t>(axis < 0 ? axis + ndim : axis);
}

Shape shape_argument(const char* op, const char* name, py::handle object, size_t ndim) {
  if (!PySequence_Check(object.ptr()) ||
      static_cast<size_t>(PySequence_Size(object.ptr())) != ndim) {
    PyErr_Clear();
    type_error(op, ": ", name, " is ", std::string(py::repr(object)), "; expected ", ndim, " ints");
  }
  Shape shape;
  for (const py::handle item : py::reinterpret_borrow<py::sequence>(object))
    shape.push_back(integer(op, name, item, 0));
  return shape;
}

py::array empty(const char* op, Real type, const Shape& shape) {
  return empty_bytes(op, dtype_of(type), shape);
}

py::array empty_bytes(const char* op, const py::dtype& type, const Shape& shape) {
  return allocate_array(op, type, shape, c_order(shape.size()));
}

py::array empty_channels_last(const char* op, Real type, int64_t N, int64_t C, int64_t H,
                              int64_t W) {
  return empty_channels_last(op, dtype_of(type), N, C, H, W);
}

py::array empty_channels_last(const char* op, const py::dtype& type, int64_t N, int64_t C,
                              int64_t H, int64_t W) {
  return allocate_array(op, type, {N, C, H, W}, channels_last_order);
}

py::array empty_in_order(const char* op, Real type, const Shape& s) {
  return s.size() == 4 ? empty_channels_last(op, type, s[0], s[1], s[2], s[3]) : empty(op, type, s);
}

Around::Around(const Shape& shape, size_t axis) {
  const Shape order = shape.size() == 4 ? Shape{0, 2, 3, 1} : Shape{};
  bool before = true;
  for (size_t i = 0; i < shape.size(); ++i) {
    const size_t k = order.empty() ? i : static_cast<size_t>(order[i]);
    if (k == axis) {
      before = false;
    } else {
      (before ? outer : inner) *= shape[k];
    }
  }
}

py::array empty_like(const char* op, const py::array& a) {
  return allocate_array(op, a.dtype(), shape_of(a), axes_by_stride(a));
}

namespace {

// The addresses from the first byte of an array's elements to the one behind the last.
std::pair<uintptr_t, uintptr_t> extent(const py::array& a) {
  const auto start = reinterpret_cast<uintptr_t>(a.data());
  if (a.size() == 0) return {start, start};
  py::ssize_t low = 0, high = a.itemsize();
  for (py::ssize_t i = 0; i < a.ndim(); ++i) {
    const py::ssize_t span = (a.shape(i) - 1) * a.strides(i);
    (span < 0 ? low : high) += span;
  }
  return {start + static_cast<uintptr_t>(low), start + static_cast<uintptr_t>(high)};
}

// An array that a kernel writes may not be one that it reads.
void check_apart(const char* op, const char* name, const py::array& a, const char* other_name,
                 const py::array& other) {
  const auto [begin, end] = extent(a);
  const auto [other_begin, other_end] = extent(other);
  if (begin < other_end && other_begin < end) {
    value_error(op, ": ", name, " shares memory with ", other_name);
  }
}

}  // namespace

ParameterGradients::ParameterGradients(const char* op, const py::array& dy, const py::array& x,
                                       const Shape& weight_shape, int64_t bias_size, bool bias,
                                       const py::object& dw_object, const py::object& db_object,
                                       bool accumulate) {
  const Real type = real_type(op, "dy", dy);
  const auto gradient = [&](const char* name, const py::object& given, const Shape& shape) {
    if (given.is_none()) {
      if (accumulate) value_error(op, ": accumulate needs ", name, ", the array to add to");
      return empty(op, type, shape);
    }
    const py::array a = output_array(op, name, given, dy, shape);
    check_apart(op, name, a, "dy", dy);
    check_apart(op, name, a, "x", x);
    return a;
  };
  dw = gradient("dw", dw_object, weight_shape);
  if (bias) {
    db = gradient("db", db_object, {bias_size});
    check_apart(op, "db", db, "dw", dw);
  } else if (!db_object.is_none()) {
    value_error(op, ": db is given, but bias is False");
  }
}

py::tuple ParameterGradients::result(bool bias) const {
  return py::make_tuple(dw, bias ? py::object(db) : py::none());
}

}  // namespace fastnn
