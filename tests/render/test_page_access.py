"""The page for everyone: screen readers, dark and forced colours, calm motion, small and large screens, no script."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from render.browser import opened, reached, state
from render.checks import check
from render.samples import HOSTILE, elements_of, sample

PAGES = ("with_bias", "sums_of_products", "gaps", "story", "large", "failing", "suspect", "hostile", "hostile_check")


def report_of(name: str):
    return check(name) if name in ("failing", "suspect", "hostile_check") else sample(name)


@pytest.mark.parametrize(
    ("name", "colours"),
    [(name, colours) for name in ("with_bias", "failing") for colours in ("light", "dark")]
    + [("story", "dark"), ("output_of_bias_alone", "light"), ("hostile", "light")],
)
def test_axe_finds_nothing(name, colours, browser, tmp_path):
    with opened(browser, tmp_path, report_of(name), color_scheme=colours) as page:
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", PAGES)
def test_it_fits_every_screen(name, browser, tmp_path):
    with opened(browser, tmp_path, report_of(name)) as page:
        for width in (400, 1024, 1920):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") == width
            if page.locator("#readout").count():
                page.evaluate("scrollTo(0, document.getElementById('stage').getBoundingClientRect().top + scrollY)")
                box = page.locator("#readout").bounding_box()
                assert 0 < box["y"] <= 800 - box["height"]  # in sight, whatever is on the screen
                assert box["height"] <= 0.45 * 800 + 1


def test_without_a_script_everything_is_there(browser, tmp_path):
    report = sample("sums_of_products")
    with opened(browser, tmp_path, report, java_script_enabled=False) as page:
        text = page.locator("body").inner_text()
        assert all(element.expression in text for element in elements_of(report))
        for tensor in report.tensors:
            shown = page.locator(f"#tensor-{tensor} tbody td[class]").all_inner_texts()
            assert [float(number) for number in shown] == list(report.tensors[tensor].values)
        assert page.locator("td.at").count() == 1
        assert page.locator("td.lit").count() > 1
        worked = page.locator("#readout").inner_text()
        assert "w.grad[0,0,0,0] = " in worked
        assert "(xp[:,0,0:5:2,0:5] * g[:,0,0:3,0:5]).sum()" in worked
        assert page.locator("button:visible, select:visible").count() == 0


def test_colour_is_never_alone(browser, tmp_path):
    with opened(browser, tmp_path, sample("with_bias"), forced_colors="active") as page:
        page.locator("#tensor-grad_weight tbody td[tabindex]").first.hover()
        style = "cell => [getComputedStyle(cell).outlineStyle, getComputedStyle(cell).outlineWidth]"
        plain = page.locator("#tensor-input tbody td[tabindex]").last.evaluate(style)
        lit = page.locator("#tensor-input td.lit").first.evaluate(style)
        pointed = page.locator("td.at").evaluate(style)
        assert plain[0] == "none"
        assert len({tuple(plain), tuple(lit), tuple(pointed)}) == 3
    with opened(browser, tmp_path, sample("with_bias")) as page:
        page.locator("#tensor-grad_weight tbody td[tabindex]").first.hover()
        pattern = "cell => getComputedStyle(cell).backgroundImage"
        assert page.locator("#tensor-input td.lit").first.evaluate(pattern).startswith("linear-gradient")
        assert page.locator("#tensor-input tbody td[tabindex]").last.evaluate(pattern) == "none"


def test_the_walk_stops_by_itself(browser, tmp_path):
    report = sample("notebook")
    with opened(browser, tmp_path, report) as page:
        assert state(page).at == {("grad_weight", (0, 0, 0, 0))}
        page.clock.install(time=0)
        page.clock.pause_at(1000)
        page.get_by_label("Walk through").select_option("x.grad")
        page.get_by_label("Play").click()
        seen = []
        for _ in range(12):
            seen += [index for index in state(page).at if index not in seen]
            page.clock.run_for(500)
        assert seen == [("grad_input", element.index) for element in report.tables[2].elements]
        assert page.get_by_label("Play").count() == 1
        page.get_by_label("Step back").click()
        assert state(page).at == {("grad_input", (0, 0, 2, 1))}


def test_the_walk_can_be_paused(browser, tmp_path):
    with opened(browser, tmp_path, sample("notebook")) as page:
        page.clock.install(time=0)
        page.clock.pause_at(1000)
        page.get_by_label("Play").click()
        page.clock.run_for(600)
        page.get_by_label("Pause").click()
        before = state(page).at
        page.clock.run_for(5000)
        assert state(page).at == before == {("output", (0, 0, 0, 1))}


def test_the_walk_scatters_g_as_well(browser, tmp_path):
    report = sample("sums_of_products")
    with opened(browser, tmp_path, report) as page:
        page.get_by_label("Walk through").select_option("g")
        for index in ((0, 0, 0, 0), (0, 0, 0, 1)):
            page.get_by_label("Step", exact=True).click()
            shown = state(page)
            assert shown.at == {("grad_output", index)}
            assert shown.lit == reached(report, ("grad_output", index))


def test_with_reduced_motion_it_goes_step_by_step(browser, tmp_path):
    with opened(browser, tmp_path, sample("notebook"), reduced_motion="reduce") as page:
        page.clock.install(time=0)
        page.clock.pause_at(1000)
        for index in ((0, 0, 0, 0), (0, 0, 0, 1)):
            page.get_by_label("Play").click()
            page.clock.run_for(5000)
            assert state(page).at == {("output", index)}
        durations = "cell => getComputedStyle(cell).transitionProperty"
        assert page.locator("#tensor-input tbody td[tabindex]").first.evaluate(durations) == "none"


@pytest.mark.parametrize("name", ["hostile", "story", "hostile_check"])
def test_hostile_names_do_nothing(name, browser, tmp_path):
    with opened(browser, tmp_path, report_of(name)) as page:
        assert HOSTILE[0] in page.locator("body").inner_text()
        assert page.locator("script").count() == 2
        assert page.locator("img, iframe, object, embed, form").count() == 0
