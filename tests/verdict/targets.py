"""Targets for tests: torch's own, and ones that answer wrong in a way that is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.autograd import Flags, TorchTarget
from convgrad_cli.gradients.target import Answer, Call
from convgrad_cli.tensors.operands import Operands

TORCH = TorchTarget(torch.device("cpu"), Flags())
ALL = frozenset({"layouts", "wanted", "poison", "accumulate", "groups"})


@dataclass
class Wrapped:
    """torch's answers, changed by `change(spec, operands, call, answer)`; `calls` keeps what it was asked."""

    change: Callable[[ConvSpec, Operands, Call, Answer], Answer]
    callable: bool = True
    allows: frozenset[str] = ALL
    name: str = "wrapped"
    facts: tuple[str, ...] = ()
    calls: list[Call] = field(default_factory=list)

    def run(self, spec: ConvSpec, operands: Operands, call: Call | None = None) -> Answer:
        call = call or Call()
        self.calls.append(call)
        return self.change(spec, operands, call, TORCH.run(spec, operands, call))

    def close(self) -> None:
        """Nothing was started."""
