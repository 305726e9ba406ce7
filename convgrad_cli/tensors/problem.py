"""Problem: a layer, where its numbers come from, and how they are to be run; settled before torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

from convgrad_cli.errors import SourceError
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.casting import cast
from convgrad_cli.tensors.device import check_device, check_dtype, find_device
from convgrad_cli.tensors.files import Numbers
from convgrad_cli.tensors.fills import CENTRED, fill
from convgrad_cli.tensors.memory import fits, require_memory
from convgrad_cli.tensors.sizes import complete_spec, fit
from convgrad_cli.tensors.sources import Fill, Source

if TYPE_CHECKING:
    import torch

    from convgrad_cli.tensors.operands import Operands

LOSSES = {"sum": "y.sum()", "mean": "y.mean()"}
COTANGENTS = ("grad_grad_input", "grad_grad_weight", "grad_grad_bias")
_WIDTHS = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Problem:
    """One layer with its sources; `loss` is the expression whose gradients are taken.

    With `second_order` it is the gradients of these gradients, by the cotangents among the sources. `left` are those
    that a model left for a captured layer, by operand; they stand for what torch computes.
    """

    spec: ConvSpec
    sources: Mapping[str, Source]
    dtype: str
    device: str
    seed: int
    loss: str
    notes: tuple[str, ...]
    second_order: bool = False
    left: Mapping[str, Numbers] = field(default_factory=dict)


def with_left(problem: Problem, left: Mapping[str, Numbers], note: str) -> Problem:
    """`problem` with the gradients that a model left, and `note` with which these are."""
    missing = [
        name for name in ("weight", "input", "bias") if name not in left and (name != "bias" or problem.spec.bias)
    ]
    if not left:
        said = ""
    elif not missing:
        said = ", with the gradients that it left"
    else:
        there, torchs = (" and ".join(LETTERS[n] for n in names) for names in (left, missing))
        said = f", with the gradient that it left of {there}; that of {torchs} is torch's own, as nothing asked for it"
    return replace(problem, left=left, notes=(f"{note}{said}", *problem.notes))


def make_problem(
    settings: Mapping[str, Any],
    sources: Mapping[str, Source],
    *,
    dtype: str | None = None,
    device: str = "cpu",
    seed: int = 0,
    loss: str | None = None,
    second_order: bool = False,
) -> Problem:
    """The Problem of typed settings and given numbers, every size checked. Imports no torch. Raises ConvGradError.

    Cotangents among the sources imply `second_order`.
    """
    if loss is not None and loss not in LOSSES:
        raise SourceError(f"--loss {loss!r} is not one of {', '.join(LOSSES)}; any other loss is given by its --g")
    if loss is not None and "grad_output" in sources:
        raise SourceError(f"--g is the gradient of a loss of your own, and --loss {loss} another; drop one of them")
    if not 0 <= seed < 2**63:
        raise SourceError(f"--seed must be from 0 to 2^63 - 1, not {seed}")
    device = check_device(device)
    spec = complete_spec(settings, sources)
    fitted: dict[str, Source] = {}
    notes = []
    if "grad_grad_bias" in sources and not spec.bias:
        raise SourceError("--ggb is the cotangent of the bias's gradient, and the layer has no bias; add --bias")
    for name, source in sources.items():
        if isinstance(source, Numbers):
            source, note = fit(spec, name, source)
            notes += [*source.notes, *([note] if note else [])]
        elif source.kernel_size and spec.kernel_size != source.kernel_size:
            raise SourceError(f"the fill {source.name} is a 3x3 kernel; it can only be the weight of such a 2-D layer")
        elif source.kernel_size and name not in ("weight", "grad_grad_weight"):
            raise SourceError(f"the fill {source.name} is a kernel; it can only be given as --w")
        elif source.name in CENTRED and name.endswith("bias"):
            raise SourceError(f"the fill {source.name} is 1 at a centre, which a bias has not; give ones, or numbers")
        fitted[name] = source
    given = {source.dtype for source in fitted.values() if isinstance(source, Numbers) and source.dtype}
    chosen = check_dtype(dtype) if dtype else max(given, key=_width, default="float32")
    shown = "(y * g).sum()" if "grad_output" in sources else LOSSES[loss or "sum"]
    second_order = second_order or any(name in sources for name in COTANGENTS)
    return Problem(spec, fitted, chosen, device, seed, shown, tuple(notes), second_order)


def memory_for(problem: Problem, *, gradients: bool) -> int:
    """Bytes that the operands need, with `gradients` also for both routes to them."""
    spec, width = problem.spec, _WIDTHS[problem.dtype]
    inputs, weights, outputs = (prod(spec.shape_of(name)) for name in ("input", "weight", "output"))
    if spec.has_padded_input:
        inputs += prod(spec.padded_input_shape)
    if problem.second_order:
        inputs, weights = 2 * inputs, 2 * weights
    entries = inputs + weights + outputs
    # Operands and results of both routes; by hand in float64, twice for the magnitudes; bounds and differences.
    return entries * (3 * width + 9 * 8) if gradients else (inputs + weights) * 2 * width


def make_operands(problem: Problem, *, gradients: bool = True) -> Operands:
    """The numbers of the problem, on the CPU in its dtype. Raises ConvGradError where they do not fit into memory."""
    from convgrad_cli.tensors.operands import Operands

    spec = problem.spec
    single = ", or explain --at for a single element" if fits(memory_for(problem, gradients=False)) else ""
    require_memory(
        memory_for(problem, gradients=gradients),
        f"{spec.layer_text()} on {'x'.join(map(str, spec.input_shape))}",
        f"use a smaller --size or --batch{single}",
    )
    notes: list[str] = []
    names = ("input", "weight", "bias", "grad_output", *(COTANGENTS if problem.second_order else ()))
    tensors = {
        name: _tensor(problem, name, place, notes)
        for place, name in enumerate(names)
        if spec.bias or not name.endswith("bias")
    }
    ones, cotangents = problem.loss == LOSSES["sum"], None
    if problem.second_order:
        input, weight, bias = (tensors.get(name) for name in COTANGENTS)
        cotangents = Operands(input, weight, bias, tensors["grad_output"], ones=ones)  # type: ignore[arg-type]
    return Operands(
        tensors["input"],
        tensors["weight"],
        tensors.get("bias"),
        tensors["grad_output"],
        ones=ones,
        notes=tuple(notes),
        cotangents=cotangents,
    )


def _tensor(problem: Problem, name: str, place: int, notes: list[str]) -> torch.Tensor:
    """The operand `name`, the one at `place` of them all; what of it did not fit into the dtype goes to `notes`."""
    import torch

    spec, dtype, source = problem.spec, getattr(torch, problem.dtype), problem.sources.get(name)
    shape = spec.shape_of(name)
    if name == "grad_output" and source is None:
        share = 1.0 if problem.loss == LOSSES["sum"] else 1.0 / prod(shape)
        # A view of a single number, as the backward of sum() and mean() makes it.
        return torch.tensor(share, dtype=dtype).expand(shape)
    if isinstance(source, Fill) and source.name == "ramp" and 2 / torch.finfo(dtype).eps < prod(shape):
        source = _ramp(shape)  # too long to be counted exactly, which wants saying
    if isinstance(source, Numbers):
        tensor, lost = cast(source, LETTERS[name], dtype)
        notes += lost
        return tensor
    # An own stream each: adding a bias, say, changes no other operand.
    # Nor are cotangents the operands of the next seed; of a seed torch reads 32 bits.
    own = problem.seed * 4 + place + (2**31 if name in COTANGENTS else 0)
    generator = torch.Generator().manual_seed(own % 2**63)
    kind = name.removeprefix("grad_grad_")
    return fill(source.name if source else "randn", kind, shape, spec.dims, dtype, generator)


def _ramp(shape: tuple[int, ...]) -> Numbers:
    import numpy

    return Numbers(numpy.arange(1, prod(shape) + 1).reshape(shape), None, "ramp")


def run_device(problem: Problem) -> torch.device:
    """The device on which torch's route is to run; ConvGradError names what is there instead."""
    return find_device(problem.device)


def _width(dtype: str) -> int:
    return _WIDTHS[dtype] * 2 + (dtype == "float16")
