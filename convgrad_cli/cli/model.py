"""`convgrad model`"""

from dataclasses import asdict, dataclass
from typing import Annotated

from typer import Argument

from convgrad_cli.cli.check import JUDGE
from convgrad_cli.cli.options import RUN, OutputOptions, number, option, takes
from convgrad_cli.errors import ConvGradError

MODEL = "Model"


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
        str, option(RUN, "--dtype", metavar="NAME", help="Of the model and its input. Default: float32.")
    ] = "float32"
    device: Annotated[str, option(RUN, "--device", metavar="NAME", help="cpu, cuda, ... Default: cpu.")] = "cpu"
    seed: Annotated[int, number(RUN, "--seed", help="For random weights and numbers. Default: 0.")] = 0
    timeout: Annotated[
        float, option(RUN, "--timeout", metavar="SECONDS", help="Of silence, after which it is ended. Default: 600.")
    ] = 600.0


@takes(model=RunOptions, output=OutputOptions)
def command(
    model: RunOptions,
    output: OutputOptions,
    target: Annotated[str, Argument(metavar="TARGET", help="file.py::build or package.module:Class, or the model.")],
) -> int:
    """Judge the gradients of every convolution in a real model, with its real tensors: a row a layer."""
    from convgrad_cli.cli.output import check_output, show_pieces
    from convgrad_cli.cli.progress import progress
    from convgrad_cli.cli.request import require_directory
    from convgrad_cli.commands.model_options import ModelOptions, model_settings
    from convgrad_cli.render.model import RENDERERS

    name, style = check_output(output)
    if name not in RENDERERS:
        raise ConvGradError(f"--format {name} has no rows for a model; it can be {', '.join(RENDERERS)}")
    if output.only or output.rows is not None:
        raise ConvGradError("--only and --rows choose elements, and a table of layers has none; drop them")
    require_directory()
    asked = ModelOptions(target=target, **asdict(model))
    model_settings(asked)
    # Only now is torch needed: what is wrong with the request has been said without it.
    from convgrad_cli.commands.model import model_report

    with progress("layers") as tell:
        report = model_report(asked, tell)
    show_pieces(RENDERERS[name](report, style), report.notes, output)
    return report.exit_code
