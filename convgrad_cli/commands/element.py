"""The story of one element of any layer, at the cost of its own terms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import islice
from math import prod

import torch

from convgrad_cli.commands.describe import element, plain_number, slice_lines, tensor_data
from convgrad_cli.commands.inspect import autograd_of, operands_by_name, setting
from convgrad_cli.commands.nonfinite import element_nonfinite
from convgrad_cli.geometry.axis import Span
from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.formula import LETTERS, Factor, Formula
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients import by_hand
from convgrad_cli.report import Comparison, Element, Passage, Picture, Report, Table
from convgrad_cli.tensors.problem import Problem, make_operands, run_device
from convgrad_cli.verdict.bounds import direct_bound
from convgrad_cli.verdict.judge import compare

NAMED = 6  # slices of y in a sentence
LISTED = 16  # terms listed with a running sum
WINDOW = 8  # rows and columns of a picture, so that it fits into 80 columns
CHEAP = 10**7  # multiply-adds up to which autograd's number is there for the asking
SMALL = 10**4  # entries up to which the operands are part of the report


def element_story(problem: Problem, operand: str, index: tuple[int, ...], *, autograd: bool) -> Report:
    """The Report of `convgrad explain --at`; autograd is run for its number if it is cheap, or asked for."""
    spec = problem.spec
    told_of = partial(formula, spec, operand, index, second_order=problem.second_order)
    found = told_of(ones=problem.loss == "y.sum()")
    device = run_device(problem)
    whole = autograd or spec.macs <= CHEAP
    operands = make_operands(problem, gradients=whole)
    letters = operands.letters(spec)
    value = by_hand.element(found, letters)
    torchs = autograd_of(problem, operands, device).named()[operand][index] if whole else None
    judged = None if torchs is None else _judged(torchs, operands.map(torch.abs).letters(spec), found, value)
    made = element(spec, operand, index, operands, letters, {})
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
            _why(problem, operand, found, told_of(), name),
            *([_where(found, letters, spec)] if found.count else []),
            *([_term_by_term(found, letters)] if found.count else []),
            _values(spec, told, problem.dtype),
        ),
        comparisons=(_one(told),) if judged else (),
        notes=(*problem.notes, *operands.notes),
        nonfinite=None
        if problem.second_order
        else element_nonfinite(spec, operand, index, operands, next(iter(values.values())), problem.sources),
    )


def _why(problem: Problem, operand: str, found: Formula, met: Formula, name: str) -> Passage:
    """What the sum is; `met` is the formula with the factor g, which says which outputs are involved."""
    spec, ones = problem.spec, problem.loss == "y.sum()"
    count = "once" if found.count == 1 else f"{found.count:,} times"
    met_letter = "xp" if spec.has_padded_input else "x"
    times = "" if ones else ", each times the g of its output"
    said = {
        "weight": f"This kernel entry meets an entry of {met_letter} {count}, over all placements and samples. "
        f"dL/dw adds those entries{times}.",
        "input": f"This input entry is multiplied by a kernel entry {count}, over all the outputs it reaches. "
        f"dL/dx adds those kernel entries{times}.",
        "output": ("One term makes" if found.count == 1 else f"{found.count:,} terms add up to")
        + " this output: each kernel entry that reaches it times its input"
        + (", and the bias." if spec.bias else "."),
        "bias": f"The bias is added once to each output of its channel, {found.count:,} of them. dL/db adds their g"
        + (", which are all 1." if ones else "."),
    }
    said |= _why_second(spec) if problem.second_order else {}
    reason = (f"Nothing meets it: {found.reason}.",) if not found.count else (said[operand],)
    lines = slice_lines(found)
    title = f"{name} {lines[0]}" if len(lines) == 1 else f"{name} is the sum of {len(found.products):,} slices"
    rows = tuple((line,) for line in lines) if len(lines) > 1 else ()
    return Passage(title, (*reason, *_placements(met)), rows=rows)


def _why_second(spec: ConvSpec) -> dict[str, str]:
    """What the sums are where S is differentiated, how L changes along ggx, ggw and ggb."""
    more = " + ggb" if spec.bias else ""
    return {
        "grad_output": f"S is (g * (conv(ggx, w) + conv(x, ggw){more})).sum(): how y changes along the cotangents, "
        "weighted by g. dS/dg is that change of this output.",
        "weight": "S contains w only as conv(ggx, w), weighted by g: dS/dw is dL/dw with ggx in the place of x.",
        "input": "S contains x only as conv(x, ggw), weighted by g: dS/dx is dL/dx with ggw in the place of w.",
    }


def _placements(met: Formula) -> tuple[str, ...]:
    """Where on the output the element has a part, as slices of y."""
    slices = [str(f).replace("g[", "y[", 1) for product in met.products for f in product.factors if f.operand == "g"]
    distinct = list(dict.fromkeys(slices))
    rest = f" and {len(distinct) - NAMED:,} slices more" if len(distinct) > NAMED else ""
    return (f"It has a part in the outputs {', '.join(distinct[:NAMED])}{rest}.",) if distinct else ()


def _where(found: Formula, letters: Mapping[str, torch.Tensor], spec: ConvSpec) -> Passage:
    product = found.products[0]
    sums = [product for product in found.products if product.factors[0].operand not in ("b", "ggb")]
    several = f", the first of {len(sums)} products" if len(sums) > 1 else ""
    pictures = tuple(_picture(factor, letters[factor.operand], spec.dims) for factor in product.factors)
    shown = any(picture.marked for picture in pictures)
    return Passage(f"The slices{several}, in brackets", pictures=pictures if shown else ())


def _picture(factor: Factor, tensor: torch.Tensor, dims: int) -> Picture:
    """The 2-D part of the operand around the first matrix that the factor's slice touches."""
    runs = [part.indices if isinstance(part, Span) else range(part, part + 1) for part in factor.index]
    single = dims == 1 or tensor.dim() == 1  # a single row
    if single:
        runs.insert(-1, range(1))
        tensor = tensor.unsqueeze(-2)
    *outer, rows, columns = runs
    lead = tuple(run[0] for run in outer)
    matrix = tensor[lead]
    high, wide = (_window(run, size) for run, size in zip((rows, columns), matrix.shape, strict=True))
    cut = (len(high), len(wide)) != tuple(matrix.shape)
    columns_shown = f"{wide[0]}-{wide[-1]}"
    parts = f"entries {columns_shown}" if single else f"rows {high[0]}-{high[-1]}, columns {columns_shown}"
    place = f" {parts}" if cut else ""
    others = prod(map(len, outer))
    more = f" (1 of {others:,})" if others > 1 else ""
    return Picture(
        label=factor.operand + (f"[{','.join(map(str, lead))}]" if lead else "") + place + more,
        letter=factor.operand,
        values=tuple(tuple(float(matrix[r, c]) for c in wide) for r in high),
        marked=frozenset((r - high[0], c - wide[0]) for r in high for c in wide if r in rows and c in columns),
        top=high[0],
        left=wide[0],
    )


