// y[i] = v[i] <= 0 ? slope[i] x[i] : x[i] with slope[i] = lower + (upper - lower) u[i], u[i] the
// upper 24 bits of the random words of element_words.h as a fraction. Dense arrays of n elements;
// parallel over blocks of elements. Reads two arrays (one where they are the same) and writes one.
#include "element_words.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
void rrelu(const Exec& exec, const RandomSlopes& slopes, int64_t n, const T* x, const T* v, T* y) {
  const T lower = static_cast<T>(slopes.lower), span = static_cast<T>(slopes.upper - slopes.lower);
  parallel_random<T>(exec, slopes.seed, n,
                     [=](int64_t i, const uint32_t* words, auto... rest) FASTNN_INLINE_LAMBDA {
                       const Vec<T> value = load(x + i, rest...),
                                    slope = lower + span * load_fractions<T>(words);
                       store(y + i, load(v + i, rest...) <= T(0) ? slope * value : value, rest...);
                     });
}

template <class T>
void fill(Ops<T>& t) {
  t.rrelu = rrelu<T>;
}

}  // namespace

void fill_rrelu(Ops<float>& t) { fill(t); }
void fill_rrelu(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
