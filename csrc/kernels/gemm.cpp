#include "table.h"

namespace fastnn::FASTNN_ISA {

void fill_gemm(Ops<float>&) {}
void fill_gemm(Ops<double>&) {}

}  // namespace fastnn::FASTNN_ISA
