"""Embedding: the kernels against the oracle, the function and the layer, also against PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
import reference as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]


def case(dtype, shape, V, D, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, V, shape),
        rng.standard_normal((V, D)).astype(dtype),
        rng.standard_normal((*shape, D)).astype(dtype),
    )


def check_sums(got, expected, count):
    eps = np.finfo(got.dtype).eps
    assert_allclose(got, expected, rtol=0, atol=8 * eps * max(count, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("D", [1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64])
@pytest.mark.parametrize("shape", [(), (1,), (13,), (3, 4), (2, 3, 5)])
def test_equals_the_oracle(isa, dtype, D, shape):
    x, w, dy = case(dtype, shape, 6, D)
    y = ops.embedding_forward(x, w)
    assert_array_equal(y, ref.embedding_forward(x, w).astype(dtype), strict=True)
    for padding_idx in (None, 0, 5):
        dw = ops.embedding_backward(dy, x, 6, padding_idx)
        assert dw.dtype == dtype
        check_sums(dw, ref.embedding_backward(dy, x, 6, padding_idx), x.size)


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.tuples(*[st.integers(0, 40)] * 2),
    V=st.integers(1, 50),
    steps=st.tuples(*[st.sampled_from([-1, 2])] * 2),
)
def test_any_sizes_and_strides(sizes, V, steps):
    N, D = sizes
    x, w, dy = case(np.float32, (2 * N,), V, 2 * D)
    x, w, dy = x[:: steps[0]], w[:, :: steps[1]], dy[:: steps[0], :: steps[1]]
    assert_array_equal(ops.embedding_forward(x, w), w[x])
    check_sums(ops.embedding_backward(dy, x, V), ref.embedding_backward(dy, x, V), 2 * N)


@pytest.mark.parametrize("index_type", [np.int8, np.uint8, np.int32, np.uint32, np.int64])
def test_integers_of_any_type(index_type):
    x, w, _ = case(np.float32, (9,), 6, 5)
    assert_array_equal(ops.embedding_forward(x.astype(index_type), w), w[x])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_on_any_number_of_threads(isa, dtype):
    x, w, dy = case(dtype, (3000,), 7, 70)
    before, results = ops.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            results.add(ops.embedding_forward(x, w).tobytes() + ops.embedding_backward(dy, x, 7).tobytes())
    finally:
        ops.set_num_threads(before)
    assert len(results) == 1


def test_terms_are_added_in_their_order(isa):
    dy = np.array([[1e8], [1.0], [-1e8], [1.0]], np.float32)
    assert ops.embedding_backward(dy, np.zeros(4, int), 1)[0, 0] == 1  # any other order makes 0 or 2


def test_given_arrays_are_overwritten_or_added_to(isa):
    x, _, dy = case(np.float32, (50,), 6, 20)
    expected = ref.embedding_backward(dy, x, 6, 3)
    dw = np.full((6, 20), np.nan, np.float32)
    assert ops.embedding_backward(dy, x, 6, 3, dw=dw) is dw
    check_sums(dw, expected, 50)
    ops.embedding_backward(dy, x, 6, 3, dw=dw, accumulate=True)
    check_sums(dw, 2 * expected, 100)


def test_nan_and_inf_stay_in_their_rows(isa):
    w = np.array([[1, np.nan, np.inf], [2, 3, 4]], np.float32)
    assert_array_equal(ops.embedding_forward(np.array([1, 0]), w), w[::-1])
    dw = ops.embedding_backward(w, np.array([2, 0]), 3)
    assert_array_equal(dw, [w[1], [0, 0, 0], w[0]])


W = np.ones((4, 3), np.float32)
X = np.array([0, 3])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.embedding_forward(np.array([0, 4]), W), IndexError, "x holds the index 4, out of range for 4 emb"),
        (lambda: ops.embedding_forward(np.array([-1]), W), IndexError, "x holds the index -1, out of range for 4 emb"),
        (lambda: ops.embedding_forward(X, W[:0]), IndexError, "x holds the index 0, out of range for 0 embeddings"),
        (lambda: ops.embedding_forward(np.ones(2), W), TypeError, "x has dtype float64; expected int64"),
        (lambda: ops.embedding_forward(X, W[0]), ValueError, r"weight has shape \(3,\); expected 2 dimensions"),
        (lambda: ops.embedding_forward(X, W.astype(int)), TypeError, "weight has dtype int64; expected float32"),
        (lambda: ops.embedding_backward(W, X, 4), ValueError, r"dy has shape \(4, 3\); expected \(2, 3\)"),
        (lambda: ops.embedding_backward(W[:2], X, 3), IndexError, "x holds the index 3, out of range for 3 embeddings"),
        (lambda: ops.embedding_backward(np.float32(1), X, 4), ValueError, "dy has no dimensions"),
        (lambda: ops.embedding_backward(W[:2], X, -1), ValueError, "num_embeddings is -1; expected 0 to"),
        (lambda: ops.embedding_backward(W[:2], X, 4, -1), ValueError, "padding_idx is -1; expected 0 to"),
        (lambda: ops.embedding_backward(W[:2], X, 4, accumulate=True), ValueError, "accumulate needs dw"),
        (lambda: F.embedding(X, W), TypeError, "embedding: weight is ndarray; expected a Tensor"),
        (lambda: F.embedding(X, fastnn.tensor(W), 4), ValueError, "embedding: padding_idx is 4; expected -4 to 3"),
        (lambda: F.embedding(X, fastnn.tensor(W), 1.5), TypeError, "embedding: padding_idx is 1.5; expected an int"),
        (lambda: nn.Embedding(3, 2, -4), ValueError, "Embedding: padding_idx is -4; expected -3 to 2"),
        (lambda: nn.Embedding(0, 2), ValueError, "Embedding: num_embeddings is 0; expected at least 1"),
        (lambda: nn.Embedding(3, 2.5), TypeError, "Embedding: embedding_dim is 2.5; expected an integer"),
        (lambda: nn.Embedding(3, 2, max_norm="1"), TypeError, "Embedding: max_norm is '1'; expected a number"),
        (lambda: nn.Embedding(3, 2, norm_type=None), TypeError, "Embedding: norm_type is None; expected a number"),
        (lambda: nn.Embedding(3, 2, sparse=True), NotImplementedError, "Embedding: sparse=True is not supported"),
        (
            lambda: nn.Embedding(3, 2, _weight=fastnn.tensor(W)),
            ValueError,
            r"_weight has shape \(4, 3\); expected \(3, 2",
        ),
        (lambda: F.embedding([-1], fastnn.tensor(W), max_norm=1.0), IndexError, "x holds the index -1, out of range"),
        (lambda: nn.Embedding.from_pretrained(W.astype(int)), TypeError, "embeddings have dtype int64; expected float"),
        (lambda: nn.Embedding.from_pretrained(W[0]), ValueError, r"embeddings have shape \(3,\); expected 2 dim"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Function and layer -------------------------------------------------------------------------------


def test_gradient():
    x, w, _ = case(np.float64, (2, 3), 4, 3)
    assert fastnn.gradcheck(lambda w: F.embedding(x, w), fastnn.tensor(w, requires_grad=True))


@pytest.mark.parametrize("padding_idx", [None, 0, 3, -2])
def test_layer_equals_pytorch(padding_idx):
    torch = pytest.importorskip("torch")
    x, _, dy = case(np.float32, (5, 6), 7, 9)
    theirs = torch.nn.Embedding(7, 9, padding_idx)
    ours = nn.Embedding(7, 9, padding_idx)
    assert ours.padding_idx == theirs.padding_idx
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    expected = theirs(torch.from_numpy(x))
    expected.backward(torch.from_numpy(dy))
    y = ours(fastnn.tensor(x))
    y.backward(dy)
    assert_array_equal(y.detach().numpy(), expected.detach().numpy())
    assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options",
    [
        {"max_norm": 1.0},
        {"max_norm": 2.0, "norm_type": 1.0, "padding_idx": 2},
        {"max_norm": 0.5, "norm_type": float("inf"), "scale_grad_by_freq": True},
        {"scale_grad_by_freq": True, "padding_idx": -1},
    ],
)
@pytest.mark.parametrize("shape", [(5, 6), (), (0, 3)])
def test_norms_and_frequencies_equal_pytorch(options, shape, dtype):
    torch = pytest.importorskip("torch")
    x, w, dy = case(dtype, shape, 7, 9)
    theirs = torch.nn.Embedding(7, 9, _weight=torch.tensor(w), **options)
    ours = nn.Embedding(7, 9, _weight=fastnn.tensor(w), **options)
    assert repr(ours) == repr(theirs)
    expected, y = theirs(torch.from_numpy(np.asarray(x))), ours(x)
    expected.backward(torch.from_numpy(dy))
    y.backward(dy)
    tolerance = {"rtol": 0, "atol": 64 * np.finfo(dtype).eps}
    assert_allclose(y.detach().numpy(), expected.detach().numpy(), **tolerance)
    assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), **tolerance)
    assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), **tolerance)


def test_initial_vectors():
    fastnn.manual_seed(0)
    weight = nn.Embedding(1000, 100, padding_idx=-1).weight.detach().numpy()
    assert_array_equal(weight[-1], np.zeros(100))
    assert weight[:-1].mean() == pytest.approx(0, abs=0.02)
    assert weight[:-1].std() == pytest.approx(1, abs=0.02)


def test_given_vectors():
    w = np.arange(6, dtype=np.float32).reshape(3, 2)
    state = fastnn.get_rng_state()
    frozen = nn.Embedding.from_pretrained(fastnn.tensor(w), padding_idx=1)
    assert fastnn.get_rng_state() == state
    assert_array_equal(frozen(np.array([1, 2])).numpy(), w[1:])
    assert not frozen.weight.requires_grad
    free = nn.Embedding.from_pretrained(w, freeze=False, padding_idx=1)
    free(np.array([1, 2])).sum().backward()
    assert_array_equal(free.weight.grad.numpy(), [[0, 0], [0, 0], [1, 1]])


def test_backward_uses_the_indices_of_forward():
    x = fastnn.tensor([0, 1])
    embedding = nn.Embedding(3, 2)
    embedding(x).sum().backward()
    assert_array_equal(embedding.weight.grad.numpy(), [[1, 1], [1, 1], [0, 0]])
    with fastnn.no_grad():
        assert not embedding(x).requires_grad
