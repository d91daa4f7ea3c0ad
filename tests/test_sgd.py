"""The fused SGD step: bit-equal to NumPy in the same precision, and equal to torch.optim.SGD over several steps."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reference_optim as ref
from fastnn import ops

DTYPES = [np.float32, np.float64]
SHAPES = [(1,), (3, 5), (0,), (), (16,), (17, 3, 1, 2), (5000,), (31,)]
SETTINGS = [
    {},
    {"weight_decay": 0.01},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
    {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    {"momentum": 0.9, "maximize": True, "weight_decay": 0.01},
]


def arrays(seed, dtype, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


def numpy_step(p, g, buf, first, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    """One step in the array's own precision, each operation rounded."""
    real = p.dtype.type
    if maximize:
        g = -g
    if weight_decay:
        g = g + real(weight_decay) * p
    if momentum:
        buf = g if first else real(momentum) * buf + real(1 - dampening) * g
        g = g + real(momentum) * buf if nesterov else buf
    return p - real(lr) * g, buf


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_bit_equal_to_numpy_and_close_to_the_oracle(isa, options, dtype):
    params, buffers = arrays(0, dtype), [np.full(s, np.nan, dtype) for s in SHAPES]
    for step in range(3):
        grads, first = arrays(step + 1, dtype), step == 0
        pairs = zip(params, grads, buffers, strict=True)
        expected = [numpy_step(p, g, b, first, 0.1, **options) for p, g, b in pairs]
        full = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, "maximize": False} | options
        pairs = zip(params, grads, buffers, strict=True)
        oracle = [ref.sgd(p, g, b, 0.1, first_step=first, **full)[0] for p, g, b in pairs]
        ops.sgd(params, grads, buffers, [first] * len(params), 0.1, **options)
        for i in range(len(params)):
            np.testing.assert_array_equal(params[i], expected[i][0])
            np.testing.assert_allclose(params[i], oracle[i], rtol=1e-5, atol=1e-6)
            if options.get("momentum"):
                np.testing.assert_array_equal(buffers[i], expected[i][1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_equals_pytorch(isa, options, dtype):
    torch = pytest.importorskip("torch")
    params, buffers = arrays(0, dtype), [np.empty(s, dtype) for s in SHAPES]
    theirs = [torch.tensor(p, requires_grad=True) for p in params]
    optimizer = torch.optim.SGD(theirs, lr=0.05, **options)
    for step in range(5):
        grads = arrays(step + 1, dtype)
        ops.sgd(params, grads, buffers, [step == 0] * len(params), 0.05, **options)
        for p, g in zip(theirs, grads, strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
    for ours, p in zip(params, theirs, strict=True):
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(ours, p.detach().numpy(), rtol=8 * eps, atol=8 * eps)


def test_first_steps_may_differ(isa):
    params, grads, buffers = [[np.ones(3, np.float32) * v for _ in range(2)] for v in (0, 1, 10)]
    ops.sgd(params, grads, buffers, [True, False], lr=1.0, momentum=0.5)
    np.testing.assert_array_equal(buffers, [[1] * 3, [6] * 3])
    np.testing.assert_array_equal(params, [[-1] * 3, [-6] * 3])


def test_no_weight_decay_leaves_infinite_parameters_alone(isa):
    p = np.array([np.inf, np.nan, 1], np.float32)
    ops.sgd([p], [np.ones(3, np.float32)], [None], [True], lr=1.0)
    np.testing.assert_array_equal(p, [np.inf, np.nan, 0])


def test_both_element_types_in_one_call(isa):
    params = [np.ones(3, np.float32), np.ones(5), np.ones((2, 2), np.float32)]
    ops.sgd(params, [2 * p for p in params], [None] * 3, [True] * 3, lr=0.5)
    for p in params:
        np.testing.assert_array_equal(p, np.zeros(p.shape))
    ops.sgd([], [], [], [], lr=0.5)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_dense_layout(isa, data):
    order = data.draw(st.permutations(range(4)))
    p = np.ascontiguousarray(np.random.default_rng(0).standard_normal((2, 3, 4, 5))).transpose(order)
    buf, memory = np.full_like(p, 2), p
    g = np.random.default_rng(1).standard_normal([2 * n for n in p.shape])[::2, ::-2, 1::2, ::2]
    expected, expected_buf = numpy_step(p.copy(), g, buf.copy(), False, 0.1, momentum=0.9)
    ops.sgd([p], [g], [buf], [False], 0.1, momentum=0.9)
    np.testing.assert_array_equal(memory, expected)
    np.testing.assert_array_equal(buf, expected_buf)


def test_same_bits_on_any_number_of_threads(isa):
    shapes, results = [(100_001,), (7,), (65_537,), (1,), (40_000,)], []
    before = ops.get_num_threads()
    try:
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            params, grads, buffers = (arrays(seed, np.float32, shapes) for seed in range(3))
            ops.sgd(params, grads, buffers, [False] * 5, 0.1, 0.9, 0.1, 0.01, True)
            results.append(np.concatenate(params + buffers))
    finally:
        ops.set_num_threads(before)
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_errors_say_what_is_wrong_and_change_nothing():
    def refused(error, message, params, grads, buffers=(None, None), first=(True, True), **options):
        with pytest.raises(error, match=message):
            ops.sgd(params, grads, list(buffers), list(first), lr=0.1, **options)
        for p in params:
            np.testing.assert_array_equal(p, np.ones(p.shape))

    p, g = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    frozen = p.copy()
    frozen.flags.writeable = False
    dense = "sgd: params\\[1\\] must be writeable and dense in memory"
    refused(ValueError, "sgd: grads has length 1, params has 2", [p, p], [g])
    refused(ValueError, "sgd: buffers has length 0, params has 2", [p, p], [g, g], [])
    refused(ValueError, "sgd: first_steps has length 1, params has 2", [p, p], [g, g], first=[True])
    refused(ValueError, dense, [p, frozen], [g, g])
    refused(ValueError, dense, [p, np.ones((2, 6), np.float32)[:, ::2]], [g, g])
    refused(ValueError, dense, [p, np.broadcast_to(np.float32(1), (2, 3))], [g, g])
    refused(ValueError, r"sgd: grads\[1\] has shape \(3, 2\); expected \(2, 3\)", [p, p], [g, g.T])
    refused(TypeError, r"sgd: grads\[1\] has dtype float64, params\[1\] has float32", [p, p], [g, g.astype(float)])
    refused(TypeError, r"sgd: grads\[0\] is a NoneType", [p, p], [None, g])
    refused(TypeError, r"sgd: params\[1\] has dtype int64", [p, np.ones((2, 3), np.int64)], [g, g])
    swapped = np.ones((2, 3), np.dtype(np.float32).newbyteorder())
    refused(TypeError, r"sgd: params\[1\] has dtype .f4; expected the native byte order", [p, swapped], [g, g])
    with pytest.raises(TypeError, match=r"sgd: params\[0\] is a list; expected a NumPy array"):
        ops.sgd([[1.0]], [g], [None], [True], 0.1)

    def bad_buffer(error, message, buffer):
        refused(error, message, [p, p], [g, g], [np.zeros_like(p), buffer], momentum=0.9)

    bad_buffer(ValueError, r"sgd: buffers\[1\] is None, momentum is 0.9", None)
    bad_buffer(TypeError, r"sgd: buffers\[1\] has dtype .f4; expected the native byte order", swapped)
    bad_buffer(ValueError, r"sgd: buffers\[1\] has shape \(3,\)", np.zeros(3, np.float32))
    bad_buffer(TypeError, r"sgd: buffers\[1\] has dtype float64, params\[1\] has float32", np.zeros((2, 3)))
    bad_buffer(ValueError, r"buffers\[1\] must have the memory layout of params\[1\]", np.zeros((3, 2), np.float32).T)
    bad_buffer(ValueError, r"sgd: buffers\[1\] must be writeable and dense", frozen)
