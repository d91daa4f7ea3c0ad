// fastnn.ops: trace.
#include "arrays.h"

namespace fastnn {
namespace {

// The list that takes the calls of this thread, owned; null while it does not trace. No py::object:
// its destructor would run at the end of the thread, without the GIL.
thread_local PyObject* calls = nullptr;
thread_local Work next;

py::tuple tuple_of(Pair p) { return py::make_tuple(p.h, p.w); }

py::object trace(const py::object& list) {
  if (!list.is_none() && !py::isinstance<py::list>(list)) {
    type_error("trace: calls is a ", Py_TYPE(list.ptr())->tp_name, "; expected a list or None");
  }
  const py::object before = calls ? py::reinterpret_steal<py::object>(calls) : py::none();
  calls = list.is_none() ? nullptr : list.inc_ref().ptr();
  next = {};
  return before;
}

}  // namespace

bool tracing() { return calls != nullptr; }

void describe(const Work& work) {
  if (tracing()) next = work;
}

void note_call(const char* op) {
  py::object window = py::none();
  if (const auto& w = next.window) {
    window = py::make_tuple(tuple_of(w->kernel), tuple_of(w->stride), tuple_of(w->padding),
                            tuple_of(w->dilation), w->transposed);
  }
  py::reinterpret_borrow<py::list>(calls).append(py::make_tuple(op, next.multiply_adds, window));
  next = {};
}

void bind_trace(py::module_& m) {
  m.def(
      "trace", &trace, py::arg("calls"),
      "From now on this thread computes nothing: its ops check their arguments and return zeros, "
      "whose memory is\n"
      "not touched, and append (op, multiply-adds, window) to the list `calls`; window is None, or "
      "the pairs kernel\n"
      "size, stride, padding and dilation, and whether it is transposed. trace(None) ends it. "
      "Returns the list that\n"
      "calls went to before, or None.");
}

}  // namespace fastnn
