"""What this machine can do at most, measured by the C++ benchmarks' binary."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from .report import Ceilings


def measure(binary: Path, threads: int) -> Ceilings:
    """Runs fastnn_bench, which measures its ceilings first, with next to nothing to do after that.

    Raises:
        RuntimeError: it cannot be run.
    """
    options = ["--benchmark_filter=^memory_fastnn/64/", "--benchmark_min_time=0.01", "--benchmark_format=json"]
    try:
        run = subprocess.run([binary, f"--threads={threads}", *options], capture_output=True, text=True, check=True)
    except OSError as error:
        raise RuntimeError(f"{binary}: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{binary}: {error.stderr.strip()}") from None
    context = json.loads(run.stdout)["context"]
    return Ceilings(*(float(re.match(r"[\d.]+", context[key])[0]) for key in ("fma_peak", "copy_bandwidth")))
