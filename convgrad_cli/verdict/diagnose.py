"""From a wrong gradient to its mistake: the named formula, what is really summed, the smallest layer, the boundary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import floor, log2, prod
from time import perf_counter

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.conditions import UNTOUCHED
from convgrad_cli.verdict.examine import Examination
from convgrad_cli.verdict.faults import ROUNDED, Bench, Hypothesis, hypotheses, words_of
from convgrad_cli.verdict.layers import MOST, classes, features, smaller
from convgrad_cli.verdict.readout import NotRead, Recovered, recover

SHRINK_SECONDS = 5.0
HARDLY = 1 / 32  # of the largest element: an error that rounding can explain, and hardly a wrong term
GROWS = 1e-3  # of the largest element: what a large sum below loses of it
KINDS = {  # the class of what fails under a condition only
    "repeat": ("F11", "differs between two calls with the same numbers"),
    "stride-0": ("F12", "is wrong where g is one number with stride 0, as y.sum().backward() hands it over"),
    "only ": ("F16", "depends on which other gradients are asked for"),
    "buffers": ("F10", "reads a buffer that was not cleared"),
    "gradients already": ("F10", "does not add to the gradient that is there"),
}


@dataclass(frozen=True)
class Named:
    """The mistake in one tensor: its classes and words, of which `words` complete "equals the reference ...".

    `equals`: bit for bit; else the words say it themselves. `others`: what no layer that could be run tells from it.
    """

    operand: str
    kinds: tuple[str, ...]
    words: str
    equals: bool = True
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong: a name for each wrong tensor that has one, where, the sums computed, the smallest layer.

    `wrong` holds the mask of wrong elements of each wrong tensor on `shown`, the layer that was studied.
    """

    named: tuple[Named, ...]
    shown: ConvSpec
    wrong: Mapping[str, Tensor]
    recovered: tuple[Recovered, ...]
    hidden: Mapping[str, str]  # why the terms of a tensor could not be read
    smallest: ConvSpec | None
    boundary: tuple[str, ...]
    calls: int


@dataclass(frozen=True)
class Graded:
    """How code did on one class of layers: the tensors that are wrong, or why it takes none of them."""

    name: str
    spec: ConvSpec
    wrong: tuple[str, ...]
    refused: str = ""


def grade(bench: Bench, spec: ConvSpec, seconds: float = 12.0) -> tuple[Graded, ...]:
    """Every class of layers that there is time for, exact integers on each."""
    begun, found = perf_counter(), []
    for name, one in classes(spec).items():
        if perf_counter() - begun > seconds:
            break
        if not bench.takes(one):
            continue
        asked = bench.ask(one)
        found.append(Graded(name, one, asked.wrong if asked else (), "" if asked else bench.refused[one]))
    return tuple(found)


def diagnose(bench: Bench, spec: ConvSpec, found: Examination) -> Diagnosis | None:
    """What is wrong with a target that failed; None where nothing is, or nothing can be asked."""
    if found.verdict != "FAIL" or not bench.target.callable:
        return None
    study = _studied(bench, spec)
    asked = bench.ask(study)
    wrong = asked.wrong if asked else ()
    named, guesses = [], {}
    for name in wrong:
        if asked and name in asked.misshapen:
            named.append(Named(name, ("F1",), _shape_words(study, name, asked.misshapen[name]), equals=False))
            continue
        guesses[name] = hypotheses(bench, study, name)
        if guesses[name] and asked:
            told = [words_of(bench, study, name, guess) for guess in guesses[name]]
            equals = guesses[name][0].factor != ROUNDED
            said = list(dict.fromkeys(words if equals else f"fits the reference {words}" for _, words in told))
            named.append(Named(name, told[0][0], said[0], equals, tuple(said[1:])))
        elif asked:
            named += _unsteady(bench, study, name)
    named += [one for one in _other_faults(found) if one.operand not in wrong]
    masks = {n: asked.actual[n] != asked.right[n] for n in wrong if asked and n in asked.actual}
    smallest = _shrunk(bench, study, wrong, guesses) if wrong else None
    boundary = _boundary(bench, study, wrong) if wrong else ()
    recovered, hidden = _recovered(bench, [one for one in (study, smallest) if one], tuple(masks))
    return Diagnosis(tuple(named), study, masks, recovered, hidden, smallest, boundary, bench.calls)


def _unsteady(bench: Bench, spec: ConvSpec, name: str) -> Iterable[Named]:
    """What two more calls with the same numbers show of a tensor that no formula explains."""
    first = bench.ask(spec)
    one, two = (bench.call(spec, first.operands) if first else None for _ in range(2))
    if one is None or two is None or name not in one.actual or name not in two.actual:
        return
    grown, right = two.actual[name] - one.actual[name], one.right[name]
    if not bool(grown.any()):
        off = float(((one.actual[name] - right).abs().max() / right.abs().max()).nan_to_num(nan=1.0))
        if 0 < off < HARDLY:
            bits = floor(-log2(off))
            said = f"fits sums that are rounded on the way, to about {bits} bits"
            yield Named(name, ("F14",), said, equals=False)
        return
    if bool(((grown - right).abs() <= GROWS * right.abs().max()).all()):
        said = "grows by the reference with every call: the buffer is not cleared between calls"
        yield Named(name, ("F10",), said, equals=False)
    else:
        yield Named(name, ("F11",), "differs between two calls with the same numbers", equals=False)


