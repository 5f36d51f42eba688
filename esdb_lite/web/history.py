"""How a server did in the last minutes: figures by time, and lines that can be drawn.

Owns: which of a server's figures are shown, and the points of a chart. Must not know: where figures come from, pages.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SPAN = 300.0
"""Seconds that charts show at most."""
_SHORTEST = 30.0
_MOST = 600
WIDTH, HEIGHT = 300, 64
"""The size of a chart in its own units."""
_DRIVE = re.compile(r"sys-drive-(.*)-(usedBytes|totalBytes|availableBytes)")


@dataclass(frozen=True)
class FigureSample:
    """What a server said at one moment."""

    at: float
    """Seconds, by a clock that only goes forward."""
    figures: Mapping[str, float]

    def get(self, *names: str) -> float | None:
        """The first of these figures that is known."""
        return next((self.figures[name] for name in names if self.figures.get(name, -1) >= 0), None)


@dataclass(frozen=True)
class ChartLine:
    """One chart."""

    title: str
    now: float | None
    """The last value."""
    most: float
    """What the top of the chart stands for."""
    line: str
    """The points of the line."""
    area: str
    """The same with the corners below it."""
    span: int
    """Seconds from the left edge to the right one."""
    unit: str
    """`number`, `size`, `percent` or `rate`: how values are written."""


class FigureHistory:
    """The samples of the last minutes."""

    def __init__(self) -> None:
        self._samples: deque[FigureSample] = deque(maxlen=_MOST)

    def add(self, at: float, statistics: Mapping[str, str]) -> None:
        """Remember what a server said; of those that come within a second the last stays."""
        if self._samples and at - self._samples[-1].at < 1.0 and len(self._samples) > 1:
            self._samples.pop()
        self._samples.append(FigureSample(at, numbers(statistics)))
        while self._samples[0].at < at - SPAN - 10:
            self._samples.popleft()

    @property
    def last(self) -> FigureSample | None:
        """The last sample."""
        return self._samples[-1] if self._samples else None

    def chart(self, title: str, value: Callable[[FigureSample], float | None], unit: str) -> ChartLine:
        """A chart of a value."""
        points = [(sample.at, number) for sample in self._samples if (number := value(sample)) is not None]
        return chart(title, points, unit)

    def rate(self, title: str, unit: str, *names: str) -> ChartLine:
        """A chart of how fast a figure grows, by the second."""
        points = []
        for before, after in zip(self._samples, list(self._samples)[1:], strict=False):
            first, second = before.get(*names), after.get(*names)
            if first is not None and second is not None and after.at > before.at:
                points.append((after.at, max(0.0, second - first) / (after.at - before.at)))
        return chart(title, points, unit)


def numbers(statistics: Mapping[str, str]) -> dict[str, float]:
    """The figures that are numbers."""
    found: dict[str, float] = {}
    for name, text in statistics.items():
        try:
            found[name] = float(text)
        except ValueError:
            continue
    return found


def drives(sample: FigureSample) -> dict[str, dict[str, float]]:
    """The drives by where they are mounted: bytes used, available and in all."""
    found: dict[str, dict[str, float]] = {}
    for name, value in sample.figures.items():
        if match := _DRIVE.fullmatch(name):
            found.setdefault(match[1], {})[match[2]] = value
    return found


def chart(title: str, points: Sequence[tuple[float, float]], unit: str) -> ChartLine:
    """Lay out points in the rectangle of a chart, the newest at the right."""
    if not points:
        return ChartLine(title, None, 0.0, "", "", int(_SHORTEST), unit)
    end = points[-1][0]
    span = min(SPAN, max(_SHORTEST, end - points[0][0]))
    most = nice(1.1 * max(value for _, value in points))
    placed = [
        (WIDTH * (1 - (end - at) / span), HEIGHT - (HEIGHT - 2) * value / most)
        for at, value in points
        if end - at <= span
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    area = f"{placed[0][0]:.1f},{HEIGHT} {line} {placed[-1][0]:.1f},{HEIGHT}"
    return ChartLine(title, points[-1][1], most, line, area, round(span), unit)


def nice(value: float) -> float:
    """The next number that is good to read: 1, 2 or 5 with zeros."""
    if value <= 0:
        return 1.0
    step = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 1.0
    return next(factor * step for factor in (1, 2, 5, 10) if factor * step >= value)
