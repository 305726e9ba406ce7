"""`explain`: why a gradient is what it is, as a story for a whole small layer or for one element of any layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Any

from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.formula import LETTERS, Factor, Formula
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.report import Comparison, Element, Passage, Picture, Report, Table

if TYPE_CHECKING:
    import torch

    from convgrad_cli.geometry.spec import ConvSpec
    from convgrad_cli.tensors.operands import Operands
    from convgrad_cli.tensors.problem import Problem

TOLD = 9  # elements of one tensor that the story tells, enough for a 3x3 input
SPELLED = 9  # terms spelled out in letters
LISTED = 16  # terms listed with a running sum
WINDOW = 12  # rows and columns of a picture
CHEAP = 10**7  # multiply-adds up to which autograd's number is there for the asking
LONGEST_LINE = 69  # columns of text in an aligned line, so that it fits into 80 with its signs and indent
SMALL = 10**4  # entries up to which the operands are part of the report


def explain(layer: Any = None, *, at: str | None = None, autograd: bool = False, **options: Any) -> Report:
    """Why the gradients of a layer are what they are, step by step; with `at`, one element such as "weight:0,0,0,1".

    `layer` and `options` as in `inspect`. With `at` only the terms of that element are computed; autograd's number is
    added if the layer is small or `autograd` is true. Raises ConvGradError.

    >>> explain(input_size=3, kernel_size=2, at="weight:0,0,0,1").tables[0].elements[0].expression
    'x[0,0,0:2,1:3].sum()'
    """
    from convgrad_cli.commands.arguments import problem_from
    from convgrad_cli.geometry.notation import parse_element

    return explain_problem(problem_from(layer, options), None if at is None else parse_element(at), autograd=autograd)


def explain_problem(problem: Problem, at: tuple[str, tuple[int, ...]] | None, *, autograd: bool = False) -> Report:
    """The Report of `convgrad explain`, of the element `at` or of the whole layer."""
    return _story(problem) if at is None else _element_story(problem, *at, autograd=autograd)


# The whole layer


def _story(problem: Problem) -> Report:
    from dataclasses import replace

    from convgrad_cli.commands.inspect import inspect_problem

    report = inspect_problem(problem)
    tables = {table.tensor: table for table in report.tables}
    spec, ones = problem.spec, problem.loss == "y.sum()"
    passages = [_scene(spec, report), _forward(spec, tables["output"]), _loss(spec, problem.loss)]
    passages.append(
        _gradient(
            spec,
            "4. The gradient of w: which entries of x did this kernel entry multiply?",
            "w1 meets one entry of x in each placement; each meeting adds that entry"
            + (" once." if ones else " times the g of the placement."),
            tables["grad_weight"],
        )
    )
    passages.append(
        _gradient(
            spec,
            "5. The gradient of x: which kernel entries did this input entry meet?",
            "A corner of x is met by a single kernel entry, the middle by many"
            + ("; the gradient is their sum." if ones else ", each times the g of its placement."),
            tables["grad_input"],
        )
    )
    passages += [_bias(problem, report, tables["grad_bias"])] if spec.bias else []
    return replace(report, command="explain", passages=tuple(passages))


def _scene(spec: ConvSpec, report: Report) -> Passage:
    placements = spec.input_size if spec.transposed else spec.output_size
    side = "output y" if spec.transposed else "input x"
    return Passage(
        "1. The layer",
        (
            f"The {by_x(spec.kernel_size)} kernel w is put on the {side} in {by_x(placements)} places"
            + (f", for each of {spec.batch_size} samples" if (spec.batch_size or 1) > 1 else "")
            + ". Number the entries row by row:",
        ),
        lines=_lettered(spec, report),
    )


def _lettered(spec: ConvSpec, report: Report) -> tuple[str, ...]:
    """x1 x2 x3 ... in the shape of the tensors, beside their numbers' names; only where they are few."""
    names = ["input", "weight", *(["bias"] if spec.bias else []), "output"]
    shapes = {name: spec.shape_of(name) for name in names}
    if any(prod(shape) > 4 * TOLD for shape in shapes.values()):
        return tuple(
            f"{LETTERS[name]}1 ... {LETTERS[name]}{prod(shape)}: {by_x(shape)}" for name, shape in shapes.items()
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
    return tuple("     ".join(row).rstrip() for row in zip(*padded, strict=True))


def _forward(spec: ConvSpec, table: Table) -> Passage:
    return Passage(
        "2. Forward: every output is a product sum",
        ("Multiply the kernel with the entries under it and add" + (", then add b:" if spec.bias else ":"),),
        lines=_told(spec, table, "y"),
    )


def _loss(spec: ConvSpec, loss: str) -> Passage:
    count = prod(spec.output_shape)
    first = "y1" if count == 1 else "y1 + y2" if count == 2 else f"y1 + ... + y{count}"
    said = {
        "y.sum()": f"L = y.sum() = {first}. Every y adds itself once, so g = dL/dy is 1 everywhere and drops out.",
        "y.mean()": f"L = y.mean(): every y adds 1/{count} of itself, so g = dL/dy is {1 / count:.6g} everywhere.",
    }
    return Passage("3. The loss", (said.get(loss, "L = (y * g).sum(), so dL/dy is g, the upstream gradient given."),))


def _gradient(spec: ConvSpec, title: str, sentence: str, table: Table) -> Passage:
    return Passage(title, (sentence,), lines=_told(spec, table, f"dL/d{_letter(table.tensor)}"))


def _bias(problem: Problem, report: Report, table: Table) -> Passage:
    """The bias changes y and nothing else: the layer is run again without it, and compared."""
    from dataclasses import replace

    from convgrad_cli.commands.inspect import inspect_problem

    spec = replace(problem.spec, bias=False)
    sources = {name: source for name, source in problem.sources.items() if name != "bias"}
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
            f"Run again without bias and compared: w and x have {same} ({equal} of {total} elements, bit for bit).",
            f"b1 is added once to every output of its channel{counted}:",
        ),
        lines=_told(spec, table, "dL/db", ones=problem.loss == "y.sum()"),
    )


