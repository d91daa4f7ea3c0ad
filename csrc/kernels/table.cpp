// The table of this instruction set.
#include "table.h"

#include "vec.h"

namespace fastnn::FASTNN_ISA {
namespace {

template <class T>
Ops<T> make_table() {
  Ops<T> t{};
  t.isa = this_isa;
  t.lanes = lanes<T>;
  fill_layout(t);
  fill_gemm(t);
  fill_conv2d(t);
  fill_linear(t);
  fill_pool2d(t);
  fill_pool2d_backward(t);
  fill_max_unpool2d(t);
  fill_pad2d(t);
  fill_upsample2d(t);
  fill_batchnorm(t);
  fill_layernorm(t);
  fill_groupnorm(t);
  fill_local_response_norm(t);
  fill_arithmetic(t);
  fill_sum(t);
  fill_activation(t);
  fill_prelu(t);
  fill_rrelu(t);
  fill_maxout(t);
  fill_glu(t);
  fill_dropout(t);
  fill_random(t);
  fill_embedding(t);
  fill_augment(t);
  fill_augment_colors(t);
  fill_softmax(t);
  fill_loss(t);
  fill_point_loss(t);
  fill_lstm(t);
  fill_gru(t);
  fill_rnn(t);
  fill_optimizer(t);
  return t;
}

}  // namespace

const Ops<float>& table_float();
const Ops<double>& table_double();

const Ops<float>& table_float() {
  static const Ops<float> table = make_table<float>();
  return table;
}

const Ops<double>& table_double() {
  static const Ops<double> table = make_table<double>();
  return table;
}

}  // namespace fastnn::FASTNN_ISA
