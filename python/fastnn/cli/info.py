"""`fastnn info`."""

from __future__ import annotations

import argparse
import json

import fastnn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `fastnn info` takes."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints what this build and this process run on."""
    import platform

    import numpy as np

    info = fastnn.ops.info()
    info |= {"python": platform.python_version(), "numpy": np.__version__, "processor": _processor()}
    if args.json:
        print(json.dumps(info, indent=2))
        return 0
    reasons = {"processor": "the best that this processor has", "FASTNN_ISA": "FASTNN_ISA"}
    quota = info["cpus_cgroup_quota"]
    rows = {
        "fastnn": info["version"],
        "instruction set": f"{info['isa']} ({reasons.get(info['isa_from'], info['isa_from'])}); "
        f"detected {info['isa_detected']}, available {', '.join(info['isas'])}",
        "threads": f"{info['threads']} (from {info['threads_from']}); CPUs by affinity {info['cpus_affinity']}, "
        f"by cgroup quota {'unlimited' if quota is None else f'{quota:g}'}",
        "OpenMP": info["openmp"],
        "allocator": info["allocator"],
        "compiler": info["compiler"] + (f", sanitizers {info['sanitizers']}" if info["sanitizers"] else ""),
        "CUDA": "yes" if info["cuda"] else "no",
        "processor": info["processor"],
        "Python": info["python"],
        "NumPy": info["numpy"],
    }
    for name, value in rows.items():
        print(f"{name:<16} {value}")
    return 0


def _processor() -> str:
    import platform

    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
