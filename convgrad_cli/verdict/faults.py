"""Which mistake a wrong tensor is: the formula that, computed on the same exact numbers, gives the same wrong numbers.

A name is given only to what reproduces the tensor bit for bit on two sets of integers, and contradicts no other layer
that the code was asked about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import isfinite

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.gradients.target import Call, OtherLayerError, Target, TargetError
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import BITS
from convgrad_cli.verdict.layers import needs, variations
from convgrad_cli.verdict.mistake import Mistake, Past, changed, reproduce
from convgrad_cli.verdict.mistakes import mistakes
from convgrad_cli.verdict.probes import TENSORS, dense
from convgrad_cli.verdict.wrong_results import factors

OPERANDS = ("input", "weight", "grad_output")  # two mistakes may be made with one of them
SETS = 3  # of numbers on a layer; what state is left over from a call shows in the next
LAYERS = 12  # others that a name is held against
ROUNDED = "1"
SAID = 3  # names, where no layer parts them


@dataclass(frozen=True)
class Asked:
    """What the code gave on one layer and one set of exact integers, in float64; `past`: earlier calls on it."""

    spec: ConvSpec
    operands: Operands
    past: Past | None
    actual: Mapping[str, Tensor]
    right: Mapping[str, Tensor]
    misshapen: Mapping[str, tuple[int, ...]]
    _known: dict[str, dict[str, Mistake]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def known(self, name: str) -> dict[str, Mistake]:
        """Every mistake that the tensor `name` can show here, made once: each guess is held against them."""
        if name not in self._known:
            self._known[name] = mistakes(self.spec, self.operands, name, self.past)
        return self._known[name]

    @property
    def wrong(self) -> tuple[str, ...]:
        """The tensors that are not exactly the right ones."""
        differ = {name for name, tensor in self.actual.items() if not torch.equal(tensor, self.right[name])}
        return tuple(name for name in TENSORS if name in differ or name in self.misshapen)

    @property
    def mistaken(self) -> tuple[str, ...]:
        """Of these, all but those right up to noise below the last digit of their dtype, as a transform leaves it."""
        unit = 2.0 ** -BITS[self.operands.input.dtype]
        return tuple(name for name in self.wrong if name in self.misshapen or not self._is_near(name, unit))

    def _is_near(self, name: str, share: float) -> bool:
        actual, right = self.actual[name], self.right[name]
        return bool(((actual - right).abs() < share * right.abs().max()).all())


class Bench:
    """Code under test, and all that it was asked. `calls` counts; `refused` says why a layer has no answer, if it could
    have one.

    `given` are the user's layer and numbers, on which it was called before.
    """

    def __init__(self, target: Target, dtype: torch.dtype, seed: int, first: tuple[ConvSpec, Operands] | None) -> None:
        self.target, self.dtype, self.seed, self.given, self.calls = target, dtype, seed, first, 0
        self.refused: dict[ConvSpec, str] = {}
        self._asked: dict[tuple[ConvSpec, int], Asked | None] = {}
        self._past: dict[ConvSpec, Past] = {first[0]: Past(first[1], None, {})} if first else {}

    def ask(self, spec: ConvSpec, which: int = 0) -> Asked | None:
        """The answer on numbers `which` of `spec`, asked once; None where the code gives none."""
        key = (spec, which)
        if key not in self._asked:
            self._asked[key] = self.call(spec, dense(spec, self.dtype, self.seed + 7 * which))
        return self._asked[key]

    def all_of(self, spec: ConvSpec) -> list[Asked]:
        """The answers on every set of numbers of `spec`."""
        return [one for one in (self.ask(spec, which) for which in range(SETS)) if one is not None]

    def takes(self, spec: ConvSpec) -> bool:
        """Whether there is code that can be told of this layer."""
        return self.target.callable and needs(spec) <= self.target.allows

    def answers(self) -> Iterator[Asked]:
        """All that was answered."""
        return (asked for asked in self._asked.values() if asked is not None)

    def call(self, spec: ConvSpec, operands: Operands, call: Call | None = None) -> Asked | None:
        """The answer on these operands, asked anew."""
        past = self._past.get(spec)
        self.calls += 1
        try:
            answer = self.target.run(spec, operands, call or Call())
        except TargetError as error:
            if not isinstance(error, OtherLayerError):
                self.refused[spec] = str(error)
            return None
        actual = {name: tensor.double() for name, tensor in answer.gradients.named().items()}
        right = {name: t.double() for name, t in by_hand(spec, operands, tuple(actual)).named().items()}
        self._past[spec] = Past(past.first if past else operands, operands, actual)
        return Asked(spec, operands, past, actual, right, answer.misshapen)


@dataclass(frozen=True)
class Hypothesis:
    """Mistakes made together, by key, and the label of the constant factor that comes on top ("" if none does).

    With the factor ROUNDED it fits up to rounding and equals nothing: the numbers were no integers on the way.
    """

    keys: tuple[str, ...]
    factor: str = ""

    def predict(self, asked: Asked, name: str) -> Tensor | None:
        """The tensor on the layer and numbers of `asked`. A mistake that a layer can't show changes nothing there."""
        known = asked.known(name)
        found = reproduce(asked.spec, asked.operands, name, [known[key] for key in self.keys if key in known])
        return found if found is None or not self.factor else found * factor_of(asked.spec, self.factor)

    def holds(self, asked: Asked, name: str) -> bool:
        """Whether it reproduces what the code gave there."""
        if name not in asked.actual:
            return False
        found = self.predict(asked, name)
        if found is None:
            return False
        dtype = asked.operands.input.dtype
        return _same(asked.actual[name], found, dtype) or (
            bool(self.factor) and _near(asked.actual[name], found, dtype)
        )

    def shows(self, asked: Asked, name: str) -> bool:
        """Whether each of its mistakes changes something there."""
        whole = self.predict(asked, name)
        parts = [replace(self, keys=tuple(key for key in self.keys if key != left)) for left in self.keys]
        parts += [replace(self, factor="")] if self.factor not in ("", ROUNDED) else []
        found = [part.predict(asked, name) for part in parts]
        return whole is None or not any(one is not None and torch.equal(one, whole) for one in found)


