"""The command line: rounds of the libraries in turn, the best time of each, and their ratio."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import sys
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from . import ceilings
from .cases import Group, groups
from .report import COLUMNS, Ceilings, Result, Summary, markdown, summaries
from .rounds import compare
from .worker import Unsupported, Worker

LIBRARIES = {"fastnn": "pip install .", "torch": "pip install '.[bench]'"}  # and where to get them
MORE_PEERS = {"onnxruntime": ("onnx", "onnxruntime")}  # left out where one of these is not installed
FASTNN_BENCH = Path("build/bench/bench/fastnn_bench")
MEMORY = "memory"
STEADY_STATE = (128, 50, 200)  # batch size, steps of warm-up, measured steps
PEAK = ("resnet50", 16, 3)  # model, batch size, steps
Measured = dict[str, tuple[list[Summary], list[Result]]]
LINE = "{:<48} {:>10} {:>10}  {:<22} {:>16} {:>14}".format


def _measure(
    chosen: list[Group], arguments: argparse.Namespace, workers: list[Worker]
) -> tuple[Measured, Ceilings | None]:
    """Runs and prints the groups; returns summaries and results by group, and the highest ceilings of all the time."""
    measured: Measured = {}
    limits: Ceilings | None = None
    for sweep, group in product(range(arguments.sweeps), chosen):
        if arguments.fastnn_bench:
            limits = ceilings.measure(arguments.fastnn_bench, arguments.threads).highest(limits)
        print(f"\n{group.name}" + (f", sweep {sweep + 1}" if arguments.sweeps > 1 else ""))
        print(LINE(*COLUMNS))
        earlier = measured[group.name][1] if sweep else [None] * len(group.cases)
        results = []
        for case, best in zip(group.cases, earlier, strict=True):
            result = compare(case, workers[0], workers[1:], arguments.rounds, arguments.seconds).best_of(best)
            results.append(result)
            cells = result.cells(limits)
            print(f"{cells[0]:<48} {cells[1]}" if result.problem else LINE(*cells), flush=True)
        found = list(summaries(group, results, limits))
        for summary in found:
            print(_sentence(summary), flush=True)
        measured[group.name] = found, results
    # The ceilings may have risen since the first groups.
    return {g.name: (list(summaries(g, measured[g.name][1], limits)), measured[g.name][1]) for g in chosen}, limits


def _sentence(summary: Summary) -> str:
    name, cases, mean, wanted_mean, worst, wanted_worst, worst_case, reached, highest = summary.cells()
    if not mean:
        return f"=> {name}: nothing measured"
    known = [f"wanted {wanted_mean}"] if wanted_mean else []
    known += [f"at the ceilings {highest}"] if highest else []
    mean += f" ({', '.join(known)})" if known else ""
    worst += f" (wanted {wanted_worst})" if wanted_worst else ""
    verdict = f"; reached: {reached}" if reached else ""
    return f"=> {name}: {cases} cases, geometric mean {mean}, worst {worst}: {worst_case}{verdict}"


def _memory(threads: int) -> tuple[dict[str, dict[str, float]], bool]:
    """Runs and prints the measurements of memory, each in a fresh process; whether one failed."""
    figures: dict[str, dict[str, float]] = {}
    failed = False

    def measure(library: str, title: str, function: str, *arguments: Any) -> Any:
        nonlocal failed
        worker = Worker(library, threads)  # earlier work has changed what malloc keeps
        try:
            found = worker.call("training", function, arguments)
        except (Unsupported, RuntimeError) as error:
            failed |= isinstance(error, RuntimeError)
            print(f"\n{title} {worker.version}: {error}", flush=True)
            return []
        finally:
            worker.close()
        if title:
            title = f"{title} {worker.version}"
            figures[title] = found
            print(f"\n{title}:", *(f"  {key:<28} {value:,.0f}" for key, value in found.items()), sep="\n", flush=True)
        return found

    batch_size, warm_up, steps = STEADY_STATE
    steady = f"{steps} LeNet steps of batch {batch_size} after {warm_up} steps of warm-up,"
    for library in LIBRARIES:
        measure(library, steady, "steady_state", *STEADY_STATE)
    model, batch_size, steps = PEAK
    for library in LIBRARIES:
        for way in measure(library, "", "eager_ways", model):
            title = f"{steps} {model} training steps of batch {batch_size}, {way}".rstrip(", ") + ","
            measure(library, title, "peak_memory", model, way, batch_size, steps)
    return figures, failed


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


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.compare", description=sys.modules[__package__].__doc__)
    add = parser.add_argument
    add("--threads", type=int, default=2, help="threads of each library (default: 2)")
    add("--rounds", type=int, default=5, help="rounds of each library, in turn; the best one counts (default: 5)")
    add("--seconds", type=float, default=0.05, help="length of a round for one way of one case (default: 0.05)")
    add("--sweeps", type=int, default=1, help="times to go through everything; the best one counts (default: 1)")
    add("--quick", action="store_true", help="2 rounds of 0.01 s: a look, not a result")
    add("--group", type=_pattern, default=re.compile(""), metavar="REGEX", help="only the groups whose name matches")
    add("--filter", type=_pattern, default=re.compile(""), metavar="REGEX", help="only the cases whose name matches")
    add(
        "--fastnn-bench",
        type=Path,
        default=FASTNN_BENCH if FASTNN_BENCH.exists() else None,
        metavar="FILE",
        help=f"the C++ benchmarks, for the ceilings (default: {FASTNN_BENCH}, where it is there)",
    )
    add(
        "--data",
        type=Path,
        default=Path("../shared/data/mnist"),
        metavar="DIR",
        help="MNIST's idx files, for the epoch",
    )
    add("--json", type=Path, metavar="FILE", help="write the results as JSON")
    add("--markdown", type=Path, metavar="FILE", help="write the results as Markdown tables")
    add("--plot", type=Path, metavar="FILE", help="draw the ratios (.png, .svg, .pdf); needs Matplotlib")
    add("--list", action="store_true", help="print the names of the groups and cases")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 0.01
    if min(arguments.threads, arguments.rounds, arguments.sweeps) < 1:
        parser.error("--threads, --rounds and --sweeps are at least 1")
    for file in (arguments.json, arguments.markdown, arguments.plot):
        if file and not file.parent.is_dir():  # better now than after an hour
            parser.error(f"{file}: there is no folder {file.parent}")
    if arguments.plot and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs Matplotlib, which is not installed: pip install '.[plot]'")
    if arguments.fastnn_bench:
        try:
            ceilings.measure(arguments.fastnn_bench, arguments.threads)
        except RuntimeError as error:
            parser.error(f"--fastnn-bench: {error}")
    return arguments


def _more_peers(threads: int) -> list[Worker]:
    """The other peers that are installed."""
    found = []
    for library, needs in MORE_PEERS.items():
        if all(map(importlib.util.find_spec, needs)):
            try:
                found.append(Worker(library, threads))
            except RuntimeError as error:
                print(f"{library} could not start and is left out: {error}", file=sys.stderr, flush=True)
    return found


def _chosen(arguments: argparse.Namespace) -> list[Group]:
    found = []
    for group in groups(arguments.data):
        cases = tuple(case for case in group.cases if arguments.filter.search(case.name))
        if cases and arguments.group.search(group.name):
            found.append(replace(group, cases=cases))
    return found


def main() -> int:
    """Runs the cases; 1 if a library failed or two disagree, 2 if fastnn or PyTorch is missing."""
    arguments = _arguments()
    chosen = _chosen(arguments)
    with_memory = bool(arguments.filter.search(MEMORY) and arguments.group.search(MEMORY))
    if arguments.list:
        for group in chosen:
            print(f"{group.name}:", *(f"  {case.name}" for case in group.cases), sep="\n")
        if with_memory:
            print(MEMORY)
        return 0
    if not chosen and not with_memory:
        print("no case matches --filter and --group; see --list", file=sys.stderr)
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
    workers += _more_peers(arguments.threads)
    machine = _machine(arguments.threads, workers)
    heading = _heading(machine, arguments.rounds)
    print(heading)
    if not arguments.fastnn_bench:
        print(f"no shares of the ceilings: {FASTNN_BENCH} is not there (see --fastnn-bench)", flush=True)

    measured, limits = _measure(chosen, arguments, workers)
    for worker in workers:
        worker.close()
    memory, failed = _memory(arguments.threads) if with_memory else ({}, False)
    failed |= any(result.failed for _, results in measured.values() for result in results)
    if limits:
        heading += f"; ceilings {limits.gflops:.0f} GFLOP/s, {limits.gbs:.0f} GB/s copied (read + written)"
    _write(arguments, machine, heading, measured, limits, memory)
    return 1 if failed else 0


def _write(
    arguments: argparse.Namespace,
    machine: dict[str, Any],
    heading: str,
    measured: Measured,
    limits: Ceilings | None,
    memory: dict[str, dict[str, float]],
) -> None:
    all_summaries = [summary for found, _ in measured.values() for summary in found]
    if arguments.json:
        report = {
            "machine": machine,
            "ceilings": limits and asdict(limits),
            "rounds": arguments.rounds,
            "sweeps": arguments.sweeps,
            "summary": [summary.record() for summary in all_summaries],
            "groups": {name: [result.record(limits) for result in results] for name, (_, results) in measured.items()},
            MEMORY: memory,
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(heading, measured, limits, memory))
    if arguments.plot:
        from . import plot

        plot.save(arguments.plot, all_summaries, heading)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
