"""The page of a check: what is, what should be and each error, the mistake, and both sums side by side."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from render.browser import opened
from render.checks import CHECKS, check, diagnosed

from convgrad_cli.render.names import TITLES

READ = """table => [...table.tBodies[0].rows].map(row => [...row.cells].slice(1).map(cell => cell.innerText))"""


@pytest.mark.parametrize("name", ["failing", "one_failing", "rounding"])
def test_what_is_wrong_is_open_with_every_error_in_units_of_its_bound(name, browser, tmp_path):
    report = check(name)
    with opened(browser, tmp_path, report) as page:
        assert page.inner_text(".banner").startswith(report.check.verdict)
        for verdict, table in zip(report.check.verdicts, report.tables, strict=True):
            part = page.locator(
                ".judged > details", has=page.locator(f"summary code:text-is('{TITLES[table.tensor]}')")
            )
            assert (part.get_attribute("open") is not None) == (verdict.verdict != "PASS")
            part.evaluate("part => part.open = true")
            captions = part.locator("caption").all_inner_texts()
            lead = [int(i) for i in captions[0].partition("[")[2].rstrip("]").split(",")] if "[" in captions[0] else []
            actual, expected, errors = (part.locator("table").nth(i).evaluate(READ) for i in range(3))
            elements = {element.index: element for element in table.elements}
            for r, row in enumerate(errors):
                for c, text in enumerate(row):
                    element = elements[(*lead, *([r] if len(table.shape) > 1 else []), c)]
                    ratio = element.difference / element.bound
                    assert float(text) == pytest.approx(ratio, rel=0.05, nan_ok=True)
                    for shown, route in ((actual, "actual"), (expected, "expected")):
                        assert float(shown[r][c]) == pytest.approx(element.values[route], abs=1e-3, nan_ok=True)
            wrong = sum(not element.agrees for at, element in elements.items() if list(at[: len(lead)]) == lead)
            assert part.locator("td.bad").count() == wrong


def test_the_mistake_is_named_and_the_sums_stand_side_by_side(browser, tmp_path):
    with opened(browser, tmp_path, diagnosed()) as page:
        assert "equals the reference with stride 1: the stride is ignored [F2]" in page.inner_text(".mistake")
        boxes = [page.locator(f".sides .{side}").bounding_box() for side in ("right", "yours")]
        assert boxes[0]["y"] == boxes[1]["y"]
        assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
        assert page.locator("dl.mistake dd > code").inner_html() == diagnosed().diagnosis.smallest
        recovered = diagnosed().diagnosis.recovered[0]
        assert page.inner_text(".sides .right").endswith(f"w[0,0,0,0] = {recovered.right}")
        assert page.inner_text(".sides .yours").endswith(f"w[0,0,0,0] = {recovered.yours}")
        assert page.inner_text(".sides .facts") == recovered.difference


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing(colours, browser, tmp_path):
    with opened(browser, tmp_path, diagnosed(), color_scheme=colours) as page:
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", CHECKS)
def test_without_a_script_the_verdicts_are_there(name, browser, tmp_path):
    report = check(name)
    with opened(browser, tmp_path, report, java_script_enabled=False, viewport={"width": 400, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        shown = page.locator(".judged > details > summary").all_inner_texts()
        assert [text.split()[:2] for text in shown] == [[TITLES[v.tensor], v.verdict] for v in report.check.verdicts]


def test_no_error_is_shown_by_colour_alone(browser, tmp_path):
    with opened(browser, tmp_path, check("one_failing"), forced_colors="active") as page:
        outline = "cell => getComputedStyle(cell).outlineStyle"
        assert page.locator(".error td.bad").first.evaluate(outline) == "dotted"
        assert page.locator(".error td:not(.bad)").last.evaluate(outline) == "none"


def test_every_wrong_element_of_the_stage_says_what_it_should_be(browser, tmp_path):
    report = check("one_failing")
    wrong = [e for table in report.tables for e in table.elements if not e.agrees]
    with opened(browser, tmp_path, report) as page:
        assert page.locator("#stage td.bad").count() == len(wrong) == 18
        page.locator("#tensor-grad_weight td.bad").first.hover()
        said, value = page.inner_text("#readout .said"), page.inner_text("#readout .value")
        ratio = wrong[0].difference / wrong[0].bound
        should = f", and should be {wrong[0].values['expected']:g}"
        assert value.endswith(f"{should} =")  # the formula that follows is the right one
        assert f"{should}: " in said
        assert said.endswith(f" It is off by {ratio:.2g} times its bound.")
    with opened(browser, tmp_path, check("on_a_probe")) as page:
        assert page.locator("#stage td.bad").count() == 0
