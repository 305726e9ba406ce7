"""The Typer application: its commands, and what `convgrad` alone says."""

from typing import Annotated

import typer

from convgrad_cli import __version__
from convgrad_cli.cli import doctor, explain, inspect

app = typer.Typer(
    name="convgrad",
    help="Every gradient of any convolution beside the slice sum that explains it.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: convgrad inspect --size 3 --kernel 2",
)
app.command("inspect")(inspect.command)
app.command("explain")(explain.command)
app.command("doctor")(doctor.command)


def _version(asked: bool) -> None:
    if asked:
        print(f"convgrad {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def convgrad(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
