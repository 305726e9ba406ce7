"""The entry point: signals, errors and exit codes. Nothing that it runs may end in a traceback or a wrong status."""

from __future__ import annotations

import io
import os
import signal
import sys
from itertools import pairwise
from types import FrameType
from typing import Any

from convgrad_cli.errors import BUG, INTERRUPTED, REFUSED, ConvGradError


def main() -> None:
    """Run the command line and exit with its status (interface: 0, 1, 2, 3, 70, 130, and 141 for a closed pipe)."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the reader left: end as every filter does
    signal.signal(signal.SIGTERM, _terminate)
    if sys.stderr is None:  # closed by the caller; what belongs there must not end up between the results
        sys.stderr = io.StringIO()
    if sys.stdout is None:
        sys.exit(_fail("standard output is closed; send it to /dev/null if you do not want it", REFUSED))
    try:
        status = _run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except OSError as error:
        status = _fail(f"cannot write the result: {error.strerror or error}", REFUSED)
        # What is still buffered can't be written either; without this Python would try again while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stderr.flush()
    os._exit(status)  # everything is written; torch would take up to half a second to tear itself down


def _run(arguments: list[str]) -> int:
    from convgrad_cli.cli.terminal import wants_color

    try:
        if _says_no_color(arguments) or not wants_color("auto", os.environ, sys.stdout.isatty()):
            # Typer would colour help texts for FORCE_COLOR=0 and for GITHUB_ACTIONS.
            os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"
        from convgrad_cli.cli.app import app

        return int(app(arguments, prog_name="convgrad", standalone_mode=False) or 0)
    except ConvGradError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, OSError):
        raise
    except MemoryError:
        return _fail("out of memory; use a smaller --size or --batch", REFUSED)
    except Exception as error:
        if hasattr(error, "format_message"):  # Typer's own: a wrong option or command
            return _fail(_usage(error, arguments), REFUSED)
        return _fail(f"{type(error).__name__}: {error}. This is a bug in convgrad; CONVGRAD_DEBUG=1 shows where", BUG)


def _says_no_color(arguments: list[str]) -> bool:
    return "--color=never" in arguments or ("--color", "never") in pairwise(arguments)


def _usage(error: Any, arguments: list[str]) -> str:
    """What Typer says about a wrong option or command, and where to look."""
    from convgrad_cli.cli.app import app

    message, context = error.format_message(), getattr(error, "ctx", None)
    options = [parameter.name for parameter in context.command.params] if context else []
    if message.startswith("Got unexpected extra argument") and "size" in options:
        message += "; each value belongs to an option and has no blanks in it: --size 3x3"
    if message.startswith("No such option") and context and context.parent is None:
        message += "; options stand after the command: convgrad inspect --size 3"
    end = "" if message.endswith((".", "?", "!")) else "."
    # Of an option without its value Typer does not say whose it is.
    commands = [command.name for command in app.registered_commands]
    named = next((argument for argument in arguments[:1] if argument in commands), "")
    path = context.command_path if context else f"convgrad {named}".rstrip()
    return f"{message}{end} Try {path} --help"


def _fail(message: str, status: int) -> int:
    from convgrad_cli.safe import safe

    if os.environ.get("CONVGRAD_DEBUG") and sys.exc_info()[1] is not None:
        import traceback

        traceback.print_exc()
    print(f"convgrad: {safe(message, limit=2000)}", file=sys.stderr)
    return status


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
