"""`convgrad view`"""

from convgrad_cli.cli.options import LayerOptions, NumberOptions, ScreenOptions, takes


@takes(layer=LayerOptions, numbers=NumberOptions, screen=ScreenOptions)
def command(layer: LayerOptions, numbers: NumberOptions, screen: ScreenOptions) -> int:
    """Explore every gradient in full screen: move over it, and see the slices that it is made of light up."""
    from convgrad_cli.cli.output import say_notes
    from convgrad_cli.cli.request import read_problem
    from convgrad_cli.cli.screen import require_screen, screen_style

    style = screen_style(screen)
    require_screen("view", "convgrad inspect")
    problem = read_problem(layer, numbers)
    # Only now is torch needed: what is wrong with the request has been said without it.
    from convgrad_cli.cli.progress import progress
    from convgrad_cli.commands.inspect import changed, inspect_problem
    from convgrad_cli.commands.play import played
    from convgrad_cli.view.app import view
    from convgrad_cli.view.explorer import Lab, start

    with progress("gradients") as tell:
        report = inspect_problem(problem, tell)
    lab = Lab(
        inspect=lambda report, changes, tell: inspect_problem(changed(problem, report.spec, changes), tell),
        play=lambda report: played(changed(problem, report.spec, {}), report),
    )
    status = view(start(lab, report), style)
    say_notes(report.notes, quiet=False)
    return status
