"""Random numbers, tensors of given values, and what `import fastnn` brings."""

import json
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastnn


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
    expected = np.random.Generator(np.random.Philox(3)).standard_normal((2, 3), np.float32)
    assert_array_equal(fastnn.randn(2, 3).data, expected)


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


def test_distributions():
    fastnn.manual_seed(0)
    normal, uniform = fastnn.randn(100_000), fastnn.rand(100_000)
    assert abs(normal.mean().item()) < 0.02
    assert abs(normal.std().item() - 1) < 0.02
    assert abs(uniform.mean().item() - 0.5) < 0.01
    assert 0 <= uniform.min().item() < uniform.max().item() < 1


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
