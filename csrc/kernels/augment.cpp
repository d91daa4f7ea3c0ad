// What data are augmented by: windows of images, rectangles filled, images turned and shifted, and
// linear changes of their values; and the random numbers for each image (philox.h), which its index
// and the epoch decide. Images dense, channels-last or channel by channel; here they are
// N x planes images of c channels each: planes = 1, c = C or planes = C, c = 1.
#include "parallel.h"
#include "philox.h"
#include "table.h"
#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

struct Layout {
  explicit Layout(const ImageShape& s)
      : planes(s.channels_last ? 1 : s.C), c(s.channels_last ? s.C : 1) {}
  int64_t planes, c;
};

constexpr int64_t grain = 16384;  // elements for a thread

// Calls f with the number of channels as a constant where it is 1 or 3, and as a variable
// otherwise: what is constant is unrolled.
template <class F>
FASTNN_INLINE void by_channels(int64_t c, const F& f) {
  if (c == 1) {
    f([] { return int64_t{1}; });
  } else if (c == 3) {
    f([] { return int64_t{3}; });
  } else {
    f([c] { return c; });
  }
}

// ---- random numbers -----------------------------------------------------------------------------

// Parallel over groups of as many images as there are 64-bit lanes; 60 operations for 4 words of
// each.
void uniform(const Exec& exec, const ImageDraws& s, double* u) {
  constexpr int64_t L = lanes<double>;
  const int64_t blocks = ceil_div(s.count, 4);
  const int64_t groups = ceil_div(s.N, L), least = ceil_div(1024, blocks + 1);
  parallel_for(exec, groups, least, [&](int64_t begin, int64_t end, int) {
    const PhiloxKeys keys(s.seed);
    for (int64_t n = begin * L; n < min_of(end * L, s.N); n += L) {
      const int64_t images = min_of(L, s.N - n);
      for (int64_t block = 0; block < blocks; ++block) {
        PhiloxWords x{};
        for (int64_t j = 0; j < images; ++j) x.word0[j] = static_cast<uint64_t>(s.index[n + j]);
        x.word1 = x.word0 >> 32;
        x.word2 = s.epoch - VecU64{};
        x.word3 = s.block + static_cast<uint64_t>(block) - VecU64{};
        x = philox(x, keys);
        const VecU64 words[] = {x.word0, x.word1, x.word2, x.word3};
        for (int64_t i = 4 * block; i < min_of(4 * block + 4, s.count); ++i) {
          for (int64_t j = 0; j < images; ++j) {
            const auto word = static_cast<uint32_t>(words[i % 4][j]);
            u[(n + j) * s.count + i] = (static_cast<double>(word) + 0.5) * 0x1p-32;
          }
        }
      }
    }
  });
}

// ---- windows ------------------------------------------------------------------------------------

// The row or column of an image of n that stands at i where it is mirrored at its first and last.
constexpr int64_t reflected(int64_t i, int64_t n) {
  return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

// One row of a window: the columns `left` to left + Q - 1 of the row x (null: all around it) of W
// pixels.
template <class E, class Channels>
FASTNN_INLINE void crop_row(const E* x, int64_t W, int64_t left, int64_t Q, bool flip,
                            Border border, const E* fill, const Channels& channels, E* y) {
  const int64_t c = channels();
  const int64_t begin = x ? min_of(max_of(-left, 0), Q) : Q;
  const int64_t end = x ? max_of(min_of(W - left, Q), begin) : Q;
  const auto pixel = [&](int64_t q) { return y + (flip ? Q - 1 - q : q) * c; };
  const auto around = [&](int64_t from, int64_t to) {
    for (int64_t q = from; q < to; ++q) {
      const E* source = border == Border::fill ? fill : x + reflected(left + q, W) * c;
      for (int64_t k = 0; k < c; ++k) pixel(q)[k] = source[k];
    }
  };
  around(0, begin);
  const E* inside = x ? x + (left + begin) * c : nullptr;
  const int64_t n = end - begin;
  if (flip) {
    E* last = pixel(end - 1);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t k = 0; k < c; ++k) last[i * c + k] = inside[(n - 1 - i) * c + k];
    }
  } else if (n) {
    std::memcpy(pixel(begin), inside, static_cast<size_t>(n * c) * sizeof(E));
  }
  around(end, Q);
}

// Parallel over rows. No arithmetic; reads and writes each element of y once.
template <class E>
void crop_elements(const Exec& exec, const ImageShape& s, const CropWindows& w, const E* fill,
                   const E* x, E* y) {
  const Layout l(s);
  const int64_t rows = s.N * l.planes * w.P, least = ceil_div(grain, w.Q * l.c + 1);
  by_channels(l.c, [&](const auto& channels) {
    parallel_for(exec, rows, least, [&](int64_t first, int64_t last, int) {
      for (int64_t row = first; row < last; ++row) {
        const int64_t plane = row / w.P, n = plane / l.planes, k = plane % l.planes;
        int64_t i = w.top[n] + row % w.P;
        if (w.border == Border::reflect) i = reflected(i, s.H);
        const E* from = i >= 0 && i < s.H ? x + (plane * s.H + i) * s.W * l.c : nullptr;
        crop_row(from, s.W, w.left[n], w.Q, w.flip[n] != 0, w.border, fill + k, channels,
                 y + row * w.Q * l.c);
      }
    });
  });
}

