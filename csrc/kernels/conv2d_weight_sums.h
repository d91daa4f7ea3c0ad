// Where both forms of direct backward-weight sum dw: [split][group][panel of k][tap][c][k], whole
// panels, so that a tile's rows are input channels and its columns output channels. Splits are
// parts of the images; how many there are depends on the shape alone, and they are added in order.
// db is summed beside it, [split][group][k].
#pragma once

#include "channels.h"
#include "conv2d.h"
#include "pack.h"
#include "row_sums.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
class WeightSums {
  static constexpr int64_t W = panel_width<T>;
  static constexpr int64_t most_elements = 2 << 20;  // of all splits, if more than one is wanted

  int64_t groups_, C_, K_, RS_, panels_, size_;  // C, K, panels of a group; size of a split
  int64_t channels_;                             // unpacked together
  T* sums_ = nullptr;
  T* bias_sums_ = nullptr;
  T* buffers_ = nullptr;  // of each thread: sums on their way into dw

  int64_t buffer_size() const { return channels_ * RS_ * W; }

 public:
  int64_t splits = 1;

  // For work that is cut into `units` in each of at most `most_splits` splits.
  WeightSums(const Conv2dShape& s, int64_t units, int64_t most_splits)
      : groups_(s.groups),
        C_(s.C / s.groups),
        K_(s.K / s.groups),
        RS_(s.R * s.S),
        panels_(ceil_div(K_, W)),
        size_(groups_ * panels_ * RS_ * C_ * W),
        channels_(max_of(1, 64 / RS_)) {
    const int64_t wanted =
        max_of(ceil_div(wanted_items, max_of(1, units)),
               groups_ > 1 ? 1 : min_of(wanted_items, most_elements / max_of(1, size_)));
    while (2 * splits <= min_of(most_splits, wanted)) splits *= 2;
  }

  void take(Pieces& pieces, int threads) {
    sums_ = pieces.take<T>(splits * size_);
    bias_sums_ = pieces.take<T>(splits * groups_ * K_);
    buffers_ = pieces.take<T>(threads * 2 * buffer_size());
  }

  // The row of input channel c; the next channels and taps follow, W elements each.
  T* row(int64_t split, int64_t group, int64_t panel, int64_t tap, int64_t c) const {
    return sums_ + split * size_ + (((group * panels_ + panel) * RS_ + tap) * C_ + c) * W;
  }

  // Adds (or writes) so many pixels of dy, and of those `columns` channels of a group from k on.
  void add_bias(int64_t split, int64_t group, int64_t k, int64_t columns, const T* dy,
                int64_t pixels, bool accumulate) const {
    const int64_t all = groups_ * K_, at = group * K_ + k;
    sum_rows(dy + at, pixels, all, columns, bias_sums_ + split * all + at, accumulate);
  }

  // Calls compute(split, begin, end, thread) for units begin to end of the splits, and writes dw,
  // and db where it is not null.
  template <class Compute>
  void run(const Exec& exec, int64_t units, int64_t grain, const Compute& compute, T* dw, T* db,
           bool accumulate) const {
    parallel_for(exec, splits * units, grain, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t item = begin; item < end;) {
        const int64_t split = item / units, first = split * units;
        const int64_t stop = min_of(end, first + units);
        compute(split, item - first, stop - first, thread);
        item = stop;
      }
    });
    add_splits(exec);
    unpack(exec, dw, accumulate);
    if (db) add_up(exec, bias_sums_, splits, groups_ * K_, db, accumulate);
  }

 private:
  // Adds the sums of the splits to those of the first.
  void add_splits(const Exec& exec) const {
    parallel_elements(exec, splits > 1 ? size_ : 0, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += lanes<T>) {
        Vec<T> sum = load(sums_ + i);
        for (int64_t split = 1; split < splits; ++split) sum += load(sums_ + split * size_ + i);
        store(sums_ + i, sum);
      }
    });
  }

  // To dw[k][c][tap], some channels at a time, by way of two buffers: the sums are read in whole
  // vectors, and dw is written in pieces. Element by element, 512 x 512 x 3 x 3 took 2 ms.
  void unpack(const Exec& exec, T* dw, bool accumulate) const {
    const int64_t blocks = ceil_div(C_, channels_);
    parallel_for(exec, groups_ * panels_ * blocks, 1 + 30000 / (buffer_size() + 1),
                 [&](int64_t begin, int64_t end, int thread) {
                   T* const by_c = buffers_ + 2 * thread * buffer_size();
                   T* const by_k = by_c + buffer_size();
                   for (int64_t item = begin; item < end; ++item) {
                     const int64_t panel = item / blocks % panels_, group = item / blocks / panels_;
                     unpack_block(group, panel, item % blocks * channels_, by_c, by_k, dw,
                                  accumulate);
                   }
                 });
  }

  void unpack_block(int64_t group, int64_t panel, int64_t c0, T* by_c, T* by_k, T* dw,
                    bool accumulate) const {
    const int64_t count = min_of(channels_, C_ - c0), width = count * RS_;
    for (int64_t tap = 0; tap < RS_; ++tap) {
      const T* const from = row(0, group, panel, tap, c0);
      for (int64_t c = 0; c < count; ++c) {
        for (int64_t k = 0; k < W; k += lanes<T>)
          store(by_c + (c * RS_ + tap) * W + k, load(from + c * W + k));
      }
    }
    const int64_t columns = min_of(W, K_ - panel * W);
    transpose_block(by_c, W, width, columns, by_k, width);
    for (int64_t k = 0; k < columns; ++k) {
      T* const to = dw + ((group * K_ + panel * W + k) * C_ + c0) * RS_;
      for_each_vector<T, 1>(width, width, [&](auto part, int64_t i) {
        const Vec<T> sum = load(by_k + k * width + i, part);
        store(to + i, accumulate ? load(to + i, part) + sum : sum, part);
      });
    }
  }
};

}  // namespace
}  // namespace fastnn::FASTNN_ISA
