"""Report: what a command found, as frozen plain data that every renderer reads.

It holds integers, floats, text and the geometry of formulas, never a tensor. Long sequences (the values of a tensor,
the elements of a gradient) may be lazy: they are indexed and iterated like tuples, and computed when read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from convgrad_cli.errors import DIFFERS, OK, REFUSED, UNDECIDED
from convgrad_cli.geometry.formula import Formula
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


STATUS = {"PASS": OK, "FAIL": DIFFERS, "SUSPECT": UNDECIDED, "MISTRUSTED": UNDECIDED, "ERROR": REFUSED}
"""The exit status of each verdict; ERROR: the code under test gave nothing to judge under some condition."""
SEVERITY = ("FAIL", "ERROR", "SUSPECT", "MISTRUSTED", "PASS")


@dataclass(frozen=True)
class Finding:
    """What one probe or one condition showed: `outcome` is a verdict, `detail` says why it is not PASS.

    `tensors` are the tensors that are not right there.
    """

    name: str
    outcome: str
    detail: str = ""
    tensors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether one tensor of the code under test is right, and how that is known.

    `elements` were judged on the real data, `wrong` of them proved wrong; `ratio` is the largest error there in units
    of its bound, at index `worst`. `probes` were exact or not for this tensor. `arithmetic` is the narrowest one that
    explains every element ("" if none does), `bits` the effective bits of the worst element. `pattern` says in one
    line which elements are wrong.
    """

    tensor: str
    verdict: str
    reason: str
    elements: int
    wrong: int
    ratio: float
    worst: tuple[int, ...] | None
    probes: tuple[Finding, ...] = ()
    arithmetic: str = ""
    bits: float | None = None
    pattern: str = ""


@dataclass(frozen=True)
class Fault:
    """The mistake in one tensor.

    `kinds` are its classes (F1 to F16 of the catalogue, F0 for what only hand-written code does), `concept` what it is
    about. With `equals`, "the reference <words>" reproduces the wrong tensor bit for bit. `others`: formulas that no
    layer which the code takes tells from it.
    """

    tensor: str
    kinds: tuple[str, ...]
    words: str
    concept: str
    equals: bool = True
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class ErrorMap:
    """Which elements of one plane of a tensor are wrong: a row of "#" (wrong) and "." (right) for each of its rows."""

    tensor: str
    label: str
    pattern: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Recovery:
    """One wrong element: the right slice sum, the one that the code really computes, and how their terms differ."""

    tensor: str
    index: tuple[int, ...]
    right: str
    yours: str
    difference: str


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with code that failed: where, which mistake, what it sums, the smallest layer that shows it.

    `layer` is the one on which `maps` and most of `faults` were found, `smallest` a command that shows the same fault,
    `boundary` where it appears, `hidden` why some terms could not be read out, `calls` how often the code was asked.
    """

    layer: str
    maps: tuple[ErrorMap, ...] = ()
    faults: tuple[Fault, ...] = ()
    recovered: tuple[Recovery, ...] = ()
    hidden: tuple[str, ...] = ()
    smallest: str = ""
    boundary: tuple[str, ...] = ()
    calls: int = 0


@dataclass(frozen=True)
class Check:
    """What `check` found of one target: `verdict` overall, one for each tensor, and what was not checked.

    `classes`: how it did on classes of layers, where none was asked for. `diagnosis`: which mistake it is, on FAIL.
    """

    target: str
    verdict: str
    reason: str
    arithmetic: str
    verdicts: tuple[Verdict, ...]
    conditions: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()
    classes: tuple[Finding, ...] = ()
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True)
class LayerRow:
    """One run of a convolution in a model: `place` counts them in the order of the forward pass.

    `verdicts` are on the gradients that autograd left there, `reason` says why they are not all PASS, `seconds` is the
    time that judging them took.
    """

    name: str
    place: int
    spec: ConvSpec
    dtype: str
    verdict: str
    reason: str
    verdicts: tuple[Verdict, ...] = ()
    seconds: float = 0.0

    @property
    def ratio(self) -> float | None:
        """The largest error in units of its bound; None where nothing was judged."""
        return max((verdict.ratio for verdict in self.verdicts), default=None)

    @property
    def bits(self) -> float | None:
        """The fewest effective bits of any tensor's worst element; None where nothing was judged."""
        return min((verdict.bits for verdict in self.verdicts if verdict.bits is not None), default=None)


@dataclass(frozen=True)
class ModelReport:
    """What `model` found: a row for each run of a convolution, in the order of the forward pass.

    `mode` is "train" or "eval", `seconds` the time of the run and of all judging.
    """

    version: str
    target: str
    mode: str
    dtype: str
    device: str
    seed: int
    input_shape: tuple[int, ...]
    parameters: int
    loss: str
    loss_value: float | None
    rows: tuple[LayerRow, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each verdict, the worst first."""
        found = {verdict: sum(row.verdict == verdict for row in self.rows) for verdict in SEVERITY}
        return {verdict: count for verdict, count in found.items() if count}

    @property
    def exit_code(self) -> int:
        """That of the worst verdict; where no layer was judged, nothing could have failed."""
        return STATUS[next(iter(self.counts), "MISTRUSTED")]

    def to_dict(self) -> dict[str, Any]:
        """The strict JSON document of `-f json`, schema "convgrad/1"."""
        from convgrad_cli.render.json import model_document

        return model_document(self)

    def __str__(self) -> str:
        from convgrad_cli.render.model import table
        from convgrad_cli.render.style import Style

        return "".join(table(self, Style())).rstrip("\n")

    def __repr__(self) -> str:
        counted = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        return f"<convgrad model {self.target}: {counted or 'no layer'}>"


@dataclass(frozen=True)
class Report:
    """What one command found. `print(report)` shows it, `to_dict()` is the JSON document."""

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
        from convgrad_cli.render.markdown import render as markdown
        from convgrad_cli.render.style import Style

        return {"text/plain": str(self), "text/markdown": "".join(markdown(self, Style()))}
