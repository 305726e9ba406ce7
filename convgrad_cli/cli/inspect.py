"""`convgrad inspect`"""

from typing import Annotated

from typer import Option

from convgrad_cli.cli.options import LayerOptions, NumberOptions, OutputOptions, SecondOrderOptions, takes
from convgrad_cli.errors import ConvGradError


@takes(layer=LayerOptions, numbers=NumberOptions, second=SecondOrderOptions, output=OutputOptions)
def command(
    layer: LayerOptions,
    numbers: NumberOptions,
    second: SecondOrderOptions,
    output: OutputOptions,
    notation: Annotated[
        str | None,
        Option(
            "--as",
            metavar="NAME",
            help="Print only the layer, as torch, benchdnn or miopen writes it.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Show every gradient of a convolution: autograd's number beside the slice sum that explains it."""
    from convgrad_cli.cli.output import check_output, refuse_second_order, show, show_line
    from convgrad_cli.cli.progress import progress
    from convgrad_cli.cli.request import read_problem

    check_output(output)
    if second.asked:
        refuse_second_order(output)
        if notation is not None:
            raise ConvGradError("--as prints the layer alone, which has no order; drop --second-order or --as")
    problem = read_problem(layer, numbers, second=second)
    if notation is not None:
        from convgrad_cli.geometry.languages import write_layer

        return show_line(write_layer(problem.spec, notation, problem.dtype), output)
    # Only now is torch needed: what is wrong with the request has been said without it.
    from convgrad_cli.commands.inspect import inspect_problem

    with progress("gradients") as tell:
        report = inspect_problem(problem, tell)
    return show(report, output)
