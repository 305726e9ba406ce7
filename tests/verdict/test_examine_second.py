"""The verdict on gradients of gradients: right code passes, faults planted into any term of them fail."""

from dataclasses import replace

import pytest
import torch
from cases import random_specs

from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.gradients.autograd import PLAIN, Flags, TorchTarget, autograd
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.second_order import by_parts, parts
from convgrad_cli.gradients.target import SECOND, Answer, Call, TargetError
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.verdict.choices import CHEAP, CONDITIONS
from convgrad_cli.verdict.second_order import examine_second

LAYER = make_spec(
    in_channels=4, out_channels=6, groups=2, input_size=(6, 5), kernel_size=(3, 2), stride=(2, 1), padding=1, bias=True,
    batch_size=2,
)  # fmt: skip
CPU = torch.device("cpu")


def normal_operands(spec: ConvSpec, dtype: torch.dtype, seed: int = 0) -> Operands:
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    def operands(g: torch.Tensor) -> Operands:
        b = draw(spec.bias_shape) if spec.bias else None
        return Operands(draw(spec.input_shape), draw(spec.weight_shape), b, g)

    g = draw(spec.output_shape)
    return replace(operands(g), cotangents=operands(g))


class Planted:
    """torch's double backward, or another right one, with what `spoil` makes of the operands or of the answer."""

    callable, name, facts = True, "planted", ()
    allows = frozenset({"layouts", "wanted", "stride", "padding", "dilation", "groups"})

    def __init__(self, before=lambda operands: operands, after=lambda found, operands: found, given=SECOND):
        self.before, self.after, self.given = before, after, given

    def run(self, spec: ConvSpec, operands: Operands, call: Call | None = None) -> Answer:
        found = autograd(spec, self.before(operands), PLAIN).named()
        found = {
            name: tensor.clone(memory_format=torch.contiguous_format)
            for name, tensor in found.items()
            if name in self.given
        }
        return Answer(Gradients(**self.after(found, operands)))

    def close(self) -> None:
        pass


def second(**changes):
    """Operands whose cotangents are changed: each by a function of it and all operands."""

    def before(operands: Operands) -> Operands:
        made = {name: change(getattr(operands.cotangents, name), operands) for name, change in changes.items()}
        return replace(operands, cotangents=replace(operands.cotangents, **made))

    return before


def first(**changes):
    def before(operands: Operands) -> Operands:
        return replace(operands, **{name: change(getattr(operands, name)) for name, change in changes.items()})

    return before


def only_in(*names, **changes):
    """An answer with a tensor computed from other operands in the place of each of `names`."""

    def after(found, operands):
        wrong = autograd(LAYER_OF[operands.input.shape], second(**changes)(operands), PLAIN).named()
        return {name: wrong[name] if name in names else tensor for name, tensor in found.items()}

    return after


LAYER_OF = {LAYER.input_shape: LAYER}


def bump(name):
    def after(found, operands):
        flat = found[name].view(-1)
        at = int(flat.abs().argmax())
        flat[at] = torch.nextafter(flat[at], flat[at] * 2)
        return found

    return after


