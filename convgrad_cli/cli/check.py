"""`convgrad check`"""

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from convgrad_cli.cli.options import (
    LayerOptions,
    NumberOptions,
    OutputOptions,
    SecondOrderOptions,
    option,
    reworded,
    takes,
)

if TYPE_CHECKING:
    from convgrad_cli.commands.target_options import TargetOptions

TARGET, JUDGE = "Target", "Judge"
LAYER = reworded(
    LayerOptions,
    size="Input size: N, HxW or DxHxW. Default: 6x5, or larger for a large kernel.",
    kernel="Kernel size. Default: 3x2; 3x3 with same padding.",
    padding="Numbers, same, valid or full; before:after where the ends differ, and then the code gets a pair for each "
    "axis, as for same with an even kernel. Default: 0.",
    in_channels="Default: 2 for each group.",
    out_channels="Default: 3 for each group.",
    batch="Batch size, or none for an unbatched input. Default: 2.",
    bias="Add a bias. Default: no; with --convention cs231n yes.",
)
NUMBERS = reworded(
    NumberOptions,
    g="Upstream gradient dL/dy. Default: randn; for saved gradients all ones, as y.sum() makes it.",
    loss="Take the g that y.sum() or y.mean() makes. Default: neither.",
)


@dataclass(frozen=True)
class CodeOptions:
    """Code that is to be judged, how it is called, and by what measure."""

    forward: Annotated[
        str | None,
        option(TARGET, "--forward", metavar="FILE::NAME", help="A differentiable torch forward; judges its backward."),
    ] = None
    convention: Annotated[
        str | None,
        option(TARGET, "--convention", metavar="NAME", help="cs231n: conv_forward_naive and conv_backward_naive."),
    ] = None
    exec: Annotated[
        str | None,
        option(TARGET, "--exec", metavar="COMMAND", help="Any language: 'command {in} {out}', .npz files."),
    ] = None
    framework: Annotated[
        str, option(TARGET, "--as", metavar="NAME", help="What the code takes: numpy or torch. Default: numpy.")
    ] = "numpy"
    layout: Annotated[
        str | None, option(TARGET, "--layout", metavar="NHWC", help="Order of its axes of x, y and g.")
    ] = None
    weight_layout: Annotated[
        str | None, option(TARGET, "--weight-layout", metavar="HWIO", help="Order of its axes of w.")
    ] = None
    scalars: Annotated[bool, option(TARGET, "--scalars", help="Hand over stride=2, not stride=(2, 2).")] = False
    timeout: Annotated[
        float, option(TARGET, "--timeout", metavar="SECONDS", help="For each call of foreign code. Default: 60.")
    ] = 60.0
    tf32: Annotated[bool | None, option(TARGET, "--tf32/--no-tf32", help="torch on CUDA: round operands.")] = None
    channels_last: Annotated[bool, option(TARGET, "--channels-last", help="torch: in this memory format.")] = False
    deterministic: Annotated[bool, option(TARGET, "--deterministic", help="torch: deterministic algorithms.")] = False
    no_mkldnn: Annotated[bool, option(TARGET, "--no-mkldnn", help="torch: without oneDNN.")] = False
    no_cudnn: Annotated[bool, option(TARGET, "--no-cudnn", help="torch: without cuDNN.")] = False
    benchmark: Annotated[bool, option(TARGET, "--benchmark", help="torch: let cuDNN choose the fastest.")] = False
    compile: Annotated[bool, option(TARGET, "--compile", help="torch: through torch.compile.")] = False
    arithmetic: Annotated[
        str,
        option(
            JUDGE,
            "--arithmetic",
            metavar="NAME",
            help="How it is meant to compute: exact, direct, partial, short, tf32 or bf16. Default: direct.",
        ),
    ] = "direct"
    conditions: Annotated[
        str | None,
        option(
            JUDGE,
            "--conditions",
            metavar="NAMES",
            help="all, none, or of: repeat, stride-0, channels_last, sliced, transposed, masks, inputs, poison, "
            "accumulate, sizes. Default: the first seven.",
        ),
    ] = None


