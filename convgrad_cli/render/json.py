"""A report as one strict JSON document, described by schema.json beside this file, written while it is computed.

Numbers are in the shortest form that reads back; non-finite ones are the strings "NaN", "Infinity" and "-Infinity".
Text from outside is escaped by `safe` besides, so that a field printed by another program moves no cursor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from importlib.resources import files
from math import isfinite, isnan, prod
from typing import Any

from convgrad_cli.findings import Check, Diagnosis, Finding, NonFinite, Verdict
from convgrad_cli.geometry.axis import Span
from convgrad_cli.geometry.formula import Factor
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.layers import LayerRow, ModelReport
from convgrad_cli.render import selection
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.report import SCHEMA, Comparison, Element, Passage, Picture, Report, Row, TensorData
from convgrad_cli.safe import safe


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document."""
    found: dict[str, Any] = json.loads(files("convgrad_cli.render").joinpath("schema.json").read_text("utf-8"))
    return found


def document(report: Report, style: Style | None = None) -> dict[str, Any]:
    """The whole document as dicts, lists, strings and numbers."""
    return {key: _whole(value) for key, value in _members(report, style or Style())}


def render(report: Report, style: Style) -> Iterator[str]:
    """The document as text: one line a key, a tensor's row or an element."""
    separator = "{\n"
    for key, value in _members(report, style):
        yield f"{separator}  {json.dumps(key)}: "
        yield from _written(value)
        separator = ",\n"
    yield "\n}\n"


def element_object(element: Element) -> dict[str, Any]:
    """One element with its values by route, its expression and, as data, the factors of every product in it."""
    reason = {"reason": safe(element.formula.reason, SENTENCE)} if element.formula.reason else {}
    return {
        "tensor": element.tensor,
        "index": list(element.index),
        "values": {safe(route): _number(value) for route, value in element.values.items()},
        "expression": element.expression,
        **reason,
        "factors": [[_factor(factor) for factor in product.factors] for product in element.formula.products],
        "terms": None if element.terms is None else [[_number(factor) for factor in term] for term in element.terms],
        "term_count": element.formula.count,
        "difference": _number(element.difference),
        "bound": _number(element.bound),
        "agrees": element.agrees,
    }


def row_object(row: Row) -> dict[str, Any]:
    """One problem of a suite and how it did."""
    return {
        "schema": SCHEMA,
        "command": "suite",
        "problem": safe(row.problem, SENTENCE),
        "name": safe(row.name, SENTENCE),
        "place": safe(row.place, SENTENCE),
        "verdict": row.verdict,
        "reason": safe(row.reason, SENTENCE),
        "layer": json.loads(json.dumps(row.spec.to_dict())),
        "dtype": safe(row.dtype),
        "target": safe(row.target, SENTENCE),
        "verdicts": [_verdict(verdict) for verdict in row.verdicts],
        "conditions": [_finding(condition) for condition in row.conditions],
        "multiply_adds": row.spec.macs,
        "seconds": row.seconds,
        "sampled": row.sampled,
        "settings": safe(row.settings, SENTENCE),
        "sha256": row.sha256,
        "again": safe(row.again, SENTENCE),
    }


