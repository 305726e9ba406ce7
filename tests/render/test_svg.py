"""The figure: text that stays text, nothing from elsewhere, and what lights up is what the formulas say."""

from __future__ import annotations

import re
from itertools import product as every
from xml.etree import ElementTree

import pytest
from render.browser import entries
from render.checks import CHECKS, check, diagnosed
from render.samples import NAMES, sample, text_of

from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.render import svg
from convgrad_cli.render.grids import Grid, Panel
from convgrad_cli.render.panels import panels
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report

SVG = "{http://www.w3.org/2000/svg}"
TAGS = {"svg", "title", "desc", "g", "rect", "path", "text", "tspan"}
OPERANDS = {letter: name for name, letter in LETTERS.items()}


def report_of(name: str) -> Report:
    return check(name) if name in CHECKS else sample(name)


def stacks(panel: Panel) -> list[list[Grid]]:
    return [list(part) for part in panel.parts if not isinstance(part, str)]


def marked(grid: Grid, mark: str) -> set[tuple[int, ...]]:
    """The indices of the cells with a mark, read from what people see: the label, the rows and the columns."""
    inside = re.search(r"\[(.*)\]", grid.label)
    lead = tuple(map(int, inside[1].split(","))) if inside else ()
    places = every(enumerate(grid.rows or range(1)), enumerate(grid.columns))
    return {
        (*lead, *(() if grid.rows is None else (r,)), c) for (i, r), (j, c) in places if grid.cells[i][j].mark == mark
    }


@pytest.mark.parametrize("name", [*NAMES, *CHECKS])
def test_it_is_one_file_of_text_that_asks_for_nothing(name):
    report = report_of(name)
    text = text_of(svg, report)
    root = ElementTree.fromstring(text)
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert root[0].text == f"{report.spec.layer_text()}: convgrad {report.command}"
    assert all(" ".join(panel.lines) in root[1].text for panel in panels(report, Style()))
    assert {found.tag.removeprefix(SVG) for found in root.iter()} <= TAGS
    attributes = {attribute for found in root.iter() for attribute in found.attrib}
    assert not {found for found in attributes if "href" in found or found in ("style", "class") or found[:2] == "on"}
    values = {value for found in root.iter() for value in found.attrib.values()}
    assert not [value for value in values if re.search(r"url|:|//", value)]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


@pytest.mark.parametrize("name", ["notebook", "with_bias", "sums_of_products", "gaps", "output_of_bias_alone"])
def test_what_lights_up_is_what_the_formula_says(name):
    report = sample(name)
    for panel, table in zip(panels(report, Style()), report.tables, strict=True):
        *operands, [result] = stacks(panel)
        [index] = marked(result, "at")
        element = next(element for element in table.elements if element.index == index)
        found = {(OPERANDS[grid.letter], at) for part in operands for grid in part for at in marked(grid, "lit")}
        cut = any("more like it" in grid.remark for part in operands for grid in part)
        drawn = {OPERANDS[grid.letter] for part in operands for grid in part}  # a g of ones is not
        whole = {entry for entry in entries(element.formula) if entry[0] in drawn}
        assert found <= whole if cut else found == whole
        assert panel.lines[1] == f"= {element.expression}"


@pytest.mark.parametrize("name", [*NAMES, *CHECKS])
def test_every_number_is_text_and_no_mark_is_colour_alone(name):
    root = ElementTree.fromstring(text_of(svg, report_of(name)))
    cells = [
        cell
        for panel in panels(report_of(name), Style())
        for part in stacks(panel)
        for grid in part
        for row in grid.cells
        for cell in row
    ]
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    for cell in cells:
        texts.remove(cell.text)
    marks = [cell.mark for cell in cells]
    bold = [text for text in root.iter(f"{SVG}text") if text.get("font-weight") and text.get("text-anchor")]
    assert len(bold) == len(cells) - marks.count("")
    assert len(list(root.iter(f"{SVG}path"))) == marks.count("lit") + marks.count("bad")
    assert len([box for box in root.iter(f"{SVG}rect") if box.get("fill") == "none"]) == marks.count("at")


@pytest.mark.parametrize("name", ["passing", "failing", "one_failing", "rounding"])
def test_a_check_shows_what_is_what_should_be_and_the_error_in_units_of_its_bound(name):
    report = check(name)
    for panel, table in zip(panels(report, Style()), report.tables, strict=True):
        [actual], [expected], [error] = stacks(panel)
        [index] = marked(actual, "at")
        assert {index} == marked(expected, "at")
        elements = {element.index: element for element in table.elements}
        lead = index[: -2 if actual.rows else -1]
        for (i, r), (j, c) in every(enumerate(actual.rows or range(1)), enumerate(actual.columns)):
            element = elements[(*lead, *((r,) if actual.rows else ()), c)]
            for grid, route in ((actual, "actual"), (expected, "expected")):
                assert float(grid.cells[i][j].text) == pytest.approx(element.values[route], abs=1e-3, nan_ok=True)
            ratio = element.difference / element.bound
            assert float(error.cells[i][j].text) == pytest.approx(ratio, rel=0.05, nan_ok=True)
            assert (error.cells[i][j].mark == "bad") == (not element.agrees)
        assert bool(marked(error, "bad")) == ("≠" in panel.parts)


def test_the_mistake_and_both_sums_stand_below_the_numbers():
    lines = next(panel.lines for panel in panels(diagnosed(), Style()) if panel.title.startswith("weight.grad"))
    assert lines[-3:] == [
        "mistake: equals the reference with stride 1: the stride is ignored [F2]",
        "right: w[0,0,0,0] = (x[:,0,0:3,0:3] * g[:,0,1:4,1:4]).sum()",
        "yours: w[0,0,0,0] = (x[:,0,0:2,0:3] * g[:,0,1:3,1:4]).sum()",
    ]


def test_of_a_large_tensor_a_part_is_drawn_and_that_is_said():
    grids = [grid for panel in panels(sample("large"), Style()) for part in stacks(panel) for grid in part]
    assert max(len(grid.columns) for grid in grids) == 10
    assert any(grid.remark == "columns 0–9 of 1001" for grid in grids)


def test_only_what_is_asked_for_is_drawn():
    assert [panel.title for panel in panels(sample("with_bias"), Style(only=("grad_bias",)))] == [
        "The gradient of the bias"
    ]
