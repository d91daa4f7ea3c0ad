// What becomes of sums before they are written (Epilogue in fastnn.h), vector by vector.
#pragma once

#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// The epilogue of the columns from k and the elements from `at` on.
template <class T>
Epilogue<T> part_of(const Epilogue<T>& e, int64_t k, int64_t at) {
  return {e.scale ? e.scale + k : nullptr, e.bias ? e.bias + k : nullptr,
          e.residual ? e.residual + at : nullptr, e.relu};
}

// The epilogue of a vector of columns from k on; n says how many, where they are not whole.
template <class T>
struct EpilogueColumns {
  Vec<T> scale, bias;
  const T* residual;
  bool relu;

  template <class... Part>
  FASTNN_INLINE EpilogueColumns(const Epilogue<T>& e, int64_t k, Part... n)
      : scale(splat(T(1))), bias{}, residual(e.residual), relu(e.relu) {
    if (e.scale) scale = load(e.scale + k, n...);
    if (e.bias) bias = load(e.bias + k, n...);
  }
  // Of the sums v at element `at`.
  template <class... Part>
  FASTNN_INLINE Vec<T> operator()(Vec<T> v, int64_t at, Part... n) const {
    v = fma(v, scale, bias);
    if (residual) v += load(residual + at, n...);
    if (relu) v = v <= Vec<T>{} ? Vec<T>{} : v;
    return v;
  }
};

}  // namespace
}  // namespace fastnn::FASTNN_ISA
