"""`inspect`: every gradient of a layer by autograd and by hand, each element beside its slice sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain, zip_longest
from typing import Any

import torch

from convgrad_cli import __version__
from convgrad_cli.commands.arguments import problem_from
from convgrad_cli.commands.describe import element, plain_number, tensor_data
from convgrad_cli.commands.nonfinite import nonfinite
from convgrad_cli.errors import SourceError
from convgrad_cli.geometry.derivation import require_tellable
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.gradients.autograd import autograd
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.saved import saved_target
from convgrad_cli.gradients.second_order import Part, by_parts, parts
from convgrad_cli.report import Comparison, Lazy, Report, Table
from convgrad_cli.tensors.index import index_at
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.tensors.problem import LOSSES, Problem, make_operands, make_problem, run_device
from convgrad_cli.verdict.judge import Judgement, judge

MATTERING = 6  # elements of each kind, largest and worst, that stand for a gradient too long to show


def inspect(layer: Any = None, **options: Any) -> Report:
    """Every gradient of one convolution, by autograd and by hand, beside the slice sum that explains it.

    `layer` is a ConvSpec, an `nn.Conv*d` module (whose weight and bias are used), PyTorch's notation as text, or None;
    the keywords are those of `make_spec` (in_channels, input_size, kernel_size, stride, ...) and the numbers `input`,
    `weight`, `bias`, `grad_output` as tensors, arrays, nested lists or sources ("ramp", "x.npy"), with `seed`,
    `dtype`, `device` and `loss` ("sum" or "mean"). `second_order` shows the gradients of S = (ggx * dL/dx).sum() +
    (ggw * dL/dw).sum() + (ggb * dL/db).sum(); `grad_grad_input`, `grad_grad_weight` and `grad_grad_bias` are its ggx,
    ggw and ggb, which are random else. Raises ConvGradError for what no convolution can have.

    >>> inspect(input_size=3, kernel_size=2).exit_code
    0
    """
    return inspect_problem(problem_from(layer, options))


def inspect_problem(problem: Problem, progress: Callable[[float], None] | None = None) -> Report:
    """The Report of `convgrad inspect`; `progress` is called with the share done, from 0 to 1."""
    require_tellable(problem.spec)
    device = run_device(problem)
    operands = make_operands(problem)
    spec = problem.spec
    tell = progress or (lambda share: None)
    tell(0)
    torchs = autograd_of(problem, operands, device)
    tell(1 / 3)
    found = parts(spec, operands)
    exact = by_parts(found, lambda s: tell((1 + s) / 3))
    magnitudes = by_parts(found, lambda s: tell((2 + s) / 3), each=lambda t: t.double().abs())
    judgements = judge_parts(found, torchs, exact, magnitudes)
    short = _short_sums(found, torchs, judgements, exact, magnitudes)
    routes = {name: {"autograd": actual, "by_hand": exact[name]} for name, actual in torchs.named().items()}
    tensors = operands_by_name(spec, operands) | {"output": torchs.output}
    tensors |= {f"grad_{name}": value for name, value in torchs.named().items() if name != "output"}
    return Report(
        command="inspect",
        **setting(problem, device),
        # S is to dS/dg what the loss is to y.
        loss_value=loss_value(problem, torchs.grad_output if problem.second_order else torchs.output, operands),
        tensors={name: tensor_data(name, value) for name, value in tensors.items() if value is not None},
        tables=tuple(_table(spec, name, operands, routes[name], judged) for name, judged in judgements.items()),
        comparisons=tuple(_comparison(name, judged) for name, judged in judgements.items()),
        notes=(
            *problem.notes,
            *_tf32_note(problem, device),
            *operands.notes,
            *([short] if short else []),
        ),
        # Entries of the second order come from sums of two kinds, whose terms are not told apart.
        nonfinite=None if problem.second_order else nonfinite(spec, operands, torchs.named(), problem.sources),
    )


def autograd_of(problem: Problem, operands: Operands, device: torch.device) -> Gradients:
    """What autograd gives on `device`, on the CPU; gradients that a model left for these numbers are that already."""
    found = _to_cpu(autograd(problem.spec, operands.map(lambda t: t.to(device))))
    left = saved_target(problem.left).run(problem.spec, operands)
    for name, shape in left.misshapen.items():
        expected = by_x(problem.spec.shape_of(name))
        raise SourceError(f"{problem.left[name].where} has shape {by_x(shape)}; this layer's grad_{name} is {expected}")
    return replace(found, **left.gradients.named())


def changed(problem: Problem, spec: ConvSpec, changes: Mapping[str, Any]) -> Problem:
    """The layer `spec` with the keywords of make_spec in `changes`, on the numbers of `problem`.

    Raises ConvGradError where no convolution has them, or given numbers do not fit.
    """
    loss = None if "grad_output" in problem.sources else {text: name for name, text in LOSSES.items()}[problem.loss]
    settings = {**asdict(spec), **changes}
    return make_problem(
        settings,
        problem.sources,
        dtype=problem.dtype,
        device=problem.device,
        seed=problem.seed,
        loss=loss,
        second_order=problem.second_order,
    )


def _tf32_note(problem: Problem, device: torch.device) -> tuple[str, ...]:
    if device.type != "cuda" or problem.dtype != "float32":
        return ()
    return ("TF32 was off for this run; torch's own default on CUDA rounds float32 inputs of convolutions to 11 bits",)


def judge_parts(
    found: Sequence[Part],
    torchs: Gradients,
    exact: Mapping[str, torch.Tensor],
    magnitudes: Mapping[str, torch.Tensor],
    arithmetic: str = "direct",
) -> dict[str, Judgement]:
    """How torch's tensors agree with those by hand."""
    named = torchs.named()
    return {
        second: judge(part.spec, name, named[second], exact[second], magnitudes[second], arithmetic)
        for part in found
        for name, second in part.names.items()
        if second in named
    }


