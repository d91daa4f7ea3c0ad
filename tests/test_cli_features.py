"""fastnn features, on images that colours tell apart."""

import json

import numpy as np
import pytest

from fastnn import cli, ops


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """CIFAR-10's binary files with 20 images in each: the class is how red they are, and how fine their stripes."""
    folder = tmp_path_factory.mktemp("cifar")
    generator = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
        labels = np.arange(20) % 10
        images = generator.integers(0, 60, (20, 3, 32, 32))
        images[:, 0] += 18 * labels[:, None, None]
        images[:, 1:] += np.where(np.arange(32) // (1 + labels[:, None]) % 2, 150, 0)[:, None, None, :]
        records = np.concatenate([labels[:, None], images.reshape(20, -1)], axis=1).astype(np.uint8)
        records.tofile(folder / name)
    return str(folder)


def compare(data, capsys, *options):
    sizes = ["--train-size", "100", "--test-size", "20", "--words", "20", "--epochs", "5", "--threads", "2"]
    before = ops.get_num_threads()
    try:
        code = cli.main(["features", "--data", data, *sizes, *options])
    finally:
        ops.set_num_threads(before)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_table_of_all_methods(data, capsys):
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    code, out, _ = compare(data, capsys)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "CIFAR10: 100 training and 20 test images"
    assert lines[1].split() == ["features", "size", "test", "accuracy", "seconds"]
    assert [line[:34].rstrip() for line in lines[2:]] == [
        "raw pixels",
        "oriented gradients and colours",
        "20 visual words",
        "convolutional network",
    ]
    assert [line[34:].split()[0] for line in lines[2:5]] == ["3,072", "1,788", "80"]
    accuracies = [float(line[34:].split()[1].rstrip("%")) for line in lines[2:]]
    assert min(accuracies[:3]) >= 50  # ten are the odds


def test_json_and_the_same_seed(data, capsys):
    results = [json.loads(compare(data, capsys, "--methods", "pixels", "--json", "--seed", "3")[1]) for _ in range(2)]
    assert results[0][0].keys() == {"features", "size", "test_accuracy", "seconds"}
    assert results[0][0]["features"] == "pixels"
    assert results[0][0]["test_accuracy"] == results[1][0]["test_accuracy"]


def test_wrong_arguments(data, capsys, tmp_path):
    code, _, error = compare(data, capsys, "--methods", "pixels,eyes")
    assert (code, error) == (
        2,
        "fastnn features: error: --methods: there is no 'eyes'; expected some of pixels,hog,words,cnn\n",
    )
    code, _, error = compare(str(tmp_path), capsys)
    assert code == 1
    assert "CIFAR10: neither data_batch_1.bin to data_batch_5.bin" in error
