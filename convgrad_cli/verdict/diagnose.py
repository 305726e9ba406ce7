"""From a wrong gradient to its mistake: the named formula, what is really summed, the smallest layer, the boundary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor, log2
from time import perf_counter

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.bounds import ARITHMETICS
from convgrad_cli.verdict.conditions import UNTOUCHED
from convgrad_cli.verdict.examine import Examination
from convgrad_cli.verdict.faults import ROUNDED, SAID, Asked, Bench, Hypothesis, hypotheses, parted, words_of
from convgrad_cli.verdict.fits import fitting
from convgrad_cli.verdict.layers import classes
from convgrad_cli.verdict.probing import OTHER_NUMBERS
from convgrad_cli.verdict.readout import NotRead, Recovered, recover
from convgrad_cli.verdict.shrink import boundary, same_fault, shrunk, simplest_fills, studied
from convgrad_cli.verdict.signature import NO_ARITHMETIC, TRANSFORM, fewer_bits, is_single, is_small

HARDLY = 1 / 32  # of the largest element: an error that rounding can explain, and hardly a wrong term
GROWS = 1e-3  # of the largest element: what a large sum below loses of it
NAMELESS = "no mistake that has a name here gives these numbers, nor do two at once"
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
    hidden: tuple[tuple[str, str], ...]  # a tensor, and what could not be found out about it
    smallest: ConvSpec | None
    fills: Mapping[str, str]  # the simplest numbers for it, by operand
    boundary: tuple[str, ...]
    calls: int


@dataclass(frozen=True)
class Graded:
    """How code did on one class of layers: the tensors that are wrong, or why it takes none of them."""

    name: str
    spec: ConvSpec
    wrong: tuple[str, ...]
    refused: str = ""


def grade(bench: Bench, spec: ConvSpec, seconds: float = 20.0) -> tuple[Graded, ...]:
    """Every class of layers that the code is meant for and there is time for, exact integers on each."""
    begun, found = perf_counter(), []
    for name, one in classes(spec).items():
        if perf_counter() - begun > seconds:
            break
        if not bench.takes(one):
            continue
        asked = bench.ask(one)
        if asked or one in bench.refused:
            found.append(Graded(name, one, asked.wrong if asked else (), "" if asked else bench.refused[one]))
    return tuple(found)


def diagnose(bench: Bench, spec: ConvSpec, found: Examination) -> Diagnosis | None:
    """What is wrong with a target that failed; None where nothing is."""
    if found.verdict != "FAIL":
        return None
    return _asked(bench, spec, found) if bench.target.callable else _read(bench, spec, found)


def _asked(bench: Bench, spec: ConvSpec, found: Examination) -> Diagnosis:
    """What code that answers shows on integers and on other layers."""
    study = studied(bench, spec)
    # Of few elements one set of integers may be the same where the mistake is made.
    asked = next((one for one in bench.all_of(study) if one.mistaken), bench.ask(study))
    wrong = asked.mistaken if asked else ()
    told = {one.operand: one for one in _told(found)}
    formulas = [name for name in wrong if name not in told and asked and name not in asked.misshapen]
    guesses = {name: hypotheses(bench, study, name) for name in formulas}
    named: list[Named] = []
    for name in wrong:
        if name in told:
            named.append(told[name])
        elif asked and name in asked.misshapen:
            named.append(_misshapen(study, name, asked.misshapen[name]))
        elif guesses[name]:
            named.append(_named(bench.all_of(study), name, guesses[name], guesses[name][0].factor != ROUNDED))
        else:
            named += _unsteady(bench, study, name)
    named += [one for one in _other_faults(found) if one.operand not in wrong]
    # Of few elements one set of integers may be right by chance.
    masks = {n: _differ(bench.all_of(study), n) for n in wrong if asked and n in asked.actual}
    if not wrong:
        return Diagnosis(tuple(named), study, masks, (), (), None, {}, (), bench.calls)
    racing = {one.operand for one in named if one.kinds == ("F11",)}
    smallest, fills = None, {}
    if wrong[0] not in racing:  # whose numbers no line reproduces
        same = same_fault(wrong, guesses)
        smallest = shrunk(bench, study, same)
        fills = simplest_fills(bench, smallest, same)
    grade(bench, study, seconds=12.0)
    layers = [study, *([smallest] if smallest else [])]
    recovered, unread = _recovered(bench, layers, [name for name in masks if name not in racing])
    nameless = tuple((n, NAMELESS) for n in wrong if n not in {one.operand for one in named})
    apart = () if wrong[0] in racing else boundary(bench, wrong)
    hidden = (*nameless, *unread)
    return Diagnosis(tuple(named), study, masks, recovered, hidden, smallest, fills, apart, bench.calls)


def _read(bench: Bench, spec: ConvSpec, found: Examination) -> Diagnosis:
    """What saved gradients show: where they are wrong, and which formula fits."""
    assert bench.given is not None
    actual = {name: tensor.double() for name, tensor in found.answer.gradients.named().items()}
    right = {one.operand: one.certificate.exact for one in found.judged if one.certificate}
    asked = Asked(spec, bench.given[1], None, actual, right, found.answer.misshapen)
    named, masks, hidden = [], {}, []
    for one in found.judged:
        name = one.operand
        if one.verdict != "FAIL":
            continue
        if name in asked.misshapen:
            named.append(_misshapen(spec, name, asked.misshapen[name]))
            continue
        declared = ARITHMETICS[one.declared]
        masks[name] = one.certificate.mask(declared) if one.certificate else actual[name] != actual[name]
        guesses = parted(bench, spec, name, fitting(asked, name, declared))
        if len(guesses) > SAID:
            said = f"{len(guesses)} mistakes fit these numbers, which are too simple to tell them apart; try randn"
            hidden.append((name, said))
        elif guesses:
            named.append(_named([asked], name, guesses, equals=False))
        elif one.certificate and (said := fewer_bits(one.certificate.actual, one.certificate.dtype)):
            named.append(Named(name, ("F14",), said, equals=False))
        elif one.narrowest:
            said = f"fits {ARITHMETICS[one.narrowest].title}, which --arithmetic {one.narrowest} would declare"
            named.append(Named(name, ("F14",), said, equals=False))
        else:
            hidden.append((name, NAMELESS))
    return Diagnosis(tuple(named), spec, masks, (), tuple(hidden), None, {}, (), 0)


def _named(asked: Sequence[Asked], name: str, guesses: Sequence[Hypothesis], equals: bool) -> Named:
    """The name of the first guess, with those of the others beside it."""
    told = [words_of(asked, name, guess) for guess in guesses[:SAID]]
    first, *others = dict.fromkeys(words for _, words in told)
    return Named(name, told[0][0], first if equals else f"fits the reference {first}", equals, tuple(others))


def _unsteady(bench: Bench, spec: ConvSpec, name: str) -> Iterable[Named]:
    """What two more calls with the same numbers show of a tensor that no formula explains."""
    first = bench.ask(spec)
    one, two = (bench.call(spec, first.operands) if first else None for _ in range(2))
    if one is None or two is None or name not in one.actual or name not in two.actual:
        return
    was, now, right = one.actual[name], two.actual[name], one.right[name]
    grown = now - was
    if bool(torch.isclose(was, now, rtol=0, atol=0, equal_nan=True).all()):
        nothing = replace(one.operands, grad_output=torch.zeros_like(one.operands.grad_output))
        still = bench.call(spec, nothing)
        if name != "output" and (still is None or name not in still.actual or bool(still.actual[name].any())):
            return  # a gradient of zeros is 0 however it is rounded
        off = float(((one.actual[name] - right).abs().max() / right.abs().max()).nan_to_num(nan=1.0))
        if 0 < off < HARDLY and not is_single(one.actual[name] != right):
            bits = floor(-log2(off))
            said = f"fits sums that are rounded on the way, to about {bits} bits"
            yield Named(name, ("F14",), said, equals=False)
        return
    if bool(((grown - right).abs() <= GROWS * right.abs().max()).all()):
        said = "grows by the reference with every call: the buffer is not cleared between calls"
        yield Named(name, ("F10",), said, equals=False)
    else:
        yield Named(name, ("F11",), "differs between two calls with the same numbers", equals=False)


def _differ(answers: Sequence[Asked], name: str) -> Tensor:
    """The elements that are wrong in any of the answers."""
    return torch.stack([one.actual[name] != one.right[name] for one in answers if name in one.actual]).any(0)


def _told(found: Examination) -> Iterable[Named]:
    """What the verdict says already, and no formula could say better."""
    for one in found.judged:
        if one.reason.startswith(OTHER_NUMBERS):
            yield Named(one.operand, ("F11",), "differs between two calls with the same numbers", equals=False)
        elif one.operand in found.answer.missing:
            yield Named(one.operand, ("F0",), one.reason, equals=False)
        elif one.reason.startswith(TRANSFORM):
            yield Named(one.operand, ("F14",), one.reason, equals=False)


def _other_faults(found: Examination) -> Iterable[Named]:
    """Faults of the arithmetic, and those that only a condition shows."""
    for one in found.judged:
        wrong = any(found.probe.name == "logic" and not is_small(found) for found in one.differences)
        if one.verdict == "FAIL" and not wrong:  # on integers, where no arithmetic differs
            single = bool(one.differences) and all(is_single(each.wrong) for each in one.differences)
            kind = "F0" if single or one.reason.startswith(NO_ARITHMETIC) else "F14"
            yield Named(one.operand, (kind,), one.reason, equals=False)
    failed = {one.operand for one in found.judged if one.verdict == "FAIL"}
    shown: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for tried in found.conditions:
        for operand in tried.tensors if tried.name != UNTOUCHED and not tried.refused else ():
            if operand not in failed:
                kind, words = _kind(tried.name)
                shown.setdefault((operand, kind), []).append((tried.name, words))
    for (operand, kind), cases in shown.items():
        names = [name for name, _ in cases]
        several = f"is wrong with {', '.join(names[:-1])} and {names[-1]}"
        yield Named(operand, (kind,), cases[0][1] if len({words for _, words in cases}) == 1 else several, equals=False)


def _kind(condition: str) -> tuple[str, str]:
    """The class of what fails under this condition only, and the words for it."""
    if condition.startswith(("batch", "channels ", "in_channels", "out_channels")):
        return "F15", f"is wrong with {condition}"
    key = next((name for name in KINDS if condition.startswith(name)), "")
    return KINDS.get(key, ("F12", f"is wrong with {condition}"))


def _misshapen(spec: ConvSpec, name: str, shape: tuple[int, ...]) -> Named:
    """What a wrong shape says of the mistake."""
    right = spec.shape_of(name)
    pads = [sum(pair) for pair in spec.padding]
    space, wanted = shape[-spec.dims :], right[-spec.dims :]
    rests = [(n + p - e) % s for n, p, e, s in zip(spec.input_size, pads, spec.kernel_extent, spec.stride, strict=True)]
    if name == "input" and any(n == 0 and not p for n, p in zip(space, pads, strict=False)):
        said = "is empty: a slice such as [p:-p] takes nothing where the padding is 0; write [p:p+size]"
        return Named(name, ("F6",), said, equals=False)
    if len(shape) != len(right):
        return Named(name, ("F0",), f"has {len(shape)} axes, not {len(right)}", equals=False)
    if name == "input" and any(pads) and space == tuple(n + p for n, p in zip(wanted, pads, strict=False)):
        return Named(name, ("F6",), "has the size of the padded input: the padding is not cropped", equals=False)
    if name == "input" and any(rests) and space == tuple(n - r for n, r in zip(wanted, rests, strict=False)):
        said = "lacks the remainder of the stride: rows that no placement reaches, whose gradient is 0"
        return Named(name, ("F1",), said, equals=False)
    if sorted(shape) == sorted(right):
        return Named(name, ("F8",), "has its axes in another order", equals=False)
    said = f"has the shape {'x'.join(map(str, shape))}, not {'x'.join(map(str, right))}"
    return Named(name, ("F0",), said, equals=False)


def _recovered(
    bench: Bench, specs: Sequence[ConvSpec], names: Sequence[str]
) -> tuple[tuple[Recovered, ...], tuple[tuple[str, str], ...]]:
    """The sums of each tensor on the first layer on which they can be read, and why they can't be on any."""
    found: list[Recovered] = []
    hidden: list[tuple[str, str]] = []
    for name in names:
        why = ""
        for spec in dict.fromkeys(specs):
            try:
                found.append(recover(bench, spec, name))
                break
            except NotRead as error:
                why = str(error)
        else:
            hidden.append((name, f"its terms are not read out: {why}"))
    return tuple(found), tuple(hidden)
