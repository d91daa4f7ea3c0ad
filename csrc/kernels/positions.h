// Which of its candidates a maximum is: what max pooling and maxout keep for backward, one byte or
// four of them each.
#pragma once

#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class V>
FASTNN_INLINE void store_positions(uint8_t* p, const V& v) {
  store_bytes(p, v);
}
template <class V>
FASTNN_INLINE void store_positions(int32_t* p, const V& v) {
  for (size_t i = 0; i < sizeof v / sizeof v[0]; ++i) p[i] = static_cast<int32_t>(v[i]);
}
template <class Position, class V, int n>
FASTNN_INLINE void store_positions(Position* p, const V& v, Vectors<n>) {
  store_positions(p, v);
}
template <class Position, class V>
FASTNN_INLINE void store_positions(Position* p, const V& v, FirstLanes first) {
  Position position[sizeof v / sizeof v[0]];
  store_positions(position, v);
  for (int64_t i = 0; i < first.n; ++i) p[i] = position[i];
}

template <class T>
FASTNN_INLINE IntVec<T> load_positions(const uint8_t* p) {
  return load_bytes<T>(p);
}
template <class T>
FASTNN_INLINE IntVec<T> load_positions(const int32_t* p) {
  typedef int32_t Positions __attribute__((vector_size(4 * lanes<T>)));
  Positions positions;
  std::memcpy(&positions, p, sizeof positions);
  return __builtin_convertvector(positions, IntVec<T>);
}
template <class T, class Position, int n>
FASTNN_INLINE IntVec<T> load_positions(const Position* p, Vectors<n>) {
  return load_positions<T>(p);
}
template <class T, class Position>
FASTNN_INLINE IntVec<T> load_positions(const Position* p, FirstLanes first) {
  Position position[lanes<T>] = {};
  for (int64_t i = 0; i < first.n; ++i) position[i] = p[i];
  return load_positions<T>(position);
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
