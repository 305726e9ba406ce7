"""`capture`: every convolution that a model runs inside a block of code, judged as its gradients come."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, overload

import torch

from convgrad_cli import __version__
from convgrad_cli.commands.model_rows import row_of, where_first
from convgrad_cli.layers import LayerRow, ModelReport
from convgrad_cli.models.capture import Capture
from convgrad_cli.models.use import Use
from convgrad_cli.safe import safe
from convgrad_cli.tensors.captures import write_capture


@contextmanager
def capture(model: torch.nn.Module, *, arithmetic: str = "direct", save: str | None = None) -> Iterator[Layers]:
    """Judge the convolutions of `model` that have a backward pass in the block: each when its gradients have come.

    The training step is any code of yours; it computes the same numbers as without. What is yielded is a sequence of
    LayerRow, one for each run of a layer, complete after the block; `layers["conv1"]` is one of them and
    `print(layers)` shows all. What runs while no module of the model does is among them as "conv2d", say. `save` names
    a directory for their tensors, which `convgrad inspect --capture` and the others read. Peak memory is that of the
    step and of judging one layer.

    >>> layer = torch.nn.Conv2d(1, 1, 2)
    >>> with capture(layer) as layers:
    ...     layer(torch.ones(1, 1, 3, 3)).sum().backward()
    >>> layers["Conv2d"].verdict
    'PASS'
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"capture takes a torch.nn.Module, not {type(model).__name__}")
    layers = Layers(model, arithmetic, save)
    if save is not None:
        os.makedirs(save, exist_ok=True)
    with Capture(model, layers.judge) as caught:
        yield layers
    layers.close(caught.notes)


class Layers(Sequence[LayerRow]):
    """What `capture` found: a row for each run of a layer, in the order of the forward pass."""

    def __init__(self, model: torch.nn.Module, arithmetic: str, save: str | None) -> None:
        self._model, self._arithmetic, self._save = model, arithmetic, save
        self._rows: list[LayerRow] = []
        self._notes: tuple[str, ...] = ()
        self._begun, self._seconds = perf_counter(), 0.0

    @property
    def report(self) -> ModelReport:
        """The rows as the report that `convgrad model` shows."""
        parameters = list(self._model.parameters())
        first = parameters[0] if parameters else torch.zeros(())
        return ModelReport(
            version=__version__,
            target=safe(type(self._model).__qualname__),
            mode="train" if self._model.training else "eval",
            dtype=str(first.dtype).removeprefix("torch."),
            device=str(first.device),
            parameters=sum(parameter.numel() for parameter in parameters),
            rows=tuple(self._rows),
            notes=(*where_first(self._rows), *self._notes),
            seconds=self._seconds,
        )

    @property
    def exit_code(self) -> int:
        """That of the worst verdict, as `convgrad model` would have it."""
        return self.report.exit_code

    def judge(self, use: Use) -> None:
        """Add the row of one run, and write its tensors where that was asked for."""
        if self._save is not None:
            write_capture(self._save, use.name, use.spec, use.tensors())
        self._rows.append(row_of(use, self._arithmetic))
        self._rows.sort(key=lambda row: row.place)

    def close(self, notes: Sequence[str]) -> None:
        """After the block: what was not captured, and why."""
        self._notes, self._seconds = tuple(notes), perf_counter() - self._begun

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int | str) -> LayerRow: ...
    @overload
    def __getitem__(self, at: slice) -> list[LayerRow]: ...
    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, str):
            return self._rows[at]
        for row in self._rows:
            if row.name == at:
                return row
        raise KeyError(f"{at!r} is no layer that was judged; there are {', '.join(row.name for row in self._rows)}")

    def __contains__(self, one: object) -> bool:
        return any(one in (row, row.name) for row in self._rows)

    def __str__(self) -> str:
        return str(self.report)

    def __repr__(self) -> str:
        return repr(self.report)
