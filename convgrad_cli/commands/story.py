"""The story of a whole small layer: forward, loss, and each gradient in letters and in slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

from convgrad_cli.commands.describe import slice_lines
from convgrad_cli.commands.inspect import inspect_problem
from convgrad_cli.geometry.formula import LETTERS, Formula
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.report import Passage, Report, Table
from convgrad_cli.tensors.problem import Problem

TOLD = 9  # elements of one tensor that the story tells, enough for a 3x3 input
SPELLED = 52  # columns of a sum spelled out in letters
LONGEST = 54  # columns of both sums on one row, so that it fits into 80 with the rest


def layer_story(problem: Problem, progress: Callable[[float], None] | None = None) -> Report:
    """The Report of `convgrad explain`; `progress` is called with the share done, from 0 to 1."""
    report = inspect_problem(problem, progress)
    tables = {table.tensor: table for table in report.tables}
    spec, ones = problem.spec, problem.loss == "y.sum()"
    passages = [_scene(spec), _forward(spec, tables["output"]), _loss(spec, problem.loss)]
    passages.append(
        _gradient(
            spec,
            "4. The gradient of w: which entries of x did this kernel entry multiply?",
            "Wherever a kernel entry meets an entry of x, its gradient gets that entry"
            + ("." if ones else ", times the g of that output."),
            tables["grad_weight"],
        )
    )
    passages.append(
        _gradient(
            spec,
            "5. The gradient of x: which kernel entries did this input entry meet?",
            "Wherever an input entry meets a kernel entry, its gradient gets that kernel entry"
            + ("." if ones else ", times the g of that output."),
            tables["grad_input"],
        )
    )
    passages += [_bias(problem, report, tables["grad_bias"])] if spec.bias else []
    return replace(report, command="explain", passages=tuple(passages))


def _scene(spec: ConvSpec) -> Passage:
    placements = spec.input_size if spec.transposed else spec.output_size
    side = "output y" if spec.transposed else "input x"
    return Passage(
        "1. The layer",
        (
            f"{_the_kernel(spec)} is put on the {side} in {by_x(placements)} places"
            + (f", for each of {spec.batch_size} samples" if (spec.batch_size or 1) > 1 else "")
            + ". The entries, row by row:",
        ),
        rows=_lettered(spec),
    )


def _the_kernel(spec: ConvSpec) -> str:
    size = by_x(spec.kernel_size)
    return f"The {size} kernel w" if spec.dims > 1 else f"The kernel w of size {size}"


def _lettered(spec: ConvSpec) -> tuple[tuple[str], ...]:
    """x1 x2 x3 ... in the shape of the tensors, beside their numbers' names; only where they are few."""
    names = ["input", "weight", *(["bias"] if spec.bias else []), "output"]
    shapes = {name: spec.shape_of(name) for name in names}
    if any(prod(shape) > 4 * TOLD for shape in shapes.values()):
        return tuple(
            (f"{LETTERS[name]}1 ... {LETTERS[name]}{prod(shape)}: {by_x(shape)}",) for name, shape in shapes.items()
        )
    columns = []
    for name, shape in shapes.items():
        last = 1 if name == "bias" else shape[-1]
        words = [f"{LETTERS[name]}{i + 1}" for i in range(prod(shape))]
        wide = max(map(len, words))
        rows = [words[i : i + last] for i in range(0, len(words), last)]
        columns.append([" ".join(word.ljust(wide) for word in row) for row in rows])
    height = max(map(len, columns))
    padded = [[*column, *[" " * len(column[0])] * (height - len(column))] for column in columns]
    return tuple(("     ".join(row).rstrip(),) for row in zip(*padded, strict=True))


def _forward(spec: ConvSpec, table: Table) -> Passage:
    return Passage(
        "2. Forward: every output is a product sum",
        (_how(spec),),
        rows=_told(spec, table, "y"),
    )


def _how(spec: ConvSpec) -> str:
    how = "Multiply the kernel with the entries under it and add"
    if spec.transposed:
        how = "Each x spreads a copy of the kernel, times itself, over the output; what meets there is added"
    if spec.has_padded_input:
        how = f"xp is x with its border filled by padding ({spec.padding_mode}), {by_x(spec.padded_size)}. {how}"
    return how + (", then add b:" if spec.bias else ":")


