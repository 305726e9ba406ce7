"""The Typer application: its commands, and what `convgrad` alone says."""

import typer

from convgrad_cli.cli import check, doctor, explain, inspect, model, suite, view
from convgrad_cli.cli.options import Version

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
app.command("check")(check.command)
app.command("suite")(suite.command)
app.command("model")(model.command)
app.command("view")(view.command)
app.command("doctor")(doctor.command)


@app.callback(invoke_without_command=True)
def convgrad(context: typer.Context, version: Version = False) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
