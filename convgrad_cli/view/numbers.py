"""The numbers in the cells: those of a report, or those that are there when the kernel is at some placement."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from convgrad_cli.render.numbers import column, stored
from convgrad_cli.report import Report
from convgrad_cli.view.places import Index, flat


@dataclass(frozen=True)
class Numbers:
    """Every number as the report has it."""

    report: Report

    def at(self, tensor: str, index: Index) -> float | None:
        """The number of an entry; None where there is none yet."""
        data = self.report.tensors[tensor]
        return stored(data.values[flat(index, data.shape)], data.dtype)

    def scale(self, tensor: str) -> list[float]:
        """Numbers that stand for all that are drawn of a tensor, so that they are written alike."""
        found = self.report.tensors[tensor].summary
        return [found.minimum, found.maximum]


class Course:
    """What every entry is after every step of a report. A number that gets no more parts is the report's own."""

    def __init__(self, report: Report) -> None:
        self.passes: dict[str, range] = {}
        self._after: dict[tuple[str, Index], tuple[list[int], list[float]]] = {}
        for number, step in enumerate(report.steps):
            first = self.passes.get(step.tensor, range(number, number)).start
            self.passes[step.tensor] = range(first, number + 1)
            for index, value in step.sums.items():
                steps, values = self._after.setdefault((step.tensor, index), ([], []))
                steps.append(number)
                values.append(value)
        final = Numbers(report)
        self._scales = {
            tensor: standing_for([
                *final.scale(tensor),
                *(value for (name, _), (_, values) in self._after.items() if name == tensor for value in values),
            ])
            for tensor in self.passes
        }  # fmt: skip
        self._final = final

    def number(self, tensor: str, index: Index, step: int) -> float | None:
        """The entry after step number `step`; None where no step of its tensor reached it so far."""
        steps = self.passes.get(tensor)
        if steps is None or step >= steps.stop - 1:
            return self._final.at(tensor, index)
        found, values = self._after.get((tensor, index), ([], []))
        done = bisect_right(found, step)
        if not done:
            return None
        return self._final.at(tensor, index) if done == len(found) else values[done - 1]

    def steps_of(self, tensor: str, index: Index) -> list[int]:
        """The numbers of the steps that write to an entry."""
        return self._after.get((tensor, index), ([], []))[0]

    def scale(self, tensor: str) -> list[float]:
        return self._scales[tensor] if tensor in self._scales else self._final.scale(tensor)


@dataclass(frozen=True)
class Moment(Numbers):
    """The numbers that are there after step number `step` of a course."""

    course: Course
    step: int

    def at(self, tensor: str, index: Index) -> float | None:
        return self.course.number(tensor, index, self.step)

    def scale(self, tensor: str) -> list[float]:
        return self.course.scale(tensor)


def standing_for(values: Iterable[float]) -> list[float]:
    """The few numbers that decide how all of `values` are written, and how wide the widest is."""
    finite = [value for value in values if isfinite(value)]
    if not finite:
        return []
    nonzero = [value for value in finite if value]
    broken = [value for value in finite if not value.is_integer()]
    return [min(finite), max(finite), *([min(nonzero, key=abs)] if nonzero else []), *broken[:1]]


def written(values: Sequence[float], precision: int) -> list[str]:
    """The numbers as a column; where that is scientific, as short as it still reads: 6.9e-4."""
    texts = column(values, precision)
    if not any("e" in text for text in texts):
        return texts
    short = column(values, max(precision - 1, 1))
    return [
        "0" if value == 0 else re.sub(r"e\+?(-?)0*(?=\d)", r"e\1", t) for value, t in zip(values, short, strict=True)
    ]