def _window(run: range, size: int) -> range:
    """The part of an axis that a picture shows: all of a short one, else from just before the run."""
    start = 0 if size <= WINDOW else max(0, run[0] - 1)
    return range(start, min(size, start + WINDOW))


def _term_by_term(found: Formula, letters: Mapping[str, torch.Tensor]) -> Passage:
    """The first terms with a running sum, and how many follow."""
    rows: list[tuple[str | float, ...]] = []
    total = 0.0
    for term in islice(found.terms(), LISTED):
        factors = [float(letters[letter][at]) for letter, at in term]
        total += prod(factors)
        name = " * ".join(f"{letter}[{','.join(map(str, at))}]" for letter, at in term)
        times = ("", "") if len(found.products[0].factors) > 1 else ()
        shown = (factors[0], "*", factors[1]) if len(factors) > 1 else (factors[0], *times)
        rows.append((f"{name} ", *shown, "  sum", total))
    hidden = found.count - len(rows)
    if hidden:
        rows.append((f"and {hidden:,} more term{'s' * (hidden > 1)}",))
    return Passage("Term by term", rows=tuple(rows))


def _judged(
    actual: torch.Tensor, absolute: dict[str, torch.Tensor], found: Formula, value: float
) -> tuple[float, float, float]:
    """Autograd's number for the element, its difference from `value`, and the bound D1 on that."""
    magnitude = by_hand.element(found, absolute)
    count, size, exact = (torch.tensor(float(v), dtype=torch.float64) for v in (found.count, magnitude, value))
    judged = compare(actual, exact, direct_bound(count, size, exact, actual.dtype))
    return plain_number(actual), float(judged.difference), float(judged.bound)


def _values(spec: ConvSpec, told: Element, dtype: str) -> Passage:
    # All digits: this is the one number that was asked for.
    rows = tuple(
        (route.replace("_", " "), repr(value), "float64" if route == "by_hand" else dtype)
        for route, value in told.values.items()
    )
    if "autograd" in told.values:
        return Passage("The value", rows=rows)
    cost = 3 * spec.macs
    return Passage(
        "The value",
        (
            f"Autograd's number is not there: it takes the whole forward and backward, about {cost:.2g} multiply-adds, "
            f"against {told.formula.count:,} here. Add --autograd for it.",
        ),
        rows=rows,
    )


def _one(told: Element) -> Comparison:
    difference, bound = told.difference or 0.0, told.bound or 0.0
    ratio = 0.0 if difference == 0 else difference / bound if bound else float("inf")
    return Comparison(told.tensor, "autograd", "by_hand", 1, int(bool(told.agrees)), ratio, told.index)
