"""where, maximum, minimum, norms, expand, log1p: values, gradients, types, the same as PyTorch."""

import numpy as np
import pytest

import fastnn

DTYPES = {"f": np.float32, "d": np.float64, "l": np.int64}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def compare(torch, function, *arrays):
    """function(lib, *tensors) in fastnn and in PyTorch: values and gradients."""
    results = []
    for lib, make in ((fastnn, fastnn.tensor), (torch, torch.tensor)):
        leaves = [make(a, requires_grad=True) for a in arrays]
        y = function(lib, *leaves)
        y.backward(make(normal(*y.shape, seed=9)))
        results.append([y.detach().numpy(), *(np.asarray(leaf.grad.detach()) for leaf in leaves)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14, strict=True)


@pytest.mark.parametrize(("a", "b"), [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2, 3)), ((0, 3), (1, 3))])
def test_selections_equal_pytorch(a, b):
    torch = pytest.importorskip("torch")
    x, other = normal(*a), normal(*b, seed=1)
    if x.size:
        other.flat[0] = x.flat[0]  # equal elements share the gradient
    condition = normal(*np.broadcast_shapes(a, b), seed=2) > 0
    compare(torch, lambda lib, u, v: lib.maximum(u, v), x, other)
    compare(torch, lambda lib, u, v: lib.minimum(u, v), x, other)
    compare(torch, lambda lib, u, v: lib.where(lib.tensor(condition), u, v), x, other)


@pytest.mark.parametrize("names", [(a, b) for a in DTYPES for b in DTYPES])
def test_types_are_promoted_as_in_pytorch(names):
    torch = pytest.importorskip("torch")
    a, b = (np.ones(3, DTYPES[name]) for name in names)
    condition = np.array([True, False, True])
    for found, expected in (
        (
            fastnn.where(condition, fastnn.tensor(a), fastnn.tensor(b)),
            torch.where(*map(torch.tensor, (condition, a, b))),
        ),
        (fastnn.maximum(fastnn.tensor(a), fastnn.tensor(b)), torch.maximum(torch.tensor(a), torch.tensor(b))),
        (
            fastnn.where(condition, fastnn.tensor(a), 0.1),
            torch.where(torch.tensor(condition), torch.tensor(a), 0.1),
        ),
        (
            fastnn.where(condition, 2, fastnn.tensor(b)),
            torch.where(torch.tensor(condition), 2, torch.tensor(b)),
        ),
    ):
        np.testing.assert_array_equal(found.numpy(), expected.numpy(), strict=True)


def test_where_keeps_nan_out():
    x = fastnn.tensor([0.0, 4.0], requires_grad=True)
    y = fastnn.where(x > 0, x.log(), 0.0)
    np.testing.assert_array_equal(y.detach().numpy(), np.log([1, 4]).astype(np.float32))
    nan = fastnn.maximum(fastnn.tensor([np.nan, 1.0]), fastnn.tensor([1.0, np.nan]))
    assert np.isnan(nan.data).all()


ORDERS = [2, 2.0, "fro", 1, 3, 0.5, float("inf"), -float("inf"), -1]


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize(("dim", "keepdim"), [(None, False), (1, False), ((0, 2), True), (-1, True)])
def test_norms_equal_pytorch(p, dim, keepdim):
    torch = pytest.importorskip("torch")
    x = normal(3, 4, 5)
    x[0, 0, :2] = 7  # shared

    def norm(lib, x):
        if lib is fastnn or p == "fro":
            return x.norm(p, dim, keepdim)
        return torch.linalg.vector_norm(x, p, dim, keepdim)

    compare(torch, norm, x)


def test_the_norm_of_order_0_counts():
    x = fastnn.tensor([[0.0, 2.0], [3.0, -1.0]], requires_grad=True)
    y = x.norm(0, dim=1)
    assert y.tolist() == [1, 2]
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.zeros((2, 2)))


@pytest.mark.parametrize("p", [1, 2, 3, 1.5, float("inf")])
def test_the_gradient_of_the_norm_of_zeros_is_zero(p):
    x = fastnn.tensor(np.zeros((2, 3)), requires_grad=True)
    x.norm(p, 1).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.zeros((2, 3)))


def test_norms_of_a_type_and_of_nothing():
    assert fastnn.ones(2, 3).norm().dtype == np.float32
    assert fastnn.zeros(0).norm().item() == 0
    assert fastnn.zeros(3, 0).norm(1, dim=1).tolist() == [0, 0, 0]


def test_expand_equals_pytorch():
    torch = pytest.importorskip("torch")
    compare(torch, lambda lib, x: x.expand(2, 3, 4) * 1.0, normal(3, 1))
    compare(torch, lambda lib, x: x.expand((-1, 4)) * 1.0, normal(3, 1))
    compare(torch, lambda lib, x: x.expand(5) * 1.0, normal())
    x = fastnn.tensor(normal(3, 1))
    assert x.expand(3, 1) is x
    for shape in ((4, 3), (3,), (-1, 3, 1)):
        with pytest.raises(ValueError, match="expand: a tensor of shape"):
            x.expand(shape)


def test_log1p():
    torch = pytest.importorskip("torch")
    x = np.array([1e-20, 0.5, 3.0, -0.9])
    compare(torch, lambda lib, x: x.log1p(), x)
    assert fastnn.tensor([1]).log1p().dtype == np.float32


def test_errors_say_what_is_wrong():
    x = fastnn.ones(2, 3)
    with pytest.raises(ValueError, match="norm: p is 'nuc'; expected a number or 'fro'"):
        x.norm("nuc")
    with pytest.raises(TypeError, match="norm: the tensor has dtype int64"):
        fastnn.tensor([1]).norm()
    with pytest.raises(IndexError, match="norm: dimension 2 is out of range"):
        x.norm(dim=2)
    with pytest.raises(TypeError, match="maximum: x is int; expected a Tensor"):
        fastnn.maximum(1, x)
    with pytest.raises(
        ValueError, match=r"where: the shapes do not broadcast: condition \(2,\), x \(2, 3\), other \(\)"
    ):
        fastnn.where([True, False], x, 0.0)
    with pytest.raises(ValueError, match=r"minimum: the shapes do not broadcast: x \(2, 3\), other \(2,\)"):
        fastnn.minimum(x, fastnn.ones(2))
