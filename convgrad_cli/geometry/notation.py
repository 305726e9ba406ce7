"""How people write a layer: sizes such as 3x224x224, element names, and PyTorch's own notation. Parsed, never run."""

from __future__ import annotations

import ast
import re
from operator import index
from typing import Any

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import PADDING_WORDS
from convgrad_cli.safe import safe

LONGEST = 1000  # characters; no layer needs more, and a parser should never meet them
ELEMENTS = ("input", "weight", "bias", "output")
_NAMES = {"y": "output", "output": "output"}
_NAMES |= {
    alias: name
    for name in ELEMENTS[:3]
    for plain in (name, LETTERS[name])
    for alias in (plain, f"grad_{plain}", f"{plain}.grad")
}
_SECOND = dict.fromkeys(("g", "grad_output", "grad_grad_output", "g.grad", "grad_g"), "grad_output")

_SHARED = ["in_channels", "out_channels", "kernel_size", "stride", "padding"]
_ARGUMENTS = {
    False: [*_SHARED, "dilation", "groups", "bias", "padding_mode"],
    True: [*_SHARED, "output_padding", "groups", "bias", "dilation", "padding_mode"],
}
_NAMED = re.compile(r"^\s*\(\w+\):")
_NUMBER = re.compile(r"[+-]?\d{1,9}")


def parse_sizes(text: str, option: str) -> int | tuple[int, ...]:
    """`3`, `3x4` or `2x3x4`; commas are understood too. One number stays a plain int, for all axes."""
    parts = [part.strip() for part in re.split(r"[x,×*]", text.lower())]
    if any(re.fullmatch(r"[+-]?\d{10,}", part) for part in parts):
        raise SpecError(f"{option} {safe(text)!r} is too large; a size is below 10^9")
    if not all(_NUMBER.fullmatch(part) for part in parts):
        raise SpecError(f"{option} {safe(text)!r} is not a size; write {option} 3, or 3x4 with one number an axis")
    numbers = tuple(int(part) for part in parts)
    return numbers[0] if len(numbers) == 1 else numbers


def parse_padding(text: str) -> int | str | tuple[int | tuple[int, int], ...]:
    """`1`, `1x2`, `same`, `valid`, `full`, or with `before:after` where the two ends differ: `0:1x2`."""
    word = text.strip().lower()
    if word in PADDING_WORDS:
        return word
    if ":" not in word:
        try:
            return parse_sizes(word, "--padding")
        except SpecError:
            raise SpecError(
                f"--padding {safe(text)!r} is neither a number, HxW, before:after, nor {', '.join(PADDING_WORDS)}"
            ) from None
    pairs = []
    for part in word.split("x"):
        ends = part.split(":")
        if len(ends) > 2 or not all(_NUMBER.fullmatch(end) for end in ends):
            raise SpecError(f"--padding {safe(text)!r}: write before:after for an axis, such as 0:1 or 0:1x2:2")
        pairs.append((int(ends[0]), int(ends[-1])))
    return tuple(pairs)


def parse_element(text: str, *, second_order: bool = False) -> tuple[str, tuple[int, ...]]:
    """`weight:0,0,0,1`, `w[0,0,0,1]`, `w:0,0,0,1` or `x.grad[0,0,1,1]` as ("weight", (0, 0, 0, 1)).

    With `second_order` also `g:0,0,0,1`, an element of the gradient of grad_output.
    """
    names = _NAMES | (_SECOND if second_order else {})
    match = re.fullmatch(r"\s*([a-z_.]+)\s*(?::|\[)\s*([\d\s,]*?)\s*,?\s*\]?\s*", text.lower())
    if not match or match[1] not in names:
        known = "g, w or x" if second_order else "input, weight, bias or output"
        if match and match[1] in _SECOND:
            raise SpecError(f"--at {safe(text)!r} is an element of the second order; add --second-order")
        raise SpecError(f"--at {safe(text)!r} names no element; write {known}: weight:0,0,0,1")
    parts = [part.strip() for part in match[2].split(",")]
    if not all(re.fullmatch(r"\d{1,9}", part) for part in parts):
        raise SpecError(f"--at {safe(text)!r} needs an index, one number an axis: weight:0,0,0,1")
    return names[match[1]], tuple(int(part) for part in parts)


