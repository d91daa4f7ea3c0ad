// fastnn_conv2d_algorithms: direct convolution against Winograd's algorithm over channels, groups,
// image sizes and batches, one line a shape: microseconds of the fastest call of each, and their
// ratio (above 1 where Winograd's is the faster one). The thresholds of conv2d.cpp come from it.
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "fastnn.h"
#include "memory.h"

namespace {

using namespace fastnn;
using Clock = std::chrono::steady_clock;

constexpr double seconds_per_shape = 0.03;
constexpr double most_flops = 4e9;

struct Block {
  explicit Block(int64_t n) : data(static_cast<float*>(allocate(static_cast<size_t>(n) * 4))) {
    std::fill_n(data, n, 0.5f);
  }
  ~Block() { deallocate(data); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  float* data;
};

double seconds(const auto& call) {
  const auto start = Clock::now();
  call();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void compare(bool forward, Conv2dShape s) {
  const Ops<float>& table = ops<float>();
  const int threads = num_threads();
  const Block x(s.N * s.C * s.H * s.W), w(s.K * (s.C / s.groups) * s.R * s.S),
      y(s.N * s.K * s.P * s.Q);
  const auto call = [&](Conv2dAlgorithm algorithm) {
    s.algorithm = algorithm;
    const Scratch scratch(forward ? table.conv2d_forward_scratch_bytes(s, threads)
                                  : table.conv2d_backward_input_scratch_bytes(s, threads));
    const Exec exec{threads, scratch.data()};
    if (forward) {
      table.conv2d_forward(exec, s, x.data, w.data, {}, y.data);
    } else {
      table.conv2d_backward_input(exec, s, y.data, w.data, {}, x.data);
    }
  };
  const auto direct = [&] { call(Conv2dAlgorithm::direct); };
  const auto winograd = [&] { call(Conv2dAlgorithm::winograd); };
  double best_direct = seconds(direct), best_winograd = seconds(winograd);
  const auto start = Clock::now();
  do {
    best_direct = std::min(best_direct, seconds(direct));
    best_winograd = std::min(best_winograd, seconds(winograd));
  } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds_per_shape);
  std::printf("%-14s %5lld %5lld %5lld %6lld %5lld %5lld %12.1f %12.1f %8.2f\n",
              forward ? "forward" : "backward_input", static_cast<long long>(s.R),
              static_cast<long long>(s.C), static_cast<long long>(s.K),
              static_cast<long long>(s.groups), static_cast<long long>(s.H),
              static_cast<long long>(s.N), best_direct * 1e6, best_winograd * 1e6,
              best_direct / best_winograd);
}

}  // namespace

int main() {
  std::printf("%-14s %5s %5s %5s %6s %5s %5s %12s %12s %8s\n", "pass", "R", "C", "K", "groups", "H",
              "N", "direct us", "winograd us", "ratio");
  constexpr struct {
    int64_t C, K, groups;
  } channels[] = {{3, 64, 1},     {8, 8, 1},     {8, 64, 1},    {16, 16, 1},    {16, 64, 1},
                  {64, 16, 1},    {32, 32, 1},   {64, 64, 1},   {64, 3, 1},     {64, 8, 1},
                  {128, 128, 1},  {256, 256, 1}, {512, 512, 1}, {192, 192, 16}, {96, 96, 4},
                  {512, 512, 32}, {256, 256, 8}, {128, 128, 2}};
  for (const int64_t R : {3, 5}) {
    for (const auto& [C, K, groups] : channels) {
      for (const int64_t H : {1, 2, 4, 7, 14, 28, 56}) {
        for (const int64_t N : {1, 8, 32}) {
          if (2.0 * static_cast<double>(N * C / groups * K * H * H * R * R) > most_flops) continue;
          for (const bool forward : {true, false}) {
            compare(forward, {.N = N,
                              .C = C,
                              .H = H,
                              .W = H,
                              .K = K,
                              .R = R,
                              .S = R,
                              .P = H,
                              .Q = H,
                              .stride_h = 1,
                              .stride_w = 1,
                              .pad_h = R / 2,
                              .pad_w = R / 2,
                              .dilation_h = 1,
                              .dilation_w = 1,
                              .groups = groups});
          }
        }
      }
    }
  }
}
