"""`convgrad explain`"""

from typing import Annotated

from typer import Option

from convgrad_cli.cli.options import LayerOptions, NumberOptions, OutputOptions, SecondOrderOptions, takes


@takes(layer=LayerOptions, numbers=NumberOptions, second=SecondOrderOptions, output=OutputOptions)
def command(
    layer: LayerOptions,
    numbers: NumberOptions,
    second: SecondOrderOptions,
    output: OutputOptions,
    at: Annotated[
        str | None,
        Option("--at", metavar="ELEMENT", help="One element of any layer, say weight:0,0,0,1.", show_default=False),
    ] = None,
    autograd: Annotated[
        bool, Option("--autograd", help="With --at on a large layer: run the whole backward for autograd's number too.")
    ] = False,
) -> int:
    """Tell, step by step, why a gradient is what it is: the whole story, or one element with --at."""
    from convgrad_cli.cli.output import check_output, refuse_second_order, show
    from convgrad_cli.cli.progress import progress
    from convgrad_cli.cli.request import read_problem
    from convgrad_cli.geometry.notation import parse_element

    check_output(output)
    if second.asked:
        refuse_second_order(output)
    element = None if at is None else parse_element(at, second_order=second.asked)
    problem = read_problem(layer, numbers, second=second)
    # Only now is torch needed: what is wrong with the request has been said without it.
    from convgrad_cli.commands.explain import explain_problem

    with progress("gradients") as tell:
        report = explain_problem(problem, element, autograd=autograd, progress=tell)
    return show(report, output)
