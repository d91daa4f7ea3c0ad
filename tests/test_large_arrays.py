"""Arrays that outgrow the caches are written past them: the bits are those of their parts, which are not."""

import numpy as np
import pytest

from fastnn import ops

ELEMENTS = 2_200_000  # of float32: 8.8 MB, and not a multiple of a block, nor of a vector with the tail
PARTS = 5


def normal(seed, *shape, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check_parts(run, *arrays, axis=0):
    """`run` of the whole arrays equals `run` of their parts along an axis."""
    parts = [run(*part) for part in zip(*(np.array_split(a, PARTS, axis) for a in arrays), strict=True)]
    np.testing.assert_array_equal(run(*arrays), np.concatenate(parts, axis), strict=True)


@pytest.mark.parametrize("tail", [0, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_element_wise(isa, dtype, tail):
    a, b = (normal(seed, ELEMENTS + tail, dtype=dtype) for seed in (1, 2))
    check_parts(ops.relu_forward, a)
    check_parts(ops.relu_backward, a, b)
    check_parts(ops.gelu_forward, a)
    check_parts(ops.add, a, b)
    check_parts(ops.divide, a, b)
    check_parts(ops.mse_loss_forward, a, b)
    check_parts(lambda x, t: ops.mse_loss_backward(dtype(2), x, t), a, b)


@pytest.mark.parametrize("tail", [0, 7])
def test_dropout(isa, tail):
    x = normal(1, ELEMENTS + tail)
    y = ops.dropout(x, 0.3, 4)
    kept = y != 0
    np.testing.assert_array_equal(y, np.where(kept, x * np.float32(1 / 0.7), 0))
    assert abs(kept.mean() - 0.7) < 0.01
    few = ops.dropout(x[:1000], 0.3, 4)
    np.testing.assert_array_equal(y[:1000], few)
    np.testing.assert_array_equal(ops.dropout(x, 0.3, 4, dropped=0.5, kept=0.5), y + np.float32(0.5))


@pytest.mark.parametrize("C", [64, 30, 700])
def test_batch_norm(isa, threads, C):
    N = ELEMENTS // C
    x, dy, residual = (normal(seed, N, C) for seed in (1, 2, 3))
    mean, inv_std = ops.batch_norm_statistics(x)
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64), atol=1e-6)
    w, b = normal(4, C), normal(5, C)
    check_parts(lambda x: ops.batch_norm_forward(x, mean, inv_std, w, b, None, True), x)
    check_parts(lambda x, r: ops.batch_norm_forward(x, mean, inv_std, w, b, r, True), x, residual)
    check_parts(lambda dy, x: ops.batch_norm_backward(dy, x, mean, inv_std, w, b, None, False, True)[0], dy, x)
    dx = ops.batch_norm_backward(dy, x, mean, inv_std, w, b)[0].astype(np.float64)
    scale, z = w.astype(np.float64) * inv_std, (x.astype(np.float64) - mean) * inv_std
    expected = scale * (dy - dy.mean(0, dtype=np.float64) - z * (dy * z).mean(0))
    np.testing.assert_allclose(dx, expected, rtol=1e-4, atol=1e-5)


def test_group_norm(isa):
    x, dy, w, b = normal(1, 5, 64, 90, 90), normal(2, 5, 64, 90, 90), normal(3, 64), normal(4, 64)
    x, dy = ops.to_channels_last(x), ops.to_channels_last(dy)
    check_parts(lambda x: ops.group_norm_forward(x, 4, w, b)[0], x)
    _, mean, inv_std = ops.group_norm_forward(x, 4, w, b)
    whole = ops.group_norm_backward(dy, x, mean, inv_std, 4, w)[0]
    for n in range(5):
        image = slice(n, n + 1)
        part = ops.group_norm_backward(dy[image], x[image], mean[image], inv_std[image], 4, w)[0]
        np.testing.assert_array_equal(whole[image], part)


@pytest.mark.parametrize("C", [64, 30])
def test_prelu(isa, C):
    x, w = normal(1, ELEMENTS // C, C), normal(2, C)
    check_parts(lambda x: ops.prelu_forward(x, w), x)


@pytest.mark.parametrize("C", [32, 20, 192])
@pytest.mark.parametrize("window", [(2, 2, 0), (3, 2, 1), (3, 1, 1)], ids=str)
def test_pooling(isa, threads, C, window):
    size = int((ELEMENTS / PARTS / C) ** 0.5) + 1
    x = ops.to_channels_last(normal(1, PARTS, C, size, size))
    check_parts(lambda x: ops.max_pool2d_forward(x, *window)[0], x)
    check_parts(lambda x: ops.avg_pool2d_forward(x, *window), x)
    y, argmax = ops.max_pool2d_forward(x, *window)
    dy = ops.to_channels_last(normal(2, *y.shape))
    shape = x.shape[1:]
    check_parts(lambda dy, at: ops.max_pool2d_backward(dy, at, (len(dy), *shape), *window), dy, argmax)
    check_parts(lambda dy: ops.avg_pool2d_backward(dy, (len(dy), *shape), *window), dy)


CONVOLUTIONS = {  # N, C, H, K, R, stride, padding, groups
    "1x1": (5, 40, 60, 160, 1, 1, 0, 1),
    "1x1 stride 2": (5, 32, 100, 192, 1, 2, 0, 1),
    "first layer": (5, 3, 118, 32, 7, 1, 3, 1),
    "stride 2": (5, 32, 120, 128, 3, 2, 1, 1),
    "winograd": (5, 32, 90, 64, 3, 1, 1, 1),
    "groups": (5, 64, 90, 64, 3, 1, 1, 4),
    "depthwise": (5, 64, 90, 64, 3, 1, 1, 64),
    "depthwise, stride 2": (5, 64, 180, 64, 3, 2, 1, 64),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(isa, threads, name):
    N, C, H, K, R, stride, padding, groups = CONVOLUTIONS[name]
    x = ops.to_channels_last(normal(1, N, C, H, H))
    w, b = normal(2, K, C // groups, R, R), normal(3, K)
    window = stride, padding, 1, groups
    y = ops.conv2d_forward(x, w, b, *window, algorithm="direct")
    assert y.nbytes > 4 << 20
    check_parts(lambda x: ops.conv2d_forward(x, w, b, *window, algorithm="direct"), x)
    check_parts(
        lambda dy: ops.conv2d_backward_input(dy, w, (len(dy), C, H, H), *window, algorithm="direct"),
        ops.to_channels_last(normal(4, *y.shape)),
    )
    if name == "winograd":
        again = ops.conv2d_forward(x, w, b, *window, algorithm="winograd")
        assert np.abs(again - y).max() <= 2e-5 * np.abs(y).max()


def test_matmul(isa, threads):
    a, b = normal(1, 1100, 30), normal(2, 30, 2000)
    check_parts(lambda a: ops.matmul(a, b), a)
