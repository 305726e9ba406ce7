"""Style: how a report is to be shown, decided once by the cli; and the names that `--only` understands."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = ("table", "plain", "json", "jsonl", "csv", "markdown", "latex", "html", "svg", "png", "junit", "github")
SUFFIXES = {
    ".txt": "table",
    ".json": "json",
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".tsv": "plain",
    ".md": "markdown",
    ".tex": "latex",
    ".html": "html",
    ".svg": "svg",
    ".png": "png",
    ".xml": "junit",
}
NAMES = ("input", "weight", "bias", "output", "grad_output", "grad_input", "grad_weight", "grad_bias")
SECOND_NAMES = ("grad_grad_output", "grad_grad_input", "grad_grad_weight", "grad_grad_bias")
"""What only reports of the second order have."""
SENTENCE = 2000  # characters of a note or a reason; a sentence is longer than a name
ROWS = 50  # a longer table shows only the rows that matter, unless asked


@dataclass(frozen=True)
class Style:
    """`width` None: natural width, nothing wrapped. `rows` None: the format's own default. `only` empty: everything.

    `color` is the colour system of the terminal ("truecolor", "256", "standard"), None for no escape at all. `typed` is
    the command line that asked for the report, for pages that offer it; empty where there was none.
    """

    width: int | None = None
    color: str | None = None
    ascii: bool = False
    precision: int = 4
    only: tuple[str, ...] = ()
    rows: int | None = None
    quiet: bool = False
    typed: str = ""

    def shows(self, name: str) -> bool:
        return not self.only or name in self.only
