"""A line search for the strong Wolfe conditions, as PyTorch's L-BFGS does it.

J. Nocedal, S. J. Wright, Numerical optimization, second edition, 2006, sections 3.4 and 3.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .optimizer import Array


class Point(NamedTuple):
    """A point of the line.

    Attributes:
        t: where it lies; the start is at 0.
        loss: the function there.
        grad: its gradient.
        slope: its derivative along the line.
    """

    t: float
    loss: float
    grad: Array
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    length: float,
    max_iterations: int,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance: float = 1e-9,
) -> Point:
    """Looks for a point that is low enough (below a line of c1 times the slope) and flat enough (c2 times the slope).

    Args:
        evaluate: the point at a `t`.
        start: the point at 0, where the slope is negative.
        t: where to look first.
        length: the largest absolute element of the direction.
        max_iterations: how often at most to evaluate after the first time.
        c1: the share of the slope at the start by which the function must fall.
        c2: the share of the slope at the start that may be left.
        tolerance: an interval is not searched further where it moves no parameter by more.

    Returns:
        The point, or the lowest one where none was found.
    """

    def too_high(point: Point) -> bool:
        return point.loss > start.loss + c1 * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    # Forward in growing steps, until two points have such a point between them.
    previous, point, iteration = start, evaluate(t), 0
    ends = [start, point]
    while iteration < max_iterations:
        ends = [previous, point]
        if too_high(point) or (iteration > 1 and point.loss >= previous.loss):
            break
        if flat(point):
            return point
        if point.slope >= 0:
            break
        bounds = point.t + 0.01 * (point.t - previous.t), 10 * point.t
        previous, point = point, evaluate(_cubic_minimum(previous, point, *bounds))
        iteration += 1
        ends = [start, point]  # where that was the last one

    # The interval shrinks around the lower end.
    cramped = False
    low, high = _low_and_high(ends)
    while iteration < max_iterations:
        left, right = sorted(end.t for end in ends)
        if (right - left) * length < tolerance:
            break
        t = _cubic_minimum(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) >= margin:
            cramped = False
        elif cramped or not left < t < right:  # too close to an end for the second time, or on it
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            cramped = False
        else:
            cramped = True
        point = evaluate(t)
        iteration += 1
        if too_high(point) or point.loss >= ends[low].loss:
            ends[high] = point
            low, high = _low_and_high(ends)
            continue
        if flat(point):
            return point
        if point.slope * (ends[high].t - ends[low].t) >= 0:
            ends[high] = ends[low]
        ends[low] = point
    return ends[low]


def _low_and_high(ends: list[Point]) -> tuple[int, int]:
    return (0, 1) if ends[0].loss <= ends[1].loss else (1, 0)


def _cubic_minimum(a: Point, b: Point, lowest: float, highest: float) -> float:
    """Where the cubic through two points with their slopes has its minimum, brought into [lowest, highest]."""
    if a.t > b.t:
        a, b = b, a
    with np.errstate(all="ignore"):
        span = np.float64(b.t - a.t)
        d1 = a.slope + b.slope - 3 * (b.loss - a.loss) / span
        square = d1 * d1 - a.slope * b.slope
        if not square >= 0:
            return (lowest + highest) / 2
        d2 = math.sqrt(square)
        t = float(b.t - span * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)))
    return min(max(t, lowest), highest)
