// The layer shapes that are measured, here and by bench/compare (which reads the tables below: one
// {...} a line).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

namespace fastnn::bench {

// Several tables, to be walked as one.
template <class Size>
using Tables = std::initializer_list<std::span<const Size>>;

struct GemmSize {
  int64_t M, N, K;
};
inline constexpr GemmSize gemm_sizes[] = {
    {512, 512, 512}, {768, 768, 768}, {1024, 1024, 1024}, {1536, 1536, 1536}, {2048, 2048, 2048},
};
inline constexpr GemmSize gemm_other_sizes[] = {
    {256, 256, 256},
    {100352, 64, 64},  // a 1x1 convolution
};

// Square images and filters; groups is 1 where it is left out. One table for each group of shapes
// that is judged together.
struct ConvSize {
  int64_t N, C, H, K, R, stride, pad, groups = 1;
};
inline constexpr ConvSize conv2d_3x3_sizes[] = {
    {32, 64, 56, 64, 3, 1, 1},
    {32, 128, 28, 128, 3, 1, 1},
    {32, 256, 14, 256, 3, 1, 1},
    {32, 512, 7, 512, 3, 1, 1},
    // VGG-16, batch 8
    {8, 64, 224, 64, 3, 1, 1},
    {8, 64, 112, 128, 3, 1, 1},
    {8, 128, 112, 128, 3, 1, 1},
    {8, 128, 56, 256, 3, 1, 1},
    {8, 256, 56, 256, 3, 1, 1},
    {8, 256, 28, 512, 3, 1, 1},
    {8, 512, 28, 512, 3, 1, 1},
    {8, 512, 14, 512, 3, 1, 1},
    // ResNet-18 and ResNet-50, batch 16
    {16, 64, 56, 64, 3, 1, 1},
    {16, 128, 28, 128, 3, 1, 1},
    {16, 256, 14, 256, 3, 1, 1},
    {16, 512, 7, 512, 3, 1, 1},
    // AlexNet, batch 32
    {32, 192, 13, 384, 3, 1, 1},
    {32, 384, 13, 256, 3, 1, 1},
    {32, 256, 13, 256, 3, 1, 1},
    // CIFAR ResNet-20, batch 128
    {128, 64, 8, 64, 3, 1, 1},
};
inline constexpr ConvSize conv2d_1x1_sizes[] = {
    {32, 64, 56, 256, 1, 1, 0},
    {32, 256, 56, 64, 1, 1, 0},
    {32, 256, 56, 128, 1, 2, 0},
    {32, 1024, 14, 256, 1, 1, 0},
};
inline constexpr ConvSize conv2d_1x1_resnet_sizes[] = {
    // ResNet-50, batch 16
    {16, 64, 56, 64, 1, 1, 0},
    {16, 64, 56, 256, 1, 1, 0},
    {16, 256, 56, 64, 1, 1, 0},
    {16, 256, 56, 128, 1, 1, 0},
    {16, 128, 28, 512, 1, 1, 0},
    {16, 512, 28, 128, 1, 1, 0},
    {16, 512, 28, 256, 1, 1, 0},
    {16, 256, 14, 1024, 1, 1, 0},
    {16, 1024, 14, 256, 1, 1, 0},
    {16, 1024, 14, 512, 1, 1, 0},
    {16, 512, 7, 2048, 1, 1, 0},
    {16, 2048, 7, 512, 1, 1, 0},
    {16, 256, 56, 512, 1, 2, 0},
    {16, 512, 28, 1024, 1, 2, 0},
    {16, 1024, 14, 2048, 1, 2, 0},
    // ResNet-18, batch 16
    {16, 64, 56, 128, 1, 2, 0},
    {16, 128, 28, 256, 1, 2, 0},
    {16, 256, 14, 512, 1, 2, 0},
};
inline constexpr ConvSize conv2d_first_sizes[] = {
    // ResNet
    {32, 3, 224, 64, 7, 2, 3},
    {16, 3, 224, 64, 7, 2, 3},
    // AlexNet
    {32, 3, 224, 64, 11, 4, 2},
    // VGG-16
    {8, 3, 224, 64, 3, 1, 1},
    // CIFAR ResNet-20
    {128, 3, 32, 16, 3, 1, 1},
};
inline constexpr ConvSize conv2d_stride_2_sizes[] = {
    {32, 128, 56, 128, 3, 2, 1},
    // ResNet-18
    {16, 64, 56, 128, 3, 2, 1},
    {16, 128, 28, 256, 3, 2, 1},
    {16, 256, 14, 512, 3, 2, 1},
    // ResNet-50
    {16, 128, 56, 128, 3, 2, 1},
    {16, 256, 28, 256, 3, 2, 1},
    {16, 512, 14, 512, 3, 2, 1},
    // CIFAR ResNet-20
    {128, 16, 32, 32, 3, 2, 1},
    {128, 32, 16, 64, 3, 2, 1},
};
inline constexpr ConvSize conv2d_5x5_sizes[] = {
    {32, 48, 27, 256, 5, 1, 2},
    // AlexNet
    {32, 64, 27, 192, 5, 1, 2},
    // LeNet-5
    {128, 1, 28, 6, 5, 1, 2},
    {128, 6, 14, 16, 5, 1, 0},
};
inline constexpr ConvSize conv2d_grouped_sizes[] = {
    // depthwise
    {32, 128, 56, 128, 3, 1, 1, 128},
    {32, 128, 56, 128, 3, 2, 1, 128},
    {32, 512, 14, 512, 3, 1, 1, 512},
    // depthwise, 2 and 4 filters a channel
    {32, 64, 28, 128, 3, 1, 1, 64},
    {32, 32, 56, 128, 3, 2, 1, 32},
    // ResNeXt-50
    {32, 128, 56, 128, 3, 1, 1, 32},
    {16, 256, 56, 256, 3, 2, 1, 32},
    {16, 256, 28, 256, 3, 1, 1, 32},
    {16, 512, 28, 512, 3, 2, 1, 32},
    {16, 512, 14, 512, 3, 1, 1, 32},
    {16, 1024, 14, 1024, 3, 2, 1, 32},
    {16, 1024, 7, 1024, 3, 1, 1, 32},
    // RegNetX-1.6GF
    {16, 168, 28, 168, 3, 1, 1, 7},
    // AlexNet in its form of 2012
    {32, 96, 27, 256, 5, 1, 2, 2},
};
inline constexpr ConvSize conv2d_narrow_sizes[] = {
    // CIFAR ResNet-20
    {128, 16, 32, 16, 3, 1, 1},
    {128, 32, 16, 32, 3, 1, 1},
};

struct LinearSize {
  int64_t N, I, O;
};
inline constexpr LinearSize linear_sizes[] = {
    {32, 9216, 4096},
    {128, 784, 256},
    {1, 4096, 4096},
};
inline constexpr LinearSize linear_model_sizes[] = {
    // LeNet-5
    {128, 400, 120},
    {128, 120, 84},
    {128, 84, 10},
    // AlexNet
    {32, 4096, 4096},
    {32, 4096, 1000},
    // VGG-16
    {8, 25088, 4096},
    {8, 4096, 4096},
    {8, 4096, 1000},
    // ResNet-18, ResNet-50, CIFAR ResNet-20
    {16, 512, 1000},
    {16, 2048, 1000},
    {128, 64, 10},
};

// T steps of N sequences, I features to H hidden units.
struct RecurrentSize {
  int64_t T, N, I, H, layers = 1, directions = 1;
};
inline constexpr RecurrentSize recurrent_sizes[] = {
    {50, 1, 64, 64},    {100, 32, 128, 256},   {50, 64, 512, 512},        {200, 16, 64, 128},
    {35, 20, 650, 650}, {64, 32, 256, 256, 2}, {100, 32, 128, 256, 1, 2},
};

struct PoolSize {
  int64_t N, C, H, R, stride, pad;
};
inline constexpr PoolSize max_pool2d_sizes[] = {
    {32, 64, 112, 2, 2, 0},
    // ResNet
    {32, 64, 112, 3, 2, 1},
    {16, 64, 112, 3, 2, 1},
    // VGG-16
    {8, 64, 224, 2, 2, 0},
    {8, 128, 112, 2, 2, 0},
    {8, 256, 56, 2, 2, 0},
    {8, 512, 28, 2, 2, 0},
    {8, 512, 14, 2, 2, 0},
    // AlexNet
    {32, 64, 55, 3, 2, 0},
    {32, 192, 27, 3, 2, 0},
    {32, 256, 13, 3, 2, 0},
    // LeNet-5
    {128, 6, 28, 2, 2, 0},
    {128, 16, 10, 2, 2, 0},
};
inline constexpr PoolSize avg_pool2d_sizes[] = {
    {32, 64, 112, 2, 2, 0},
    {32, 64, 112, 3, 2, 1},
    {32, 2048, 7, 7, 1, 0},
    // LeNet-5
    {128, 6, 28, 2, 2, 0},
    {128, 16, 10, 2, 2, 0},
};

// Windows of which out x out share H x H pixels.
struct AdaptivePoolSize {
  int64_t N, C, H, out;
};
inline constexpr AdaptivePoolSize adaptive_avg_pool2d_sizes[] = {
    // ResNet-50, ResNet-18, CIFAR ResNet-20
    {16, 2048, 7, 1},
    {16, 512, 7, 1},
    {128, 64, 8, 1},
    // AlexNet for larger images
    {32, 256, 13, 6},
};

// Images of H x H pixels, padded on all sides.
struct PadSize {
  int64_t N, C, H, pad;
};
inline constexpr PadSize pad2d_sizes[] = {
    {16, 64, 56, 1},
    {16, 256, 56, 1},
    {32, 3, 224, 3},
};

// Images of H x H pixels resized to P x P.
struct ResizeSize {
  int64_t N, C, H, P;
};
inline constexpr ResizeSize upsample2d_sizes[] = {
    {16, 64, 28, 56},
    {16, 64, 56, 112},
    {16, 21, 56, 84},
    {16, 3, 112, 224},
};

// Images of H x H pixels.
struct BatchNormSize {
  int64_t N, C, H;
};
inline constexpr BatchNormSize batch_norm_sizes[] = {
    {32, 64, 112},
    // ResNet-18 and ResNet-50, batch 16
    {16, 64, 112},
    {16, 64, 56},
    {16, 128, 28},
    {16, 256, 14},
    {16, 512, 7},
    {16, 256, 56},
    {16, 128, 56},
    {16, 512, 28},
    {16, 256, 28},
    {16, 1024, 14},
    {16, 512, 14},
    {16, 2048, 7},
    // CIFAR ResNet-20, batch 128
    {128, 16, 32},
    {128, 32, 16},
    {128, 64, 8},
};

// Rows of D elements.
struct LayerNormSize {
  int64_t N, D;
};
inline constexpr LayerNormSize layer_norm_sizes[] = {
    {4096, 768},
    {4096, 256},
};

struct GroupNormSize {
  int64_t N, C, H, groups;
};
inline constexpr GroupNormSize group_norm_sizes[] = {
    {16, 256, 56, 32},
    {16, 512, 7, 32},
};

struct InstanceNormSize {
  int64_t N, C, H;
};
inline constexpr InstanceNormSize instance_norm_sizes[] = {
    {16, 64, 112},
};

// Windows of `size` channels.
struct LocalResponseNormSize {
  int64_t N, C, H, size;
};
inline constexpr LocalResponseNormSize local_response_norm_sizes[] = {
    // AlexNet in its form of 2012
    {32, 96, 55, 5},
    {32, 256, 27, 5},
};

struct ElementCount {
  int64_t n;
};
inline constexpr ElementCount activation_sizes[] = {
    {25690112},  // 32 x 64 x 112 x 112
};
inline constexpr ElementCount small_activation_sizes[] = {
    {4},
    {602112},  // LeNet-5: 128 x 6 x 28 x 28
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

// Parameters: that many tensors of n elements.
struct ParameterCount {
  int64_t tensors, n;
};
inline constexpr ParameterCount optimizer_sizes[] = {
    {1, 25000000},
    {160, 156250},  // about ResNet-50
};
inline constexpr ParameterCount small_optimizer_sizes[] = {
    {10, 6170},  // about LeNet-5
};

}  // namespace fastnn::bench
