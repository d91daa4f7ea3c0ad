// The weights of a TapGrid as the tile of tile.h reads them: [group][panel of k][block of
// c][tap][c] [k].
#pragma once

#include "conv2d.h"
#include "pack.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
class PackedWeights {
  static constexpr int64_t W = panel_width<T>;
  const TapGrid& g_;
  int64_t channels_;  // transposed together
  T* packed_ = nullptr;
  T* buffers_ = nullptr;  // of each thread: weights of a panel on their way into it

  // Whether the weights of an output channel lie in one piece.
  bool transposes() const { return g_.w_k > g_.w_c; }
  int64_t buffer_size() const { return transposes() ? channels_ * g_.w_c * W : 0; }

 public:
  int64_t taps, panels, c_blocks, c_block;  // panels of a group

  PackedWeights(const TapGrid& g, int64_t most_channels)
      : g_(g),
        channels_(max_of(1, 64 / max_of(1, g.w_c))),
        taps(g.taps_h.count * g.taps_w.count),
        panels(ceil_div(g.K, W)),
        c_blocks(max_of(1, ceil_div(g.C, most_channels))),
        c_block(ceil_div(g.C, c_blocks)) {}

  void take(Pieces& pieces, int threads) {
    packed_ = pieces.take<T>(g_.groups * panels * panel_size());
    buffers_ = pieces.take<T>(threads * buffer_size());
  }

  int64_t panel_size() const { return taps * g_.C * W; }
  // Of all groups.
  const T* panel(int64_t i) const { return packed_ + i * panel_size(); }
  int64_t channels(int64_t block) const { return min_of(c_block, g_.C - block * c_block); }

  void pack(const Exec& exec, const T* w) const {
    parallel_for(exec, g_.groups * panels, 1 + 30000 / (panel_size() + 1),
                 [&](int64_t begin, int64_t end, int thread) {
                   for (int64_t i = begin; i < end; ++i) {
                     const int64_t k = i % panels * W;
                     pack_panel_of(w + i / panels * g_.w_group + k * g_.w_k, min_of(W, g_.K - k),
                                   buffers_ + thread * buffer_size(), packed_ + i * panel_size());
                   }
                 });
  }

 private:
  // Where the weights of an output channel lie in one piece, they are transposed, some channels c
  // at a time. One by one, 2048 x 1024 weights took a quarter of the whole convolution.
  void pack_panel_of(const T* w, int64_t columns, T* buffer, T* panel) const {
    for (int64_t i = 0; columns < W && i < panel_size(); i += lanes<T>) store(panel + i, Vec<T>{});
    for (int64_t block = 0; block < c_blocks; ++block) {
      const int64_t c0 = block * c_block, C = channels(block);
      T* const to = panel + taps * c0 * W;
      if (!transposes()) {
        for (int64_t c = 0; c < C; ++c)
          pack_channel(w + (c0 + c) * g_.w_c, g_.w_k, 1, columns, C, to + c * W);
        continue;
      }
      for (int64_t first = 0; first < C; first += channels_) {
        const int64_t count = min_of(channels_, C - first);
        transpose_block(w + (c0 + first) * g_.w_c, g_.w_k, columns, count * g_.w_c, buffer, W);
        for (int64_t c = 0; c < count; ++c)
          pack_channel(buffer + c * g_.w_c * W, 1, W, columns, C, to + (first + c) * W);
      }
    }
  }

  // Weights of one c at w, whose columns and taps lie `column` and `tap` apart.
  void pack_channel(const T* w, int64_t column, int64_t tap, int64_t columns, int64_t C,
                    T* to) const {
    for (int64_t i = 0; i < g_.taps_h.count; ++i) {
      const int64_t r = g_.taps_h.weight + i * g_.taps_h.weight_step;
      for (int64_t j = 0; j < g_.taps_w.count; ++j, to += C * W) {
        const int64_t s = g_.taps_w.weight + j * g_.taps_w.weight_step;
        const T* const from = w + (r * g_.w_r + s * g_.w_s) * tap;
        if (column == 1 && columns == W) {
          for (int64_t k = 0; k < W; k += lanes<T>) store(to + k, load(from + k));
        } else {
          for (int64_t k = 0; k < columns; ++k) to[k] = from[k * column];
        }
      }
    }
  }
};

}  // namespace
}  // namespace fastnn::FASTNN_ISA
