"""Tensor: values and gradients of every operation, against NumPy, finite differences and PyTorch; memory; threads."""

import copy
import gc
import pickle
import threading
import warnings
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import Parameter, Tensor, gradcheck, tensor

PAIRS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1, 3), (4, 1)),
    ((), (2, 2)),
    ((2, 2), ()),
    ((), ()),
    ((1, 1), (3, 2)),
    ((0, 3), (3,)),
    ((0, 3), (1,)),
]
ARITHMETIC = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
}
WITH_NUMBERS = {
    "number on the right": lambda x: (x + 1) * 2.5 / 4 - True,
    "number on the left": lambda x: (1 - x) / 2 + 3 / x * 0.5,
    "array on the left": lambda x: np.arange(1.0, 4) * x + np.float64(2) / x,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "reciprocal": lambda x: x**-1,
    "power": lambda x: x**2.5,
    "number to the power": lambda x: 2.0**x,
    "power zero": lambda x: x**0,
}
UNARY = {
    "neg": lambda x: -x,
    "abs": abs,
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "sqrt": lambda x: x.sqrt(),
    "clamp": lambda x: x.clamp(0.7, 1.9),
    "clamp min": lambda x: x.clamp(min=1),
    "clamp max": lambda x: x.clamp(max=1),
    "clone": lambda x: x.clone(),
    "same type": lambda x: x.double(),
}
REDUCTIONS = {
    "sum": lambda x: x.sum(),
    "sum 1": lambda x: x.sum(1),
    "sum -1 keepdim": lambda x: x.sum(-1, keepdim=True),
    "sum (0, 2)": lambda x: x.sum((0, 2)),
    "sum ()": lambda x: x.sum(()),
    "mean": lambda x: x.mean(),
    "mean [0, -1]": lambda x: x.mean([0, -1]),
    "mean keepdim": lambda x: x.mean((1, 0), keepdim=True),
    "max": lambda x: x.max(),
    "max 0": lambda x: x.max(0).values,
    "max -1 keepdim": lambda x: x.max(-1, keepdim=True).values,
    "min": lambda x: x.min(),
    "min 1": lambda x: x.min(1)[0],
    "var": lambda x: x.var(),
    "var 1": lambda x: x.var(1, correction=0, keepdim=True),
    "var (0, 2)": lambda x: x.var((0, 2)),
    "std 2": lambda x: x.std(2),
}
SHAPES = {
    "reshape": lambda x: x.reshape(4, -1),
    "reshape tuple": lambda x: x.reshape((3, 2, 4)),
    "view": lambda x: x.view(-1),
    "flatten": lambda x: x.flatten(),
    "flatten 1": lambda x: x.flatten(1),
    "flatten 0 1": lambda x: x.flatten(0, -2),
    "permute": lambda x: x.permute(2, 0, 1),
    "permute negative": lambda x: x.permute((-1, 0, -2)),
    "transpose": lambda x: x.transpose(0, -1),
    "T": lambda x: x.T,
    "reshape of permute": lambda x: x.permute(1, 2, 0).reshape(6, 4) * 2,
    "unsqueeze": lambda x: x.unsqueeze(1).unsqueeze(-1),
    "squeeze": lambda x: x[:, :1, :, None].squeeze(),
    "squeeze 1": lambda x: x[:, :1].squeeze(1),
    "squeeze none": lambda x: x.squeeze(0),
}
INDICES = {
    "int": 1,
    "negative": -1,
    "NumPy int": np.int64(0),
    "ints": (1, -2),
    "element": (1, 2, 3),
    "slice": slice(1, None),
    "steps": (slice(None), slice(None, None, -2), slice(0, 4, 3)),
    "empty slice": slice(2, 2),
    "None": (None, 0, None),
    "Ellipsis": (..., 2),
    "Ellipsis in the middle": (0, ..., slice(1, 3)),
    "list": [1, 0],
    "empty list": [],
    "repeats": [1, 1, 0, 1],
    "repeats in an array": np.array([[0, 0], [-2, 1]]),
    "repeats after a slice": (slice(None), [2, 2, 0]),
    "repeats before a slice": ([0, 0], slice(1, 3)),
    "pairs": ([0, 1, 0], [2, 2, 2]),
    "grid": (np.array([[0], [1]]), np.array([[2, 2, 1]])),
    "tensor": tensor([1, 1]),
    "tensors": (tensor([1, 1]), slice(None), tensor([3, 3])),
    "mask": np.arange(24).reshape(2, 3, 4) % 3 == 0,
    "mask tensor": tensor([True, False]),
    "mask of rows": (slice(None), np.array([True, False, True])),
    "mask and repeats": (np.array([True, True]), [2, 2]),
    "all": (),
}


