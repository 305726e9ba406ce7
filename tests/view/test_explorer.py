"""The explorer: what lights up is what the formulas say, keys and settings do what the help says, at every size."""

from __future__ import annotations

from typing import Any

import pytest
from full_screen import explorer, pressed

from convgrad_cli.render.style import Style
from convgrad_cli.view import player, words
from convgrad_cli.view.explorer import Explorer
from convgrad_cli.view.light import TENSORS
from convgrad_cli.view.places import flat

LAYERS = {
    "plain": {"input_size": 3, "kernel_size": 2, "loss": "mean"},
    "bias": {"input_size": 3, "kernel_size": 2, "bias": True},
    "transposed": {"input_size": 3, "kernel_size": 2, "transposed": True, "stride": 2, "loss": "mean"},
    "stride": {"input_size": 5, "kernel_size": 2, "stride": 2},
    "dilation": {"input_size": 5, "kernel_size": 2, "dilation": 2, "padding": 1, "loss": "mean"},
    "groups": {"input_size": 3, "kernel_size": 2, "groups": 2, "in_channels": 2, "out_channels": 4, "bias": True},
    "1-D batch": {"input_size": 5, "kernel_size": 3, "dims": 1, "batch_size": 2},
    "3-D": {"input_size": 3, "kernel_size": 2, "dims": 3, "loss": "mean"},
    "circular": {"input_size": 3, "kernel_size": 3, "padding": 1, "padding_mode": "circular"},
}
PLAIN = Style()


def text(shown: Any, width: int = 80, height: int = 24) -> str:
    return "\n".join(line.plain.rstrip() for line in shown.screen(width, height, PLAIN).lines)


def lit_cells(shown: Explorer) -> set:
    """What stands in brackets on the screen, by the map of cells that the mouse uses."""
    screen = shown.screen(400, 100, PLAIN)
    cells = [(screen.lines[line].plain[a:b], tensor, index) for line, a, b, tensor, index in screen.cells]
    assert [(t, i) for s, t, i in cells if s.startswith(">")] == [(shown.place.tensor, shown.place.index)]
    return {(tensor, index) for said, tensor, index in cells if said.startswith("[")}


@pytest.mark.parametrize("name", LAYERS)
def test_every_element_lights_up_the_spans_of_its_formula_and_no_more(name):
    shown = explorer(**LAYERS[name])
    for table in shown.report.tables:
        for element in table.elements:
            at = shown.pointed(table.tensor, element.index)
            factors = [f for product in element.formula.products for f in (*product.factors, *product.ones)]
            entries = {(TENSORS[factor.operand], i) for factor in factors for i in factor.entries()}
            found = set()
            slices = max((at.light.leads(t, len(shown.report.tensors[t].shape) - 1) for t, _ in entries), default=1)
            for _ in range(slices):  # o shows the other matrices one by one
                found |= lit_cells(at)
                at = at.pressed("o")
            drawn = {e for e in entries if e[0] != table.tensor}
            assert found == drawn
            assert f"= {element.expression}" in text(at, 200, 60)


def test_the_first_screen_shows_autograd_beside_by_hand():
    shown = pressed(explorer(input_size=3, kernel_size=2, input="ramp", weight="ramp"), "right")
    assert text(shown).split("\n") == SCREEN.strip("\n").split("\n")


SCREEN = """
Conv2d(1, 1, kernel_size=(2, 2), bias=False)  float32  loss = y.sum()
kernel 2x2   stride 1x1   padding 0x0   dilation 1x1   x 3x3 -> y 2x2

x[0,0]      w[0,0]   y[0,0]
 1 [2][3] *  1  2  =  37  47
 4 [5][6]    3  4     67  77
 7  8  9

g[0,0]   x.grad[0,0]    w.grad[0,0]
[1][1]     1   3   2     12 >16<
[1][1]     4  10   6     24  28
           3   7   4

w.grad[0,0,0,1]   autograd 16   by hand 16   agree
= x[0,0,0:2,1:3].sum()
= 2 + 3 + 5 + 6







arrows move  tab tensor  k s p d x settings  space play  ? help  q quit
"""


@pytest.mark.parametrize(
    ("keys", "tensor", "index"),
    [
        ("right", "grad_weight", (0, 0, 0, 1)),
        ("right right right", "grad_weight", (0, 0, 0, 1)),
        ("down", "grad_weight", (0, 0, 1, 0)),
        ("down up up", "grad_weight", (0, 0, 0, 0)),
        ("end", "grad_weight", (0, 0, 0, 1)),
        ("2 end down home", "grad_input", (0, 0, 1, 0)),
        ("1", "output", (0, 0, 0, 0)),
        ("4 down", "grad_bias", (1,)),
        ("c", "grad_weight", (1, 0, 0, 0)),
        ("i", "grad_weight", (0, 1, 0, 0)),
        ("i I", "grad_weight", (0, 0, 0, 0)),
        ("2 b right", "grad_input", (1, 0, 0, 1)),
        ("pagedown", "grad_weight", (0, 1, 0, 0)),
        ("pagedown pagedown", "grad_weight", (1, 0, 0, 0)),
        ("pageup", "grad_weight", (1, 1, 0, 0)),
        ("z", "grad_weight", (0, 0, 0, 0)),
    ],
)
def test_keys_move(keys, tensor, index):
    shown = explorer(input_size=3, kernel_size=2, in_channels=2, out_channels=2, batch_size=2, bias=True)
    place = pressed(shown, *keys.split()).place
    assert (place.tensor, place.index) == (tensor, index)


