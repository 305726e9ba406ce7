"""Report: what a command found, as frozen plain data that every renderer reads.

It holds integers, floats, text and the geometry of formulas, never a tensor. Long sequences (the values of a tensor,
the elements of a gradient) may be lazy: they are indexed and iterated like tuples, and computed when read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from convgrad_cli.errors import DIFFERS, OK, REFUSED, UNDECIDED
from convgrad_cli.findings import STATUS, Check, Diagnosis, Finding, NonFinite, Verdict
from convgrad_cli.geometry.formula import Factor, Formula
from convgrad_cli.geometry.spec import ConvSpec

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

SCHEMA = "convgrad/1"
T = TypeVar("T")


class Lazy(Sequence[T], Generic[T]):
    """A sequence of `count` items, each made by `make(i)` when it is read and then forgotten."""

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, i: int) -> T: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[T]: ...
    def __getitem__(self, i: int | slice) -> T | Sequence[T]:
        if isinstance(i, slice):
            return [self._make(j) for j in range(*i.indices(self._count))]
        if not -self._count <= i < self._count:
            raise IndexError(i)
        return self._make(i % self._count)

    def __iter__(self) -> Iterator[T]:
        return map(self._make, range(self._count))


@dataclass(frozen=True)
class Summary:
    """A tensor at a glance; minimum, maximum and mean are over its finite entries, `histogram` counts them."""

    minimum: float
    maximum: float
    mean: float
    zeros: int
    nonfinite: int
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class TensorData:
    """One tensor: its name in PyTorch's words, its textbook letter, and its values in row-major order.

    The values are the shortest floats that read back in `dtype`: 0.1 for float32 0.1.
    """

    name: str
    letter: str
    shape: tuple[int, ...]
    dtype: str
    values: Sequence[float]
    summary: Summary


@dataclass(frozen=True)
class Element:
    """One number and where it comes from.

    `tensor` is "grad_weight", "output", ...; `values` holds the number by route ("autograd", "by_hand"); `terms` the
    numbers that add up to it, each a tuple of factors, and is None where they are too many to list.
    """

    tensor: str
    index: tuple[int, ...]
    values: Mapping[str, float]
    formula: Formula
    terms: tuple[tuple[float, ...], ...] | None = None
    difference: float | None = None
    bound: float | None = None

    @property
    def expression(self) -> str:
        """Python that evaluates to the element in the namespace {x, w, b, g}, and xp where padding copies input."""
        return str(self.formula)

    @property
    def agrees(self) -> bool | None:
        """Whether the routes agree within the bound; None where only one route was taken."""
        if self.difference is None or self.bound is None:
            return None
        return self.difference <= self.bound  # NaN differences agree with nothing


@dataclass(frozen=True)
class Table:
    """The elements of one tensor in row-major order; `important` is which to show where not all fit, in that order."""

    tensor: str
    shape: tuple[int, ...]
    elements: Sequence[Element]
    important: tuple[int, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """How two routes to one tensor agree: `ratio` is the largest difference in units of its element's bound."""

    tensor: str
    actual: str
    expected: str
    elements: int
    agreeing: int
    ratio: float
    worst: tuple[int, ...] | None


@dataclass(frozen=True)
class Picture:
    """A matrix of one operand, drawn from row `top` and column `left` of it, with the `marked` cells highlighted.

    `marked` holds (row, column) pairs of `values`. A 1-D operand has one row.
    """

    label: str
    letter: str
    values: tuple[tuple[float, ...], ...]
    marked: frozenset[tuple[int, int]] = frozenset()
    top: int = 0
    left: int = 0


