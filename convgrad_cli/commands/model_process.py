"""What runs in the process of a user's model: it is built, run once, and each layer's row is told as it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from convgrad_cli.commands.model_rows import row_of
from convgrad_cli.errors import ConvGradError
from convgrad_cli.gradients.channel import Block
from convgrad_cli.gradients.child import Tell, serve
from convgrad_cli.gradients.results import Refusal
from convgrad_cli.gradients.subject import find
from convgrad_cli.models.build import build, load_weights, run
from convgrad_cli.models.capture import Capture
from convgrad_cli.models.use import Use
from convgrad_cli.tensors.captures import write_capture
from convgrad_cli.tensors.device import find_device
from convgrad_cli.tensors.fills import fill
from convgrad_cli.tensors.operands import Tensor


def main() -> None:
    serve(LoadedModel)


class LoadedModel:
    """A model that answers one question: what its layers are like after one forward and backward pass."""

    takes = ()

    def __init__(self, setup: Mapping[str, Any], tell: Tell) -> None:
        self._tell = tell
        [found], self.sha256 = find(setup)
        torch.manual_seed(setup["seed"])
        self._model = build(found, setup["args"])
        if setup["weights"]:
            load_weights(self._model, **setup["weights"])
        self._loss = None if setup["loss"] is None else find(setup["loss"])[0][0]

    def answer(
        self, question: Mapping[str, Any], blocks: Mapping[str, Block]
    ) -> tuple[dict[str, Any], dict[str, Block]]:
        try:
            device = find_device(question["device"])
        except ConvGradError as error:
            raise Refusal(f"can't run there: {error}") from None
        dtype = getattr(torch, question["dtype"]) if question["dtype"] else _dtype_of(self._model, blocks)
        model = self._model.to(device=device, dtype=dtype if question["dtype"] else None).train(question["train"])
        input = _input(question, blocks, dtype).to(device)
        # Whole numbers came as float64; to an embedding they are what they were.
        input = input.long() if question["whole"] and _embeds(model) else input.to(dtype)
        with Capture(model, lambda use: self._judge(use, question)) as capture:
            loss = run(model, input, self._loss or question["loss"])
            self._tell({"layers": capture.count})
            loss.backward()  # type: ignore[no-untyped-call]
        facts = {"device": str(device), "dtype": str(dtype).removeprefix("torch."), "notes": capture.notes}
        parameters = sum(p.numel() for p in model.parameters())
        return facts | {"loss_value": float(loss.detach()), "parameters": parameters}, {}

    def _judge(self, use: Use, question: Mapping[str, Any]) -> None:
        if question["layer"] not in (None, use.name):
            self._tell({"passed": use.name})
            return
        if question["save"] is not None:
            write_capture(question["save"], use.name, use.spec, use.tensors())
        if question["layer"] is None:
            self._tell({"row": asdict(row_of(use, question["arithmetic"]))})


def _dtype_of(model: torch.nn.Module, blocks: Mapping[str, Block]) -> torch.dtype:
    """What the model computes in, as far as its first tensor tells, or else the input that was given."""
    found = (*model.parameters(), *model.buffers())
    given = getattr(torch, blocks["input"].dtype) if "input" in blocks else torch.float32
    return next((tensor.dtype for tensor in found if tensor.dtype.is_floating_point), given)


def _embeds(model: torch.nn.Module) -> bool:
    """Whether the model looks up rows of a table by whole numbers."""
    return any(isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag) for module in model.modules())


def _input(question: Mapping[str, Any], blocks: Mapping[str, Block], dtype: torch.dtype) -> Tensor:
    if "input" in blocks:
        block = blocks["input"]
        tensor = torch.from_numpy(block.array)
        return tensor.view(torch.bfloat16) if block.dtype == "bfloat16" else tensor
    shape = tuple(question["shape"])
    generator = torch.Generator().manual_seed(question["seed"])
    return fill(question["fill"], "input", shape, max(1, len(shape) - 2), dtype, generator)
