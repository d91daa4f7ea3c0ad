// The loop and the team of threads.h with a lambda for their body.
#pragma once

#include "../threads.h"

namespace fastnn::FASTNN_ISA {
namespace {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
constexpr int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

// Calls body(begin, end, thread) on contiguous ranges that cover [0, n). No thread starts for fewer
// than `grain` items: choose it so that they are some tens of microseconds of work.
template <class Body>
void parallel_for(const Exec& exec, int64_t n, int64_t grain, const Body& body) {
  parallel_ranges(
      exec.threads, n, grain,
      [](void* context, int64_t begin, int64_t end, int thread) {
        (*static_cast<const Body*>(context))(begin, end, thread);
      },
      const_cast<Body*>(&body));
}

// Element-wise loops walk blocks of this many elements, so that no two threads share a cache line.
constexpr int64_t element_block = 4096;

// Calls body(begin, end) on ranges of elements that cover [0, n).
template <class Body>
void parallel_elements(const Exec& exec, int64_t n, const Body& body) {
  parallel_for(exec, ceil_div(n, element_block), 8, [&](int64_t begin, int64_t end, int) {
    body(begin * element_block, min_of(end * element_block, n));
  });
}

// One of the threads that run a body together. A share of n items is a contiguous range.
struct Team {
  int thread, count;
  TeamBarrier& barrier;
  int64_t begin(int64_t n) const { return n * thread / count; }
  int64_t end(int64_t n) const { return n * (thread + 1) / count; }
  // Until all have come here.
  void wait() const {
    if (count > 1) barrier.wait(count);
  }
};

// Calls body(team) on at most `threads` threads at the same time.
template <class Body>
void parallel_team(int threads, const Body& body) {
  fastnn::parallel_team(
      threads,
      [](void* context, int thread, int count, TeamBarrier& barrier) {
        (*static_cast<const Body*>(context))(Team{thread, count, barrier});
      },
      const_cast<Body*>(&body));
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA
