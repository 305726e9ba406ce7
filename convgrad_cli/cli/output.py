"""The one place that prints and writes: which format, which style, and files that are whole or not there at all."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import IO

from convgrad_cli.cli.options import OutputOptions
from convgrad_cli.cli.terminal import can_draw, color_system, terminal_width, wants_color
from convgrad_cli.errors import OK, ConvGradError
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.render.style import FORMATS, NAMES, SECOND_NAMES, SENTENCE, SUFFIXES, Style
from convgrad_cli.report import Report
from convgrad_cli.safe import safe

Piece = str | bytes  # of what a format writes: text, or an image


def check_output(options: OutputOptions) -> tuple[str, Style]:
    """The format and style that the options ask for, so that a wrong one is refused before any work is done."""
    to_file = options.output not in (None, "-")
    name = _format(options, to_file)
    _check_image(name, to_file)
    color = wants_color(options.color, os.environ, sys.stdout.isatty() and not to_file)
    if to_file and options.color != "always":
        color = False
    check_precision(options.precision)
    _check_range("--width", options.width, 20, 10_000)
    if options.rows is not None and options.rows < 1:
        raise ConvGradError(f"--rows must be 1 or more, not {options.rows}")
    if to_file:
        check_writable(str(options.output))
    style = Style(
        width=options.width or (None if to_file else terminal_width()),
        color=color_system(os.environ) if color else None,
        ascii=options.ascii or not (to_file or can_draw(sys.stdout.encoding)),
        precision=options.precision,
        only=_names(options.only or []),
        rows=options.rows,
        quiet=True,  # notes go to standard error, below
        typed=typed(sys.argv[1:]),
    )
    return name, style


def refuse_second_order(options: OutputOptions) -> None:
    """Refuse formats that do not show gradients of gradients."""
    name, _ = check_output(options)
    if name == "html":
        raise ConvGradError("-f html shows no second order; use -f svg, markdown, latex or json")


def check_precision(precision: int) -> None:
    """Refuse decimals that no number has."""
    _check_range("--precision", precision, 0, 17)


def _check_range(option: str, number: int | None, least: int, most: int) -> None:
    if number is not None and not least <= number <= most:
        raise ConvGradError(f"{option} must be from {least} to {most}, not {number}")


def typed(arguments: list[str]) -> str:
    """The command line without what only says where its result goes."""
    kept, rest = ["convgrad"], iter(arguments)
    for argument in rest:
        if argument in ("-o", "--output", "-f", "--format"):
            next(rest, "")
        elif not argument.startswith(("-o", "-f", "--output=", "--format=")):
            kept.append(argument)
    return safe(shlex.join(kept), SENTENCE)


def show(report: Report, options: OutputOptions) -> int:
    """Render `report` as the options ask, print or write it, and return its exit status."""
    name, style = check_output(options)
    _check_only(report, name, style)
    pieces: Iterable[Piece] = import_module(f"convgrad_cli.render.{_MODULES.get(name, name)}").render(report, style)
    show_pieces(pieces, report.notes, options)
    return report.exit_code


def show_pieces(pieces: Iterable[Piece], notes: Iterable[str], options: OutputOptions) -> None:
    """Print or write the text, and the notes to standard error."""
    if options.output in (None, "-"):
        print_pieces(pieces)
    else:
        write_file(str(options.output), pieces)
    say_notes(notes, options.quiet)


def say_notes(notes: Iterable[str], quiet: bool) -> None:
    """Print the notes to standard error, unless they are not wanted."""
    for note in () if quiet else notes:
        print(f"note: {safe(note, SENTENCE)}", file=sys.stderr)


def show_line(text: str, options: OutputOptions) -> int:
    """Print or write one line that is no report, and return the exit status of success."""
    if options.format is not None:
        raise ConvGradError(f"a single line has no format {safe(options.format)}; drop --format")
    if options.output in (None, "-"):
        print_pieces([f"{text}\n"])
    else:
        write_file(str(options.output), [f"{text}\n"])
    return OK


def print_pieces(pieces: Iterable[Piece], *, at_once: bool = False) -> None:
    """Write to standard output as the pieces come; characters that its encoding lacks are written as escapes.

    `at_once`: nothing waits for the next piece.
    """
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for piece in pieces:
        (sys.stdout.buffer if isinstance(piece, bytes) else sys.stdout).write(piece)  # type: ignore[arg-type]
        if at_once:
            sys.stdout.flush()
    sys.stdout.flush()


def check_writable(path: str, option: str = "--output") -> None:
    """Refuse what can't be written before any work is done. Raises ConvGradError."""
    if not path:
        raise ConvGradError(f"{option} needs the name of a file, or - for standard output")
    target = Path(path)
    try:
        folder = target.resolve().parent
        if target.is_dir() or path.endswith(("/", os.sep)):
            raise ConvGradError(f"{option} {safe(path)} is a directory; name a file in it")
        if not target.exists() and not folder.is_dir():
            raise ConvGradError(f"{option} {safe(path)}: there is no directory {safe(str(folder))}")
        if not os.access(target if target.exists() else folder, os.W_OK):
            raise ConvGradError(f"{option} {safe(path)} is read-only; choose another name, or make it writable")
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that point at each other
        raise ConvGradError(f"{option} {safe(path)}: {safe(getattr(error, 'strerror', None) or str(error))}") from None


def write_file(path: str, pieces: Iterable[Piece]) -> None:
    """Write a file that is either whole or untouched: a temporary one beside it, flushed to disk, then renamed."""
    try:
        special = os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode)
        # A link stays a link; what it points to is replaced.
        with open(path, "wb") if special else _replacing(Path(path).resolve()) as file:
            for piece in pieces:
                file.write(piece if isinstance(piece, bytes) else piece.encode())
    except OSError as error:
        raise ConvGradError(f"--output {safe(path)}: {error.strerror or error}") from None


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    # There is no way to read it but to set it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


_MODULES = {"table": "terminal"}


def _format(options: OutputOptions, to_file: bool) -> str:
    if options.format is not None:
        if options.format not in FORMATS:
            raise ConvGradError(f"--format {safe(options.format)!r} is not one of {', '.join(FORMATS)}")
        return options.format
    if not to_file:
        return "table"
    suffix = Path(str(options.output)).suffix.lower()
    if not suffix or (os.path.exists(str(options.output)) and not os.path.isfile(str(options.output))):
        return "table"
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise ConvGradError(f"--output {safe(str(options.output))}: {safe(suffix)} is not one of {known}; add --format")
    return SUFFIXES[suffix]


def _check_image(name: str, to_file: bool) -> None:
    """Refuse pixels that could not be drawn, or that a terminal would show as noise."""
    if name != "png":
        return
    if not to_file and sys.stdout.isatty():
        raise ConvGradError("--format png is an image, and this is a terminal; name a file: -o figure.png")
    if missing := import_module("convgrad_cli.render.png").missing():
        raise ConvGradError(f"--format png needs {missing}; or write -o figure.svg, which needs nothing")


def _check_only(report: Report, name: str, style: Style) -> None:
    """Refuse a name of --only of which the format would show nothing; an empty answer looks like a right one."""
    there = _tensors_shown(report, name)
    for missing in (wanted for wanted in style.only if wanted not in there):
        if missing.endswith("bias") and not report.spec.bias:
            raise ConvGradError(f"--only {missing}: the layer has no bias; add --bias")
        if missing in SECOND_NAMES and not report.second_order:
            raise ConvGradError(f"--only {missing}: it is of the second order; add --second-order")
        raise ConvGradError(
            f"--only {missing}: {report.command} -f {name} does not show it; it shows {', '.join(there)}"
        )


def _tensors_shown(report: Report, name: str) -> list[str]:
    """What of the report the format can show: verdicts, comparisons, elements, or these and the operands."""
    judged = [] if report.check is None else [verdict.tensor for verdict in report.check.verdicts]
    if name in ("junit", "github") or (name == "plain" and judged):
        return judged or [comparison.tensor for comparison in report.comparisons]
    tables = [table.tensor for table in report.tables]
    if name in ("csv", "jsonl", "svg", "png"):
        return tables
    return list(dict.fromkeys([*judged, *tables, *report.tensors]))


def _names(given: list[str]) -> tuple[str, ...]:
    """The names of --only, separated by commas or repeated; the letters x, w, b, y, g are understood too."""
    words = {letter: name for name, letter in LETTERS.items()}
    words |= {f"{letter}.grad": f"grad_{words[letter]}" for letter in "xwbg"}
    words |= {f"{name}.grad": f"grad_{name}" for name in ("input", "weight", "bias")}
    names = [words.get(name.strip(), name.strip()) for text in given for name in text.split(",")]
    for name in names:
        if name not in (*NAMES, *SECOND_NAMES):
            raise ConvGradError(f"--only {safe(name)!r} is not one of {', '.join(NAMES)}")
    return tuple(dict.fromkeys(names))
