"""Random numbers and their kernels, tensors of given values, and what `import fastnn` brings."""

import json
import statistics
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
import reference as ref
from fastnn import ops


@pytest.fixture(autouse=True)
def generator():
    state = fastnn.get_rng_state()
    yield fastnn.default_generator()
    fastnn.set_rng_state(state)


def draw():
    generator = fastnn.default_generator()
    return [*fastnn.randn(5).tolist(), *fastnn.rand(3).tolist(), *generator.permutation(10).tolist()]


def test_seed_repeats_bit_for_bit(generator):
    assert fastnn.manual_seed(7) is generator
    first = draw()
    assert draw() != first
    fastnn.manual_seed(np.int64(7))
    assert draw() == first
    fastnn.manual_seed(8)
    assert draw() != first


def test_seed_is_the_generator_of_numpy():
    fastnn.manual_seed(3)
    words = np.random.Philox(3)
    for function, kernel in ((fastnn.randn, ops.random_normal), (fastnn.rand, ops.random_uniform)):
        expected = np.empty((2, 3), np.float32)
        kernel(expected, 0, 1, words.random_raw())
        assert_array_equal(function(2, 3).data, expected)


@pytest.mark.parametrize("seed", [0, -1, -(2**63), 2**64 - 1])
def test_any_seed_of_64_bits(seed):
    fastnn.manual_seed(seed)


def test_seed_refuses():
    with pytest.raises(TypeError, match=r"manual_seed: seed is 1\.5; expected an int"):
        fastnn.manual_seed(1.5)
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match=r"manual_seed: seed is .*; expected an integer of 64 bits"):
            fastnn.manual_seed(seed)


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_state_through_json(before):
    fastnn.manual_seed(1)
    fastnn.default_generator().integers(0, 100, before, dtype=np.int32)  # leaves half-used numbers behind
    state = json.loads(json.dumps(fastnn.get_rng_state()))
    first = draw()
    fastnn.manual_seed(99)
    fastnn.set_rng_state(state)
    assert draw() == first


@pytest.mark.parametrize("state", [None, {}, {"bit_generator": "PCG64"}, {"bit_generator": "Philox", "state": 3}])
def test_bad_state(state):
    with pytest.raises(ValueError, match="set_rng_state: this is not a state of the generator"):
        fastnn.set_rng_state(state)


@pytest.mark.parametrize("function", [fastnn.rand, fastnn.randn])
def test_random_tensors(function):
    assert function(2, 3).shape == function((2, 3)).shape == (2, 3)
    assert function().shape == ()
    assert function(0, 2).shape == (0, 2)
    assert function(2).dtype == np.float32
    assert function(2, dtype="float64", requires_grad=True).requires_grad
    assert function(2, dtype=fastnn.float64).dtype == np.float64
    a, b = (function(3, generator=np.random.default_rng(0)) for _ in range(2))
    assert_array_equal(a.data, b.data)
    with pytest.raises(TypeError, match=f"{function.__name__}: dtype is int64; expected float32 or float64"):
        function(2, dtype=int)
    with pytest.raises(TypeError, match=f"{function.__name__}: size is 2.5; expected an int"):
        function(1, 2.5)
    with pytest.raises(ValueError, match=rf"{function.__name__}: size is \(2, -1\); expected numbers of at least 0"):
        function((2, -1))


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64, np.random.SFC64, np.random.Philox])
def test_generators_of_any_kind_give_seeds_of_64_bits(kind):
    generator = np.random.Generator(kind(5))
    seeds = [fastnn.random.draw_seed(generator) for _ in range(64)]
    assert np.bitwise_or.reduce(np.array(seeds, np.uint64)) == 2**64 - 1
    assert len(set(seeds)) == 64
    a, b, c = (fastnn.rand(3, generator=np.random.Generator(kind(seed))) for seed in (5, 5, 6))
    assert_array_equal(a.data, b.data)
    assert (a != c).all()


def test_what_is_no_generator():
    for function, generator in ((fastnn.rand, 3), (fastnn.randn, np.random.Philox(0))):
        name = function.__name__
        with pytest.raises(TypeError, match=rf"{name}: generator is \w+; expected a numpy\.random\.Generator"):
            function(2, generator=generator)


# ---- the kernels ---------------------------------------------------------------------------------------------------

DTYPES = [np.float32, np.float64]
KERNELS = {"uniform": ops.random_uniform, "normal": ops.random_normal}


