"""The user's code as a Target: a function in a process of its own. Other kinds are in command.py and saved.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.channel import Block
from convgrad_cli.gradients.convention import Layout, cs231n_parameters, keyword, reorder, restore
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.local import LocalWorker
from convgrad_cli.gradients.location import check_target_text
from convgrad_cli.gradients.process import Worker
from convgrad_cli.gradients.target import SECOND, SETTINGS, WANTED, Answer, Call, OtherLayerError, TargetError
from convgrad_cli.safe import safe
from convgrad_cli.tensors.operands import Operands, Tensor

TIMEOUT = 60.0  # seconds
NO_NUMBER = ("tuple", "inhomogeneous", "indices must be integers")  # in errors of what a tuple was taken for a number
KINDS = ("backward", "forward", "cs231n", "double_backward")
FRAMEWORKS = ("numpy", "torch")


def function_target(
    text: str,
    *,
    kind: str = "backward",
    framework: str = "numpy",
    layout: str | None = None,
    weight_layout: str | None = None,
    scalars: bool = False,
    device: str = "cpu",
    timeout: float = TIMEOUT,
) -> FunctionTarget:
    """The function at `text`, `file.py::function` or `package.module:function`, as a Target. Nothing is run yet.

    - kind "backward": called as `function(x, w, b, g, *, stride, padding, dilation, groups)`, with those keywords that
      its signature has; more are `output_padding`, `transposed`, `padding_mode`, `output_mask` (three bools: input,
      weight, bias) and `out` (arrays to fill, by name). It returns `(grad_input, grad_weight, grad_bias)`, fewer, or
      None for one; or a mapping with these names and `output`; or None where it filled `out`.
    - kind "forward": `function(x, w, b, *, ...)` in torch, whose backward is judged. A module, or the class of one, and
      a torch.autograd.Function will do as well.
    - kind "double_backward": `function(x, w, b, g, ggx, ggw, ggb, *, ...)`, where the last three are as large as the
      first. It returns `(grad_grad_output, grad_input, grad_weight)`, the gradients of (ggx * dx).sum() +
      (ggw * dw).sum() + (ggb * db).sum() with respect to g, x and w, or fewer as above; `output_mask` is in that order.
      A "forward" is asked for the same where there are cotangents.
    - kind "cs231n": `text` names the file alone, which has conv_forward_naive and conv_backward_naive.

    `padding` is a number an axis; where an axis has more at one end than at the other, as "same" with an even kernel
    has, it is a pair (before, after) an axis. `framework` "torch" gives tensors in place of NumPy arrays. `layout` is
    the order of the axes of x, g and what belongs to them ("NHWC"), `weight_layout` that of w ("HWIO"). `scalars` gives
    single numbers in place of tuples. `device` is where tensors are handed over, by torch's name of it.
    `timeout` is in seconds and for one call, the first of which includes the start. Raises ConvGradError.
    """
    how = _how(kind, framework, layout, weight_layout, scalars, device)
    location = check_target_text(text, kind if kind == "cs231n" else None, model=kind == "forward")
    fields = ("path", "module", "names", "where")
    setup = {"kind": kind, "framework": how.framework, **{name: getattr(location, name) for name in fields}}
    return FunctionTarget(location.text, how, Worker(location.text, setup, timeout))


def local_target(
    function: Any,
    *,
    kind: str = "backward",
    framework: str = "numpy",
    layout: str | None = None,
    weight_layout: str | None = None,
    scalars: bool = False,
    device: str = "cpu",
) -> FunctionTarget:
    """The same for a function of this process."""
    how = _how(kind, framework, layout, weight_layout, scalars, device)
    name = safe(getattr(function, "__qualname__", type(function).__name__))
    return FunctionTarget(name, how, LocalWorker(name, function, kind, how.framework))


@dataclass(frozen=True)
class _How:
    """How code is called; see `function_target`."""

    kind: str
    framework: str
    layouts: tuple[Layout, Layout]
    scalars: bool
    device: str


def _how(kind: str, framework: str, layout: str | None, weight_layout: str | None, scalars: bool, device: str) -> _How:
    for value, options, what in ((kind, KINDS, "--convention"), (framework, FRAMEWORKS, "--as")):
        if value not in options:
            raise ConvGradError(f"{what} {safe(str(value))!r} is not one of {', '.join(options)}")
    layouts = Layout(layout or "", "--layout"), Layout(weight_layout or "", "--weight-layout")
    return _How(kind, "torch" if kind == "forward" else framework, layouts, scalars, device)


class FunctionTarget:
    """See `function_target`."""

    callable: ClassVar[bool] = True

    def __init__(self, name: str, how: _How, worker: Worker | LocalWorker) -> None:
        self.name, self._worker = name, worker
        self._kind, self._framework, self._layouts, self._scalars = how.kind, how.framework, how.layouts, how.scalars
        self._device = how.device

    @property
    def facts(self) -> tuple[str, ...]:
        """What was run, by the hash of its file once it was."""
        if isinstance(self._worker, LocalWorker):
            return ()
        digest = self._worker.loaded.get("sha256")
        return (f"{self.name}{f', sha256 {digest}' if digest else ''}, runs in a process of its own",)

    @property
    def allows(self) -> frozenset[str]:
        """The process is started to find out, where the function's signature decides. Raises TargetError."""
        needs = {"output_mask": "wanted", "out": "poison", **dict(zip(SETTINGS, SETTINGS, strict=True))}
        takes = self._worker.describe()["takes"] if self._kind != "cs231n" else ("stride", "padding")
        more = ("wanted", "accumulate") if self._kind == "forward" else ()
        return frozenset({"layouts", *more, *(needs[name] for name in takes if name in needs)})

    def run(self, spec: ConvSpec, operands: Operands, call: Call | None = None) -> Answer:
        call = call or Call()
        try:
            orders = self._orders(spec)
            question = self._question(spec, call, orders, second=operands.cotangents is not None)
        except TargetError:
            raise
        except ConvGradError as error:
            raise OtherLayerError(str(error)) from error
        blocks = {name: block(tensor.permute(orders[name])) for name, tensor in self._given(spec, operands).items()}
        expects = {name: tuple(shape) for name, shape in question["expects"].items()}
        reply, results = self._worker.ask(question, blocks, expects)
        if "error" in reply:
            kind = OtherLayerError if reply.get("other_layer") else TargetError
            raise kind(self._worker.said(reply["error"] + self._hint(reply["error"], question["keywords"])))
        return _read(reply, {name: tensor(found) for name, found in results.items()}, orders, spec)

    def close(self) -> None:
        self._worker.close()

    def _orders(self, spec: ConvSpec) -> dict[str, tuple[int, ...]]:
        data, weight = (layout.order(spec) for layout in self._layouts)
        own = {"input": data, "weight": weight, "bias": (0,)}
        return {**own, "output": data, "grad_output": data, **{f"grad_grad_{name}": o for name, o in own.items()}}

    def _question(
        self, spec: ConvSpec, call: Call, orders: Mapping[str, tuple[int, ...]], *, second: bool
    ) -> dict[str, Any]:
        parameters = cs231n_parameters(spec) if self._kind == "cs231n" else None
        masked = SECOND if second else WANTED
        wanted = [name for name in masked if name in call.wanted and (name != "bias" or spec.bias)]
        keywords: dict[str, Any] = {}
        for name in self._worker.describe()["takes"]:
            if name == "output_mask":
                keywords[name] = [one in wanted for one in masked]
            elif name != "out":
                keywords[name] = keyword(spec, name, scalars=self._scalars)
        named = {f"grad_{one}": one for one in masked} | ({} if second else {"output": "output"})
        layouts = dict(call.layouts)
        return {
            "keywords": keywords,
            "conv_param": parameters,
            "layouts": layouts | {f"grad_grad_{name}": layout for name, layout in layouts.items()},
            "device": self._device,
            "wanted": wanted,
            "poison": call.poison,
            "accumulate": call.accumulate,
            "expects": {
                name: reorder(spec.shape_of(one), orders[one])
                for name, one in named.items()
                if spec.bias or one != "bias"
            },
        }

    def _hint(self, error: str, keywords: Mapping[str, Any]) -> str:
        """What helps code that takes the settings for numbers."""
        tuples = [name for name, value in keywords.items() if isinstance(value, tuple) and name in SETTINGS]
        if self._scalars or not tuples or not any(words in error for words in NO_NUMBER):
            return ""
        return f"; {' and '.join(tuples)} came as {'tuples' if len(tuples) > 1 else 'a tuple'}: --scalars gives numbers"

    def _given(self, spec: ConvSpec, operands: Operands) -> dict[str, Tensor]:
        if self._framework == "numpy" and operands.input.dtype == torch.bfloat16:
            raise TargetError("NumPy has no bfloat16; add --as torch")
        given = {"input": operands.input, "weight": operands.weight, "grad_output": operands.grad_output}
        if operands.bias is not None:
            given["bias"] = operands.bias
        elif self._kind == "cs231n":
            given["bias"] = operands.weight.new_zeros(spec.bias_shape)
        if operands.cotangents is not None:
            second = {name: getattr(operands.cotangents, name) for name in ("input", "weight", "bias")}
            given |= {f"grad_grad_{name}": tensor for name, tensor in second.items() if tensor is not None}
        return given


