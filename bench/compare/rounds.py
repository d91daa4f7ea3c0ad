"""A case in all libraries: first the check that they compute the same, then rounds in turn, the best time of each."""

from __future__ import annotations

import time

import numpy as np

from .cases import Case
from .report import Result
from .worker import Sample, Unsupported, Worker

MIN_ROUNDS, MAX_SECONDS = 3, 5.0  # after so many rounds a case ends that has taken that long
HOPELESS = 1.5  # a way so many times slower than the best one drops out after a round


def compare(case: Case, fastnn: Worker, peers: list[Worker], rounds: int, seconds: float) -> Result:
    """Checks that fastnn and the peers that know the case compute the same and times them in turn."""
    result = Result(case)
    ways: dict[Worker, list[str]] = {}
    try:
        ours = fastnn.call("build", case.op, case.args)[""]
        result.counted = fastnn.call("costs")
        unsupported = []
        for peer in peers:
            try:
                built = peer.call("build", case.op, case.args)
            except Unsupported as reason:
                unsupported.append(reason)
                continue
            ways[peer] = list(built)
            for way, theirs in built.items():
                difference = _difference(ours, theirs, case.tolerances)
                if difference:
                    return Result(case, problem=f"MISMATCH with {peer.version} {way}: {difference}", failed=True)
                result.peers[way] = np.inf
        if not ways:
            raise unsupported[0]
        start = time.monotonic()
        for done in range(min(rounds, case.max_rounds)):
            if done >= MIN_ROUNDS and time.monotonic() - start > MAX_SECONDS:
                break
            result.fastnn = np.fmin(result.fastnn, fastnn.call("time", [""], seconds)[""]).item()
            best = min(result.peers.values())
            for peer, names in ways.items():
                hopeful = [way for way in names if not result.peers[way] > HOPELESS * best]
                for way, took in peer.call("time", hopeful, seconds).items():
                    result.peers[way] = min(took, result.peers[way])
        for worker in (fastnn, *ways):
            worker.call("release")
    except Unsupported as reason:
        return Result(case, problem=f"skipped: {reason}")
    except RuntimeError as error:
        return Result(case, problem=f"ERROR: {error}", failed=True)
    return result


def _difference(ours: list[Sample], theirs: list[Sample], tolerances: tuple[float, ...]) -> str:
    if [s.shape for s in ours] != [s.shape for s in theirs]:
        return f"shapes {[s.shape for s in ours]} and {[s.shape for s in theirs]}"
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        tolerance = tolerances[min(i, len(tolerances) - 1)]
        scale = np.abs(b.values).max(initial=0)
        error = np.abs(a.values - b.values).max(initial=0)
        if not error <= tolerance * scale:
            return f"elements of result {i} differ by {error:.2e}, the largest is {scale:.2e}"
        if not abs(a.sum - b.sum) <= tolerance * b.sum_of_magnitudes:
            return f"the sums of result {i} are {a.sum:.8g} and {b.sum:.8g}"
    return ""
