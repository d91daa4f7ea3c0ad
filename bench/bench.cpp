#include "bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "memory.h"

namespace fastnn::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Of the largest expected value: room for another order of summation and for Winograd's transforms.
constexpr double tolerance = 1e-4;

// The largest difference in terms of the largest expected value; NaN where either holds a NaN.
double relative_error(const std::vector<float>& expected, const float* got) {
  double difference = 0, scale = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d = std::abs(static_cast<double>(expected[i]) - static_cast<double>(got[i]));
    if (std::isnan(d)) return d;
    difference = std::max(difference, d);
    scale = std::max(scale, std::abs(static_cast<double>(expected[i])));
  }
  return difference == 0 ? 0 : difference / scale;
}

}  // namespace

Setup& setup() {
  static Setup s;
  return s;
}

Array::Array(int64_t n)
    : data_(static_cast<float*>(allocate(static_cast<size_t>(n) * sizeof(float)))), n_(n) {
  if (!data_) throw std::bad_alloc();
  std::fill_n(data_, n, std::numeric_limits<float>::quiet_NaN());
}

Array Array::uniform(int64_t n, uint32_t seed) {
  Array a(n);
  uint32_t state = seed;
  for (int64_t i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' linear congruential generator
    a[i] = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
  }
  return a;
}

Array::Array(Array&& other) noexcept : data_(std::exchange(other.data_, nullptr)), n_(other.n_) {}

Array::~Array() { deallocate(data_); }

std::string join(std::initializer_list<int64_t> sizes) {
  std::string text;
  for (const int64_t n : sizes) {
    if (!text.empty()) text += ',';
    text += std::to_string(n);
  }
  return text;
}

void Bench::run(const Cost& cost, const Array& output, const Supported& supported,
                const ScratchBytes& scratch_bytes, const Call& call) {
  Setup& s = setup();
  if (!supported(*s.table)) {
    state_.SkipWithError("not supported");
    return;
  }
  const auto prepared = [&](const Table& table) {
    auto scratch = std::make_shared<Scratch>(scratch_bytes(table, s.threads));
    return [&, scratch] { call(table, Exec{.threads = s.threads, .scratch = scratch->data()}); };
  };
  const auto kernel = prepared(*s.table);

  const bool comparable = s.baseline && s.baseline != s.table && supported(*s.baseline);
  if (!comparable) state_.SetLabel("unchecked");
  if (comparable && !checked_) {
    const std::vector<float> initial(output + 0, output + output.size());
    prepared (*s.baseline)();
    const std::vector<float> expected(output + 0, output + output.size());
    std::copy(initial.begin(), initial.end(), output + 0);
    kernel();
    const double error = relative_error(expected, output);
    if (!(error <= tolerance)) {
      s.mismatch = true;
      char text[120];
      std::snprintf(text, sizeof text,
                    "differs from the baseline table: relative error %.1e, allowed %.0e", error,
                    tolerance);
      state_.SkipWithError(text);
      return;
    }
    checked_ = true;
  }

  double best = std::numeric_limits<double>::infinity();
  for ([[maybe_unused]] auto _ : state_) {
    const auto start = Clock::now();
    kernel();
    benchmark::ClobberMemory();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  if (cost.flops > 0) {
    const double gflops = cost.flops / best * 1e-9;
    state_.counters["GFLOP/s"] = gflops;
    state_.counters["%peak"] = 100 * gflops / s.peak_gflops;
  }
  if (cost.bytes > 0) {
    const double gbs = cost.bytes / best * 1e-9;
    state_.counters["GB/s"] = gbs;
    state_.counters["%copy"] = 100 * gbs / s.copy_gbs;
  }
}

void add(const std::string& op, const std::string& shape, std::function<void(Bench&)> body) {
  const std::string name = op + "/" + shape + "/float32";
  benchmark::RegisterBenchmark(
      name.c_str(),
      [body = std::move(body), checked = std::make_shared<bool>(false)](benchmark::State& state) {
        Bench bench(state, *checked);
        body(bench);
      })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace fastnn::bench
