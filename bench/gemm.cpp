#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

void gemm(Bench& bench, const GemmSize& z) {
  const GemmShape s{.M = z.M,
                    .N = z.N,
                    .K = z.K,
                    .a_row = z.K,
                    .a_col = 1,
                    .b_row = z.N,
                    .b_col = 1,
                    .c_row = z.N};
  const Array a = Array::uniform(s.M * s.K, 1), b = Array::uniform(s.K * s.N, 2), c(s.M * s.N);
  const float* const bias = nullptr;
  bench.measure({.flops = 2.0 * static_cast<double>(s.M * s.N * s.K)}, c,
                &Table::gemm_scratch_bytes, &Table::gemm, s, a, b, bias, c, false);
}

}  // namespace

void add_gemm() {
  for (const auto sizes : Tables<GemmSize>{gemm_sizes, gemm_other_sizes}) {
    for (const GemmSize& z : sizes) {
      add("gemm", join({z.M, z.N, z.K}), [&z](Bench& b) { gemm(b, z); });
    }
  }
}

}  // namespace fastnn::bench
