// Random words for the elements of an array: element i has a word that depends on the seed and on i
// alone, so that backward draws those of forward again and none is stored. The words are those of
// Philox (philox.h) with the seed for its key. A block of 8 counters 8 b ... 8 b + 7 makes 32 words
// of 32 bits: 32 b + 16 u + 2 j + v has word 2 u + v of counter 8 b + j, whatever the vectors'
// width; or 16 words of 64 bits, each two of those one after the other, the lower half first.
// 60 operations for 4 words of 32 bits times the 64-bit lanes of a vector.
#pragma once

#include "parallel.h"
#include "philox.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t block_counters = 8;
template <class Word>
constexpr int64_t block_words = 16 * block_counters / static_cast<int64_t>(sizeof(Word));

// The words of one block.
template <class Word>
FASTNN_INLINE void philox_block(const PhiloxKeys& keys, int64_t block, Word* words) {
  for (int64_t first = 0; first < block_counters; first += lanes<double>) {
    PhiloxWords x{};
    x.word0 = reinterpret_cast<VecU64>(lane_numbers<double>() + (block * block_counters + first));
    x.word1 = x.word0 >> 32;
    x = philox(x, keys);
    const VecU64 low = 0xFFFFFFFF - VecU64{};
    const VecU64 pairs[] = {(x.word0 & low) | (x.word1 << 32), (x.word2 & low) | (x.word3 << 32)};
    for (int64_t u = 0; u < 2; ++u)
      std::memcpy(words + block_words<Word> / 2 * u + block_words<Word> / 16 * first, &pairs[u],
                  sizeof pairs[u]);
  }
}

// Calls f(at, words, count) for the blocks of n elements, `at` the first of `count` elements, which
// have the words at `words`; there is a whole block of them always. Parallel over blocks.
template <class Word, class F>
void parallel_blocks(const Exec& exec, uint64_t seed, int64_t n, const F& f) {
  parallel_elements(exec, n, [=](int64_t begin, int64_t end) {
    const PhiloxKeys keys(seed);
    Word words[block_words<Word>];
    for (int64_t at = begin; at < end; at += block_words<Word>) {
      philox_block(keys, at / block_words<Word>, words);
      f(at, words, min_of(block_words<Word>, end - at));
    }
    fence();  // f may stream
  });
}

// Calls f(i, words) for the vectors of n elements, i the first of them and its words at `words`,
// and f(i, words, rest) for the `rest` elements that are less than a vector. Parallel over blocks.
template <class T, class Word = uint32_t, class F>
void parallel_random(const Exec& exec, uint64_t seed, int64_t n, const F& f) {
  parallel_blocks<Word>(exec, seed, n,
                        [=](int64_t at, const Word* words, int64_t count) FASTNN_INLINE_LAMBDA {
                          int64_t i = 0;
                          for (; i + lanes<T> <= count; i += lanes<T>) f(at + i, words + i);
                          if (i < count) f(at + i, words + i, count - i);
                        });
}

// The upper 24 bits of words of 32 as fractions from [0, 1).
template <class T>
FASTNN_INLINE Vec<T> load_fractions(const uint32_t* words) {
  typedef uint32_t Words __attribute__((vector_size(4 * lanes<T>)));
  typedef int32_t Ints __attribute__((vector_size(4 * lanes<T>)));  // convert faster
  Words some;
  std::memcpy(&some, words, sizeof some);
  return __builtin_convertvector(reinterpret_cast<Ints>(some >> 8), Vec<T>) * T(0x1p-24);
}
// The upper 53 bits of words of 64.
template <class T>
FASTNN_INLINE Vec<T> load_fractions(const uint64_t* words) {
  BitVec<T> some;
  std::memcpy(&some, words, sizeof some);
  return __builtin_convertvector(reinterpret_cast<IntVec<T>>(some >> 11), Vec<T>) * T(0x1p-53);
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
