"""Run: one run of a convolution in a model, from its forward pass until all of its gradients have come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.models.use import Use
from convgrad_cli.tensors.operands import Operands, Tensor, is_finite

UNJUDGED = {
    "twice": "as gradients of gradients were added to its own",
    "changed": "as x or w was written to between the forward and the backward pass in a way that autograd does not see",
    "batched": "as many backward passes ran at once (is_grads_batched, vectorize)",
    "again": "in a later backward pass over the same graph",
}
COLUMNS = 4093  # a prime, so that hardly a shape moves numbers by a multiple of it
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by their bytes


class Run:
    """Waits for the gradients of one run, and then calls `done` with itself and the Use; None: they can't be had.

    They are those of one backward pass: the first in which all of them come. `why` says, of UNJUDGED, why there are
    none, or none any more.
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
        self.why = ""
        self._given = operands
        # What they were made of then: `.data` may be given another memory. No gradient depends on the bias.
        self._operands: dict[str, Tensor] | None = {
            name: tensor.detach().clone() if name == "bias" else tensor.detach() for name, tensor in operands.items()
        }
        self._wanted, self._finite = set[str](), True
        self._marks = _marks(self._operands)
        self._kept = set[str]()  # operands of which there is a copy by now
        self._came: dict[str, Tensor] = {}
        self._pass, self._differentiable = -1, False  # the backward pass that they come from, and which kind it is

    @property
    def started(self) -> bool:
        """Whether any gradient came."""
        return self._pass >= 0

    def watch(self, output: Tensor, views: Mapping[str, Tensor]) -> None:
        """Wait for the gradients at the output and at the views."""
        self._wanted, self._finite = set(views), is_finite(output.detach())
        node, number = output.grad_fn, output.output_nr
        assert node is not None
        # Before the convolution's own backward, and after hooks on the output that change its gradient.
        node.register_prehook(lambda grads: self._take("grad_output", grads[number]))
        for name, tensor in views.items():
            tensor.register_hook(partial(self._take, name))  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        self._operands, self._given, self._came = None, {}, {}

    def _take(self, name: str, grad: Tensor | None) -> None:
        number = torch._C._current_graph_task_id()
        if grad is None or self.why or (self._operands is None and number == self._pass):
            return
        if self._operands is None:
            self._leave("again")
        elif number != self._pass and self._differentiable:
            # What arrives now may be the gradient of gradients, added to that of this run.
            self._leave("twice")
        elif torch._C._functorch.is_legacy_batchedtensor(grad):
            self._leave("batched")
        else:
            if number != self._pass:
                self._came, self._pass, self._differentiable = {}, number, torch.is_grad_enabled()
            if name == "grad_output":
                self._keep_from_hooks(self._operands)
            # A hook may write to what it is given.
            self._came[name] = grad.detach().clone() if _has_hooks(self._given.get(name)) else grad.detach()
            if self._wanted < set(self._came):
                self._finish(self._operands)

    def _keep_from_hooks(self, operands: dict[str, Tensor]) -> None:
        """Now, just before its own backward pass: a hook on a parameter may take the optimizer's step at once."""
        for name in ("input", "weight"):
            if _has_hooks(self._given[name]) and self._is_in_place(operands, name):
                operands[name] = operands[name].clone()
                self._kept.add(name)

    def _is_in_place(self, operands: Mapping[str, Tensor], name: str) -> bool:
        """Whether an operand still had the memory of the forward pass in the backward pass."""
        return name in self._kept or self._given[name].data_ptr() == operands[name].data_ptr()

    def _finish(self, operands: Mapping[str, Tensor]) -> None:
        """All gradients have come."""
        if (
            not all(self._is_in_place(operands, name) for name in ("input", "weight"))
            or _marks(operands) != self._marks
        ):
            self._leave("changed")
            return
        given, came = ({key: t.cpu() for key, t in found.items()} for found in (operands, self._came))
        self.forget()
        numbers = Operands(given["input"], given["weight"], given.get("bias"), came.pop("grad_output"))
        self._done(self, Use(self.name, self.place, self.spec, numbers, Gradients(**came), self._finite))

    def _leave(self, why: str) -> None:
        self.why = why
        self.forget()
        self._done(self, None)


def _has_hooks(tensor: Tensor | None) -> bool:
    return tensor is not None and bool(tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None))


def _marks(operands: Mapping[str, Tensor]) -> dict[str, bytes]:
    """What tells whether the operands are still the same, at the cost of one look at each.

    Sums of their bits in columns, which no single change escapes, nor what is moved into another column; and the last
    entries as they are, as negating an even number of entries of a column leaves its sum.
    """
    marks = {}
    for name in ("input", "weight"):
        tensor = operands[name]
        bits = tensor.resolve_neg().view(INTEGERS[tensor.itemsize]).reshape(-1)
        summed = max(0, len(bits) - 1) // COLUMNS * COLUMNS
        sums = bits[:summed].view(-1, COLUMNS).sum(0, dtype=bits.dtype)
        marks[name] = torch.cat([sums, bits[summed:]]).cpu().numpy().tobytes()
    return marks
