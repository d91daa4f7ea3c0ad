// y[i] = word[i] < p 2^32 ? 0 x[i] + dropped : scale x[i] + kept, with the random words of
// element_words.h. Dense arrays of n elements; parallel over blocks of elements. Reads and writes
// one array.
#include "element_words.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
FASTNN_INLINE BitVec<T> load_words(const uint32_t* words) {
  typedef uint32_t Words __attribute__((vector_size(4 * lanes<T>)));
  Words some;
  std::memcpy(&some, words, sizeof some);
  return __builtin_convertvector(some, BitVec<T>);
}

template <class T>
void dropout(const Exec& exec, const Dropout& d, int64_t n, const T* x, T* y) {
  using V = Vec<T>;
  const double least = d.p * 0x1p32;
  const bool all = !(least < 0x1p32);
  const auto threshold = static_cast<uint32_t>(all ? 0 : least);
  const T scale = all ? T(0) : static_cast<T>(d.scale);
  const T dropped = static_cast<T>(d.dropped), kept = all ? dropped : static_cast<T>(d.kept);
  const bool streaming = x != y && outgrows_caches(y, n);
  if (dropped == 0 && kept == 0) {
    return parallel_random<T>(
        exec, d.seed, n, [=](int64_t i, const uint32_t* words, auto... rest) FASTNN_INLINE_LAMBDA {
          const auto drops = load_words<T>(words) < threshold;
          put(streaming, y + i, load(x + i, rest...) * (drops ? V{} : splat(scale)), rest...);
        });
  }
  parallel_random<T>(
      exec, d.seed, n, [=](int64_t i, const uint32_t* words, auto... rest) FASTNN_INLINE_LAMBDA {
        const auto drops = load_words<T>(words) < threshold;
        const V scaled = load(x + i, rest...) * (drops ? V{} : splat(scale));
        put(streaming, y + i, scaled + (drops ? splat(dropped) : splat(kept)), rest...);
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
