"""Verdicts: what passes, what fails and why, what is only suspected, and what could not have failed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from distributions import operands_of
from targets import TORCH, Wrapped

from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.autograd import Flags, TorchTarget
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.target import Answer, TargetError
from convgrad_cli.verdict.bounds import ARITHMETICS, term_counts
from convgrad_cli.verdict.choices import CONDITIONS
from convgrad_cli.verdict.examine import examine

SPEC = make_spec(
    in_channels=4, out_channels=6, groups=2, input_size=(9, 8), kernel_size=(3, 2), stride=2, padding=1,
    batch_size=3, bias=True,
)  # fmt: skip


def verdict_on(target, spec=SPEC, dtype=torch.float32, kind="normal", **options):
    return examine(spec, operands_of(spec, kind, dtype, 0), target, **options)


def changed(**changes):
    """A target with some gradients replaced by functions of the right ones."""

    def change(spec, operands, call, answer):
        named = {name: changes.get(name, lambda t: t)(tensor) for name, tensor in answer.gradients.named().items()}
        return Answer(Gradients(**named))

    return Wrapped(change)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.clamp(-1e5, 1e5), "clipped: results beyond 100000 come back as 100000"),
        (lambda t: t + 1e-12, "a constant added: 1e-12 comes out wherever every term is 0"),
        (lambda t: t.index_fill(0, torch.tensor(1), float("nan")), "288 of 864 elements come back as NaN"),
    ],
)
def test_what_is_done_to_right_results_is_no_arithmetic(change, reason):
    found = verdict_on(changed(input=change))
    assert (found.verdict, one(found, "input").reason) == ("FAIL", reason)


def test_a_single_wrong_element_is_no_arithmetic():
    def off(t):
        t = t.clone()
        t[0, 0, 0, 0] *= 1.0001
        return t

    def noisy(t):
        return (t.double() * (1 + 1e-4 * torch.rand(t.shape, generator=torch.Generator().manual_seed(0)))).float()

    for callable in (False, True):
        judged = one(verdict_on(replace(changed(weight=off), callable=callable)), "weight")
        assert (judged.verdict, judged.narrowest) == ("FAIL", "")
    rounded = verdict_on(replace(changed(weight=noisy), callable=False))
    assert one(rounded, "weight").narrowest == "tf32"


def one(found, name):
    return next(judged for judged in found.judged if judged.operand == name)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torch_passes_under_every_condition(dtype):
    found = verdict_on(TORCH, dtype=dtype, conditions=CONDITIONS)
    assert found.verdict == "PASS"
    assert {judged.verdict for judged in found.judged} == {"PASS"}
    assert {judged.narrowest for judged in found.judged} <= {"exact", "direct"}
    names = [tried.name for tried in found.conditions]
    assert {"repeat", "stride-0 g", "operands untouched", "gradients already there", "batch 16"} <= set(names)
    assert not any(tried.tensors or tried.refused for tried in found.conditions)


def test_a_wrong_formula_is_one_and_spares_the_others():
    found = verdict_on(changed(weight=lambda t: t.flip(-1)))
    assert found.verdict == "FAIL"
    assert one(found, "weight").reason.startswith("the formula is wrong: ")
    assert {judged.operand for judged in found.judged if judged.verdict == "FAIL"} == {"weight"}


def test_one_flipped_bit_is_seen():
    def flip(t):
        t = t.clone()
        t.view(-1)[7] = torch.nextafter(t.view(-1)[7], torch.tensor(float("inf")))
        return t

    assert verdict_on(changed(input=flip)).verdict == "FAIL"


@pytest.mark.parametrize(("bits", "said"), [(11, "TF32"), (8, "bfloat16")])
def test_rounded_operands_are_named_and_pass_where_declared(bits, said):
    def rounded(tensor):
        fraction, exponent = torch.frexp(tensor)
        return torch.ldexp((fraction * 2**bits).round() / 2**bits, exponent)

    target = Wrapped(lambda spec, operands, call, answer: TORCH.run(spec, operands.map(rounded), call))
    found = verdict_on(target)
    assert found.verdict == "FAIL"
    assert all("operands are rounded" in judged.reason for judged in found.judged)
    assert said in one(found, "weight").reason
    declared = {11: "tf32", 8: "bf16"}[bits]
    assert verdict_on(target, arithmetic=declared).verdict == "PASS"


def test_winograd_and_fft_are_recognised_where_torch_uses_them():
    """NNPACK, without oneDNN, from 16 samples on; a torch built without it has nothing to show."""
    for kernel, padding in ((3, 1), (5, 2)):
        spec = make_spec(
            in_channels=8, out_channels=8, input_size=24, kernel_size=kernel, padding=padding, batch_size=16
        )
        found = verdict_on(TorchTarget(torch.device("cpu"), Flags(mkldnn=False)), spec)
        output = one(found, "output")
        if torch.backends.nnpack.is_available():
            assert output.verdict == "FAIL"
            assert "a transform (Winograd or FFT) over tiles of about" in output.reason
        assert one(found, "weight").verdict == one(found, "input").verdict == "PASS"


def test_what_onednn_leaves_unwritten_is_all_that_is_wrong():
    """Kernel entries that only ever meet padding, in bfloat16 with AVX512_BF16; elsewhere all is right."""
    spec = make_spec(
        in_channels=16, out_channels=16, input_size=2, kernel_size=5, stride=3, padding=2, batch_size=6, dims=1
    )
    found = verdict_on(TORCH, spec, dtype=torch.bfloat16, arithmetic="short")
    assert one(found, "output").verdict == one(found, "input").verdict == "PASS"
    for difference in one(found, "weight").differences:
        unmet = (term_counts(spec, "weight") == 0).expand(spec.weight_shape)
        assert bool(unmet[difference.wrong].all())


def test_float16_sums_of_the_cpu_are_named():
    """Without oneDNN, which keeps them in float32 on processors that multiply float16."""
    spec = make_spec(in_channels=64, out_channels=64, input_size=10, kernel_size=3, batch_size=2)
    found = one(verdict_on(TorchTarget(torch.device("cpu"), Flags(mkldnn=False)), spec, torch.float16), "input")
    assert found.verdict == "FAIL"
    assert "float16 on the way" in found.reason or "sums are not kept in float32" in found.reason
    assert verdict_on(TORCH, make_spec(input_size=6), torch.float16, arithmetic="short").verdict == "PASS"


def test_the_output_is_judged_too():
    found = verdict_on(changed(output=lambda t: t + 1))
    assert (found.verdict, one(found, "output").verdict) == ("FAIL", "FAIL")


def test_a_wrong_shape_is_wrong_even_where_it_would_broadcast():
    target = Wrapped(lambda spec, operands, call, a: Answer(replace(a.gradients, bias=None), {"bias": (1,)}))
    found = one(verdict_on(target), "bias")
    assert (found.verdict, found.reason) == ("FAIL", "its shape is 1, not 6")


def test_no_gradient_is_no_verdict():
    target = Wrapped(lambda spec, operands, call, answer: Answer(Gradients(output=answer.gradients.output)))
    with pytest.raises(TargetError, match="gives no gradient to judge"):
        verdict_on(target)


def test_what_is_missing_is_said():
    target = Wrapped(lambda spec, operands, call, answer: Answer(Gradients(weight=answer.gradients.weight)))
    found = verdict_on(target)
    assert (found.verdict, found.unjudged) == ("PASS", ("output", "input", "bias"))


def saved(change):
    """A target that cannot be called with other numbers."""
    target = changed(weight=change)
    target.callable = False
    return target


def test_saved_gradients_are_judged_by_bounds_alone():
    spec = make_spec(in_channels=8, out_channels=8, input_size=32, kernel_size=3, batch_size=8)
    assert verdict_on(saved(lambda t: t), spec).verdict == "PASS"
    assert verdict_on(saved(lambda t: t * 1.01), spec).verdict == "FAIL"


def test_rounded_operands_of_long_sums_are_suspected_where_nothing_can_be_probed():
    spec = make_spec(in_channels=16, out_channels=16, input_size=40, kernel_size=3, batch_size=16)

    def rounded(tensor):
        fraction, exponent = torch.frexp(tensor)
        return torch.ldexp((fraction * 2**11).round() / 2**11, exponent)

    target = Wrapped(lambda s, operands, call, answer: TORCH.run(s, operands.map(rounded), call), callable=False)
    found = one(verdict_on(target, spec), "weight")
    assert not len(found.certificate.wrong(ARITHMETICS["direct"]))
    assert found.verdict == "SUSPECT"
    assert "as in TF32" in found.reason


def test_zeros_alone_cannot_fail():
    operands = operands_of(SPEC, "normal", torch.float32, 0).map(torch.zeros_like)
    target = saved(lambda t: t)
    found = examine(SPEC, operands, target)
    assert found.verdict == "MISTRUSTED"
    assert "every number is 0" in one(found, "weight").reason


def test_a_target_that_refuses_a_probe_is_an_error():
    def refuse(spec, operands, call, answer):
        if float(operands.input.abs().max()) > 100:
            raise TargetError("mine.py::f raised ValueError: too large")
        return answer

    found = verdict_on(Wrapped(refuse))
    assert found.verdict == "ERROR"
    assert ("sums", "mine.py::f raised ValueError: too large") in found.refused


def flipped(t):
    t = t.clone()
    t.view(torch.int32).view(-1)[7] ^= 1
    return t


READINGS = {
    "a flipped bit": (flipped, "no term is wrong, but 1 of 72 elements differ by one unit in the last place on exact"),
    "an integer type": (lambda t: t.to(torch.int64).float(), "the results are whole numbers, where "),
    "results of 8 bits": (lambda t: t.bfloat16().float(), "the results are rounded to 8 bits, which no --arithmetic"),
    "results of 11 bits": (lambda t: t.half().float(), "the results are rounded to 11 bits, which no --arithmetic"),
    "a clip": (lambda t: t.clamp(-4, 4), "the formula is wrong: "),
    "a threshold": (lambda t: torch.where(t.abs() < 0.1, 0, t), "small numbers come back as 0: "),
    "nothing below 0": (lambda t: t.clamp(min=0), "negative numbers come back as 0: "),
    "no signs": (torch.abs, "negative numbers come back with the other sign: "),
    "nothing from 0 to 20": (lambda t: torch.where(t < 20, t.clamp(max=0), t), "some numbers come back as 0: "),
}


@pytest.mark.parametrize("case", READINGS)
def test_what_is_read_from_a_wrong_tensor_is_what_is_known(case):
    change, said = READINGS[case]
    assert one(verdict_on(changed(weight=change)), "weight").reason.startswith(said)


def test_results_of_8_bits_are_not_what_bf16_declares_and_what_does_is_said():
    """theory.md, 3: it rounds the operands, and keeps the results of their sums."""

    def rounded(spec, operands, call, answer):
        found = TORCH.run(spec, operands.map(lambda t: t.bfloat16().float()), call).gradients.named()
        return Answer(Gradients(**{name: tensor.bfloat16().float() for name, tensor in found.items()}))

    found = one(verdict_on(Wrapped(rounded), arithmetic="bf16"), "weight")
    assert found.verdict == "FAIL"
    assert found.reason.endswith("; --dtype bfloat16 would explain it")


def test_rounded_operands_say_which_arithmetic_explains_them():
    target = Wrapped(lambda s, operands, call, a: TORCH.run(s, operands.map(lambda t: t.bfloat16().float()), call))
    assert one(verdict_on(target), "input").reason.endswith("as in bfloat16; --arithmetic bf16 would explain it")
    assert verdict_on(target, arithmetic="bf16").verdict == "PASS"


def test_what_does_not_follow_from_the_operands_is_no_wrong_formula():
    sums: dict[torch.Size, torch.Tensor] = {}

    def grown(spec, operands, call, answer):
        weight = answer.gradients.weight
        sums[weight.shape] = sums.get(weight.shape, 0) + weight
        return Answer(replace(answer.gradients, weight=sums[weight.shape]))

    found = verdict_on(Wrapped(grown))
    assert one(found, "weight").reason.startswith("the same call gave other numbers the second time: ")
    assert one(found, "input").verdict == "PASS"
    first = TORCH.run(SPEC, operands_of(SPEC, "normal", torch.float32, 0))
    found = verdict_on(Wrapped(lambda *_: first))
    assert one(found, "weight").reason == "it does not depend on the operands: other numbers gave the same"


def test_a_shape_that_is_wrong_on_other_numbers_alone_is_said():
    def change(spec, operands, call, answer):
        if float(operands.input.abs().max()) < 50:
            return answer
        return Answer(replace(answer.gradients, bias=None), {"bias": (1,)})

    found = one(verdict_on(Wrapped(change)), "bias")
    assert (found.verdict, found.reason) == ("FAIL", "on other numbers its shape is 1, not 6")


def test_a_wrong_shape_has_no_probes():
    target = Wrapped(lambda spec, operands, call, a: Answer(replace(a.gradients, bias=None), {"bias": (1,)}))
    assert one(verdict_on(target), "bias").probed == ()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_small_numbers_that_are_dropped_and_small_ones_that_are_added_are_seen(dtype):
    def dropping(t):
        return torch.where(t.abs() < 1e-6, 0, t)

    target = Wrapped(lambda s, operands, call, a: TORCH.run(s, operands.map(dropping), call))
    assert verdict_on(target, kind="constant", dtype=dtype).verdict == "FAIL"
    assert one(verdict_on(target, dtype=dtype), "weight").reason.startswith("small numbers come back as 0: ")
    target = Wrapped(lambda s, operands, call, a: TORCH.run(s, operands.map(lambda t: t + 1e-12), call))
    assert verdict_on(target, dtype=dtype).verdict == "FAIL"


def test_saved_numbers_outside_their_bounds_are_counted_and_explained_only_where_that_shows():
    spec = make_spec(in_channels=3, out_channels=2, input_size=6, kernel_size=3)
    operands = operands_of(spec, "normal", torch.float32, 0)
    right = TORCH.run(spec, operands).gradients.weight
    one = right.clone()
    one[0, 1, 2, 0] *= 1 + 1e-3
    said = {}
    for name, saved in (("one", one), ("half", right.half().float()), ("tf32", right * (1 + 2.0**-13))):
        target = Wrapped(lambda *_, saved=saved: Answer(Gradients(weight=saved)), callable=False)
        said[name] = next(j.reason for j in examine(spec, operands, target).judged)
    outside = "of 54 elements are proved outside the rounding bound"
    assert said["one"] == "1 of 54 elements is proved outside the rounding bound"
    assert said["half"].endswith(f"{outside}; all results have no more than 11 bits, as if rounded to float16")
    assert said["tf32"].endswith(f"{outside}; operands rounded to TF32 would explain it")


@pytest.mark.parametrize("operand", ["input", "weight", "grad_output"])
def test_leaving_out_small_numbers_is_seen_with_few_channels_too(operand):
    def without(tensor):
        return torch.where(tensor.abs() < 1e-10, 0.0, tensor)

    def change(spec, operands, call, answer):
        return TORCH.run(spec, replace(operands, **{operand: without(getattr(operands, operand))}), call)

    for channels, size in (((1, 1), 9), ((2, 3), 7), ((1, 4), 16), ((4, 1), 16)):
        spec = make_spec(in_channels=channels[0], out_channels=channels[1], input_size=size, kernel_size=3)
        for seed in range(8):
            found = verdict_on(Wrapped(change), spec, seed=seed, only=("weight", "input"))
            assert {j.operand for j in found.judged if j.verdict == "FAIL"} == {"weight", "input"} - {operand}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("batch", [2, 3])
def test_a_bias_gradient_whose_samples_are_added_in_16_bits_is_seen(batch, dtype):
    def change(spec, operands, call, answer):
        each = operands.grad_output.float().sum((2, 3)).to(dtype)
        total = each[0]
        for sample in each[1:]:
            total = total + sample
        return Answer(Gradients(bias=total))

    spec = replace(SPEC, batch_size=batch, groups=1, padding=((1, 1), (1, 1)), stride=(1, 1))
    for seed in range(12):
        assert verdict_on(Wrapped(change), spec, dtype, seed=seed).verdict == "FAIL"


def test_a_gradient_that_comes_later_only_is_an_error():
    calls = []

    def change(spec, operands, call, answer):
        calls.append(call)
        return answer if len(calls) > 1 else Answer(replace(answer.gradients, weight=None))

    found = verdict_on(Wrapped(change))
    assert found.verdict == "ERROR"
    assert found.refused == (("numbers", "gave grad_weight, which it did not on the real data"),)
    assert found.unjudged == ("weight",)


@pytest.mark.parametrize("size", [1e-30, 1e-38, 1e-40])
def test_errors_among_subnormal_numbers_are_read_as_nothing(size):
    spec = make_spec(in_channels=4, out_channels=4, input_size=12, kernel_size=3)
    operands = operands_of(spec, "normal", torch.float32, 0)
    operands = replace(operands, grad_output=operands.grad_output * size)
    answer = TORCH.run(spec, operands)
    saved = Wrapped(lambda *_: answer, callable=False)
    assert {j.operand: j.verdict for j in examine(spec, operands, saved).judged} == dict.fromkeys(
        ("output", "weight", "input"), "PASS"
    )