FAULTS = {
    "ggx ignored": (Planted(second(input=lambda t, o: t * 0)), {"grad_output", "weight"}),
    "ggw ignored": (Planted(second(weight=lambda t, o: t * 0)), {"grad_output", "input"}),
    "ggb ignored": (Planted(second(bias=lambda t, o: t * 0)), {"grad_output"}),
    "b in the place of ggb": (Planted(second(bias=lambda t, o: o.bias)), {"grad_output"}),
    "ggb beside b": (Planted(second(bias=lambda t, o: t + o.bias)), {"grad_output"}),
    "x in the place of ggx": (Planted(second(input=lambda t, o: o.input)), {"grad_output", "weight"}),
    "w in the place of ggw": (Planted(second(weight=lambda t, o: o.weight)), {"grad_output", "input"}),
    "the kernel of ggw not rotated": (Planted(second(weight=lambda t, o: t.flip(-1))), {"grad_output", "input"}),
    "x ignored": (Planted(first(input=lambda t: t * 0)), {"grad_output"}),
    "w transposed in space": (Planted(first(weight=lambda t: t.flip(-2, -1))), {"grad_output"}),
    "g twice": (Planted(lambda o: replace(o, grad_output=2 * o.grad_output)), {"weight", "input"}),
    "a sign of one term": (
        Planted(after=only_in("grad_output", input=lambda t, o: -t)), {"grad_output"},
    ),
    "swapped halves": (Planted(lambda o: swapped(o)), {"grad_output", "weight", "input"}),
    "the first gradient of x beside it": (
        Planted(after=lambda found, o: {**found, "input": found["input"] + first_order(o, "input")}), {"input"},
    ),
    "the first gradient of w beside it": (
        Planted(after=lambda found, o: {**found, "weight": found["weight"] + first_order(o, "weight")}), {"weight"},
    ),
    "ggx of 11 bits": (Planted(second(input=lambda t, o: rounded(t, 11))), {"grad_output", "weight"}),
    "ggw of 8 bits": (Planted(second(weight=lambda t, o: rounded(t, 8))), {"grad_output", "input"}),
    "w of 11 bits": (Planted(first(weight=lambda t: rounded(t, 11))), {"grad_output"}),
    "x of 8 bits": (Planted(first(input=lambda t: rounded(t, 8))), {"grad_output"}),
    **{f"a last bit of {name}": (Planted(after=bump(name)), {name}) for name in SECOND},
}  # fmt: skip


def swapped(operands: Operands) -> Operands:
    other = operands.cotangents
    alone = replace(operands, cotangents=None)
    return replace(other, cotangents=replace(alone))


def first_order(operands: Operands, name: str) -> torch.Tensor:
    alone = replace(operands, cotangents=None)
    return autograd(LAYER_OF[operands.input.shape], alone, PLAIN).named()[name]


def rounded(tensor: torch.Tensor, bits: int) -> torch.Tensor:
    mantissa, exponent = torch.frexp(tensor)
    return torch.ldexp((mantissa * 2.0**bits).round() / 2.0**bits, exponent)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails_in_the_tensors_that_it_spoils(fault, dtype):
    target, spoiled = FAULTS[fault]
    found = examine_second(LAYER, normal_operands(LAYER, dtype), target)
    assert found.verdict == "FAIL"
    assert {one.operand for one in found.judged if one.verdict == "FAIL"} == spoiled
    assert all(one.reason for one in found.judged if one.operand in spoiled)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_right_code_passes_on_any_layer(dtype):
    target = TorchTarget(CPU, Flags(tf32=False, mkldnn=dtype == torch.float32))
    for seed, spec in enumerate(random_specs(31, 150)):
        found = examine_second(spec, normal_operands(spec, dtype, seed), target, seed=seed)
        verdicts = {one.operand: (one.verdict, one.reason) for one in found.judged}
        assert list(verdicts) == ["grad_output", "weight", "input"]
        # Of a layer in which hardly anything meets, nothing could be wrong.
        allowed = {"PASS", "MISTRUSTED"} if found.verdict == "MISTRUSTED" else {"PASS"}
        assert {verdict for verdict, _ in verdicts.values()} <= allowed, (spec, verdicts)


