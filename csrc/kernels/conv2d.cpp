#include "table.h"

namespace fastnn::FASTNN_ISA {

void fill_conv2d(Ops<float>&) {}
void fill_conv2d(Ops<double>&) {}

}  // namespace fastnn::FASTNN_ISA
