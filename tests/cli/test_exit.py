"""The exit status: what a script may rely on, however a run ends; and never a traceback unless it was asked for."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
from shell import call, environment, in_bash, program, run, started, terminal

CRASH = "import convgrad_cli.tensors.problem as p\ndef broken(*a, **k): raise KeyError('boom')\np.make_problem = broken"
# A weight gradient that is wrong in one element, as a faulty library's would be.
FAULT = """
import convgrad_cli.commands.inspect as command
from dataclasses import replace
import convgrad_cli.gradients.autograd as route
right = route.autograd
def wrong(*arguments):
    found = right(*arguments)
    found.weight[0, 0, 0, 1] += 0.5
    return found
for module in (route, command):
    for name, value in list(vars(module).items()):
        if value is right: setattr(module, name, wrong)
"""
# Takes a minute in the middle of the run, and says so.
SLOW = """
import sys, time
import convgrad_cli.cli.output as output
def slow(report, options):
    print("in the middle", file=sys.stderr)
    time.sleep(60)
output.show = slow
"""
# The same in the middle of a file; the report is not looked at, so that none is made.
SLOW_FILE = """
import sys, time, types
import convgrad_cli.render.json as json
def slow(report, style):
    yield "{"
    print("in the middle", file=sys.stderr)
    time.sleep(60)