template <class T>
void crop(const Exec& exec, const ImageShape& s, const CropWindows& w, const void* fill,
          const void* x, void* y) {
  if (s.bytes) {
    crop_elements(exec, s, w, static_cast<const uint8_t*>(fill), static_cast<const uint8_t*>(x),
                  static_cast<uint8_t*>(y));
  } else {
    crop_elements(exec, s, w, static_cast<const T*>(fill), static_cast<const T*>(x),
                  static_cast<T*>(y));
  }
}

// ---- rectangles ---------------------------------------------------------------------------------

// Parallel over images' planes; reads and writes each element once.
template <class E>
void erase_elements(const Exec& exec, const ImageShape& s, const Box* boxes, const E* fill,
                    const E* x, E* y) {
  const Layout l(s);
  const int64_t size = s.H * s.W * l.c, least = ceil_div(grain, size + 1);
  parallel_for(exec, s.N * l.planes, least, [&](int64_t begin, int64_t end, int) {
    for (int64_t plane = begin; plane < end; ++plane) {
      E* to = y + plane * size;
      std::memcpy(to, x + plane * size, static_cast<size_t>(size) * sizeof(E));
      const Box& box = boxes[plane / l.planes];
      for (int64_t h = box.top; h < box.bottom; ++h) {
        for (int64_t w = box.left; w < box.right; ++w) {
          for (int64_t k = 0; k < l.c; ++k)
            to[(h * s.W + w) * l.c + k] = fill[plane % l.planes + k];
        }
      }
    }
  });
}

template <class T>
void erase(const Exec& exec, const ImageShape& s, const Box* boxes, const void* fill, const void* x,
           void* y) {
  if (s.bytes) {
    erase_elements(exec, s, boxes, static_cast<const uint8_t*>(fill),
                   static_cast<const uint8_t*>(x), static_cast<uint8_t*>(y));
  } else {
    erase_elements(exec, s, boxes, static_cast<const T*>(fill), static_cast<const T*>(x),
                   static_cast<T*>(y));
  }
}

// ---- turned and shifted -------------------------------------------------------------------------

template <class T>
FASTNN_INLINE void put(T* to, T value) {
  *to = value;
}
template <class T>
FASTNN_INLINE void put(uint8_t* to, T value) {
  const T least = value > 0 ? value : T(0);
  *to = static_cast<uint8_t>((least < 255 ? least : T(255)) + T(0.5));
}

// Where a coordinate falls: the pixel before it, and how far it lies towards the next one. What
// lies far outside an image of n pixels is brought near it, and a NaN, too.
template <class T>
struct Place {
  FASTNN_INLINE Place(T at, int64_t n) {
    const T inside = at > T(-2) ? min_of_real(at, static_cast<T>(n + 1)) : T(-2);
    pixel = static_cast<int64_t>(inside + 2) - 2;
    share = inside - static_cast<T>(pixel);
  }
  static FASTNN_INLINE T min_of_real(T a, T b) { return a < b ? a : b; }
  int64_t pixel;
  T share;
};

// One row of a result of W pixels: pixel w is that of the image x (H x W) at row row_i + w step_i
// and column row_j + w step_j.
template <class T, class E, class Channels>
FASTNN_INLINE void warp_row(const E* x, int64_t H, int64_t W, T row_i, T step_i, T row_j, T step_j,
                            const E* fill, const Channels& channels, E* y) {
  const int64_t c = channels();
  for (int64_t w = 0; w < W; ++w) {
    const Place<T> i(row_i + static_cast<T>(w) * step_i, H);
    const Place<T> j(row_j + static_cast<T>(w) * step_j, W);
    const E *upper_left, *upper_right, *lower_left, *lower_right;
    if (i.pixel >= 0 && i.pixel < H - 1 && j.pixel >= 0 && j.pixel < W - 1) {
      upper_left = x + (i.pixel * W + j.pixel) * c;
      upper_right = upper_left + c;
      lower_left = upper_left + W * c;
      lower_right = lower_left + c;
    } else {
      const auto tap = [&](int64_t a, int64_t b) {
        return a >= 0 && a < H && b >= 0 && b < W ? x + (a * W + b) * c : fill;
      };
      upper_left = tap(i.pixel, j.pixel);
      upper_right = tap(i.pixel, j.pixel + 1);
      lower_left = tap(i.pixel + 1, j.pixel);
      lower_right = tap(i.pixel + 1, j.pixel + 1);
    }
    for (int64_t k = 0; k < c; ++k) {
      const T a = static_cast<T>(upper_left[k]), b = static_cast<T>(upper_right[k]);
      const T d = static_cast<T>(lower_left[k]), e = static_cast<T>(lower_right[k]);
      const T upper = a + j.share * (b - a), lower = d + j.share * (e - d);
      put(y + w * c + k, upper + i.share * (lower - upper));
    }
  }
}

