#include <cmath>

#include "bench.h"
#include "shapes.h"

namespace fastnn::bench {
namespace {

constexpr Activation::Kind f = Activation::tanh;

// A layer in one direction; every kind takes what it needs. Weights as PyTorch starts with.
struct Layer {
  Layer(const RecurrentShape& shape, int64_t gates)
      : s(shape),
        G(gates),
        x(Array::uniform(s.rows * s.I, 1)),
        dy(Array::uniform(s.rows * s.H, 2)),
        ih(scaled(G * s.H * s.I, 3)),
        hh(scaled(G * s.H * s.H, 4)),
        bias_ih(scaled(G * s.H, 5)),
        bias_hh(scaled(G * s.H, 6)),
        state(Array::uniform(s.N * s.H, 7)),
        y(s.rows * s.H),
        h_n(s.N * s.H),
        c_n(s.N * s.H),
        gate(s.rows * 4 * s.H),
        cells(s.rows * s.H),
        gradients(sizes()) {}

  RecurrentWeights<float> weights() const { return {ih, hh, bias_ih, bias_hh, nullptr}; }
  // All in one array, so that all are checked.
  RecurrentGradients<float> to() const {
    RecurrentGradients<float> g{};
    float* at = gradients;
    const auto take = [&at](int64_t n) {
      float* const piece = at;
      at += n;
      return piece;
    };
    g.dx = take(s.rows * s.I);
    g.dh0 = take(s.N * s.H);
    g.dw_ih = take(G * s.H * s.I);
    g.dw_hh = take(G * s.H * s.H);
    g.db_ih = take(G * s.H);
    g.db_hh = take(G * s.H);
    if (G == 4) g.dc0 = take(s.N * s.H);
    return g;
  }
  // Of a forward; a backward does twice as much.
  Cost cost(double passes) const {
    return {.flops = passes * 2 * static_cast<double>(s.rows * G * s.H * (s.I + s.H))};
  }

  RecurrentShape s;
  int64_t G;
  const Array x, dy, ih, hh, bias_ih, bias_hh, state, y, h_n, c_n, gate, cells, gradients;

 private:
  Array scaled(int64_t n, uint32_t seed) const {
    Array a = Array::uniform(n, seed);
    for (int64_t i = 0; i < n; ++i) a[i] /= std::sqrt(static_cast<float>(s.H));
    return a;
  }
  int64_t sizes() const {
    return s.rows * s.I + (G == 4 ? 2 : 1) * s.N * s.H + G * s.H * (s.I + s.H + 2);
  }
};

void lstm_forward(Bench& bench, const RecurrentShape& s, bool training) {
  const Layer l(s, 4);
  const auto w = l.weights();
  float *const gates = training ? static_cast<float*>(l.gate) : nullptr,
               *const cells = training ? static_cast<float*>(l.cells) : nullptr;
  bench.measure(l.cost(1), l.y, &Table::lstm_forward_scratch_bytes, &Table::lstm_forward, s, w, l.x,
                l.state, l.state, l.y, l.h_n, l.c_n, gates, cells);
}

void lstm_backward(Bench& bench, const RecurrentShape& s) {
  const Layer l(s, 4);
  const auto w = l.weights();
  const auto to = l.to();
  const float* const none = nullptr;
  const Array gates = Array::uniform(l.gate.size(), 8), cells = Array::uniform(l.cells.size(), 9),
              y = Array::uniform(l.y.size(), 10);
  bench.measure(l.cost(2), l.gradients, &Table::lstm_backward_scratch_bytes, &Table::lstm_backward,
                s, w, l.dy, none, none, l.x, l.state, l.state, y, gates, cells, to);
}

void gru_forward(Bench& bench, const RecurrentShape& s, bool training) {
  const Layer l(s, 3);
  const auto w = l.weights();
  float* const gates = training ? static_cast<float*>(l.gate) : nullptr;
  bench.measure(l.cost(1), l.y, &Table::gru_forward_scratch_bytes, &Table::gru_forward, s, w, l.x,
                l.state, l.y, l.h_n, gates);
}

void gru_backward(Bench& bench, const RecurrentShape& s) {
  const Layer l(s, 3);
  const auto w = l.weights();
  const auto to = l.to();
  const float* const none = nullptr;
  const Array gates = Array::uniform(l.gate.size(), 8), y = Array::uniform(l.y.size(), 10);
  bench.measure(l.cost(2), l.gradients, &Table::gru_backward_scratch_bytes, &Table::gru_backward, s,
                w, l.dy, none, l.x, l.state, y, gates, to);
}

void rnn_forward(Bench& bench, const RecurrentShape& s) {
  const Layer l(s, 1);
  const auto w = l.weights();
  bench.measure(l.cost(1), l.y, &Table::rnn_forward_scratch_bytes, &Table::rnn_forward, s, f, w,
                l.x, l.state, l.y, l.h_n);
}

void rnn_backward(Bench& bench, const RecurrentShape& s) {
  const Layer l(s, 1);
  const auto w = l.weights();
  const auto to = l.to();
  const float* const none = nullptr;
  const Array y = Array::uniform(l.y.size(), 10);
  bench.measure(l.cost(2), l.gradients, &Table::rnn_backward_scratch_bytes, &Table::rnn_backward, s,
                f, w, l.dy, none, l.x, l.state, y, to);
}

}  // namespace

void add_rnn() {
  for (const RecurrentSize& z : recurrent_sizes) {
    if (z.directions > 1) continue;  // twice a call that is measured
    RecurrentShape s{};
    s.T = z.T;
    s.N = z.N;
    s.I = z.I;
    s.H = s.R = s.y_row = s.dy_row = z.H;
    s.rows = z.T * z.N;
    const std::string name = join({s.T, s.N, s.I, s.H});
    add("lstm_inference", name, [s](Bench& b) { lstm_forward(b, s, false); });
    add("gru_inference", name, [s](Bench& b) { gru_forward(b, s, false); });
    add("lstm_forward", name, [s](Bench& b) { lstm_forward(b, s, true); });
    add("lstm_backward", name, [s](Bench& b) { lstm_backward(b, s); });
    add("gru_forward", name, [s](Bench& b) { gru_forward(b, s, true); });
    add("gru_backward", name, [s](Bench& b) { gru_backward(b, s); });
    add("rnn_forward", name, [s](Bench& b) { rnn_forward(b, s); });
    add("rnn_backward", name, [s](Bench& b) { rnn_backward(b, s); });
  }
}

}  // namespace fastnn::bench
