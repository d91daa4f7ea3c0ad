// Softmax cross-entropy: loss[n] = log(sum_c exp(x[n][c])) - x[n][labels[n]] and, on request, y =
// log softmax of x; backward dx[n][c] = dloss[n] (exp(y[n][c]) - (c == labels[n])). Rows whose
// label is ignore_index have loss 0 and dx 0. Dense rows of C; parallel over rows. Reads x 3 times,
// from the cache after the first, and writes y once; backward reads y and writes dx.
#include "softmax.h"
#include "table.h"

namespace fastnn::FASTNN_ISA {
namespace {

// The bindings refuse other labels outside of the classes; but labels belong to the caller, whose
// other threads may write to them meanwhile, and no address may depend on that.
constexpr bool counts(int64_t label, int64_t ignore_index, int64_t C) {
  return label != ignore_index && label >= 0 && label < C;
}

template <class T>
void cross_entropy_forward(const Exec& exec, const SoftmaxShape& s, const T* x,
                           const int64_t* labels, int64_t ignore_index, T* loss, T* y) {
  parallel_rows(exec, s, [&](int64_t n) {
    const T* xn = x + n * s.C;
    const int64_t label = labels[n];
    const bool ignored = !counts(label, ignore_index, s.C);
    if (ignored) loss[n] = 0;
    if (ignored && !y) return;
    const LogSumExp<T> l = log_sum_exp(s.C, xn);
    if (!ignored) loss[n] = l.log_sum - (xn[label] - l.max);
    if (y) log_softmax_row(s.C, l, xn, y + n * s.C);
  });
}

template <class T>
void cross_entropy_backward(const Exec& exec, const SoftmaxShape& s, const T* dloss, const T* y,
                            const int64_t* labels, int64_t ignore_index, T* dx) {
  using V = Vec<T>;
  parallel_rows(exec, s, [&](int64_t n) {
    const T g = dloss[n];
    const int64_t label = labels[n];
    T* dxn = dx + n * s.C;
    if (!counts(label, ignore_index, s.C)) return map(0, s.C, [] { return V{}; }, dxn);
    map(0, s.C, [g](V v) { return g * exp<T>(v); }, dxn, y + n * s.C);
    dxn[label] -= g;
  });
}

template <class T>
void fill(Ops<T>& t) {
  t.softmax_cross_entropy_forward = cross_entropy_forward<T>;
  t.softmax_cross_entropy_backward = cross_entropy_backward<T>;
}

}  // namespace

void fill_loss(Ops<float>& t) { fill(t); }
void fill_loss(Ops<double>& t) { fill(t); }

}  // namespace fastnn::FASTNN_ISA
