"""Capture: the convolutions that a model runs, caught where torch is called, so that functional calls are caught too.

Each operand of a run goes in through a view of its own. The gradient that arrives at that view is the one of this run
alone, before autograd adds it to those of other runs, and the one at the output is that of the convolution's own
output, whatever is later done to it in place.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from convgrad_cli.errors import SpecError
from convgrad_cli.models.run import UNJUDGED, Run
from convgrad_cli.models.use import FUNCTIONS, Use, packet, spec_of
from convgrad_cli.tensors.operands import Tensor

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

Each = Callable[[Use], None]


class Capture(TorchFunctionMode):
    """A block in which every convolution of `model` with a backward pass is handed to `each` once that has reached it.

    `notes` says afterwards what was not captured, and why. The numbers that the model computes are the same as without.
    """

    def __init__(self, model: nn.Module, each: Each) -> None:
        super().__init__()
        self.model, self.notes = model, list[str]()
        self._each, self._modules = each, dict(model.named_modules())
        self._names = {module: name for name, module in self._modules.items()}
        self._inside: list[str] = []  # the modules that are running, the innermost last
        self._runs: Counter[str] = Counter()
        self._without: list[str] = []  # runs that nobody asks a gradient of
        self._unjudged: dict[str, list[str]] = {why: [] for why in UNJUDGED}
        self._waiting: list[Run] = []
        self._place = self._ended = 0
        self._hooks = ExitStack()

    @property
    def count(self) -> int:
        """How many runs were seen so far."""
        return self._place

    def __enter__(self) -> Capture:
        if "torch._dynamo" in sys.modules:  # what it has compiled could not be seen
            self._hooks.enter_context(torch.compiler.set_stance("force_eager"))
        for module in self._names:
            if isinstance(module, torch.jit.ScriptModule):
                continue
            # Before hooks that are there already, and after them: what they call belongs to the module too.
            self._hooks.callback(module.register_forward_pre_hook(_Hook(self._enter), prepend=True).remove)
            self._hooks.callback(module.register_forward_hook(_Hook(self._leave), always_call=True).remove)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        self._hooks.close()
        for run in self._waiting:
            run.forget()
        if kind is None:
            self._say_what_is_missing()

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if packet(func) not in FUNCTIONS:
            return func(*args, **given)
        named = dict(zip(("input", "weight", "bias"), args, strict=False))
        named |= {name: given.pop(name) for name in ("input", "weight", "bias") if name in given}
        return self._run(func, named["input"], named["weight"], named.get("bias"), args[3:], given)

    def _run(
        self, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None, rest: Sequence[Any], more: dict[str, Any]
    ) -> Any:
        operands = {"input": input, "weight": weight} | ({} if bias is None else {"bias": bias})
        name = self._name(func, weight)
        try:
            spec = None if self._is_foreign(name, operands) else spec_of(func, input, weight, bias, *rest, **more)
        except SpecError as error:
            self.notes.append(f"{name} is not judged: {error}")
            spec = None
        if spec is None:
            return func(input, weight, bias, *rest, **more)
        views = {key: tensor.view_as(tensor) if tensor.requires_grad else tensor for key, tensor in operands.items()}
        output = func(views["input"], views["weight"], views.get("bias"), *rest, **more)
        run = Run(name, self._place, spec, operands, self._done)
        self._place += 1
        self._waiting.append(run)
        run.watch(output, {key: view for key, view in views.items() if view.requires_grad})
        return output

    def _is_foreign(self, name: str, operands: Mapping[str, Tensor]) -> bool:
        """Whether a call is none that can be judged; said, unless it is one without gradients."""
        kinds = {tensor.dtype for tensor in operands.values()}
        if torch._C._get_tracing_state() is not None or any(
            tensor.is_meta or _is_fake(tensor) for tensor in operands.values()
        ):
            self.notes.append(f"{name} is not judged: it is traced, or its tensors have no numbers")
            return True
        if any(map(torch._C._functorch.is_functorch_wrapped_tensor, operands.values())):
            self.notes.append(f"{name} is not judged: it runs under torch.func, whose tensors can't be watched")
            return True
        if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in operands.values()):
            self._without.append(name)
            return True
        if torch.is_autocast_enabled(operands["input"].device.type):
            self.notes.append(f"{name} is not judged: it runs under autocast, which casts what it is given")
            return True
        if len(kinds) > 1 or not kinds <= set(DTYPES):
            said = " and ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
            self.notes.append(f"{name} is not judged: it runs on {said}")
            return True
        return False

    def _name(self, func: Any, weight: Tensor) -> str:
        inside = self._inside[-1] if self._inside else ""
        if self._inside and isinstance(self._modules[inside], CONVOLUTIONS):
            name = inside or type(self.model).__name__
        else:
            owned = next((name for name, p in self.model.named_parameters() if p is weight), "")
            name = owned or ".".join(filter(None, [inside, packet(func).__name__]))
        self._runs[name] += 1
        return name if self._runs[name] == 1 else f"{name}#{self._runs[name]}"

    def _done(self, run: Run, use: Use | None) -> None:
        if run.why:
            self._unjudged[run.why].append(run.name)
        if run.why == "again":
            return
        self._waiting.remove(run)
        self._ended += 1
        if use is None:
            return
        # What is computed here is no part of the model, whatever mode it runs in.
        with torch._C.DisableTorchFunction(), torch.no_grad():
            self._each(use)

    def _enter(self, module: nn.Module, args: Any) -> None:
        self._inside.append(self._names[module])

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self._inside.pop()

    def _say_what_is_missing(self) -> None:
        left = [run.name for run in self._waiting if not run.started]
        part = [run.name for run in self._waiting if run.started]
        compiled = [name or type(m).__name__ for m, name in self._names.items() if _is_compiled(m)]
        if compiled:
            self.notes.append(f"{_listed(compiled)} ran without torch.compile, behind which no layer can be seen")
        scripted = [
            name or type(m).__name__ for m, name in self._names.items() if isinstance(m, torch.jit.ScriptModule)
        ]
        if scripted:
            self.notes.append(f"{_listed(scripted)}: TorchScript, whose layers can't be seen; not judged")
        for why, names in self._unjudged.items():
            if names:
                self.notes.append(f"{_listed(names)}: not judged{'' if why == 'again' else ','} {UNJUDGED[why]}")
        if left:
            none = "" if self._ended else "no backward pass ran here, or "
            self.notes.append(f"no gradient reached {_listed(left)}: {none}the loss does not depend on what they give")
        if part:
            self.notes.append(f"{_listed(part)}: not judged, as no backward pass left all gradients")
        if self._without:
            self.notes.append(
                f"{_listed(self._without)}: not judged, as nothing asks for a gradient there: frozen, under no_grad, "
                "inside an autograd.Function, or checkpointed with use_reentrant=True"
            )
        ran = {name.partition("#")[0] for name in self._runs}
        layers = [(name or type(m).__name__) for m, name in self._names.items() if isinstance(m, CONVOLUTIONS)]
        unused = [name for name in layers if not {name, f"{name}.weight"} & ran and name not in scripted]
        if unused:
            self.notes.append(f"{_listed(unused)} did not run, or in another thread")
        hooked = [name or type(m).__name__ for m, name in self._names.items() if _has_hooks(m)]
        if hooked:
            self.notes.append(f"{_listed(hooked)}: judged before hooks of yours that change gradients")


class _Hook:
    """A hook that a module does not take along where it is copied or saved."""

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> None:
        self._call(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        # Takes anything and does nothing, and is there wherever Python is.
        return getattr, (nullcontext(), "__exit__")


def _is_fake(tensor: Tensor) -> bool:
    return type(tensor).__name__ in ("FakeTensor", "FunctionalTensor", "ProxyTensor")


def _is_compiled(module: nn.Module) -> bool:
    return "_orig_mod" in module._modules or getattr(module, "_compiled_call_impl", None) is not None


def _has_hooks(module: nn.Module) -> bool:
    """Whether hooks that may change gradients are on a convolution or on its parameters."""
    if not isinstance(module, CONVOLUTIONS):
        return False
    own = (parameter._backward_hooks for parameter in module.parameters(recurse=False))
    return bool(module._backward_hooks or module._backward_pre_hooks or any(own))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
