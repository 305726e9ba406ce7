"""Where NaN and infinities come from, in sentences: entry by entry, then tensor by tensor."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

from convgrad_cli.findings import NonFinite, OddElements, OddEntry, ReachedTensor
from convgrad_cli.geometry.formula import LETTERS

TITLE = "not finite"


def sentences(found: NonFinite, dtype: str) -> list[str]:
    """Which entries of the operands are not finite and what each reaches, then which elements are not, and why."""
    said = []
    for name, nans, infinities, of in found.counts:
        listed = [entry for entry in found.entries if entry.operand == name]
        if nans + infinities > len(listed):
            kinds = [f"{nans:,} NaN" if nans else "", f"{infinities:,} infinite" if infinities else ""]
            said.append(f"{LETTERS[name]} has {' and '.join(filter(None, kinds))} of {of:,} entries; the first are")
        said += [_entry(entry, dtype) for entry in listed]
    known = {name for name, *_ in found.counts}
    said += [_entry(entry, dtype) for entry in found.entries if entry.operand not in known]
    return said + [_elements(one) for one in found.elements]


def brief(found: NonFinite) -> list[str]:
    """The same for one layer of many: for each operand the first of each kind, and for each tensor the first."""
    said = []
    for name, nans, infinities, of in found.counts:
        kinds = {value(entry.value): entry for entry in reversed(found.entries) if entry.operand == name}
        listed = [f"{_indexed(LETTERS[name], one.index)} is {kind}" for kind, one in reversed(kinds.items())]
        more = nans + infinities - len(listed)
        said.append(", ".join(listed) + (f", and {more:,} more of {of:,} entries of {LETTERS[name]}" if more else ""))
    for tensor in dict.fromkeys(one.tensor for one in found.elements):
        here = [one for one in found.elements if one.tensor == tensor]
        first, count = here[0], sum(one.count for one in here)
        if len({value(one.value) for one in here}) == 1 and first.cause:
            said.append(_elements(replace(first, count=count)))
        else:
            at = f"{_indexed(_name(tensor), first.index)} is {value(first.value)}: it {first.reason}"
            said.append(f"{count:,} of {first.of:,} elements of {_name(tensor)} are not finite; {at}")
    return said


def value(number: float) -> str:
    return "NaN" if isnan(number) else "inf" if number > 0 else "-inf"


def _entry(entry: OddEntry, dtype: str) -> str:
    cast = "" if entry.given is None else f" ({entry.given:.6g} was given, which is too large for {dtype})"
    reached = [
        f"{one.elements:,} of {one.of:,} elements of {_name(one.tensor)}{_through(one)}" for one in entry.reaches
    ]
    what = f"it reaches {', '.join(reached)}" if reached else "it reaches nothing"
    return f"{_indexed(LETTERS[entry.operand], entry.index)} is {value(entry.value)}{cast}: {what}"


def _through(one: ReachedTensor) -> str:
    """The terms, unless they are nothing but the entry itself."""
    terms = [term for term in one.terms if "*" in term]
    more = ", ..." if one.elements > len(terms) else ""
    return f" (through {', '.join(terms)}{more})" if terms else ""


def _elements(one: OddElements) -> str:
    name = _name(one.tensor)
    if not one.cause:
        return f"{one.count:,} more of {one.of:,} elements of {name} are not finite; they were not looked into"
    first = f"{_indexed(name, one.index)}"
    if one.count == 1:
        return f"{first} is {value(one.value)}: it {one.reason}"
    return f"{one.count:,} of {one.of:,} elements of {name} are {value(one.value)}: {first} {one.reason}"


def _name(tensor: str) -> str:
    letter = LETTERS[tensor.removeprefix("grad_")]
    return letter if tensor == "output" else f"{letter}.grad"


def _indexed(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{','.join(map(str, index))}]"
