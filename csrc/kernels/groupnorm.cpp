// GroupNorm of N images of P pixels of C channels, the channels adjacent in memory: with the mean
// of a group of C / G channels of an image and inv_std = 1 / sqrt(variance + eps)
//   y = z w + b,  z = (x - mean) inv_std.
// With g = dy w, and means over the group:  dx = inv_std (g - mean(g) - z mean(g z)),
//   dw = sum of dy z,  db = sum of dy over all images.
// Each image goes through the passes of BatchNorm; its sums over the pixels of each channel are
// then added up over the channels of a group in double. Parallel over the images, or over blocks of
// the pixels of one where they are few and large. Reads and writes what BatchNorm does.
#include "batchnorm.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// What is kept of an image while it is in work: `elements` of T and then two doubles a channel.
template <class T>
struct Work {
  Layout l;
  int64_t elements;
  bool at_once;  // several images, each on a thread of its own

  Work(const GroupNormShape& s, int threads)
      : l(Layout::of<T>(s.P, s.C)),
        elements(round_up((5 + 3 * l.blocks) * l.width, 16)),
        at_once(s.N >= 4 * threads || l.blocks < 2 * l.grain) {}
  int64_t bytes() const {
    return elements * static_cast<int64_t>(sizeof(T)) + round_up(2 * l.C, 8) * 8;
  }
  int64_t bytes_of_all(int threads) const { return bytes() * (at_once ? threads : 1); }
  double* doubles(void* scratch) const {
    return reinterpret_cast<double*>(static_cast<T*>(scratch) + elements);
  }
};

// Calls f(exec, image) for all images. The exec has the threads and the scratch memory for one.
template <class T, class F>
void for_each_image(const Exec& exec, const GroupNormShape& s, const Work<T>& work, const F& f) {
  char* const scratch = static_cast<char*>(exec.scratch);
  if (!work.at_once) {
    for (int64_t n = 0; n < s.N; ++n) f(exec, n);
    return;
  }
  const int64_t grain = ceil_div(1 << 14, max_of(1, work.l.size));
  parallel_for(exec, s.N, grain, [&](int64_t begin, int64_t end, int thread) {
    const Exec own{.threads = 1, .scratch = scratch + thread * work.bytes()};
    for (int64_t n = begin; n < end; ++n) f(own, n);
  });
}

// The first C of the columns of a row in all its repetitions of the channels.
template <class T>
void repeat(const Layout& l, T* columns) {
  for (int64_t i = l.C; i < l.width; ++i) columns[i] = columns[i - l.C];
}

// Calls f(group, first channel, last channel + 1).
template <class F>
void for_each_group(const GroupNormShape& s, const F& f) {
  const int64_t channels = s.C / s.G;
  for (int64_t g = 0; g < s.G; ++g) f(g, g * channels, (g + 1) * channels);
}

// What normalises, of one image with the mean and inv_std of its groups.
template <class T>
void set(const Normalization<T>& normalization, const Layout& l, const GroupNormShape& s,
         const T* mean, const T* inv_std, const T* w, const T* b) {
  for_each_group(s, [&](int64_t g, int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      normalization.mean[c] = mean[g];
      normalization.scale[c] = w ? inv_std[g] * w[c] : inv_std[g];
      normalization.shift[c] = b ? b[c] : T(0);
    }
  });
  for (T* const columns : {normalization.mean, normalization.scale, normalization.shift})
    repeat(l, columns);
}

template <class T>
void forward(const Exec& exec, const GroupNormShape& s, double eps, const T* x, const T* w,
             const T* b, T* y, T* mean, T* inv_std) {
  const Work<T> work(s, exec.threads);
  const Layout& l = work.l;
  const double count = static_cast<double>(max_of(1, l.size / max_of(1, s.G)));
  for_each_image(exec, s, work, [&](const Exec& own, int64_t n) {
    const T* const image = x + n * l.size;
    T *const means = mean + n * s.G, *const inv_stds = inv_std + n * s.G;
    const int64_t far = (s.N - n) * l.size - most_ahead;
    for_each_block(own, l, false, [&](int64_t block, int64_t begin, int64_t end) {
      block_sums(begin, end, far, l.width, image, BlockSums<T>(own.scratch, block, l.width));
    });
    const Normalization<T> normalization(own.scratch, l);
    parallel_for(own, 1, 1, [&](int64_t, int64_t, int) {
      double *const mean_of = work.doubles(own.scratch), *const squares_of = mean_of + s.C;
      for (int64_t c = 0; c < s.C; c += chunk)
        channel_moments<T>(l, own.scratch, c, min_of(chunk, s.C - c), mean_of + c, squares_of + c);
      for_each_group(s, [&](int64_t g, int64_t begin, int64_t end) {
        double group_mean = 0, squares = 0;
        for (int64_t c = begin; c < end; ++c) group_mean += mean_of[c];
        group_mean /= static_cast<double>(end - begin);
        for (int64_t c = begin; c < end; ++c) {
          const double off = mean_of[c] - group_mean;
          squares += squares_of[c] + static_cast<double>(s.P) * off * off;
        }
        means[g] = static_cast<T>(group_mean);
        inv_stds[g] = static_cast<T>(1 / __builtin_sqrt(squares / count + eps));
      });
      set(normalization, l, s, means, inv_stds, w, b);
    });
    for_each_block(own, l, true, [&](int64_t, int64_t begin, int64_t end) {
      const T* const residual = nullptr;
      normalize<false, false>(begin, end, l.width, l.streams(y, s.N), normalization, image,
                              residual, y + n * l.size);
    });
  });
}

