// Random words for the elements of an array: element i has a word of 32 bits that depends on the
// seed and on i alone, so that backward draws those of forward again and none is stored. The words
// are those of Philox (philox.h) with the seed for its key. A block of 8 counters 8 b ... 8 b + 7
// makes the words of 32 elements: 32 b + 16 u + 2 j + v has word 2 u + v of counter 8 b + j,
// whatever the vectors' width. 60 operations for 4 words times the 64-bit lanes of a vector.
#pragma once

#include "parallel.h"
#include "philox.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t block_counters = 8, block_words = 4 * block_counters;

// The words of one block.
FASTNN_INLINE void philox_block(uint64_t seed, uint64_t block, uint32_t* words) {
  for (int64_t first = 0; first < block_counters; first += lanes<double>) {
    PhiloxWords x{};
    for (int64_t j = 0; j < lanes<double>; ++j)
      x.word0[j] = block * block_counters + static_cast<uint64_t>(first + j);
    x.word1 = x.word0 >> 32;
    x = philox(x, seed);
    const VecU64 low = 0xFFFFFFFF - VecU64{};
    const VecU64 pairs[] = {(x.word0 & low) | (x.word1 << 32), (x.word2 & low) | (x.word3 << 32)};
    for (int64_t u = 0; u < 2; ++u)
      std::memcpy(words + 16 * u + 2 * first, &pairs[u], sizeof pairs[u]);
  }
}

// Calls f(i, words) for the vectors of n elements, i the first of them and its words at `words`,
// and f(i, words, rest) for the `rest` elements that are less than a vector. Parallel over blocks.
template <class T, class F>
void parallel_random(const Exec& exec, uint64_t seed, int64_t n, const F& f) {
  parallel_elements(exec, n, [=](int64_t begin, int64_t end) {
    uint32_t words[block_words];
    for (int64_t at = begin; at < end; at += block_words) {
      philox_block(seed, static_cast<uint64_t>(at / block_words), words);
      const int64_t last = min_of(block_words, end - at);
      int64_t i = 0;
      for (; i + lanes<T> <= last; i += lanes<T>) f(at + i, words + i);
      if (i < last) f(at + i, words + i, last - i);
    }
  });
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
