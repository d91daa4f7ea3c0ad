"""Dropout: the generator against published numbers, the kernel against the oracle, statistics, and the layers."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastnn
import reference as ref
from fastnn import functional as F
from fastnn import nn, ops

DTYPES = [np.float32, np.float64]
ONES = 0xFFFFFFFF


@pytest.fixture(autouse=True)
def generator():
    state = fastnn.get_rng_state()
    fastnn.manual_seed(0)
    yield
    fastnn.set_rng_state(state)


# Counter, key and result of the known-answer tests of Salmon et al.'s Random123.
@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ((ONES, ONES, ONES, ONES), (ONES, ONES), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_the_oracle_is_philox(counter, key, words):
    assert ref.philox4x32(counter, key) == words


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 3, 4, 15, 16, 17, 31, 32, 33, 100, 4095, 4097])
def test_equals_the_oracle(isa, size, dtype):
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    for p, seed in ((0.5, 0), (0.1, 2**64 - 1), (0.999, 0x123456789ABCDEF), (1.0, 3), (1e-12, 4)):
        y = ops.dropout(x, p, seed)
        assert y.dtype == dtype
        np.testing.assert_allclose(y, ref.dropout(x, p, seed), rtol=np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_on_any_number_of_threads_and_instruction_set(dtype):
    x = np.random.default_rng(1).standard_normal(5 * 32768 + 13).astype(dtype)
    before, isa, results = ops.get_num_threads(), ops.isa(), set()
    try:
        for name in ops.isas():
            ops.set_isa(name)
            for threads in (1, 2, 3):
                ops.set_num_threads(threads)
                results.add(ops.dropout(x, 0.3, 99).tobytes())
    finally:
        ops.set_num_threads(before)
        ops.set_isa(isa)
    assert len(results) == 1


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_statistics_of_the_mask(p):
    """Counts of dropped elements, and of dropped pairs at several distances and in two masks, within 5 sigma."""
    n = 1_000_000

    def within(count, trials, probability):
        sigma = np.sqrt(trials * probability * (1 - probability))
        return abs(count - trials * probability) <= 5 * sigma

    first, second = (ops.dropout(np.ones(n, np.float32), p, seed) == 0 for seed in (1, 2))
    assert within(first.sum(), n, p)
    assert within((first & second).sum(), n, p * p)
    for distance in (1, 2, 4, 8, 16, 32, 64, 4096):
        assert within((first[distance:] & first[:-distance]).sum(), n - distance, p * p)
    by_place = first[: n // 64 * 64].reshape(-1, 64).sum(0)  # chi-squared of 63 or 64 degrees of freedom
    chi2 = ((by_place - n // 64 * p) ** 2 / (n // 64 * p * (1 - p))).sum()
    assert 64 - 5 * np.sqrt(128) < chi2 < 64 + 5 * np.sqrt(128)


def test_dropped_values_are_multiplied_by_zero_as_in_pytorch(isa):
    x = np.full(64, np.nan, np.float32)
    assert np.isnan(ops.dropout(x, 0.5, 0)).all()
    y = ops.dropout(np.full(64, np.inf, np.float32), 0.5, 0)
    assert_array_equal(np.isnan(y), ops.dropout(np.ones(64, np.float32), 0.5, 0) == 0)


def test_memory_order_decides():
    x = np.random.default_rng(2).standard_normal((2, 3, 4, 5)).astype(np.float32)
    inside = ops.to_channels_last(x)
    y = ops.dropout(inside, 0.5, 7, channels_last=True)
    assert y.strides == inside.strides
    flat = ops.dropout(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), 0.5, 7)
    assert_array_equal(y, flat.transpose(0, 3, 1, 2))
    assert_array_equal(ops.dropout(x, 0.5, 7, channels_last=True), y)
    assert_array_equal(ops.dropout(inside, 0.5, 7), ops.dropout(x, 0.5, 7))
    assert_array_equal(ops.dropout(x[::-1, ..., ::2], 0.5, 7), ops.dropout(x[::-1, ..., ::2].copy(), 0.5, 7))


@pytest.mark.parametrize("layout", [ops.to_contiguous, ops.to_channels_last])
@pytest.mark.parametrize("dy_layout", [ops.to_contiguous, ops.to_channels_last])
def test_backward_draws_the_mask_of_forward(layout, dy_layout):
    ones = np.ones((2, 3, 4, 5))
    x = fastnn.tensor(ones, requires_grad=True)
    x.data = layout(ones)
    y = F.dropout(x, 0.4)
    y.backward(dy_layout(ones))
    assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_gradient():
    def function(x):
        fastnn.manual_seed(5)
        return F.dropout(x, 0.3) + F.dropout2d(x, 0.3)

    x = np.random.default_rng(3).standard_normal((2, 3, 4, 5))
    assert fastnn.gradcheck(function, fastnn.tensor(x, requires_grad=True))


def test_a_saved_state_continues_the_masks():
    x = fastnn.ones(100)
    F.dropout(x)
    state = fastnn.get_rng_state()
    first = F.dropout(x).numpy()
    fastnn.set_rng_state(state)
    assert_array_equal(F.dropout(x).numpy(), first)


def test_dropout2d_drops_whole_channels():
    x = fastnn.tensor(np.random.default_rng(4).standard_normal((50, 8, 3, 2)), requires_grad=True)
    y = nn.Dropout2d(0.25)(x)
    y.backward(np.ones(x.shape))
    factors = x.grad.numpy()
    assert (factors == factors[:, :, :1, :1]).all()
    assert set(factors[:, :, 0, 0].ravel()) == {0, 1 / 0.75}
    assert (factors[:, :, 0, 0] == 0).mean() == pytest.approx(0.25, abs=0.1)
    assert_array_equal(y.detach().numpy(), x.detach().numpy() * factors)
    assert nn.Dropout2d(0.5).eval()(x) is x
    assert F.dropout2d(x, 0.0) is x
    assert repr(nn.Dropout2d(0.3)) == "Dropout2d(p=0.3, inplace=False)"


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "message"),
    [
        ((X.astype(int), 0.5, 0), {}, TypeError, "dropout: x has dtype int64; expected float32 or float64"),
        ((X, 1.5, 0), {}, ValueError, "dropout: p is 1.5; expected a probability from 0 to 1"),
        ((X, float("nan"), 0), {}, ValueError, "dropout: p is nan"),
        ((X, 0.5, 1.5), {}, TypeError, "dropout: seed is a float; expected an int"),
        ((X, 0.5, -1), {}, ValueError, r"dropout: seed is -1; expected 0 to 2\*\*64 - 1"),
        ((X, 0.5, 2**64), {}, ValueError, "dropout: seed is 18446744073709551616"),
        ((X, 0.5, 0), {"channels_last": True}, ValueError, r"dropout: x has shape \(2, 3\); expected 4 dimensions"),
    ],
)
def test_errors(args, kwargs, error, message):
    with pytest.raises(error, match=message):
        ops.dropout(*args, **kwargs)


def test_p_is_a_number():
    with pytest.raises(TypeError, match=r"dropout: p is '0.5'; expected a number"):
        F.dropout(fastnn.ones(2), "0.5")
    with pytest.raises(TypeError, match=r"Dropout: p is None; expected a number"):
        nn.Dropout(None)


def test_errors_of_dropout2d():
    with pytest.raises(ValueError, match="dropout2d: p is 2; expected a probability from 0 to 1"):
        F.dropout2d(fastnn.ones(1, 2, 3, 4), 2)
    with pytest.raises(ValueError, match="Dropout2d: p is -1; expected a probability from 0 to 1"):
        nn.Dropout2d(-1)
    with pytest.raises(ValueError, match=r"dropout2d: x has shape \(2, 3\); expected \(N, C, H, W\) or \(N, C, L\)"):
        F.dropout2d(fastnn.ones(2, 3))


def test_dropout2d_of_sequences_as_in_pytorch():
    x = fastnn.ones(60, 8, 5)
    with pytest.warns(UserWarning, match=r"^dropout2d: x has shape \(60, 8, 5\), which is taken for \(N, C, L\)"):
        y = nn.Dropout2d(0.25)(x).numpy()
    assert (y == y[..., :1]).all()
    assert set(y.ravel().tolist()) == {0, np.float32(1 / 0.75)}
    assert (y[..., 0] == 0).mean() == pytest.approx(0.25, abs=0.1)
    with pytest.warns(UserWarning, match="^dropout2d: "):
        assert nn.Dropout2d(0.25).eval()(x) is x


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_dropped_and_kept_may_be_moved(isa, dtype):
    x = np.random.default_rng(5).standard_normal(101).astype(dtype)
    drops = ops.dropout(np.ones_like(x), 0.3, 9) == 0
    y = ops.dropout(x, 0.3, 9, scale=0.75, dropped=-2.5, kept=0.5)
    np.testing.assert_allclose(y, np.where(drops, -2.5, x * dtype(0.75) + dtype(0.5)), rtol=4 * np.finfo(dtype).eps)
    assert_array_equal(ops.dropout(x, 0.3, 9, scale=1.0), np.where(drops, 0, x))
    assert_array_equal(ops.dropout(x, 1.0, 9, scale=2.0, dropped=3.0, kept=4.0), np.full(101, 3, dtype))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_alpha_dropout_keeps_mean_and_variance(p):
    x = fastnn.tensor(np.random.default_rng(6).standard_normal(1_000_000), requires_grad=True)
    y = F.alpha_dropout(x, p, training=True)
    assert y.detach().numpy().mean() == pytest.approx(0, abs=0.01)
    assert y.detach().numpy().var() == pytest.approx(1, abs=0.02)
    # PyTorch's formula: noise is 1 where an element is kept, and what is added goes with it
    alpha = -1.7580993408473766
    a = 1 / np.sqrt((alpha**2 * p + 1) * (1 - p))
    y.backward(np.ones(x.shape))
    noise = x.grad.numpy() != 0
    assert noise.mean() == pytest.approx(1 - p, abs=0.005)
    np.testing.assert_allclose(x.grad.numpy()[noise], a, rtol=1e-15)
    expected = x.detach().numpy() * noise * a + (noise - 1.0) * -alpha * a - alpha * a * p
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_alpha_dropout_of_features():
    x = fastnn.tensor(np.random.default_rng(7).standard_normal((50, 8, 3, 2)), requires_grad=True)
    y = nn.FeatureAlphaDropout(0.25)(x)
    y.backward(np.ones(x.shape))
    factors = x.grad.numpy()
    assert (factors == factors[:, :, :1, :1]).all()
    assert (factors[:, :, 0, 0] == 0).mean() == pytest.approx(0.25, abs=0.1)
    shifts = y.detach().numpy() - x.detach().numpy() * factors
    for dropped in (True, False):
        of_these = shifts[(factors == 0) == dropped]
        np.testing.assert_allclose(of_these, of_these[0], rtol=1e-9)
    assert F.feature_alpha_dropout(x, 0.5) is x
    with pytest.raises(ValueError, match=r"feature_alpha_dropout: x has shape \(3,\); expected \(N, C, ...\)"):
        F.feature_alpha_dropout(fastnn.ones(3))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("dropout1d", (40, 6, 5)), ("dropout1d", (60, 5)), ("dropout3d", (40, 6, 2, 1, 3)), ("dropout3d", (60, 2, 1, 3))],
)
def test_dropout_of_channels_of_sequences_and_volumes(name, shape):
    batched = len(shape) in (3, 5)
    y = getattr(F, name)(fastnn.ones(*shape), 0.25).numpy().reshape(*shape[: 2 if batched else 1], -1)
    assert (y == y[..., :1]).all()
    assert set(y.ravel().tolist()) == {0, np.float32(1 / 0.75)}
    layer = getattr(nn, "D" + name[1:])(0.25)
    assert set(layer(fastnn.ones(*shape)).numpy().ravel().tolist()) == {0, np.float32(1 / 0.75)}
    with pytest.raises(ValueError, match=rf"{name}: x has shape \(3,\); expected \(N, C"):
        getattr(F, name)(fastnn.ones(3))


@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_alpha_dropout_as_in_pytorch_at_the_ends(name):
    torch = pytest.importorskip("torch")
    function, theirs = getattr(F, name), getattr(torch.nn.functional, name)
    x = np.random.default_rng(8).standard_normal((3, 4)).astype(np.float32)
    for p, training in ((0.0, True), (1.0, True), (0.5, False)):
        assert_array_equal(
            function(fastnn.tensor(x), p, training).numpy(), theirs(torch.tensor(x), p, training).numpy()
        )
    for p in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"{name}: p is .*; expected a probability from 0 to 1"):
            function(fastnn.tensor(x), p)
    with pytest.raises(TypeError, match=f"{name}: x has dtype int64; expected a floating-point one"):
        function(fastnn.ones(2, 3).long())
    layer = nn.AlphaDropout(0.3, inplace=True)
    assert repr(layer) == "AlphaDropout(p=0.3, inplace=True)"
    assert layer.eval()(fastnn.tensor(x)).numpy().tobytes() == x.tobytes()
