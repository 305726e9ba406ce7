"""`convgrad suite`"""

import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from convgrad_cli.cli.check import TARGET, CodeOptions, code_target
from convgrad_cli.cli.options import RUN, OutputOptions, number, option, takes
from convgrad_cli.errors import ConvGradError
from convgrad_cli.safe import safe

if TYPE_CHECKING:
    from convgrad_cli.cli.progress import Meter
    from convgrad_cli.cli.results import Results
    from convgrad_cli.commands.suite_settings import Settings
    from convgrad_cli.geometry.problem_list import Listed, Remark
    from convgrad_cli.report import Row, Tally

LIST = "Problems"
COMPLAINTS = 10  # lines that cannot be read and are quoted


@dataclass(frozen=True)
class SuiteOptions:
    """Which problems, and how they are run."""

    target: Annotated[
        str | None,
        option(
            TARGET, "--target", metavar="TARGET", help="file.py::function or package.module:function. Default: torch."
        ),
    ] = None
    match: Annotated[
        str | None, option(LIST, "--match", metavar="REGEX", help="Only problems whose name or text has this in it.")
    ] = None
    mb: Annotated[int | None, number(LIST, "--mb", help="Batch size, instead of the list's.")] = None
    max_macs: Annotated[
        int | None,
        number(LIST, "--max-macs", help="Of problems with more multiply-adds judge a sample of their elements."),
    ] = None
    sample: Annotated[
        int | None, number(LIST, "--sample", help="Elements of each tensor in a sample. Default: 64.")
    ] = None
    summary: Annotated[bool, option(LIST, "--summary", help="Inspect the problems instead of checking them.")] = False
    dtype: Annotated[str | None, option(RUN, "--dtype", metavar="NAME", help="Instead of the list's, or float32.")] = (
        None
    )
    device: Annotated[str, option(RUN, "--device", metavar="NAME", help="cpu, cuda, ... Default: cpu.")] = "cpu"
    seed: Annotated[int, number(RUN, "--seed", help="For random numbers. Default: 0.")] = 0
    jobs: Annotated[int, number(RUN, "--jobs", help="Processes, each with its share of the cores. Default: 1.")] = 1
    cluster: Annotated[
        str | None,
        option(RUN, "--cluster", metavar="ADDRESS", help="Run on Dask workers: tcp://host:8786, or local."),
    ] = None
    results: Annotated[
        str | None, option(RUN, "--results", metavar="FILE", help="Write every result here as it comes, as jsonl.")
    ] = None
    resume: Annotated[bool, option(RUN, "--resume", help="Go on with a --results file of an earlier run.")] = False


@takes(suite=SuiteOptions, code=CodeOptions, output=OutputOptions)
def command(
    suite: SuiteOptions,
    code: CodeOptions,
    output: OutputOptions,
    files: Annotated[
        list[str], Argument(metavar="FILE", help="Lists of problems: benchdnn, MIOpenDriver or jsonl; - is stdin.")
    ],
) -> int:
    """Check many problems, from the lists that kernel engineers have: a line each, and a summary."""
    from convgrad_cli.cli.lists import read_lists
    from convgrad_cli.cli.output import check_output, print_pieces, write_file
    from convgrad_cli.cli.progress import Meter
    from convgrad_cli.cli.request import require_directory
    from convgrad_cli.cli.results import open_results
    from convgrad_cli.render.suite import RENDERERS
    from convgrad_cli.report import Tally

    name, style = check_output(output)
    if name not in RENDERERS:
        raise ConvGradError(f"{name} has no lines for a suite; --format can be {', '.join(RENDERERS)}")
    if output.only or output.rows is not None:
        raise ConvGradError("--only and --rows choose elements, and a suite shows none; drop them")
    _require(suite, code)
    require_directory()
    tell = (lambda said: None) if output.quiet else _note
    found, wrong = read_lists(files, tell)
    problems = _matching(found, suite.match)
    _complain(wrong)
    with ExitStack() as stack:
        results = stack.enter_context(open_results(suite.results, resume=suite.resume)) if suite.results else None
        # Only now is torch needed: what is wrong with the request has been said without it.
        settings = _settings(suite, code)
        before, left = results.split(problems, settings) if results else ([], problems)
        if results and results.mended:
            tell(f"the last line of {suite.results} was half written; its problem is done again")
        width, unread = max(len(one.name or one.text) for one in problems), tuple(map(str, wrong))
        tally = Tally(len(before) + len(left), width, before=len(before), unread=unread)
        meter = stack.enter_context(Meter())
        done = stack.enter_context(closing(_run(left, settings, suite, tally, results, meter, tell)))
        pieces = RENDERERS[name](chain(_counted(before, tally), done), tally, style)
        try:
            if output.output in (None, "-"):
                print_pieces(pieces, at_once=True)
            else:
                write_file(str(output.output), pieces)
        except KeyboardInterrupt:
            meter.clear()
            more = f"; --resume goes on with {results.name}" if results else ""
            tell(f"interrupted after {tally.done:,} of {tally.total:,} problems{more}")
            raise
    if wrong:
        lines = "1 line" if len(wrong) == 1 else f"{len(wrong):,} lines"
        print(f"convgrad: {lines} could not be read, as told above, and have no result", file=sys.stderr)
    return tally.exit_code


