// The layer shapes that are measured, here and by bench/compare (which reads the tables below: one
// {...} a line).
#pragma once

#include <cstdint>

namespace fastnn::bench {

struct GemmSize {
  int64_t M, N, K;
};
inline constexpr GemmSize gemm_sizes[] = {
    {256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {100352, 64, 64},
};

// Square images and filters; groups is 1 where it is left out.
struct ConvSize {
  int64_t N, C, H, K, R, stride, pad, groups = 1;
};
inline constexpr ConvSize conv2d_sizes[] = {
    {128, 1, 28, 6, 5, 1, 2},                                     // LeNet-5
    {128, 6, 14, 16, 5, 1, 0},        {32, 64, 56, 64, 3, 1, 1},  // ResNet, VGG
    {32, 128, 28, 128, 3, 1, 1},      {32, 256, 14, 256, 3, 1, 1}, {32, 512, 7, 512, 3, 1, 1},
    {8, 64, 224, 64, 3, 1, 1},        {8, 3, 224, 64, 3, 1, 1},    // first layers
    {32, 3, 224, 64, 7, 2, 3},        {32, 64, 56, 256, 1, 1, 0},  // bottlenecks
    {32, 256, 56, 64, 1, 1, 0},       {32, 256, 56, 128, 1, 2, 0}, {32, 1024, 14, 256, 1, 1, 0},
    {32, 128, 56, 128, 3, 2, 1},      {32, 48, 27, 256, 5, 1, 2},  // AlexNet
    {32, 128, 56, 128, 3, 1, 1, 128},                              // depthwise
};

struct LinearSize {
  int64_t N, I, O;
};
inline constexpr LinearSize linear_sizes[] = {
    {128, 400, 120},  // LeNet-5
    {128, 120, 84},  {128, 84, 10}, {128, 784, 256}, {32, 9216, 4096}, {1, 4096, 4096},
};

struct PoolSize {
  int64_t N, C, H, R, stride, pad;
};
inline constexpr PoolSize pool2d_sizes[] = {
    {128, 6, 28, 2, 2, 0},                          // LeNet-5
    {128, 16, 10, 2, 2, 0}, {8, 64, 224, 2, 2, 0},  // VGG
    {8, 128, 112, 2, 2, 0}, {8, 256, 56, 2, 2, 0},  {8, 512, 28, 2, 2, 0},
    {8, 512, 14, 2, 2, 0},  {32, 64, 55, 3, 2, 0},  // AlexNet
    {32, 192, 27, 3, 2, 0}, {32, 256, 13, 3, 2, 0}, {32, 64, 112, 2, 2, 0},
    {32, 64, 112, 3, 2, 1},  // ResNet
    {32, 2048, 7, 7, 1, 0},
};

struct ElementCount {
  int64_t n;
};
inline constexpr ElementCount activation_sizes[] = {
    {4},
    {602112},    // LeNet-5: 128 x 6 x 28 x 28
    {25690112},  // 32 x 64 x 112 x 112
};

struct SoftmaxSize {
  int64_t N, C;
};
inline constexpr SoftmaxSize softmax_sizes[] = {
    {128, 10},
    {32, 1000},
    {4096, 1000},
};

// Images of H x H pixels between channels-first and channels-last.
struct LayoutSize {
  int64_t N, C, H;
};
inline constexpr LayoutSize layout_sizes[] = {
    {128, 6, 28},
    {32, 3, 224},
    {32, 64, 112},
};

// Parameters of one tensor each.
struct ParameterCount {
  int64_t n;
};
inline constexpr ParameterCount optimizer_sizes[] = {
    {61706},     // LeNet-5
    {25000000},  // ResNet-50
};

}  // namespace fastnn::bench