@dataclass(frozen=True)
class Passage:
    """One step of a story: a heading, sentences, pictures, rows of a formula, elements as tables.

    A row is made of cells that stand in columns below those of the other rows: text, or numbers that the renderer
    writes. A row of one cell stands for itself.
    """

    title: str
    sentences: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    rows: tuple[tuple[str | float, ...], ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Step:
    """One placement of the kernel, which adds to `tensor`: the steps of a tensor make all of it.

    `index` is the entry that stands for the placement. `reads` are the slices that are multiplied, `writes` the entries
    of `tensor` that get a part, `statement` says it in Python and `terms` in numbers, entry by entry. `sums` holds the
    entries written to as they are after it; `whole` says that it is a single one, which gets no other part. Where the
    kernel meets nothing, `reason` says why.
    """

    tensor: str
    index: tuple[int, ...]
    reads: tuple[Factor, ...]
    writes: tuple[Factor, ...]
    statement: str
    terms: tuple[tuple[float, ...], ...]
    sums: Mapping[tuple[int, ...], float]
    whole: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """How one problem of a list did: a line of `suite`.

    `problem` is the text that says it, `name` what the list calls it, `place` where it stands ("shapes_basic:12").
    `sampled` is how many elements of each tensor were looked at, 0 for all of them. `settings` are the options it was
    run with, `sha256` is that of the file of the code, if it is one, and `again` is a command that says more.
    """

    problem: str
    name: str
    place: str
    spec: ConvSpec
    dtype: str
    target: str
    verdict: str
    reason: str
    verdicts: tuple[Verdict, ...] = ()
    conditions: tuple[Finding, ...] = ()
    seconds: float = 0.0
    sampled: int = 0
    settings: str = ""
    sha256: str = ""
    again: str = ""

    @property
    def label(self) -> str:
        """What the problem is called where there is room for one thing."""
        return self.name or self.problem

    @property
    def ratio(self) -> float | None:
        """The largest error in units of its bound; None where nothing was judged."""
        return max((verdict.ratio for verdict in self.verdicts), default=None)


@dataclass
class Tally:
    """What was counted so far of the problems of a list, `total` of them; `seconds` is the time that passed.

    `unread` says of each line that could not be read why.
    """

    total: int
    width: int  # of the longest label
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUS, 0))
    sampled: int = 0
    before: int = 0
    seconds: float = 0.0
    unread: tuple[str, ...] = ()

    def add(self, row: Row) -> None:
        self.counts[row.verdict] += 1
        self.sampled += row.sampled > 0

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    @property
    def exit_code(self) -> int:
        """The status of the worst verdict there is; a line that could not be read is like an ERROR."""
        found = {STATUS[verdict] for verdict, count in self.counts.items() if count}
        found |= {REFUSED} if self.unread else set()
        return next((status for status in (DIFFERS, REFUSED, UNDECIDED) if status in found), OK)


@dataclass(frozen=True)
class Report:
    """What one command found. `print(report)` shows it, `to_dict()` is the JSON document.

    `second_order` is the expression of S, whose gradients the report is about, and `loss_value` its value; "" where it
    is about those of the loss.
    """

    command: str
    version: str
    spec: ConvSpec
    dtype: str
    device: str
    seed: int
    loss: str
    loss_value: float | None
    tensors: Mapping[str, TensorData]
    tables: tuple[Table, ...] = ()
    passages: tuple[Passage, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    check: Check | None = None
    steps: tuple[Step, ...] = ()
    second_order: str = ""
    nonfinite: NonFinite | None = None

    @property
    def exit_code(self) -> int:
        """That of the verdict if there is one; else 0 where everything compared agrees, and 1 where not."""
        if self.check is not None:
            return STATUS[self.check.verdict]
        return OK if all(c.agreeing == c.elements for c in self.comparisons) else DIFFERS

    @property
    def diagnosis(self) -> Diagnosis | None:
        """Which mistake it is, where `check` failed."""
        return None if self.check is None else self.check.diagnosis

    def to_dict(self) -> dict[str, Any]:
        """The report as the strict JSON document of `-f json`, schema "convgrad/1"."""
        from convgrad_cli.render.json import document

        return document(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from convgrad_cli.render.style import Style
        from convgrad_cli.render.terminal import parts

        yield from parts(self, Style(width=options.max_width, ascii=options.ascii_only))

    def __str__(self) -> str:
        from convgrad_cli.render.style import Style
        from convgrad_cli.render.terminal import render

        return "".join(render(self, Style())).rstrip("\n")

    def __repr__(self) -> str:
        found = [f"{c.tensor} {c.agreeing}/{c.elements}" for c in self.comparisons]
        if self.check is not None:
            found = [self.check.verdict, *(f"{v.tensor} {v.verdict}" for v in self.check.verdicts)]
        said = f": {', '.join(found)}" if found else ""
        return f"<convgrad {self.command} of {self.spec.layer_text()}{said}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from convgrad_cli.render import html, markdown
        from convgrad_cli.render.notebook import bundle
        from convgrad_cli.render.style import Style

        name = f"convgrad {self.command} of {self.spec.layer_text()}"
        return bundle(html.render(self, Style()), markdown.render(self, Style()), str(self), name)