def _loss(spec: ConvSpec, loss: str) -> Passage:
    count = prod(spec.output_shape)
    first = "y1" if count == 1 else "y1 + y2" if count == 2 else f"y1 + ... + y{count}"
    said = {
        "y.sum()": f"L = y.sum() = {first}. Every y adds itself once, so g = dL/dy is 1 everywhere and drops out.",
        "y.mean()": f"L = y.mean(): every y adds 1/{count} of itself, so g = dL/dy is {1 / count:.6g} everywhere.",
    }
    return Passage("3. The loss", (said.get(loss, "L = (y * g).sum(), so dL/dy is g, the upstream gradient given."),))


def _gradient(spec: ConvSpec, title: str, sentence: str, table: Table) -> Passage:
    return Passage(title, (sentence,), rows=_told(spec, table, f"dL/d{_letter(table.tensor)}"))


def _bias(problem: Problem, report: Report, table: Table) -> Passage:
    """The bias changes y and nothing else: the layer is run again without it, and compared."""
    spec = replace(problem.spec, bias=False)
    sources = {name: source for name, source in problem.sources.items() if name != "bias"}
    if problem.left:  # what a model left came with the bias alone: both runs are torch's here
        problem = replace(problem, left={})
        report = inspect_problem(problem)
    plain = inspect_problem(replace(problem, spec=spec, sources=sources))
    names = ("grad_weight", "grad_input")
    pairs = [(report.tensors[name].values, plain.tensors[name].values) for name in names]
    total = sum(len(a) for a, _ in pairs)
    equal = sum(x == y for a, b in pairs for x, y in zip(a, b, strict=True))
    same = "exactly the same gradients" if equal == total else "NOT the same gradients"
    outputs = prod(spec.batch_shape) * prod(spec.output_size)
    counted = f", so its gradient is the number of output elements, {outputs}" if problem.loss == "y.sum()" else ""
    return Passage(
        "6. The bias",
        (
            f"Run again without b and compared: w and x have {same},",
            f"bit for bit in {equal} of {total} elements.",
            f"b1 is added once to every output of its channel{counted}:",
        ),
        rows=_told(spec, table, "dL/db", ones=problem.loss == "y.sum()"),
    )


def _told(spec: ConvSpec, table: Table, name: str, ones: bool = False) -> tuple[tuple[str | float, ...], ...]:
    """A row an element, `name = sum in letters = slice sum = value`; on two rows each where that is too long."""
    elements = [table.elements[i] for i in range(min(TOLD, len(table.elements)))]
    letters = [_in_letters(spec, element.formula, ones) for element in elements]
    long = max(map(len, letters)) + max(len(element.expression) for element in elements) > LONGEST
    rows: list[tuple[str | float, ...]] = []
    for number, (letter, element) in enumerate(zip(letters, elements, strict=True), start=1):
        left, value = f"{name}{number}", element.values["by_hand"]
        if long:
            rows += [(left, f"= {letter}", "=", value), *(("", line) for line in slice_lines(element.formula))]
        else:
            rows.append((left, f"= {letter}", f"= {element.expression}", "=", value))
        if element.formula.reason:
            rows.append((" " * len(f"{left} = ") + element.formula.reason,))
    rest = len(table.elements) - len(elements)
    return (*rows, *([(f"and {rest:,} more; convgrad inspect shows them",)] if rest else []))


def _in_letters(spec: ConvSpec, found: Formula, ones: bool) -> str:
    """x1*w1 + x2*w2 + ...: each entry by its row-major number from 1; g is written 1 where it is."""
    names = {letter: name for name, letter in LETTERS.items()}
    words: list[str] = []
    for term in found.terms():
        entries = [f"{letter}{_number(spec, names[letter], at)}" for letter, at in term]
        words.append("1" if ones and term[0][0] == "g" else "*".join(entries))
        if len(" + ".join(words)) > SPELLED:
            words.pop()
            break
    hidden = found.count - len(words)
    return " + ".join(words) + (f" + ({hidden:,} more)" if hidden else "") if words else "0"


def _number(spec: ConvSpec, name: str, at: Sequence[int]) -> int:
    number = 0
    for i, size in zip(at, spec.shape_of(name), strict=True):
        number = number * size + i
    return number + 1


def _letter(tensor: str) -> str:
    return LETTERS[tensor.removeprefix("grad_")]
