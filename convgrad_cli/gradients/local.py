"""A function of this process, asked like one in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convgrad_cli.gradients.channel import Block, Shape
from convgrad_cli.gradients.results import OtherLayer, Refusal
from convgrad_cli.gradients.subject import understand
from convgrad_cli.gradients.target import OtherLayerError, TargetError


class LocalWorker:
    """What `process.Worker` is for a function elsewhere; `name` stands in messages."""

    def __init__(self, name: str, function: Any, kind: str, framework: str) -> None:
        self.name = name
        try:
            self._subject = understand([function], kind, framework)
        except Refusal as error:
            raise TargetError(f"{name} {error}") from None

    def describe(self) -> dict[str, Any]:
        """The keywords that the function takes."""
        return {"takes": self._subject.takes}

    def ask(
        self, question: Mapping[str, Any], blocks: Mapping[str, Block], expects: Mapping[str, Shape]
    ) -> tuple[dict[str, Any], dict[str, Block]]:
        """The answer, or what is wrong with it as "error". TargetError has what the function raised as its cause."""
        try:
            return self._subject.answer(question, blocks)
        except Refusal as error:
            return {"error": str(error), "other_layer": isinstance(error, OtherLayer)}, {}
        except (Exception, SystemExit) as error:
            kind = OtherLayerError if isinstance(error, NotImplementedError) else TargetError
            raise kind(self.said(f"raised {type(error).__name__}: {error}")) from error

    def said(self, error: object) -> str:
        """What is wrong, after the name."""
        return f"{self.name} {error}"

    def close(self) -> None:
        """Nothing was started."""
