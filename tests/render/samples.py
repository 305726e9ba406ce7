"""Reports built by hand from plain numbers and the geometry of formulas; no command and no route takes part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import product as every
from typing import Any

from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.formula import LETTERS, Formula
from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.render.style import Style
from convgrad_cli.report import Comparison, Element, Lazy, Passage, Picture, Report, Summary, Table, TensorData

Numbers = dict[tuple[int, ...], float]

NOTEBOOK_X = (1.8676, -0.2631, -0.2380, 1.0669, 0.5283, -1.2112, 1.1241, -0.1771, 1.3998)
NOTEBOOK_W = (0.0848, -0.0717, -0.2816, 0.3315)
HOSTILE = (
    "</script><script>alert(1)</script>",
    "[/x] [bold red]x[/] :smile:",
    "=1+1",
    "\x1b[31mred\x1b[0m \x9b2J",
    "right\u202eto left, zero\u200bwidth",
    "line\nbreak\r\n# heading",
    "| pipe `tick` ``ticks`` $x_1$ *star* _line_ ~~gone~~ ![picture](http://x.example)",
    r"\end{document} \[ % # & { } ^ ~ ?` !` << -- \undefined \\",
    "1. item",
    "- item",
    "&lt; &copy; <b>",
    "中文 é ∂ — × … 🙂",
)
OPERANDS = ("input", "padded_input", "weight", "bias", "grad_output")


def make_report(layer: Mapping[str, Any], x: Iterable[float], w: Iterable[float], **more: Any) -> Report:
    """The Report of `inspect`; `b` and `g` are numbers like x and w, g all ones where it is not given."""
    spec = make_spec(**layer)
    b, g = more.pop("b", ()), more.pop("g", None)
    letters = {"x": _entries(spec.input_shape, x), "w": _entries(spec.weight_shape, w)}
    if spec.has_padded_input:
        letters["xp"] = {at: letters["x"][_source(spec, at)] for at in _indices(spec.padded_input_shape)}
    if spec.bias:
        letters["b"] = _entries(spec.bias_shape, b)
    letters["g"] = _entries(spec.output_shape, g or (1.0 for _ in _indices(spec.output_shape)))
    names = {letter: name for name, letter in LETTERS.items()}
    tensors = {names[letter]: _tensor(names[letter], spec, numbers) for letter, numbers in letters.items()}
    tables = []
    for operand in ("output", "weight", "input", *(["bias"] if spec.bias else [])):
        name = operand if operand == "output" else f"grad_{operand}"
        elements = tuple(_element(spec, operand, at, letters, g is None) for at in _indices(spec.shape_of(operand)))
        tables.append(Table(name, spec.shape_of(operand), elements))
        tensors[name] = _tensor(name, spec, {e.index: e.values["autograd"] for e in elements})
    comparisons = tuple(
        Comparison(table.tensor, "autograd", "by_hand", len(table.elements), len(table.elements), 0.3, None)
        for table in tables
    )
    fields: dict[str, Any] = {
        "command": "inspect",
        "version": "0.1.0",
        "dtype": "float64",
        "device": "cpu",
        "seed": 0,
        "loss": "y.sum()" if g is None else "(y * g).sum()",
        "loss_value": math.fsum(v for v in tensors["output"].values if math.isfinite(v)),
    }
    fields |= {"tensors": tensors, "tables": tuple(tables), "comparisons": comparisons, **more}
    return Report(spec=spec, **fields)


def notebook() -> Report:
    """The layer of the course notebook."""
    return make_report({"input_size": 3, "kernel_size": 2}, NOTEBOOK_X, NOTEBOOK_W)


def with_bias() -> Report:
    return make_report({"input_size": 3, "kernel_size": 2, "bias": True}, NOTEBOOK_X, NOTEBOOK_W, b=[-0.0465])


def sums_of_products() -> Report:
    """Reflected padding: an input gradient is a sum of several products, flipped and with steps; integers are exact."""
    layer = {"input_size": (4, 3), "kernel_size": 3, "padding": 2, "padding_mode": "reflect", "stride": (2, 1)}
    layer |= {"in_channels": 2, "out_channels": 2, "batch_size": 2, "bias": True}
    return make_report(layer, _integers(48), _integers(36), b=[3, -4], g=_integers(60))


def gaps() -> Report:
    """Entries that nothing meets, whose formula is 0 and has a reason; 3-D, so that expressions are wide."""
    layer = {"input_size": (7, 2, 3), "kernel_size": 2, "stride": (4, 1, 1), "bias": True, "batch_size": 2}
    return make_report(layer, _integers(84), _integers(8), b=[0.5], g=_integers(8))


def output_of_bias_alone() -> Report:
    """A transposed layer with outputs that no input reaches: the bias is left, and a reason."""
    layer = {"input_size": 3, "kernel_size": 1, "stride": 2, "transposed": True, "bias": True, "dims": 1}
    return make_report(layer, _integers(3), [2], b=[7], g=_integers(5))


def hostile() -> Report:
    """Numbers that are not finite, very large and very small, a minus zero, and text that attacks every format."""
    x = (math.nan, math.inf, -math.inf, 1e300, -1e-300, -0.0, 2.0, 123456789.0, 1e-5)
    report = make_report({"input_size": 3, "kernel_size": 2}, x, (1.0, -2.0, 0.0, 1e20), notes=HOSTILE)
    return replace(report, dtype="float64\x1b[2J\n`|$", device="cuda:0 \\ [/x] \u202e", loss_value=math.nan)


def differing() -> Report:
    """One element is wrong, and the route is named like a spreadsheet's formula."""
    report = notebook()
    evil = "=cmd|' /C calc'!A0"
    tables = []
    for table in report.tables:
        elements = [
            replace(e, values={evil: e.values["autograd"], "by_hand": e.values["by_hand"]}) for e in table.elements
        ]
        if table.tensor == "grad_weight":
            elements[1] = replace(elements[1], values={evil: 99.5, "by_hand": -1.184}, difference=100.684, bound=1e-6)
        tables.append(replace(table, elements=tuple(elements)))
    comparisons = tuple(
        replace(c, agreeing=3, ratio=1.00684e8, worst=(0, 0, 0, 1)) if c.tensor == "grad_weight" else c
        for c in report.comparisons
    )
    return replace(report, tables=tuple(tables), comparisons=comparisons)


