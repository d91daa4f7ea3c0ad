#include "threads.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

namespace fastnn {
namespace {

// Flushes denormals to zero while it lives. They cost a hundred cycles each on some processors and
// carry no information that training needs.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() noexcept : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }  // FTZ, DAZ
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#elif defined(__aarch64__)
  FlushDenormals() noexcept {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" : : "r"(saved_ | (uint64_t{1} << 24)));  // FZ
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }

 private:
  uint64_t saved_;
#else
  FlushDenormals() noexcept {}
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
};

// How many times a thread that waits for its team looks before it sleeps: 0.1 to 0.5 ms, or not at
// all where threads share a processor.
[[maybe_unused]] constexpr int most_spins = 10000;

// Between two looks at what another thread will write.
void relax() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

int affinity_cpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// CPUs granted by "quota period" in microseconds ("max 100000": no limit), or 0.
double quota_from(const std::string& quota, const std::string& period) {
  char* end = nullptr;
  const double q = std::strtod(quota.c_str(), &end);
  if (end == quota.c_str() || q <= 0) return 0;
  const double p = std::strtod(period.c_str(), nullptr);
  return p > 0 ? q / p : 0;
}

double smaller_limit(double a, double b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

// The tightest CPU quota of this process's cgroup and its parents (version 2 and 1), or 0.
double cgroup_quota() {
  double limit = 0;
#if defined(__linux__)
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    if (!v2 && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    const std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controllers;
    std::string path = line.substr(second + 1);
    while (true) {
      const std::string dir = root + (path == "/" ? "" : path);
      std::string quota, period;
      if (v2) {
        std::ifstream(dir + "/cpu.max") >> quota >> period;
      } else {
        std::ifstream(dir + "/cpu.cfs_quota_us") >> quota;
        std::ifstream(dir + "/cpu.cfs_period_us") >> period;
      }
      limit = smaller_limit(limit, quota_from(quota, period));
      if (path.empty() || path == "/") break;
      path.resize(path.rfind('/'));
    }
  }
#endif
  return limit;
}

// The value of an environment variable that must be a positive integer ("4,2" counts as 4, as
// OpenMP reads it), or 0.
int positive_from_environment(const char* name) {
  const char* text = std::getenv(name);
  if (!text) return 0;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  return end != text && (*end == 0 || *end == ',') && value > 0 && value <= most_threads
             ? static_cast<int>(value)
             : 0;
}

struct Choice {
  int threads;
  std::string reason;
};

Choice choose_threads() {
#ifndef _OPENMP
  return {1, "no OpenMP"};
#endif
  if (const int n = positive_from_environment("FASTNN_NUM_THREADS"))
    return {n, "FASTNN_NUM_THREADS"};
  if (const int n = positive_from_environment("OMP_NUM_THREADS")) return {n, "OMP_NUM_THREADS"};
  const int cpus = affinity_cpus();
  const double quota = cgroup_quota();
  if (quota > 0 && quota < cpus)
    return {std::max(1, static_cast<int>(std::lround(quota))), "cgroup CPU quota"};
  return {cpus, "CPU affinity"};
}

std::atomic<int> chosen{0};            // 0: not chosen yet
std::atomic<bool> set_by_call{false};  // set_num_threads was called
std::atomic<bool> forked{false};       // in a child of a process that had used OpenMP
std::atomic<bool> used_openmp{false};

#ifdef _OPENMP
// GNU OpenMP's pool does not survive fork(): a parallel region in the child would wait for ever for
// threads that only the parent has.
[[maybe_unused]] const int fork_handler =
    pthread_atfork(nullptr, nullptr, [] { forked = used_openmp.load(); });
#endif

}  // namespace

int num_threads() noexcept {
  if (forked) return 1;
  int n = chosen;
  if (n == 0) {
    n = choose_threads().threads;
    chosen = n;
  }
  return n;
}

void set_num_threads(int threads) noexcept {
  chosen = std::max(1, threads);
  set_by_call = true;
}

ThreadReport thread_report() {
  ThreadReport report;
  report.threads = num_threads();
  report.reason = forked        ? "one thread after fork"
                  : set_by_call ? "set_num_threads"
                                : choose_threads().reason;
  report.affinity = affinity_cpus();
  report.cgroup_quota = cgroup_quota();
#ifdef _OPENMP
  std::ostringstream runtime;
#if defined(__clang__)
  runtime << "LLVM";
#elif defined(__GNUC__)
  runtime << "GNU";
#endif
  runtime << " OpenMP " << _OPENMP;
  report.runtime = runtime.str();
#else
  report.runtime = "none";
#endif
  return report;
}

void parallel_ranges(int threads, int64_t n, int64_t grain, RangeBody body,
                     void* context) noexcept {
  if (n <= 0) return;
  [[maybe_unused]] const int64_t wanted =
      std::min<int64_t>(threads, n / std::max<int64_t>(1, grain));
#ifdef _OPENMP
  if (wanted > 1 && !forked) {
    used_openmp = true;
#pragma omp parallel num_threads(static_cast<int>(wanted))
    {
      const FlushDenormals flush;
      const int64_t count = omp_get_num_threads(), thread = omp_get_thread_num();
      const int64_t begin = n * thread / count, end = n * (thread + 1) / count;
      if (begin < end) body(context, begin, end, static_cast<int>(thread));
    }
    return;
  }
#endif
  const FlushDenormals flush;
  body(context, 0, n, 0);
}

void TeamBarrier::wait(int count) noexcept {
  const int round = round_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_release);
    round_.notify_all();
    return;
  }
  for (int i = 0; i < spins_; ++i) {
    if (round_.load(std::memory_order_acquire) != round) return;
    relax();
  }
  round_.wait(round, std::memory_order_acquire);
}

void parallel_team(int threads, TeamBody body, void* context) noexcept {
#ifdef _OPENMP
  if (threads > 1 && !forked) {
    used_openmp = true;
    TeamBarrier barrier(threads > omp_get_num_procs() ? 0 : most_spins);
#pragma omp parallel num_threads(threads)
    {
      const FlushDenormals flush;
      body(context, omp_get_thread_num(), omp_get_num_threads(), barrier);
    }
    return;
  }
#endif
  static_cast<void>(threads);
  const FlushDenormals flush;
  TeamBarrier barrier(0);
  body(context, 0, 1, barrier);
}

}  // namespace fastnn