def _told(spec: ConvSpec, table: Table, name: str, ones: bool = False) -> tuple[str, ...]:
    """One line an element: its sum in letters, its slice sum, its value; aligned."""
    from convgrad_cli.render.numbers import column

    elements = [table.elements[i] for i in range(min(TOLD, len(table.elements)))]
    letters = [_in_letters(spec, element.formula, ones) for element in elements]
    values = column([element.values["autograd"] for element in elements], 4)
    lines = _aligned([f"{name}{i + 1}" for i in range(len(elements))], letters, elements, values)
    rest = len(table.elements) - len(elements)
    return tuple(lines + ([f"and {rest:,} more; convgrad inspect shows them"] if rest else []))


def _aligned(names: list[str], letters: list[str], elements: list[Element], values: list[str]) -> list[str]:
    """`name = letters = slice sum = value` in columns, or on two lines each where that is too long for a terminal."""
    name, letter, text = (max(map(len, column)) for column in (names, letters, [e.expression for e in elements]))
    lines = []
    for i, element in enumerate(elements):
        value = values[i].strip()
        if name + letter + text + max(map(len, values)) <= LONGEST_LINE:
            lines.append(f"{names[i]:<{name}} = {letters[i]:<{letter}} = {element.expression:<{text}} = {value}")
        else:
            lines += [f"{names[i]:<{name}} = {letters[i]:<{letter}} = {value}", f"{'':<{name}} = {element.expression}"]
    return lines


def _in_letters(spec: ConvSpec, found: Formula, ones: bool) -> str:
    """x1*w1 + x2*w2 + ...: each entry by its row-major number from 1; g is written 1 where it is."""
    names = {letter: name for name, letter in LETTERS.items()}
    words = [
        "*".join(
            "1" if ones and letter == "g" else f"{letter}{_number(spec, names[letter], at)}" for letter, at in term
        )
        for term in islice(found.terms(), SPELLED)
    ]
    hidden = found.count - len(words)
    return " + ".join(words) + (f" + ({hidden:,} more)" if hidden else "") if words else "0"


def _number(spec: ConvSpec, name: str, at: Sequence[int]) -> int:
    number = 0
    for i, size in zip(at, spec.shape_of(name), strict=True):
        number = number * size + i
    return number + 1


