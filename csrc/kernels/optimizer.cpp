#include "table.h"

namespace fastnn::FASTNN_ISA {

void fill_optimizer(Ops<float>&) {}
void fill_optimizer(Ops<double>&) {}

}  // namespace fastnn::FASTNN_ISA
