"""Packed and padded sequences: definitions, gradients, and PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import fastnn
from fastnn.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
)


def batch(N, T, rest=(3,), batch_first=False, dtype=np.float32):
    shape = (N, T, *rest) if batch_first else (T, N, *rest)
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def array(tensor):
    return None if tensor is None else np.asarray(tensor.detach())


def same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert_array_equal(array(a), array(b), strict=True)


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=7),
    batch_first=st.booleans(),
    extra=st.integers(0, 3),
    rest=st.sampled_from([(), (1,), (3,), (2, 2)]),
    total=st.integers(0, 4),
)
def test_equals_pytorch(lengths, batch_first, extra, rest, total):
    torch = pytest.importorskip("torch")
    theirs_of = torch.nn.utils.rnn
    x = batch(len(lengths), max(lengths) + extra, rest, batch_first)
    ours, theirs = fastnn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    packed = pack_padded_sequence(ours, lengths, batch_first, enforce_sorted=False)
    expected = theirs_of.pack_padded_sequence(theirs, lengths, batch_first, enforce_sorted=False)
    same(packed, expected)

    longest = max(lengths) + total
    padded = pad_packed_sequence(packed, not batch_first, -1.5, longest)
    expected_padded = theirs_of.pad_packed_sequence(expected, not batch_first, -1.5, longest)
    same(padded, expected_padded)
    dy = np.random.default_rng(1).standard_normal(padded[0].shape).astype(np.float32)
    padded[0].backward(dy)
    expected_padded[0].backward(torch.from_numpy(dy))
    assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())

    for side in ("right", "left"):
        parts = [np.random.default_rng(n).standard_normal((n, *rest)).astype(np.float32) for n in lengths]
        ours_parts = [fastnn.tensor(p, requires_grad=True) for p in parts]
        theirs_parts = [torch.tensor(p, requires_grad=True) for p in parts]
        y = pad_sequence(ours_parts, batch_first, 2.5, side)
        expected_y = theirs_of.pad_sequence(theirs_parts, batch_first, 2.5, side)
        same([y], [expected_y])
        y.backward(y.detach())
        expected_y.backward(expected_y.detach())
        same([p.grad for p in ours_parts], [p.grad for p in theirs_parts])
    same(pack_sequence(ours_parts, enforce_sorted=False), theirs_of.pack_sequence(theirs_parts, enforce_sorted=False))


def test_packing_by_definition():
    x = fastnn.tensor([[1, 2, 3], [4, 5, 0], [6, 0, 0]])
    packed = pack_padded_sequence(x, fastnn.tensor([3, 2, 1]), batch_first=True)
    assert_array_equal(packed.data.numpy(), [1, 4, 6, 2, 5, 3])
    assert_array_equal(packed.batch_sizes.numpy(), [3, 2, 1], strict=True)
    assert packed.sorted_indices is None
    assert packed.unsorted_indices is None
    y, lengths = pad_packed_sequence(packed, batch_first=True, padding_value=9)
    assert_array_equal(y.numpy(), [[1, 2, 3], [4, 5, 9], [6, 9, 9]])
    assert_array_equal(lengths.numpy(), [3, 2, 1])


def test_what_lies_behind_the_end_plays_no_part():
    x = batch(3, 5)
    x[3:, 1] = np.nan
    t = fastnn.tensor(x, requires_grad=True)
    packed = pack_padded_sequence(t, [5, 3, 1])
    assert not np.isnan(packed.data.detach().numpy()).any()
    packed.data.sum().backward()
    assert_array_equal(t.grad.numpy()[:, :, 0].T, [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])


@pytest.mark.parametrize("lengths", [[4, 2, 2], [1, 4, 3]])
def test_gradients(lengths):
    def through(x):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        squared = packed._replace(data=packed.data * packed.data)
        return pad_packed_sequence(squared, total_length=5)[0]

    assert fastnn.gradcheck(through, fastnn.tensor(batch(3, 4, (2,), True, np.float64), requires_grad=True))
    parts = [fastnn.tensor(batch(1, n, dtype=np.float64)[:, 0], requires_grad=True) for n in lengths]
    assert fastnn.gradcheck(lambda *parts: pad_sequence(parts, padding_side="left"), parts)
    assert fastnn.gradcheck(lambda *parts: pack_sequence(parts, enforce_sorted=False).data, parts)


def test_element_type():
    packed = pack_sequence([fastnn.tensor([1, 2]), fastnn.tensor([3])])
    assert packed.data.dtype == np.int64
    converted = packed.to(np.float64)
    assert converted.data.dtype == np.float64
    assert converted.batch_sizes is packed.batch_sizes


X = fastnn.tensor(batch(3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pack_padded_sequence(X.numpy(), [1, 1, 1]), TypeError, "pack_padded_sequence: x is ndarray; expected"),
        (lambda: pack_padded_sequence(X[0, 0], [1]), ValueError, r"x has shape \(3,\); expected \(T, N, ...\)"),
        (lambda: pack_padded_sequence(X[:, :0], []), ValueError, r"x has shape \(4, 0, 3\); expected at least one seq"),
        (lambda: pack_padded_sequence(X, [1.0, 1, 1]), TypeError, "lengths have dtype float32; expected integers"),
        (lambda: pack_padded_sequence(X, [4, 4]), ValueError, r"lengths have shape \(2,\); expected \(3,\)"),
        (lambda: pack_padded_sequence(X, [4, 4, 0]), ValueError, "a length is 0; expected 1 to 4, the steps of x"),
        (lambda: pack_padded_sequence(X, [5, 4, 1]), ValueError, "a length is 5; expected 1 to 4"),
        (
            lambda: pack_padded_sequence(X, np.array([4, 1, 3], np.uint8)),
            ValueError,
            r"lengths\[1\] is 1 and lengths\[2\] 3; expected lengths that do not rise \(enforce_sorted=False",
        ),
        (lambda: pad_packed_sequence(X), TypeError, "sequence is Tensor; expected a PackedSequence"),
        (
            lambda: pad_packed_sequence(pack_padded_sequence(X, [3, 2, 2]), total_length=2),
            ValueError,
            "total_length is 2; expected at least 3, the length of the longest sequence",
        ),
        (lambda: pad_sequence([]), ValueError, "pad_sequence: there are no sequences"),
        (lambda: pad_sequence([X, X.numpy()]), TypeError, r"sequences\[1\] is ndarray; expected a Tensor"),
        (
            lambda: pad_sequence([X, X[0]]),
            ValueError,
            r"sequences\[1\] has shape \(3, 3\); expected \(length, ...\) as",
        ),
        (
            lambda: pad_sequence([X, X.double()]),
            TypeError,
            r"sequences\[1\] has dtype float64; expected that of the fi",
        ),
        (lambda: pad_sequence([fastnn.tensor(1.0)]), ValueError, r"sequences\[0\] has shape \(\); expected \(length"),
        (lambda: pad_sequence([X], padding_side="up"), ValueError, "padding_side is 'up'; expected 'right' or 'left'"),
        (lambda: pack_sequence([]), ValueError, "pack_sequence: there are no sequences"),
        (lambda: pack_sequence([X[:1], X]), ValueError, r"lengths\[0\] is 1 and lengths\[1\] 4"),
        (lambda: pack_sequence([X, X[:0]]), ValueError, "a length is 0"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_packed_sequence_is_a_tuple():
    data, sizes, order, inverse = pack_sequence([X[:, 0], X[:, 1]], enforce_sorted=False)
    assert PackedSequence(data, sizes).sorted_indices is None
    assert_array_equal(order.numpy()[inverse.numpy()], [0, 1])
