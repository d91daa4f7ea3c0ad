// Random numbers from the words of element_words.h, of 32 bits for floats and of 64 for doubles.
// Uniform: y[i] = low + (high - low) u[i], u[i] the upper 24 or 53 bits of the word as a fraction.
// Normal: y[i] = mean + std z[i], z[i] = r cos(a) and z[j] = r sin(a) with r = sqrt(-2 log(v))
// (Box, Muller: A note on the generation of random normal deviates, 1958), where v, uniform in (0,
// 1], is made from word i, and the angle a from word j, half a block further. Dense arrays of n
// elements; parallel over blocks. 2 and about 25 operations an element beside those of its word;
// writes one array.
#include "element_words.h"
#include "log.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// sin(t pi / 4) = t p(t^2) and cos(t pi / 4) = q(t^2) for |t| <= 1, interpolated in Chebyshev's
// points.
template <class T>
struct RandomConstants;
template <>
struct RandomConstants<float> {
  using Word = uint32_t;
  static constexpr float unit = 0x1p-32f;  // the last bit of a word that is a fraction
  static constexpr float p[] = {0.785398161f, -0.0807454347f, 0.0024900068f, -3.59542907e-5f};
  static constexpr float q[] = {1.0f, -0.308425135f, 0.0158543252f, -0.000325938586f,
                                3.52979713e-6f};
};
template <>
struct RandomConstants<double> {
  using Word = uint64_t;
  static constexpr double unit = 0x1p-64;
  static constexpr double p[] = {0.785398163397448307,   -0.0807455121882805395,
                                 0.00249039457018884385, -3.65762041589138749e-5,
                                 3.13361622543341622e-7, -1.75715007469839341e-9,
                                 6.87736057316632563e-12};
  static constexpr double q[] = {1.0,
                                 -0.308425137534042453,
                                 0.0158543442438154193,
                                 -0.000325991886926737642,
                                 3.59086044602795203e-6,
                                 -2.46113640336525961e-8,
                                 1.15005120282173413e-10,
                                 -3.85818900734166773e-13};
};

template <class T, int terms>
FASTNN_INLINE Vec<T> polynomial(const T (&coefficients)[terms], Vec<T> z) {
  Vec<T> sum = splat(coefficients[terms - 1]);
  for (int i = terms - 2; i >= 0; --i) sum = fma(sum, z, splat(coefficients[i]));
  return sum;
}

template <class T>
FASTNN_INLINE BitVec<T> load_bits(const typename RandomConstants<T>::Word* words) {
  BitVec<T> bits;
  std::memcpy(&bits, words, sizeof bits);
  return bits;
}

// As signed integers, rounded.
template <class T>
FASTNN_INLINE Vec<T> real(BitVec<T> bits) {
  return __builtin_convertvector(reinterpret_cast<IntVec<T>>(bits), Vec<T>);
}

float next_below(float x, float least) { return __builtin_nextafterf(x, least); }
double next_below(double x, double least) { return __builtin_nextafter(x, least); }

template <class T>
void uniform(const Exec& exec, const UniformNumbers& d, int64_t n, T* y) {
  using Word = typename RandomConstants<T>::Word;
  const T low = static_cast<T>(d.low), span = static_cast<T>(d.high - d.low);
  const Vec<T> most = splat(next_below(static_cast<T>(d.high), low));  // the sum may round to high
  parallel_random<T, Word>(
      exec, d.seed, n, [=](int64_t i, const Word* words, auto... rest) FASTNN_INLINE_LAMBDA {
        store(y + i, min(low + span * load_fractions<T>(words), most), rest...);
      });
}

template <class T>
void normal(const Exec& exec, const NormalNumbers& d, int64_t n, T* y) {
  using K = RandomConstants<T>;
  using Word = typename K::Word;
  constexpr int64_t half = block_words<Word> / 2;
  const Vec<T> mean = splat(static_cast<T>(d.mean)), std = splat(static_cast<T>(d.std));
  parallel_blocks<Word>(
      exec, d.seed, n, [=](int64_t at, const Word* words, int64_t count) FASTNN_INLINE_LAMBDA {
        T some[2 * half];
        T* to = count == 2 * half ? y + at : some;
        for (int64_t i = 0; i < half; i += lanes<T>) {
          // In the middle of the interval that 31 or 63 bits leave: not 0, and far into the tails.
          const Vec<T> v =
              fma(real<T>(load_bits<T>(words + i) >> 1), splat(2 * K::unit), splat(K::unit));
          const Vec<T> r = sqrt(-2 * log_of_normal<T>(v)) * std;
          // The last two bits turn and mirror the quadrant around t = 0.
          const BitVec<T> angle = load_bits<T>(words + half + i);
          const Vec<T> t = real<T>(angle) * (2 * K::unit), z = t * t;
          const BitVec<T> sign = angle << (8 * sizeof(T) - 1);
          const Vec<T> sine = t * polynomial(K::p, z);
          const Vec<T> cosine =
              reinterpret_cast<Vec<T>>(reinterpret_cast<BitVec<T>>(polynomial(K::q, z)) ^ sign);
          const auto swapped = (angle & 2) != 0;
          store(to + i, fma(r, swapped ? sine : cosine, mean));
          store(to + half + i, fma(r, swapped ? cosine : sine, mean));
        }
        if (to == some) std::memcpy(y + at, some, static_cast<size_t>(count) * sizeof(T));
      });
}

template <class T>
void fill(Ops<T>& t) {
  t.random_uniform = uniform<T>;
  t.random_normal = normal<T>;
}

}  // namespace

void fill_random(Ops<float>& t) { fill(t); }
void fill_random(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