def double(rng, shape, low=0.5, high=2.0):
    return tensor(rng.uniform(low, high, shape), requires_grad=True)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# ---- gradients against finite differences ---------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", PAIRS, ids=str)
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_broadcasts(name, shapes, rng):
    a, b = (double(rng, shape) for shape in shapes)
    operation = ARITHMETIC[name]
    assert_array_equal(operation(a, b).data, operation(a.data, b.data))
    assert gradcheck(operation, (a, b))
    assert gradcheck(operation, (a, b.detach()))
    assert gradcheck(operation, (a.detach(), b))


@pytest.mark.parametrize("operation", [*WITH_NUMBERS.values(), *UNARY.values()], ids=[*WITH_NUMBERS, *UNARY])
@pytest.mark.parametrize("shape", [(2, 3), (3,), (0, 3)], ids=str)
def test_elementwise(operation, shape, rng):
    assert gradcheck(operation, double(rng, shape))


@pytest.mark.parametrize("operation", [*REDUCTIONS.values(), *SHAPES.values()], ids=[*REDUCTIONS, *SHAPES])
def test_reductions_and_shapes(operation, rng):
    assert gradcheck(operation, double(rng, (2, 3, 4)))
    assert gradcheck(operation, tensor(rng.permutation(24).reshape(4, 3, 2).astype(float)).T.detach().requires_grad_())


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_indexing(index, rng):
    x = double(rng, (2, 3, 4))
    plain = index.data if isinstance(index, Tensor) else index
    if isinstance(plain, tuple):
        plain = tuple(i.data if isinstance(i, Tensor) else i for i in plain)
    assert_array_equal(x[index].data, x.data[plain])
    assert gradcheck(lambda x: x[index] * 2, x)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_index(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    x = tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)
    index = data.draw(
        st.one_of(
            hnp.basic_indices(shape, allow_newaxis=True),
            hnp.integer_array_indices(shape),
            hnp.arrays(bool, shape),
        )
    )
    x[index].sum().backward()
    expected = np.zeros(shape)
    np.add.at(expected, index, 1)
    assert_array_equal(x.grad.data, expected)


@settings(deadline=None, max_examples=40)
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
def test_broadcast_gradient_counts_the_uses(shapes):
    a, b = (tensor(np.ones(shape), requires_grad=True) for shape in shapes.input_shapes)
    (a * b).sum().backward()
    size = int(np.prod(shapes.result_shape))
    for t in (a, b):
        assert_array_equal(t.grad.data, np.full(t.shape, size / max(t.numel(), 1)))


MATMULS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 2, 3), (2, 3, 1)),
    ((2, 1, 2, 3), (4, 3, 2)),
    ((2, 3), (4, 3, 2)),
    ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)),
    ((0, 3), (3, 2)),
    ((0, 2, 3), (3, 2)),
    ((2, 3, 0), (0, 2)),
]


@pytest.mark.parametrize("shapes", MATMULS, ids=str)
def test_matmul(shapes, rng):
    a, b = (double(rng, shape) for shape in shapes)
    assert_allclose((a @ b).data, a.data @ b.data, rtol=1e-12)
    assert gradcheck(lambda a, b: a @ b, (a, b))
    assert gradcheck(lambda a: a.matmul(b.data), a)
    assert gradcheck(lambda b: a.data @ b, b)
    single = a.detach().float() @ b.detach().float()
    assert single.dtype == np.float32
    assert_allclose(single.data, a.data @ b.data, rtol=1e-5)


def test_matmul_refuses():
    with pytest.raises(ValueError, match=r"matmul: shapes \(2, 3\) and \(2, 3\) do not fit"):
        fastnn.ones(2, 3) @ fastnn.ones(2, 3)
    with pytest.raises(ValueError, match=r"matmul: operands have shapes \(\) and \(3,\)"):
        tensor(1.0) @ fastnn.ones(3)


# ---- against PyTorch ------------------------------------------------------------------------------------------------


def as_torch(torch, x):
    return torch.tensor(x.data, requires_grad=x.requires_grad)


