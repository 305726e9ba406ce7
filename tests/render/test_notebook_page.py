"""What a notebook shows: the page in a frame of its own; the text where frames are taken out; nothing twice."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest
from render.browser import visited
from render.samples import HOSTILE, large, sample, text_of
from render.test_page_roll import MODEL

from convgrad_cli.render import html

# A notebook whose styles would ruin any page.
AROUND = """<!doctype html><meta charset="utf-8"><title>notebook</title>
<style>* {{ color: rgb(1, 2, 3) !important; font-size: 40px !important; }} td {{ display: none !important; }}</style>
<h1>before</h1>{}<p id="after">after</p>"""


@pytest.fixture
def notebook(tmp_path):
    def write(report):
        file = tmp_path / "notebook.html"
        file.write_text(AROUND.format(report._repr_mimebundle_()["text/html"]), encoding="utf-8")
        return file

    return write


def test_the_page_is_alive_in_its_frame_and_no_style_goes_in_or_out(notebook, browser):
    file = notebook(sample("with_bias"))
    context = browser.new_context(viewport={"width": 1024, "height": 900})
    page = context.new_page()
    heard = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.goto(file.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("#tensor-grad_weight tbody td[tabindex]").nth(1).hover()
    assert frame.locator("#readout .value").inner_text() == "w.grad[0,0,0,1] = -1.1840"
    assert frame.locator("td.lit").count() == 4 + 4  # of x, and of g, which is 1 there
    size = "cell => getComputedStyle(cell).fontSize"
    assert frame.locator("td.lit").first.evaluate(size) != "40px"
    assert page.locator("#after").evaluate("p => getComputedStyle(p).backgroundColor") == "rgba(0, 0, 0, 0)"
    assert heard == []
    # Folded: nothing is printed twice.
    assert not page.locator("details > pre").is_visible()
    context.close()


def test_where_frames_are_taken_out_the_text_is_left():
    report = sample("with_bias")
    left = re.sub(r"<iframe.*?</iframe>", "", report._repr_mimebundle_()["text/html"], flags=re.DOTALL)
    assert "<script" not in left
    assert str(report) in unescape(left)
    assert f"convgrad inspect of {report.spec.layer_text()}, as text" in left


def test_the_frame_holds_the_very_page_and_may_touch_nothing_else():
    report = sample("hostile")
    text = report._repr_mimebundle_()["text/html"]
    [frame] = re.findall(r"<iframe[^>]*>", text)
    assert unescape(re.search(r'srcdoc="([^"]*)"', frame)[1]) == text_of(html, report)
    assert 'sandbox="allow-scripts"' in frame
    outside = text.replace(frame, "")
    assert not re.search(r"<(script|img|b)\b", outside)
    assert HOSTILE[0] not in text


def test_a_model_shows_itself_too(notebook, browser):
    with visited(browser, notebook(replace(MODEL, notes=())), java_script_enabled=False) as page:
        assert page.frame_locator("iframe").locator("#roll > tbody > tr").count() == 4


def test_repr_is_one_line_and_computes_nothing():
    made: list[int] = []
    report = large(made)
    made.clear()
    assert repr(report).startswith("<convgrad inspect of Conv1d(1, 1, kernel_size=(2,), bias=False)")
    assert "\n" not in repr(report)
    assert made == []


def test_every_kind_of_notebook_finds_one_that_it_knows():
    assert list(sample("notebook")._repr_mimebundle_()) == ["text/plain", "text/markdown", "text/html"]