def _studied(bench: Bench, spec: ConvSpec) -> ConvSpec:
    """`spec`, or one that is small enough to be asked often and still wrong."""
    for _ in range(40):
        if spec.macs <= MOST:
            return spec
        asked = bench.ask(spec)
        wrong = asked.wrong if asked else ()
        for other in sorted(smaller(spec), key=lambda one: one.macs < MOST / 4):
            if other.macs < 0.7 * spec.macs:
                answer = bench.ask(other)
                if answer and answer.wrong == wrong:
                    spec = other
                    break
        else:
            return spec
    return spec


def _other_faults(found: Examination) -> Iterable[Named]:
    """Faults of the arithmetic, and those that only a condition shows."""
    for one in found.judged:
        if one.verdict == "FAIL":
            yield Named(one.operand, ("F14",), one.reason, equals=False)
    failed = {one.operand for one in found.judged if one.verdict == "FAIL"}
    for tried in found.conditions:
        if tried.name == UNTOUCHED:
            continue
        key = next((name for name in KINDS if tried.name.startswith(name)), "")
        kind, words = KINDS.get(key, ("F12", f"is wrong with {tried.name}"))
        if tried.name.startswith(("batch", "channels ", "in_channels", "out_channels")):
            kind, words = "F15", f"is wrong with {tried.name}"
        for operand in tried.tensors:
            if operand not in failed and not tried.refused:
                failed.add(operand)
                yield Named(operand, (kind,), words, equals=False)


def _shape_words(spec: ConvSpec, name: str, shape: tuple[int, ...]) -> str:
    right = spec.shape_of(name)
    pads = [sum(pair) for pair in spec.padding]
    space, wanted = shape[-spec.dims :], right[-spec.dims :]
    rests = [(n + p - e) % s for n, p, e, s in zip(spec.input_size, pads, spec.kernel_extent, spec.stride, strict=True)]
    if len(shape) != len(right):
        return f"has {len(shape)} axes, not {len(right)}"
    if name == "input" and any(pads) and space == tuple(n + p for n, p in zip(wanted, pads, strict=False)):
        return "has the size of the padded input: the padding is not cropped"
    if name == "input" and any(rests) and space == tuple(n - r for n, r in zip(wanted, rests, strict=False)):
        return "lacks the remainder of the stride: rows that no placement reaches, whose gradient is 0"
    if sorted(shape) == sorted(right):
        return "has its axes in another order"
    return f"has the shape {'x'.join(map(str, shape))}, not {'x'.join(map(str, right))}"


def _shrunk(bench: Bench, spec: ConvSpec, wrong: tuple[str, ...], guesses: Mapping[str, list[Hypothesis]]) -> ConvSpec:
    """The smallest layer that the steps of `smaller` lead to with the fault still the same one."""

    def same(other: ConvSpec) -> bool:
        asked = bench.ask(other)
        if asked is None or not asked.wrong:
            return False
        first = wrong[0]
        if guesses.get(first):
            return first in asked.wrong and guesses[first][0].holds(asked, first)
        return asked.wrong == wrong

    begun = perf_counter()
    while perf_counter() - begun < SHRINK_SECONDS:
        step = next((other for other in smaller(spec) if _size(other) < _size(spec) and same(other)), None)
        if step is None or perf_counter() - begun > SHRINK_SECONDS:
            return step or spec
        spec = step
    return spec


def _size(spec: ConvSpec) -> tuple[int, ...]:
    """What a smaller layer has less of."""
    entries = sum(prod(spec.shape_of(name)) for name in ("input", "weight", "output"))
    settings = sum(spec.stride) + sum(spec.dilation) + sum(map(sum, spec.padding)) + spec.groups + spec.bias
    return (entries + 3 * settings + sum(spec.output_padding),)


def _boundary(bench: Bench, spec: ConvSpec, wrong: tuple[str, ...]) -> tuple[str, ...]:
    """What sets the layers apart on which the first wrong tensor is wrong, of all that were asked about."""
    grade(bench, spec, seconds=4.0)
    first = wrong[0]
    seen = [(features(asked.spec), first in asked.wrong) for asked in bench.answers()]
    bad, good = [f for f, is_wrong in seen if is_wrong], [f for f, is_wrong in seen if not is_wrong]
    if not good:
        return (f"wrong on each of the {len(seen)} layers that were tried",)
    always = [name for name in seen[0][0] if all(f[name] for f in bad)]
    exact = [name for name in always if not any(f[name] for f in good)]
    if exact:
        return (f"right whenever {_negated(exact[0])}", f"wrong on each of the {len(bad)} layers with {exact[0]}")
    for one, two in combinations(always, 2):
        if not any(f[one] and f[two] for f in good):
            said = f"right whenever {_negated(one)} or {_negated(two)}"
            return (said, f"wrong on each of the {len(bad)} layers with {one} and {two}")
    told = sorted(always, key=lambda name: sum(f[name] for f in good))
    return tuple(f"wrong only if {name}" for name in told[:2] if sum(f[name] for f in good) < len(good))


def _negated(name: str) -> str:
    for said, other in ((" > 1", " = 1"), (" > 0", " = 0"), (" != ", " = "), (" >= ", " < ")):
        if said in name:
            return name.replace(said, other)
    if " is not " in name:
        return name.replace(" is not ", " is ")
    if "differs" in name:
        return name.replace("differs between axes", "is the same on all axes")
    return f"not {name}"


def _recovered(
    bench: Bench, specs: list[ConvSpec], names: tuple[str, ...]
) -> tuple[tuple[Recovered, ...], Mapping[str, str]]:
    found: list[Recovered] = []
    hidden: dict[str, str] = {}
    for name in names:
        for spec in dict.fromkeys(specs):
            try:
                found.append(recover(bench, spec, name))
                hidden.pop(name, None)
                break
            except NotRead as why:
                hidden[name] = str(why)
    return tuple(found), hidden