@pytest.mark.parametrize(
    "operation",
    [*UNARY.values(), *REDUCTIONS.values(), *SHAPES.values()],
    ids=[*UNARY, *REDUCTIONS, *SHAPES],
)
def test_like_torch(operation, rng):
    torch = pytest.importorskip("torch")
    x = tensor(rng.integers(-2, 3, (2, 3, 4)).astype(np.float32), requires_grad=True)  # with ties, zeros and negatives
    theirs = as_torch(torch, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch wants mT instead of T
        y, want = operation(x), operation(theirs)
    assert_allclose(y.detach().numpy(), want.detach().numpy(), rtol=1e-6)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    y.backward(dy)
    want.backward(torch.from_numpy(dy) if dy.ndim else torch.tensor(dy))
    assert_allclose(x.grad.data, theirs.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ARITHMETIC)
def test_special_values_like_torch(name):
    torch = pytest.importorskip("torch")
    special = np.array([0.0, -0.0, 1.0, -2.0, 0.5, np.inf, -np.inf, np.nan], np.float32)
    a, b = tensor(special[:, None], requires_grad=True), tensor(special, requires_grad=True)
    ta, tb = as_torch(torch, a), as_torch(torch, b)
    y, want = ARITHMETIC[name](a, b), ARITHMETIC[name](ta, tb)
    assert_array_equal(y.detach().numpy(), want.detach().numpy())
    y.sum().backward()
    want.sum().backward()
    assert_array_equal(a.grad.data, ta.grad.numpy())
    assert_array_equal(b.grad.data, tb.grad.numpy())


@pytest.mark.parametrize("exponent", [-1, 0, 0.5, 1, 2, 3, 2.5])
def test_powers_like_torch(exponent):
    torch = pytest.importorskip("torch")
    x = tensor([0.0, 1.0, -2.0, 4.0, np.inf, np.nan], requires_grad=True)
    theirs = as_torch(torch, x)
    y, want = x**exponent, theirs**exponent
    assert_allclose(y.detach().numpy(), want.detach().numpy(), rtol=1e-6)
    y.sum().backward()
    want.sum().backward()
    assert_allclose(x.grad.data, theirs.grad.numpy(), rtol=1e-6)


DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", [*DTYPES, 2, 0.5])
def test_types_like_torch(left, right):
    torch = pytest.importorskip("torch")
    for shape in [(3,), ()]:
        a = tensor(np.ones(3), dtype=left)
        b = tensor(np.ones(shape), dtype=right) if isinstance(right, str) else right
        ta = torch.tensor(a.data)
        tb = torch.tensor(b.data) if isinstance(b, Tensor) else b
        assert str((a * b).dtype) == str((ta * tb).dtype).removeprefix("torch.")
        assert str((b / a).dtype) == str((tb / ta).dtype).removeprefix("torch.")
        assert (a == b).dtype == np.bool_


def test_max_shares_its_gradient_among_ties():
    x = tensor([[1.0, 3.0], [3.0, 3.0]], requires_grad=True)
    x.max().backward()
    assert_allclose(x.grad.data, [[0, 1 / 3], [1 / 3, 1 / 3]])
    x.grad = None
    values, indices = x.max(dim=1)
    values.sum().backward()
    assert indices.tolist() == [1, 0]
    assert_array_equal(x.grad.data, [[0, 1], [1, 0]])


def test_max_of_nan():
    x = tensor([1.0, np.nan, 3.0], requires_grad=True)
    assert np.isnan(x.max().item())
    assert np.isnan(x.min().item())
    assert x.max(0).indices.item() == 1
    x.max().backward()
    assert_array_equal(x.grad.data, [0, 1, 0])


# ---- types and values -----------------------------------------------------------------------------------------------


def test_every_result_is_an_array():
    x, n = tensor(2.0, requires_grad=True), tensor(3)
    results = [x + x, x * 2, 2 / x, x**2, -x, abs(x), x.exp(), x.sum(), x.mean(), x.max(), x == 2, ~(x > 1), n * n]
    results += [tensor([1.0, 2.0])[0], tensor([1, 2]).sum(), tensor([1, 2]).argmax(), x.clamp(0), x.detach(), n / 2]
    for y in results:
        assert type(y.data) is np.ndarray
    (x * x * x.exp()).backward()
    assert type(x.grad.data) is np.ndarray


def test_default_types():
    assert tensor(1.5).dtype == np.float32
    assert tensor([1, 2]).dtype == np.int64
    assert tensor([True]).dtype == np.bool_
    assert tensor(np.ones(2)).dtype == np.float64
    assert tensor(np.float64(1)).dtype == np.float64
    assert tensor([1, 2], dtype="float64").dtype == np.float64
    assert tensor(memoryview(np.ones(2))).dtype == np.float64
    assert tensor(np.arange(3, dtype=">f4")).dtype.isnative
    assert tensor(np.arange(3, dtype=">f4")).tolist() == [0, 1, 2]
    assert Parameter([1.0]).dtype == np.float32
    assert Tensor([[1.0]]).data.shape == (1, 1)


def test_scalars_of_numpy_do_not_widen():
    x = tensor([1.0, 2.0])
    for y in (
        x * np.float64(2),
        np.float64(2) * x,
        x + np.sqrt(2),
        x * tensor(2.0, dtype="float64"),
        x * tensor([1, 2]),
    ):
        assert y.dtype == np.float32


def test_mixed_types_give_each_operand_its_own():
    a = tensor([1.0, 2.0], requires_grad=True)
    b = tensor(np.array([[3.0], [4.0]]), requires_grad=True)
    y = a * b + a / b + a**b - b
    assert y.dtype == np.float64
    y.sum().backward()
    assert a.grad.dtype == np.float32
    assert b.grad.dtype == np.float64


def test_tensor_copies_and_as_tensor_does_not():
    array = np.ones(3, np.float32)
    assert not np.shares_memory(tensor(array).data, array)
    assert fastnn.as_tensor(array).data is array
    t = fastnn.as_tensor(array)
    assert fastnn.as_tensor(t) is t
    assert t.numpy() is array
    assert np.asarray(t) is array


def test_dlpack_and_torch_arrays():
    torch = pytest.importorskip("torch")
    assert_array_equal(tensor(torch.arange(3.0)).data, np.arange(3, dtype=np.float32))


def test_numbers_out():
    x = tensor([[3.0]])
    assert (x.item(), float(x), int(x), bool(x), len(x), x.tolist()) == (3.0, 3.0, 3, True, 1, [[3.0]])
    assert f"{tensor(0.125):.2f}" == "0.12"
    assert [10, 20, 30][tensor(1)] == 20
    assert [y.item() for y in tensor([1, 2])] == [1, 2]
    assert (x.size(), x.size(-1), x.dim(), x.ndim, x.numel()) == ((1, 1), 1, 2, 2, 1)


def test_repr():
    assert repr(tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(tensor([1.0], dtype="float64", requires_grad=True)) == "tensor([1.], dtype=float64, requires_grad=True)"
    assert repr(fastnn.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert repr(Parameter([1.0])) == "Parameter containing:\ntensor([1.], requires_grad=True)"


def test_comparison_and_logic():
    x = tensor([1.0, 2.0, np.nan])
    assert (x < 2).tolist() == [True, False, False]
    assert (x >= x).tolist() == [True, True, False]
    assert (np.float32(2) == x).tolist() == [False, True, False]
    assert (x != x).tolist() == [False, False, True]
    assert ((x > 0) & ~(x > 1)).tolist() == [True, False, False]
    assert ((x > 1) | (x <= 1)).any()
    assert not (x == x).all()
    assert 2 in x
    assert 3 not in x
    assert x is not None
    assert (x == None) is False  # noqa: E711
    assert not (x.requires_grad_() > 1).requires_grad
    assert len({x, x, tensor(1)}) == 2


def test_infinity_and_nan_are_silent_and_settings_stay():
    x = tensor([0.0, -1.0, 3e38], requires_grad=True)
    with np.errstate(all="raise"):
        y = (
            x / 0
            + x.log()
            + x.sqrt()
            + x * 1e38
            + x**-2
            + x.exp()
            + (x * x).sum()
            + (x * 10).mean()
            + (x - np.inf).max()
        )
        y.sum().backward()
        tensor([1e300], dtype="float64").float()
        assert np.geterr()["divide"] == "raise"
        with pytest.raises(FloatingPointError):
            np.ones(1) / np.zeros(1)
    assert not np.isfinite(x.grad.data).all()


def test_empty_tensors():
    x = tensor(np.zeros((0, 3), np.float32), requires_grad=True)
    assert x.sum().item() == 0
    assert np.isnan(x.mean().item())
    assert x.sum(0).tolist() == [0, 0, 0]
    assert x.max(1).values.shape == (0,)
    (x * 2 + x.mean(0)).sum().backward()
    assert x.grad.shape == (0, 3)


def test_large_outputs_keep_their_layout(rng):
    x = rng.standard_normal((2, 32, 33, 8)).astype(np.float32).transpose(0, 3, 1, 2)
    w = rng.standard_normal((8, 1, 1)).astype(np.float32)
    before = fastnn.ops.memory_stats()
    y = tensor(w, requires_grad=True) * fastnn.as_tensor(x) - 1
    assert fastnn.ops.memory_stats() != before  # from our allocator
    assert y.data.strides == x.strides
    assert_array_equal(y.data, w * x - 1)
    assert (y * 2).data.strides == x.strides
    y.mean().backward()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_reshape_of_channels_last(rng, dtype):
    x = rng.integers(0, 2, (2, 4, 5, 3)).astype(dtype).transpose(0, 3, 1, 2)
    assert_array_equal(fastnn.as_tensor(x).flatten(1).data, x.reshape(2, -1))


@pytest.mark.parametrize("N", [0, 1, 16])
def test_reshapes_that_keep_pixels_stay_channels_last(rng, N):
    """A network may shuffle channels so: view, transpose, reshape."""
    x = fastnn.ops.to_channels_last(rng.standard_normal((N, 24, 8, 9)))
    t = Tensor(x, requires_grad=True)
    parts = t.reshape(N, 4, 6, 8, 9)
    assert N == 0 or np.shares_memory(parts.data, x)
    assert_array_equal(parts.data, np.ascontiguousarray(x).reshape(N, 4, 6, 8, 9))
    y = parts.transpose(1, 2).reshape(N, -1 if N else 24, 8, 9)
    assert_array_equal(y.data, x.reshape(N, 4, 6, 8, 9).swapaxes(1, 2).reshape(x.shape))
    dy = fastnn.ops.to_channels_last(rng.standard_normal(x.shape))
    y.backward(dy)
    assert_array_equal(t.grad.data, dy.reshape(N, 6, 4, 8, 9).swapaxes(1, 2).reshape(x.shape))
    for array in (y.data, t.grad.data):
        assert array.transpose(0, 2, 3, 1).flags.c_contiguous
    with pytest.raises(ValueError, match="reshape: a tensor of shape"):
        t.reshape(N, 5, 5, 8, 9) if N else t.reshape(1, 24, 8, 9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transposed_matrices_become_contiguous(rng, dtype):
    for shape in ((200, 130), (3, 4, 2000), (1000, 3, 7), (5, 70, 80)):
        x = rng.standard_normal(shape).astype(dtype)
        y = fastnn.ops.to_contiguous(x.swapaxes(-1, -2))
        assert y.flags.c_contiguous
        assert_array_equal(y, x.swapaxes(-1, -2))


def test_clamp_of_special_values():
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 0.5, 1.0], np.float32)
    for low, high in ((0.0, 1.0), (None, 0.25), (-1.0, None), (1.0, -1.0), (np.nan, 1.0)):
        y = fastnn.as_tensor(x).clamp(low, high).numpy()
        expected = x if low is None else np.maximum(x, np.float32(low))
        assert_array_equal(y, expected if high is None else np.minimum(expected, np.float32(high)))


def test_sum_of_integers():
    assert tensor([True, True]).sum().dtype == np.int64
    assert tensor(np.array([200, 100], np.uint8)).sum().item() == 300


def test_augmented_assignment():
    w = tensor([1.0, 2.0], requires_grad=True)
    array = w.data
    with fastnn.no_grad():
        same = w
        w -= 0.5 * tensor([2.0, 4.0])
    assert w is same
    assert w.data is array
    assert w.requires_grad
    assert w.tolist() == [0, 0]
    total = 0
    for _ in range(2):
        total += (w + 1).sum()
    total *= 3
    total.backward()
    assert w.grad.tolist() == [6, 6]
    running = fastnn.zeros(2)
    running += w
    assert running.requires_grad
    with pytest.raises(RuntimeError, match=r"\+=: the tensor or its new value requires grad"):
        w += 1
    n = tensor([1])
    with pytest.raises(TypeError):
        n += 0.5


# ---- backward -------------------------------------------------------------------------------------------------------


def test_gradients_accumulate():
    x = tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        (x * x + x).sum().backward()
    assert isinstance(x.grad, Tensor)
    assert x.grad.tolist() == [6, 10]
    assert not x.grad.requires_grad


def test_backward_of_a_leaf():
    x = tensor([1.0, 2.0], requires_grad=True)
    dy = np.array([3.0, 4.0], np.float32)
    x.backward(dy)
    x.backward(tensor([1, 1]))
    assert x.grad.tolist() == [4, 5]
    assert dy.tolist() == [3, 4]


def test_gradients_never_alias():
    a, b, c = (tensor([1.0, 2.0], requires_grad=True) for _ in range(3))
    dy = np.ones(2, np.float32)
    (a + b + c.reshape(2, 1).T[0].clone()).backward(dy)
    grads = [t.grad.data for t in (a, b, c)] + [dy]
    for i, g in enumerate(grads):
        g[0] = 10 + i
    assert [g[0] for g in grads] == [10, 11, 12, 13]


def test_second_backward_needs_retain_graph():
    x = tensor([2.0], requires_grad=True)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8]
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        (y + x).backward()
    assert x.grad.tolist() == [8]


def test_leaf_changed_in_place():
    x = tensor([2.0], requires_grad=True)
    for change in (lambda: x.zero_(), lambda: x.copy_([1.0]), lambda: x.__setitem__(0, 3.0), lambda: x.__isub__(1)):
        y = x * x
        with fastnn.no_grad():
            change()
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()
    (x * x).backward()


def test_diamond_runs_each_node_once():
    calls = []
    x = tensor([1.0], requires_grad=True)
    y = fastnn.record(x.data * 2, lambda dy: (calls.append(dy.copy()), dy * 2)[1], x)
    z = (y + 1) * (y * y) + y
    z.backward()
    assert len(calls) == 1
    assert x.grad.tolist() == [2 * (4 + 3 * 4 + 1)]


def test_unreached_branches_do_not_matter():
    x = tensor([[1.0, 5.0]], requires_grad=True)
    values, _ = x.max(1)
    x.sum()
    values.backward()
    assert x.grad.tolist() == [[0, 1]]


def test_long_chains_do_not_recurse():
    x = tensor([1.0], requires_grad=True)
    y = x
    for _ in range(10_000):
        y = y + 1
    y.backward()
    assert x.grad.tolist() == [1]
    for _ in range(50_000):
        y = y * 1
    del y
    gc.collect()


def test_backward_is_deterministic(rng):
    w, x = rng.standard_normal((2, 300, 70)).astype(np.float32)

    def gradient():
        t = tensor(w, requires_grad=True)
        ((t * x).exp().mean(0) * t.sum(0, keepdim=True) / (t * t + 1)).sum().backward()
        return t.grad.data

    assert gradient().tobytes() == gradient().tobytes()


def test_hooks():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g.clamp(max=35))
    y.retain_grad()
    y.retain_grad()
    (y.sum() + y[0]).backward(retain_graph=True)
    assert seen == [[2, 1]]
    assert y.grad.tolist() == [20, 10]
    assert x.grad.tolist() == [35, 30]
    handle.remove()
    handle.remove()
    x.grad = None
    y.sum().backward()
    assert x.grad.tolist() == [3, 3]
    x.register_hook(lambda g: g[:1])
    with pytest.raises(ValueError, match=r"register_hook: a hook returned shape \(1,\); expected \(2,\)"):
        (x * 1).sum().backward()


