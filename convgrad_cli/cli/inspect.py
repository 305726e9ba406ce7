"""`convgrad inspect`"""

from convgrad_cli.cli.options import LayerOptions, NumberOptions, OutputOptions, takes


@takes(layer=LayerOptions, numbers=NumberOptions, output=OutputOptions)
def command(layer: LayerOptions, numbers: NumberOptions, output: OutputOptions) -> int:
    """Show every gradient of a convolution: autograd's number beside the slice sum that explains it."""
    from convgrad_cli.cli.output import check_output, show
    from convgrad_cli.cli.progress import progress
    from convgrad_cli.cli.request import read_problem
    from convgrad_cli.commands.inspect import inspect_problem

    check_output(output)
    problem = read_problem(layer, numbers)
    with progress("gradients") as tell:
        report = inspect_problem(problem, tell)
    return show(report, output)
