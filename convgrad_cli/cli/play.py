"""`convgrad explain --play`: the same layer on a full screen, where its kernel moves."""

from __future__ import annotations

from collections.abc import Mapping

from convgrad_cli.cli.options import LayerOptions, NumberOptions, OutputOptions
from convgrad_cli.errors import ConvGradError

SLOWEST, FASTEST = 0.1, 20.0  # placements a second


def check_play(play: bool, speed: float | None, others: Mapping[str, object], output: OutputOptions) -> None:
    """Refuse what a screen has no use for. Raises ConvGradError."""
    if not play:
        raise ConvGradError("--speed is that of --play; add --play, or drop --speed")
    if speed is not None and not SLOWEST <= speed <= FASTEST:
        raise ConvGradError(f"--speed must be from {SLOWEST} to {FASTEST:g} placements a second, not {speed:g}")
    unused = {
        **others, "--format": output.format, "--output": output.output, "--only": output.only,
        "--rows": output.rows, "--width": output.width,
    }  # fmt: skip
    for option, value in unused.items():
        if value:
            raise ConvGradError(f"--play shows the whole layer on a full screen; drop {option}, or --play")


def show_play(layer: LayerOptions, numbers: NumberOptions, output: OutputOptions, speed: float | None) -> int:
    """Play until it is left; the exit status. Raises ConvGradError."""
    from convgrad_cli.cli.output import say_notes
    from convgrad_cli.cli.request import read_problem
    from convgrad_cli.cli.screen import require_screen, screen_style
    from convgrad_cli.geometry.passes import require_playable

    style = screen_style(output)
    require_screen("explain --play", "convgrad explain")
    problem = read_problem(layer, numbers)
    require_playable(problem.spec)
    # Only now is torch needed: what is wrong with the request has been said without it.
    from convgrad_cli.cli.progress import progress
    from convgrad_cli.commands.inspect import inspect_problem
    from convgrad_cli.commands.play import played
    from convgrad_cli.view.app import view
    from convgrad_cli.view.player import play

    with progress("gradients") as tell:
        report = played(problem, inspect_problem(problem, tell))
    status = view(play(report, speed or 1.0), style)
    say_notes(report.notes, output.quiet)
    return status
