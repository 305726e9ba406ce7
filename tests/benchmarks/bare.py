"""What a command line costs at least: a Typer application with convgrad's commands and options, and nothing behind."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo

HEAD = """\
from typing import Annotated

import typer

app = typer.Typer(
    name="convgrad", help={help!r}, epilog={epilog!r}, no_args_is_help=False, pretty_exceptions_enable=False,
    context_settings={settings!r},
)
"""

SCRIPT = """\
#!{python}
import sys
from bare import app
if __name__ == "__main__":
    sys.exit(app(prog_name="convgrad"))
"""


def write_bare(folder: Path) -> Path:
    """A script in `folder` that starts the bare application as an installed one starts."""
    (folder / "bare.py").write_text("\n".join(source()), encoding="utf-8")
    script = folder / "convgrad"
    script.write_text(SCRIPT.format(python=sys.executable), encoding="utf-8")
    script.chmod(0o755)
    return script


def source() -> Iterator[str]:
    """The lines of the bare application, read off convgrad's own."""
    from convgrad_cli.cli.app import app

    info = app.info
    yield HEAD.format(help=info.help, epilog=info.epilog, settings=info.context_settings)
    yield from _function("app.callback(invoke_without_command=True)", app.registered_callback)
    for command in app.registered_commands:
        yield from _function(f"app.command({command.name!r})", command)


def _function(decorator: str, registered: Any) -> Iterator[str]:
    function = registered.callback
    hints = get_type_hints(function, include_extras=True)
    yield f"@{decorator}"
    yield f"def {function.__name__}(*,"
    for name, parameter in inspect.signature(function).parameters.items():
        if get_origin(hints[name]) is Annotated:
            kind, option = get_args(hints[name])
            default = "" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}"
            yield f"    {name}: Annotated[{_type(kind)}, {_option(option)}]{default},"
    yield "):"
    yield f"    {function.__doc__ or ''!r}"
    yield ""


def _type(kind: Any) -> str:
    return kind.__name__ if kind in (bool, int, float, str) else str(kind)


def _option(option: Any) -> str:
    keywords = ("help", "metavar", "rich_help_panel", "show_default", "is_eager")
    given = {name: getattr(option, name) for name in keywords if isinstance(getattr(option, name), str | bool)}
    if isinstance(option, ArgumentInfo):
        return f"typer.Argument({', '.join(f'{n}={v!r}' for n, v in given.items())})"
    flags = [option.default, *option.param_decls]  # inside Annotated, Typer takes the first flag for the default
    return f"typer.Option({', '.join([*map(repr, flags), *(f'{n}={v!r}' for n, v in given.items())])})"
