"""A captured use as a row of a report, and back from the plain data in which it left the process of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import torch

from convgrad_cli.commands.nonfinite import nonfinite
from convgrad_cli.commands.verdicts import describe_check
from convgrad_cli.errors import ConvGradError
from convgrad_cli.findings import NonFinite, OddElements, OddEntry, ReachedTensor, Verdict
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.layers import LayerRow
from convgrad_cli.models.use import Use
from convgrad_cli.verdict.choices import choose_arithmetic
from convgrad_cli.verdict.examine import examine

LOOKED = 16  # elements of each tensor of a layer whose cause is found; all that a row shows is the first


def row_of(use: Use, arithmetic: str) -> LayerRow:
    """The verdict on the gradients that autograd left for one run of a layer."""
    begun, dtype = perf_counter(), str(use.operands.input.dtype).removeprefix("torch.")
    odd = nonfinite(use.spec, use.operands, use.gradients.named(), looked=LOOKED)
    verdict, reason, verdicts = _judged(use, arithmetic, dtype, odd)
    seconds = perf_counter() - begun
    return LayerRow(use.name, use.place, use.spec, dtype, verdict, reason, verdicts, seconds, odd, use.output_finite)


def where_first(rows: Sequence[LayerRow]) -> tuple[str, ...]:
    """Where in the model the first NaN or infinity appears: in the forward pass, or else in the backward pass."""
    before = ""
    for row in rows:
        odd = _odd_operands(row)
        if "weight" in odd or "bias" in odd:
            return (f"the first NaN or infinity of the forward pass is in the parameters of {row.name}",)
        if "input" in odd:
            made = (
                f"what {before} gives is finite, so it is made between the two" if before else "before any convolution"
            )
            return (f"the first NaN or infinity of the forward pass is in x of {row.name}: {made}",)
        if not row.output_finite:
            return (f"the first NaN or infinity of the forward pass is made by {row.name}, in the sums of its output",)
        before = row.name
    for row in reversed(rows):
        if "grad_output" in _odd_operands(row):
            return (
                f"the forward pass is finite up to y of {before}; the first NaN or infinity of the backward pass is in "
                f"the g that arrives at {row.name}",
            )
    return ()


def _odd_operands(row: LayerRow) -> set[str]:
    return {name for name, *_ in row.nonfinite.counts} if row.nonfinite else set()


def row_from(told: Mapping[str, Any]) -> LayerRow:
    """The row whose `asdict` came through the channel."""
    spec = ConvSpec(**{name: _tuples(value) for name, value in told["spec"].items()})
    verdicts = tuple(Verdict(**{**one, "worst": _tuples(one["worst"]), "probes": ()}) for one in told["verdicts"])
    return LayerRow(**{**told, "spec": spec, "verdicts": verdicts, "nonfinite": _nonfinite(told["nonfinite"])})


def _nonfinite(told: Mapping[str, Any] | None) -> NonFinite | None:
    if told is None:
        return None
    elements = tuple(OddElements(**{**one, "index": _tuples(one["index"])}) for one in told["elements"])
    entries = tuple(
        OddEntry(**{**one, "index": _tuples(one["index"]), "reaches": _reaches(one)}) for one in told["entries"]
    )
    return NonFinite(_tuples(told["counts"]), entries, elements)


def _reaches(entry: Mapping[str, Any]) -> tuple[ReachedTensor, ...]:
    return tuple(ReachedTensor(**{**one, "terms": tuple(one["terms"])}) for one in entry["reaches"])


def _judged(use: Use, arithmetic: str, dtype: str, odd: NonFinite | None) -> tuple[str, str, tuple[Verdict, ...]]:
    letters = [LETTERS[name] for name, *_ in odd.counts if name != "bias"] if odd else []
    if letters:
        return "MISTRUSTED", f"{' and '.join(letters)} had NaN or infinities, which no bound can judge", ()
    try:
        with torch.inference_mode():  # nothing asks for gradients of what is summed here, and each step is shorter
            found = examine(use.spec, use.operands, use.target, choose_arithmetic(arithmetic, dtype))
    except ConvGradError as error:
        return "ERROR", str(error), ()
    check = describe_check(use.name, arithmetic, False, found)
    return check.verdict, "" if check.verdict == "PASS" else check.reason, check.verdicts


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
