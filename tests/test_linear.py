"""Linear layers: forward, both backward passes, and gradients written to given arrays."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import reference as ref
from fastnn import ops

DTYPES = [np.float32, np.float64]
SIZES = [  # N, I, O
    *((n, i, o) for n in (1, 2, 6, 7) for i in (1, 15, 16, 17) for o in (1, 31, 33)),
    (64, 400, 120),
    (33, 84, 10),
    (128, 10, 257),
    (5, 1000, 65),
    (40, 2100, 130),
    (5000, 130, 12),
    (5000, 20, 40),
    (5000, 33, 9),
]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-13}


def arrays(dtype, N, I, O, seed=0):
    """x, w, b, dy."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in ((N, I), (O, I), (O,), (N, O))]


def check(got, expected, reduction):
    """Holds a result whose elements are sums of `reduction` products against the oracle."""
    assert got.shape == expected.shape
    scale = np.sqrt(reduction + 1)
    assert_allclose(got, expected, rtol=0, atol=TOLERANCE[got.dtype.type] * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "I", "O"), SIZES)
def test_every_pass(isa, dtype, N, I, O):
    x, w, b, dy = arrays(dtype, N, I, O)
    y = ops.linear_forward(x, w, b)
    assert y.dtype == dtype
    check(y, ref.linear_forward(x, w, b), I)
    check(ops.linear_forward(x, w), ref.linear_forward(x, w), I)
    check(ops.linear_backward_input(dy, w), ref.linear_backward_input(dy, w), O)
    dw, db = ops.linear_backward_weight(dy, x)
    expected_dw, expected_db = ref.linear_backward_weight(dy, x)
    check(dw, expected_dw, N)
    check(db, expected_db, N)
    without_bias = ops.linear_backward_weight(dy, x, bias=False)
    assert_array_equal(without_bias[0], dw)
    assert without_bias[1] is None


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 0), (1, 2, 2)])
def test_any_leading_dimensions(isa, batch):
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((*batch, 9)), rng.standard_normal((5, 9)), rng.standard_normal(5)
    dy = rng.standard_normal((*batch, 5))
    check(ops.linear_forward(x, w, b), ref.linear_forward(x, w, b), 9)
    check(ops.linear_backward_input(dy, w), ref.linear_backward_input(dy, w), 5)
    for got, expected in zip(ops.linear_backward_weight(dy, x), ref.linear_backward_weight(dy, x), strict=True):
        check(got, expected, 6)


@settings(deadline=None, max_examples=60)
@given(sizes=st.tuples(*[st.integers(0, 40)] * 3), steps=st.tuples(*[st.sampled_from([-1, 1, 2])] * 4))
def test_any_sizes_and_strides(sizes, steps):
    def strided(a):
        wide = np.repeat(np.repeat(a, abs(steps[0]), axis=0), abs(steps[1]), axis=-1) if a.ndim == 2 else a
        return wide[:: steps[0], :: steps[1]] if a.ndim == 2 else wide[:: steps[2]]

    N, I, O = sizes
    x, w, b, dy = (strided(a) for a in arrays(np.float32, N, I, O))
    b = b if len(b) == O else np.zeros(O, np.float32)
    check(ops.linear_forward(x, w, b), ref.linear_forward(x, w, b), I)
    check(ops.linear_backward_input(dy, w), ref.linear_backward_input(dy, w), O)
    for got, expected in zip(ops.linear_backward_weight(dy, x), ref.linear_backward_weight(dy, x), strict=True):
        check(got, expected, N)


@pytest.mark.parametrize(("N", "I", "O"), [(0, 3, 4), (3, 0, 4), (3, 4, 0), (5000, 0, 8), (5000, 8, 0)])
def test_empty(isa, N, I, O):
    x, w, b, dy = arrays(np.float32, N, I, O)
    assert_array_equal(ops.linear_forward(x, w, b), np.broadcast_to(b, (N, O)))
    assert_array_equal(ops.linear_backward_input(dy, w), np.zeros((N, I)))
    dw, db = ops.linear_backward_weight(dy, x)
    assert_array_equal(dw, np.zeros((O, I)))
    check(db, dy.astype(np.float64).sum(0), N)


# Gradients written to given arrays ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "I", "O"), [(7, 17, 33), (1, 20, 5), (0, 6, 7), (130, 65, 40), (4100, 90, 60)])
def test_given_arrays_are_overwritten_or_added_to(isa, dtype, N, I, O):
    x, _, _, dy = arrays(dtype, N, I, O)
    expected_dw, expected_db = ref.linear_backward_weight(dy, x)
    dw, db = np.full((O, I), np.nan, dtype), np.full(O, np.nan, dtype)
    result = ops.linear_backward_weight(dy, x, dw=dw, db=db)
    assert result[0] is dw
    assert result[1] is db
    check(dw, expected_dw, N)
    check(db, expected_db, N)
    ops.linear_backward_weight(dy, x, dw=dw, db=db, accumulate=True)
    check(dw, 2 * expected_dw, 4 * N)
    check(db, 2 * expected_db, 4 * N)
    ops.linear_backward_weight(dy, x, bias=False, dw=dw, accumulate=True)
    check(dw, 3 * expected_dw, 9 * N)


