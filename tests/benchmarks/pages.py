"""Pages: what writing a large one costs, and how fast a small one is in a browser."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import Aim, Outcome, Settings, timed

LARGE = {"in_channels": 64, "out_channels": 64, "input_size": 56, "kernel_size": 3, "padding": 1, "bias": True}
TINY = {"in_channels": 4, "out_channels": 4, "input_size": 8, "kernel_size": 3, "padding": 1, "bias": True}
NOTEBOOK = {"input_size": 3, "kernel_size": 2}
CELLS = {"input_size": 20, "kernel_size": 3, "grad_output": "randn"}  # x has 400 cells
SECONDS, BYTES, FRAME = 3, 2_000_000, 16

# From the event to where all that lights up has its place on the screen; reading a box makes the browser settle it.
HOVER = """() => [...document.querySelectorAll("#stage td[tabindex]")].map((cell) => {
  const begun = performance.now();
  cell.dispatchEvent(new PointerEvent("pointerover", {bubbles: true}));
  for (const lit of document.querySelectorAll("td.lit")) lit.getBoundingClientRect();
  return Math.max(performance.now() - begun, 0.001);
})"""
PAINT = """() => new Promise((done) => new PerformanceObserver((list) => {
  for (const entry of list.getEntriesByName("first-contentful-paint")) done(entry.startTime);
}).observe({type: "paint", buffered: true}))"""


def pages(settings: Settings) -> Outcome:
    """Seconds and bytes of a page of a large layer; milliseconds to the first paint and from hover to highlight."""
    import convgrad_cli
    from convgrad_cli.render import html
    from convgrad_cli.render.style import Style

    layer = TINY if settings.tiny else LARGE
    large = convgrad_cli.inspect(**layer)
    text = "".join(html.render(large, Style()))
    write = timed(lambda: "".join(html.render(large, Style())), time.process_time)
    seconds = [write() for _ in range(settings.runs)]
    small = {name: "".join(html.render(convgrad_cli.inspect(**asked), Style())) for name, asked in
             (("notebook", NOTEBOOK), ("cells", CELLS))}  # fmt: skip
    paints, hovers, browser = _in_browser(small, settings.runs)
    late = sorted(hovers)[int(0.95 * (len(hovers) - 1))]
    written, painted = statistics.median(seconds), statistics.median(paints)
    size = len(text.encode())
    return Outcome(
        f"the page of {large.spec.layer_text()} on {layer['input_size']} x {layer['input_size']}; the notebook's "
        f"example, and a page with an input of 400 cells, in {browser}",
        [
            Aim("page of 64 channels: processor seconds beyond the gradients", written, SECONDS),
            Aim("page of 64 channels: bytes", size, BYTES),
            Aim("hover to highlight at 400 cells, 95 of 100: ms", late, FRAME),
        ],
        [
            _case("writing a large page", "s", written, seconds),
            _case("first paint of the notebook's example", "ms", painted, paints),
            _case("hover to highlight, 400 cells", "ms", statistics.median(hovers), hovers),
        ],
    )


def _case(name: str, unit: str, median: float, samples: list[float]) -> dict[str, Any]:
    return {"case": name, "unit": unit, "median": median, "samples": {"ours": samples}}


def _in_browser(texts: dict[str, str], runs: int) -> tuple[list[float], list[float], str]:
    """First paints of one page, each in a fresh profile; of another the answer to every cell, and which browser."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        for name, text in texts.items():
            (Path(folder) / f"{name}.html").write_text(text, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        paints = []
        for _ in range(runs):
            context = browser.new_context()
            page = context.new_page()
            page.goto((Path(folder) / "notebook.html").as_uri())
            paints.append(page.evaluate(PAINT))
            context.close()
        page = browser.new_page()
        page.goto((Path(folder) / "cells.html").as_uri())
        page.evaluate(HOVER)  # warm
        hovers = page.evaluate(HOVER)
        found = f"Chromium {browser.version}"
        browser.close()
    return paints, hovers, found