def factor_of(spec: ConvSpec, label: str) -> float:
    known = factors(spec)
    return known[label][0] if label in known else float(label)


def hypotheses(bench: Bench, spec: ConvSpec, name: str) -> list[Hypothesis]:
    """What the wrong tensor `name` on this layer is, the likelier first; several only where no layer parts them."""
    told = [one for one in reversed(bench.all_of(spec)) if name in one.actual]
    asked = sorted(told, key=lambda one: (name in one.wrong, bool(one.past and one.past.answer)))[-2:]
    if not asked or name not in asked[-1].wrong:
        return []
    if _near(asked[-1].actual[name], asked[-1].right[name], asked[-1].operands.input.dtype):
        return []  # the right formula with rounding; two mistakes that undo each other would fit as well
    for candidates in (singles(asked[-1], name), pairs(asked[-1], name)):
        kept = parted(bench, spec, name, list(_matching(asked, name, candidates)))
        if kept:
            known = ("", ROUNDED, *factors(spec))
            return ([one for one in kept if one.factor in known] or kept)[:SAID]
    return []


def _same(actual: Tensor, found: Tensor, dtype: torch.dtype) -> bool:
    """Bit for bit, the formula's exact number rounded once to the dtype of the code; NaN where it has NaN."""
    if bool(found.isnan().any()):
        if not torch.equal(actual.isnan(), found.isnan()):
            return False
        actual, found = actual.nan_to_num(), found.nan_to_num()
    return torch.equal(actual, found) or torch.equal(actual, found.to(dtype).double())


def _near(actual: Tensor, found: Tensor, dtype: torch.dtype) -> bool:
    """What is divided before it is summed is rounded on the way."""
    most = float(found.abs().max()) * 16 * torch.finfo(dtype).eps
    return actual.shape == found.shape and bool(((actual - found).abs() <= most).all())


Candidate = tuple[tuple[str, ...], Tensor | None]  # the keys of mistakes, and the tensor that code with them gives


def singles(asked: Asked, name: str) -> Iterator[Candidate]:
    """The right formula, which a factor may come on top of, and one mistake."""
    yield (), asked.right[name]
    for key, one in asked.known(name).items():
        yield (key,), reproduce(asked.spec, asked.operands, name, [one])