def row_of(given: Any) -> Row:
    """The Row that `row_object` wrote. Raises ValueError where it wrote no such thing."""
    try:
        layer = {name: _tuples(given["layer"][name]) for name in (field.name for field in fields(ConvSpec))}
        own = {field.name for field in fields(Row)} - {"spec", "verdicts", "conditions"}
        return Row(
            spec=ConvSpec(**layer),
            verdicts=tuple(_verdict_of(verdict) for verdict in given["verdicts"]),
            conditions=tuple(_finding_of(found) for found in given["conditions"]),
            **{name: given[name] for name in own},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None


def _verdict_of(given: dict[str, Any]) -> Verdict:
    worst = None if given["worst"] is None else tuple(given["worst"])
    numbers = {name: None if given[name] is None else float(given[name]) for name in ("ratio", "bits")}
    return Verdict(**{**given, **numbers, "worst": worst, "probes": tuple(map(_finding_of, given["probes"]))})


def _finding_of(given: dict[str, Any]) -> Finding:
    return Finding(**{**given, "tensors": tuple(given["tensors"])})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _members(report: Report, style: Style) -> Iterator[tuple[str, Any]]:
    """The document key by key; what may be long is an iterator, to be read once."""
    yield "schema", SCHEMA
    yield "command", report.command
    yield "version", report.version
    yield from [("verdict", report.check.verdict)] if report.check else []
    yield "layer", json.loads(json.dumps(report.spec.to_dict()))
    yield "dtype", safe(report.dtype)
    yield "device", safe(report.device)
    yield "seed", report.seed
    value, second = _number(report.loss_value), report.second_order
    yield "loss", {"name": safe(report.loss), "value": None if second else value}
    yield from [("second_order", {"name": safe(second, SENTENCE), "value": value})] if second else []
    yield from [("check", _check(report.check))] if report.check else []
    yield from ((name, _tensor(tensor)) for name, tensor in report.tensors.items() if style.shows(name))
    listed = [table for table in report.tables if style.shows(table.tensor)]
    yield "elements", (element_object(table.elements[i]) for table in listed for i in selection.rows(table, style))
    yield "passages", (_passage(passage, style) for passage in report.passages)
    yield "comparisons", [_comparison(comparison) for comparison in report.comparisons]
    yield from [("nonfinite", nonfinite_object(report.nonfinite))] if report.nonfinite else []
    yield "notes", [safe(note, SENTENCE) for note in report.notes]
    yield "exit_code", report.exit_code


def _tensor(tensor: TensorData) -> dict[str, Any]:
    return {
        "shape": list(tensor.shape),
        "dtype": safe(tensor.dtype),
        "values": _nested(tensor.values, tensor.shape),
    }


def _nested(values: Sequence[float], shape: Sequence[int], start: int = 0) -> Any:
    if len(shape) == 1:
        return [_number(value) for value in values[start : start + shape[0]]]
    step = prod(shape[1:])
    return (_nested(values, shape[1:], start + i * step) for i in range(shape[0]))


def _factor(factor: Factor) -> dict[str, Any]:
    index = [
        {"start": part.start, "stop": part.stop, "step": part.step} if isinstance(part, Span) else part
        for part in factor.index
    ]
    return {"operand": factor.operand, "index": index, "flip": list(factor.flip)}


def _passage(passage: Passage, style: Style) -> dict[str, Any]:
    listed = [table for table in passage.tables if style.shows(table.tensor)]
    return {
        "title": safe(passage.title, SENTENCE),
        "sentences": [safe(sentence, SENTENCE) for sentence in passage.sentences],
        "pictures": [_picture(picture) for picture in passage.pictures],
        "rows": [[safe(c, SENTENCE) if isinstance(c, str) else _number(c) for c in row] for row in passage.rows],
        "elements": (element_object(table.elements[i]) for table in listed for i in selection.rows(table, style)),
    }


def _picture(picture: Picture) -> dict[str, Any]:
    return {
        "label": picture.label,
        "operand": picture.letter,
        "values": [[_number(value) for value in row] for row in picture.values],
        "marked": [list(cell) for cell in sorted(picture.marked)],
        "top": picture.top,
        "left": picture.left,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "tensor": comparison.tensor,
        "actual": safe(comparison.actual),
        "expected": safe(comparison.expected),
        "elements": comparison.elements,
        "agreeing": comparison.agreeing,
        "ratio": _number(comparison.ratio),
        "worst": None if comparison.worst is None else list(comparison.worst),
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "target": safe(check.target, SENTENCE),
        "verdict": check.verdict,
        "reason": safe(check.reason, SENTENCE),
        "arithmetic": safe(check.arithmetic),
        "verdicts": [_verdict(verdict) for verdict in check.verdicts],
        "conditions": [_finding(condition) for condition in check.conditions],
        "unchecked": [safe(text, SENTENCE) for text in check.unchecked],
        "classes": [_finding(one) for one in check.classes],
        "diagnosis": None if check.diagnosis is None else _diagnosis(check.diagnosis),
    }


def _diagnosis(found: Diagnosis) -> dict[str, Any]:
    """Plain data as it is: nothing in it comes from outside but the target's name and messages."""
    known = asdict(found)
    known["smallest"] = safe(found.smallest, SENTENCE)
    known["hidden"] = [safe(text, SENTENCE) for text in found.hidden]
    return known


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "tensor": verdict.tensor,
        "verdict": verdict.verdict,
        "reason": safe(verdict.reason, SENTENCE),
        "elements": verdict.elements,
        "wrong": verdict.wrong,
        "ratio": _number(verdict.ratio),
        "worst": None if verdict.worst is None else list(verdict.worst),
        "probes": [_finding(probe) for probe in verdict.probes],
        "arithmetic": safe(verdict.arithmetic),
        "bits": _number(verdict.bits),
        "pattern": safe(verdict.pattern, SENTENCE),
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "name": safe(found.name),
        "outcome": found.outcome,
        "detail": safe(found.detail, SENTENCE),
        "tensors": list(found.tensors),
    }