AWKWARD = ("[0]  ```  \\end{verbatim}", "  two  spaces", "````")


def story() -> Report:
    """What `explain` tells of one element: passages with pictures, lines and a table, and no gradient tensor."""
    report = notebook()
    weight = next(table for table in report.tables if table.tensor == "grad_weight")
    told = replace(weight, elements=weight.elements[1:2])
    rows = tuple(NOTEBOOK_X[r : r + 3] for r in (0, 3, 6))
    passages = (
        Passage(
            "w.grad[0,0,0,1] = x[0,0,0:2,1:3].sum()",
            ("This entry meets x 4 times.", "dL/dw adds them."),
            tables=(told,),
        ),
        Passage("The slices", pictures=(Picture("x[0,0]", "x", rows, frozenset({(0, 1), (0, 2), (1, 1), (1, 2)})),)),
        Passage("Term by term", rows=(("x[0,0,0,1]", -0.2631, " sum", -0.2631), *((text,) for text in AWKWARD))),
        Passage(HOSTILE[0], HOSTILE, rows=tuple((text,) for text in HOSTILE)),
    )
    operands = {name: data for name, data in report.tensors.items() if name in OPERANDS}
    return replace(
        report, command="explain", tensors=operands, tables=(), passages=passages, comparisons=(), loss_value=None
    )


