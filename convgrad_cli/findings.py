"""Findings: what `check` found, as frozen plain data: verdicts, conditions, and which mistake it is.

A Report holds one Check. Like a report it holds no tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

from convgrad_cli.errors import DIFFERS, OK, REFUSED, UNDECIDED

STATUS = {"PASS": OK, "FAIL": DIFFERS, "SUSPECT": UNDECIDED, "MISTRUSTED": UNDECIDED, "ERROR": REFUSED}
"""The exit status of each verdict; ERROR: the code under test gave nothing to judge under some condition."""


@dataclass(frozen=True)
class Finding:
    """What one probe or one condition showed: `outcome` is a verdict, `detail` says why it is not PASS.

    `tensors` are the tensors that are not right there.
    """

    name: str
    outcome: str
    detail: str = ""
    tensors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether one tensor of the code under test is right, and how that is known.

    `elements` were judged on the real data, `wrong` of them proved wrong; `ratio` is the largest error there in units
    of its bound, at index `worst`. `probes` were exact or not for this tensor. `arithmetic` is the narrowest one that
    explains every element ("" if none does), `bits` the effective bits of the worst element. `pattern` says in one
    line which elements are wrong.
    """

    tensor: str
    verdict: str
    reason: str
    elements: int
    wrong: int
    ratio: float
    worst: tuple[int, ...] | None
    probes: tuple[Finding, ...] = ()
    arithmetic: str = ""
    bits: float | None = None
    pattern: str = ""


@dataclass(frozen=True)
class Fault:
    """The mistake in one tensor.

    `kinds` are its classes (F1 to F16 of the catalogue, F0 for what only hand-written code does), `concept` what it is
    about. With `equals`, "the reference <words>" reproduces the wrong tensor bit for bit. `others`: formulas that no
    layer which the code takes tells from it.
    """

    tensor: str
    kinds: tuple[str, ...]
    words: str
    concept: str
    equals: bool = True
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class ErrorMap:
    """Which elements of one plane of a tensor are wrong: a row of "#" (wrong) and "." (right) for each of its rows."""

    tensor: str
    label: str
    pattern: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Recovery:
    """One wrong element: the right slice sum, the one that the code really computes, and how their terms differ.

    `layer` is the one that it is an element of: where the layer of the report has too many terms, a smaller one.
    """

    tensor: str
    index: tuple[int, ...]
    right: str
    yours: str
    difference: str
    layer: str


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with code that failed: where, which mistake, what it sums, the smallest layer that shows it.

    `layer` is the one on which `maps` and most of `faults` were found, `smallest` a command that shows the same fault,
    `boundary` where it appears, `hidden` what could not be found out, and why, `calls` how often the code was asked.
    """

    layer: str
    maps: tuple[ErrorMap, ...] = ()
    faults: tuple[Fault, ...] = ()
    recovered: tuple[Recovery, ...] = ()
    hidden: tuple[str, ...] = ()
    smallest: str = ""
    boundary: tuple[str, ...] = ()
    calls: int = 0


@dataclass(frozen=True)
class Check:
    """What `check` found of one target: `verdict` overall, one for each tensor, and what was not checked.

    `classes`: how it did on classes of layers, where none was asked for. `diagnosis`: which mistake it is, on FAIL.
    """

    target: str
    verdict: str
    reason: str
    arithmetic: str
    verdicts: tuple[Verdict, ...]
    conditions: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()
    classes: tuple[Finding, ...] = ()
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True)
class ReachedTensor:
    """That an entry has a part in `elements` of the `of` elements of `tensor`; `terms` are its first ones there."""

    tensor: str
    elements: int
    of: int
    terms: tuple[str, ...]


@dataclass(frozen=True)
class OddEntry:
    """An entry of an operand that is not finite, and what it reaches.

    `given` is the finite number that stood there before a cast to the operand's dtype, where that is why.
    """

    operand: str
    index: tuple[int, ...]
    value: float
    given: float | None
    reaches: tuple[ReachedTensor, ...]


@dataclass(frozen=True)
class OddElements:
    """`count` elements of `tensor` that are not finite for the same `cause`, the first of them at `index`.

    `reason` says in words why that one is, with the numbers. A `cause` of "" stands for those not looked into.
    """

    tensor: str
    count: int
    of: int
    cause: str
    index: tuple[int, ...]
    value: float
    reason: str


@dataclass(frozen=True)
class NonFinite:
    """Where NaN and infinities come from: the first entries of operands, how many there are, and what became of them.

    `counts` says for each operand that has some how many of its entries are NaN, how many infinite, and of how many.
    """

    counts: tuple[tuple[str, int, int, int], ...]
    entries: tuple[OddEntry, ...]
    elements: tuple[OddElements, ...]
