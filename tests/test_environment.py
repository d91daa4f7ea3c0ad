"""What the process sees of fastnn: environment variables, the cost of the import, the package's metadata."""

import importlib.metadata
import importlib.resources
import re
from pathlib import Path

import pytest

import fastnn
from fastnn import ops

ROOT = Path(__file__).parent.parent


def test_version_is_that_of_the_project():
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert fastnn.__version__ == declared[1]


def test_version_is_that_of_the_installed_package():
    try:
        installed = importlib.metadata.version("fastnn")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("fastnn is on the path, but not installed")
    assert fastnn.__version__ == installed


def test_package_is_typed():
    package = importlib.resources.files("fastnn")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("ops.pyi").is_file()


def test_import_is_light(python):
    """What is not needed for arrays and layers is imported when it is used."""
    code = """
import sys
import numpy
before = set(sys.modules)
import fastnn
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    imported = set(python(code).stdout.split())
    heavy = {"PIL", "argparse", "asyncio", "concurrent", "gzip", "http", "importlib_metadata", "logging",
             "multiprocessing", "safetensors", "torch", "tqdm", "unittest", "urllib", "xml"}  # fmt: skip
    assert "fastnn" in imported
    assert not imported & heavy


# Instruction sets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ops.isas())
def test_environment_chooses_the_instruction_set(python, name):
    assert python("from fastnn import ops; print(ops.isa())", FASTNN_ISA=name).stdout.strip() == name


def test_best_instruction_set_is_the_default(python):
    code = "from fastnn import ops; print(ops.isa(), ops.info()['isa_detected'], ops.isas()[-1])"
    for variables in ({}, {"FASTNN_ISA": ""}):
        assert len(set(python(code, **variables).stdout.split())) == 1


def test_bad_instruction_set_in_the_environment_stops_the_import(python):
    result = python("import fastnn", FASTNN_ISA="sse9")
    assert result.returncode == 1
    expected = "ImportError: FASTNN_ISA: isa is 'sse9'; expected baseline, avx2, avx512 or neon"
    assert result.stderr.splitlines()[-1] == expected


def test_instruction_set_that_is_not_there_stops_the_import(python):
    missing = min({"baseline", "avx2", "avx512", "neon"} - set(ops.isas()))
    result = python("import fastnn", FASTNN_ISA=missing)
    assert result.returncode == 1
    expected = f"ImportError: FASTNN_ISA: isa is '{missing}', which this processor or this build does not have"
    assert result.stderr.splitlines()[-1] == expected


def test_set_isa(isa):
    assert ops.isa() == isa
    with pytest.raises(ValueError, match="isa is 'sse9'; expected baseline, avx2, avx512 or neon"):
        ops.set_isa("sse9")
    assert ops.isa() == isa


# Verbose ------------------------------------------------------------------------------------------


RELU = "import numpy as np; from fastnn import ops; x = np.ones((2, 3), np.float32); ops.relu_forward(x)"


def test_verbose_prints_one_line_an_op(python):
    lines = python(RELU + "; ops.relu_forward(x[0])", FASTNN_VERBOSE="1").stderr.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"fastnn relu_forward \(2, 3\) \w+ \d+\.\d+ ms", lines[0])
    assert re.fullmatch(r"fastnn relu_forward \(3,\) \w+ \d+\.\d+ ms", lines[1])


@pytest.mark.parametrize("variables", [{}, {"FASTNN_VERBOSE": ""}, {"FASTNN_VERBOSE": "0"}])
def test_not_verbose_by_default(python, variables):
    result = python(RELU, **variables)
    assert result.returncode == 0
    assert result.stdout == result.stderr == ""


def test_info_is_complete():
    info = ops.info()
    assert info["version"] == fastnn.__version__
    assert info["isa"] in info["isas"]
    assert info["threads"] >= 1
    assert info["cpus_affinity"] >= 1
    assert info["compiler"]
    assert info["cuda"] is False
