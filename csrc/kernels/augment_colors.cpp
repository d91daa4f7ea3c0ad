// Brightness, contrast, saturation and hue of each image changed by factors of its own, in an order
// of its own; the formulas stand in fastnn.h. Images dense with 3 channels. Each is taken apart
// into planes of T in scratch, where the changes work on whole vectors, and put together again.
// Parallel over images; 5 (brightness) to 60 (hue) operations for a pixel and a change, reads and
// writes each element once from memory.
#include "elementwise.h"
#include "parallel.h"
#include "table.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

// Three planes of n elements, rounded up to whole vectors. What stands behind n starts as 0, and
// the changes that sum (contrast, once an image) come upon zeros there still.
template <class T>
struct Planes {
  T *r, *g, *b;
  int64_t n;
};
template <class T>
constexpr int64_t plane_size(const ImageShape& s) {
  return round_up(s.H * s.W, lanes<T>);
}

template <class T>
FASTNN_INLINE Vec<T> grey(Vec<T> r, Vec<T> g, Vec<T> b) {
  return fma(r, splat(T(0.2989)), fma(g, splat(T(0.587)), b * T(0.114)));
}
template <class T>
FASTNN_INLINE Vec<T> cut(Vec<T> v, T bound) {
  return min(max(v, Vec<T>{}), splat(bound));
}

// (r, g, b) = f(r, g, b), a vector at a time.
template <class T, class F>
FASTNN_INLINE void change(const Planes<T>& p, const F& f) {
  for (int64_t i = 0; i < p.n; i += lanes<T>) {
    Vec<T> r = load(p.r + i), g = load(p.g + i), b = load(p.b + i);
    f(r, g, b);
    store(p.r + i, r);
    store(p.g + i, g);
    store(p.b + i, b);
  }
}

template <class T>
void brightness(const Planes<T>& p, T factor, T bound) {
  change(p, [=](Vec<T>& r, Vec<T>& g, Vec<T>& b) FASTNN_INLINE_LAMBDA {
    for (Vec<T>* v : {&r, &g, &b}) *v = cut(*v * factor, bound);
  });
}

template <class T>
void contrast(const Planes<T>& p, int64_t pixels, T factor, T bound) {
  using V = Vec<T>;
  const V sum = fold(
      p.n, V{}, T(0), [](V s, V r, V g, V b) { return s + grey<T>(r, g, b); },
      [](V a, V b) { return a + b; }, p.r, p.g, p.b);
  const T rest = (1 - factor) * (reduce_add<T>(sum) / static_cast<T>(pixels));
  change(p, [=](V& r, V& g, V& b) FASTNN_INLINE_LAMBDA {
    for (V* v : {&r, &g, &b}) *v = cut(fma(*v, splat(factor), splat(rest)), bound);
  });
}

template <class T>
void saturation(const Planes<T>& p, T factor, T bound) {
  change(p, [=](Vec<T>& r, Vec<T>& g, Vec<T>& b) FASTNN_INLINE_LAMBDA {
    const Vec<T> rest = (1 - factor) * grey<T>(r, g, b);
    for (Vec<T>* v : {&r, &g, &b}) *v = cut(fma(*v, splat(factor), rest), bound);
  });
}

// The hue is the place on a circle of 6: red 0, green 2, blue 4. Turned, channel k is value -
// chroma * m((k + hue) mod 6) with m(t) = t, 1 or 4 - t, at least 0, and k = 5, 3, 1.
template <class T>
void hue(const Planes<T>& p, T turn) {
  using V = Vec<T>;
  change(p, [=](V& r, V& g, V& b) FASTNN_INLINE_LAMBDA {
    const V value = max(max(r, g), b), chroma = value - min(min(r, g), b);
    const V by = 1 / (chroma > 0 ? chroma : splat(T(1)));
    const V place = value == r ? (g - b) * by : value == g ? 2 + (b - r) * by : 4 + (r - g) * by;
    const V turned = place + 6 * turn;  // from -4 to 8
    const auto channel = [&](T k) {
      V t = turned + k;  // from -3 to 13
      t = t < 0 ? t + 6 : t;
      t = t >= 6 ? t - 6 : t;
      t = t >= 6 ? t - 6 : t;
      return value - chroma * max(min(min(t, 4 - t), splat(T(1))), V{});
    };
    r = channel(5);
    g = channel(3);
    b = channel(1);
  });
}

template <class T, class E>
FASTNN_INLINE E rounded(T value) {
  if constexpr (sizeof(E) == 1) {
    return static_cast<E>(value + T(0.5));
  } else {
    return value;
  }
}

template <class T, class E>
void colors_of(const Exec& exec, const ImageShape& s, const T (*factors)[color_changes],
               const ColorChange (*order)[color_changes], const E* x, E* y) {
  const int64_t pixels = s.H * s.W, size = plane_size<T>(s);
  const T bound = sizeof(E) == 1 ? T(255) : T(1);
  parallel_for(exec, s.N, ceil_div(2048, pixels + 1), [&](int64_t begin, int64_t end, int thread) {
    T* const base = static_cast<T*>(exec.scratch) + thread * 3 * size;
    T* const planes[] = {base, base + size, base + 2 * size};
    // Element i of channel k is at i * step + k * next.
    const int64_t step = s.channels_last ? 3 : 1, next = s.channels_last ? 1 : pixels;
    for (int64_t n = begin; n < end; ++n) {
      const E* from = x + n * 3 * pixels;
      E* to = y + n * 3 * pixels;
      for (int64_t k = 0; k < 3; ++k) {
        for (int64_t i = 0; i < pixels; ++i)
          planes[k][i] = static_cast<T>(from[i * step + k * next]);
        for (int64_t i = pixels; i < size; ++i) planes[k][i] = 0;
      }
      const Planes<T> p{planes[0], planes[1], planes[2], size};
      for (const ColorChange which : order[n]) {
        const T factor = factors[n][static_cast<int>(which)];
        if (factor == (which == ColorChange::hue ? 0 : 1)) continue;
        switch (which) {
          case ColorChange::brightness:
            brightness(p, factor, bound);
            break;
          case ColorChange::contrast:
            contrast(p, pixels, factor, bound);
            break;
          case ColorChange::saturation:
            saturation(p, factor, bound);
            break;
          case ColorChange::hue:
            hue(p, factor);
            break;
        }
      }
      for (int64_t k = 0; k < 3; ++k) {
        for (int64_t i = 0; i < pixels; ++i) to[i * step + k * next] = rounded<T, E>(planes[k][i]);
      }
    }
  });
}

template <class T>
void colors(const Exec& exec, const ImageShape& s, const T (*factors)[color_changes],
            const ColorChange (*order)[color_changes], const void* x, void* y) {
  if (s.bytes) {
    colors_of(exec, s, factors, order, static_cast<const uint8_t*>(x), static_cast<uint8_t*>(y));
  } else {
    colors_of(exec, s, factors, order, static_cast<const T*>(x), static_cast<T*>(y));
  }
}

template <class T>
size_t scratch_bytes(const ImageShape& s, int threads) {
  return static_cast<size_t>(threads) * 3 * static_cast<size_t>(plane_size<T>(s)) * sizeof(T);
}

template <class T>
void fill(Ops<T>& t) {
  t.augment_colors_scratch_bytes = scratch_bytes<T>;
  t.augment_colors = colors<T>;
}

}  // namespace

void fill_augment_colors(Ops<float>& t) { fill(t); }
void fill_augment_colors(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