def test_tab_goes_round_all_tensors():
    shown = explorer(bias=True)
    seen = []
    for _ in range(4):
        shown = shown.pressed("tab")
        seen.append(shown.place.tensor)
    assert sorted(seen) == ["grad_bias", "grad_input", "grad_weight", "output"]
    assert shown.pressed("tab").pressed("shift+tab").place.tensor == shown.place.tensor


@pytest.mark.parametrize(
    ("key", "said"),
    [("s", "stride 2x2"), ("p", "padding 1x1"), ("d", "dilation 2x2"), ("x", "x 5x5 -> y 4x4"), ("k", "kernel 3x3")],
)
def test_settings_change_live_and_back(key, said):
    before = explorer(input_size=4, kernel_size=2)
    after = pressed(before, key)
    assert said in text(after)
    assert after.report.exit_code == 0
    assert text(pressed(after, key.upper())) == text(before)


def test_what_no_convolution_can_have_is_refused_and_nothing_changes():
    before = explorer(input_size=3, kernel_size=3)
    after = pressed(before, "k")
    assert after.report is before.report
    assert after.said == (
        "kernel 4x4 does not fit input 3x3 (padding 0x0, dilation 1x1): output would be 0x0; "
        "use --size 4 or more, or --padding 1"
    )
    assert "kernel 4x4 does not fit" in text(after)
    assert "does not fit" not in text(after.pressed("right"))
    assert pressed(before, "S").said == "--stride must be 1 or more, not 0"
    assert "no bias" in before.pressed("4").said


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 14), (30, 5), (300, 90)])
@pytest.mark.parametrize("help", [False, True])
def test_every_size_is_filled_exactly(width, height, help):
    shown = explorer(input_size=28, kernel_size=5, in_channels=3, out_channels=4, bias=True, loss="mean")
    shown = pressed(shown, "2", "down", *(["?"] if help else []))
    screen = shown.screen(width, height, Style(color="truecolor"))
    assert len(screen.lines) == height
    assert max(len(line.plain) for line in screen.lines) <= width


def test_the_window_follows_the_cursor():
    shown = explorer(input_size=28, kernel_size=3)
    shown = pressed(shown, "2", *["down"] * 20, *["right"] * 25)
    assert ">" in text(shown)
    assert any("x.grad[0,0,1" in line for line in text(shown).split("\n"))


@pytest.mark.parametrize("loss", ["sum", "mean"])
def test_in_a_window_every_number_stands_where_its_cell_is(loss):
    """Some of 3,200 numbers are too small for two decimals: these alone are scientific, and columns stay straight."""
    shown = explorer(input_size=40, kernel_size=3, in_channels=2, out_channels=2, padding=1, bias=True, loss=loss)
    for keys in ("", "1 down right", "2 down down right", "2 end"):
        screen = pressed(shown, *keys.split()).screen(80, 24, PLAIN)
        for cell in screen.cells:
            drawn = screen.lines[cell.line].plain[cell.start : cell.stop]
            number = float(drawn[1:-1])
            assert drawn[0] + drawn[-1] in ("  ", "[]", "><")
            tensor = shown.report.tensors[cell.tensor]
            value = tensor.values[flat(cell.entry, tensor.shape)]
            assert number == pytest.approx(value, abs=0.5e-2, rel=0.06)
            assert bool(number) == bool(value)
    assert "[8.9e-4]" in text(shown)


def test_without_colour_nothing_is_coloured():
    screen = explorer().screen(80, 24, PLAIN)
    styles = [span.style for line in screen.lines for span in line.spans]
    assert all(getattr(style, "color", None) is None and getattr(style, "bgcolor", None) is None for style in styles)


@pytest.mark.parametrize("text_of_help", [words.HELP, player.HELP])
def test_no_line_of_the_help_is_wrapped_on_80_columns(text_of_help):
    assert max(map(len, text_of_help.split("\n"))) <= 80
    assert len(text_of_help.split("\n")) < 24


def test_one_product_is_shown_with_its_numbers():
    shown = explorer(input_size=2, kernel_size=2, input="ramp", weight="ramp", loss="mean")
    assert "= 1*1" in text(shown.pointed("grad_weight", (0, 0, 0, 0)))
