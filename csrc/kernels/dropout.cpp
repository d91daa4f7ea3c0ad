// y[i] = x[i] * (word[i] < p 2^32 ? 0 : 1 / (1 - p)): element i has a word of 32 random bits that
// depends on the seed and on i alone, so that backward draws the mask of forward again and none is
// stored. The words are those of Philox (philox.h) with the seed for its key. A block of 8 counters
// 8 b ... 8 b + 7 makes the words of 32 elements: 32 b + 16 u + 2 j + v has word 2 u + v of counter
// 8 b + j, whatever the vectors' width. Dense arrays of n elements; parallel over blocks of
// elements. Reads and writes one array; 60 operations for 4 words times the 64-bit lanes of a
// vector.
#include "parallel.h"
#include "philox.h"
#include "table.h"
#include "vec.h"

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

template <class T>
FASTNN_INLINE Vec<T> factors(const uint32_t* words, uint32_t threshold, T scale) {
  typedef uint32_t Words __attribute__((vector_size(4 * lanes<T>)));
  Words some;
  std::memcpy(&some, words, sizeof some);
  const BitVec<T> word = __builtin_convertvector(some, BitVec<T>);
  return word < threshold ? Vec<T>{} : splat(scale);
}

template <class T>
void dropout(const Exec& exec, const Dropout& d, int64_t n, const T* x, T* y) {
  const double least = d.p * 0x1p32;
  const auto threshold = static_cast<uint32_t>(least < 0x1p32 ? least : 0);
  const T scale = d.p < 1 ? static_cast<T>(1 / (1 - d.p)) : T{0};
  parallel_elements(exec, n, [=](int64_t begin, int64_t end) {
    uint32_t words[block_words];
    for (int64_t at = begin; at < end; at += block_words) {
      philox_block(d.seed, static_cast<uint64_t>(at / block_words), words);
      const int64_t last = min_of(block_words, end - at);
      int64_t i = 0;
      for (; i + lanes<T> <= last; i += lanes<T>)
        store(y + at + i, load(x + at + i) * factors(words + i, threshold, scale));
      if (i < last)
        store(y + at + i, load(x + at + i, last - i) * factors(words + i, threshold, scale),
              last - i);
    }
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.dropout = dropout<T>;
}

}  // namespace

void fill_dropout(Ops<float>& t) { fill(t); }
void fill_dropout(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
