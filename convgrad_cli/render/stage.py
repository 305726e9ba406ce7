"""The stage of a page: every operand, the output and every gradient as matrices, and the formulas that link them.

Small tensors are tables, large ones lines of numbers that the page's script draws as tables when they are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import isfinite, prod

from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.render import selection
from convgrad_cli.render.cells import Matrix, lines_of, shade_name, table_of
from convgrad_cli.render.compared import error_of
from convgrad_cli.render.markup import Markup, tag
from convgrad_cli.render.names import letter_of
from convgrad_cli.render.numbers import column, number, stored
from convgrad_cli.render.spans import Coder
from convgrad_cli.render.style import Style
from convgrad_cli.render.window import Index, Window, window
from convgrad_cli.report import Element, Report, Table

DIGITS = 400  # entries up to which every one shows its digits
CELLS = 10_000  # entries of one tensor that are drawn
FORWARD = ("input", "padded_input", "weight", "bias", "output")
BACKWARD = ("grad_output", "grad_input", "grad_weight", "grad_bias")
SIGNS = {"padded_input": "→", "weight": "∗", "bias": "+", "output": "=", "grad_input": "→"}
SAID = {
    "input": "input", "padded_input": "padded input", "weight": "weight", "bias": "bias", "output": "output",
    "grad_output": "∂L/∂y", "grad_input": "∂L/∂x", "grad_weight": "∂L/∂w", "grad_bias": "∂L/∂b",
}  # fmt: skip
NAMES = {letter: name for name, letter in LETTERS.items()}


class Stage:
    """What is drawn of a report: a window on each tensor, its numbers as texts, and which cells the worked one uses."""

    def __init__(self, report: Report, style: Style) -> None:
        self._report, self._style = report, style
        self._tables = {table.tensor: table for table in selection.tables(report, style)}
        names = [name for name in (*FORWARD, *BACKWARD) if style.shows(name)]
        self._windows = {name: found for name in names if (found := self._window(name)) is not None}
        self._values = {name: self._read(name) for name in self._windows}

    @property
    def is_empty(self) -> bool:
        return not self._windows

    @property
    def notices(self) -> list[str]:
        """What is said of tensors that are drawn in part."""
        parts = {name: f"{letter_of(name)} {view}" for name, view in self._windows.items() if not view.is_whole}
        large = [said for name, said in parts.items() if name in self._report.tensors]
        single = [letter_of(name) for name in parts if name not in self._report.tensors]
        found = [f"Large tensors are drawn in part: {', '.join(large)}."] if large else []
        return found + ([f"Of {', '.join(single)} only the element that is explained is drawn."] if single else [])

    @cached_property
    def worked(self) -> Element | None:
        """The element that is explained before anyone points at one: the first of several terms, a weight's if any."""
        tables = sorted(self._tables.values(), key=lambda table: table.tensor != "grad_weight")
        first = [self._element(table, at) for table in tables for at in self._first(table)]
        found = [element for element in first if element is not None]
        return next((element for element in found if element.formula.count > 1), found[0] if found else None)

    def rows(self) -> Iterator[Markup]:
        """The forward row and the backward row."""
        for title, names in (("Forward", FORWARD), ("Backward", BACKWARD)):
            drawn = [name for name in names if name in self._windows]
            if drawn:
                parts = [self._tensor(name, SIGNS.get(name) if name != drawn[0] else None) for name in drawn]
                identity = title.lower()
                yield tag(
                    "section",
                    tag("h2", title, id=identity),
                    tag("div", *parts, class_="equation"),
                    aria_labelledby=identity,
                    class_="pass",
                )

    def data(self) -> str:
        """The windows and the formulas as JSON for the page's script."""
        coder = Coder()
        tensors = {
            name: {
                "letter": letter_of(name),
                "shape": view.shape,
                "start": view.start,
                "size": view.size,
                "drawn": view.drawn,
                "axes": axis_names(self._report.spec, name),
                "formulas": [
                    None if element is None else coder.coded(element.formula)
                    for element in (self._element(self._tables[name], at) for at in view.indices())
                ]
                if name in self._tables
                else None,
                "wrong": self._wrong(name),
            }
            for name, view in self._windows.items()
        }
        worked = None if self.worked is None else [self.worked.tensor, self.worked.index]
        document = {"tensors": tensors, **coder.pools, "copies": self._copies(), "worked": worked, "digits": DIGITS}
        return json.dumps(document, separators=(",", ":"), allow_nan=False)

    def _wrong(self, name: str) -> dict[int, list[str]] | None:
        """Of each element in the window that is wrong, by its number there, what it should be and how far it is off."""
        check = self._report.check
        # Where only a probe shows the fault, the elements are the probe's, and the numbers here are not.
        if check is None or not any(one.wrong for one in check.verdicts if one.tensor == name):
            return None
        table = self._tables.get(name)
        found = enumerate(self._element(table, at) for at in self._windows[name].indices()) if table else ()
        return {
            number_at: [number(one.values["expected"], self._style.precision), error_of(one)]
            for number_at, one in found
            if one is not None and one.agrees is False
        }

    def _window(self, name: str) -> Window | None:
        spec, table = self._report.spec, self._tables.get(name)
        drawn = 1 if name.endswith("bias") or spec.dims == 1 else 2
        if name in self._report.tensors:
            return window(self._report.tensors[name].shape, drawn, CELLS)
        if table is not None and len(table.elements) == 1:
            at = table.elements[0].index
            return Window(table.shape, at, (1,) * len(at), drawn)
        return None

    def _read(self, name: str) -> list[float]:
        view, tensor = self._windows[name], self._report.tensors.get(name)
        if tensor is None:
            return [next(iter(self._tables[name].elements[0].values.values()))]
        return [stored(tensor.values[view.flat(at)], tensor.dtype) for at in view.indices()]

    def _first(self, table: Table) -> Iterator[Index]:
        view = self._windows.get(table.tensor)
        yield from [] if view is None else (at for at, _ in zip(view.indices(), range(2), strict=False))

    def _element(self, table: Table, at: Index) -> Element | None:
        if len(table.elements) == prod(table.shape):
            return table.elements[self._windows[table.tensor].flat(at)]
        return self._listed[table.tensor].get(at)

    @cached_property
    def _listed(self) -> Mapping[str, Mapping[Index, Element]]:
        """The elements of tables that do not hold all."""
        partial = [table for table in self._tables.values() if len(table.elements) < prod(table.shape)]
        return {table.tensor: {element.index: element for element in table.elements} for table in partial}

    def _copies(self) -> list[list[int]] | None:
        """Of each spatial axis of xp, the index in x whose value each entry has."""
        spec = self._report.spec
        if "padded_input" not in self._windows or "input" not in self._windows:
            return None
        return [
            [spec.border_source(axis, i - spec.padding[axis][0]) for i in range(size)]
            for axis, size in enumerate(spec.padded_size)
        ]

    def _tensor(self, name: str, sign: str | None) -> Markup:
        """A tensor with its title and every matrix of its window."""
        view, values = self._windows[name], self._values[name]
        texts = column(values, self._style.precision)
        largest = max((abs(value) for value in values if isfinite(value)), default=0.0)
        step = prod(view.size[-view.drawn :])
        slices = []
        for matrix_at, lead in enumerate(view.slices()):
            part = slice(matrix_at * step, (matrix_at + 1) * step)
            matrix = Matrix(_place(name, lead), lead, view.runs()[-view.drawn :], texts[part])
            if view.count > DIGITS:
                slices.append(lines_of(matrix))
            else:
                shades = [shade_name(value, largest) for value in values[part]]
                slices.append(table_of(matrix, shades, self._marks(name)))
        section = tag(
            "section",
            tag("h3", tag("b", letter_of(name)), " ", tag("span", SAID[name]), " ", tag("small", by_x(view.shape))),
            tag("div", *slices, class_="slices"),
            class_=f"tensor {letter_of(name).partition('.')[0]}",
            id=f"tensor-{name}",
        )
        before = tag("span", sign, class_="sign", aria_hidden="true") if sign else None
        return tag("div", before, section, class_="operand")

    def _marks(self, name: str) -> dict[Index, str]:
        """The cells of a tensor that the worked element lights up, and how."""
        if self.worked is None:
            return {}
        factors = [f for product in self.worked.formula.products for f in (*product.factors, *product.ones)]
        marks = {at: "lit" for factor in factors if NAMES[factor.operand] == name for at in factor.entries()}
        return marks | ({self.worked.index: "at"} if self.worked.tensor == name else {})


def _place(name: str, lead: Sequence[int]) -> str:
    return f"{letter_of(name)}[{','.join(map(str, lead))}]" if lead else letter_of(name)


def axis_names(spec: ConvSpec, name: str) -> list[str]:
    """What the leading axes of a tensor are called."""
    depth = ["depth"] if spec.dims == 3 else []
    kind = "output" if name == "grad_output" else name.removeprefix("grad_").removeprefix("padded_")
    if kind == "bias":
        return []
    if kind == "weight":
        pair = ["out channel", "in channel"]
        return [*(reversed(pair) if spec.transposed else pair), *depth]
    return [*(["sample"] if spec.batch_size is not None else []), f"{kind.removesuffix('put')} channel", *depth]
