"""Function (operations of the user's own) and gradcheck."""

import gc
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastnn
from fastnn import Function, Tensor, gradcheck, tensor


class Scale(Function):
    """factor * x * w, with a plain argument in the middle."""

    @staticmethod
    def forward(ctx, x, factor, w):
        assert type(x) is np.ndarray
        ctx.save_for_backward(x, w)
        ctx.factor = factor
        ctx.needs = ctx.needs_input_grad
        return factor * x * w

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return ctx.factor * dy * w, None, ctx.factor * dy * x if ctx.needs_input_grad[2] else None


class Polar(Function):
    """Two outputs with gradients and one of integers without."""

    @staticmethod
    def forward(ctx, x, y):
        radius = np.hypot(x, y)
        ctx.save_for_backward(x, y, radius)
        return radius, np.arctan2(y, x), (x > 0).astype(np.int64)

    @staticmethod
    def backward(ctx, dradius, dangle, dquadrant):
        x, y, radius = ctx.saved_tensors
        assert not dquadrant.any()
        return (
            dradius * x / radius - dangle * y / radius**2,
            dradius * y / radius + dangle * x / radius**2,
        )


def returning(*grads):
    """A function of (x, number) whose backward returns these."""

    class MyOp(Function):
        @staticmethod
        def forward(ctx, x, number):
            return x * number

        @staticmethod
        def backward(ctx, dy):
            return grads

    return MyOp


@pytest.fixture
def x():
    return tensor([1.0, -2.0, 3.0], dtype="float64", requires_grad=True)


@pytest.fixture
def y():
    return tensor([0.5, 1.5, -1.0], dtype="float64", requires_grad=True)


# ---- Function -------------------------------------------------------------------------------------------------------


def test_function(x, y):
    z = Scale.apply(x, 2.0, y)
    assert isinstance(z, Tensor)
    assert_array_equal(z.detach(), 2 * x.data * y.data)
    z.sum().backward()
    assert_array_equal(x.grad, 2 * y.data)
    assert_array_equal(y.grad, 2 * x.data)
    assert gradcheck(lambda x, y: Scale.apply(x, 3, y), (x, y))
    assert gradcheck(lambda x: Scale.apply(x, 3, y.detach()), x)


def test_function_among_others(x, y):
    assert gradcheck(lambda x, y: (Scale.apply(x * y, 2, y) + x).exp().sum(), (x, y))


def test_several_outputs(x, y):
    assert gradcheck(Polar.apply, (x, y))
    radius, angle, quadrant = Polar.apply(x, y)
    assert not quadrant.requires_grad
    assert quadrant.dtype == np.int64
    (radius * angle).sum().backward()
    both = x.grad.data
    assert gradcheck(lambda x, y: Polar.apply(x, y)[1], (x, y))
    assert gradcheck(lambda x, y: Polar.apply(x, y)[0] * Polar.apply(x, y)[1], (x, y))
    x.grad = None
    radius, angle, _ = Polar.apply(x, y)
    z = radius * angle
    z.sum().backward(retain_graph=True)
    z.sum().backward()
    assert_array_equal(x.grad.data, 2 * both)
    with pytest.raises(RuntimeError, match="retain_graph"):
        angle.sum().backward()


def test_needs_input_grad(x, y):
    seen = []

    class Probe(Function):
        @staticmethod
        def forward(ctx, *args):
            seen.append(ctx.needs_input_grad)
            return args[0].sum()

        @staticmethod
        def backward(ctx, dy):
            raise AssertionError

    assert type(Probe.apply(x, None, y.detach(), y).data) is np.ndarray
    with fastnn.no_grad():
        assert not Probe.apply(x).requires_grad
    assert not Probe.apply(x.detach()).requires_grad
    assert seen == [(True, False, False, True), (False,), (False,)]


def test_saved_arrays_die(x):
    gc.disable()
    try:
        scaled = Scale.apply(x, 2.0, np.arange(3.0))
        held = weakref.ref(Scale.apply(x, 2.0, np.arange(3.0))._node.backward)
        assert held() is None
        function = weakref.ref(scaled._node.edges[0].backward)
        scaled.sum().backward()
        assert function() is None
    finally:
        gc.enable()


def test_gradients_do_not_alias(x, y):
    class Add(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, dy):
            return dy, dy

    dy = np.ones(3)
    Add.apply(x, y).backward(dy)
    x.grad.zero_()
    assert y.grad.tolist() == [1, 1, 1]
    assert dy.tolist() == [1, 1, 1]


