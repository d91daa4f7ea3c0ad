#include "table.h"

namespace fastnn::FASTNN_ISA {

void fill_linear(Ops<float>&) {}
void fill_linear(Ops<double>&) {}

}  // namespace fastnn::FASTNN_ISA
