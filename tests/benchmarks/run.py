"""Figures of time and memory, each beside what it is measured against.

    python tests/benchmarks/run.py [NAME ...] [--runs N] [--results DIR]

prints a table for each benchmark and writes results/NAME.json. They are figures, not tests: run them on a machine
that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from certify import certify, gradcheck
from commands import inspect, startup
from diagnosis import diagnose
from element import element
from growth import growth
from layers import by_hand
from measure import Outcome, Settings, machine, write
from model import model
from pages import pages
from rich.console import Console
from rich.table import Table
from suite import suite

BENCHMARKS = {
    "startup": startup,
    "inspect": inspect,
    "by-hand": by_hand,
    "growth": growth,
    "element": element,
    "certify": certify,
    "gradcheck": gradcheck,
    "diagnose": diagnose,
    "suite": suite,
    "model": model,
    "pages": pages,
}
RESULTS = Path(__file__).with_name("results")
RUNS = 9
UNSHOWN = ("samples", "varied", "layer", "weight_bytes", "chunk_bytes")  # too wide for a table; in the JSON


def main() -> None:
    """Run what was asked for, each benchmark in a process of its own so that none warms up for another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help=f"samples of each, default {RUNS}")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where the JSON goes")
    parser.add_argument("--tiny", action="store_true", help="small layers, to see that everything runs")
    asked = parser.parse_args()
    names = asked.names or list(BENCHMARKS)
    for name in names:
        if name not in BENCHMARKS:
            parser.error(f"{name!r} is not one of {', '.join(BENCHMARKS)}")
    if len(names) == 1:
        return run(names[0], Settings(asked.runs, asked.tiny, asked.results.absolute()))
    options = ["--runs", str(asked.runs), "--results", str(asked.results), *(["--tiny"] if asked.tiny else [])]
    for name in names:
        subprocess.run([sys.executable, __file__, name, *options], check=True)
    return None


def run(name: str, settings: Settings) -> None:
    """Run one benchmark, print what it found and write it down."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    before = machine()
    if before["load"] > 1:
        console.print(f"[bold]the load of this machine is {before['load']}: only ratios say anything[/bold]")
    outcome = BENCHMARKS[name](settings)
    console.print(f"\n[bold]{name}[/bold]: {outcome.what}")
    console.print(table(outcome))
    for aim in outcome.aims:
        sign = "≤" if aim.at_most else "≥"
        console.print(
            f"  {'reached' if aim.reached else 'MISSED '}  {aim.what} {aim.figure:.4g} (aim {sign} {aim.limit:g})"
        )
    for note in outcome.notes:
        console.print(f"  note: {note}")
    console.print(f"  {os.path.relpath(write(name, outcome, settings, before))}")


def table(outcome: Outcome) -> Table:
    """The cases, one a row, without their samples."""
    columns = [key for key in outcome.cases[0] if key not in UNSHOWN]
    found = Table(*(column.replace("_", " ") for column in columns), header_style="")
    for case in outcome.cases:
        found.add_row(*(_short(case[column]) for column in columns))
    return found


def _short(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
