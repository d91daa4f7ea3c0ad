// The caching allocator beside the system's: one block taken, a byte of each of its pages written,
// and given back. Counters: page faults a call, and blocks asked of the operating system in all
// calls.
#include "memory.h"

#include <sys/resource.h>

#include <cstdlib>

#include "bench.h"

namespace fastnn::bench {
namespace {

constexpr int64_t block_sizes[] = {64, 64 << 10, 16 << 20, 103 << 20};
constexpr int64_t page = 4096;

double page_faults() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_minflt + usage.ru_majflt);
}

void touch(void* block, int64_t bytes) {
  volatile char* const p = static_cast<char*>(block);
  for (int64_t i = 0; i < bytes; i += page) p[i] = 1;
}

template <class Allocate, class Deallocate>
void blocks(benchmark::State& state, int64_t bytes, Allocate take, Deallocate give_back) {
  give_back(take(static_cast<size_t>(bytes)));  // from now on the cache has one
  const double faults = page_faults();
  const uint64_t system_blocks = memory_stats().system_blocks;
  for ([[maybe_unused]] auto _ : state) {
    void* const block = take(static_cast<size_t>(bytes));
    touch(block, bytes);
    give_back(block);
  }
  state.counters["faults"] = (page_faults() - faults) / static_cast<double>(state.iterations());
  state.counters["system_blocks"] =
      static_cast<double>(memory_stats().system_blocks - system_blocks);
}

}  // namespace

void add_memory() {
  for (const int64_t bytes : block_sizes) {
    const std::string size = std::to_string(bytes);
    benchmark::RegisterBenchmark(("memory_fastnn/" + size).c_str(), [bytes](benchmark::State& s) {
      blocks(s, bytes, allocate, deallocate);
    })->UseRealTime();
    benchmark::RegisterBenchmark(("memory_malloc/" + size).c_str(), [bytes](benchmark::State& s) {
      blocks(s, bytes, std::malloc, std::free);
    })->UseRealTime();
  }
}

}  // namespace fastnn::bench
