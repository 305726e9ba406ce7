"""The numbers alone, for shells: a tensor's last axis separated by tabs, a blank line between matrices.

Of a check the verdicts alone, one tensor a line, and the conditions and probes that failed or had no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convgrad_cli.render import selection
from convgrad_cli.render.numbers import shortest
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report, TensorData
from convgrad_cli.safe import safe

GRADIENTS = ("grad_grad_output", "grad_weight", "grad_input", "grad_bias")


def render(report: Report, style: Style) -> Iterator[str]:
    """The tensors of `--only` in that order, else the gradients; without tensors, the elements' values, one a line."""
    if report.check is not None:
        shown = (verdict for verdict in report.check.verdicts if style.shows(verdict.tensor))
        yield from (f"{verdict.tensor}\t{verdict.verdict}\n" for verdict in shown)
        odd = (condition for condition in report.check.conditions if condition.outcome != "PASS")
        yield from (f"{safe(condition.name)}\t{condition.outcome}\n" for condition in odd)
        return
    names = [name for name in style.only or GRADIENTS if name in report.tensors]
    for number, name in enumerate(names):
        yield from ["\n"] if number else []
        yield from _tensor(report.tensors[name])
    if not names:
        for element in selection.elements(report, style):
            yield _row(list(element.values.values())[:1])


def _tensor(tensor: TensorData) -> Iterator[str]:
    height, width = (1, *tensor.shape)[-2:]
    for number, start in enumerate(range(0, len(tensor.values), width)):
        if number and number % height == 0:
            yield "\n"
        yield _row(tensor.values[start : start + width])


def _row(values: Sequence[float]) -> str:
    return "\t".join(map(shortest, values)) + "\n"
