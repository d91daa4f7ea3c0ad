// fastnn.ops: augment_uniform, augment_crop, augment_erase, augment_warp, augment_scale,
// augment_colors.
#include <algorithm>

#include "arrays.h"

namespace fastnn {
namespace {

// Images as they lie in memory, channels-last or channel by channel. Bytes are calculated with in
// float32.
struct Images {
  Images(const char* op, py::handle object) : x(as_array(op, "x", object)) {
    if (x.ndim() != 4) {
      value_error(op, ": x has shape ", shape_text(x), "; expected (N, C, H, W)");
    }
    const bool bytes = x.dtype().num() == py::dtype::of<uint8_t>().num();
    if (!bytes && x.dtype().num() != py::dtype::of<float>().num() &&
        x.dtype().num() != py::dtype::of<double>().num()) {
      type_error(op, ": x has dtype ", std::string(py::str(x.dtype())),
                 "; expected uint8, float32 or float64");
    }
    const bool last = is_channels_last(x);
    if (!last) x = contiguous(x);
    shape = {x.shape(0), x.shape(1), x.shape(2), x.shape(3), last, bytes};
    type = bytes ? Real::f32 : real_type(op, "x", x);
  }

  // New images of this size and element type, in the same layout.
  py::array empty(const char* op, const py::dtype& element, int64_t P, int64_t Q) const {
    const ImageShape& s = shape;
    return s.channels_last ? empty_channels_last(op, element, s.N, s.C, P, Q)
                           : empty_bytes(op, element, {s.N, s.C, P, Q});
  }

  // One pixel value a channel.
  py::array fill(const char* op, py::handle object) const {
    const py::array a = as_array(op, "fill", object);
    if (a.dtype().num() != x.dtype().num()) {
      type_error(op, ": fill has dtype ", std::string(py::str(a.dtype())), ", x has ",
                 std::string(py::str(x.dtype())));
    }
    check_shape(op, "fill", a, {shape.C});
    return contiguous(a);
  }

  // Numbers to calculate with, of this shape.
  py::array numbers(const char* op, const char* name, py::handle object,
                    const Shape& expected) const {
    const py::array a = real_array(op, name, object);
    if (real_type(op, name, a) != type) {
      type_error(op, ": ", name, " has dtype ", std::string(py::str(a.dtype())), "; expected ",
                 type == Real::f32 ? "float32" : "float64", " for x of ",
                 std::string(py::str(x.dtype())));
    }
    check_shape(op, name, a, expected);
    return contiguous(a);
  }

  py::array x;
  ImageShape shape;
  Real type;
};

py::array uniform(const py::object& seed, const py::object& epoch, py::handle indices_object,
                  const py::object& count, const py::object& block) {
  const char* const op = "augment_uniform";
  const auto word = [&](const char* name, py::handle object) {
    const int64_t value = integer(op, name, object, 0);
    if (value >> 32) value_error(op, ": ", name, " is ", value, "; expected less than 2**32");
    return static_cast<uint32_t>(value);
  };
  const auto indices = int64_array(op, "indices", indices_object, 1);
  const ImageDraws s{.N = indices.size(),
                     .count = integer(op, "count", count, 0),
                     .seed = seed_argument(op, seed),
                     .epoch = word("epoch", epoch),
                     .block = word("block", block),
                     .index = indices.data()};
  py::array u = empty(op, Real::f64, {s.N, s.count});
  const auto kernel = supported(op, ops<double>().augment_uniform);
  double* to = mutable_data<double>(u);
  run(op, indices, [&](const Exec& exec) { kernel(exec, s, to); });
  return u;
}

// The first rows or columns of windows of `size` in images of n. Reflected borders are narrower
// than the image; others only must not overflow. A copy: addresses depend on them, and the array is
// the caller's, whose other threads may write to it.
std::vector<int64_t> window_starts(const char* op, const char* name, py::handle object, int64_t N,
                                   int64_t n, int64_t size, bool reflect) {
  const auto given = int64_array(op, name, object, 1);
  check_shape(op, name, given, {N});
  std::vector<int64_t> starts(given.data(), given.data() + N);
  const int64_t first = reflect ? 1 - n : -largest_size;
  const int64_t last = reflect ? 2 * n - 1 - size : largest_size;
  for (const int64_t start : starts) {
    if (start < first || start > last) {
      value_error(op, ": ", name, " holds ", start, "; expected ", first, " to ", last,
                  " for windows of ", size, " in images of ", n, reflect ? ", reflected" : "");
    }
  }
  return starts;
}

py::array crop(py::handle x_object, py::handle top_object, py::handle left_object,
               const py::object& height, const py::object& width, py::handle flip_object,
               py::handle fill_object, bool reflect) {
  const char* const op = "augment_crop";
  const Images images(op, x_object);
  const ImageShape& s = images.shape;
  const int64_t P = integer(op, "height", height, 0), Q = integer(op, "width", width, 0);
  const auto top = window_starts(op, "top", top_object, s.N, s.H, P, reflect);
  const auto left = window_starts(op, "left", left_object, s.N, s.W, Q, reflect);
  const py::array flip = contiguous(as_array(op, "flip", flip_object));
  if (!flip.dtype().equal(py::dtype::of<bool>())) {
    type_error(op, ": flip has dtype ", std::string(py::str(flip.dtype())), "; expected bool");
  }
  check_shape(op, "flip", flip, {s.N});
  const py::array fill = images.fill(op, fill_object);

  py::array y = images.empty(op, images.x.dtype(), P, Q);
  const CropWindows windows{.P = P,
                            .Q = Q,
                            .border = reflect ? Border::reflect : Border::fill,
                            .top = top.data(),
                            .left = left.data(),
                            .flip = data<uint8_t>(flip)};
  by_type(images.type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().augment_crop);
    const void *from = images.x.data(), *filling = fill.data();
    void* to = y.mutable_data();
    run(op, images.x, [&](const Exec& exec) { kernel(exec, s, windows, filling, from, to); });
  });
  return y;
}