ONE = np.ones(3)
WRONG = {
    "too few": ((ONE,), ValueError, r"MyOp\.backward returned 1 gradients; forward has 2 arguments"),
    "too many": ((ONE, None, None), ValueError, r"MyOp\.backward returned 3 gradients; forward has 2 arguments"),
    "shape": ((np.ones(2), None), ValueError, r"MyOp\.backward: gradient 0 has shape \(2,\); argument 0 has \(3,\)"),
    "dtype": ((np.ones(3, np.float32), None), TypeError, r"gradient 0 has dtype float32; argument 0 has float64"),
    "type": (([1, 2, 3], None), TypeError, r"gradient 0 is of type list; expected an array or None"),
    "tensor": ((tensor(ONE), None), TypeError, r"gradient 0 is of type Tensor; expected an array or None"),
    "not a tensor": ((ONE, ONE), TypeError, r"gradient 1 is of type ndarray; argument 1 is no tensor: expected None"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients(name, x):
    grads, kind, message = WRONG[name]
    z = returning(*grads).apply(x, 2.0)
    with pytest.raises(kind, match=message):
        z.sum().backward()
    assert x.grad is None


def test_no_gradient_is_none(x):
    (returning(None, None).apply(x, 2.0) + x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_wrong_outputs(x):
    class MyOp(Function):
        @staticmethod
        def forward(ctx, x):
            return [1.0]

    with pytest.raises(TypeError, match=r"MyOp\.forward returned list; expected an array or a tuple of arrays"):
        MyOp.apply(x)
    with pytest.raises(NotImplementedError, match="forward"):
        Function.apply(x)


# ---- gradcheck ------------------------------------------------------------------------------------------------------


def wrong(factor, at):
    """Squares, with one element of the gradient multiplied by a factor."""

    def function(x, *_):
        def backward(dy):
            dx = 2 * x.data * dy
            dx[at] *= factor
            return dx

        return fastnn.record(x.data**2, backward, x)

    return function


def test_gradcheck_names_the_worst_element():
    x = tensor(np.arange(1.0, 7).reshape(2, 3), requires_grad=True)
    assert gradcheck(wrong(1, (1, 2)), x)
    message = r"input 1, element \(1, 2\): backward gives 13\.2, finite differences give 1[12][.\d]* \(for element 5"
    with pytest.raises(RuntimeError, match=message):
        gradcheck(lambda first, x: wrong(1.1, (1, 2))(x), (3, x))
    with pytest.raises(RuntimeError, match=r"element \(0, 1\): backward gives nan"):
        gradcheck(wrong(np.nan, (0, 1)), x)
    assert gradcheck(wrong(1.1, (0, 0)), x, raise_exception=False) is False
    assert gradcheck(wrong(1.1, (0, 0)), x, rtol=0.2)
    assert x.grad is None


def test_gradcheck_finds_a_missing_gradient(x, y):
    with pytest.raises(RuntimeError, match=r"input 1, element \(\d,\): backward gives 0,"):
        gradcheck(lambda x, y: x * y.detach(), (x, y))


def test_gradcheck_finds_what_is_not_repeatable(x):
    count = iter(range(100))
    noisy = lambda x: fastnn.record(x.data * 1, lambda dy: dy * (1 + 1e-12 * next(count)), x)  # noqa: E731
    with pytest.raises(RuntimeError, match="two runs of backward differ"):
        gradcheck(noisy, x)


def test_gradcheck_finds_changed_inputs(x):
    def careless(x):
        y = x.data * 1
        return fastnn.record(y, lambda dy: np.multiply(dy, 1, out=x.data), x)

    with pytest.raises(RuntimeError, match="changed input 0 in place"):
        gradcheck(careless, x)


def test_gradcheck_takes_any_strides():
    x = tensor(np.arange(1.0, 13).reshape(3, 4)).data.T[::-1, ::2]
    assert gradcheck(lambda x: (x * x).sum(0), Tensor(x, requires_grad=True))
    assert gradcheck(lambda x: x**2, tensor(np.zeros((0, 2)), requires_grad=True))
    assert gradcheck(lambda x: x[:0], tensor(np.ones(2), requires_grad=True))


def test_gradcheck_inside_no_grad(x):
    with fastnn.no_grad():
        assert gradcheck(lambda x: x * x, x)


def test_gradcheck_refuses(x):
    with pytest.raises(TypeError, match="gradcheck: input 1 has dtype float32; expected float64"):
        gradcheck(lambda x, y: x * y, (x, tensor([1.0], requires_grad=True)))
    with pytest.raises(ValueError, match="gradcheck: no input requires grad"):
        gradcheck(lambda x: x, x.detach())
    with pytest.raises(ValueError, match="gradcheck: no output of the function requires grad"):
        gradcheck(lambda x: x.detach(), x)
    with pytest.raises(TypeError, match="gradcheck: the function returned ndarray"):
        gradcheck(lambda x: x.data, x)
