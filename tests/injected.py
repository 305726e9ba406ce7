"""Faults planted into right gradients, and whether the judge sees them: each kind, on random layers, per gradient.

    python tests/injected.py [--layers N] [--seed S]

prints the table that the README shows and writes it to tests/benchmarks/results/injected.json. A fault counts on a
layer where it changes the gradient of random numbers at all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from distributions import operands_of
from false_alarms import layers
from torch.nn.functional import pad

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import by_hand, terms
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.target import Answer, Call
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.verdict.examine import examine

RESULT = Path(__file__).parent / "benchmarks" / "results" / "injected.json"
Tensor = torch.Tensor
GRADIENTS = ("weight", "input", "bias")
DTYPE = torch.float32


class Absent(Exception):
    """This layer cannot have this fault."""


def right(spec: ConvSpec, operands: Operands, name: str) -> Tensor:
    """What correct float32 code returns: the exact sum, rounded once."""
    return by_hand(spec, operands.map(lambda t: t.double()), (name,)).named()[name].to(DTYPE)


Fault = Callable[[ConvSpec, Operands, str], Tensor]


def _other_layer(**changes: object) -> Fault:
    """The gradient of a layer with other settings, g cropped or filled with zeros to its output size."""

    def fault(spec: ConvSpec, operands: Operands, name: str) -> Tensor:
        try:
            other = replace(spec, **{key: value(spec) for key, value in changes.items()})
        except SpecError:
            raise Absent from None
        amounts = [n - m for n, m in zip(other.output_size, spec.output_size, strict=True)]
        g = pad(operands.grad_output, [a for amount in reversed(amounts) for a in (0, amount)])
        found = right(other, replace(operands, grad_output=g), name)
        if found.shape != spec.shape_of(name):
            raise Absent
        return found

    return fault


def _before(change: Callable[[ConvSpec, Operands], Operands]) -> Fault:
    """The right gradient of changed operands."""
    return lambda spec, operands, name: right(spec, change(spec, operands), name)


def _after(change: Callable[[ConvSpec, Operands, str, Tensor], Tensor]) -> Fault:
    """A changed right gradient."""

    def fault(spec: ConvSpec, operands: Operands, name: str) -> Tensor:
        return change(spec, operands, name, right(spec, operands, name))

    return fault


def _spatial(tensor: Tensor, spec: ConvSpec, change: Callable[[Tensor, list[int]], Tensor], name: str) -> Tensor:
    if name == "bias":
        raise Absent
    return change(tensor, list(range(tensor.dim() - spec.dims, tensor.dim())))


def _swapped(tensor: Tensor, one: int, other: int) -> Tensor:
    if tensor.dim() <= max(one, other) or tensor.shape[one] != tensor.shape[other]:
        raise Absent
    return tensor.transpose(one, other).contiguous()


def _batch(spec: ConvSpec) -> int:
    if (spec.batch_size or 1) < 2:
        raise Absent
    return spec.batch_size or 1


def _only_sample(which: int) -> Fault:
    """Only one sample takes part in the sum over the batch."""

    def change(spec: ConvSpec, operands: Operands) -> Operands:
        mask = torch.zeros(_batch(spec), *[1] * (operands.grad_output.dim() - 1))
        mask[which] = 1
        return replace(operands, grad_output=operands.grad_output * mask)

    return _before(change)


def _without_tap(spec: ConvSpec, operands: Operands) -> Operands:
    weight = operands.weight.clone()
    weight[..., -1] = 0
    return replace(operands, weight=weight)


def _dropped_tap(spec: ConvSpec, operands: Operands, name: str) -> Tensor:
    """A loop over the taps that ends one too early."""
    if name == "weight":
        found = right(spec, operands, name)
        found[..., -1] = 0
        return found
    if name == "bias":
        raise Absent
    return right(spec, _without_tap(spec, operands), name)


def _last_position(spec: ConvSpec, operands: Operands) -> Operands:
    x, g = operands.input.clone(), operands.grad_output.clone()
    x[..., -1], g[..., -1] = 0, 0
    return replace(operands, input=x, grad_output=g)


def _one_term(spec: ConvSpec, operands: Operands, name: str, found: Tensor) -> Tensor:
    """The last term of the element in the middle is left out."""
    flat = found.numel() // 2
    index = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), found.shape))
    all_terms = terms(formula(spec, name, index), operands.letters(spec))
    if not len(all_terms):
        raise Absent
    found[index] = float(all_terms[:-1].sum())
    return found


def _last_bit(spec: ConvSpec, operands: Operands, name: str, found: Tensor) -> Tensor:
    """The last bit of the largest element is flipped."""
    flat = found.view(-1)
    at = int(flat.abs().argmax())
    flat[at] = torch.nextafter(flat[at], torch.tensor(float("inf")))
    return found


def _kept_bits(bits: int) -> Fault:
    def short(tensor: Tensor) -> Tensor:
        fraction, exponent = torch.frexp(tensor)
        return torch.ldexp((fraction * 2**bits).round() / 2**bits, exponent)

    return _before(lambda spec, operands: operands.map(short))


def _half_way(dtype: torch.dtype, chunk: int) -> Fault:
    """Sums kept in a short dtype, rounded after every `chunk` terms of a sample or a channel."""

    def fault(spec: ConvSpec, operands: Operands, name: str) -> Tensor:
        letters = operands.letters(spec)
        found = torch.zeros(spec.shape_of(name))
        for flat in range(found.numel()):
            index = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), found.shape))
            total = torch.zeros((), dtype=dtype)
            for part in terms(formula(spec, name, index), letters).split(chunk):
                total = total + part.sum().to(dtype)
            found[index] = float(total)
        return found

    return fault


def _blocks(spec: ConvSpec, operands: Operands, name: str, found: Tensor) -> Tensor:
    if spec.groups < 2:
        raise Absent
    axis = 0 if name in ("weight", "bias") else len(spec.batch_shape)
    return found.roll(found.shape[axis] // spec.groups, axis)


def _interleaved(spec: ConvSpec, operands: Operands, name: str, found: Tensor) -> Tensor:
    if spec.groups < 2:
        raise Absent
    axis = 0 if name in ("weight", "bias") else len(spec.batch_shape)
    order = torch.arange(found.shape[axis]).view(spec.groups, -1).T.flatten()
    return found.index_select(axis, order)


def _border(spec: ConvSpec, operands: Operands, name: str, found: Tensor) -> Tensor:
    if name != "input" or not any(map(any, spec.padding)):
        raise Absent
    found[..., 0] *= 0.5
    return found


def _crop_again(spec: ConvSpec, operands: Operands, name: str, found: Tensor) -> Tensor:
    """Padding is not cropped from the input gradient: it comes shifted."""
    before = spec.padding[-1][0]
    if name != "input" or not before:
        raise Absent
    return found.roll(before, -1)


def _remainder(spec: ConvSpec, operands: Operands, name: str, found: Tensor) -> Tensor:
    """Rows that the last stride never reached are taken for reached ones (F1)."""
    left = (spec.padded_size[-1] - spec.kernel_extent[-1]) % spec.stride[-1]
    if name != "input" or spec.transposed or not left:
        raise Absent
    found[..., -left:] = found[..., :left].clone()
    return found


FAULTS: dict[str, Fault] = {
    "F1 floor remainder": _after(_remainder),
    "F2 stride ignored": _other_layer(
        stride=lambda spec: (1,) * spec.dims, output_padding=lambda spec: (0,) * spec.dims
    ),
    "F3 stride and dilation swapped": _other_layer(
        stride=lambda spec: spec.dilation, dilation=lambda spec: spec.stride
    ),
    "F4 dilation ignored": _other_layer(
        dilation=lambda spec: (1,) * spec.dims, output_padding=lambda spec: (0,) * spec.dims
    ),
    "F5 channel blocks permuted": _after(_blocks),
    "F5 groups interleaved": _after(_interleaved),
    "F6 border halved": _after(_border),
    "F7 height and width swapped": _after(
        lambda s, o, n, t: _spatial(t, s, lambda u, _: _swapped(u, -1, -2) if s.dims > 1 else _absent(), n)
    ),
    "F8 kernel not rotated": _before(lambda s, o: replace(o, weight=o.weight.flip(list(range(2, 2 + s.dims))))),
    "F8 result flipped": _after(lambda s, o, n, t: _spatial(t, s, lambda u, axes: u.flip(axes), n)),
    "F8 channels transposed": _after(lambda s, o, n, t: _swapped(t, 0, 1) if n == "weight" else _absent()),
    "F8 memory re-read in another layout": _after(
        lambda s, o, n, t: t.movedim(-1, 0).reshape(t.shape) if n != "bias" else _absent()
    ),
    "F9 twice": _after(lambda s, o, n, t: 2 * t),
    "F9 sign": _after(lambda s, o, n, t: -t),
    "F9 mean over the batch": _after(lambda s, o, n, t: t / _batch(s)),
    "F9 mean over all outputs": _after(lambda s, o, n, t: t / (s.batch_size or 1) / torch.tensor(s.output_size).prod()),
    "F10 old buffer added": _after(lambda s, o, n, t: t + 1),
    "F10 NaN left in one element": _after(
        lambda s, o, n, t: t.index_fill(0, torch.tensor([t.shape[0] - 1]), float("nan"))
    ),
    "only the first sample": _only_sample(0),
    "only the last sample": _only_sample(-1),
    "last kernel entry left out": _dropped_tap,
    "slice ends one too early": _before(_last_position),
    "padding not cropped": _after(_crop_again),
    "g transposed": _before(
        lambda s, o: replace(o, grad_output=_swapped(o.grad_output, -1, -2)) if s.dims > 1 else _absent()
    ),
    "one term dropped": _after(_one_term),
    "last bit of one element flipped": _after(_last_bit),
    "operands of 8 bits": _kept_bits(8),
    "operands of 11 bits": _kept_bits(11),
    "operands of 16 bits": _kept_bits(16),
    "operands of 20 bits": _kept_bits(20),
    "operands of 23 bits": _kept_bits(23),
    "results of float16": _after(lambda s, o, n, t: t.half().float()),
    "results of bfloat16": _after(lambda s, o, n, t: t.bfloat16().float()),
    "sums in float16": _half_way(torch.float16, 1),
    "sums in bfloat16, four terms at a time": _half_way(torch.bfloat16, 4),
}


def _absent() -> Tensor:
    raise Absent


@dataclass(frozen=True)
class Planted:
    """A target that is right but for one gradient."""

    fault: Fault
    gradient: str
    name: str = "planted"
    facts: tuple[str, ...] = ()
    callable: bool = True
    allows: frozenset[str] = frozenset()

    def run(self, spec: ConvSpec, operands: Operands, call: Call | None = None) -> Answer:
        return Answer(Gradients(**{self.gradient: self.fault(spec, operands, self.gradient)}))

    def close(self) -> None:
        """Nothing was started."""


def has_effect(spec: ConvSpec, operands: Operands, fault: Fault, name: str) -> bool:
    """Whether the fault changes this gradient of these numbers; False where the layer cannot have it."""
    try:
        return not torch.equal(fault(spec, operands, name), right(spec, operands, name))
    except Absent:
        return False


def cases(fault: Fault, wanted: int, seed: int, within: int = 4000) -> Iterator[tuple[ConvSpec, Operands, str]]:
    """The first `wanted` layers, for each gradient, where the fault has an effect."""
    left = dict.fromkeys(GRADIENTS, wanted)
    for number, spec in enumerate(layers(seed)):
        if spec.macs > 20_000:
            continue
        operands = operands_of(spec, "normal", DTYPE, seed + number)
        for name in GRADIENTS:
            if left[name] and (spec.bias or name != "bias") and has_effect(spec, operands, fault, name):
                left[name] -= 1
                yield spec, operands, name
        if number > within or not any(left.values()):
            return


def count_caught(kind: str, wanted: int, seed: int = 0) -> dict[str, tuple[int, int]]:
    """For each gradient how often the fault was judged FAIL, of how many."""
    found: dict[str, tuple[int, int]] = {}
    for spec, operands, name in cases(FAULTS[kind], wanted, seed):
        verdict = examine(spec, operands, Planted(FAULTS[kind], name), seed=seed).verdict
        caught, total = found.get(name, (0, 0))
        found[name] = (caught + (verdict == "FAIL"), total + 1)
        if verdict != "FAIL":
            print(f"{kind}: {name} of {spec.layer_text()} on {spec.input_shape} is {verdict}", flush=True)
    return found


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """The table of the README: caught of planted, an en dash where the fault changes nothing."""
    lines = ["| planted fault | weight | input | bias |", "|---|---|---|---|"]
    for row in rows:
        counts = ("–" if row[name] == "0/0" else row[name] for name in GRADIENTS)
        lines.append(f"| {' | '.join([row['fault'], *counts])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULT)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for kind in FAULTS:
        found = count_caught(kind, asked.layers, asked.seed)
        rows.append({"fault": kind, **{name: "/".join(map(str, found.get(name, (0, 0)))) for name in GRADIENTS}})
        print(*rows[-1].values(), sep="\t", flush=True)
    document = {"torch": torch.__version__, "layers": asked.layers, "seed": asked.seed, "caught": rows}
    asked.results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
