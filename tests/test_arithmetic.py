"""Element-wise arithmetic on all threads, joining and cutting: kernels, tensors, gradients, PyTorch."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastnn
from fastnn import ops

DTYPES = [np.float32, np.float64]
SIZES = [0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 33, 4095, 4097]
UFUNCS = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.true_divide}
LARGE = (8, 24, 20, 30)  # elements from which on tensors use kernels: 16384


def values(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UFUNCS)
def test_equals_numpy_at_every_length(isa, name, dtype):
    for size in SIZES:
        a, b = values(size, dtype=dtype), values(size, dtype=dtype, seed=1)
        for other in (b, 0.3, 3):
            y = getattr(ops, name)(a, other)
            assert y.dtype == dtype
            assert_array_equal(y, UFUNCS[name](a, other))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UFUNCS)
def test_by_channel_equals_numpy(isa, name, dtype):
    for C, N, H in itertools.product((1, 3, 16, 33), (0, 1, 4), (5, 701)):
        a = values(N, C, H, 3, dtype=dtype)
        for b in (values(N, C, 1, 1, dtype=dtype, seed=1), values(1, C, 1, 1, dtype=dtype, seed=1)):
            for layout in (a, ops.to_channels_last(a)):
                assert_array_equal(getattr(ops, name)(layout, b), UFUNCS[name](a, b))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UFUNCS)
def test_by_row_equals_numpy(isa, name, dtype):
    for shape in ((0, 3), (3, 0), (1, 5), (7, 1), (7, 16), (2, 5, 33), (2, 3, 5, 17), (3001, 3), (701, 10), (99, 63)):
        a = values(*shape, dtype=dtype)
        for other in (shape[-1:], (1,) * (len(shape) - 1) + shape[-1:], (*shape[:-1], 1)):
            b = values(*other, dtype=dtype, seed=1)
            for given in (a, np.asfortranarray(a)):
                assert_array_equal(getattr(ops, name)(given, b), UFUNCS[name](a, b), err_msg=str((shape, other)))


def test_special_values(isa):
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1e30], np.float32)
    a, b = (np.array(x) for x in zip(*itertools.product(special, special), strict=True))
    with np.errstate(all="ignore"):
        for name, ufunc in UFUNCS.items():
            y, expected = getattr(ops, name)(a, b), ufunc(a, b)
            assert_array_equal(y, expected)
            assert_array_equal(np.signbit(y[y == y]), np.signbit(expected[y == y]))


@pytest.mark.parametrize("name", [*UFUNCS, "cat"])
def test_same_bits_on_any_number_of_threads(isa, name):
    a, b = values(3, 5 * 32768 + 13), values(3, 5 * 32768 + 13, seed=1)
    before, results = ops.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            y = ops.cat([a, b], 1) if name == "cat" else getattr(ops, name)(a, b)
            results.append(y.tobytes())
    finally:
        ops.set_num_threads(before)
    assert results[1] == results[0]
    assert results[2] == results[0]


@pytest.mark.parametrize(
    ("op", "args", "error", "message"),
    [
        ("add", (values(2, 3), values(3, 2)), ValueError, r"add: b has shape \(3, 2\); expected \(2, 3\)"),
        (
            "multiply",
            (values(2), values(2, dtype=np.float64)),
            TypeError,
            "multiply: b has dtype float64, a has float32",
        ),
        ("subtract", (np.arange(3), 1), TypeError, "subtract: a has dtype int64; expected float32 or float64"),
        ("divide", (values(2), "x"), TypeError, "divide: b is a str"),
        ("add", (values(2), 10**400), ValueError, "add: b is too large for a float"),
        ("cat", ([], 0), ValueError, "cat: arrays is empty"),
        (
            "cat",
            ([values(2, 3), values(3, 2)], 0),
            ValueError,
            r"cat: arrays\[1\] has shape \(3, 2\); expected \(3, 3\)",
        ),
        (
            "cat",
            ([values(2, 3), values(2)], 0),
            ValueError,
            r"cat: arrays\[1\] has shape \(2,\); expected 2 dimensions",
        ),
        ("cat", ([values(2, 3)], 2), ValueError, "cat: dim is 2; expected one of the 2 dimensions"),
        ("cat", ([values(2), values(2, dtype=np.float64)], 0), TypeError, r"cat: arrays\[1\] has dtype float64"),
        ("cat", ([np.array(1.0)], 0), ValueError, "cat: dim is 0; expected one of the 0 dimensions"),
        ("split", (values(4), [1, 2], 0), ValueError, "split: sizes do not add up to 4"),
        ("split", (values(4), [-1, 5], 0), ValueError, "split: sizes do not add up to 4"),
        ("split", (values(4), [4], 1), ValueError, "split: dim is 1"),
    ],
)
def test_errors(op, args, error, message):
    with pytest.raises(error, match=message):
        getattr(ops, op)(*args)


# Tensors ------------------------------------------------------------------------------------------


def operators(a, b):
    return {"add": a + b, "sub": a - b, "mul": a * b, "div": a / b, "neg": -a, "scalar": (a * 0.5 - 2) / 3 + 1}


@pytest.mark.parametrize("layouts", list(itertools.product([ops.to_contiguous, ops.to_channels_last], repeat=2)))
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_tensors_equal_numpy(isa, layouts, dtype):
    a, b = values(*LARGE, dtype=dtype), values(*LARGE, dtype=dtype, seed=1)
    x, w = (layout(array) for layout, array in zip(layouts, (a, b), strict=True))
    for name, expected in operators(a, b).items():
        y = operators(fastnn.as_tensor(x), fastnn.as_tensor(w))[name]
        assert y.dtype == dtype
        assert_array_equal(y.numpy(), expected, err_msg=name)


def test_large_tensors_use_kernels_where_they_can(monkeypatch):
    from fastnn import arrays

    called = []
    monkeypatch.setitem(arrays._KERNELS, np.add, lambda a, b: called.append(1) or ops.add(a, b))
    x = fastnn.tensor(values(*LARGE))
    for operands, kernel in (
        ((x, x), True),
        ((x, 1.0), True),
        ((x, x[:1]), False),  # broadcast
        ((x, x[0, 0, 0]), True),  # a row
        ((x[:1, :1, :1], x), True),
        ((x, x[..., :1]), True),  # one number for each row
        ((x, x[:1, :1, :1, :1]), True),  # one number
        ((fastnn.as_tensor(ops.to_channels_last(x.numpy())), x[..., :1]), False),
        ((x[:, ::2], x[:, ::2]), False),  # not dense, both of them
        ((x[:, ::2], 2.0), True),
        ((x[:, :12], fastnn.as_tensor(ops.to_channels_last(x.numpy()[:, 12:]))), True),
        ((x.long(), 1), False),
        ((x, x.double()), True),  # promoted first
        ((x.transpose(2, 3), x.transpose(2, 3)), True),
        ((fastnn.ones(10), fastnn.ones(10)), False),  # small
    ):
        called.clear()
        operands[0] + operands[1]
        assert bool(called) == kernel


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("window", [np.s_[:, 3:20], np.s_[1:, ::2, 1:-1, ::-1], np.s_[..., 5], np.s_[2], np.s_[[5, 0]]])
def test_parts_of_large_tensors(window, channels_last, dtype):
    array = values(8, 24, 40, 60, dtype=dtype)
    array = ops.to_channels_last(array) if channels_last else array
    part = array[window]
    x, factor = fastnn.tensor(array, requires_grad=True), values(*part.shape, dtype=dtype, seed=1)
    x.data = array  # in its layout
    y = x[window] * fastnn.tensor(factor) + x[window]
    assert_array_equal(y.detach().numpy(), part * factor + part)
    assert_array_equal((x[window] * 3.0).detach().numpy(), part * dtype(3))
    y.backward(factor)
    expected = np.zeros_like(array)
    expected[window] = factor * factor + factor
    assert_array_equal(x.grad.numpy(), expected)


def test_factors_and_summands_of_channels_equal_pytorch():
    torch = pytest.importorskip("torch")
    arrays = [values(*LARGE), values(8, 24, 1, 1, seed=1), values(24, 1, 1, seed=2), values(1, 24, 1, 1, seed=3)]
    arrays[0] = ops.to_channels_last(arrays[0])
    ours = [fastnn.Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    results = [(b * x + c - d) / (c * c + 1) for x, b, c, d in (ours, theirs)]
    dy = values(*LARGE, seed=4)
    results[0].backward(dy)
    results[1].backward(torch.tensor(dy))
    np.testing.assert_allclose(results[0].detach().numpy(), results[1].detach().numpy(), rtol=1e-5, atol=1e-6)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-3, atol=1e-3)


def test_gradients_of_large_tensors_equal_pytorch():
    torch = pytest.importorskip("torch")
    arrays = [values(*LARGE, dtype=np.float64, seed=i) for i in range(2)]
    ours = [fastnn.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    sum(operators(*ours).values()).backward(arrays[1])
    sum(operators(*theirs).values()).backward(torch.tensor(arrays[1]))
    for t, p in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(t.grad.numpy(), p.grad.numpy(), rtol=1e-12)


# Joining and cutting ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, 2, 3, -1])
@pytest.mark.parametrize("layout", [ops.to_contiguous, ops.to_channels_last])
def test_cat_and_split(isa, layout, dim, dtype):
    shapes = [[3, 5, 4, 6] for _ in range(3)]
    for shape, size in zip(shapes, (1, 0, 17), strict=True):
        shape[dim] = size
    arrays = [values(*shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes)]
    y = ops.cat([layout(a) for a in arrays], dim)
    assert_array_equal(y, np.concatenate(arrays, dim))
    assert layout(y) is y
    for part, a in zip(ops.split(y, [1, 0, 17], dim), arrays, strict=True):
        assert_array_equal(part, a)
        assert layout(part) is part


def test_cat_of_mixed_layouts_and_views():
    a, b = values(2, 3, 4, 5), values(2, 6, 4, 5, seed=1)
    y = ops.cat([a, ops.to_channels_last(b)], 1)
    assert_array_equal(y, np.concatenate([a, b], 1))
    assert ops.to_channels_last(y) is y
    assert_array_equal(
        ops.cat([a[::-1, :, ::2], b[:, ::2, ::2]], 1), np.concatenate([a[::-1, :, ::2], b[:, ::2, ::2]], 1)
    )
    assert_array_equal(ops.cat([values(5), values(3)]), np.concatenate([values(5), values(3)]))


def test_cat_of_tensors_and_its_gradients():
    a, b = values(2, 3, 4, dtype=np.float64), values(2, 1, 4, dtype=np.float64, seed=1)
    x, w, z = (fastnn.tensor(array, requires_grad=True) for array in (a, b, a + 1))
    for dim, tensors in ((1, (x, w)), (-2, (z, w, x)), (0, (x, z)), (2, (x,))):
        arrays = [t.numpy() if not t.requires_grad else t.detach().numpy() for t in tensors]
        assert_array_equal(fastnn.cat(tensors, dim).detach().numpy(), np.concatenate(arrays, dim))
        assert fastnn.gradcheck(lambda *t, dim=dim: fastnn.cat(t, dim), tensors)
    assert fastnn.gradcheck(lambda s, t: fastnn.stack([s, t, s], 1), (x, z))
    assert_array_equal(fastnn.stack([x, x], -1).detach().numpy(), np.stack([a, a], -1))


def test_cat_of_other_types():
    ints, floats = fastnn.tensor([1, 2]), fastnn.tensor([0.5], requires_grad=True)
    assert fastnn.cat([ints, ints]).tolist() == [1, 2, 1, 2]
    joined = fastnn.cat([ints, floats])
    assert joined.dtype == np.float32
    assert joined.tolist() == [1, 2, 0.5]
    joined.sum().backward()
    assert floats.grad.tolist() == [1]
    assert fastnn.cat([fastnn.tensor([True]), fastnn.tensor([False])]).tolist() == [True, False]


def test_cat_of_float16_is_recorded():
    x = fastnn.tensor([1.0, 2.0], requires_grad=True)
    fastnn.cat([x.astype(np.float16), x.astype(np.float16) * 3]).sum().backward()
    assert x.grad.tolist() == [4, 4]


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
@pytest.mark.parametrize("shape", [(1,), (2, 2)])
def test_cat_names_the_tensor_that_does_not_fit(shape, dtype):
    tensors = [fastnn.Tensor(np.ones((1, 3), dtype)), fastnn.Tensor(np.ones(shape, dtype))]
    with pytest.raises(ValueError, match=r"cat: tensors\[1\] has shape \(.*\); expected \(1, 3\) but for dimension 0"):
        fastnn.cat(tensors)


def test_cat_says_what_is_wrong():
    x = fastnn.ones(2, 3)
    with pytest.raises(ValueError, match="cat: there are no tensors"):
        fastnn.cat([])
    with pytest.raises(TypeError, match=r"cat: tensors\[1\] is ndarray; expected a Tensor"):
        fastnn.cat([x, np.ones((2, 3))])
    with pytest.raises(IndexError, match="cat: dimension 2 is out of range"):
        fastnn.cat([x, x], 2)
    with pytest.raises(ValueError, match=r"cat: tensors\[1\] has shape \(3, 2\)"):
        fastnn.cat([x, fastnn.ones(3, 2)])
    with pytest.raises(ValueError, match=r"stack: tensors\[1\] has shape \(3, 2\); expected \(2, 3\)"):
        fastnn.stack([x, fastnn.ones(3, 2)])