def fill(kernel, size, first=0.0, second=1.0, seed=0, dtype=np.float32):
    y = np.full(size, np.nan, dtype)
    assert KERNELS[kernel](y, first, second, seed) is None
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 3, 15, 16, 17, 31, 32, 33, 100, 4097])
def test_kernels_equal_the_oracle(isa, size, dtype):
    bits, eps = 8 * np.dtype(dtype).itemsize, np.finfo(dtype).eps
    for first, second, seed in ((0, 1, 0), (-3, 0.5, 2**64 - 1), (2, 2, 7)):
        y = fill("uniform", size, first, second, seed, dtype)
        expected = ref.random_uniform(size, first, second, seed, bits)
        assert_allclose(y, expected, rtol=2 * eps, atol=2 * eps * (second - first))
        y = fill("normal", size, first, second, seed, dtype)
        expected = ref.random_normal(size, 0, second, seed, bits)
        assert_allclose(y, first + expected, rtol=3 * eps, atol=3 * eps * (abs(first) + second))
        if first == 0:  # relative to the number itself, also near 0
            assert_allclose(y, expected, rtol=4 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_elements_depend_on_the_seed_and_their_place_alone(kernel, dtype, isa):
    before, size = ops.get_num_threads(), 5 * 32768 + 13
    try:
        results = []
        for threads in (1, 2, 3):
            ops.set_num_threads(threads)
            results.append(fill(kernel, size, seed=9, dtype=dtype))
    finally:
        ops.set_num_threads(before)
    assert len({y.tobytes() for y in results}) == 1
    for n in (1, 31, 1000):
        assert_array_equal(fill(kernel, n, seed=9, dtype=dtype), results[0][:n])
    for seed in (8, 9 + 2**32, 9 + 2**63):
        assert (fill(kernel, 1000, seed=seed, dtype=dtype) != results[0][:1000]).mean() > 0.99


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_numbers_have_the_same_bits_on_every_instruction_set(dtype):
    before, results = ops.isa(), set()
    try:
        for isa in ops.isas():
            ops.set_isa(isa)
            results.add(fill("uniform", 1001, -0.3, 0.7, 4, dtype).tobytes())
    finally:
        ops.set_isa(before)
    assert len(results) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_numbers_have_the_distribution(kernel, dtype, isa):
    """Intervals of equal probability; the bounds are 5 standard deviations, or pass once in 100,000 times."""
    n, intervals = 1 << 19, 1024
    x = fill(kernel, n, seed=12, dtype=dtype).astype(np.float64)
    steps = np.arange(1, intervals) / intervals
    edges = [statistics.NormalDist().inv_cdf(p) for p in steps] if kernel == "normal" else steps
    half = 16 if dtype == np.float32 else 8
    for part in (x, *x.reshape(-1, 2, half).swapaxes(0, 1).reshape(2, -1)):  # all, cosines, sines
        counts = np.diff(np.searchsorted(np.sort(part), edges), prepend=0, append=part.size)
        expected = part.size / intervals
        assert abs(counts.cumsum() / part.size - np.append(steps, 1)).max() < np.sqrt(-np.log(5e-6) / 2 / part.size)
        assert abs(((counts - expected) ** 2 / expected).sum() - intervals) < 5 * np.sqrt(2 * intervals)
    z = x if kernel == "normal" else (x - 0.5) * np.sqrt(12)
    for power, moment in enumerate((0, 1, 0, 3, 0, 15) if kernel == "normal" else (0, 1, 0, 9 / 5, 0, 27 / 7), 1):
        product = np.prod([z] * power, axis=0)
        assert abs(product.mean() - moment) < 5 * product.std() / np.sqrt(n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tails(dtype):
    counts, chunk, chunks = np.zeros(3), 1 << 20, 16
    thresholds = (4, 4.5, 5)
    for seed in range(chunks):
        x = abs(fill("normal", chunk, seed=seed, dtype=dtype))
        assert np.isfinite(x).all()
        counts += [(x > threshold).sum() for threshold in thresholds]
    expected = [2 * statistics.NormalDist().cdf(-t) * chunk * chunks for t in thresholds]  # 1063, 114, 9.6
    assert (abs(counts - expected) < 5 * np.sqrt(expected)).all(), counts


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_numbers_are_independent(kernel, dtype):
    n = 1 << 18
    x, other = (fill(kernel, n, seed=seed, dtype=dtype).astype(np.float64) for seed in (1, 2))
    for transform in (lambda v: v, abs, np.square):
        for distance in (1, 2, 4, 8, 16, 32, 64, 4096):
            a, b = transform(x[distance:]), transform(x[:-distance])
            assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(n), distance
        assert abs(np.corrcoef(transform(x), transform(other))[0, 1]) < 5 / np.sqrt(n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_two_of_a_pair_lie_in_every_direction_alike(dtype):
    half = 16 if dtype == np.float32 else 8
    x, y = fill("normal", 1 << 21, seed=3, dtype=dtype).astype(np.float64).reshape(-1, 2, half).swapaxes(0, 1)
    directions = np.histogram(np.arctan2(y, x), 512, (-np.pi, np.pi))[0]
    lengths = np.histogram(np.exp(-(x * x + y * y) / 2), 512, (0, 1))[0]
    for counts in (directions, lengths):
        expected = x.size / 512
        assert abs(((counts - expected) ** 2 / expected).sum() - 512) < 5 * np.sqrt(2 * 512)


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_numbers_stay_inside(dtype, isa):
    high = np.nextafter(dtype(1), dtype(2))
    assert set(fill("uniform", 1000, 1, high, 0, dtype)) == {1}  # half of the sums round to high
    eps = float(np.finfo(dtype).eps)
    y = fill("uniform", 10000, 1, 1 + 4 * eps, 0, dtype)
    assert sorted(set((y - 1) / eps)) == [0, 1, 2, 3]
    largest = float(np.finfo(dtype).max)
    y = fill("uniform", 10000, -largest / 2, largest / 2, 0, dtype)
    assert np.isfinite(y).all()
    assert abs(y).max() > 0.49 * largest
    assert set(fill("uniform", 100, -largest, -largest, 0, dtype)) == {-largest}


def test_normal_numbers_of_extreme_parameters(isa):
    assert (fill("normal", 100, 2.5, 0) == 2.5).all()
    assert (fill("normal", 100, np.inf, 1) == np.inf).all()
    assert np.isnan(fill("normal", 100, np.nan, 1)).all()
    assert np.isinf(fill("normal", 100, 0, np.inf)).all()
    assert (fill("normal", 100, 1e10, 1, dtype=np.float64) != 1e10).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_any_dense_memory_is_filled_in_its_order(kernel):
    expected = fill(kernel, 24)
    y = np.empty((2, 3, 4), np.float32).transpose(2, 0, 1)
    KERNELS[kernel](y, 0, 1, 0)
    assert_array_equal(y.transpose(1, 2, 0).ravel(), expected)


def read_only():
    y = np.empty(3)
    y.flags.writeable = False
    return y


Y = np.empty(3, np.float32)
LARGE = 3e38


@pytest.mark.parametrize(
    ("kernel", "args", "error", "message"),
    [
        ("uniform", ([1.0], 0, 1, 0), TypeError, "y is a list; expected a NumPy array to update"),
        ("uniform", (np.empty(3, int), 0, 1, 0), TypeError, "y has dtype int64; expected float32 or float64"),
        ("normal", (np.empty(3, ">f4"), 0, 1, 0), TypeError, "y has dtype >f4; expected the native byte order"),
        ("normal", (np.empty((4, 4))[:, ::2], 0, 1, 0), ValueError, "y must be writeable and dense in memory"),
        ("uniform", (read_only(), 0, 1, 0), ValueError, "y must be writeable and dense in memory"),
        ("uniform", (Y, 1, 0.5, 0), ValueError, "low is 1, high 0.5; expected numbers from -3.40282e"),
        ("uniform", (Y, np.nan, 1, 0), ValueError, "low is nan, high 1; expected numbers"),
        ("uniform", (Y, 0, np.inf, 0), ValueError, "low is 0, high inf; expected numbers"),
        ("uniform", (Y, 0, 1e39, 0), ValueError, "low is 0, high 1e.39; expected numbers"),
        ("uniform", (Y, -LARGE, LARGE, 0), ValueError, "high - low is 6e.38; expected at most 3.40282e"),
        ("uniform", (np.empty(1), -1.7e308, 1.7e308, 0), ValueError, "high - low is inf; expected at most 1.79769e"),
        ("normal", (Y, 0, -1, 0), ValueError, "std is -1; expected at least 0"),
        ("normal", (Y, 0, np.nan, 0), ValueError, "std is nan; expected at least 0"),
        ("normal", (Y, 0, 1, -1), ValueError, r"seed is -1; expected 0 to 2\*\*64 - 1"),
        ("uniform", (Y, 0, 1, 1.5), TypeError, "seed is a float; expected an int"),
    ],
)
def test_errors_of_the_kernels(kernel, args, error, message):
    with pytest.raises(error, match=f"^random_{kernel}: {message}"):
        KERNELS[kernel](*args)


# ---- tensors of given values ---------------------------------------------------------------------------------------


def test_given_values():
    assert fastnn.zeros(2, 2).tolist() == [[0, 0], [0, 0]]
    assert fastnn.ones((2,), dtype="int64").tolist() == [1, 1]
    assert fastnn.ones(1, requires_grad=True).requires_grad
    assert fastnn.full((1, 2), 7).dtype == np.int64
    assert fastnn.full(2, 0.5).tolist() == [0.5, 0.5]
    assert fastnn.zeros_like(fastnn.full(2, 1)).tolist() == [0, 0]
    assert fastnn.ones_like(fastnn.zeros(2)).dtype == np.float32
    assert fastnn.arange(3).tolist() == [0, 1, 2]
    assert fastnn.arange(1, 2, 0.5).tolist() == [1, 1.5]
    assert fastnn.arange(3, 0, -1, dtype="float64").dtype == np.float64
    with pytest.raises(ValueError, match="arange: step is 0"):
        fastnn.arange(1, 2, 0)


# ---- the package ---------------------------------------------------------------------------------------------------


def test_submodules_come_when_used():
    code = """
import sys, fastnn
loaded = {name.partition(".")[2] for name in sys.modules if name.startswith("fastnn.")}
assert not loaded & {"data", "datasets", "functional", "models", "nn", "optim"}, loaded
assert "numpy.random" not in sys.modules
fastnn.functional.relu
assert "functional" in dir(fastnn)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="module 'fastnn' has no attribute 'nothing'"):
        fastnn.nothing  # noqa: B018


def test_everything_exported_is_there():
    for name in fastnn.__all__:
        assert getattr(fastnn, name) is not None
