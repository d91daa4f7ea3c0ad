// fastnn.ops: random_uniform, random_normal.
#include <cmath>
#include <limits>

#include "arrays.h"

namespace fastnn {
namespace {

void uniform(py::handle y_object, double low, double high, py::handle seed) {
  const char* const op = "random_uniform";
  py::array y = updated_array(op, "y", y_object);
  by_type(real_type(op, "y", y), [&]<class T>() {
    // What is finite, but not as T, would become NaN.
    const double largest = std::numeric_limits<T>::max();
    if (!(std::abs(low) <= largest && std::abs(high) <= largest && low <= high)) {
      value_error(op, ": low is ", low, ", high ", high, "; expected numbers from -", largest,
                  " to ", largest, " with low <= high");
    }
    if (!(high - low <= largest)) {
      value_error(op, ": high - low is ", high - low, "; expected at most ", largest);
    }
    const UniformNumbers numbers{low, high, seed_argument(op, seed)};
    const auto kernel = supported(op, ops<T>().random_uniform);
    T* to = mutable_data<T>(y);
    run(op, y, [&](const Exec& exec) { kernel(exec, numbers, y.size(), to); });
  });
}

void normal(py::handle y_object, double mean, double std, py::handle seed) {
  const char* const op = "random_normal";
  py::array y = updated_array(op, "y", y_object);
  if (!(std >= 0)) value_error(op, ": std is ", std, "; expected at least 0");
  const NormalNumbers numbers{mean, std, seed_argument(op, seed)};
  by_type(real_type(op, "y", y), [&]<class T>() {
    const auto kernel = supported(op, ops<T>().random_normal);
    T* to = mutable_data<T>(y);
    run(op, y, [&](const Exec& exec) { kernel(exec, numbers, y.size(), to); });
  });
}

}  // namespace

void bind_random(py::module_& m) {
  m.def("random_uniform", &uniform, py::arg("y"), py::arg("low"), py::arg("high"), py::arg("seed"),
        "Overwrites y, a dense array, with numbers drawn uniformly from [low, high). The seed (64 "
        "bits) and an element's\nplace in memory decide.");
  m.def("random_normal", &normal, py::arg("y"), py::arg("mean"), py::arg("std"), py::arg("seed"),
        "Overwrites y, a dense array, with numbers of the normal distribution. The seed (64 bits) "
        "and an element's place\nin memory decide.");
}

}  // namespace fastnn