json.render = slow
command = sys.modules["convgrad_cli.commands.inspect"] = types.ModuleType("inspect")
command.inspect_problem = lambda problem, progress: types.SimpleNamespace(tables=(), tensors={}, check=None, notes=())
"""


def test_0_for_what_agrees():
    assert [call(*line.split()).status for line in ("inspect", "explain", "doctor", "--version")] == [0] * 4


def test_1_only_where_a_gradient_differs():
    done = run("inspect", "-q", code=FAULT)
    assert (done.status, done.err) == (1, "")
    assert "\nDIFFER  1 of 4 elements of grad_weight; the worst, w[0,0,0,1], is off by " in done.out
    assert [line.split()[0] for line in done.out.splitlines() if " != " in line] == ["w[0,0,0,1]"]
    assert "agree  " not in done.out


@pytest.mark.parametrize(
    "arguments",
    [("nosuch",), ("inspect", "--kernel", "0"), ("inspect", "--x", "no.npy"), ("inspect", "-o", "no/x.json")],
    ids=["usage", "geometry", "file", "output"],
)
def test_2_for_what_cannot_be_carried_out(arguments, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("convgrad: ")


def test_70_for_a_bug_in_convgrad_and_a_traceback_only_when_asked_for():
    done = run("inspect", code=CRASH)
    assert (done.status, done.out) == (70, "")
    assert done.err == "convgrad: KeyError: 'boom'. This is a bug in convgrad; CONVGRAD_DEBUG=1 shows where\n"
    shown = run("inspect", code=CRASH, env={"CONVGRAD_DEBUG": "1"})
    assert (shown.status, shown.out) == (70, "")
    assert shown.err.startswith("Traceback (most recent call last)")
    assert shown.err.endswith(done.err)
    refused = run("inspect", "--kernel", "0", env={"CONVGRAD_DEBUG": "1"})
    assert refused.status == 2
    assert "Traceback" in refused.err


@pytest.mark.parametrize("kind", [MemoryError, RecursionError, RuntimeError, AssertionError])
def test_no_exception_of_any_kind_looks_like_success_or_a_difference(kind, monkeypatch):
    def broken(*_):
        raise kind("boom")

    monkeypatch.setattr("convgrad_cli.cli.request.read_settings", broken)
    done = call("inspect")
    assert done.status == (2 if kind is MemoryError else 70)
    assert (done.out, done.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("code", "number", "status"),
    [(SLOW, signal.SIGINT, 130), (SLOW_FILE, signal.SIGINT, 130), (SLOW_FILE, signal.SIGTERM, 143)],
    ids=["interrupted", "interrupted while writing", "terminated while writing"],
)
def test_signals_in_the_middle(code, number, status, tmp_path):
    (tmp_path / "out.json").write_text("old")
    with started("inspect", "-o", "out.json", code=code, cwd=tmp_path) as process:
        assert process.stderr.readline() == "in the middle\n"
        if code is SLOW_FILE:
            assert len(list(tmp_path.iterdir())) == 2
        begun = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate()
    assert time.monotonic() - begun < 30
    assert (process.returncode, out, err) == (status, "", "")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.json", "old")]


def test_a_reader_that_leaves_ends_it_as_it_ends_every_filter(tmp_path):
    script = "set -o pipefail\nconvgrad inspect -f jsonl --size 40 | head -1\necho ${PIPESTATUS[@]}"
    done = in_bash(script, cwd=tmp_path)
    first, statuses = done.out.splitlines()
    assert first.startswith('{"tensor": "output", "index": [0, 0, 0, 0], ')
    assert (statuses, done.err) == ("141 0", "")


def test_a_full_disk_is_told_once():
    script = """
    convgrad --help > /dev/full; echo $?
    convgrad inspect -o /dev/full; echo $?
    convgrad inspect -f jsonl --size 40 > /dev/full; echo $?
    """
    done = in_bash(script)
    assert done.out == "2\n" * 3
    told = "convgrad: cannot write the result: No space left on device"
    assert done.err.splitlines() == [told, "convgrad: --output /dev/full: No space left on device", told]


def test_closed_streams():
    script = """
    convgrad inspect >&-; echo $?
    convgrad --version >&-; echo $?
    convgrad inspect --only grad_bias --bias --x - <&-; echo $?
    echo nothing: $(convgrad inspect --kernel 0 2>&-) $?
    convgrad inspect -q --only grad_bias --bias -f plain 2>&-; echo $?
    """
    done = in_bash(script)
    assert done.out == "2\n2\n2\nnothing: 2\n4\n0\n"
    closed = "convgrad: standard output is closed; send it to /dev/null if you do not want it"
    given = "convgrad: standard input is closed; name a file instead of -"
    assert done.err.splitlines() == [closed, closed, given]


def test_an_empty_environment_and_one_that_makes_no_sense(tmp_path):
    tmp_path.chmod(0o500)
    bare = {"PYTHONPATH": environment()["PYTHONPATH"]}
    odd = {"HOME": str(tmp_path), "TERM": "", "LANG": "xx_YY.none", "COLUMNS": "many", "COLORTERM": "\x1b"}
    for env in (bare, bare | odd):
        command = program("inspect", "-q", "-f", "plain", "--only", "grad_weight", "--x", "ramp")
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "12\t16\n24\t28\n", "")
        assert list(tmp_path.iterdir()) == []


def test_a_working_directory_that_is_gone(tmp_path):
    told = "convgrad: the working directory is gone; change to one that is there\n"
    (tmp_path / "gone").mkdir()
    script = """
    rmdir ../gone
    convgrad inspect; echo $?
    convgrad doctor; echo $?
    convgrad --version; echo $?
    convgrad inspect --kernel 0; echo $?
    """
    done = in_bash(script, cwd=tmp_path / "gone")
    lines = done.out.splitlines()
    assert lines[:2] == ["2", "2"]
    assert lines[2].startswith("convgrad ")
    assert lines[3:] == ["0", "2"]
    assert done.err == told * 3


@pytest.mark.parametrize(("columns", "term"), [(0, None), (10, "dumb")])
def test_a_terminal_of_no_size_and_one_that_can_do_nothing(columns, term):
    screen = terminal("inspect", "-q", "--only", "grad_weight", "--x", "ramp", columns=columns, env={"TERM": term})
    assert screen.status == 0
    assert "Traceback" not in screen.text
    assert all(number in screen.text for number in ("12", "16", "24", "28"))
