"""A layer and a target as one types them: the command line that says more about a problem."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from convgrad_cli.commands.target_options import TargetOptions
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec


def command_line(asked: TargetOptions, spec: ConvSpec, fills: Mapping[str, str], dtype: str, seed: int) -> str:
    """What to type to see the code fail on this layer and these fills; "" where the command line has no words for it.

    Sizes, samples and channels are said in full: left out, `check` takes others.
    """
    target = typed(asked)
    if target is None:
        return ""
    words = [*target]
    if spec.dims == 1:
        words += ["--dims", "1"]
    pads = tuple(before if before == after else f"{before}:{after}" for before, after in spec.padding)
    per_axis: dict[str, tuple[int | str, ...]] = {
        "--size": spec.input_size,
        "--kernel": spec.kernel_size,
        "--stride": spec.stride,
        "--padding": pads,
    }
    per_axis |= {"--dilation": spec.dilation, "--output-padding": spec.output_padding}
    usual = {"--stride": 1, "--padding": 0, "--dilation": 1, "--output-padding": 0}
    for option, values in per_axis.items():
        if set(values) == {usual.get(option)}:
            continue
        one = len(set(values)) == 1 and (spec.dims <= 2 or option != "--size")
        words += [option, str(values[0]) if one else "x".join(map(str, values))]
    words += ["--groups", str(spec.groups)] if spec.groups > 1 else []
    words += ["--in-channels", str(spec.in_channels), "--out-channels", str(spec.out_channels)]
    words += ["--batch", "none" if spec.batch_size is None else str(spec.batch_size)]
    words += ["--bias"] if spec.bias else ["--no-bias"] if asked.convention == "cs231n" else []
    words += ["--transposed"] if spec.transposed else []
    words += ["--padding-mode", spec.padding_mode] if spec.has_padded_input else []
    for operand, name in fills.items():
        words += [f"--{'g' if operand == 'grad_output' else LETTERS[operand]}", name]
    words += ["--dtype", dtype] if dtype != "float32" else []
    words += ["--seed", str(seed)] if seed else []
    return "convgrad check " + shlex.join(words)


def python_line(asked: TargetOptions, spec: ConvSpec, fills: Mapping[str, str], dtype: str, seed: int) -> str:
    """The same as a call of `check`, for a function of this process; "" where that has no name or no words."""
    changed = {f.name: getattr(asked, f.name) for f in fields(asked) if getattr(asked, f.name) != f.default}
    code = changed.pop("target", changed.get("forward"))
    name = getattr(code, "__name__", "")
    even = all(before == after for before, after in spec.padding)
    if not name.isidentifier() or spec.batch_size is None or not even:
        return ""
    said: dict[str, Any] = {"input_size": spec.input_size, "batch_size": spec.batch_size, **fills}
    said |= {key: value for key, value in changed.items() if value is not code}
    said |= {"dtype": dtype} if dtype != "float32" else {}
    said |= {"seed": seed} if seed else {}
    words = [f"forward={name}" if changed.get("forward") is code else name, repr(spec.layer_text())]
    return f"convgrad_cli.check({', '.join(words + [f'{key}={value!r}' for key, value in said.items()])})"


def typed(asked: TargetOptions) -> list[str] | None:
    """The target as it was typed; None where it was not, but is a function of this process."""
    words: list[str] = []
    named = {"command": "--exec", "framework": "--as"}
    for field in fields(asked):
        value = getattr(asked, field.name)
        if value == field.default:
            continue
        option = named.get(field.name, f"--{field.name.replace('_', '-')}")
        if field.name == "target" and isinstance(value, str):
            words.insert(0, value)
        elif value is True:
            words.append(option)
        elif value is False:
            words.append(f"--no-{option[2:]}")
        elif isinstance(value, str | int | float):
            words += [option, str(value)]
        else:
            return None
    return words
