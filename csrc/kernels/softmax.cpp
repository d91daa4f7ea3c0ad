#include "table.h"

namespace fastnn::FASTNN_ISA {

void fill_softmax(Ops<float>&) {}
void fill_softmax(Ops<double>&) {}

}  // namespace fastnn::FASTNN_ISA
