"""Recurrent layers in one direction (fastnn.ops) and both (fastnn.functional): forward and backward through time."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
import fastnn.nn.functional as F
import reference_recurrent as ref
from fastnn import ops

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}
KINDS = {  # cell, backward, gates, further arguments
    "rnn": (ref.rnn_cell, ref.rnn_cell_backward, 1, {}),
    "rnn relu": (ref.rnn_cell, ref.rnn_cell_backward, 1, {"nonlinearity": "relu"}),
    "gru": (ref.gru_cell, ref.gru_cell_backward, 3, {}),
    "lstm": (ref.lstm_cell, ref.lstm_cell_backward, 4, {}),
    "lstm proj": (ref.lstm_cell, ref.lstm_cell_backward, 4, {}),
}
SIZES = [  # rows of each step, I, H
    ((1,), 1, 2),
    ((3, 3, 3), 5, 15),
    ((2, 2), 16, 16),
    ((1, 1, 1, 1), 3, 17),
    ((17, 16, 3, 1, 1), 4, 33),  # more than a tile of rows, lengths that differ
    ((30, 30, 5), 2, 65),
    ((3,), 5, 70),  # a single step: of few rows, which packs no weights, and of many
    ((11,), 5, 33),
    ((40,) * 9, 2, 65),  # more rows than are multiplied with the input weights at once
    ((40,) * 5 + (33,) * 5 + (7,) * 6, 2, 65),
]


class Layer:
    """The arrays of a layer in one direction, and what fastnn.ops and the oracle make of them."""

    def __init__(self, kind, sizes, I, H, dtype, bias=True, reverse=False, seed=0):
        rng = np.random.default_rng(seed)
        self.name, self.kind = kind.split()[0], kind
        self.cell, self.cell_backward, G, self.kwargs = KINDS[kind]
        self.sizes, self.reverse, self.bias = np.array(sizes), reverse, bias
        R = max(1, H // 2) if "proj" in kind else H
        N, rows = sizes[0], sum(sizes)

        def normal(*shape, scale=1.0):
            return (rng.standard_normal(shape) * scale).astype(dtype)

        self.x, self.dy = normal(rows, I), normal(rows, R)
        widths = (R, H) if self.name == "lstm" else (R,)
        self.states = [normal(N, n) for n in widths]
        self.dfinal = [normal(N, n) for n in widths]
        self.w = [normal(G * H, I, scale=I**-0.5), normal(G * H, R, scale=R**-0.5)]
        self.w += [normal(G * H), normal(G * H)] if bias else [None, None]
        if self.name == "lstm":
            self.w.append(normal(R, H, scale=H**-0.5) if "proj" in kind else None)
        self.padded = [*self.w, None][:5]
        # Where the lengths are the same, the arrays have three dimensions.
        self.dense = len(set(sizes)) == 1
        self.options = {"reverse": reverse, **self.kwargs}
        if not self.dense:
            self.options["batch_sizes"] = self.sizes

    def shaped(self, a):
        return a.reshape(len(self.sizes), -1, a.shape[1]) if self.dense else a

    def forward(self, **options):
        op = getattr(ops, f"{self.name}_forward")
        return op(self.shaped(self.x), *self.states, *self.w, **self.options, **options)

    def backward(self, results, dy="given", dfinal="given", **options):
        op, n = getattr(ops, f"{self.name}_backward"), len(self.states)
        y, kept = results[0], results[1 + n :]
        dy = self.shaped(self.dy) if isinstance(dy, str) else dy
        dfinal = self.dfinal if isinstance(dfinal, str) else dfinal
        x = self.shaped(self.x)
        return op(
            dy, *dfinal, x, *self.states, *self.w[:2], *self.w[4:], y, *kept, bias=self.bias, **self.options, **options
        )

    def expected_forward(self):
        args = self.cell, self.x, self.states, self.padded, self.sizes, self.reverse
        return ref.recurrent_forward(*args, **self.kwargs)

    def expected_backward(self):
        """In the order of backward's results."""
        dx, dstates, dw = ref.recurrent_backward(
            self.cell, self.cell_backward, self.dy, self.dfinal, self.x, self.states, self.padded, self.sizes,
            self.reverse, **self.kwargs,
        )  # fmt: skip
        return [dx, *dstates, *dw[: len(self.w)]]