py::array erase(py::handle x_object, py::handle boxes_object, py::handle fill_object) {
  const char* const op = "augment_erase";
  const Images images(op, x_object);
  const ImageShape& s = images.shape;
  const auto given = int64_array(op, "boxes", boxes_object, 2);
  check_shape(op, "boxes", given, {s.N, 4});
  const py::array fill = images.fill(op, fill_object);
  std::vector<Box> boxes;
  for (int64_t n = 0; n < s.N; ++n) {
    const int64_t* box = given.data() + 4 * n;
    const auto within = [](int64_t i, int64_t size) { return std::clamp<int64_t>(i, 0, size); };
    boxes.push_back(
        {within(box[0], s.H), within(box[1], s.W), within(box[2], s.H), within(box[3], s.W)});
  }

  py::array y = images.empty(op, images.x.dtype(), s.H, s.W);
  by_type(images.type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().augment_erase);
    const void *from = images.x.data(), *filling = fill.data();
    void* to = y.mutable_data();
    run(op, images.x, [&](const Exec& exec) { kernel(exec, s, boxes.data(), filling, from, to); });
  });
  return y;
}

py::array warp(py::handle x_object, py::handle matrices_object, py::handle fill_object) {
  const char* const op = "augment_warp";
  const Images images(op, x_object);
  const ImageShape& s = images.shape;
  const py::array matrices = images.numbers(op, "matrices", matrices_object, {s.N, 2, 3});
  const py::array fill = images.fill(op, fill_object);

  py::array y = images.empty(op, images.x.dtype(), s.H, s.W);
  by_type(images.type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().augment_warp);
    const auto* matrix = reinterpret_cast<const T(*)[6]>(data<T>(matrices));
    const void *from = images.x.data(), *filling = fill.data();
    void* to = y.mutable_data();
    run(op, images.x, [&](const Exec& exec) { kernel(exec, s, matrix, filling, from, to); });
  });
  return y;
}

py::array scale_values(py::handle x_object, py::handle scale_object, py::handle offset_object,
                       bool real) {
  const char* const op = "augment_scale";
  const Images images(op, x_object);
  const ImageShape& s = images.shape;
  const py::array scale = images.numbers(op, "scale", scale_object, {s.N, s.C});
  const py::array offset = images.numbers(op, "offset", offset_object, {s.N, s.C});

  const bool y_bytes = s.bytes && !real;
  py::array y = images.empty(op, y_bytes ? images.x.dtype() : scale.dtype(), s.H, s.W);
  by_type(images.type, [&]<class T>() {
    const auto kernel = supported(op, ops<T>().augment_scale);
    const T *factors = data<T>(scale), *summands = data<T>(offset);
    const void* from = images.x.data();
    void* to = y.mutable_data();
    run(op, images.x,
        [&](const Exec& exec) { kernel(exec, s, factors, summands, from, y_bytes, to); });
  });
  return y;
}

