"""`suite`: a list of problems, each done in a process of its own, here or elsewhere; what came of them, as rows.

This process needs no torch for that, and it is here when code under test, or torch, brings down the one it ran in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from convgrad_cli.commands.suite_settings import Settings
from convgrad_cli.commands.typed import typed
from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.problem_list import Listed
from convgrad_cli.report import Row
from convgrad_cli.suites import ProcessDied, executor_of, run_all


def run_suite(
    problems: Iterable[Listed],
    settings: Settings,
    jobs: int = 1,
    cluster: str | None = None,
    tell: Callable[[str], None] = lambda said: None,
) -> Iterator[Row]:
    """A Row for each problem, in the order in which they are done; `tell` is given what else there is to say."""
    with executor_of(jobs, cluster) as (executor, at_once):
        done = run_all(
            partial(run_one, settings), problems, executor, at_once, lambda one, why: tell(f"{place(one)}: {why}")
        )
        for listed, row in done:
            yield without_answer(settings, listed, row) if isinstance(row, Exception) else row


def run_one(settings: Settings, listed: Listed) -> Row:
    """The Row of one problem, wherever this is called."""
    from convgrad_cli.commands.suite_problem import judge_problem

    return judge_problem(settings, listed)


def place(listed: Listed) -> str:
    """Where the problem stands."""
    return f"{listed.source}:{listed.line}"


def without_answer(settings: Settings, listed: Listed, error: Exception) -> Row:
    """The Row of a problem that ended with `error`."""
    reason = str(error)
    if isinstance(error, MemoryError):
        reason = "out of memory; use a smaller --mb or fewer --jobs"
    elif not isinstance(error, ConvGradError | ProcessDied):
        reason = f"{type(error).__name__}: {error}"
    return row_of(settings, listed, " ".join(typed(settings.asked) or ["torch"]), "ERROR", reason)


def row_of(settings: Settings, listed: Listed, target: str, verdict: str, reason: str) -> Row:
    """What is known of a problem whatever was found in its tensors."""
    spec, dtype = settings.spec(listed), settings.dtype_of(listed)
    return Row(
        problem=listed.text,
        name=listed.name,
        place=place(listed),
        spec=spec,
        dtype=dtype,
        target=target,
        verdict=verdict,
        reason=reason,
        settings=str(settings),
        sha256=settings.sha256,
        again=settings.again(spec, dtype),
    )
