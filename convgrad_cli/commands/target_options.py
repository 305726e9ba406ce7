"""What is to be judged, as it was typed, and what can be found wrong with that before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convgrad_cli.errors import ConvGradError
from convgrad_cli.gradients.convention import Layout
from convgrad_cli.gradients.location import check_command_text, check_target_text
from convgrad_cli.safe import safe

FRAMEWORKS = ("numpy", "torch")
SAVED = ("grad_input", "grad_weight", "grad_bias")
FLAGS = ("tf32", "channels_last", "deterministic", "mkldnn", "cudnn", "benchmark", "compile")


@dataclass(frozen=True)
class TargetOptions:
    """What is to be judged, and how it wants to be called; the words are those of the command line.

    `target` is a function or its name, `command` is --exec, `framework` is --as. `tf32` and the fields after it are
    flags for torch, as in `gradients.autograd.Flags`.
    """

    target: Any = None
    forward: Any = None
    convention: str | None = None
    command: str | None = None
    grad_input: Any = None
    grad_weight: Any = None
    grad_bias: Any = None
    framework: str = "numpy"
    layout: str | None = None
    weight_layout: str | None = None
    scalars: bool = False
    timeout: float = 60.0
    tf32: bool | None = None
    channels_last: bool = False
    deterministic: bool = False
    mkldnn: bool | None = None
    cudnn: bool | None = None
    benchmark: bool = False
    compile: bool = False

    def kinds(self) -> list[str]:
        """Which kinds of target were named."""
        saved = [name for name in SAVED if getattr(self, name) is not None]
        options = {"target": "a TARGET", "forward": "--forward", "command": "--exec"}
        named = [option for name, option in options.items() if getattr(self, name) is not None]
        return named + (["saved gradients"] if saved else [])


def check_options(asked: TargetOptions) -> None:
    """Raise ConvGradError where what was asked for contradicts itself, or names code that cannot be there."""
    kinds = asked.kinds()
    if len(kinds) > 1:
        raise ConvGradError(f"only one thing can be checked at a time, not {' and '.join(kinds)}; drop one")
    if asked.convention is not None:
        if asked.convention != "cs231n":
            raise ConvGradError(f"--convention {safe(str(asked.convention))!r} is not known; there is cs231n")
        if asked.target is None:
            raise ConvGradError("--convention cs231n needs a TARGET: the file that has conv_backward_naive")
    if asked.framework not in FRAMEWORKS:
        raise ConvGradError(f"--as {safe(str(asked.framework))!r} is not one of {', '.join(FRAMEWORKS)}")
    if not 0 < asked.timeout < 10**6:
        raise ConvGradError(f"--timeout must be more than 0 seconds and less than a million, not {asked.timeout:g}")
    _refuse_strays(asked, kinds)
    for text, option in ((asked.layout, "--layout"), (asked.weight_layout, "--weight-layout")):
        Layout(text or "", option)
    for code in (asked.target, asked.forward):
        if isinstance(code, str):
            check_target_text(code, asked.convention, model=code == asked.forward)
    if asked.command is not None:
        check_command_text(asked.command)


def check_second_order(asked: TargetOptions) -> None:
    """Raise ConvGradError for a target that has no way to be asked for gradients of gradients."""
    saved = next((name for name in SAVED if getattr(asked, name) is not None), None)
    named = {"--convention": asked.convention, "--exec": asked.command}
    stray = next((option for option, value in named.items() if value is not None), None)
    if saved is not None:
        stray = f"--{saved.replace('_', '-')}"
    if stray is not None:
        raise ConvGradError(
            f"{stray} has no second order; --second-order judges torch, --forward, or a TARGET that is called as "
            "function(x, w, b, g, ggx, ggw, ggb)"
        )


def _refuse_strays(asked: TargetOptions, kinds: list[str]) -> None:
    """Options that would be ignored are refused: who typed them expects them to matter."""
    default = TargetOptions()
    code = asked.target is not None or asked.forward is not None
    for name in FLAGS:
        if kinds and getattr(asked, name) != getattr(default, name):
            raise ConvGradError(f"--{_option(asked, name)} is a flag for torch's own gradients; drop it, or {kinds[0]}")
    how = {"layout": "layout", "weight_layout": "weight-layout", "scalars": "scalars", "framework": "as"}
    for name, option in how.items():
        if not code and getattr(asked, name) != getattr(default, name):
            raise ConvGradError(f"--{option} says how a function is called, and none is named; give a TARGET")


def _option(asked: TargetOptions, name: str) -> str:
    switched_off = {"mkldnn": "no-mkldnn", "cudnn": "no-cudnn", "tf32": "no-tf32"}
    off = getattr(asked, name) is False and name in switched_off
    return switched_off[name] if off else name.replace("_", "-")
