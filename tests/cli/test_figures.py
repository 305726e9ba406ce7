"""Pictures as files: from which commands, and what is refused. What is drawn is tests/render/test_svg.py's."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from shell import call, environment, program, terminal

COMMANDS = {
    "inspect": ("inspect", "--bias"),
    "explain": ("explain",),
    "one element": ("explain", "--at", "weight:0,0,0,1"),
    "check": ("check", "--size", "4"),
    "second order": ("inspect", "--second-order", "--bias"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def size(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", picture[16:24])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_shows_numbers_draws_them(name):
    for suffix in ("svg", "png"):
        done = call(*COMMANDS[name], "-q", "-o", f"figure.{suffix}")
        assert (done.status, done.out, done.err) == (0, "", "")
    drawn = ElementTree.parse("figure.svg").getroot()
    wide, high = (int(drawn.attrib[side]) for side in ("width", "height"))
    assert size(Path("figure.png").read_bytes()) == (2 * wide, 2 * high)


def test_products_are_added_and_factors_are_multiplied():
    call("inspect", "--second-order", "--bias", "-o", "sum.svg")
    drawn = ElementTree.parse("sum.svg").getroot().iter("{http://www.w3.org/2000/svg}text")
    signs = [text.text for text in drawn if text.get("font-size") == "20"]
    assert signs[:5] == ["·", "+", "·", "+", "→"]


def test_one_element_is_one_panel():
    call("explain", "--at", "weight:0,0,0,1", "-o", "one.svg")
    text = Path("one.svg").read_text()
    assert ">w.grad[0,0,0,1]</tspan> = " in text
    assert "The gradient of the weight" in text
    assert "The gradient of the input" not in text


def test_pixels_go_through_a_pipe_and_not_to_a_terminal():
    piped = subprocess.run(program("inspect", "-f", "png"), env=environment(), capture_output=True, check=True)
    assert call("inspect", "-o", "figure.png").status == 0
    assert piped.stdout == Path("figure.png").read_bytes()
    shown = terminal("inspect", "-f", "png")
    assert shown.status == 2
    assert shown.text == "convgrad: --format png is an image, and this is a terminal; name a file: -o figure.png\n"


def test_what_is_missing_for_pixels_is_said_before_any_work(monkeypatch):
    monkeypatch.setattr("convgrad_cli.render.png.find_spec", lambda name: None)
    done = call("inspect", "-o", "figure.png")
    told = "--format png needs resvg-py: pip install 'convgrad[png]'; or write -o figure.svg, which needs nothing"
    assert (done.status, done.out, done.err) == (2, "", f"convgrad: {told}\n")
    assert not Path("figure.png").exists()


def test_a_machine_without_fonts_is_told_so(monkeypatch):
    import resvg_py

    drawn = resvg_py.svg_to_bytes
    monkeypatch.setattr(resvg_py, "svg_to_bytes", lambda **given: drawn(**given, skip_system_fonts=True))
    done = call("inspect", "-o", "figure.png")
    assert (done.status, Path("figure.png").exists()) == (2, False)
    assert done.err.startswith("convgrad: --format png needs a font on this machine, such as Debian's ")


def test_a_picture_shows_no_operand_by_itself():
    for name in ("svg", "png"):
        done = call("inspect", "--only", "input", "-f", name)
        told = f"--only input: inspect -f {name} does not show it; it shows output, grad_weight, grad_input"
        assert (done.status, done.out, done.err) == (2, "", f"convgrad: {told}\n")


@pytest.mark.parametrize("command", [("suite", "list.txt"), ("model", "mine.py::build")])
def test_many_problems_are_no_picture(command):
    Path("list.txt").write_text("ic1oc1ih3kh2")
    done = call(*command, "-o", "figure.svg")
    assert done.status == 2
    assert done.err.startswith("convgrad: svg has no ")