@dataclass(frozen=True)
class CheckOptions(CodeOptions):
    """The same, or gradients that were saved, and how much is told."""

    grad_input: Annotated[
        str | None, option(TARGET, "--grad-input", metavar="FILE", help="A saved gradient, or FILE::KEY.")
    ] = None
    grad_weight: Annotated[str | None, option(TARGET, "--grad-weight", metavar="FILE", help="The same.")] = None
    grad_bias: Annotated[str | None, option(TARGET, "--grad-bias", metavar="FILE", help="The same.")] = None
    hint: Annotated[
        int,
        option(
            JUDGE,
            "--hint",
            metavar="1-4",
            help="How much to give away: where it is wrong, which concept, which mistake, all. Default: 4.",
        ),
    ] = 4


@takes(check=CheckOptions, layer=LAYER, numbers=NUMBERS, second=SecondOrderOptions, output=OutputOptions)
def command(
    check: CheckOptions,
    layer: LayerOptions,
    numbers: NumberOptions,
    second: SecondOrderOptions,
    output: OutputOptions,
    target: Annotated[
        str | None,
        Argument(metavar="[TARGET]", help="file.py::function or package.module:function. Default: torch itself."),
    ] = None,
) -> int:
    """Judge whether code that computes gradients is right: torch's, your function, or saved arrays."""
    from convgrad_cli.cli.output import check_output, refuse_second_order, show
    from convgrad_cli.cli.progress import progress
    from convgrad_cli.cli.request import read_problem, read_settings, require_directory
    from convgrad_cli.commands.target_options import check_options, check_second_order
    from convgrad_cli.verdict.choices import (
        OF_EVERY_CLASS,
        choose_arithmetic,
        choose_conditions,
        choose_hint,
        complete_layer,
    )

    check_output(output)
    require_directory()
    choose_conditions(check.conditions)
    choose_hint(check.hint)
    asked = _target(target, check)
    if second.asked:
        refuse_second_order(output)
        check_second_order(asked)
    check_options(asked)
    saved = any((asked.grad_input, asked.grad_weight, asked.grad_bias))
    given = numbers.g is not None or numbers.loss is not None or layer.capture is not None
    if not given and not saved:  # a saved gradient is that of y.sum() unless g is given
        numbers = replace(numbers, g="randn")
    bare = read_settings(layer).keys() <= OF_EVERY_CLASS and layer.layer is None and layer.capture is None
    bare = bare and numbers.x is None and numbers.w is None
    # A saved gradient is that of one layer, which is said.
    complete = None if saved and not bare else partial(complete_layer, convention=check.convention)
    problem = read_problem(layer, numbers, complete, second)
    choose_arithmetic(check.arithmetic, problem.dtype)
    # Only now is torch needed: what is wrong with the request has been said without it.
    from convgrad_cli.commands.check import check_problem

    with progress("checking") as tell:
        report = check_problem(problem, asked, check.arithmetic, check.conditions, check.hint, tell, sweep=bare)
    return show(report, output)


def _target(target: str | None, check: CheckOptions) -> "TargetOptions":
    saved = {name: getattr(check, name) for name in ("grad_input", "grad_weight", "grad_bias")}
    return replace(code_target(target, check), **saved)


def code_target(target: str | None, code: CodeOptions) -> "TargetOptions":
    """The options of the command line by the names that Python has for them."""
    from convgrad_cli.commands.target_options import TargetOptions

    named = {field.name: getattr(code, field.name) for field in fields(CodeOptions)}
    del named["arithmetic"], named["conditions"]
    for library in ("mkldnn", "cudnn"):
        named[library] = False if named.pop(f"no_{library}") else None
    return TargetOptions(target=target, command=named.pop("exec"), **named)
