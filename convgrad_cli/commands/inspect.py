"""`inspect`: every gradient of a layer by autograd and by hand, each element beside its slice sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain, zip_longest
from typing import Any

import torch

from convgrad_cli import __version__
from convgrad_cli.commands.arguments import problem_from
from convgrad_cli.commands.describe import element, plain_number, tensor_data
from convgrad_cli.commands.nonfinite import nonfinite
from convgrad_cli.geometry.derivation import require_tellable
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.autograd import autograd
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.report import Comparison, Lazy, Report, Table
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.tensors.problem import Problem, make_operands, run_device
from convgrad_cli.verdict.judge import Judgement, judge

MATTERING = 6  # elements of each kind, largest and worst, that stand for a gradient too long to show


def inspect(layer: Any = None, **options: Any) -> Report:
    """Every gradient of one convolution, by autograd and by hand, beside the slice sum that explains it.

    `layer` is a ConvSpec, an `nn.Conv*d` module (whose weight and bias are used), PyTorch's notation as text, or None;
    the keywords are those of `make_spec` (in_channels, input_size, kernel_size, stride, ...) and the numbers `input`,
    `weight`, `bias`, `grad_output` as tensors, arrays, nested lists or sources ("ramp", "x.npy"), with `seed`,
    `dtype`, `device` and `loss` ("sum" or "mean"). Raises ConvGradError for what no convolution can have.

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
    torchs = _to_cpu(autograd(spec, operands.map(lambda t: t.to(device))))
    tell(1 / 3)
    exact = by_hand(spec, operands, progress=lambda s: tell((1 + s) / 3)).named()
    magnitudes = by_hand(spec, operands, progress=lambda s: tell((2 + s) / 3), each=lambda t: t.double().abs()).named()
    judgements = {
        name: judge(spec, name, actual, exact[name], magnitudes[name]) for name, actual in torchs.named().items()
    }
    short = _short_sums(spec, torchs, judgements, exact, magnitudes)
    routes = {name: {"autograd": actual, "by_hand": exact[name]} for name, actual in torchs.named().items()}
    tensors = operands_by_name(spec, operands) | {"output": torchs.output}
    tensors |= {f"grad_{name}": value for name, value in torchs.named().items() if name != "output"}
    return Report(
        command="inspect",
        **setting(problem, device),
        loss_value=loss_value(problem, torchs.output, operands),
        tensors={name: tensor_data(name, value) for name, value in tensors.items() if value is not None},
        tables=tuple(_table(spec, name, operands, routes[name], judged) for name, judged in judgements.items()),
        comparisons=tuple(_comparison(name, judged) for name, judged in judgements.items()),
        notes=(
            *problem.notes,
            *_tf32_note(problem, device),
            *operands.notes,
            *([short] if short else []),
        ),
        nonfinite=nonfinite(spec, operands, torchs.named(), problem.sources),
    )


def _tf32_note(problem: Problem, device: torch.device) -> tuple[str, ...]:
    if device.type != "cuda" or problem.dtype != "float32":
        return ()
    return ("TF32 was off for this run; torch's own default on CUDA rounds float32 inputs of convolutions to 11 bits",)


def _short_sums(
    spec: ConvSpec,
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
    again = [judge(spec, name, named[name], exact[name], magnitudes[name], "short") for name in wrong]
    if any(judged.agreeing < judged.bound.numel() for judged in again):
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
    }


def operands_by_name(spec: ConvSpec, operands: Operands) -> dict[str, torch.Tensor | None]:
    """The operands under the names that a Report gives them."""
    padded = operands.letters(spec).get("xp")
    return {
        "input": operands.input,
        "padded_input": padded,
        "weight": operands.weight,
        "bias": operands.bias,
        "grad_output": operands.grad_output,
    }


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

    def make(i: int) -> Any:
        index = _unravel(i, shape)
        difference, bound = float(judged.difference[index]), float(judged.bound[index])
        return element(spec, name, index, letters, routes, operands.ones, difference, bound)

    return Table(
        tensor=name if name == "output" else f"grad_{name}",
        shape=shape,
        elements=Lazy(routes["autograd"].numel(), make),
        important=_important(routes["autograd"], judged),
    )


def _important(values: torch.Tensor, judged: Judgement) -> tuple[int, ...]:
    """The flat numbers of the elements that say most: the worst explained and the largest ones, in turn."""
    ratio = judged.ratio.nan_to_num(nan=float("inf")).flatten()
    worst = [i for i in ratio.topk(min(MATTERING, len(ratio))).indices.tolist() if ratio[i] > 0]
    sizes = values.double().abs().nan_to_num(nan=float("inf")).flatten()
    largest = sizes.topk(min(2 * MATTERING - len(worst), len(sizes))).indices.tolist()
    in_turn = chain.from_iterable(zip_longest(worst, largest))
    return tuple(dict.fromkeys(i for i in in_turn if i is not None))


def _comparison(name: str, judged: Judgement) -> Comparison:
    ratio = judged.ratio.nan_to_num(nan=float("inf")).flatten()
    worst = int(ratio.argmax())
    return Comparison(
        tensor=name if name == "output" else f"grad_{name}",
        actual="autograd",
        expected="by_hand",
        elements=len(ratio),
        agreeing=judged.agreeing,
        ratio=float(ratio[worst]),
        worst=_unravel(worst, tuple(judged.bound.shape)) if ratio[worst] > 0 else None,
    )


def _unravel(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    index = []
    for size in reversed(shape):
        flat, at = divmod(flat, size)
        index.append(at)
    return tuple(reversed(index))