def _counted(rows: Iterable["Row"], tally: "Tally") -> Iterator["Row"]:
    for row in rows:
        tally.add(row)
        yield row


def _run(
    problems: list["Listed"],
    settings: "Settings",
    suite: SuiteOptions,
    tally: "Tally",
    results: "Results | None",
    meter: "Meter",
    tell: Callable[[str], None],
) -> Generator["Row"]:
    """The rows as they come, each written down before it is shown."""
    from convgrad_cli.commands.suite import run_suite

    total, done, begun = sum(settings.cost(settings.spec(one)) for one in problems), 0, monotonic()
    for row in run_suite(problems, settings, suite.jobs, suite.cluster, tell):
        if results:
            results.add(row)
        done += settings.cost(row.spec)
        tally.seconds = monotonic() - begun
        meter.clear()
        yield from _counted([row], tally)
        meter.show(done / total, tally.seconds, f"{tally.done:,} of {tally.total:,}")


def _settings(suite: SuiteOptions, code: CodeOptions) -> "Settings":
    from hashlib import sha256

    from convgrad_cli.commands.suite_settings import SAMPLE, Settings

    named = {name: getattr(suite, name) for name in ("dtype", "device", "seed", "max_macs", "summary")}
    asked = code_target(suite.target, code)
    if suite.cluster is not None:
        asked = replace(asked, target=_whole(asked.target), forward=_whole(asked.forward))
    settings = Settings(asked, code.arithmetic, code.conditions, batch=suite.mb, sample=suite.sample or SAMPLE, **named)
    return replace(settings, sha256=sha256(Path(settings.file).read_bytes()).hexdigest() if settings.file else "")


def _whole(code: str | None) -> str | None:
    """file.py::function with the whole path of the file: a worker may be in another directory."""
    path, mark, name = (code or "").partition("::")
    return f"{os.path.abspath(path)}{mark}{name}" if mark else code


def _require(suite: SuiteOptions, code: CodeOptions) -> None:
    """Raise ConvGradError for what is wrong whatever the problems are."""
    from convgrad_cli.commands.target_options import check_options
    from convgrad_cli.tensors.device import check_device, check_dtype
    from convgrad_cli.verdict.choices import ARITHMETIC_NAMES, choose_arithmetic, choose_conditions, require_name

    choose_conditions(code.conditions)
    require_name("--arithmetic", code.arithmetic, ARITHMETIC_NAMES)
    check_device(suite.device)
    if suite.dtype is not None:
        check_dtype(suite.dtype)
        choose_arithmetic(code.arithmetic, suite.dtype)
    asked = code_target(suite.target, code)
    check_options(asked)
    if suite.summary and asked != type(asked)():
        raise ConvGradError("--summary inspects torch's own gradients, and this names other code; drop one of them")
    if suite.summary and (suite.max_macs is not None or code.conditions or code.arithmetic != "direct"):
        raise ConvGradError("--summary compares every element; drop --max-macs, --conditions and --arithmetic")
    if suite.sample is not None and suite.max_macs is None:
        raise ConvGradError("--sample is for problems of more than --max-macs multiply-adds; give that too")
    for name, value, least in (
        ("--mb", suite.mb, 1),
        ("--jobs", suite.jobs, 1),
        ("--sample", suite.sample, 1),
        ("--max-macs", suite.max_macs, 0),
    ):
        if value is not None and value < least:
            raise ConvGradError(f"{name} must be {least} or more, not {value}")
    if suite.resume and not suite.results:
        raise ConvGradError("--resume goes on with a file of results; name it with --results")


def _matching(problems: list["Listed"], regex: str | None) -> list["Listed"]:
    if regex is None:
        return problems
    try:
        wanted = re.compile(regex)
    except re.error as error:
        raise ConvGradError(f"--match {safe(regex)!r} is no regular expression: {error}") from None
    found = [one for one in problems if wanted.search(one.name) or wanted.search(one.text)]
    if not found:
        first = safe(problems[0].name or problems[0].text)
        raise ConvGradError(
            f"--match {safe(regex)!r} fits none of the {len(problems):,} problems; the first is {first}"
        )
    return found


def _complain(wrong: list["Remark"]) -> None:
    """Say which lines will have no result."""
    for remark in wrong[:COMPLAINTS]:
        print(f"convgrad: {remark}", file=sys.stderr)
    if len(wrong) > COMPLAINTS:
        print(f"convgrad: {len(wrong) - COMPLAINTS:,} more lines cannot be read", file=sys.stderr)


def _note(said: str) -> None:
    print(f"note: {safe(said, 2000)}", file=sys.stderr, flush=True)
