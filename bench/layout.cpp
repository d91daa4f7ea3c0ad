#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

void transpose(Bench& bench, int64_t batch, int64_t rows, int64_t cols) {
  const int64_t n = batch * rows * cols;
  const Array x = Array::uniform(n, 1), y(n);
  CopyShape shape;
  shape.add(batch, rows * cols, rows * cols);
  shape.add(cols, 1, rows);
  shape.add(rows, cols, 1);
  bench.measure({.bytes = 8.0 * static_cast<double>(n)}, y, &Table::copy, shape, x, y);
}

// Of channels-last images the first channels of every step-th pixel of every step-th row.
void part(Bench& bench, const LayoutSize& z, int64_t channels, int64_t step) {
  const Array x = Array::uniform(z.N * z.H * z.H * z.C, 1);
  const int64_t P = z.H / step, row = z.H * z.C, n = z.N * P * P * channels;
  const Array y(n);
  CopyShape shape;
  shape.add(z.N, z.H * row, P * P * channels);
  shape.add(P, step * row, P * channels);
  shape.add(P, step * z.C, channels);
  shape.add(channels, 1, 1);
  bench.measure({.bytes = 8.0 * static_cast<double>(n)}, y, &Table::copy, shape, x, y);
}

}  // namespace

void add_layout() {
  for (const LayoutSize& z : layout_sizes) {
    const std::string name = join({z.N, z.C, z.H});
    add("to_channels_last", name, [&z](Bench& b) { transpose(b, z.N, z.C, z.H * z.H); });
    add("half_of_channels", name, [&z](Bench& b) { part(b, z, z.C / 2, 1); });
    add("second_pixels", name, [&z](Bench& b) { part(b, z, z.C, 2); });
    add("to_channels_first", name, [&z](Bench& b) { transpose(b, z.N, z.H * z.H, z.C); });
  }
}

}  // namespace fastnn::bench
