"""The pages of a suite and of a model: a table that is sorted and filtered, in which every row opens."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from render.browser import visited
from render.rows import AGAIN, ROWS, row, shown, verdict
from render.samples import HOSTILE

from convgrad_cli.layers import LayerRow, ModelReport
from convgrad_cli.render.model import RENDERERS
from convgrad_cli.render.style import Style
from convgrad_cli.safe import safe

SEVERITY = ["FAIL", "ERROR", "SUSPECT", "MISTRUSTED", "PASS"]
LAYERS = tuple(
    LayerRow(one.name or "conv1", i, one.spec, "float32", one.verdict, one.reason, one.verdicts, one.seconds)
    for i, one in enumerate(ROWS[:4])
)
MODEL = ModelReport("0.1.0", "net.py::build", "eval", "float32", "cpu", 1664, LAYERS, HOSTILE[:2], 2.0, 0, (1, 2, 6, 5))


@pytest.fixture
def suite(tmp_path):
    file = tmp_path / "suite.html"
    file.write_text(shown("html"), encoding="utf-8")
    return file


def column(page, number: int) -> list[str]:
    return page.locator(f"#roll > tbody > tr:not([hidden]) > :nth-child({number})").all_inner_texts()


def test_a_row_for_every_problem_and_each_opens(suite, browser):
    with visited(browser, suite) as page:
        assert column(page, 1) == [one.verdict for one in ROWS]
        assert [text.strip() for text in column(page, 2)] == [safe(one.label, 2000) for one in ROWS]
        page.locator("#row-2 > summary").click()
        told = page.inner_text("#row-2")
        assert "the formula is wrong" in told
        assert page.inner_text("#again-2") == AGAIN
        assert page.locator("#row-2 tbody tr").all_inner_texts()[0].split()[:2] == ["weight.grad", "FAIL"]
        page.locator("#row-2 button").click()  # no clipboard for a file: the text is selected, or it is copied
        assert page.locator("#row-2").get_attribute("open") is not None


def test_sorted_by_any_column_both_ways(suite, browser):
    with visited(browser, suite) as page:
        head = page.locator("#roll > thead > tr > th")
        head.nth(0).get_by_role("button").click()
        assert column(page, 1) == sorted([one.verdict for one in ROWS], key=SEVERITY.index)
        assert head.nth(0).get_attribute("aria-sort") == "ascending"
        head.nth(0).get_by_role("button").click()
        assert column(page, 1) == sorted([one.verdict for one in ROWS], key=SEVERITY.index, reverse=True)
        head.nth(4).get_by_role("button").click()
        assert column(page, 5)[:3] == ["inf", "0.5", "0.25"]
        assert (head.nth(0).get_attribute("aria-sort"), head.nth(4).get_attribute("aria-sort")) == (None, "descending")
        head.nth(4).get_by_role("button").press("Enter")
        assert column(page, 5)[-3:] == ["0.25", "0.5", "inf"]


def test_filtered_by_words_and_by_verdict(suite, browser):
    with visited(browser, suite) as page:
        counts = Counter(one.verdict for one in ROWS)
        assert page.inner_text("#count") == f"{len(ROWS)} of {len(ROWS)}"
        page.get_by_label("Show").select_option("FAIL")
        assert column(page, 1) == ["FAIL"] * counts["FAIL"]
        page.get_by_label("Filter").fill("formula WRONG")
        assert [text.split()[0] for text in column(page, 2)] == ["wrong"]
        assert page.inner_text("#count") == f"1 of {len(ROWS)}"
        page.get_by_label("Filter").fill("nothing has this")
        assert page.inner_text("#count") == f"0 of {len(ROWS)}"


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing(colours, suite, browser):
    with visited(browser, suite, color_scheme=colours) as page:
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [400, 1024, 1920])
def test_it_fits_every_screen(width, suite, browser):
    with visited(browser, suite, viewport={"width": width, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        opened, frame = (page.locator(part).first.bounding_box() for part in ("#roll details", ".wide"))
        assert opened["x"] + opened["width"] <= frame["x"] + frame["width"] + 1


def test_a_long_note_breaks_on_a_narrow_screen(tmp_path, browser):
    file = tmp_path / "model.html"
    report = replace(MODEL, notes=("net.py::build, sha256 " + 64 * "8",))
    file.write_text("".join(RENDERERS["html"](report, Style())), encoding="utf-8")
    with visited(browser, file, viewport={"width": 400, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_without_a_script_all_of_it_is_there(suite, browser):
    with visited(browser, suite, java_script_enabled=False) as page:
        assert column(page, 1) == [one.verdict for one in ROWS]
        assert page.locator("button:visible, select:visible, input:visible").count() == 0
        page.locator("#row-2 > summary").click()
        assert page.inner_text("#again-2") == AGAIN


def test_hostile_names_do_nothing(suite, browser):
    with visited(browser, suite) as page:
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert HOSTILE[0] in page.inner_text("body")
        assert page.locator("script").count() == 1
        assert page.locator("img, iframe, object, embed, form").count() == 0


def test_of_very_many_those_that_are_not_right_are_listed_and_the_page_stays_small():
    rows = tuple(row(f"n{i}", "FAIL" if i % 1000 == 999 else "PASS", verdicts=(verdict(),)) for i in range(5000))
    text = shown("html", rows)
    assert len(text.encode()) < 2_000_000
    assert text.count(">FAIL</strong></td>") == 5
    assert " of 5,000 problems are listed here, those that are not PASS first." in text


def test_a_model_leads_to_each_of_its_layers(browser, tmp_path):
    file = tmp_path / "model.html"
    file.write_text("".join(RENDERERS["html"](MODEL, Style(typed="convgrad model net.py::build"))), encoding="utf-8")
    with visited(browser, file) as page:
        assert column(page, 1) == [layer.verdict for layer in LAYERS]
        page.locator("#row-2 > summary").click()
        assert page.inner_text("#again-2") == "convgrad model net.py::build --layer wrong"
        assert page.inner_text("#command") == "convgrad model net.py::build" or page.locator("#command").count() == 1
        assert HOSTILE[0] in page.inner_text("body")
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()
