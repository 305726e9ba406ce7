"""Pages in a real browser: opened from disk, watched for requests and messages, and what lights up read from them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page
from render.samples import text_of

from convgrad_cli.geometry.formula import LETTERS, Formula
from convgrad_cli.render import html
from convgrad_cli.report import Report

Entry = tuple[str, tuple[int, ...]]

# The index of a cell, read from what people see: the label of its matrix, the head of its row, that of its column.
READ = """
const indexOf = (cell) => {
  const table = cell.closest("table");
  const label = table.caption.textContent.match(/\\[(.*)\\]/);
  const row = cell.parentNode.cells[0].textContent;
  const column = table.tHead.rows[0].cells[cell.cellIndex].textContent;
  return [...(label ? label[1].split(",") : []), ...(row ? [row] : []), column].map(Number);
};
const entryOf = (cell) => [cell.closest(".tensor").id.replace("tensor-", ""), indexOf(cell)];
"""


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "these tests need Debian's chromium: apt-get install chromium"
    return found


@contextmanager
def opened(browser: Browser, folder: Path, report: Report, **context: Any) -> Iterator[Page]:
    """The page of a report in a fresh profile. Nothing may be asked for but the file, and nothing be complained of."""
    file = folder / "grads.html"
    file.write_text(text_of(html, report), encoding="utf-8")
    with visited(browser, file, **context) as page:
        yield page


@contextmanager
def visited(browser: Browser, file: Path, **options: Any) -> Iterator[Page]:
    context = browser.new_context(**{"viewport": {"width": 1024, "height": 2000}, **options})
    page = context.new_page()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url))
    page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
    page.goto(file.as_uri())
    yield page
    assert heard == [file.as_uri()]
    context.close()


class State(NamedTuple):
    """What the page is about, the cells that light up for it, and what is written in the fixed place."""

    at: set[Entry]
    lit: set[Entry]
    sum: str
    said: str


def state(page: Page) -> State:
    found = page.evaluate(f"""() => {{ {READ}
      const entries = (cells) => [...document.querySelectorAll(`#stage ${{cells}}`)].map(entryOf);
      const text = (name) => document.querySelector(`#readout ${{name}}`)?.innerText ?? "";
      return [entries("td.at"), entries("td.lit"), text(".sum"), text(".said")];
    }}""")
    at, lit = ({(name, tuple(index)) for name, index in entries} for entries in found[:2])
    return State(at, lit, *found[2:])


def cells(page: Page, tensor: str) -> list[tuple[tuple[int, ...], float, float]]:
    """Of each cell of a tensor that is in view its index and its middle on the screen."""
    found = page.evaluate(f"""() => {{ {READ}
      return [...document.querySelectorAll("#tensor-{tensor} tbody td[tabindex]")].map((cell) => {{
        const box = cell.getBoundingClientRect();
        return [indexOf(cell), box.x + box.width / 2, box.y + box.height / 2];
      }});
    }}""")
    return [(tuple(index), x, y) for index, x, y in found]


def entries(formula: Formula) -> set[Entry]:
    """What a formula multiplies and adds, with what is left out of it because it is 1."""
    names = {letter: name for name, letter in LETTERS.items()}
    factors = [factor for product in formula.products for factor in (*product.factors, *product.ones)]
    return {(names[factor.operand], index) for factor in factors for index in factor.entries()}


def reached(report: Report, entry: Entry) -> set[Entry]:
    """The elements whose formula has the entry in it."""
    return {
        (element.tensor, element.index)
        for table in report.tables
        for element in table.elements
        if entry in entries(element.formula)
    }