def _short_sums(
    found: Sequence[Part],
    torchs: Gradients,
    judgements: Mapping[str, Judgement],
    exact: Mapping[str, torch.Tensor],
    magnitudes: Mapping[str, torch.Tensor],
) -> str:
    """What a difference in a 16-bit type means, if sums kept in that very type explain all of it."""
    named = torchs.named()
    wrong = [name for name, judged in judgements.items() if judged.agreeing < judged.bound.numel()]
    if not wrong or named[wrong[0]].dtype.itemsize > 2:
        return ""
    dtype = named[wrong[0]].dtype
    again = judge_parts(found, torchs, exact, magnitudes, "short")
    if any(again[name].agreeing < again[name].bound.numel() for name in wrong):
        return ""
    kind = str(dtype).removeprefix("torch.")
    return (
        f"the differences are what partial sums kept in {kind} explain; a correct gradient in {kind} "
        "is summed in float32 and rounded once"
    )


def setting(problem: Problem, device: torch.device) -> dict[str, Any]:
    """The fields of a Report that say what was run."""
    return {
        "version": __version__,
        "spec": problem.spec,
        "dtype": problem.dtype,
        "device": str(device),
        "seed": problem.seed,
        "loss": problem.loss,
        "second_order": second_loss(problem.spec) if problem.second_order else "",
    }


def second_loss(spec: ConvSpec) -> str:
    """S, whose gradients are those of the second order."""
    return " + ".join(f"(gg{letter} * dL/d{letter}).sum()" for letter in ("xwb" if spec.bias else "xw"))


def operands_by_name(spec: ConvSpec, operands: Operands) -> dict[str, torch.Tensor | None]:
    """The operands under the names that a Report gives them."""
    letters = operands.letters(spec)
    names = ("input", "padded_input", "weight", "bias")
    named = {**dict.fromkeys(names), "grad_output": operands.grad_output}
    named |= {name: letters.get(LETTERS[name]) for name in names}
    if operands.cotangents is not None:
        second = ("grad_grad_input", "padded_grad_grad_input", "grad_grad_weight", "grad_grad_bias")
        named |= {name: letters.get(LETTERS[name]) for name in second}
    return named


def loss_value(problem: Problem, output: torch.Tensor | None, operands: Operands) -> float | None:
    """The loss as torch computes it from its own output."""
    if output is None:
        return None
    reduced = {"y.sum()": output.sum, "y.mean()": output.mean}.get(problem.loss)
    return plain_number(reduced() if reduced else (output * operands.grad_output).sum())


def _to_cpu(gradients: Gradients) -> Gradients:
    return Gradients(**{name: value.cpu() for name, value in gradients.named().items()})


def _table(
    spec: ConvSpec, name: str, operands: Operands, routes: Mapping[str, torch.Tensor], judged: Judgement
) -> Table:
    shape = tuple(routes["autograd"].shape)
    letters = operands.letters(spec)
    difference, bound = judged.difference.numpy(), judged.bound.numpy()

    def make(i: int) -> Any:
        index = index_at(i, shape)
        return element(spec, name, index, operands, letters, routes, float(difference[index]), float(bound[index]))

    return Table(
        tensor=name if name == "output" else f"grad_{name}",
        shape=shape,
        elements=Lazy(routes["autograd"].numel(), make),
        important=_important(routes["autograd"], judged),
    )


def _important(values: torch.Tensor, judged: Judgement) -> tuple[int, ...]:
    """The flat numbers of the elements that say most: the worst explained and the largest ones, in turn."""
    ratio = judged.ratio.nan_to_num(nan=float("inf"), posinf=float("inf")).flatten()
    worst = [i for i in ratio.topk(min(MATTERING, len(ratio))).indices.tolist() if ratio[i] > 0]
    sizes = values.double().abs().nan_to_num(nan=float("inf")).flatten()
    largest = sizes.topk(min(2 * MATTERING - len(worst), len(sizes))).indices.tolist()
    in_turn = chain.from_iterable(zip_longest(worst, largest))
    return tuple(dict.fromkeys(i for i in in_turn if i is not None))


def _comparison(name: str, judged: Judgement) -> Comparison:
    ratio = judged.ratio.nan_to_num(nan=float("inf"), posinf=float("inf")).flatten()
    worst = int(ratio.argmax())
    return Comparison(
        tensor=name if name == "output" else f"grad_{name}",
        actual="autograd",
        expected="by_hand",
        elements=len(ratio),
        agreeing=judged.agreeing,
        ratio=float(ratio[worst]),
        worst=index_at(worst, tuple(judged.bound.shape)) if ratio[worst] > 0 else None,
    )
