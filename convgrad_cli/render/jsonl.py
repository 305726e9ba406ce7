"""One element a line, each the same object as in the JSON document, written as it is computed."""

from __future__ import annotations

import json
from collections.abc import Iterator

from convgrad_cli.render import selection
from convgrad_cli.render.json import element_object
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report


def render(report: Report, style: Style) -> Iterator[str]:
    """The elements of the tables asked for; those of the story where a report has no tables."""
    for element in selection.elements(report, style):
        yield json.dumps(element_object(element), allow_nan=False) + "\n"
