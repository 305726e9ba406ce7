"""`model`: every convolution of a real model judged on its own tensors, or one of them as a problem like any other."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy

from convgrad_cli import __version__
from convgrad_cli.commands.model_options import ModelOptions, ModelSettings, model_settings
from convgrad_cli.commands.model_rows import row_from, where_first
from convgrad_cli.errors import ConvGradError
from convgrad_cli.gradients.channel import Block
from convgrad_cli.gradients.process import Worker
from convgrad_cli.gradients.target import TargetError
from convgrad_cli.layers import LayerRow, ModelReport
from convgrad_cli.safe import safe
from convgrad_cli.tensors.captures import read_capture
from convgrad_cli.tensors.device import check_dtype
from convgrad_cli.tensors.problem import LOSSES, Problem, make_problem, with_left
from convgrad_cli.tensors.sources import Fill

PROCESS = "convgrad_cli.commands.model_process"


def model_report(asked: ModelOptions, progress: Callable[[float], None] | None = None) -> ModelReport:
    """The ModelReport of `convgrad model`; `progress` is called with the share done, from 0 to 1."""
    settings, begun, rows = model_settings(asked), perf_counter(), list[LayerRow]()
    facts = _run(settings, lambda news: rows.append(row_from(news["row"])), progress)
    ordered = tuple(sorted(rows, key=lambda row: row.place))
    return ModelReport(
        version=__version__,
        target=settings.name,
        mode="train" if asked.train else "eval",
        dtype=facts["dtype"],
        device=facts["device"],
        seed=asked.seed,
        input_shape=settings.shape,
        parameters=facts["parameters"],
        loss=LOSSES.get(asked.loss, f"{asked.loss}(y)"),
        loss_value=facts["loss_value"],
        rows=ordered,
        notes=(facts["ran"], *where_first(ordered), *facts["notes"]),
        seconds=perf_counter() - begun,
    )


def layer_problem(asked: ModelOptions, progress: Callable[[float], None] | None = None) -> Problem:
    """The layer `asked.layer` with the numbers that it ran on, for `inspect`, `explain` and `check`."""
    names: list[str] = []
    with TemporaryDirectory() as folder:
        settings = model_settings(replace(asked, save=folder))
        facts = _run(settings, lambda news: names.append(news["passed"]), progress)
        found = os.listdir(folder)
        if not found:
            close = difflib.get_close_matches(str(asked.layer), names, 1)
            hint = (
                f"did you mean {safe(close[0])}?" if close else f"there are {', '.join(map(safe, sorted(names)[:10]))}"
            )
            raise ConvGradError(f"--layer {safe(str(asked.layer))!r} is no layer with gradients of this model; {hint}")
        captured = read_capture(os.path.join(folder, found[0]))
    problem = make_problem(captured.settings, captured.operands, device=asked.device, seed=asked.seed)
    left = {name: replace(numbers, where="the model") for name, numbers in captured.left.items()}
    return with_left(problem, left, f"layer {safe(captured.name)} of {facts['ran']}")


def _run(
    settings: ModelSettings, told: Callable[[dict[str, Any]], None], progress: Callable[[float], None] | None
) -> dict[str, Any]:
    """What is known of the run once it is over; each layer is `told` as it is done."""
    tell, done, total = progress or (lambda share: None), 0, 0

    def hear(news: dict[str, Any]) -> None:
        nonlocal done, total
        if "layers" in news:
            total = news["layers"]
        else:
            done += 1
            told(news)
        tell(done / max(total, done, 1))

    question, blocks = _question(settings)
    if settings.options.save is not None:
        os.makedirs(settings.options.save, exist_ok=True)
    with closing(Worker(settings.name, settings.setup, settings.options.timeout, PROCESS)) as worker:
        sha256 = worker.describe()["sha256"]
        facts, _ = worker.ask(question, blocks, {}, hear)
        if "error" in facts:
            raise TargetError(worker.said(facts["error"]))
    return facts | {"ran": f"{settings.name}{f', sha256 {sha256}' if sha256 else ''}, ran in a process of its own"}


def _question(settings: ModelSettings) -> tuple[dict[str, Any], dict[str, Block]]:
    asked, source = settings.options, settings.source
    names = ("loss", "train", "arithmetic", "device", "seed", "layer")
    question = {name: getattr(asked, name) for name in names} | {"shape": settings.shape}
    question |= {"dtype": asked.dtype and check_dtype(asked.dtype), "save": asked.save and os.path.abspath(asked.save)}
    if isinstance(source, Fill):
        return question | {"fill": source.name, "whole": False}, {}
    question["whole"] = source.array.dtype.kind in "iu"
    array = source.array if source.array.dtype.kind == "f" else source.array.astype(numpy.float64)
    return question, {"input": Block(array.dtype.name, array)}