def test_hook_of_a_leaf_sees_the_whole_gradient():
    w = tensor([1.0], requires_grad=True)
    seen = []
    w.register_hook(lambda g: seen.append(g.item()))
    (w * 2 + w * 3).backward()
    assert seen == [5]


# ---- memory ---------------------------------------------------------------------------------------------------------


class Traced(np.ndarray):
    """An array that can be watched by a weak reference, also through views."""


def watched(node_function, x):
    saved = np.ones(3, np.float32).view(Traced)
    reference = weakref.ref(saved)
    return node_function(x, saved), reference


def test_saved_arrays_die_with_backward():
    x = tensor(np.ones(3, np.float32), requires_grad=True)

    def build(x, saved):
        return fastnn.record(np.ones(3, np.float32), lambda dy: dy * np.asarray(saved), x)

    gc.disable()
    try:
        y, saved = watched(build, x)
        y.backward(np.ones(3))
        assert saved() is None
        y, saved = watched(build, x)
        y.backward(np.ones(3), retain_graph=True)
        assert saved() is not None
        del y
        assert saved() is None
        with fastnn.no_grad():
            _, saved = watched(build, x)
            assert saved() is None
    finally:
        gc.enable()


def test_graphs_are_no_cycles():
    gc.collect()
    gc.disable()
    try:
        x = tensor(np.ones(3), requires_grad=True)
        y = (x * 2).exp().max(0).values + x[[0, 0]].sum()
        y.retain_grad()
        watch = [weakref.ref(y), weakref.ref(x)]
        y.backward()
        del x, y
        assert [w() for w in watch] == [None, None]
    finally:
        gc.enable()


