// Multiply-adds on as many independent accumulators as fit in the registers: nothing but the FMA
// units limits it.
#include "kernels/vec.h"

namespace fastnn::FASTNN_ISA {

double fma_loop(int64_t iterations, float* result);

// Returns the number of floating-point operations.
double fma_loop(int64_t iterations, float* result) {
  constexpr int accumulators = vector_registers == 32 ? 24 : 12;
  Vec<float> a[accumulators];
  for (int j = 0; j < accumulators; ++j) a[j] = splat(static_cast<float>(j));
  const Vec<float> x = splat(0.999f), y = splat(0.001f);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < accumulators; ++j) a[j] = fma(a[j], x, y);
  }
  Vec<float> sum{};
  for (int j = 0; j < accumulators; ++j) sum += a[j];
  *result = reduce_add<float>(sum);
  return 2.0 * accumulators * static_cast<double>(lanes<float>) * static_cast<double>(iterations);
}

}  // namespace fastnn::FASTNN_ISA
