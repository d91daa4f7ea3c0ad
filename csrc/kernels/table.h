// What table.cpp gathers: each stem writes its entries into the table of its instruction set.
#pragma once

#include "../fastnn.h"

namespace fastnn::FASTNN_ISA {

#define FASTNN_STEM(name)        \
  void fill_##name(Ops<float>&); \
  void fill_##name(Ops<double>&);
FASTNN_STEM(layout)
FASTNN_STEM(gemm)
FASTNN_STEM(conv2d)
FASTNN_STEM(linear)
FASTNN_STEM(pool2d)
FASTNN_STEM(pool2d_backward)
FASTNN_STEM(max_unpool2d)
FASTNN_STEM(pad2d)
FASTNN_STEM(upsample2d)
FASTNN_STEM(batchnorm)
FASTNN_STEM(layernorm)
FASTNN_STEM(groupnorm)
FASTNN_STEM(local_response_norm)
FASTNN_STEM(arithmetic)
FASTNN_STEM(sum)
FASTNN_STEM(activation)
FASTNN_STEM(prelu)
FASTNN_STEM(rrelu)
FASTNN_STEM(maxout)
FASTNN_STEM(glu)
FASTNN_STEM(dropout)
FASTNN_STEM(random)
FASTNN_STEM(embedding)
FASTNN_STEM(augment)
FASTNN_STEM(augment_colors)
FASTNN_STEM(softmax)
FASTNN_STEM(loss)
FASTNN_STEM(point_loss)
FASTNN_STEM(lstm)
FASTNN_STEM(gru)
FASTNN_STEM(rnn)
FASTNN_STEM(optimizer)
#undef FASTNN_STEM

}  // namespace fastnn::FASTNN_ISA
