"""Fixtures for the whole suite."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from fastnn import ops

# A shell starts background jobs with Ctrl-C ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=ops.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once on every instruction set of this processor and this build."""
    before = ops.isa()
    ops.set_isa(request.param)
    yield request.param
    ops.set_isa(before)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Runs the test on each of these numbers of threads."""
    before = ops.get_num_threads()
    ops.set_num_threads(request.param)
    yield request.param
    ops.set_num_threads(before)


@pytest.fixture
def python() -> Python:
    """Runs code in a fresh interpreter, without fastnn's environment variables but for those given.

    A process that hangs is ended together with the children that it forked, and fails the test.
    """

    def run(code: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        ours = ("FASTNN_", "OMP_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | variables,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"hangs: {code}\n{out}{err}")
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run
