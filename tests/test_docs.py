"""What the documentation says is true: the README's examples and tables, and the docstrings' examples."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest

import fastnn

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def table_under(heading):
    """First column of the table that starts with this heading, without back-quotes."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    return {row.split("|")[1].strip().strip("`") for row in table[1].splitlines()}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[-1][:40])
def test_examples_of_the_readme_run(example):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(example, "README.md", "exec"), {"__name__": "__main__"})
    if "accuracy" in example:
        assert float(printed.getvalue().partition("%")[0]) > 90


def test_environment_variables_of_the_readme_are_those_of_the_code():
    reads = re.compile(r'(?:getenv|environ\.get|positive_from_environment)\("(\w+)"')
    files = [*ROOT.glob("csrc/**/*.cpp"), *ROOT.glob("python/fastnn/**/*.py")]
    assert table_under("variable") == {name for path in files for name in reads.findall(path.read_text())}


def test_options_of_the_readme_are_those_of_cmake():
    declared = re.findall(
        r"^(?:option\(|set\()(FASTNN_\w+).*(?:ON|OFF|CACHE)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE
    )
    assert table_under("option") == set(declared)


def test_files_of_the_readme_exist():
    for path in re.findall(r"`((?:csrc|python|tests|\.ci)/[\w./]+)`", README):
        assert (ROOT / path).exists(), path


def modules():
    found = pkgutil.walk_packages(fastnn.__path__, "fastnn.")
    return ["fastnn", *(module.name for module in found if not module.name.endswith("__main__"))]


@pytest.mark.parametrize("name", modules())
def test_examples_of_docstrings(name):
    module = importlib.import_module(name)
    fastnn.manual_seed(0)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert failed == 0


def test_public_names_are_documented():
    """Everything that `__all__` promises exists and has a docstring."""
    for name in modules():
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", []):
            value = getattr(module, public)
            assert not callable(value) or value.__doc__, f"{name}.{public}"
