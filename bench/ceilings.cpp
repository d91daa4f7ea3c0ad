#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>

#include "bench.h"
#include "threads.h"

namespace fastnn {

#define FASTNN_DECLARE_LOOP(isa)                      \
  namespace isa {                                     \
  double fma_loop(int64_t iterations, float* result); \
  }
FASTNN_DECLARE_LOOP(baseline)
FASTNN_DECLARE_LOOP(avx2)
FASTNN_DECLARE_LOOP(avx512)
FASTNN_DECLARE_LOOP(neon)
#undef FASTNN_DECLARE_LOOP

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;
using Loop = double (*)(int64_t, float*);

constexpr int repetitions = 20;

Loop loop_for(Isa isa) {
  switch (isa) {
#ifdef FASTNN_HAS_BASELINE
    case Isa::baseline:
      return baseline::fma_loop;
#endif
#ifdef FASTNN_HAS_AVX2
    case Isa::avx2:
      return avx2::fma_loop;
#endif
#ifdef FASTNN_HAS_AVX512
    case Isa::avx512:
      return avx512::fma_loop;
#endif
#ifdef FASTNN_HAS_NEON
    case Isa::neon:
      return neon::fma_loop;
#endif
    default:
      return nullptr;
  }
}

// Calls body(begin, end) on a range of [0, n) on each thread; the fastest of some calls, in
// seconds.
template <class Body>
double best_seconds(int threads, int64_t n, const Body& body) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repetitions; ++i) {
    const auto start = Clock::now();
    parallel_ranges(
        threads, n, 1,
        [](void* context, int64_t begin, int64_t end, int) {
          (*static_cast<const Body*>(context))(begin, end);
        },
        const_cast<Body*>(&body));
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

}  // namespace

double measure_fma_peak(Isa isa, int threads) {
  constexpr int64_t iterations = 4'000'000;  // some 15 ms
  const Loop loop = loop_for(isa);
  std::atomic<double> flops_per_thread{0};
  const double seconds = best_seconds(threads, threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float result;
      flops_per_thread = loop(iterations, &result);
      benchmark::DoNotOptimize(result);
    }
  });
  return flops_per_thread * threads / seconds * 1e-9;
}

double measure_copy_bandwidth(int threads) {
  constexpr int64_t n = 32 << 20;  // 128 MiB an array: several times the largest caches
  const Array source = Array::uniform(n, 1);
  const Array target(n);
  const double seconds = best_seconds(threads, n, [&](int64_t begin, int64_t end) {
    std::memcpy(target + begin, source + begin, static_cast<size_t>(end - begin) * sizeof(float));
    benchmark::ClobberMemory();
  });
  return 2.0 * sizeof(float) * static_cast<double>(n) / seconds * 1e-9;
}

}  // namespace bench
}  // namespace fastnn
