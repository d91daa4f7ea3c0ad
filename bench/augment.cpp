#include <vector>

#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

// Colour images of H x H pixels to be augmented.
struct AugmentSize {
  int64_t N, H;
};
constexpr AugmentSize augment_sizes[] = {
    {128, 32},
    {64, 224},
};

// Channels-last images of 3 channels, and where they are changed.
struct Pictures {
  explicit Pictures(const AugmentSize& z)
      : shape{.N = z.N, .C = 3, .H = z.H, .W = z.H, .channels_last = true, .bytes = false},
        elements(3 * z.N * z.H * z.H),
        x(Array::uniform(elements, 1)),
        y(elements),
        fill(Array::uniform(3, 2)) {}
  Cost cost(double operations) const {
    const auto n = static_cast<double>(elements);
    return {.flops = operations * n, .bytes = 8 * n};
  }
  ImageShape shape;
  int64_t elements;
  Array x, y, fill;
};

// Half of the windows are turned round; borders of an eighth of the image, as in training.
void crop(Bench& bench, const AugmentSize& z) {
  const Pictures p(z);
  std::vector<int64_t> start;
  std::vector<uint8_t> flip;
  for (int64_t n = 0; n < z.N; ++n) {
    start.push_back(n % (z.H / 4 + 1) - z.H / 8);
    flip.push_back(n % 2 != 0);
  }
  const CropWindows windows{.P = z.H,
                            .Q = z.H,
                            .border = Border::fill,
                            .top = start.data(),
                            .left = start.data(),
                            .flip = flip.data()};
  bench.measure(p.cost(0), p.y, &Table::augment_crop, p.shape, windows, p.fill, p.x, p.y);
}

// Turned by an angle whose cosine is 0.96, about the centre.
void warp(Bench& bench, const AugmentSize& z) {
  const Pictures p(z);
  const float cos = 0.96F, sin = 0.28F, centre = static_cast<float>(z.H - 1) / 2;
  std::vector<float> matrices;
  for (int64_t n = 0; n < z.N; ++n) {
    for (const float m : {cos, -sin, centre * (1 - cos + sin), sin, cos, centre * (1 - cos - sin)})
      matrices.push_back(m);
  }
  const auto* rows = reinterpret_cast<const float (*)[6]>(matrices.data());
  bench.measure(p.cost(8), p.y, &Table::augment_warp, p.shape, rows, p.fill, p.x, p.y);
}

void colors(Bench& bench, const AugmentSize& z) {
  const Pictures p(z);
  std::vector<float> factors;
  std::vector<ColorChange> order;
  for (int64_t n = 0; n < z.N; ++n) {
    for (const float f : {0.9F, 1.2F, 0.8F, 0.05F}) factors.push_back(f);
    for (const ColorChange change : {ColorChange::brightness, ColorChange::contrast,
                                     ColorChange::saturation, ColorChange::hue})
      order.push_back(change);
  }
  const auto* factor = reinterpret_cast<const float (*)[color_changes]>(factors.data());
  const auto* changes = reinterpret_cast<const ColorChange(*)[color_changes]>(order.data());
  bench.measure(p.cost(30), p.y, &Table::augment_colors_scratch_bytes, &Table::augment_colors,
                p.shape, factor, changes, p.x, p.y);
}

void normalize(Bench& bench, const AugmentSize& z) {
  const Pictures p(z);
  const Array scale = Array::uniform(3 * z.N, 3), offset = Array::uniform(3 * z.N, 4);
  bench.measure(p.cost(2), p.y, &Table::augment_scale, p.shape, scale, offset, p.x, false, p.y);
}

}  // namespace

void add_augment() {
  for (const AugmentSize& z : augment_sizes) {
    const std::string name = join({z.N, 3, z.H});
    add("augment_crop", name, [&z](Bench& b) { crop(b, z); });
    add("augment_warp", name, [&z](Bench& b) { warp(b, z); });
    add("augment_colors", name, [&z](Bench& b) { colors(b, z); });
    add("augment_scale", name, [&z](Bench& b) { normalize(b, z); });
  }
}

}  // namespace fastnn::bench