def pairs(asked: Asked, name: str) -> Iterator[Candidate]:
    """Two mistakes in different places."""
    some = [one for one in asked.known(name).values() if one.common]
    early = [one for one in some if one.after is None]
    late = [one for one in some if one.before is None and one.route is None]
    for one in early:
        found = reproduce(asked.spec, asked.operands, name, [one])
        if found is not None and name != "output":
            yield from (((one.key, other.key), changed(found, [other])) for other in late)
    for one, other in combinations(early, 2):
        if one.site != other.site or one.site in OPERANDS:
            yield (one.key, other.key), reproduce(asked.spec, asked.operands, name, [one, other])


def _matching(asked: Sequence[Asked], name: str, candidates: Iterator[Candidate]) -> Iterator[Hypothesis]:
    """The candidates that the last answer equals up to a factor, if they reproduce the others too."""
    labels = factors(asked[-1].spec)
    last = asked[-1]
    actual = last.actual[name]
    flat = actual.flatten()
    at = int(flat.nan_to_num().abs().argmax())
    peak = float(flat[at])
    for keys, found in candidates:
        if found is None or (keys and torch.equal(found, last.right[name])):
            continue  # what changes nothing on this layer explains nothing
        here = float(found.flatten()[at])
        if here == peak:
            guesses = [""]
        elif not here or not peak or not isfinite(peak) or not isfinite(here):
            continue
        elif abs(peak / here - 1) < 1e-6:
            guesses = [ROUNDED]
        else:
            ratio = peak / here
            guesses = [label for label, (n, _) in labels.items() if n != 1 and abs(n / ratio - 1) < 1e-6]
            guesses += [repr(ratio)] if not keys else []
        for label in guesses:
            guess = Hypothesis(keys, label)
            whole = found * factor_of(last.spec, label) if label else found
            dtype = last.operands.input.dtype
            if (_same(actual, whole, dtype) or (label and _near(actual, whole, dtype))) and all(
                guess.holds(one, name) for one in asked[:-1]
            ):
                yield guess


def parted(bench: Bench, spec: ConvSpec, name: str, found: list[Hypothesis]) -> list[Hypothesis]:
    """Those of `found` that other layers leave; of several that no layer at all tells apart, the first."""
    if not found:
        return []
    studied = bench.ask(spec) if bench.target.callable else None
    wrong = set(studied.wrong) if studied else set()
    apart: set[frozenset[int]] = set()
    alive = list(range(len(found)))
    varied = variations(spec)[:LAYERS]
    # Code that can't be told of a setting makes no mistake with it.
    taken = [other for other in varied if bench.takes(other)]
    answers = {other: bench.ask(other) for other in taken}
    others = taken or varied
    # What is wrong says more than what is right: some mistakes are made only where shapes allow it.
    others.sort(key=lambda other: not (answer := answers.get(other)) or name not in answer.wrong)
    for other in others:
        numbers = dense(other, bench.dtype, bench.seed)
        blank = Asked(other, numbers, None, {}, by_hand(other, numbers, (name,)).named(), {})
        guesses = {i: found[i].predict(blank, name) for i in alive}
        for i, j in combinations(alive, 2):
            one, two = guesses[i], guesses[j]
            if (one is None) != (two is None) or (one is not None and two is not None and not torch.equal(one, two)):
                apart.add(frozenset((i, j)))
        answer = answers.get(other)
        if answer is None or name not in answer.actual:
            continue
        holding = [i for i in alive if found[i].holds(answer, name)]
        # Code for groups may do the same wrong thing to each group or to all channels; that contradicts nothing.
        # Nor does a layer on which more is wrong: code that does not know of a setting makes a second mistake there.
        if not holding and name in answer.wrong and other.groups == spec.groups and set(answer.wrong) <= wrong:
            return []
        alive = holding or alive
    kept: list[int] = []
    for i in alive:
        if all(frozenset((i, j)) in apart for j in kept):
            kept.append(i)
    return [found[i] for i in kept]


def words_of(asked: Sequence[Asked], name: str, guess: Hypothesis) -> tuple[tuple[str, ...], str]:
    """The classes of a hypothesis, and its words, which complete "equals the reference ..."."""
    spec = asked[0].spec
    known = next(all_of for one in asked if set(guess.keys) <= set(all_of := one.known(name)))
    steps = [known[key] for key in guess.keys]
    kinds, said = [step.kind for step in steps], [step.words for step in steps]
    if guess.factor not in ("", ROUNDED):
        kinds.append("F9")
        told = factors(spec).get(guess.factor)
        said.append(told[1] if told else f"multiplied by {float(guess.factor):.6g}")
    return tuple(dict.fromkeys(kinds)), ", and ".join(said)
