// What the benchmarks share: the table under test and the ceilings it is held against, arrays, and
// Bench::measure, which checks a kernel against the baseline table and then times it.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>

#include "fastnn.h"

namespace fastnn::bench {

using Table = Ops<float>;

// What the command line chose and what was measured at the start.
struct Setup {
  const Table* table = nullptr;
  const Table* baseline = nullptr;  // null where it is not compiled in
  int threads = 1;
  double peak_gflops = 0;  // FMA peak of the table's instruction set on `threads` threads
  double copy_gbs = 0;     // large copies on `threads` threads, bytes read + written
  bool mismatch = false;   // some benchmark's result differed from the baseline table's
};
Setup& setup();

double measure_fma_peak(Isa isa, int threads);  // GFLOP/s
double measure_copy_bandwidth(int threads);     // GB/s

// n floats from fastnn's allocator, which a kernel takes as a pointer.
class Array {
 public:
  explicit Array(int64_t n);                       // NaN, so that an element left out shows
  static Array uniform(int64_t n, uint32_t seed);  // in [-1, 1)
  Array(Array&& other) noexcept;
  ~Array();
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  operator float*() const noexcept { return data_; }
  int64_t size() const noexcept { return n_; }

 private:
  float* data_;
  int64_t n_;
};

// What one call of a kernel does, in the least work that the formula and the arrays allow. Bytes
// read + written; 0 for what is not to be reported.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

// "32,64,56,64,3,1,1"
std::string join(std::initializer_list<int64_t> sizes);

// One benchmark while it runs.
class Bench {
 public:
  Bench(benchmark::State& state, bool& checked) : state_(state), checked_(checked) {}
  benchmark::State& state() const noexcept { return state_; }

  // Times table.op(exec, args...), which writes (or updates) `output`. Counters are those of the
  // fastest call: noise of a shared machine only adds.
  template <class... Params, class... Args>
  void measure(const Cost& cost, const Array& output, void (*Table::*op)(const Exec&, Params...),
               const Args&... args) {
    run(
        cost, output, [op](const Table& t) { return t.*op != nullptr; },
        [](const Table&, int) { return size_t{0}; },
        [&](const Table& t, const Exec& exec) { (t.*op)(exec, args...); });
  }

  // The same for an op with scratch memory.
  template <class Shape, class... Params, class... Args>
  void measure(const Cost& cost, const Array& output,
               size_t (*Table::*scratch_bytes)(const Shape&, int),
               void (*Table::*op)(const Exec&, const Shape&, Params...), const Shape& shape,
               const Args&... args) {
    run(
        cost, output,
        [=](const Table& t) { return t.*op != nullptr && t.*scratch_bytes != nullptr; },
        [=, &shape](const Table& t, int threads) { return (t.*scratch_bytes)(shape, threads); },
        [&](const Table& t, const Exec& exec) { (t.*op)(exec, shape, args...); });
  }

 private:
  using Supported = std::function<bool(const Table&)>;
  using ScratchBytes = std::function<size_t(const Table&, int threads)>;
  using Call = std::function<void(const Table&, const Exec&)>;
  void run(const Cost&, const Array& output, const Supported&, const ScratchBytes&, const Call&);

  benchmark::State& state_;
  bool& checked_;  // Google Benchmark calls a body several times; one check is enough
};

// Registers `<op>/<shape>/float32`.
void add(const std::string& op, const std::string& shape, std::function<void(Bench&)> body);

void add_gemm();
void add_conv2d();
void add_linear();
void add_rnn();
void add_pool2d();
void add_pad2d();
void add_upsample2d();
void add_arithmetic();
void add_batchnorm();
void add_groupnorm();
void add_layernorm();
void add_local_response_norm();
void add_activation();
void add_dropout();
void add_random();
void add_softmax();
void add_loss();
void add_point_loss();
void add_optimizer();
void add_layout();
void add_augment();
void add_memory();

}  // namespace fastnn::bench
