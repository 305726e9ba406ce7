"""Whether there is colour: --color over NO_COLOR over FORCE_COLOR over CLICOLOR_FORCE over CLICOLOR over TERM."""

from __future__ import annotations

import re

import pytest
from shell import ESCAPES, call, run, terminal

from convgrad_cli.cli.terminal import can_draw, color_system, wants_color
from convgrad_cli.errors import ConvGradError

# The choice, the environment, and the answer for a terminal and for a pipe.
TABLE = [
    ("auto", {}, True, False),
    ("auto", {"TERM": "dumb"}, False, False),
    ("auto", {"TERM": ""}, True, False),
    ("auto", {"CLICOLOR": "0"}, False, False),
    ("auto", {"CLICOLOR": "1"}, True, False),
    ("auto", {"CLICOLOR_FORCE": "1"}, True, True),
    ("auto", {"CLICOLOR_FORCE": "0"}, True, False),
    ("auto", {"CLICOLOR_FORCE": ""}, True, False),
    ("auto", {"CLICOLOR_FORCE": "1", "CLICOLOR": "0", "TERM": "dumb"}, True, True),
    ("auto", {"CLICOLOR": "0", "TERM": "xterm"}, False, False),
    ("auto", {"FORCE_COLOR": "1"}, True, True),
    ("auto", {"FORCE_COLOR": "3"}, True, True),
    ("auto", {"FORCE_COLOR": "0"}, False, False),
    ("auto", {"FORCE_COLOR": "false"}, False, False),
    ("auto", {"FORCE_COLOR": ""}, True, False),
    ("auto", {"FORCE_COLOR": "0", "CLICOLOR_FORCE": "1"}, False, False),
    ("auto", {"FORCE_COLOR": "1", "CLICOLOR": "0", "TERM": "dumb"}, True, True),
    ("auto", {"NO_COLOR": "1"}, False, False),
    ("auto", {"NO_COLOR": "0"}, False, False),
    ("auto", {"NO_COLOR": ""}, True, False),
    ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, False),
    ("auto", {"GITHUB_ACTIONS": "true", "PY_COLORS": "1"}, True, False),
    ("always", {"NO_COLOR": "1", "FORCE_COLOR": "0", "TERM": "dumb"}, True, True),
    ("never", {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, False),
]


@pytest.mark.parametrize(("choice", "environ", "at_a_terminal", "in_a_pipe"), TABLE)
def test_who_wins(choice, environ, at_a_terminal, in_a_pipe):
    assert wants_color(choice, environ, True) is at_a_terminal
    assert wants_color(choice, environ, False) is in_a_pipe


def test_another_choice_is_refused():
    with pytest.raises(ConvGradError, match=r"^--color 'sometimes' is not one of auto, always, never$"):
        wants_color("sometimes", {}, True)


@pytest.mark.parametrize(
    ("environ", "system"),
    [
        ({}, "256"),
        ({"TERM": "xterm"}, "256"),
        ({"TERM": "linux"}, "standard"),
        ({"COLORTERM": "truecolor", "TERM": "linux"}, "truecolor"),
        ({"COLORTERM": "24BIT"}, "truecolor"),
        ({"COLORTERM": "yes"}, "256"),
    ],
)
def test_how_many_colours(environ, system):
    assert color_system(environ) == system


def test_which_encodings_can_draw():
    assert [can_draw(name) for name in ("utf-8", "UTF8", "utf-16")] == [True] * 3
    assert [can_draw(name) for name in ("ascii", "latin-1", "cp1252", None, "nonsense")] == [False] * 5


ARGUMENTS = ("inspect", "-q", "--x", "ramp", "--size", "2", "--kernel", "1", "--only", "input,grad_input")


def trimmed(text: str) -> str:
    """Without the blanks at ends of lines, which only colour makes visible."""
    return re.sub(" +$", "", text, flags=re.MULTILINE)


TRUE_COLOUR = r"\x1b\[[\d;]*[34]8;2;"


@pytest.mark.parametrize(
    ("options", "env", "coloured"),
    [
        ((), {"COLORTERM": "truecolor"}, True),
        ((), {"NO_COLOR": "1"}, False),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
        ((), {"TERM": "dumb"}, False),
    ],
)
def test_a_terminal_really_gets_it_or_not(options, env, coloured):
    screen = terminal(*ARGUMENTS, *options, env=env)
    assert screen.status == 0
    if coloured:
        assert re.search(TRUE_COLOUR, screen.raw)
    else:
        assert "\x1b" not in screen.raw
    assert trimmed(screen.text) == call(*ARGUMENTS).out


@pytest.mark.parametrize(
    ("options", "env", "coloured"),
    [
        ((), {}, False),
        ((), {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        ((), {"FORCE_COLOR": "0", "GITHUB_ACTIONS": "true"}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color=never",), {"CLICOLOR_FORCE": "1"}, False),
    ],
)
def test_a_pipe_really_gets_it_or_not(options, env, coloured):
    done = call(*ARGUMENTS, *options, env=env)
    assert ("\x1b[" in done.out) is coloured
    assert trimmed(ESCAPES.sub("", done.out)) == call(*ARGUMENTS).out


def test_a_file_gets_none_unless_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options, coloured in (((), False), (("--color", "always"), True)):
        assert call(*ARGUMENTS, *options, "-o", "out.txt", env={"FORCE_COLOR": "1"}).status == 0
        assert ("\x1b[" in (tmp_path / "out.txt").read_text()) is coloured


@pytest.mark.parametrize("name", ["plain", "json", "jsonl", "csv", "markdown", "latex"])
def test_other_formats_have_none_ever(name):
    assert "\x1b" not in call(*ARGUMENTS[:-1], "grad_input", "-f", name, "--color", "always").out


CI = {"GITHUB_ACTIONS": "true", "CI": "true", "PY_COLORS": "1"}


@pytest.mark.parametrize("env", [CI, CI | {"FORCE_COLOR": "0"}, CI | {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
def test_help_in_a_pipe_of_ci_has_no_escapes(env):
    plain = run("inspect", "--help")
    assert "\x1b" not in plain.out
    assert run("inspect", "--help", env=env) == plain


def test_help_at_a_terminal():
    assert "\x1b[" in terminal("--help").raw
    for options, env in (
        (("--color", "never"), {}),
        (("--color=never",), {"FORCE_COLOR": "1"}),
        ((), {"NO_COLOR": "1"}),
    ):
        assert "\x1b" not in terminal("inspect", *options, "--help", env=env).raw


def test_sign_and_verdict_are_words_too():
    told = call("inspect", "--x", "-1 2; 3 -4", "--kernel", "1").out
    assert re.search(r"^ -1   2 .*\n  3  -4 ", told, re.MULTILINE)
    assert told.splitlines()[-1].startswith("agree  ")


def test_an_error_has_no_colour():
    assert "\x1b" not in terminal("inspect", "--kernel", "0").raw
    assert "\x1b" not in run("inspect", "--kernel", "\x1b[31m0", env={"FORCE_COLOR": "1"}).err
