"""fastnn.data's idx files: round trips, and every damage a ValueError."""

import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnn.data import read_idx, write_idx

IDX_DTYPES = ["u1", "i1", "i2", "i4", "f4", "f8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


@given(
    array=st.sampled_from(IDX_DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=5, min_side=0))
    ),
    name=st.sampled_from(["a.idx", "a.idx.gz"]),
)
def test_idx_round_trip(folder, array, name):
    write_idx(folder / name, array)
    back = read_idx(folder / name)
    assert back.dtype == array.dtype
    assert back.dtype.isnative
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_idx_bytes_are_the_documented_ones(tmp_path):
    path = tmp_path / "a.idx"
    content = bytes.fromhex("00000b02 00000002 00000003 0001 0002 0003 ffff 0100 8000")
    path.write_bytes(content)
    expected = np.array([[1, 2, 3], [-1, 256, -32768]], np.int16)
    np.testing.assert_array_equal(read_idx(path), expected)
    write_idx(path, expected.astype(">i2"))
    assert path.read_bytes() == content


def test_idx_gzip_is_detected_by_content_and_deterministic(tmp_path):
    write_idx(tmp_path / "a.gz", np.arange(5, dtype=np.uint8))
    write_idx(tmp_path / "b.gz", np.arange(5, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    (tmp_path / "a.gz").rename(tmp_path / "plain")
    np.testing.assert_array_equal(read_idx(tmp_path / "plain"), np.arange(5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\0\0", "not an idx file"),
        (b"PNG\0\0\0", "starts with 0x504e4700"),
        (bytes.fromhex("00000a01 00000001 00"), "unknown element type 0x0a"),
        (bytes.fromhex("00000800 00"), "0 dimensions"),
        (bytes.fromhex("00000841") + bytes(4 * 65), "65 dimensions"),
        (bytes.fromhex("00000802 00000001 0000"), "truncated in the header: 6 of 8"),
        (bytes.fromhex("00000801 00000003 0102"), "found 2 bytes, expected exactly 3"),
        (bytes.fromhex("00000801 00000003 01020304"), "found trailing bytes, expected exactly 3"),
        (bytes.fromhex("00000803") + b"\xff" * 12, "does not fit into memory"),
        (bytes.fromhex("00000804 00000000") + b"\xff" * 12, "does not fit into memory"),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_idx_invalid(tmp_path, content, message, compress):
    path = tmp_path / "bad.idx"
    path.write_bytes(gzip.compress(content) if compress else content)
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


TINY = np.array([[1, 2, 3], [4, 5, 6]], np.int16)


def read_or_none(path):
    """The array, or None where read_idx raises a ValueError that names the file."""
    try:
        return read_idx(path)
    except ValueError as error:
        if str(path) not in str(error):
            raise
        return None


@pytest.mark.parametrize("name", ["tiny.idx", "tiny.idx.gz"])
def test_idx_truncated_at_every_length(tmp_path, name):
    path = tmp_path / name
    write_idx(path, TINY)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"read_idx: .*tiny"):
            read_idx(path)


def test_idx_gzip_corrupted_at_every_byte(tmp_path):
    path = tmp_path / "tiny.idx.gz"
    write_idx(path, TINY)
    content = path.read_bytes()
    rejected = 0
    for position in range(len(content)):
        for value in {0, 1, 0xFF, content[position] ^ 0x10, content[position] ^ 0x04}:
            damaged = bytearray(content)
            damaged[position] = value
            path.write_bytes(damaged)
            back = read_or_none(path)
            if back is None:
                rejected += 1
            else:  # the gzip header has bytes without meaning, its time for one
                np.testing.assert_array_equal(back, TINY)
    assert rejected > 2 * len(content)


def test_idx_plain_header_corrupted_at_every_byte(tmp_path):
    path = tmp_path / "tiny.idx"
    write_idx(path, TINY)
    content = path.read_bytes()
    for position in range(12):
        for value in range(256):
            damaged = bytearray(content)
            damaged[position] = value
            path.write_bytes(damaged)
            back = read_or_none(path)
            # Without a checksum, what still fits the payload is a valid file.
            assert back is None or back.nbytes == TINY.nbytes


@pytest.mark.parametrize("compress", [False, True])
def test_idx_huge_claim_allocates_little(tmp_path, compress):
    path = tmp_path / "huge.idx"
    content = bytes.fromhex("00000803 00100000 00001000 00001000") + bytes(100)  # claims 16 TiB
    path.write_bytes(gzip.compress(content) if compress else content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="found 100 bytes"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_idx_system_errors_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "absent")
    with pytest.raises(IsADirectoryError):
        read_idx(tmp_path)


def test_write_idx_rejects(tmp_path):
    with pytest.raises(TypeError, match="dtype int64"):
        write_idx(tmp_path / "a", np.arange(3, dtype=np.int64))
    with pytest.raises(ValueError, match=r"shape \(\)"):
        write_idx(tmp_path / "a", np.uint8(3))
    with pytest.raises(ValueError, match="below"):
        write_idx(tmp_path / "a", np.empty((1 << 32, 0), np.uint8))
