"""`convgrad explain`"""

from typing import Annotated

from typer import BadParameter, Option

from convgrad_cli.cli.options import LayerOptions, NumberOptions, OutputOptions, SecondOrderOptions, takes
from convgrad_cli.safe import safe


def _speed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadParameter(f"{safe(text)!r} is not a number") from None


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
    play: Annotated[
        bool, Option("--play", help="Full screen: the kernel's placements one by one, forward and backward.")
    ] = False,
    speed: Annotated[
        float | None,
        Option(
            "--speed", metavar="N", parser=_speed, help="With --play: placements a second. Default: 1.",
            show_default=False,
        ),
    ] = None,
) -> int:  # fmt: skip
    """Tell, step by step, why a gradient is what it is: the whole story, or one element with --at."""
    from convgrad_cli.cli.output import check_output, refuse_second_order, show
    from convgrad_cli.cli.progress import progress
    from convgrad_cli.cli.request import read_problem
    from convgrad_cli.geometry.notation import parse_element

    check_output(output)
    if play or speed is not None:
        from convgrad_cli.cli.play import check_play, show_play

        check_play(play, speed, {"--at": at, "--autograd": autograd, "--second-order": second.asked}, output)
        return show_play(layer, numbers, output, speed)
    if second.asked:
        refuse_second_order(output)
    element = None if at is None else parse_element(at, second_order=second.asked)
    problem = read_problem(layer, numbers, second=second)
    # Only now is torch needed: what is wrong with the request has been said without it.
    from convgrad_cli.commands.explain import explain_problem

    with progress("gradients") as tell:
        report = explain_problem(problem, element, autograd=autograd, progress=tell)
    return show(report, output)
