"""`model`: every convolution of a real model judged on its own tensors, and `capture`, the same around any code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from time import perf_counter
from typing import Any

import numpy

from convgrad_cli import __version__
from convgrad_cli.commands.model_options import ModelOptions, ModelSettings, model_settings
from convgrad_cli.commands.model_rows import row_from
from convgrad_cli.gradients.channel import Block
from convgrad_cli.gradients.process import Worker
from convgrad_cli.gradients.target import TargetError
from convgrad_cli.layers import LayerRow, ModelReport
from convgrad_cli.tensors.problem import LOSSES
from convgrad_cli.tensors.sources import Fill


def model_report(asked: ModelOptions, progress: Callable[[float], None] | None = None) -> ModelReport:
    """The Report of `convgrad model`; `progress` is called with the share done, from 0 to 1."""
    settings = model_settings(asked)
    begun, rows, total = perf_counter(), list[LayerRow](), 0
    tell = progress or (lambda share: None)

    def told(news: dict[str, Any]) -> None:
        nonlocal total
        total = news.get("layers", total)
        if "row" in news:
            rows.append(row_from(news["row"]))
            tell(len(rows) / max(total, len(rows)))

    question, blocks = _question(settings)
    with closing(Worker(settings.name, settings.setup, asked.timeout, "convgrad_cli.commands.model_process")) as worker:
        sha256 = worker.describe()["sha256"]
        facts, _ = worker.ask(question, blocks, {}, told)
        if "error" in facts:
            raise TargetError(worker.said(facts["error"]))
    return ModelReport(
        version=__version__,
        target=settings.name,
        mode="train" if asked.train else "eval",
        dtype=question["dtype"],
        device=facts["device"],
        seed=asked.seed,
        input_shape=settings.shape,
        parameters=facts["parameters"],
        loss=LOSSES.get(asked.loss, f"{asked.loss}(y)"),
        loss_value=facts["loss_value"],
        rows=tuple(sorted(rows, key=lambda row: row.place)),
        notes=(*_facts(settings, sha256), *facts["notes"]),
        seconds=perf_counter() - begun,
    )


def _question(settings: ModelSettings) -> tuple[dict[str, Any], dict[str, Block]]:
    asked, source = settings.options, settings.source
    names = ("loss", "train", "arithmetic", "dtype", "device", "seed")
    question = {name: getattr(asked, name) for name in names} | {"shape": settings.shape}
    if isinstance(source, Fill):
        return question | {"fill": source.name}, {}
    array = source.array if source.array.dtype.kind == "f" else source.array.astype(numpy.float64)
    return question, {"input": Block(array.dtype.name, array)}


def _facts(settings: ModelSettings, sha256: str) -> tuple[str, ...]:
    digest = f", sha256 {sha256}" if sha256 else ""
    return (f"{settings.name}{digest}, ran in a process of its own",)
