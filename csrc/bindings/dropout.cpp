// fastnn.ops: dropout.
#include "arrays.h"

namespace fastnn {
namespace {

py::array dropout(py::handle x_object, double p, py::handle seed, std::optional<double> scale,
                  double dropped, double kept, bool channels_last_order) {
  const char* const op = "dropout";
  py::array x = real_array(op, "x", x_object, channels_last_order ? 4 : -1);
  if (!(p >= 0 && p <= 1)) value_error(op, ": p is ", p, "; expected a probability from 0 to 1");
  const Dropout d{p, seed_argument(op, seed), scale.value_or(1 / (1 - p)), dropped, kept};

  x = channels_last_order ? channels_last(x) : contiguous(x);
  py::array y = empty_like(op, x);
  by_type(real_type(op, "x", x), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().dropout);
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    run(op, x, [&](const Exec& exec) { kernel(exec, d, x.size(), from, to); });
  });
  return y;
}

}  // namespace

void bind_dropout(py::module_& m) {
  m.def("dropout", &dropout, py::arg("x"), py::arg("p"), py::arg("seed"), py::kw_only(),
        py::arg("scale") = py::none(), py::arg("dropped") = 0.0, py::arg("kept") = 0.0,
        py::arg("channels_last") = false,
        "y: 0 * x + dropped with probability p, and scale * x + kept otherwise; scale None is 1 / "
        "(1 - p). The seed (64\nbits) and an element's place in C order, or in that of "
        "channels-last memory, decide: called on dy with the same seed\nand scale alone it is "
        "backward.");
}

}  // namespace fastnn