def block(tensor: Tensor) -> Block:
    """A tensor on its way out."""
    name = str(tensor.dtype).removeprefix("torch.")
    contiguous = tensor.detach().contiguous()
    return Block(name, (contiguous.view(torch.int16) if name == "bfloat16" else contiguous).numpy())


def tensor(found: Block) -> Tensor:
    """A tensor that came in."""
    values = torch.from_numpy(found.array)
    return values.view(torch.bfloat16) if found.dtype == "bfloat16" else values


def _read(
    reply: Mapping[str, Any], tensors: Mapping[str, Tensor], orders: Mapping[str, tuple[int, ...]], spec: ConvSpec
) -> Answer:
    """The Answer in PyTorch's order of axes."""
    there = {}
    for name, found in tensors.items():
        one = name.removeprefix("grad_")
        there[one] = found.permute(restore(orders[one])).contiguous()
    misshapen = {}
    for name, shape in reply["misshapen"].items():
        order = orders[name.removeprefix("grad_")]
        back = reorder(shape, restore(order)) if len(shape) == len(order) else shape
        misshapen[name.removeprefix("grad_")] = tuple(back)
    operands = ("input", "weight", "bias", "grad_output", "grad_grad_input", "grad_grad_weight", "grad_grad_bias")
    changed = tuple(n for n in operands if n in reply["changed"])
    missing = tuple(name.removeprefix("grad_") for name in reply["missing"])
    changed = tuple(name for name in changed if spec.bias or name != "bias")
    unasked = tuple(name.removeprefix("grad_") for name in reply["unasked"])
    return Answer(Gradients(**there), misshapen, changed, missing, unasked)