def nonfinite_object(found: NonFinite) -> dict[str, Any]:
    """Where NaN and infinities come from."""
    keys = ("operand", "nan", "infinite", "entries")
    return {
        "operands": [dict(zip(keys, counted, strict=True)) for counted in found.counts],
        "entries": [
            {**asdict(entry), "value": _number(entry.value), "given": _number(entry.given)} for entry in found.entries
        ],
        "elements": [{**asdict(one), "value": _number(one.value) if one.cause else None} for one in found.elements],
    }


def _number(value: float | None) -> float | str | None:
    if value is None or isfinite(value):
        return value
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(member) for key, member in value.items()}
    return [_whole(item) for item in value] if isinstance(value, Iterator) else value


def _written(value: Any) -> Iterator[str]:
    """JSON text in pieces; the items of an iterator stand on lines of their own."""
    if isinstance(value, Iterator):
        yield "["
        separator = ""
        for item in value:
            yield separator
            yield from _written(item)
            separator = ",\n    "
        yield "]"
    elif isinstance(value, dict) and any(isinstance(member, Iterator) for member in value.values()):
        separator = "{"
        for key, member in value.items():
            yield f"{separator}{json.dumps(key)}: "
            yield from _written(member)
            separator = ", "
        yield "}"
    else:
        yield json.dumps(value, allow_nan=False)


def layer_object(row: LayerRow) -> dict[str, Any]:
    """One layer of a model, and how it did."""
    return {
        "schema": SCHEMA,
        "command": "model",
        "name": safe(row.name, SENTENCE),
        "place": row.place,
        "verdict": row.verdict,
        "reason": safe(row.reason, SENTENCE),
        "layer": json.loads(json.dumps(row.spec.to_dict())),
        "dtype": safe(row.dtype),
        "multiply_adds": row.spec.macs,
        "ratio": _number(row.ratio),
        "bits": _number(row.bits),
        "seconds": row.seconds,
        "verdicts": [_verdict(verdict) for verdict in row.verdicts],
        **({"nonfinite": nonfinite_object(row.nonfinite)} if row.nonfinite else {}),
    }


def model_document(report: ModelReport) -> dict[str, Any]:
    """What `model` found, as one document."""
    return {
        "schema": SCHEMA,
        "command": "model",
        "version": report.version,
        "target": safe(report.target, SENTENCE),
        "mode": report.mode,
        "dtype": safe(report.dtype),
        "device": safe(report.device),
        "seed": report.seed,
        "input_shape": list(report.input_shape),
        "parameters": report.parameters,
        "loss": {"name": safe(report.loss), "value": _number(report.loss_value)},
        "layers": [layer_object(row) for row in report.rows],
        "counts": report.counts,
        "seconds": report.seconds,
        "notes": [safe(note, SENTENCE) for note in report.notes],
        "exit_code": report.exit_code,
    }
