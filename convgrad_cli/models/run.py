"""Run: one run of a convolution in a model, from its forward pass until all of its gradients have come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.models.use import Use
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.nonfinite import is_finite

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by their bytes


class Run:
    """Waits for the gradients of one run, and then calls `done` with itself and the Use; None: they can't be had.

    They are those of one backward pass: the first in which all of them come. `changed`: the operands were written to
    before that.
    """

    def __init__(
        self,
        name: str,
        place: int,
        spec: ConvSpec,
        operands: dict[str, Tensor],
        done: Callable[[Run, Use | None], None],
    ) -> None:
        self.name, self.place, self.spec, self._done = name, place, spec, done
        self._operands: dict[str, Tensor] | None = operands  # detached, so that hooks of the graph do not hold it
        self._wanted, self._finite = set[str](), True
        self._bits = _bits(operands)
        self.changed = False
        self._came: dict[str, Tensor] = {}
        self._pass, self._differentiable = -1, False  # the backward pass that they come from, and which kind it is

    @property
    def started(self) -> bool:
        """Whether any gradient came."""
        return self._pass >= 0

    def watch(self, output: Tensor, views: Mapping[str, Tensor]) -> None:
        """Wait for the gradients at the output and at the views."""
        self._wanted, self._finite = set(views), is_finite(output.detach())
        for name, tensor in {"grad_output": output, **views}.items():
            tensor.register_hook(partial(self._take, name))  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        self._operands, self._came = None, {}

    def _take(self, name: str, grad: Tensor) -> None:
        if self._operands is None:
            return
        number = torch._C._current_graph_task_id()
        if number != self._pass and self._differentiable:
            # What arrives now may be the gradient of gradients, added to that of this run.
            self.forget()
            self._done(self, None)
            return
        if number != self._pass:
            self._came, self._pass, self._differentiable = {}, number, torch.is_grad_enabled()
        self._came[name] = grad.detach()
        if not self._wanted < set(self._came):
            return
        self.changed = _bits(self._operands) != self._bits
        if self.changed:
            self.forget()
            self._done(self, None)
            return
        operands, came = ({key: t.cpu() for key, t in found.items()} for found in (self._operands, self._came))
        self.forget()
        numbers = Operands(operands["input"], operands["weight"], operands.get("bias"), came.pop("grad_output"))
        self._done(self, Use(self.name, self.place, self.spec, numbers, Gradients(**came), self._finite))


def _bits(operands: Mapping[str, Tensor]) -> dict[str, int]:
    """What tells whether the operands are still the same, at the cost of one look at each: the sum of their bits."""
    integers = {name: t.view(INTEGERS[t.itemsize]) for name, t in operands.items()}
    return {name: int(t.sum(dtype=t.dtype)) for name, t in integers.items()}
