"""Numbers as nested lists: .json files, inline values that start with [, and the tensors of convgrad's own reports."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from convgrad_cli.errors import SourceError
from convgrad_cli.safe import safe
from convgrad_cli.tensors.numbers import Numbers, check_shape, choose, join_name, make_numbers, refuse_key, refuse_twice
from convgrad_cli.tensors.text import parse_number, place

if TYPE_CHECKING:
    from convgrad_cli.tensors.numbers import Array

DEPTH = 64  # brackets; Python's reader recurses, and a report needs fewer than ten
NONFINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
DTYPES = {"float16": "float16", "float32": "float32", "float64": "float64", "bfloat16": "float32"}

# The closing quote is optional, so that a string without one is passed once and not tried again from every character.
_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def read_json(text: str, key: str | None, where: str) -> Numbers:
    """The array that `text` is, or the one of its arrays that `key` names.

    A list (or a tensor object {"shape", "dtype", "values"}) is the array itself; an object holds arrays under names,
    with dots where objects are nested. Numbers are float64; the strings "NaN", "Infinity" and "-Infinity" are numbers.
    """
    value = _parse(text, where)
    if not isinstance(value, dict) or _is_tensor(value):
        refuse_key(key, where)
        return _to_numbers(value, where)
    arrays = sorted(_arrays(value, "", where), key=lambda item: not _is_tensor(item[1]))
    name = choose([name for name, _ in arrays], key, where)
    return _to_numbers(dict(arrays)[name], f"{where}::{safe(name)}")


def _parse(text: str, where: str) -> Any:
    """The document, every number in it a float."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > DEPTH:
            raise SourceError(
                f"{where} nests more than {DEPTH} brackets at {place(text, match.start())}; "
                "a tensor is a list of at most 5 nested lists"
            )

    def number(literal: str) -> float:
        try:
            return parse_number(literal)
        except ValueError as error:
            at = place(text, text.find(literal))
            raise SourceError(f"{where} {at}: {safe(literal, 40)!r} {error}") from None

    def word(literal: str) -> float:
        at = place(text, text.find(literal))
        raise SourceError(f'{where} {at}: {literal} is not a number in JSON; write "{literal}" in quotes')

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        refuse_twice([name for name, _ in pairs], "entries", where)
        return dict(pairs)

    try:
        return json.loads(text, parse_int=number, parse_float=number, parse_constant=word, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise SourceError(
            f"{where} line {error.lineno}, column {error.colno}: not JSON ({error.msg}); write lists: [[1, 2], [3, 4]]"
        ) from None


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and {"shape", "dtype", "values"} <= value.keys()


def _arrays(value: dict[str, Any], outer: str, where: str) -> Iterator[tuple[str, Any]]:
    """The tensor objects and the lists of numbers in an object, with their dotted names."""
    for key, item in value.items():
        first = item
        while isinstance(first, list) and first:
            first = first[0]
        if _is_tensor(item) or (isinstance(item, list) and (isinstance(first, float) or _is_word(first))):
            yield join_name(outer, key, where), item
        elif isinstance(item, dict):
            yield from _arrays(item, join_name(outer, key, where), where)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value in NONFINITE


def _to_numbers(value: Any, where: str) -> Numbers:
    if not _is_tensor(value):
        return make_numbers(_flatten(value, where), where)
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise SourceError(f"{where} has dtype {safe(str(dtype), 40)!r}; one of {', '.join(DTYPES)} can be read")
    values = _flatten(value["values"], where)
    if value["shape"] != list(values.shape):
        raise SourceError(f"{where} has a shape other than {list(values.shape)}, that of its values; correct it")
    return make_numbers(_round(values, dtype, where), where, dtype)


def _round(values: Array, dtype: str, where: str) -> Array:
    import numpy

    with numpy.errstate(over="ignore"):
        rounded = values.astype(DTYPES[dtype])
    if dtype == "bfloat16":
        import torch

        rounded = torch.from_numpy(rounded).to(torch.bfloat16).float().numpy()
    if (numpy.isinf(rounded) & ~numpy.isinf(values)).any():
        raise SourceError(f"{where} has numbers too large for its dtype {dtype}; give it dtype float64")
    return rounded


def _flatten(value: Any, where: str) -> Array:
    """Nested lists of equal lengths as a float64 array; a single number has shape (1)."""
    import numpy

    shape: list[int] = []
    level = [value]
    while isinstance(level[0], list):
        shape.append(len(level[0]))
        for i, item in enumerate(level):
            if not isinstance(item, list) or len(item) != shape[-1]:
                found = f"has length {len(item)}" if isinstance(item, list) else "is not a list"
                raise SourceError(
                    f"{where}: {_element(i, shape[:-1])} {found}, {_element(0, shape[:-1])} has length {shape[-1]}; "
                    "lists side by side need the same length"
                )
        check_shape(shape, 8, where)
        level = [entry for item in level for entry in item]
    numbers = array("d")
    for i, entry in enumerate(level):
        if not isinstance(entry, float) and not _is_word(entry):
            shown = safe(json.dumps(entry), 40)
            raise SourceError(
                f'{where}: {_element(i, shape)} is {shown}, not a number; write a number, "NaN" or "Infinity"'
            )
        numbers.append(NONFINITE[entry] if isinstance(entry, str) else entry)
    return numpy.frombuffer(numbers, numpy.float64).reshape(shape or (1,))


def _element(index: int, shape: list[int]) -> str:
    """The entry [i][j]... that is number `index` in row-major order."""
    parts = []
    for size in reversed(shape):
        index, part = divmod(index, size)
        parts.append(f"[{part}]")
    return "entry " + "".join(reversed(parts)) if parts else "the outer list"