// Parallel over rows; 8 operations and 4 reads for an element.
template <class T, class E>
void warp_elements(const Exec& exec, const ImageShape& s, const T (*matrices)[6], const E* fill,
                   const E* x, E* y) {
  const Layout l(s);
  const int64_t rows = s.N * l.planes * s.H, least = ceil_div(grain / 8, s.W * l.c + 1);
  by_channels(l.c, [&](const auto& channels) {
    parallel_for(exec, rows, least, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t plane = row / s.H;
        const T h = static_cast<T>(row % s.H);
        const T* m = matrices[plane / l.planes];
        warp_row(x + plane * s.H * s.W * l.c, s.H, s.W, m[4] * h + m[5], m[3], m[1] * h + m[2],
                 m[0], fill + plane % l.planes, channels, y + row * s.W * l.c);
      }
    });
  });
}

template <class T>
void warp(const Exec& exec, const ImageShape& s, const T (*matrices)[6], const void* fill,
          const void* x, void* y) {
  if (s.bytes) {
    warp_elements(exec, s, matrices, static_cast<const uint8_t*>(fill),
                  static_cast<const uint8_t*>(x), static_cast<uint8_t*>(y));
  } else {
    warp_elements(exec, s, matrices, static_cast<const T*>(fill), static_cast<const T*>(x),
                  static_cast<T*>(y));
  }
}

// ---- scaled values ------------------------------------------------------------------------------

template <class T>
FASTNN_INLINE Vec<T> load_pixels(const T* p) {
  return load(p);
}
template <class T>
FASTNN_INLINE Vec<T> load_pixels(const uint8_t* p) {
  return __builtin_convertvector(load_bytes<T>(p), Vec<T>);
}
template <class T>
FASTNN_INLINE void store_pixels(T* p, const Vec<T>& v) {
  store(p, v);
}
template <class T>
FASTNN_INLINE void store_pixels(uint8_t* p, const Vec<T>& v) {
  const Vec<T> cut = min(max(v, Vec<T>{}), splat(T(255)));
  store_bytes(p, __builtin_convertvector(cut + T(0.5), IntVec<T>));
}

// Channels-last images of few channels go by groups of c vectors, in which the channels repeat;
// planes are images of one channel. Parallel over planes; 2 operations for an element, reads and
// writes each once.
template <class T, class X, class Y>
void scale_elements(const Exec& exec, const ImageShape& s, const T* scale, const T* offset,
                    const X* x, Y* y) {
  constexpr int64_t L = lanes<T>, most = 4;
  const Layout l(s);
  const int64_t size = s.H * s.W * l.c, least = ceil_div(grain, size + 1);
  parallel_for(exec, s.N * l.planes, least, [&](int64_t begin, int64_t end, int) {
    for (int64_t plane = begin; plane < end; ++plane) {
      const T *a = scale + plane * l.c, *b = offset + plane * l.c;
      const X* from = x + plane * size;
      Y* to = y + plane * size;
      int64_t i = 0;
      if (l.c > 0 && l.c <= most) {
        T factors[most * L], summands[most * L];
        for (int64_t j = 0; j < l.c * L; ++j) {
          factors[j] = a[j % l.c];
          summands[j] = b[j % l.c];
        }
        for (; i + l.c * L <= size; i += l.c * L) {
          for (int64_t j = 0; j < l.c * L; j += L)
            store_pixels<T>(to + i + j, fma(load_pixels<T>(from + i + j), load(factors + j),
                                            load(summands + j)));
        }
      }
      for (; i < size; ++i) {
        const int64_t k = i % l.c;
        const Vec<T> value = fma(splat(static_cast<T>(from[i])), splat(a[k]), splat(b[k]));
        put(to + i, value[0]);
      }
    }
  });
}

template <class T>
void scale_values(const Exec& exec, const ImageShape& s, const T* scale, const T* offset,
                  const void* x, bool y_bytes, void* y) {
  const auto run = [&](const auto* from) {
    if (y_bytes) {
      scale_elements(exec, s, scale, offset, from, static_cast<uint8_t*>(y));
    } else {
      scale_elements(exec, s, scale, offset, from, static_cast<T*>(y));
    }
  };
  if (s.bytes) {
    run(static_cast<const uint8_t*>(x));
  } else {
    run(static_cast<const T*>(x));
  }
}

template <class T>
void fill_entries(Ops<T>& t) {
  t.augment_uniform = uniform;
  t.augment_crop = crop<T>;
  t.augment_erase = erase<T>;
  t.augment_warp = warp<T>;
  t.augment_scale = scale_values<T>;
}

}  // namespace

void fill_augment(Ops<float>& t) { fill_entries(t); }
void fill_augment(Ops<double>& t) { fill_entries(t); }

}  // namespace fastnn::FASTNN_ISA
