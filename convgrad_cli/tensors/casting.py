"""Given numbers in the dtype of a problem, and in words what that dtype cannot say of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from convgrad_cli.tensors.numbers import Numbers

if TYPE_CHECKING:
    import torch

    from convgrad_cli.tensors.numbers import Array

COUNTED = 2.0**53  # from here on float64 leaves out whole numbers as well
BLOCK = 1 << 22  # entries looked at together, so that looking takes little memory


def cast(numbers: Numbers, letter: str, dtype: torch.dtype) -> tuple[torch.Tensor, list[str]]:
    """`numbers` as a tensor of `dtype`, and what is lost: each in one sentence with how many and the first place.

    A fraction rounded to the nearest of its dtype is no loss; where all are whole, a number that is another one is.
    """
    import numpy
    import torch

    made = torch.tensor(numbers.array).to(dtype)
    found: dict[str, list[int]] = {}  # what happened: how often, and first where
    given, kept = numbers.array.reshape(-1), made.reshape(-1)
    for start in range(0, len(given), BLOCK):
        block = slice(start, start + BLOCK)
        for what, mask in _losses(given[block], kept[block].double().numpy()):
            if mask.any():
                found.setdefault(what, [0, start + int(mask.argmax())])[0] += int(mask.sum())
    if found.pop("fraction", None):  # rounded like any other
        found.pop("whole", None)
    name = str(dtype).removeprefix("torch.")
    said = []
    for what, (count, first) in found.items():
        at = ",".join(map(str, numpy.unravel_index(first, numbers.array.shape)))
        plain = given.dtype.kind != "f" or what == "whole"
        number = str(int(given[first])) if plain else f"{given[first]:.6g}"
        place = {"letter": letter, "dtype": name, "count": f"{count:,}", "first": number, "at": f"{letter}[{at}]"}
        said.append(_SENTENCES[what].format(**place) + ("" if what in _FINAL or name == "float64" else _REPAIR))
    return made, said


_SENTENCES = {
    "odd": "{letter} is not finite at {count} of its entries, first at {at}",
    "large": "{letter} is too large for {dtype} at {count} of its entries, first {first} at {at}, and infinite there",
    "small": "{letter} is too small for {dtype} at {count} of its entries, first {first} at {at}, and 0 there",
    "whole": "{letter} holds whole numbers that {dtype} rounds, {count} of them, first {first} at {at}",
}
_FINAL = ("odd",)  # no dtype helps
_REPAIR = "; use a wider --dtype"


def _losses(given: Array, kept: Array) -> Iterator[tuple[str, Array]]:
    """What can happen to a number, and where it did; `kept` is exact in float64."""
    import numpy

    finite = numpy.isfinite(given)
    yield "odd", ~finite
    yield "large", finite & ~numpy.isfinite(kept)
    yield "small", (given != 0) & (kept == 0)
    if given.dtype.kind == "f":
        whole = given == numpy.rint(given)
        yield "fraction", finite & ~whole
        yield "whole", finite & whole & numpy.isfinite(kept) & (kept != given) & (abs(kept) < COUNTED)
    if given.dtype.kind in "iu":
        # Rounded up past its type's largest, a number does not come back to what it was: that has no defined result.
        beyond = kept >= 2.0 ** (8 * given.itemsize - (given.dtype.kind == "i"))
        with numpy.errstate(invalid="ignore"):
            yield "whole", numpy.isfinite(kept) & (beyond | (kept.astype(given.dtype) != given))