# One element


def _element_story(problem: Problem, operand: str, index: tuple[int, ...], *, autograd: bool) -> Report:
    from convgrad_cli.commands.describe import element, tensor_data
    from convgrad_cli.commands.inspect import operands_by_name, setting
    from convgrad_cli.gradients.by_hand import element as by_hand_element
    from convgrad_cli.tensors.problem import make_operands, run_device

    spec = problem.spec
    found = formula(spec, operand, index, ones=problem.loss == "y.sum()")
    device = run_device(problem)
    whole = autograd or spec.macs <= CHEAP
    operands = make_operands(problem, gradients=whole)
    letters = operands.letters(spec)
    value = by_hand_element(found, letters)
    judged = _autograd_value(spec, operands, operand, index, found, value, device) if whole else None
    made = element(spec, operand, index, letters, {}, operands.ones)
    values = {"by_hand": value} if judged is None else {"autograd": judged[0], "by_hand": value}
    difference, bound = (None, None) if judged is None else judged[1:]
    told = Element(made.tensor, index, values, found, made.terms, difference, bound)
    shape = spec.shape_of(operand)
    few = sum(t.numel() for t in letters.values()) <= SMALL
    named = operands_by_name(spec, operands) if few else {}
    name = f"{LETTERS[operand]}{'' if operand == 'output' else '.grad'}[{','.join(map(str, index))}]"
    return Report(
        command="explain",
        **setting(problem, device),
        loss_value=None,
        tensors={key: tensor_data(key, tensor) for key, tensor in named.items() if tensor is not None},
        tables=(Table(made.tensor, shape, (told,)),),
        passages=(
            _why(spec, operand, found, name, problem.loss == "y.sum()"),
            *([_where(found, letters, spec)] if found.count else []),
            *([_term_by_term(found, letters)] if found.count else []),
            _values(spec, told, name),
        ),
        comparisons=(_one(told),) if judged else (),
        notes=problem.notes,
    )


def _why(spec: ConvSpec, operand: str, found: Formula, name: str, ones: bool) -> Passage:
    count = f"{found.count:,}"
    side, times = ("output" if spec.transposed else "input"), "" if ones else ", times the g of that output"
    said = {
        "weight": f"This kernel entry meets an entry of x {count} times, once in each placement of the kernel that "
        f"puts it on the {side} and not on padding. dL/dw adds those entries of x{times}.",
        "input": f"This input entry is multiplied by a kernel entry {count} times, once for each output it reaches. "
        f"dL/dx adds those kernel entries{times}.",
        "output": f"{count} terms add up to this output: each kernel entry that reaches it times the input it meets"
        + (", and the bias." if spec.bias else "."),
        "bias": f"The bias is added once to each output element of its channel, {count} of them. dL/db adds their g"
        + (", which are all 1." if ones else "."),
    }
    reason = (f"Nothing meets it: {found.reason}.",) if not found.count else (said[operand],)
    return Passage(f"{name} = {found}", reason)


def _where(found: Formula, letters: Mapping[str, torch.Tensor], spec: ConvSpec) -> Passage:
    product = found.products[0]
    several = f", the first of {len(found.products)} products" if len(found.products) > 1 else ""
    pictures = tuple(_picture(factor, letters[factor.operand], spec.dims) for factor in product.factors)
    shown = any(picture.marked for picture in pictures)
    return Passage(f"The slices{several}, in brackets", pictures=pictures if shown else ())


