"""`convgrad inspect`"""

from convgrad_cli.cli.options import LayerOptions, NumberOptions, OutputOptions, takes


@takes(layer=LayerOptions, numbers=NumberOptions, output=OutputOptions)
def command(layer: LayerOptions, numbers: NumberOptions, output: OutputOptions) -> int:
    """Show every gradient of a convolution: autograd's number beside the slice sum that explains it."""
    from convgrad_cli.cli.output import check_output, show
    from convgrad_cli.cli.progress import progress
    from convgrad_cli.cli.request import read_problem

    check_output(output)
    problem = read_problem(layer, numbers)
    # Only now is torch needed: what is wrong with the request has been said without it.
    from convgrad_cli.commands.inspect import inspect_problem

    with progress("gradients") as tell:
        report = inspect_problem(problem, tell)
    return show(report, output)
