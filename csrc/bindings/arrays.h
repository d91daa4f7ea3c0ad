// What every binding uses: arrays in (NumPy, buffers, DLPack; any strides), arrays out (from our
// allocator), checks whose messages name the op, the argument, what came and what was expected, and
// run(), which calls a kernel.
//
// A binding reads: check, infer the output's shape from shapes alone, allocate, run. A thread that
// traces does all of it but the last: run() only notes the call.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "../fastnn.h"
#include "../memory.h"

namespace fastnn {

namespace py = pybind11;
using Shape = std::vector<int64_t>;

// Joins its arguments into a message.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}
inline Shape shape_of(const py::array& a) { return Shape(a.shape(), a.shape() + a.ndim()); }
std::string shape_text(const Shape& shape);  // "(2, 3)"
inline std::string shape_text(const py::array& a) { return shape_text(shape_of(a)); }

template <class... Parts>
[[noreturn]] void value_error(const Parts&... parts) {
  throw py::value_error(text(parts...));
}
template <class... Parts>
[[noreturn]] void type_error(const Parts&... parts) {
  throw py::type_error(text(parts...));
}
template <class... Parts>
[[noreturn]] void memory_error(const Parts&... parts) {
  PyErr_SetString(PyExc_MemoryError, text(parts...).c_str());
  throw py::error_already_set();
}

// ---- arrays in ----------------------------------------------------------------------------------

// The array inside any object as a NumPy array in native byte order, without a copy if possible.
py::array as_array(const char* op, const char* name, py::handle object);

enum class Real { f32, f64 };
// The element type of a floating-point argument; TypeError for any other.
Real real_type(const char* op, const char* name, const py::array& a);

// A floating-point array argument of `ndim` dimensions (-1: any number).
py::array real_array(const char* op, const char* name, py::handle object, int ndim = -1);
// The same for a further argument, which must have the element type of the first.
py::array real_array_like(const char* op, const char* name, py::handle object,
                          const py::array& first, const char* first_name, int ndim = -1);
// An integer array argument as dense int64.
py::array_t<int64_t> int64_array(const char* op, const char* name, py::handle object, int ndim);

// Writes x to y, which has its shape and element type and shares no memory with it; both may have
// any strides.
void copy_elements(const char* op, const py::array& x, py::array& y);
// The same values with C-contiguous memory: `a` itself where it is so already.
py::array contiguous(const py::array& a);
// The same values of a 4-dimensional array with channels-last memory: `a` itself where that is so.
py::array channels_last(const py::array& a);
bool is_channels_last(const py::array& a);
// An array (N, C) or (N, C, H, W) with the channels adjacent in memory, and how many rows of
// channels it has.
py::array channel_rows(const char* op, const char* name, const py::array& a);
int64_t count_channel_rows(const py::array& a);
// The same values in the order of ops along any axis: images channels-last, others C-contiguous.
py::array in_order(const py::array& a);
// Whether some order of its axes is C-contiguous.
bool is_dense(const py::array& a);
// Whether the channels of images (N, C, H, W) are what lies closest together in memory.
bool channels_inside(const py::array& a);
// A dense array as it is; any other made channels-last where its channels lie inside, or else
// C-contiguous: for element-wise ops.
py::array dense(const py::array& a);
// `a` with the memory layout of the dense array `like`, which has the same shape.
py::array with_layout_of(const py::array& like, const py::array& a);

// An array that a kernel writes in place: of this shape, C-contiguous, writeable and of the element
// type of `first`.
py::array output_array(const char* op, const char* name, py::handle object, const py::array& first,
                       const Shape& shape);

// An array of floats or doubles that a kernel updates in place, whatever the order of its axes in
// memory, which must be dense.
py::array updated_array(const char* op, const std::string& name, py::handle object);

void check_shape(const char* op, const char* name, const py::array& a, const Shape& expected);

template <class T>
const T* data(const py::array& a) {
  return static_cast<const T*>(a.data());
}
template <class T>
T* mutable_data(py::array& a) {
  return static_cast<T*>(a.mutable_data());
}
template <class T>
const T* data_or_null(const std::optional<py::array>& a) {
  return a ? data<T>(*a) : nullptr;
}
template <class T>
T* data_or_null(std::optional<py::array>& a) {
  return a ? mutable_data<T>(*a) : nullptr;
}

// An int from `smallest` to largest_size.
int64_t integer(const char* op, const char* name, py::handle object, int64_t smallest);
// A Python number as a double.
double number_argument(const char* op, const char* name, py::handle object);
// A seed of 64 bits.
uint64_t seed_argument(const char* op, py::handle object);
// An int, or a pair of them for height and width; each at least `smallest`.
struct Pair {
  int64_t h, w;
};
Pair pair(const char* op, const char* name, py::handle object, int64_t smallest);
// An axis of x, which has this shape; negative ones count from the end.
size_t axis_argument(const char* op, int64_t axis, const Shape& x_shape);
// A shape argument: a sequence of `ndim` non-negative ints.
Shape shape_argument(const char* op, const char* name, py::handle object, size_t ndim);

// (size + padding - window) / stride + 1 and the like must not overflow: sizes and window
// parameters stay below this.
constexpr int64_t largest_size = int64_t{1} << 40;

// ---- arrays out ---------------------------------------------------------------------------------

// New arrays from our allocator, contents undefined. ValueError (naming op) where the shape is too
// large for any memory.
py::array empty(const char* op, Real type, const Shape& shape);
py::array empty_bytes(const char* op, const py::dtype& type, const Shape& shape);
py::array empty_channels_last(const char* op, Real type, int64_t N, int64_t C, int64_t H,
                              int64_t W);
py::array empty_channels_last(const char* op, const py::dtype& type, int64_t N, int64_t C,
                              int64_t H, int64_t W);
// With the memory of in_order().
py::array empty_in_order(const char* op, Real type, const Shape& shape);
// How many elements an array in_order() has before an axis, and within one place along it.
struct Around {
  Around(const Shape& shape, size_t axis);
  int64_t outer = 1, inner = 1;
};
// Of the shape, element type and memory layout of the dense array `a`.
py::array empty_like(const char* op, const py::array& a);

// The parameter gradients that a backward_weight of dy and x returns: new arrays, or the caller's
// dw and db (written in place; added to if accumulate, which needs them), which must not share
// memory with dy, x or each other.
struct ParameterGradients {
  ParameterGradients(const char* op, const py::array& dy, const py::array& x,
                     const Shape& weight_shape, int64_t bias_size, bool bias,
                     const py::object& dw_object, const py::object& db_object, bool accumulate);
  py::tuple result(bool bias) const;
  py::array dw, db;
};

// ---- calling kernels ----------------------------------------------------------------------------

// Calls f.operator()<float>() or f.operator()<double>().
template <class F>
decltype(auto) by_type(Real type, F&& f) {
  return type == Real::f32 ? f.template operator()<float>() : f.template operator()<double>();
}

// An entry of the table in use; NotImplementedError where it is null.
template <class Kernel>
Kernel* supported(const char* op, Kernel* kernel) {
  if (!kernel) {
    PyErr_Format(PyExc_NotImplementedError, "%s: not supported on %s", op, isa_name(current_isa()));
    throw py::error_already_set();
  }
  return kernel;
}

// FASTNN_VERBOSE: one line an op on standard error.
extern bool verbose;
class VerboseLine {
 public:
  VerboseLine(const char* op, const std::string& shape, const char* algorithm);
  ~VerboseLine();
  VerboseLine(const VerboseLine&) = delete;
  VerboseLine& operator=(const VerboseLine&) = delete;

