"""For test suites: gradients asserted to be right, without a tolerance."""

from __future__ import annotations

from typing import Any

from convgrad_cli.commands.check import check
from convgrad_cli.report import Report

__all__ = ["assert_gradients"]


def assert_gradients(target: Any = None, layer: Any = None, **options: Any) -> Report:
    """The report of `check`, whose arguments these are, where its verdict is PASS.

    Raises AssertionError with what `convgrad check` prints where it is anything else: wrong gradients as well as a test
    that could not have failed. A function of this process is called here, so that a debugger can stop in it.

    >>> assert_gradients(layer="Conv2d(2, 3, 3, stride=2)", input_size=(7, 6)).check.verdict
    'PASS'
    """
    report = check(target, layer, **options)
    if report.exit_code:
        raise AssertionError(f"\n{report}")
    return report
