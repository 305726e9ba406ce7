"""`convgrad model`"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from convgrad_cli.cli.check import JUDGE
from convgrad_cli.cli.options import RUN, OutputOptions, number, option, takes
from convgrad_cli.errors import ConvGradError

if TYPE_CHECKING:
    from convgrad_cli.commands.explain import At
    from convgrad_cli.commands.model_options import ModelOptions
    from convgrad_cli.report import Report


MODEL, LAYERS = "Model", "Layers"


@dataclass(frozen=True)
class RunOptions:
    """How the model is made and run."""

    args: Annotated[
        str, option(MODEL, "--args", metavar="TEXT", help="Arguments for TARGET: '3, 64, bias=False'. Default: none.")
    ] = ""
    weights: Annotated[
        str | None,
        option(MODEL, "--weights", metavar="FILE", help="Its state_dict: .pt or .safetensors; FILE::KEY for a part."),
    ] = None
    input: Annotated[str | None, option(MODEL, "--input", metavar="SOURCE", help="A fill or FILE. Default: randn.")] = (
        None
    )
    input_size: Annotated[
        str | None, option(MODEL, "--input-size", metavar="SHAPE", help="All axes of the input: 1x3x224x224.")
    ] = None
    loss: Annotated[
        str, option(MODEL, "--loss", metavar="NAME", help="sum, mean or file.py::loss, called with the output.")
    ] = "sum"
    train: Annotated[bool, option(MODEL, "--train/--eval", help="The mode of the model. Default: eval.")] = False
    arithmetic: Annotated[str, option(JUDGE, "--arithmetic", metavar="NAME", help="As for check. Default: direct.")] = (
        "direct"
    )
    dtype: Annotated[
        str | None, option(RUN, "--dtype", metavar="NAME", help="Cast the model and its input. Default: as it is.")
    ] = None
    device: Annotated[str, option(RUN, "--device", metavar="NAME", help="cpu, cuda, ... Default: cpu.")] = "cpu"
    seed: Annotated[int, number(RUN, "--seed", help="For random weights and numbers. Default: 0.")] = 0
    timeout: Annotated[
        float, option(RUN, "--timeout", metavar="SECONDS", help="Of silence, after which it is ended. Default: 600.")
    ] = 600.0
    save: Annotated[
        str | None, option(LAYERS, "--save", metavar="DIR", help="Write each layer's tensors, for --capture.")
    ] = None
    layer: Annotated[
        str | None, option(LAYERS, "--layer", metavar="NAME", help="Inspect this layer instead of judging them all.")
    ] = None


@takes(model=RunOptions, output=OutputOptions)
def command(
    model: RunOptions,
    output: OutputOptions,
    target: Annotated[str, Argument(metavar="TARGET", help="file.py::build or package.module:Class, or the model.")],
    at: Annotated[
        str | None, option(LAYERS, "--at", metavar="ELEMENT", help="Explain this element of --layer instead.")
    ] = None,
    check: Annotated[bool, option(LAYERS, "--check", help="Check --layer with probes, instead.")] = False,
) -> int:
    """Judge the gradients of every convolution in a real model, with its real tensors: a row a layer."""
    from convgrad_cli.cli.output import check_output, show, show_pieces
    from convgrad_cli.cli.progress import progress
    from convgrad_cli.cli.request import require_directory
    from convgrad_cli.commands.model_options import ModelOptions, model_settings
    from convgrad_cli.geometry.notation import parse_element
    from convgrad_cli.render.model import RENDERERS

    name, style = check_output(output)
    if model.layer is None and name not in RENDERERS:
        raise ConvGradError(f"{name} has no rows for a model; --format can be {', '.join(RENDERERS)}")
    if model.layer is None and (output.only or output.rows is not None):
        raise ConvGradError("--only and --rows choose elements, and a table of layers has none; add --layer NAME")
    _check_layer(model, at, check)
    require_directory()
    asked = ModelOptions(target=target, **asdict(model))
    model_settings(asked)
    element = None if at is None else parse_element(at)
    # Only now is torch needed: what is wrong with the request has been said without it.
    with progress("layers") as tell:
        if model.layer is not None:
            return show(_one_layer(asked, element, check, tell), output)
        from convgrad_cli.commands.model import model_report

        report = model_report(asked, tell)
    show_pieces(RENDERERS[name](report, style), report.notes, output)
    return report.exit_code


def _check_layer(model: RunOptions, at: str | None, check: bool) -> None:
    if model.layer is None and (at is not None or check):
        raise ConvGradError(f"{'--check' if check else '--at'} is about one layer; name it with --layer")
    if at is not None and check:
        raise ConvGradError("--at explains one element, --check judges all; drop one of them")
    if model.layer is not None and model.save is not None:
        raise ConvGradError("--save writes every layer, and --layer looks at one; drop one of them")


def _one_layer(asked: "ModelOptions", element: "At | None", check: bool, tell: Callable[[float], None]) -> "Report":
    """The Report of another command on the numbers of one layer."""
    from convgrad_cli.commands.check import check_problem
    from convgrad_cli.commands.explain import explain_problem
    from convgrad_cli.commands.inspect import inspect_problem
    from convgrad_cli.commands.model import layer_problem
    from convgrad_cli.commands.target_options import TargetOptions

    problem = layer_problem(asked, tell)
    if check:
        return check_problem(problem, TargetOptions(), asked.arithmetic)
    return inspect_problem(problem) if element is None else explain_problem(problem, element)
