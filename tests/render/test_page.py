"""The page in a browser: what lights up is what the formulas of the report say, by pointer and by keyboard."""

from __future__ import annotations

import pytest
from render.browser import cells, entries, opened, reached, state
from render.samples import make_report, sample, text_of

from convgrad_cli import inspect
from convgrad_cli.render import html
from convgrad_cli.report import Report


def numbers(count: int) -> list[float]:
    return [float((5 * i) % 9 - 4) or 7.0 for i in range(count)]


def layer(ones: bool = False, **options) -> Report:
    """A layer whose g is not all ones, so that every formula names both of its operands; or one where it is."""
    from convgrad_cli.geometry.spec import make_spec

    spec = make_spec(**options)
    counts = {name: _count(spec.shape_of(name)) for name in ("input", "weight", "output")}
    b = numbers(spec.out_channels) if spec.bias else ()
    return make_report(
        options, numbers(counts["input"]), numbers(counts["weight"]), b=b, g=None if ones else numbers(counts["output"])
    )


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


LAYERS = {
    "plain": {"input_size": 3, "kernel_size": 2},
    "bias": {"input_size": 3, "kernel_size": 2, "bias": True},
    "g of ones": {"ones": True, "input_size": 3, "kernel_size": 2, "bias": True},
    "transposed": {"input_size": 3, "kernel_size": 2, "transposed": True, "stride": 2, "bias": True},
    "stride": {"input_size": 5, "kernel_size": 2, "stride": 2},
    "dilation": {"input_size": 5, "kernel_size": 2, "dilation": 2, "padding": 1},
    "groups": {"input_size": 3, "kernel_size": 2, "groups": 2, "in_channels": 2, "out_channels": 4},
    "1-D batch": {"input_size": 5, "kernel_size": 3, "dims": 1, "batch_size": 2},
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_keyboard_reaches_every_element_and_its_spans_light_up(name, browser, tmp_path):
    report = layer(**LAYERS[name])
    with opened(browser, tmp_path, report) as page:
        for table in report.tables:
            formulas = {element.index: element for element in table.elements}
            grids = page.locator(f"#tensor-{table.tensor} [role=grid]")
            seen = []
            for number in range(grids.count()):
                rows, columns = grids.nth(number).evaluate(SIZE)
                grids.nth(number).locator("tbody td[tabindex]").first.focus()
                for _ in range(rows):
                    for column in range(columns):
                        if column:
                            page.keyboard.press("ArrowRight")
                        shown = state(page)
                        [(tensor, index)] = shown.at
                        seen.append(index)
                        assert tensor == table.tensor
                        assert shown.lit == entries(formulas[index].formula)
                        assert shown.sum == formulas[index].expression
                    page.keyboard.press("ArrowDown")
                    page.keyboard.press("Home")
            assert sorted(seen) == sorted(formulas)


SIZE = "table => [table.tBodies[0].rows.length, table.tBodies[0].rows[0].cells.length - 1]"


@pytest.mark.parametrize("name", LAYERS)
def test_pointing_at_an_operand_lights_up_every_element_it_reaches(name, browser, tmp_path):
    report = layer(**LAYERS[name])
    with opened(browser, tmp_path, report) as page:
        for tensor in ("input", "weight", "grad_output"):
            for index, x, y in cells(page, tensor):
                page.mouse.move(x, y)
                shown = state(page)
                assert shown.at == {(tensor, index)}
                assert shown.lit == reached(report, (tensor, index))
                assert shown.said.startswith(
                    f"{report.tensors[tensor].letter}[{','.join(map(str, index))}] takes part in "
                )


def test_a_g_that_is_left_out_lights_up_and_is_said(browser, tmp_path):
    with opened(browser, tmp_path, sample("with_bias")) as page:
        page.locator("#tensor-grad_weight tbody td[tabindex]").first.hover()
        assert page.inner_text("#readout .sum") == "x[0,0,0:2,0:2].sum()"
        assert page.locator("#tensor-grad_output td.lit").count() == 4
        assert state(page).said.endswith(": 4 terms of x, each times a 1 of g.")


def test_numbers_are_written_out(browser, tmp_path):
    with opened(browser, tmp_path, sample("with_bias")) as page:
        page.locator("#tensor-output tbody td[tabindex]").first.hover()
        assert page.inner_text("#readout .value") == "y[0,0,0,0] = 0.0054"
        assert page.inner_text("#readout .terms") == (
            "1.8676 × 0.0848 − 0.2631 × (−0.0717) + 1.0669 × (−0.2816) + 0.5283 × 0.3315 − 0.0465"
        )
        assert state(page).said == "y[0,0,0,0] is 0.0054: 5 terms of x and w and b."


def test_of_a_tensor_drawn_in_part_it_is_said_that_only_that_is_counted(browser, tmp_path):
    report = inspect(input_size=24, kernel_size=3, in_channels=16, out_channels=64, grad_output="randn")
    with opened(browser, tmp_path, report) as page:
        page.locator("#tensor-input tbody td[tabindex]").first.hover()
        assert state(page).said == "x[0,0,0,0] takes part in 20 of what is drawn of y, 64 of w.grad."


@pytest.mark.parametrize(
    "options",
    [
        {"input_size": 3, "kernel_size": 1, "in_channels": 512, "out_channels": 512, "batch_size": 16},
        {"input_size": 20_000, "kernel_size": 5, "dims": 1},
    ],
)
def test_no_shape_makes_a_page_of_two_megabytes(options):
    assert len(text_of(html, inspect(**options, grad_output="randn")).encode()) < 2e6
