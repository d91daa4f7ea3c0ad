// The channels of a pixel as vectors, for kernels that go from pixel to pixel.
#pragma once

#include "parallel.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Whether the pixels of C channels at y are better written with stream().
template <class T>
bool streams(const T* y, int64_t pixels, int64_t C) {
  return C % lanes<T> == 0 && outgrows_caches(y, pixels * C);
}

// Calls run(channels, c) for the C channels of a pixel, `block` vectors at a time where there are
// so many. The last vector may be a part of one; all of its lanes run nevertheless where `room`
// elements may be read and written from the pixel's first one on: what is stored too much belongs
// to the next pixels, which the same thread writes later.
template <class T, int block, class Run>
FASTNN_INLINE void for_each_vector(int64_t C, int64_t room, const Run& run) {
  int64_t c = 0;
  for (; c + block * lanes<T> <= C; c += block * lanes<T>) run(Vectors<block>{}, c);
  for (; c < C; c += lanes<T>) {
    if (c + lanes<T> <= max_of(C, room)) {
      run(Vectors<1>{}, c);
    } else {
      run(FirstLanes{C - c}, c);
    }
  }
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