class Slices(Planted):
    """A right implementation of other roundings: each part in float64, rounded once."""

    def run(self, spec, operands, call=None):
        found = by_parts(parts(spec, operands), lambda share: None)
        return Answer(Gradients(**{name: tensor.to(operands.input.dtype) for name, tensor in found.items()}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_what_is_rounded_once_passes_as_exact(dtype):
    for arithmetic in ("direct", "exact") if dtype != torch.float64 else ("direct",):
        found = examine_second(LAYER, normal_operands(LAYER, dtype), Slices(), arithmetic, CHEAP)
        assert found.verdict == "PASS", [(one.operand, one.reason) for one in found.judged]
        assert not any(tried.tensors or tried.refused for tried in found.conditions)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_two_sums_that_are_stored_apart_are_partial_sums_of_16_bits(dtype):
    class Stored(Planted):
        """dS/dg as torch adds it up: two outputs of 16 bits, then ggb."""

        def run(self, spec, operands, call=None):
            exact = by_parts(parts(spec, operands), lambda share: None)
            halves = []
            for one, other in (
                (operands.cotangents.input, operands.weight),
                (operands.input, operands.cotangents.weight),
            ):
                bare = replace(spec, bias=False)
                alone = Operands(one, other, None, operands.grad_output)
                halves.append(by_parts(parts(bare, alone), lambda share: None)["output"].to(dtype))
            total = halves[0] + halves[1]
            if spec.bias:
                total = total + operands.cotangents.bias.view(-1, *[1] * spec.dims)
            named = {name: tensor.to(dtype) for name, tensor in exact.items()} | {"grad_output": total}
            return Answer(Gradients(**named))

    assert examine_second(LAYER, normal_operands(LAYER, dtype), Stored(), "direct").verdict == "FAIL"
    for seed, spec in enumerate(random_specs(32, 60)):
        found = examine_second(spec, normal_operands(spec, dtype, seed), Stored(), "partial")
        assert found.verdict in ("PASS", "MISTRUSTED"), (spec, [(o.operand, o.reason) for o in found.judged])


def test_conditions_are_tried_on_both_parts_and_named_once():
    target = TorchTarget(CPU, PLAIN)
    found = examine_second(LAYER, normal_operands(LAYER, torch.float32), target, "direct", CONDITIONS)
    assert [tried.name for tried in found.conditions] == [
        "repeat", "repeat after another shape", "stride-0 g", "channels_last x, w, g", "sliced x, w, g",
        "transposed x, w, g", "operands untouched", "2 request masks",
    ]  # fmt: skip
    assert not any(tried.tensors or tried.refused for tried in found.conditions)
    [untried] = found.untried
    assert (untried.name, untried.untried) == (
        "poison, accumulate, sizes", "the second order is not tried under them",
    )  # fmt: skip


def test_a_condition_that_fails_names_the_tensors_of_the_second_order():
    class Sloppy(Planted):
        def run(self, spec, operands, call=None):
            answer = super().run(spec, operands, call)
            wrong = call is not None and "channels_last" in call.layouts.values()
            return Answer(Gradients(**{n: t + wrong for n, t in answer.gradients.named().items()})) if wrong else answer

    found = examine_second(LAYER, normal_operands(LAYER, torch.float32), Sloppy(), "direct", ("channels_last",))
    assert found.verdict == "FAIL"
    assert {one.verdict for one in found.judged} == {"PASS"}
    assert {tried.name: tried.tensors for tried in found.conditions} == {
        f"channels_last {letter}": ("grad_output", "weight", "input") for letter in "xwg"
    }


def test_what_a_target_does_not_give_is_not_judged():
    operands = normal_operands(LAYER, torch.float32)
    for given in (("input",), ("grad_output",), ("weight", "grad_output")):
        found = examine_second(LAYER, operands, Planted(given=given))
        assert {one.operand for one in found.judged} == set(given)
        assert set(found.unjudged) == set(SECOND) - set(given)
        assert found.verdict == "PASS"
    with pytest.raises(TargetError, match=r"^planted gives no gradient to judge$"):
        examine_second(LAYER, operands, Planted(given=()))


def test_progress_goes_from_0_to_1_and_never_back():
    told: list[float] = []
    examine_second(LAYER, normal_operands(LAYER, torch.float32), Planted(), progress=told.append)
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, 1)