def output_cases():
    dw, db = np.zeros((4, 3), np.float32), np.zeros(4, np.float32)
    locked = dw.copy()
    locked.flags.writeable = False
    return [
        ({"dw": dw.T}, ValueError, "dw has shape (3, 4); expected (4, 3)"),
        ({"dw": dw.astype(np.float64)}, TypeError, "dw has dtype float64; expected float32"),
        ({"dw": np.zeros((4, 6), np.float32)[:, ::2]}, ValueError, "dw must be writeable and C-contiguous"),
        ({"dw": locked}, ValueError, "dw must be writeable and C-contiguous"),
        ({"dw": dw.tolist()}, TypeError, "dw is a list; expected a NumPy array to write to"),
        ({"db": np.zeros(3, np.float32)}, ValueError, "db has shape (3,); expected (4,)"),
        ({"dw": dw, "accumulate": True}, ValueError, "accumulate needs db, the array to add to"),
        ({"accumulate": True}, ValueError, "accumulate needs dw, the array to add to"),
        ({"db": db, "bias": False}, ValueError, "db is given, but bias is False"),
    ]


@pytest.mark.parametrize(("arguments", "error", "message"), output_cases())
def test_bad_output_arrays(arguments, error, message):
    dy, x = np.ones((2, 4), np.float32), np.ones((2, 3), np.float32)
    with pytest.raises(error, match="linear_backward_weight: " + re.escape(message)):
        ops.linear_backward_weight(dy, x, **arguments)


def test_output_arrays_must_not_share_memory_with_others():
    x = dy = np.ones((3, 3), np.float32)
    with pytest.raises(ValueError, match="linear_backward_weight: dw shares memory with x"):
        ops.linear_backward_weight(dy.copy(), x, dw=x)
    with pytest.raises(ValueError, match="linear_backward_weight: dw shares memory with dy"):
        ops.linear_backward_weight(dy, x.copy(), dw=dy)
    with pytest.raises(ValueError, match="linear_backward_weight: db shares memory with x"):
        ops.linear_backward_weight(dy.copy(), x, db=x[1])
    dw = np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match="linear_backward_weight: db shares memory with dw"):
        ops.linear_backward_weight(dy, x, dw=dw, db=dw[0])


# Other arguments ------------------------------------------------------------------------------------

X, W, B, DY = arrays(np.float32, 2, 3, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.linear_forward(X[:, :2], W), ValueError, "linear: weight has 3 input features, x has 2"),
        (lambda: ops.linear_forward(X, W[0]), ValueError, "linear_forward: weight has shape (3,); expected 2"),
        (lambda: ops.linear_forward(X, W, B[:3]), ValueError, "linear_forward: bias has shape (3,); expected (4,)"),
        (lambda: ops.linear_forward(X.tolist(), W), TypeError, "linear_forward: x is a list; expected an array"),
        (lambda: ops.linear_forward(np.array(1, "f"), W), ValueError, "linear_forward: x has no dimensions"),
        (lambda: ops.linear_forward(X, W.astype("d")), TypeError, "weight has dtype float64, x has float32"),
        (lambda: ops.linear_forward(X, W, B.astype("d")), TypeError, "bias has dtype float64, x has float32"),
        (lambda: ops.linear_forward(X.astype(int), W), TypeError, "x has dtype int64; expected float32 or float64"),
        (lambda: ops.linear_backward_input(X, W), ValueError, "linear: weight has 4 output features, dy has 3"),
        (lambda: ops.linear_backward_weight(DY, X[:1]), ValueError, "x has shape (1, 3); expected (2, 3)"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_not_finite_values_propagate(isa):
    x, w, b, dy = arrays(np.float32, 9, 20, 35)
    x[4, 3], w[30, 7], dy[2, 2] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        oracle = ref.linear_forward(x, w, b), ref.linear_backward_input(dy, w), *ref.linear_backward_weight(dy, x)
    passes = ops.linear_forward(x, w, b), ops.linear_backward_input(dy, w), *ops.linear_backward_weight(dy, x)
    for got, expected in zip(passes, oracle, strict=True):
        assert_array_equal(np.isnan(got), np.isnan(expected))
        assert_array_equal(np.isinf(got), np.isinf(expected))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("N", "I", "O"), [(1, 2000, 800), (32, 500, 700), (256, 300, 200), (5000, 70, 60), (5000, 150, 20)]
)
def test_same_bits_on_any_number_of_threads(isa, dtype, N, I, O):
    x, w, b, dy = arrays(dtype, N, I, O)
    before, results = ops.get_num_threads(), set()
    for threads in (1, 2, 3):
        ops.set_num_threads(threads)
        passes = ops.linear_forward(x, w, b), ops.linear_backward_input(dy, w), *ops.linear_backward_weight(dy, x)
        results.add(b"".join(a.tobytes() for a in passes))
    ops.set_num_threads(before)
    assert len(results) == 1


def test_as_pytorch():
    torch = pytest.importorskip("torch")
    x, w, b, dy = arrays(np.float64, 5, 30, 20)
    leaves = [torch.from_numpy(a).requires_grad_() for a in (x, w, b)]
    y = torch.nn.functional.linear(*leaves)
    y.backward(torch.from_numpy(dy))
    assert_allclose(ops.linear_forward(x, w, b), y.detach().numpy(), rtol=1e-12, atol=1e-12)
    ours = ops.linear_backward_input(dy, w), *ops.linear_backward_weight(dy, x)
    for got, leaf in zip(ours, leaves, strict=True):
        assert_allclose(got, leaf.grad.numpy(), rtol=1e-12, atol=1e-12)