def test_inputs_without_need_are_not_held():
    x = Tensor(np.ones(3, np.float32))
    held = weakref.ref(x.data)
    y = tensor(np.ones(3), dtype="float32", requires_grad=True) + x
    del x
    assert held() is None
    assert y.requires_grad


def test_inputs_that_only_the_other_operand_needs_are_not_held():
    w = tensor([2.0, 2.0], requires_grad=True)
    y = w * 3
    held = weakref.ref(y.data)
    z = y * tensor([1.0, 1.0])
    del y
    assert held() is None
    z.sum().backward()
    assert w.grad.tolist() == [3, 3]


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_of_parameters(copied, requires_grad):
    p = Parameter([1.0, 2.0], requires_grad)
    p.grad = fastnn.ones(2)
    q = copied(p)
    assert isinstance(q, Parameter)
    assert q.requires_grad == requires_grad
    assert q.tolist() == [1, 2]
    assert not np.shares_memory(p.data, q.data)
    assert q.grad is None  # as in PyTorch: gradients of the copy are not added to those of its model
    assert p.grad.tolist() == [1, 1]


# ---- modes and threads ----------------------------------------------------------------------------------------------


def test_no_grad():
    x = tensor([1.0], requires_grad=True)
    with fastnn.no_grad():
        assert not fastnn.is_grad_enabled()
        assert not (x * x).requires_grad
        with fastnn.enable_grad():
            assert (x * x).requires_grad
        assert not x[0].requires_grad
    assert (x * x).requires_grad

    @fastnn.no_grad()
    def double(x, depth=2):
        return double(x, depth - 1) if depth else x * 2

    assert double.__name__ == "double"
    assert not double(x).requires_grad
    with pytest.raises(KeyError), fastnn.no_grad():
        raise KeyError
    assert fastnn.is_grad_enabled()


