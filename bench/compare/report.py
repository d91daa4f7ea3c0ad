"""From times to ratios, geometric means and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .cases import Case, Group

COLUMNS = ("case", "fastnn", "peer", "its best way", "peer / fastnn", "of the ceiling")
SUMMARY_COLUMNS = (
    "group", "cases", "geometric mean", "wanted", "worst", "wanted", "the worst case", "reached", "at the ceilings",
)  # fmt: skip


@dataclass
class Ceilings:
    """The limits of this machine: multiply-adds in GFLOP/s, and large copies in GB/s, read + written."""

    gflops: float
    gbs: float

    def seconds(self, cost: tuple[float, float]) -> float:
        """The least time that so many operations and bytes can take."""
        flops, moved = cost
        return max(flops / self.gflops, moved / self.gbs) * 1e-9

    def highest(self, other: Ceilings | None) -> Ceilings:
        """The higher ones of two measurements: whatever else runs on the machine only takes away."""
        return self if other is None else Ceilings(max(self.gflops, other.gflops), max(self.gbs, other.gbs))


@dataclass
class Result:
    """Best times of a case in seconds, or why there are none.

    `counted` are operations and bytes of what follows each other in the case, where they were counted as it ran.
    """

    case: Case
    fastnn: float = math.nan
    peers: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    failed: bool = False
    counted: tuple[tuple[float, float], ...] = ()

    @property
    def best_peer(self) -> str:
        """The fastest way of the peers."""
        return min(self.peers, key=lambda way: self.peers[way])

    @property
    def ratio(self) -> float:
        """How many times faster fastnn is than the fastest peer."""
        return self.peers[self.best_peer] / self.fastnn

    def share(self, ceilings: Ceilings | None) -> float:
        """The speed of fastnn in terms of the ceiling that bounds the case; NaN where that is not known."""
        bound = sum(map(ceilings.seconds, self.counted or (self.case.cost,))) if ceilings else 0.0
        return bound / self.fastnn if bound else math.nan

    def highest_ratio(self, ceilings: Ceilings | None) -> float:
        """The ratio where fastnn ran at the ceiling; the ratio where nobody counted, or where it passes it already.

        It does by Winograd's algorithm, which needs fewer operations, and where arrays stay in the caches.
        """
        share = self.share(ceilings)
        return self.ratio / share if share < 1 else self.ratio

    def best_of(self, other: Result | None) -> Result:
        """The better times of two measurements; where there was a problem, that one."""
        if other is None or self.problem:
            return self
        if other.problem:
            return other
        peers = {way: min(took, other.peers[way]) for way, took in self.peers.items()}
        return Result(self.case, min(self.fastnn, other.fastnn), peers, counted=self.counted)

    def cells(self, ceilings: Ceilings | None = None) -> tuple[str, ...]:
        """The row of the table."""
        if self.problem:
            return self.case.name, self.problem, "", "", "", ""
        times = time_text(self.fastnn), time_text(self.peers[self.best_peer])
        share = self.share(ceilings)
        return self.case.name, *times, self.best_peer, f"{self.ratio:.2f}", "" if math.isnan(share) else f"{share:.0%}"

    def record(self, ceilings: Ceilings | None = None) -> dict[str, Any]:
        """For JSON."""
        if self.problem:
            return {"name": self.case.name, "problem": self.problem}
        share = self.share(ceilings)
        known = {} if math.isnan(share) else {"share_of_ceiling": share}
        return {"name": self.case.name, "fastnn": self.fastnn, "peers": self.peers, "ratio": self.ratio, **known}


@dataclass
class Summary:
    """What a group reached in one quantity, beside what is wanted of it (None: nothing)."""

    name: str
    values: dict[str, float]  # by case
    cases: int
    wanted_mean: float | None
    wanted_worst: float | None
    percent: bool = False
    highest_mean: float | None = None  # what `mean` would be at the ceilings of this machine

    @property
    def mean(self) -> float:
        """The geometric mean."""
        return geometric_mean(self.values.values())

    @property
    def worst_case(self) -> str:
        """The case with the smallest value."""
        return min(self.values, key=lambda name: self.values[name])

    @property
    def worst(self) -> float:
        """The smallest value."""
        return self.values[self.worst_case]

    @property
    def reached(self) -> bool | None:
        """Whether the group is where it should be; None where nothing is wanted."""
        wanted = ((self.mean, self.wanted_mean), (self.worst, self.wanted_worst))
        verdicts = [value >= limit for value, limit in wanted if limit is not None]
        return all(verdicts) if verdicts else None

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        counted = f"{len(self.values)}" if len(self.values) == self.cases else f"{len(self.values)} of {self.cases}"
        if not self.values:
            return (self.name, counted, "", self._text(self.wanted_mean), "", self._text(self.wanted_worst), "", "", "")
        reached = {None: "", True: "yes", False: "no"}[self.reached]
        means = self._text(self.mean), self._text(self.wanted_mean)
        worst = self._text(self.worst), self._text(self.wanted_worst)
        return self.name, counted, *means, *worst, self.worst_case, reached, self._text(self.highest_mean)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        found = {"mean": self.mean, "worst": self.worst, "worst_case": self.worst_case} if self.values else {}
        wanted = {"wanted_mean": self.wanted_mean, "wanted_worst": self.wanted_worst}
        reached = self.reached if self.values else None
        counted = {"cases": self.cases, "counted": len(self.values)}
        highest = {} if self.highest_mean is None else {"mean_at_the_ceilings": self.highest_mean}
        return {"name": self.name, **counted, **found, **wanted, **highest, "reached": reached}

    def _text(self, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.0%}" if self.percent else f"{value:.2f}"


def summaries(group: Group, results: list[Result], ceilings: Ceilings | None = None) -> Iterator[Summary]:
    """The ratios of a group and, where a share of the ceiling is wanted, the shares."""
    done = [r for r in results if not r.problem]
    ratios = {r.case.name: r.ratio for r in done}
    counted = any(not math.isnan(r.share(ceilings)) for r in done)
    highest = geometric_mean(r.highest_ratio(ceilings) for r in done) if counted else None
    yield Summary(group.name, ratios, len(results), group.mean, group.worst, highest_mean=highest)
    if group.mean_share or group.worst_share:
        shares = {r.case.name: r.share(ceilings) for r in done if not math.isnan(r.share(ceilings))}
        name = f"{group.name}: share of the ceiling"
        yield Summary(name, shares, len(results), group.mean_share, group.worst_share, percent=True)


def geometric_mean(values: Iterable[float]) -> float:
    """The n-th root of the product."""
    logarithms = [math.log(value) for value in values]
    return math.exp(math.fsum(logarithms) / len(logarithms))


def time_text(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}" if seconds < 1000 * scale else f"{seconds / scale:.0f} {unit}"
    return f"{seconds * 1e6:.3g} us"


def table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """The lines of a Markdown table."""
    return ["| " + " | ".join(row) + " |" for row in (columns, tuple("---" for _ in columns), *rows)]


def markdown(
    heading: str,
    measured: dict[str, tuple[list[Summary], list[Result]]],
    ceilings: Ceilings | None,
    memory: dict[str, dict[str, float]],
) -> str:
    """The whole report: the groups, then every case, then memory.

    Args:
        heading: what was measured on what.
        measured: summaries and results by the group's name.
        ceilings: the limits of the machine, where they are known.
        memory: figures by what they are about.
    """
    lines = [heading]
    if measured:
        rows = [summary.cells() for found, _ in measured.values() for summary in found]
        lines += ["", "## Groups", "", *table(SUMMARY_COLUMNS, rows), "", "## Cases"]
    for name, (_, results) in measured.items():
        lines += ["", f"### {name}", "", *table(COLUMNS, [result.cells(ceilings) for result in results])]
    if memory:
        lines += ["", "## Memory"]
    for title, figures in memory.items():
        lines += ["", f"{title}:", "", *(f"- {key}: {value:,.0f}" for key, value in figures.items())]
    return "\n".join(lines) + "\n"