def check(got, expected, reduction):
    """Holds a result whose elements are sums of about `reduction` products against the oracle."""
    if expected is None:
        assert got is None
        return
    atol = TOLERANCE[got.dtype.type] * np.sqrt(reduction + 1) * max(1, np.abs(expected).max())
    assert_allclose(got.reshape(expected.shape), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sizes", "I", "H"), SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_backward(isa, kind, sizes, I, H, dtype, reverse):
    layer = Layer(kind, sizes, I, H, dtype, bias=H != 16, reverse=reverse)
    results, n = layer.forward(), len(layer.states)
    assert all(a.dtype == dtype for a in results)
    for got, expected in zip(results, layer.expected_forward(), strict=False):
        check(got, expected, I + H)
    for got, expected in zip(layer.backward(results), layer.expected_backward(), strict=True):
        check(got, expected, I + H + sum(sizes))
    if layer.name != "rnn":
        inference = layer.forward(training=False)
        assert all(kept is None for kept in inference[1 + n :])
        for a, b in zip(inference[: 1 + n], results, strict=False):
            assert_array_equal(a, b)


def test_what_is_kept():
    lstm = Layer("lstm", (2, 2), 3, 4, np.float64)
    y, _, c_n, gates, cells = lstm.forward()
    i, f, g, o = np.split(gates, 4, axis=1)
    before = np.concatenate([lstm.states[1], cells[:2]])
    assert_allclose(cells, f * before + i * g, rtol=1e-12)
    assert_allclose(y.reshape(4, 4), o * np.tanh(cells), rtol=1e-12)
    assert_array_equal(cells[2:], c_n)

    gru = Layer("gru", (2, 2), 3, 4, np.float64)
    y, _, gates = gru.forward()
    r, z, n, m = np.split(gates, 4, axis=1)
    h = np.concatenate([gru.states[0], y[0]])
    assert_allclose(m, h @ gru.w[1][8:].T + gru.w[3][8:], rtol=1e-12)
    assert_allclose(n, np.tanh(gru.x @ gru.w[0][8:].T + gru.w[2][8:] + r * m), rtol=1e-12)
    assert_allclose(y.reshape(4, 4), (1 - z) * n + z * h, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_none_stands_for_zeros(kind):
    layer = Layer(kind, (3, 2), 4, 5, np.float64)
    given = layer.states
    layer.states = [np.zeros_like(s) for s in given]
    zeros = layer.forward()
    gradients = layer.backward(zeros, np.zeros_like(layer.dy), [np.zeros_like(d) for d in layer.dfinal])
    assert all(np.all(g == 0) for g in gradients if g is not None)
    only_final = layer.backward(zeros, np.zeros_like(layer.dy))
    for a, b in zip(layer.backward(zeros, dy=None), only_final, strict=True):
        assert_array_equal(a, b)
    only_y = layer.backward(zeros, dfinal=[np.zeros_like(d) for d in layer.dfinal])
    layer.states = [None] * len(given)
    for a, b in zip(layer.forward(), zeros, strict=True):
        assert_array_equal(a, b)
    for a, b in zip(layer.backward(zeros, dfinal=[None] * len(given)), only_y, strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_the_features(isa, kind):
    layer = Layer(kind, (5, 5, 5), 4, 20, np.float32)
    results = layer.forward()
    R = results[0].shape[-1]
    wide = np.full((3, 5, 2 * R + 1), 7, np.float32)
    part = wide[..., R : 2 * R]
    assert layer.forward(y=part)[0] is part
    assert_array_equal(part, results[0])
    assert np.all(wide[..., :R] == 7)
    assert np.all(wide[..., -1] == 7)

    gradients = layer.backward(results)
    wide_dy = np.zeros_like(wide)
    wide_dy[..., :R] = layer.shaped(layer.dy)
    for a, b in zip(layer.backward((part, *results[1:]), dy=wide_dy[..., :R]), gradients, strict=True):
        assert_array_equal(a, b)
    dx = np.ones_like(gradients[0])
    assert layer.backward(results, dx=dx)[0] is dx
    assert_allclose(dx, 1 + gradients[0], rtol=1e-6, atol=1e-6)
    assert layer.backward(results, input_gradient=False)[0] is None


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_sizes_and_strides(data):
    sizes = sorted(data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=5)), reverse=True)
    kind, I, H = data.draw(st.sampled_from(list(KINDS))), data.draw(st.integers(1, 40)), data.draw(st.integers(2, 40))
    layer = Layer(kind, sizes, I, H, np.float32, data.draw(st.booleans()), data.draw(st.booleans()))
    results = layer.forward()
    expected, gradients = layer.expected_forward(), layer.expected_backward()
    for got, right in zip(results, expected, strict=False):
        check(got, right, I + H)

    def turned(a):  # the same values in other memory
        return None if a is None else np.ascontiguousarray(a[::-1].T).T[::-1]

    layer.x, layer.dy, layer.states = turned(layer.x), turned(layer.dy), [turned(s) for s in layer.states]
    layer.w, layer.dfinal = [turned(w) for w in layer.w], [turned(d) for d in layer.dfinal]
    for a, b in zip(layer.forward(), results, strict=True):
        assert_array_equal(a, b)
    for got, right in zip(layer.backward([turned(r) for r in results]), gradients, strict=True):
        check(got, right, I + H + sum(sizes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(40,) * 4, (40, 33, 20, 1), (4, 3, 2, 1)])
def test_threads_do_not_change_bits(isa, threads, kind, sizes):
    layer = Layer(kind, sizes, 70, 150, np.float32)
    ops.set_num_threads(1)
    expected = layer.forward()
    expected_gradients = layer.backward(expected)
    ops.set_num_threads(threads)
    for _ in range(3):
        results = layer.forward()
        for a, b in zip(results, expected, strict=True):
            assert_array_equal(a, b)
        for a, b in zip(layer.backward(results), expected_gradients, strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_nan_and_infinity(isa, kind, value):
    layer = Layer(kind, (3, 3, 3), 4, 20, np.float32)
    clean = layer.shaped(layer.forward()[0].reshape(9, -1))
    layer.x[4, 2] = value  # step 1, sequence 1
    with np.errstate(all="ignore"):
        expected = layer.shaped(layer.expected_forward()[0])
    y = layer.forward()[0]
    assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    others = np.ones((3, 3), bool)
    others[1:, 1] = False
    assert_array_equal(y[others], clean[others])


# ---- fastnn.functional ----------------------------------------------------------------------------------------------


def tensors(kind, D, T, N, I, H, sizes=None, bias=True, dtype=np.float64):
    """x, hx, weights and the function of them."""
    layers = [Layer(kind, sizes or (N,) * T, I, H, dtype, bias, seed=d) for d in range(D)]

    def leaf(a):
        return None if a is None else fastnn.tensor(a, requires_grad=True)

    first = layers[0]
    x = leaf(first.x if sizes else first.x.reshape(T, N, I))
    hx = [leaf(np.stack([layer.states[i] for layer in layers])) for i in range(len(first.states))]
    weights = [tuple(leaf(w) for w in layer.w) for layer in layers]
    function = getattr(F, first.name)

    def run(x, *rest):
        rest, count = list(rest), len(hx)
        states, flat = rest[:count], rest[count:]
        w = [tuple(None if t is None else flat.pop(0) for t in group) for group in weights]
        state = tuple(states) if first.name == "lstm" else states[0]
        return function(x, state, w, None if sizes is None else np.array(sizes), **first.kwargs)

    return run, [x, *hx, *(t for group in weights for t in group if t is not None)]


@pytest.mark.parametrize("sizes", [None, (3, 2, 2, 1)])
@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck(kind, D, sizes):
    run, leaves = tensors(kind, D, 4, 3, 2, 3, sizes)
    rng = np.random.default_rng(5)
    factors = [fastnn.tensor(rng.standard_normal(out.shape)) for out in run(*leaves)]

    def every_output(*leaves):
        return sum((out * f).sum() for out, f in zip(run(*leaves), factors, strict=True))

    assert fastnn.gradcheck(every_output, leaves)
    for i in range(len(factors)):
        assert fastnn.gradcheck(lambda *leaves, i=i: run(*leaves)[i], leaves)


@pytest.mark.parametrize("kind", KINDS)
def test_two_directions(kind):
    run, leaves = tensors(kind, 2, 4, 3, 2, 3)
    y, *final = run(*leaves)
    R = y.shape[-1] // 2
    assert y.shape == (4, 3, 2 * R)
    assert all(s.shape[:2] == (2, 3) for s in final)
    assert_array_equal(final[0].data[0], y.data[-1, :, :R])
    assert_array_equal(final[0].data[1], y.data[0, :, R:])


def test_backward_twice_and_no_grad():
    run, leaves = tensors("lstm", 2, 3, 2, 2, 3)
    y, h_n, c_n = run(*leaves)
    loss = y.sum() + c_n.sum()
    loss.backward(retain_graph=True)
    once = [leaf.grad.data.copy() for leaf in leaves]
    loss.backward()
    for leaf, grad in zip(leaves, once, strict=True):
        assert_allclose(leaf.grad.data, 2 * grad, rtol=1e-12)
    with fastnn.no_grad():
        for a, b in zip(run(*leaves), (y, h_n, c_n), strict=True):
            assert not a.requires_grad
            assert_array_equal(a.data, b.data)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_pytorch(kind):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    kwargs = {"proj_size": 10} if "proj" in kind else KINDS[kind][3]
    kinds = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
    layer = kinds[kind.split()[0]](12, 30, bidirectional=True, **kwargs)
    x = torch.from_numpy(rng.standard_normal((9, 5, 12)).astype(np.float32))
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, [9, 7, 7, 2, 1])
    data = packed.data.clone().requires_grad_()
    y, final = layer(torch.nn.utils.rnn.PackedSequence(data, packed.batch_sizes))
    final = final if isinstance(final, tuple) else (final,)
    (y.data.sum() + sum((s * s).sum() for s in final)).backward()

    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0")[: 5 if "proj" in kind else 4]
    theirs = [[getattr(layer, name + suffix) for name in names] for suffix in ("", "_reverse")]
    ours = [[fastnn.tensor(p.detach().numpy(), requires_grad=True) for p in group] for group in theirs]
    our_x = fastnn.tensor(data.detach().numpy(), requires_grad=True)
    function = getattr(F, kind.split()[0])
    our_y, *our_final = function(our_x, None, ours, packed.batch_sizes.numpy(), **KINDS[kind][3])
    sum(((s * s).sum() for s in our_final), our_y.sum()).backward()

    pairs = [(our_y, y.data), *zip(our_final, final, strict=True), (our_x.grad, data.grad)]
    pairs += [
        (a.grad, b.grad) for mine, their in zip(ours, theirs, strict=True) for a, b in zip(mine, their, strict=True)
    ]
    for a, b in pairs:
        assert_allclose(a.data, b.detach().numpy(), rtol=1e-5, atol=1e-5)


# ---- errors ---------------------------------------------------------------------------------------------------------


def lstm_arguments(**changes):
    arguments = {
        "x": np.zeros((5, 2, 3), np.float32),
        "h0": None,
        "c0": None,
        "weight_ih": np.zeros((16, 3), np.float32),
        "weight_hh": np.zeros((16, 4), np.float32),
    }
    return arguments | changes


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": zeros(5, 3)}, "lstm: x has shape (5, 3); expected (T, N, I)"),
        ({"x": zeros(5, 2, 7)}, "lstm: weight_ih has 3 input features, x has 7"),
        ({"x": zeros(0, 2, 3)}, "lstm: x has no time steps"),
        ({"x": zeros(5, 0, 3)}, "lstm: x has an empty batch"),
        ({"weight_hh": zeros(15, 4)}, "lstm: weight_hh has 15 rows; expected 4 times the hidden units"),
        ({"weight_hh": zeros(16, 5)}, "lstm: weight_hh has shape (16, 5); expected (16, 4)"),
        ({"weight_ih": zeros(12, 3)}, "lstm: weight_ih has shape (12, 3); expected (16, 3)"),
        ({"weight_hr": zeros(4, 4)}, "lstm: weight_hr has shape (4, 4); expected (R, 4) with R from 1 to 3"),
        ({"h0": zeros(3, 4)}, "lstm: h0 has shape (3, 4); expected (2, 4)"),
        ({"c0": zeros(2, 5)}, "lstm: c0 has shape (2, 5); expected (2, 4)"),
        ({"bias_ih": zeros(16)}, "lstm: bias_hh is None; expected both biases or none"),
        ({"bias_ih": zeros(16), "bias_hh": zeros(4)}, "lstm: bias_hh has shape (4,); expected (16,)"),
        ({"y": zeros(5, 2, 3)}, "lstm: y has shape (5, 2, 3); expected (5, 2, 4)"),
        (
            {"y": zeros(5, 2, 8)[..., ::2]},
            "lstm: y must be writeable, with adjacent features and rows evenly apart",
        ),
        ({"batch_sizes": np.array([5])}, "lstm: x has shape (5, 2, 3); expected (rows, I), with batch_sizes"),
        (
            {"x": zeros(5, 3), "batch_sizes": np.array([2, 3])},
            "lstm: batch_sizes increase from 2 to 3 at step 1; longer sequences must come first",
        ),
        (
            {"x": zeros(5, 3), "batch_sizes": np.array([3, 2, 0])},
            "lstm: batch_sizes[2] is 0; expected 1 to the 5 rows of x",
        ),
        ({"x": zeros(5, 3), "batch_sizes": np.array([2, 2])}, "lstm: batch_sizes sum to 4, x has 5 rows"),
        ({"x": zeros(0, 3), "batch_sizes": zeros(0, dtype=np.int64)}, "lstm: x has no time steps"),
    ],
)
def test_value_errors(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ops.lstm_forward(**lstm_arguments(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": zeros(5, 2, 3, dtype=np.int64)}, "lstm: x has dtype int64"),
        ({"weight_hh": zeros(16, 4, dtype=np.float64)}, "lstm: weight_hh has dtype float64"),
        ({"h0": zeros(2, 4, dtype=np.float64)}, "lstm: h0 has dtype float64"),
        ({"y": [1.0]}, "lstm: y is a list; expected a NumPy array to write to"),
        ({"x": zeros(5, 3), "batch_sizes": np.array([2.5, 2.5])}, "lstm: batch_sizes"),
    ],
)
def test_type_errors(changes, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        ops.lstm_forward(**lstm_arguments(**changes))


def test_errors_of_backward_and_functions():
    layer = Layer("gru", (2, 2), 3, 4, np.float32)
    y, h_n, gates = layer.forward()
    with pytest.raises(ValueError, match=re.escape("gru: gates has shape (4, 12); expected (4, 16)")):
        layer.backward((y, h_n, gates[:, :12]))
    with pytest.raises(ValueError, match=re.escape("gru: dy has shape (2, 2, 3); expected (2, 2, 4)")):
        layer.backward((y, h_n, gates), dy=zeros(2, 2, 3))
    with pytest.raises(ValueError, match=re.escape("rnn: nonlinearity is 'sin'; expected 'tanh' or 'relu'")):
        ops.rnn_forward(zeros(1, 1, 1), None, zeros(1, 1), zeros(1, 1), nonlinearity="sin")

    x, w_ih, w_hh = fastnn.ones(5, 2, 3), fastnn.ones(4, 3), fastnn.ones(4, 4)
    w = (w_ih, w_hh, None, None)
    for arguments, message in [
        ((x, None, []), "rnn: weights are of 0 directions; expected 1 or 2"),
        ((x, None, [w[:3]]), "rnn: weights[0] has 3 tensors; expected 4"),
        ((x, None, [w, (w_ih, fastnn.ones(5, 5), None, None)]), "rnn: weights[1] have other shapes than weights[0]"),
        ((x, fastnn.ones(2, 4), [w]), "rnn: h0 has shape (2, 4); expected 3 dimensions, the first of 1 directions"),
        ((x, None, [(w_ih, fastnn.ones(4), None, None)]), "rnn: weight_hh has shape (4,); expected 2 dimensions"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            F.rnn(*arguments)
    with pytest.raises(TypeError, match="rnn: x is ndarray; expected a Tensor"):
        F.rnn(x.data, None, [w])
