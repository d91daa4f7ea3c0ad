"""The command line: rounds of both libraries in turn, the best time of each, and their ratio."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .cases import Case, cases
from .worker import Sample, Unsupported, Worker

LIBRARIES = {"fastnn": "pip install .", "torch": "pip install '.[bench]'"}  # and where to get them
MEMORY = "memory"
BATCH_SIZE, WARM_UP, STEPS = 128, 50, 200
COLUMNS = ("case", "fastnn", "PyTorch", "its best way", "PyTorch / fastnn")


@dataclass
class Result:
    """Best times in seconds, or why there are none."""

    name: str
    fastnn: float = math.nan
    peers: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    failed: bool = False

    @property
    def ratio(self) -> float:
        """How many times faster fastnn is than the fastest way in PyTorch."""
        return min(self.peers.values()) / self.fastnn

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        if self.problem:
            return self.name, self.problem, "", "", ""
        way = min(self.peers, key=lambda name: self.peers[name])
        return self.name, _time(self.fastnn), _time(self.peers[way]), way, f"{self.ratio:.2f}"

    def record(self) -> dict[str, Any]:
        """For JSON."""
        if self.problem:
            return {"name": self.name, "problem": self.problem}
        return {"name": self.name, "fastnn": self.fastnn, "pytorch": self.peers, "ratio": self.ratio}


def compare(case: Case, fastnn: Worker, torch: Worker, rounds: int, seconds: float) -> Result:
    """Checks that both compute the same and times them in turn."""
    result = Result(case.name)
    try:
        ours = fastnn.call("build", case.op, case.args)[""]
        for way, theirs in torch.call("build", case.op, case.args).items():
            difference = _difference(ours, theirs, case.tolerance)
            if difference:
                return Result(case.name, problem=f"MISMATCH with PyTorch {way}: {difference}", failed=True)
        for _ in range(min(rounds, case.max_rounds)):
            result.fastnn = np.fmin(result.fastnn, fastnn.call("time", seconds)[""]).item()
            for way, time in torch.call("time", seconds).items():
                result.peers[way] = min(time, result.peers.get(way, math.inf))
        fastnn.call("release")
        torch.call("release")
    except Unsupported as reason:
        return Result(case.name, problem=f"skipped: {reason}")
    except RuntimeError as error:
        return Result(case.name, problem=f"ERROR: {error}", failed=True)
    return result


def _difference(ours: list[Sample], theirs: list[Sample], tolerance: float) -> str:
    if [s.shape for s in ours] != [s.shape for s in theirs]:
        return f"shapes {[s.shape for s in ours]} and {[s.shape for s in theirs]}"
    for a, b in zip(ours, theirs, strict=True):
        scale = np.abs(b.values).max(initial=0)
        error = np.abs(a.values - b.values).max(initial=0)
        if not error <= tolerance * scale:
            return f"elements differ by {error:.2e}, the largest is {scale:.2e}"
        if not abs(a.sum - b.sum) <= tolerance * b.sum_of_magnitudes:
            return f"the sums are {a.sum:.8g} and {b.sum:.8g}"
    return ""


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}" if seconds < 1000 * scale else f"{seconds / scale:.0f} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _cpu_model() -> str:
    try:
        names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except FileNotFoundError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _machine(threads: int, workers: list[Worker]) -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "libraries": [w.version for w in workers],
    }


def _heading(machine: dict[str, Any], rounds: int) -> str:
    return (
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['threads']} threads; {'; '.join(machine['libraries'])}; "
        f"Python {machine['python']}, NumPy {machine['numpy']}; float32, best of {rounds} rounds"
    )


def _markdown(heading: str, results: list[Result], memory: dict[str, dict[str, float]]) -> str:
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(r.cells() for r in results)]
    lines = [heading, "", *("| " + " | ".join(row) + " |" for row in rows)]
    for version, figures in memory.items():
        lines += ["", f"{_memory_title(version)}:", *(f"- {key}: {value:g}" for key, value in figures.items())]
    return "\n".join(lines) + "\n"


def _memory_title(version: str) -> str:
    return f"{MEMORY}: {STEPS} LeNet steps of batch {BATCH_SIZE} after {WARM_UP} steps of warm-up, {version}"


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.compare", description=sys.modules[__package__].__doc__)
    add = parser.add_argument
    add("--threads", type=int, default=2, help="threads of each library (default: 2)")
    add("--rounds", type=int, default=5, help="rounds of each library, in turn; the best one counts (default: 5)")
    add("--seconds", type=float, default=0.08, help="length of a round for one way of one case (default: 0.08)")
    add("--filter", type=_pattern, default=re.compile(""), metavar="REGEX", help="only the cases whose name matches")
    add(
        "--data",
        type=Path,
        default=Path("../shared/data/mnist"),
        metavar="DIR",
        help="MNIST's idx files, for the epoch",
    )
    add("--json", type=Path, metavar="FILE", help="write the results as JSON")
    add("--markdown", type=Path, metavar="FILE", help="write the results as a Markdown table")
    add("--list", action="store_true", help="print the names of the cases")
    arguments = parser.parse_args()
    if arguments.threads < 1 or arguments.rounds < 1:
        parser.error("--threads and --rounds are at least 1")
    for file in (arguments.json, arguments.markdown):
        if file and not file.parent.is_dir():  # better now than after an hour
            parser.error(f"{file}: there is no folder {file.parent}")
    return arguments


def main() -> int:
    """Runs the cases; 1 if a library failed or the two disagree, 2 if one is missing."""
    arguments = _arguments()
    chosen = [case for case in cases(arguments.data) if arguments.filter.search(case.name)]
    with_memory = bool(arguments.filter.search(MEMORY))
    if arguments.list:
        print(*(case.name for case in chosen), *([MEMORY] if with_memory else []), sep="\n")
        return 0
    if not chosen and not with_memory:
        print(f"no case matches {arguments.filter.pattern!r}; see --list", file=sys.stderr)
        return 2
    for library, remedy in LIBRARIES.items():
        if importlib.util.find_spec(library) is None:
            print(f"bench.compare needs {library}, which is not installed: {remedy}", file=sys.stderr)
            return 2

    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(arguments.threads)
    for variable in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):  # threads that spin for ever would disturb the other library
        os.environ.pop(variable, None)
    try:
        workers = [Worker(library, arguments.threads) for library in LIBRARIES]
    except RuntimeError as error:
        print(f"bench.compare could not start: {error}", file=sys.stderr)
        return 2
    machine = _machine(arguments.threads, workers)
    heading = _heading(machine, arguments.rounds)
    print(heading, flush=True)

    results = []
    line = "{:<48} {:>10} {:>10}  {:<20} {:>16}".format
    if chosen:
        print(line(*COLUMNS))
    for case in chosen:
        results.append(compare(case, *workers, arguments.rounds, arguments.seconds))
        cells = results[-1].cells()
        print(f"{cells[0]:<48} {cells[1]}" if results[-1].problem else line(*cells), flush=True)

    memory: dict[str, dict[str, float]] = {}
    failed = any(r.failed for r in results)
    for worker in workers:
        worker.close()
    for library in LIBRARIES if with_memory else []:
        worker = Worker(library, arguments.threads)  # a fresh one: earlier cases have changed what malloc keeps
        print(_memory_title(worker.version))
        try:
            memory[worker.version] = worker.call("steady_state", BATCH_SIZE, WARM_UP, STEPS)
        except (Unsupported, RuntimeError) as error:
            failed |= isinstance(error, RuntimeError)
            print(f"  {error}")
        else:
            for key, value in memory[worker.version].items():
                print(f"  {key:<28} {value:g}")
        finally:
            worker.close()

    if arguments.json:
        report = {
            "machine": machine,
            "rounds": arguments.rounds,
            "results": [r.record() for r in results],
            MEMORY: memory,
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(_markdown(heading, results, memory))
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
