#include "table.h"

namespace fastnn::FASTNN_ISA {

void fill_pool2d(Ops<float>&) {}
void fill_pool2d(Ops<double>&) {}

}  // namespace fastnn::FASTNN_ISA