def plain_element(operand: Any, at: Any, *, second_order: bool = False) -> tuple[str, tuple[int, ...]]:
    """`operand` by any name it has in a report, with its index `at` as ints: ("weight", (0, 0, 0, 1))."""
    names = _NAMES | (_SECOND if second_order else {})
    if not isinstance(operand, str) or operand not in names:
        known = "input, weight, bias and output have one"
        raise SpecError(f"{safe(repr(operand), 60)} has no formula; {known}")
    try:
        return names[operand], tuple(index(part) for part in at)
    except TypeError:
        raise SpecError(
            f"an index is a whole number for each axis of {operand}, not {safe(repr(at), 60)}; write (0, 0, 0, 1)"
        ) from None


def parse_layer(text: str) -> dict[str, Any]:
    """The keywords of `make_spec` that `Conv2d(3, 4, (2, 2), stride=2)` stands for; bias is True unless it says so."""
    try:
        if len(text) > LONGEST:
            raise SyntaxError
        # As in a printed model, where the name of the module stands before it: (conv1): Conv2d(3, 64, ...)
        call = ast.parse(_NAMED.sub("", text).strip(), mode="eval").body
        if not isinstance(call, ast.Call):
            raise SyntaxError
        name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id  # type: ignore[attr-defined]
        positional = [_value(argument) for argument in call.args]
        named = {str(keyword.arg): _value(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, AttributeError, RecursionError, MemoryError, TypeError):
        raise SpecError(
            f"--layer {safe(text)!r} is not a layer; write it as PyTorch does: Conv2d(3, 4, (2, 2))"
        ) from None
    match = re.fullmatch(r"Conv(Transpose)?([123])d", name)
    if not match:
        raise SpecError(f"--layer {safe(name)!r} is not one of Conv1d, Conv2d, Conv3d, ConvTranspose1d, 2d, 3d")
    order = _ARGUMENTS[bool(match[1])]
    if len(positional) > len(order):
        raise SpecError(f"--layer {name} takes at most {len(order)} arguments, not {len(positional)}")
    given = dict(zip(order, positional, strict=False))
    unknown = [key for key in named if key not in order]
    twice = [key for key in named if key in given]
    missing = [key for key in order[:3] if key not in given and key not in named]
    if unknown:
        raise SpecError(f"--layer {name} has no argument {safe(unknown[0])!r}; it knows {', '.join(order)}")
    if twice or missing:
        raise SpecError(f"--layer {name}: {(twice or missing)[0]} is given {'twice' if twice else 'nowhere'}")
    settings = {"bias": True, **given, **named}
    for key, value in settings.items():
        _check_type(name, key, value)
    return {**settings, "transposed": bool(match[1]), "dims": int(match[2])}


def _value(node: ast.expr) -> Any:
    """The literal that `node` is; PyTorch prints words without quotes: padding=same, padding_mode=reflect."""
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def _check_type(layer: str, key: str, value: Any) -> None:
    if key == "bias":
        fits = isinstance(value, bool)
    elif key == "padding_mode":
        fits = isinstance(value, str)
    elif key == "padding" and isinstance(value, str):
        fits = value in PADDING_WORDS
    else:
        single = key in ("in_channels", "out_channels", "groups")
        fits = _is_int(value) or (
            not single and isinstance(value, tuple) and len(value) > 0 and all(map(_fits_axis, value))
        )
    if not fits:
        raise SpecError(f"--layer {layer}: {key}={safe(repr(value))} is not what PyTorch takes there")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9


def _fits_axis(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, tuple) and len(value) == 2 and all(map(_is_int, value)))