def large(made: list[int] | None = None) -> Report:
    """A thousand lazy elements, of which few matter; the number of each one made is added to `made`."""
    spec = make_spec(dims=1, input_size=1001, kernel_size=2)
    x = {(0, 0, i): float(i % 7 - 3) for i in range(1001)}
    letters = {"x": x, "w": {(0, 0, 0): 2.0, (0, 0, 1): -1.0}, "g": {(0, 0, i): 1.0 for i in range(1000)}}

    def make(i: int) -> Element:
        if made is not None:
            made.append(i)
        return _element(spec, "input", (0, 0, i), letters, True)

    names = {letter: name for name, letter in LETTERS.items()}
    tensors = {names[letter]: _tensor(names[letter], spec, numbers) for letter, numbers in letters.items()}
    table = Table("grad_input", (1, 1, 1001), Lazy(1001, make), important=(1000, 3, 500))
    weight = Table("grad_weight", (1, 1, 2), tuple(_element(spec, "weight", (0, 0, i), letters, True) for i in (0, 1)))
    return replace(notebook(), spec=spec, tensors=tensors, tables=(weight, table), comparisons=())


BUILDERS = (notebook, with_bias, sums_of_products, gaps, output_of_bias_alone, hostile, differing, story, large)
NAMES = tuple(builder.__name__ for builder in BUILDERS)


@cache
def sample(name: str) -> Report:
    return next(builder for builder in BUILDERS if builder.__name__ == name)()


def text_of(module: Any, report: Report, **style: Any) -> str:
    """The whole file that a format writes."""
    pieces = module.render(report, Style(**style))
    assert isinstance(pieces, Iterator)
    return "".join(pieces)


def tables_of(report: Report) -> list[Table]:
    return [*report.tables, *(table for passage in report.passages for table in passage.tables)]


def elements_of(report: Report) -> list[Element]:
    return [element for table in tables_of(report) for element in table.elements]


def namespace(report: Report) -> dict[str, Any]:
    """The torch tensors that expressions are written for."""
    import torch

    return {
        data.letter: torch.tensor(list(data.values), dtype=torch.float64).reshape(data.shape)
        for name, data in report.tensors.items()
        if name in OPERANDS
    }


def evaluate(expression: str, letters: Mapping[str, Any]) -> float:
    return float(eval(expression, {"__builtins__": {}}, dict(letters)))


def same(one: float, other: float) -> bool:
    """Equal up to the order of a sum; NaN is NaN."""
    return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12)


def _integers(count: int) -> list[float]:
    return [float((7 * i * i + 3 * i) % 9 + 1) * (-1) ** (i % 3 == 1) for i in range(count)]


def _indices(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return every(*map(range, shape))


def _entries(shape: Sequence[int], values: Iterable[float]) -> Numbers:
    return dict(zip(_indices(shape), map(float, values), strict=True))


def _source(spec: ConvSpec, at: tuple[int, ...]) -> tuple[int, ...]:
    lead = len(at) - spec.dims
    inside = (spec.border_source(axis, i - spec.padding[axis][0]) for axis, i in enumerate(at[lead:]))
    return (*at[:lead], *inside)


def _element(spec: ConvSpec, operand: str, at: tuple[int, ...], letters: Mapping[str, Numbers], ones: bool) -> Element:
    found: Formula = formula(spec, operand, at, ones=ones)
    terms = tuple(tuple(letters[letter][i] for letter, i in term) for term in found.terms())
    value = sum(math.prod(term) for term in terms) + 0.0
    name = operand if operand == "output" else f"grad_{operand}"
    shown = float(f"{value:.6g}")
    difference = 0.0 if not math.isfinite(value) or shown == value else abs(shown - value)
    bound = 1e-5 * abs(value) if math.isfinite(value) else 0.0
    return Element(
        name, at, {"autograd": shown, "by_hand": value}, found, terms if len(terms) < 60 else None, difference, bound
    )


def _tensor(name: str, spec: ConvSpec, numbers: Numbers) -> TensorData:
    values = tuple(numbers.values())
    finite = [v for v in values if math.isfinite(v)] or [0.0]
    ends = min(finite), max(finite), math.fsum(finite) / len(finite)
    summary = Summary(*ends, finite.count(0), len(values) - len(finite), (len(finite),))
    operand = name.removeprefix("grad_") if name != "grad_output" else name
    letter = LETTERS[operand] + (".grad" if operand != name else "")
    shape = spec.padded_input_shape if name == "padded_input" else spec.shape_of(name)
    return TensorData(name, letter, shape, "float64", values, summary)
