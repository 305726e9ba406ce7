"""Terminals of any width, streams of any encoding: nothing too wide, nothing lost, no character that is not there."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from shell import call, run, terminal

from convgrad_cli.cli import progress

WIDTHS = (40, 80, 200)
COMMANDS = [
    ("inspect", "--bias", "--in-channels", "2"),
    ("inspect", "--size", "30", "--kernel", "3x2", "--padding", "1", "--padding-mode", "reflect", "--rows", "4"),
    ("explain", "--bias", "--transposed"),
    ("explain", "--at", "output:0,0,1,1", "--size", "20", "--in-channels", "3", "--g", "randn"),
]


def words(text: str) -> str:
    """The text without what folding changes: blanks and ends of lines."""
    return re.sub(r"\s+", "", text)


def numbers(text: str) -> Counter[str]:
    """The numbers of a report, how often each; those of the added terms, which stand only where there is room, less."""
    rows = r"^([wxyb]\[[\d,]+\](?: +-?[\d.]+){2}  \S.*?)\s{2,}\S.*$"
    return Counter(re.findall(r"-?\d+\.\d+", re.sub(rows, r"\1", text, flags=re.MULTILINE)))


def expressions(arguments: tuple[str, ...]) -> list[str]:
    """The slice sum of every element, without blanks."""
    elements = call(*arguments, "-f", "jsonl").out.splitlines()
    return [words(json.loads(element)["expression"]) for element in elements]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_line_is_wider_than_it_may_be_and_nothing_is_lost(arguments):
    piped = call(*arguments, "-q").out
    assert max(map(cell_len, piped.split("\n"))) > 80
    shown = [expression for expression in expressions(arguments) if expression in words(piped)]
    assert shown
    assert numbers(piped).total() >= 20
    for width in WIDTHS:
        folded = call(*arguments, "-q", "--width", str(width)).out
        assert max(map(cell_len, folded.split("\n"))) <= width
        assert numbers(piped) == numbers(folded)
        assert all(expression in words(folded) for expression in shown)
    narrow = call(*arguments, "-q", "--width", "20").out
    assert max(map(cell_len, narrow.split("\n"))) <= 20
    assert all(number in words(narrow) for number in numbers(piped))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_terminal_is_used_to_its_width_and_not_beyond(width):
    screen = terminal(*COMMANDS[0], "-q", columns=width)
    assert screen.status == 0
    widest = max(cell_len(line.rstrip()) for line in screen.lines)
    assert width * 0.7 < widest <= width or width == 200
    folded = call(*COMMANDS[0], "-q", "--width", str(width)).out
    assert words(screen.text) == words(folded)
    table = re.findall(r"^[wxyb]\[[\d,]+\] +(-?[\d.]+) +(-?[\d.]+)", screen.text, re.MULTILINE)
    assert table == re.findall(r"^[wxyb]\[[\d,]+\] +(-?[\d.]+) +(-?[\d.]+)", call(*COMMANDS[0]).out, re.MULTILINE)
    assert len(table) > 30


def test_a_story_of_a_small_layer_stands_in_80_columns():
    for arguments in (("explain", "--bias"), ("explain", "--at", "weight:0,0,0,1"), ("explain", "--at", "x:0,0,1,1")):
        rows = [line for line in call(*arguments, "--width", "80").out.splitlines() if line.startswith("  ")]
        assert rows == [line for line in call(*arguments).out.splitlines() if line.startswith("  ")]


ENCODINGS = ["cp1252", "ascii", "latin-1", "utf-8", "cp437"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_encoding_gets_only_characters_that_it_has(encoding):
    arguments = ("inspect", "--size", "20", "--only", "input", "--x", "ramp")
    done = call(*arguments, encoding=encoding)
    assert (done.status, done.err) == (0, "")
    bars = re.search(r"mean 200.5000  (.{16})$", done.out, re.MULTILINE)[1]
    assert bars == ("█" if encoding == "utf-8" else "@") * 16
    assert "?" not in done.out
    if encoding in ("utf-8", "cp1252"):
        assert run(*arguments, env={"PYTHONIOENCODING": encoding}) == done


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_help_and_errors_in_any_encoding(encoding):
    told = run("inspect", "--help", env={"PYTHONIOENCODING": encoding})
    assert (told.status, told.err) == (0, "")
    assert "?" not in told.out
    assert told.out.isascii() is (encoding != "utf-8")
    # Python writes to standard error what it can and escapes the rest.
    refused = run("inspect", "--size", "3\N{GREEK SMALL LETTER ALPHA}", env={"PYTHONIOENCODING": encoding})
    assert (refused.status, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert "?" not in refused.err


def test_names_that_an_encoding_lacks_are_escaped(tmp_path):
    name = "δ.json"
    (tmp_path / name).write_text("[[1, 2], [3, 4]]")
    done = run("inspect", "--x", f"{name}::k", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(r"convgrad: \u03b4.json")


def test_the_plainest_locale():
    plain = {"LC_ALL": "C", "LANG": None, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("inspect", "--size", "20", "--only", "input", env=plain)
    assert (done.status, done.err) == (0, "")
    assert done.out.isascii()
    assert done.out == call("inspect", "--size", "20", "--only", "input", "--ascii").out


EAGER = "import convgrad_cli.cli.progress as p\np.PATIENCE = -1"


def test_progress_is_shown_at_a_terminal_and_gone_at_the_end():
    shown = terminal("inspect", "-q", "--size", "40", code=EAGER)
    assert shown.status == 0
    before, _, after = shown.raw.partition("Conv2d(")
    assert "gradients" in before
    assert before.endswith("\x1b[2K\x1b[1m")
    assert "\x1b[?25h" in before  # the cursor is back
    assert "gradients" not in after


@pytest.mark.parametrize("at_a_terminal", [True, False])
def test_progress_waits_before_it_shows_and_needs_a_terminal(at_a_terminal, monkeypatch):
    clock, shown = [0.0], io.StringIO()
    shown.isatty = lambda: at_a_terminal
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress("gradients") as tell:
        for clock[0], share in ((5.0, 0.0), (6.9, 0.5), (7.5, 1.0)):
            tell(share)
        assert shown.getvalue() == ""
        tell(0.9)
    assert ("gradients" in shown.getvalue()) is at_a_terminal


def test_no_progress_where_it_cannot_be_taken_away_again():
    dumb = terminal("inspect", "-q", code=EAGER, env={"TERM": "dumb"})
    assert "gradients" not in dumb.raw
    assert dumb.lines[0].startswith("Conv2d(")
