// The counter-based random numbers Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random
// numbers: as easy as 1, 2, 3; 2011): four words of 32 random bits from a counter of four words and
// a key of two.
#pragma once

#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Of as many counters as there are lanes of 64 bits. A lane holds a word in its low half; what
// stands in the high half does not reach any low one.
struct PhiloxWords {
  VecU64 word0, word1, word2, word3;
};

// The keys of the rounds, to be made outside of a loop.
struct PhiloxKeys {
  explicit FASTNN_INLINE PhiloxKeys(uint64_t key) {
    uint64_t key0 = key, key1 = key >> 32;
    for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9, key1 += 0xBB67AE85) {
      word0[round] = key0 - VecU64{};
      word1[round] = key1 - VecU64{};
    }
  }
  VecU64 word0[10], word1[10];
};

FASTNN_INLINE PhiloxWords philox(PhiloxWords x, const PhiloxKeys& keys) {
  for (int round = 0; round < 10; ++round) {
    const VecU64 product0 = multiply_low_halves(x.word0, 0xD2511F53 - VecU64{});
    const VecU64 product1 = multiply_low_halves(x.word2, 0xCD9E8D57 - VecU64{});
    x.word0 = (product1 >> 32) ^ x.word1 ^ keys.word0[round];
    x.word1 = product1;
    x.word2 = (product0 >> 32) ^ x.word3 ^ keys.word1[round];
    x.word3 = product0;
  }
  return x;
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