def test_no_grad_holds_for_its_thread():
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def other():
        with fastnn.no_grad():
            inside.set()
            leave.wait()
            seen.append(fastnn.is_grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    seen.append(fastnn.is_grad_enabled())
    leave.set()
    thread.join()
    assert seen == [True, False]


def test_threads_compute_at_once():
    results = {}

    def work(k):
        x = tensor(np.full(1000, k + 1.0), requires_grad=True)
        for _ in range(50):
            x.grad = None
            (x * x / 0.5).sum().backward()
        results[k] = x.grad.data

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k, grad in results.items():
        assert_array_equal(grad, np.full(1000, 4 * (k + 1.0)))


# ---- errors ---------------------------------------------------------------------------------------------------------

X = tensor(np.ones((2, 3), np.float32))
ERRORS = {
    "strings": (lambda: tensor(["a"]), TypeError, "tensor: data have dtype <U1; expected real numbers"),
    "objects": (lambda: X + object(), TypeError, "tensor: data have dtype object"),
    "complex": (lambda: tensor(1j), TypeError, "tensor: data have dtype complex128"),
    "integers": (lambda: tensor([1], requires_grad=True), TypeError, "only floating-point tensors can have gradients"),
    "requires_grad_": (lambda: tensor([1]).requires_grad_(), TypeError, "not int64"),
    "shapes": (lambda: X + fastnn.ones(2), ValueError, "could not be broadcast"),
    "truth": (lambda: bool(X), ValueError, "truth of a tensor of 6 elements is ambiguous"),
    "truth of none": (lambda: bool(fastnn.zeros(0)), ValueError, "truth of a tensor of 0 elements"),
    "item": (lambda: X.item(), ValueError, "item: the tensor has 6 elements; expected 1"),
    "len": (lambda: len(tensor(1)), TypeError, "len: the tensor has 0 dimensions"),
    "reshape": (lambda: X.reshape(4), ValueError, r"reshape: a tensor of shape \(2, 3\) does not fit into \(4,\)"),
    "permute": (lambda: X.permute(0), ValueError, "permute: dims are .*; expected each of 2 dimensions once"),
    "permute twice": (lambda: X.permute(0, 0), ValueError, "permute: dims are .*; expected each at most once"),
    "transpose": (lambda: X.transpose(0, 2), IndexError, "transpose: dimension 2 is out of range for .* 2 dimensions"),
    "flatten": (lambda: X.flatten(1, 0), ValueError, "flatten: start_dim 1 comes after end_dim 0"),
    "flatten a number": (lambda: tensor(1.0).flatten(1), IndexError, "flatten: dimension 1 is out of range"),
    "sum": (lambda: X.sum(2), IndexError, "sum: dimension 2 is out of range"),
    "sum type": (lambda: X.sum("a"), TypeError, "sum: dim is 'a'; expected an int"),
    "sum twice": (lambda: X.sum((1, -1)), ValueError, r"sum: dims are \(1, -1\); expected each at most once"),
    "mean": (lambda: tensor([1]).mean(), TypeError, "mean: the tensor has dtype int64"),
    "max of none": (lambda: fastnn.zeros(0).max(), ValueError, r"max: the tensor of shape \(0,\) has no elements"),
    "max of none along": (lambda: fastnn.zeros(2, 0).max(1), ValueError, "max: dimension 1 .* is empty"),
    "max of several": (lambda: X.max((0, 1)), TypeError, r"max: dim is \(0, 1\); expected an int"),
    "argmax": (lambda: fastnn.zeros(0).argmax(), ValueError, "argmax: nothing to choose from"),
    "index": (lambda: X[2], IndexError, "out of bounds"),
    "indices": (lambda: X[0, 0, 0], IndexError, "too many indices"),
    "float index": (lambda: X[tensor([0.5])], IndexError, "integer"),
    "clamp": (lambda: X.clamp(), ValueError, "clamp: expected min or max"),
    "no grad": (lambda: X.sum().backward(), RuntimeError, "backward: the tensor does not require grad"),
    "numpy": (lambda: Parameter(X).numpy(), RuntimeError, "numpy: the tensor requires grad; call detach"),
    "asarray": (lambda: np.asarray(Parameter(X)), RuntimeError, "call detach"),
    "ufunc": (lambda: np.exp(X), TypeError, "does not support ufuncs"),
    "not a scalar": (lambda: Parameter(X).clone().backward(), RuntimeError, r"backward: the tensor has shape \(2, 3\)"),
    "gradient": (
        lambda: (Parameter(X) * 1).backward(np.ones(3)),
        ValueError,
        r"gradient has shape \(3,\), .* \(2, 3\)",
    ),
    "not a leaf": (lambda: (Parameter(X) * 1).requires_grad_(False), RuntimeError, "only leaf tensors"),
    "in place": (lambda: Parameter(X).zero_(), RuntimeError, "in-place changes are not recorded"),
    "value in place": (lambda: X.clone().copy_(Parameter(X)), RuntimeError, "copy_: .* requires grad"),
    "item in place": (lambda: X.clone().__setitem__(0, Parameter(X)[0]), RuntimeError, "__setitem__: .* requires grad"),
    "hook": (lambda: X.register_hook(print), RuntimeError, "register_hook: the tensor does not require grad"),
    "retain": (lambda: X.retain_grad(), RuntimeError, "retain_grad: the tensor does not require grad"),
    "negative power": (lambda: tensor([2]) ** -1, ValueError, "negative integer powers"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


def test_a_tensor_of_pytorchs_is_told_apart():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"relu: x is torch\.Tensor; expected a Tensor \(see fastnn.as_tensor\)"):
        fastnn.nn.functional.relu(torch.ones(2))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_are_of_leaves(copied):
    leaf = fastnn.tensor([1.0, 2.0], requires_grad=True)
    twin = copied(leaf)
    assert twin.requires_grad
    assert twin.data is not leaf.data
    assert twin.tolist() == leaf.tolist()
    with pytest.raises(RuntimeError, match="a recorded operation made the tensor"):
        copied(leaf * 2)
    frozen = Parameter([1.0, 2.0], requires_grad=False)
    frozen += leaf
    with pytest.raises(RuntimeError, match="a recorded operation made the tensor"):
        copied(frozen)


@pytest.mark.parametrize("exponent", [1, 2, 3, 4, 5.0, 7, 16, 17, -1, 0])
def test_integer_powers_of_negative_numbers(exponent, rng):
    for size in (5, 20000):
        x = rng.standard_normal(size)
        t = fastnn.tensor(x, requires_grad=True)
        y = t**exponent
        y.backward(np.ones(size))
        assert_allclose(y.detach().numpy(), x ** float(exponent), rtol=1e-14)
        assert_allclose(t.grad.numpy(), exponent * x ** float(exponent - 1), rtol=1e-13)
        z = t.detach() ** exponent
        z += 1  # a copy, also where the power is 1
        assert_array_equal(t.detach().numpy(), x)