template <class T>
void backward(const Exec& exec, const GroupNormShape& s, const T* dy, const T* x, const T* mean,
              const T* inv_std, const T* w, T* dx, T* dw, T* db) {
  const Work<T> work(s, exec.threads);
  const Layout& l = work.l;
  const double by_count = 1 / static_cast<double>(max_of(1, l.size / max_of(1, s.G)));
  // Of each image: the sums of dy and of dy z over the pixels.
  double* const sums_of_images =
      reinterpret_cast<double*>(static_cast<char*>(exec.scratch) + work.bytes_of_all(exec.threads));
  for_each_image(exec, s, work, [&](const Exec& own, int64_t n) {
    const T *const dy_image = dy + n * l.size, *const image = x + n * l.size;
    const T *const means = mean + n * s.G, *const inv_stds = inv_std + n * s.G;
    const int64_t far = (s.N - n) * l.size - most_ahead;
    const Normalization<T> normalization(own.scratch, l);
    T *const by_x = normalization.rest(l), *const constant = by_x + l.width;
    T* const sums = constant + l.width;
    parallel_for(own, 1, 1, [&](int64_t, int64_t, int) {
      const T* const b = nullptr;
      set(normalization, l, s, means, inv_stds, w, b);
    });
    for_each_block(own, l, false, [&](int64_t block, int64_t begin, int64_t end) {
      T *const sum = sums + 2 * block * l.width, *const none = nullptr;
      gradient_sums<Mask::none, false>(begin, end, far, l.width, normalization, dy_image, image,
                                       image, none, sum, sum + l.width);
    });
    parallel_for(own, 1, 1, [&](int64_t, int64_t, int) {
      double *const sum_of = sums_of_images + n * 2 * s.C, *const products_of = sum_of + s.C;
      for (int64_t c = 0; c < s.C; c += chunk)
        channel_sums(l, sums, c, min_of(chunk, s.C - c), sum_of + c, products_of + c);
      for_each_group(s, [&](int64_t g, int64_t begin, int64_t end) {
        const double scale = static_cast<double>(inv_stds[g]);
        double sum = 0, products = 0;
        for (int64_t c = begin; c < end; ++c) {
          const double wc = w ? static_cast<double>(w[c]) : 1;
          products_of[c] *= scale;
          sum += wc * sum_of[c];
          products += wc * products_of[c];
        }
        for (int64_t c = begin; c < end; ++c) {
          by_x[c] = static_cast<T>(-scale * scale * by_count * products);
          constant[c] = static_cast<T>(-scale * by_count * sum);
        }
      });
      repeat(l, by_x);
      repeat(l, constant);
    });
    for_each_block(own, l, true, [&](int64_t, int64_t begin, int64_t end) {
      input_gradient<Mask::none, true>(begin, end, far, l.width, l.streams(dx, s.N), normalization,
                                       dy_image, image, image, by_x, constant, dx + n * l.size);
    });
  });

  for_each_chunk(exec, l, [&](int64_t c0, int64_t channels) {
    for (int64_t c = c0; c < c0 + channels; ++c) {
      double sum = 0, products = 0;
      for (int64_t n = 0; n < s.N; ++n) {
        sum += sums_of_images[n * 2 * s.C + c];
        products += sums_of_images[(n * 2 + 1) * s.C + c];
      }
      if (dw) dw[c] = static_cast<T>(products);
      if (db) db[c] = static_cast<T>(sum);
    }
  });
}

template <class T>
size_t forward_scratch_bytes(const GroupNormShape& s, int threads) {
  return static_cast<size_t>(Work<T>(s, threads).bytes_of_all(threads));
}

template <class T>
size_t backward_scratch_bytes(const GroupNormShape& s, int threads) {
  return forward_scratch_bytes<T>(s, threads) + static_cast<size_t>(s.N * 2 * s.C) * sizeof(double);
}

template <class T>
void fill_table(Ops<T>& t) {
  t.group_norm_forward_scratch_bytes = forward_scratch_bytes<T>;
  t.group_norm_forward = forward<T>;
  t.group_norm_backward_scratch_bytes = backward_scratch_bytes<T>;
  t.group_norm_backward = backward<T>;
}

}  // namespace

void fill_groupnorm(Ops<float>& t) { fill_table(t); }
void fill_groupnorm(Ops<double>& t) { fill_table(t); }

}  // namespace fastnn::FASTNN_ISA