py::array colors(py::handle x_object, py::handle factors_object, py::handle order_object) {
  const char* const op = "augment_colors";
  const Images images(op, x_object);
  const ImageShape& s = images.shape;
  if (s.C != 3) {
    value_error(op, ": x has ", s.C, " channels; expected 3: red, green and blue");
  }
  const py::array factors = images.numbers(op, "factors", factors_object, {s.N, color_changes});
  const auto given = int64_array(op, "order", order_object, 2);
  check_shape(op, "order", given, {s.N, color_changes});
  std::vector<ColorChange> order(static_cast<size_t>(given.size()));
  for (int64_t n = 0; n < s.N; ++n) {
    unsigned seen = 0;
    for (int64_t i = color_changes * n; i < color_changes * (n + 1); ++i) {
      const int64_t change = given.data()[i];
      if (change < 0 || change >= color_changes || seen >> change & 1) {
        value_error(op, ": row ", n, " of order is no permutation of 0, 1, 2, 3");
      }
      seen |= 1U << change;
      order[static_cast<size_t>(i)] = static_cast<ColorChange>(change);
    }
  }

  py::array y = images.empty(op, images.x.dtype(), s.H, s.W);
  by_type(images.type, [&]<class T>() {
    for (int64_t n = 0; n < s.N; ++n) {
      const T* f = data<T>(factors) + color_changes * n;
      if (!(f[0] >= 0 && f[1] >= 0 && f[2] >= 0 && f[3] >= T(-0.5) && f[3] <= T(0.5))) {
        value_error(op, ": row ", n, " of factors is ", f[0], ", ", f[1], ", ", f[2], ", ", f[3],
                    "; expected three of at least 0, and a hue from -0.5 to 0.5");
      }
    }
    const Ops<T>& table = ops<T>();
    const auto kernel = supported(op, table.augment_colors);
    const auto* factor = reinterpret_cast<const T(*)[color_changes]>(data<T>(factors));
    const auto* changes = reinterpret_cast<const ColorChange(*)[color_changes]>(order.data());
    const void* from = images.x.data();
    void* to = y.mutable_data();
    run(
        op, images.x, [&](int threads) { return table.augment_colors_scratch_bytes(s, threads); },
        [&](const Exec& exec) { kernel(exec, s, factor, changes, from, to); });
  });
  return y;
}

}  // namespace

void bind_augment(py::module_& m) {
  m.def("augment_uniform", &uniform, py::arg("seed"), py::arg("epoch"), py::arg("indices"),
        py::arg("count"), py::arg("block") = 0,
        "Random numbers between 0 and 1, float64 (N, count), which the seed, the epoch and an "
        "image's index decide: those of\nPhilox 4x32-10 with the counters (index, epoch, block), "
        "(index, epoch, block + 1), ...");
  m.def("augment_crop", &crop, py::arg("x"), py::arg("top"), py::arg("left"), py::arg("height"),
        py::arg("width"), py::arg("flip"), py::arg("fill"), py::arg("reflect") = false,
        "A window of each image, (N, C, H, W) -> (N, C, height, width): from row top[n] and column "
        "left[n] on, and from right\nto left where flip[n]. Around the images is fill (C,), or "
        "they are reflected.");
  m.def("augment_erase", &erase, py::arg("x"), py::arg("boxes"), py::arg("fill"),
        "x with the rows boxes[n, 0] to boxes[n, 2] - 1 and columns boxes[n, 1] to boxes[n, 3] - 1 "
        "of image n filled.");
  m.def("augment_warp", &warp, py::arg("x"), py::arg("matrices"), py::arg("fill"),
        "Each image warped: its pixel at column w and row h is that of x at matrices[n] @ (w, h, "
        "1), a column and a row,\nbetween four pixels; fill outside.");
  m.def("augment_scale", &scale_values, py::arg("x"), py::arg("scale"), py::arg("offset"),
        py::arg("real") = false,
        "x * scale[n, c] + offset[n, c]; of uint8 images rounded and cut to 0 to 255, or real: "
        "float32.");
  m.def("augment_colors", &colors, py::arg("x"), py::arg("factors"), py::arg("order"),
        "Brightness (0), contrast (1), saturation (2) and hue (3) of each image changed by its "
        "factors (N, 4), in its order (N, 4).");
}

}  // namespace fastnn
