"""A row of the table: what is measured, on which trees, and what it must reach."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from tests.bench.fresh.parts import Parts
from tests.bench.fresh.tree import Tree

HEADINGS = ("row", "figure", "baseline", "now", "now : baseline", "bar", "")


class Against(Enum):
    """What a bar is held against.

    NOW: the figure itself. SCALED: the figure, but for how much slower or quicker this machine ran the baseline than the
    one that the bar was set on. TIMES: now : baseline. LESS: baseline - now.
    """

    NOW = "now"
    SCALED = "scaled"
    TIMES = "times"
    LESS = "less"


@dataclass(frozen=True, slots=True)
class Bar:
    """Of one figure that the measuring function tells. `number` None: it is told, and held against nothing.

    `before`: the figure when the bar was set, on the default baseline. `is_least`: else the most.
    """

    figure: str
    unit: str
    number: float | None = None
    is_least: bool = False
    against: Against = Against.NOW
    before: float | None = None

    @property
    def text(self) -> str:
        if self.number is None:
            return ""
        sign = "≥" if self.is_least else "≤"
        told = f"{sign} {self.number:g}"
        match self.against:
            case Against.TIMES:
                return f"{told} times the baseline"
            case Against.LESS:
                return f"{told} {self.unit} less than the baseline"
            case Against.SCALED:
                return f"{told} {self.unit} where the baseline has {self.before:g}"
        return f"{told} {self.unit}"

    def is_met(self, now: float, baseline: float | None) -> bool | None:
        """None where there is no bar, or the baseline that it needs was not measured."""
        held = self._held(now, baseline)
        if held is None or self.number is None:
            return None
        return held >= self.number if self.is_least else held <= self.number

    def share(self, now: float, baseline: float | None) -> float | None:
        """How much of the bar it takes: it is met up to 1."""
        held = self._held(now, baseline)
        if not held or self.number is None:
            return None
        return self.number / held if self.is_least else held / self.number

    def _held(self, now: float, baseline: float | None) -> float | None:
        match self.against:
            case Against.TIMES:
                return now / baseline if baseline else None
            case Against.LESS:
                return baseline - now if baseline is not None else None
            case Against.SCALED if baseline and self.before:
                return now * self.before / baseline
        return now


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures by name. `estimated`: those that were not measured to their end. `note`: what a reader must know."""

    figures: Mapping[str, float]
    estimated: frozenset[str] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """`measure` is called for each tree, the baseline first; `at_once`: for both together, as it waits more than it works.

    `is_baseline` is told to it: where that is slow, a part must do. `is_alone`: no baseline is measured, which takes hours.
    """

    name: str
    title: str
    bars: tuple[Bar, ...]
    measure: Callable[[Parts, Tree, bool, bool], Measured]
    """Parts, tree, whether it is the baseline, whether small sizes do."""
    at_once: bool = False
    is_alone: bool = False

    def measured(self, parts: Parts, now: Tree, baseline: Tree | None, is_quick: bool) -> "Result":
        baseline = None if self.is_alone else baseline
        trees = [*([(baseline, True)] if baseline else []), (now, False)]
        with ThreadPoolExecutor(len(trees) if self.at_once else 1) as threads:
            told = list(threads.map(lambda one: self.measure(parts, one[0], one[1], is_quick), trees))
        parts.forget_filled()
        return Result(self, told[-1], told[0] if baseline else None)


@dataclass(frozen=True, slots=True)
class Result:
    """What a row came to. `at`: the commit that was measured; `unit`: µs of `json.loads` of one instance's metadata then."""

    row: Row
    now: Measured
    baseline: Measured | None
    at: str = ""
    unit: float = 0.0

    @property
    def is_missed(self) -> bool:
        return any(self._is_met(bar) is False for bar in self.row.bars)

    def lines(self) -> Iterator[str]:
        """A line of a Markdown table for each bar."""
        for bar in self.row.bars:
            before = self.baseline.figures.get(bar.figure) if self.baseline else None
            now = self.now.figures[bar.figure]
            cells = [
                f"`{self.row.name}`: {self.row.title}",
                bar.figure,
                _number(before, bar.unit, self.baseline, bar.figure),
                _number(now, bar.unit, self.now, bar.figure),
                f"{now / before:.3g}" if before else "",
                bar.text,
                {True: "met", False: "**missed**", None: ""}[self._is_met(bar)],
            ]
            yield f"| {' | '.join(cells)} |"

    def shares(self) -> Iterator[tuple[str, float]]:
        """Of each bar, by the row's name and the figure's."""
        for bar in self.row.bars:
            before = self.baseline.figures.get(bar.figure) if self.baseline else None
            if (share := bar.share(self.now.figures[bar.figure], before)) is not None:
                yield f"{self.row.name}: {bar.figure}", share

    def notes(self) -> Iterator[str]:
        for measured, who in ((self.baseline, "baseline"), (self.now, "now")):
            if measured and measured.note:
                yield f"- `{self.row.name}`, {who}: {measured.note}."

    def _is_met(self, bar: Bar) -> bool | None:
        before = self.baseline.figures.get(bar.figure) if self.baseline else None
        return bar.is_met(self.now.figures[bar.figure], before)


def _number(value: float | None, unit: str, measured: Measured | None, figure: str) -> str:
    if value is None or measured is None:
        return ""
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    about = "about " if figure in measured.estimated else ""
    return f"{about}{value:,.{digits}f} {unit}".rstrip()
