#include "table.h"

namespace fastnn::FASTNN_ISA {

void fill_layout(Ops<float>&) {}
void fill_layout(Ops<double>&) {}

}  // namespace fastnn::FASTNN_ISA
