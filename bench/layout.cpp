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

}  // namespace

void add_layout() {
  for (const LayoutSize& z : layout_sizes) {
    const std::string name = join({z.N, z.C, z.H});
    add("to_channels_last", name, [&z](Bench& b) { transpose(b, z.N, z.C, z.H * z.H); });
    add("to_channels_first", name, [&z](Bench& b) { transpose(b, z.N, z.H * z.H, z.C); });
  }
}

}  // namespace fastnn::bench
