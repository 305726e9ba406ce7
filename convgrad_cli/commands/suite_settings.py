"""How the problems of a suite are run, as what is sent with each of them, and as what one types."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace

from convgrad_cli.commands.target_options import TargetOptions
from convgrad_cli.commands.typed import command_line, typed
from convgrad_cli.geometry.problem_list import Listed
from convgrad_cli.geometry.spec import ConvSpec

SAMPLE = 64  # elements of each tensor of a layer that is too large to be judged whole
OVERHEAD = 10**7  # what the smallest problem costs, in multiply-adds


@dataclass(frozen=True)
class Settings:
    """How every problem is run; what the list itself says of dtype and batch size counts where these are None.

    Problems of more than `max_macs` multiply-adds are judged by `sample` elements of each tensor. `summary`: inspect
    instead of check. `sha256` is that of the file of the code, where one was named.
    """

    asked: TargetOptions = field(default_factory=TargetOptions)
    arithmetic: str = "direct"
    conditions: str | None = None
    dtype: str | None = None
    device: str = "cpu"
    seed: int = 0
    batch: int | None = None
    max_macs: int | None = None
    sample: int = SAMPLE
    summary: bool = False
    sha256: str = ""

    def __str__(self) -> str:
        """What of it is not as usual, in the words of the command line."""
        words, code = ["--summary"] if self.summary else [], typed(self.asked)
        if code is None:
            words.append("a function of this process")
        else:
            words += ["--target", *code] if self.asked.target else code
        usual, named = Settings(), {"batch": "mb", "max_macs": "max-macs"}
        for name in ("arithmetic", "conditions", "dtype", "device", "seed", "batch", "max_macs", "sample"):
            value = getattr(self, name)
            words += [] if value == getattr(usual, name) else [f"--{named.get(name, name)}", str(value)]
        return shlex.join(words)

    @property
    def file(self) -> str:
        """The file of the code under test, "" where it is none."""
        where = str(self.asked.target or self.asked.forward or "").partition("::")[0]
        return where if where.endswith(".py") else ""

    def spec(self, listed: Listed) -> ConvSpec:
        """The layer of a problem, at the batch size that was asked for."""
        return listed.spec if self.batch is None else replace(listed.spec, batch_size=self.batch)

    def dtype_of(self, listed: Listed) -> str:
        return self.dtype or listed.dtype or "float32"

    def is_sampled(self, spec: ConvSpec) -> bool:
        """Whether a layer is too large to be judged whole."""
        return self.max_macs is not None and spec.macs > self.max_macs and not self.summary

    def cost(self, spec: ConvSpec) -> int:
        """What a problem costs beside others, in multiply-adds: to tell how far a list is."""
        return OVERHEAD + (spec.macs // 4 if self.is_sampled(spec) else spec.macs)

    def again(self, spec: ConvSpec, dtype: str) -> str:
        """What to type to hear more of one problem; "" where the target was not typed."""
        line = command_line(self.asked, spec, {}, dtype, self.seed)
        if self.summary or not line:
            return line.replace("convgrad check", "convgrad inspect", 1)
        usual = Settings()
        more = [
            word
            for name in ("device", "arithmetic", "conditions")
            if (value := getattr(self, name)) != getattr(usual, name)
            for word in (f"--{name}", value)
        ]
        return shlex.join([*shlex.split(line), *more]) if more else line
