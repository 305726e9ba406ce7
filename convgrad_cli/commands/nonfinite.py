"""Where NaN and infinities come from, as plain data: entries of operands, what they reach, and why elements are odd."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import isfinite

import torch

from convgrad_cli.commands.describe import plain_number
from convgrad_cli.findings import NonFinite, OddElements, OddEntry, ReachedTensor
from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.reach import reach
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.files import Numbers
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.tensors.sources import Source
from convgrad_cli.verdict.nonfinite import Cause, Term, cause_of, first_odd, values

ENTRIES = 3  # of each operand that are told with what they reach
LOOKED = 256  # elements of each tensor that are looked into, ...
TERMS = 10**7  # ... as long as they have no more terms than this together


def nonfinite(
    spec: ConvSpec,
    operands: Operands,
    results: Mapping[str, Tensor],
    sources: Mapping[str, Source] | None = None,
    looked: int = LOOKED,
) -> NonFinite | None:
    """Where NaN and infinities of a layer come from; None where there are none.

    `results` are output and gradients by the names of operands, `sources` what the operands were made of.
    """
    counts, entries = [], []
    for name in ("input", "weight", "bias", "grad_output"):
        tensor = getattr(operands, name)
        nans, infinities, places = (0, 0, []) if tensor is None else first_odd(tensor, ENTRIES)
        if places:
            counts.append((name, nans, infinities, tensor.numel()))
            entries += [_entry(spec, name, at, operands, (sources or {}).get(name), set(results)) for at in places]
    letters = operands.letters(spec)
    elements = [
        one for name, tensor in results.items() for one in _elements(spec, name, tensor, letters, operands.ones, looked)
    ]
    return NonFinite(tuple(counts), tuple(entries), tuple(elements)) if counts or elements else None


def element_nonfinite(
    spec: ConvSpec,
    operand: str,
    index: tuple[int, ...],
    operands: Operands,
    value: float,
    sources: Mapping[str, Source] | None = None,
) -> NonFinite | None:
    """The same for one element, at the cost of its own terms: the entries are those of the term that makes it so."""
    if isfinite(value):
        return None
    letters, found = operands.letters(spec), formula(spec, operand, index, ones=operands.ones)
    cause = cause_of(found, letters, operands.weight.dtype)
    names = {letter: name for name, letter in LETTERS.items()}
    odd = {(names[letter], at): None for term in cause.terms for letter, at in term if names[letter] != "padded_input"}
    entries = [
        _entry(spec, name, at, operands, (sources or {}).get(name), {operand})
        for name, at in odd
        if not bool(getattr(operands, name)[at].isfinite())
    ]
    told = OddElements(_tensor(operand), 1, 1, cause.kind, index, value, _reason(cause, letters, operands.weight.dtype))
    return NonFinite((), tuple(entries), (told,))


def _entry(
    spec: ConvSpec, name: str, index: tuple[int, ...], operands: Operands, source: Source | None, into: Collection[str]
) -> OddEntry:
    given = float(source.array[index]) if isinstance(source, Numbers) else float("inf")
    reaches = []
    for one in reach(spec, name, index, listed=1):
        if one.tensor in into:
            terms = tuple(_by(name, index, other, operands.ones) for _, other in one.met)
            reaches.append(ReachedTensor(_tensor(one.tensor), one.count, one.of, terms))
    value = plain_number(getattr(operands, name)[index])
    return OddEntry(name, index, value, given if isfinite(given) else None, tuple(reaches))


def _by(name: str, index: tuple[int, ...], other: tuple[str, tuple[int, ...]] | None, ones: bool) -> str:
    """The term of two entries; g is left out where it is 1 everywhere."""
    own = _indexed(LETTERS[name], index)
    return own if other is None or (ones and other[0] == "g") else f"{own} * {_indexed(*other)}"


def _elements(
    spec: ConvSpec, name: str, tensor: Tensor, letters: dict[str, Tensor], ones: bool, looked: int
) -> list[OddElements]:
    """Those of one tensor, by cause and value; the first `looked` of them are looked into, as far as that is cheap."""
    nans, infinities, places = first_odd(tensor, looked)
    found: dict[tuple[str, str], OddElements] = {}
    seen = terms = 0
    for index in places:
        one = formula(spec, name, index, ones=ones)
        terms += one.count
        if seen and terms > TERMS:
            break
        seen += 1
        cause, value = cause_of(one, letters, tensor.dtype), plain_number(tensor[index])
        key = cause.kind, repr(value)
        if key not in found:
            reason = _reason(cause, letters, tensor.dtype)
            found[key] = OddElements(_tensor(name), 0, tensor.numel(), cause.kind, index, value, reason)
        found[key] = replace(found[key], count=found[key].count + 1)
    rest = nans + infinities - seen
    if rest:
        found["", ""] = OddElements(_tensor(name), rest, tensor.numel(), "", (), float("nan"), "")
    return list(found.values())


def _reason(cause: Cause, letters: dict[str, Tensor], dtype: torch.dtype) -> str:
    """Why, with the numbers, as a sentence that begins with its verb."""
    largest = f"{str(dtype).removeprefix('torch.')}'s largest number, {torch.finfo(dtype).max:.5g}"
    shown, total = [_term(term, letters) for term in cause.terms], f"{cause.value:.6g}"
    if cause.kind in ("nan", "inf"):
        return f"has the term {shown[0]}"
    if cause.kind == "inf * 0":
        return f"has the term {shown[0]}, which is NaN"
    if cause.kind == "inf - inf":
        return f"adds {shown[0]} and {shown[1]}, which is NaN"
    if cause.kind == "term":
        return f"has the term {shown[0]}: finite numbers with a product beyond {largest}"
    if cause.kind == "sum":
        return f"sums finite terms to {total}, beyond {largest}"
    if cause.kind == "cast":
        return f"sums finite terms to {total}, which float32 can hold; the cast of that is beyond {largest}"
    if cause.kind == "partial":
        return f"sums to {total}, but terms of both signs to {cause.magnitude:.6g}: a part of them is beyond {largest}"
    return f"sums finite terms to {total}: others were mixed in, as Winograd's and FFT algorithms do"


def _term(term: Term, letters: dict[str, Tensor]) -> str:
    names = " * ".join(_indexed(letter, at) for letter, at in term)
    return f"{names} = {' * '.join(f'{number:.6g}' for number in values(term, letters))}"


def _indexed(letter: str, index: tuple[int, ...]) -> str:
    return f"{letter}[{','.join(map(str, index))}]"


def _tensor(operand: str) -> str:
    return operand if operand == "output" else f"grad_{operand}"
