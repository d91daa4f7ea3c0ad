"""The plot: the ratios of every case, their geometric means and what is wanted, group by group."""

from __future__ import annotations

from pathlib import Path

from .report import Summary


def save(file: Path, summaries: list[Summary], title: str) -> None:
    """Draws one bar for each group (its geometric mean), a dot for each case and a line where the target is."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    rows = [summary for summary in summaries if summary.values and not summary.percent]
    figure = Figure(figsize=(10, 1.6 + 0.32 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for y, row in enumerate(rows):
        colour = {None: "0.75", True: "tab:green", False: "tab:red"}[row.reached]
        axes.barh(y, row.mean - 1, left=1, height=0.7, color=colour, alpha=0.5)
        axes.plot(list(row.values.values()), [y] * len(row.values), "o", color="0.2", markersize=2.5)
        if row.wanted_mean is not None:
            axes.plot([row.wanted_mean] * 2, [y - 0.45, y + 0.45], color="black", linewidth=2)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("time of the peer's fastest way / time of fastnn; bar: geometric mean, dot: case, line: target")
    axes.set_title(title, fontsize=8)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(file, dpi=150)