 private:
  const char* op_;
  std::string shape_;
  const char* algorithm_;
  double start_;
};

// How the windows of an op lie over its input: element i of the output sees those elements of the
// input from i * stride - padding on that are a multiple of dilation further, `kernel` of them.
// Transposed, it is the element of the input that sees those of the output.
struct WindowView {
  Pair kernel, stride, padding, dilation;
  bool transposed = false;
};

// What the calls of a thread that traces are noted with, beside the name of the op.
struct Work {
  int64_t multiply_adds = 0;
  std::optional<WindowView> window{};
};

// Whether ops of this thread are traced (see fastnn.ops.trace): nothing is computed, and new arrays
// are zeros whose memory nobody has touched.
bool tracing();
// What the next call of run() would do; for ops with products of arrays or with windows.
void describe(const Work& work);
void note_call(const char* op);

// Runs kernel(exec) without the GIL, on the process's number of threads and with
// scratch_bytes(threads) bytes of scratch, both of one table: another thread may choose another one
// meanwhile. `what` is the array whose shape FASTNN_VERBOSE prints, `algorithm` what else it prints
// of an op that has several.
template <class ScratchBytes, class Kernel>
void run(const char* op, const py::array& what, const ScratchBytes& scratch_bytes,
         const Kernel& kernel, const char* algorithm = nullptr) {
  if (tracing()) {
    note_call(op);
    return;
  }
  std::optional<VerboseLine> line;
  if (verbose) line.emplace(op, shape_text(what), algorithm);
  const int threads = num_threads();
  const size_t bytes = scratch_bytes(threads);
  const Scratch scratch(bytes);
  if (bytes && !scratch.data()) memory_error(op, ": no memory for ", bytes, " bytes of scratch");
  const py::gil_scoped_release release;
  kernel(Exec{threads, scratch.data()});
}
template <class Kernel>
void run(const char* op, const py::array& what, const Kernel& kernel) {
  run(op, what, [](int) { return size_t{0}; }, kernel);
}

// ---- one function a stem ------------------------------------------------------------------------

void bind_matmul(py::module_&);
void bind_conv2d(py::module_&);
void bind_linear(py::module_&);
void bind_pool2d(py::module_&);
void bind_max_unpool2d(py::module_&);
void bind_pad2d(py::module_&);
void bind_upsample2d(py::module_&);
void bind_batchnorm(py::module_&);
void bind_layernorm(py::module_&);
void bind_groupnorm(py::module_&);
void bind_local_response_norm(py::module_&);
void bind_arithmetic(py::module_&);
void bind_layout(py::module_&);
void bind_sum(py::module_&);
void bind_activation(py::module_&);
void bind_prelu(py::module_&);
void bind_rrelu(py::module_&);
void bind_maxout(py::module_&);
void bind_glu(py::module_&);
void bind_dropout(py::module_&);
void bind_random(py::module_&);
void bind_embedding(py::module_&);
void bind_augment(py::module_&);
void bind_softmax(py::module_&);
void bind_loss(py::module_&);
void bind_point_loss(py::module_&);
void bind_lstm(py::module_&);
void bind_gru(py::module_&);
void bind_rnn(py::module_&);
void bind_optimizer(py::module_&);
void bind_trace(py::module_&);

}  // namespace fastnn