def _picture(factor: Factor, tensor: torch.Tensor, dims: int) -> Picture:
    """The 2-D part of the operand around the first matrix that the factor's slice touches."""
    from convgrad_cli.commands.describe import plain_number

    flat = 1 if dims == 1 or tensor.dim() == 1 else 2
    runs = [[part] if isinstance(part, int) else list(part) for part in factor.index]
    lead = [run[0] for run in runs[:-flat]]
    windows = []
    for run, size in zip(runs[-flat:], tensor.shape[-flat:], strict=True):
        start = 0 if size <= WINDOW else max(0, run[0] - 1)
        windows.append(range(start, min(size, start + WINDOW)))
    rows = windows[0] if flat == 2 else range(1)
    columns = windows[-1]
    matrix = tensor[tuple(lead)]
    matrix = matrix if flat == 2 else matrix.unsqueeze(0)
    touched = {(r, c) for r in (runs[-2] if flat == 2 else [0]) for c in runs[-1]}
    cut = len(rows) < matrix.shape[0] or len(columns) < matrix.shape[1]
    place = f" rows {rows[0]}-{rows[-1]}, columns {columns[0]}-{columns[-1]}" if cut else ""
    others = prod(len(run) for run in runs[:-flat])
    more = f" (1 of {others:,})" if others > 1 else ""
    label = factor.operand + (f"[{','.join(map(str, lead))}]" if lead else "") + place + more
    return Picture(
        label=label,
        letter=factor.operand,
        values=tuple(tuple(plain_number(matrix[r, c]) for c in columns) for r in rows),
        marked=frozenset((i, j) for i, r in enumerate(rows) for j, c in enumerate(columns) if (r, c) in touched),
        top=rows[0],
        left=columns[0],
    )


def _term_by_term(found: Formula, letters: Mapping[str, torch.Tensor]) -> Passage:
    """The first terms with a running sum, and how many follow."""
    from convgrad_cli.render.numbers import column

    shown = list(islice(found.terms(), LISTED))
    factors = [tuple(float(letters[letter][at]) for letter, at in term) for term in shown]
    sums, total = [], 0.0
    for parts in factors:
        total += prod(parts)
        sums.append(total)
    names = [" * ".join(f"{letter}[{','.join(map(str, at))}]" for letter, at in term) for term in shown]
    texts = [column([parts[i] for parts in factors if i < len(parts)], 4) for i in range(max(map(len, factors)))]
    numbers = [
        " * ".join(texts[i][row] for i in range(len(parts)) if row < len(texts[i])) for row, parts in enumerate(factors)
    ]
    running = column(sums, 4)
    wide = [max(map(len, texts)) for texts in (names, numbers)]
    lines = [
        f"{name:<{wide[0]}}  {number:>{wide[1]}}   sum {total}"
        for name, number, total in zip(names, numbers, running, strict=True)
    ]
    hidden = found.count - len(shown)
    return Passage("Term by term", lines=tuple(lines + ([f"and {hidden:,} more terms"] if hidden else [])))


def _autograd_value(
    spec: ConvSpec,
    operands: Operands,
    operand: str,
    index: tuple[int, ...],
    found: Formula,
    value: float,
    device: torch.device,
) -> tuple[float, float, float]:
    """Autograd's number for the element, its difference from `value`, and the bound D1 on that."""
    import torch

    from convgrad_cli.commands.describe import plain_number
    from convgrad_cli.gradients.autograd import autograd
    from convgrad_cli.gradients.by_hand import element
    from convgrad_cli.verdict.bounds import direct_bound

    actual = autograd(spec, operands.map(lambda t: t.to(device))).named()[operand][index].cpu()
    magnitude = element(found, operands.map(torch.abs).letters(spec))
    count, size, exact = (torch.tensor(float(v), dtype=torch.float64) for v in (found.count, magnitude, value))
    bound = float(direct_bound(count, size, exact, actual.dtype))
    return plain_number(actual), abs(float(actual) - value), bound


def _values(spec: ConvSpec, told: Element, name: str) -> Passage:
    lines = [f"{'by hand' if route == 'by_hand' else route:<9}{value!r}" for route, value in told.values.items()]
    if "autograd" in told.values:
        return Passage("The value", lines=tuple(lines))
    cost = 3 * spec.macs
    return Passage(
        "The value",
        (
            f"Autograd's number is not there: it takes the whole forward and backward, about {cost:.2g} multiply-adds, "
            f"against {told.formula.count:,} here. Add --autograd for it.",
        ),
        lines=tuple(lines),
    )


def _one(told: Element) -> Comparison:
    difference, bound = told.difference or 0.0, told.bound or 0.0
    ratio = 0.0 if difference == 0 else difference / bound if bound else float("inf")
    return Comparison(told.tensor, "autograd", "by_hand", 1, int(bool(told.agrees)), ratio, told.index)


def _letter(tensor: str) -> str:
    return LETTERS[tensor.removeprefix("grad_")]
