"""A diagnosis as lines of text: where, which mistake, the sums side by side, the smallest layer, the boundary."""

from __future__ import annotations

from collections.abc import Iterator

from convgrad_cli.findings import Check, Diagnosis, Fault
from convgrad_cli.render.names import LETTERS, TITLES
from convgrad_cli.render.style import SENTENCE
from convgrad_cli.safe import safe

Line = tuple[str, str]  # a label and its text


def lines(check: Check) -> Iterator[Line]:
    """What `check` says beyond the verdicts, in labelled lines; a line that goes on has the label ""."""
    yield from _classes(check)
    if check.diagnosis is not None:
        yield from _diagnosed(check.diagnosis)


def _diagnosed(found: Diagnosis) -> Iterator[Line]:
    for drawn in found.maps:
        many = sum(row.count("#") for row in drawn.rows)
        yield "where", f"{TITLES[drawn.tensor]}: {drawn.pattern}"
        if 0 < many < sum(map(len, drawn.rows)) and len(drawn.rows) > 1:
            yield "", f"{drawn.label} on {found.layer}; # is wrong"
            yield from (("", f"  {' '.join(row)}") for row in drawn.rows)
    yield from _faults(found)
    for one in found.recovered:
        letter = LETTERS[one.tensor].removesuffix(".grad")
        yield "right", f"{letter}[{','.join(map(str, one.index))}] = {one.right}"
        yield "yours", f"{letter}[{','.join(map(str, one.index))}] = {one.yours}"
        yield "", one.difference
        if one.layer != found.layer:
            yield "", f"of {one.layer}, whose terms are few enough to be read out"
    for text in found.hidden:
        tensor, _, why = text.partition(": ")
        yield "unknown", f"{TITLES[tensor]}: {safe(why, SENTENCE)}"
    if found.boundary:
        yield "when", "; ".join(found.boundary)
    if found.smallest:
        yield "smallest", safe(found.smallest, SENTENCE)
    if found.calls:
        yield "calls", f"{found.calls:,} to the code, to find this out"


def _faults(found: Diagnosis) -> Iterator[Line]:
    """Each mistake once, with all the tensors that it spoils."""
    together: dict[tuple[str, str], list[str]] = {}
    for fault in found.faults:
        concept = f"about {fault.concept}" if fault.words else ""
        together.setdefault((said(fault), concept), []).append(TITLES[fault.tensor])
    for (words, concept), titles in together.items():
        yield "mistake", f"{', '.join(titles)}: {words}"
        if concept:
            yield "", concept


def said(fault: Fault) -> str:
    """The mistake in one sentence."""
    if not fault.words:
        return f"it is about {fault.concept}"
    words = f"equals the reference {fault.words}" if fault.equals else fault.words
    also = f" (or {', or '.join(fault.others)})" if fault.others else ""
    return f"{words}{also} [{', '.join(fault.kinds)}]"


def _classes(check: Check) -> Iterator[Line]:
    """Like a grader: the classes of layers that are right in one run, each that is not in a line of its own."""
    bad = [one for one in check.classes if one.outcome != "PASS"]
    good = [one.name for one in check.classes if one.outcome == "PASS"]
    if good:
        yield "layers", f"right on {len(good)} of {len(check.classes)} classes: {'; '.join(good)}"
    together: dict[str, list[str]] = {}
    details: dict[str, str] = {}
    for one in bad:  # of those that raised the same, with other sizes in the message, the first is quoted
        what = ", ".join(TITLES[name] for name in one.tensors) or safe(one.detail, SENTENCE)
        key = f"{one.outcome} {what.partition(': ')[0]}"
        details.setdefault(key, f"{one.outcome}  {what}")
        together.setdefault(key, []).append(one.name)
    for number, (key, names) in enumerate(together.items()):
        yield ("" if good or number else "layers"), f"{details[key]}: {'; '.join(names)}"
