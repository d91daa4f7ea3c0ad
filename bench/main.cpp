// fastnn_bench [--isa=NAME] [--threads=N] and Google Benchmark's own options.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "bench.h"

namespace {

using namespace fastnn;
using bench::setup;

constexpr const char* usage =
    "fastnn_bench [--isa=baseline|avx2|avx512|neon] [--threads=N] [--benchmark_...]\n"
    "  --isa       the table of kernels to measure; by default the best one of this processor\n"
    "  --threads   the number of threads; by default what fastnn would use\n";

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

// Takes our own options out of argv. False, after a message, where one is not valid.
bool parse(int* argc, char** argv) {
  Isa isa = current_isa();
  int threads = num_threads();
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    const char* const arg = argv[i];
    if (std::strncmp(arg, "--isa=", 6) == 0) {
      if (!isa_from_name(arg + 6, &isa)) {
        std::fprintf(stderr, "--isa is '%s'; expected baseline, avx2, avx512 or neon\n", arg + 6);
        return false;
      }
    } else if (std::strncmp(arg, "--threads=", 10) == 0) {
      char* end = nullptr;
      const long n = std::strtol(arg + 10, &end, 10);
      if (end == arg + 10 || *end || n < 1 || n > 4096) {
        std::fprintf(stderr, "--threads is '%s'; expected an integer from 1 to 4096\n", arg + 10);
        return false;
      }
      threads = static_cast<int>(n);
    } else {
      if (std::strcmp(arg, "--help") == 0) std::fputs(usage, stdout);
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  argv[kept] = nullptr;

  if (!set_isa(isa)) {
    std::fprintf(stderr, "--isa=%s: this processor or this build does not have it; available:",
                 isa_name(isa));
    for (const Isa other : {Isa::baseline, Isa::avx2, Isa::avx512, Isa::neon}) {
      if (ops_for<float>(other)) std::fprintf(stderr, " %s", isa_name(other));
    }
    std::fputc('\n', stderr);
    return false;
  }
  setup().table = &ops<float>();
  setup().baseline = ops_for<float>(Isa::baseline);
  setup().threads = threads;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (!parse(&argc, argv)) return 2;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;

  const Isa isa = setup().table->isa;
  setup().peak_gflops = bench::measure_fma_peak(isa, setup().threads);
  setup().copy_gbs = bench::measure_copy_bandwidth(setup().threads);
  benchmark::AddCustomContext("cpu", cpu_model());
  benchmark::AddCustomContext("isa", isa_name(isa));
  benchmark::AddCustomContext("threads", std::to_string(setup().threads));
  benchmark::AddCustomContext("fma_peak", rounded(setup().peak_gflops) + " GFLOP/s float32");
  benchmark::AddCustomContext("copy_bandwidth", rounded(setup().copy_gbs) + " GB/s read + written");

  bench::add_gemm();
  bench::add_conv2d();
  bench::add_linear();
  bench::add_rnn();
  bench::add_pool2d();
  bench::add_pad2d();
  bench::add_upsample2d();
  bench::add_arithmetic();
  bench::add_batchnorm();
  bench::add_groupnorm();
  bench::add_layernorm();
  bench::add_local_response_norm();
  bench::add_activation();
  bench::add_dropout();
  bench::add_random();
  bench::add_softmax();
  bench::add_loss();
  bench::add_point_loss();
  bench::add_optimizer();
  bench::add_layout();
  bench::add_augment();
  bench::add_memory();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return setup().mismatch ? 1 : 0;
}
