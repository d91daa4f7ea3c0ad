// Threads: how many, and the one loop that uses them.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "fastnn.h"

namespace fastnn {

// Many more than processors have; a system that cannot start so many ends the process.
constexpr int most_threads = 4096;

using RangeBody = void (*)(void* context, int64_t begin, int64_t end, int thread);

// Calls body on contiguous ranges that cover [0, n), on at most `threads` threads and with at least
// `grain` items each. `thread` counts from 0 to the number of threads in use. Denormals are flushed
// to zero inside, whatever the thread, and the caller's floating-point state is restored. A body
// must not let its result depend on how the range was cut.
void parallel_ranges(int threads, int64_t n, int64_t grain, RangeBody body, void* context) noexcept;

// Where the threads of a team meet, many times in a millisecond: OpenMP's own barrier enters the
// kernel each time.
class TeamBarrier {
 public:
  // A thread that waits looks so many times before it sleeps.
  explicit TeamBarrier(int spins) noexcept : spins_(spins) {}
  // Returns when all `count` threads of the team have called it.
  void wait(int count) noexcept;

 private:
  const int spins_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> round_{0};
};

// Calls body(context, thread, count, barrier) on `count` threads at the same time, at most
// `threads`. Denormals as above; the result must not depend on `count`.
using TeamBody = void (*)(void* context, int thread, int count, TeamBarrier& barrier);
void parallel_team(int threads, TeamBody body, void* context) noexcept;

// How num_threads() came about, for `fastnn info`.
struct ThreadReport {
  int threads;
  std::string reason;
  int affinity;         // CPUs in this process's affinity mask
  double cgroup_quota;  // CPUs that the cgroup grants, 0 for no limit
  std::string runtime;  // the OpenMP runtime's name and version, or "none"
};
ThreadReport thread_report();

}  // namespace fastnn
