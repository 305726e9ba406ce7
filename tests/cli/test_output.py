"""Where results go, in which format, and that a file is whole or was never touched."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
from pathlib import Path

import pytest
from shell import ESCAPES, Run, call, run, terminal

from convgrad_cli.cli import output
from convgrad_cli.errors import ConvGradError
from convgrad_cli.render.style import FORMATS, NAMES, SUFFIXES

STARTS = {
    "table": "Conv2d(1, 1, kernel_size=(2, 2), bias=False)",
    "plain": "0.73147607\t",
    "json": '{\n  "schema": "convgrad/1"',
    "jsonl": '{"tensor": "output", "index": [0, 0, 0, 0]',
    "csv": "tensor,index,autograd,by_hand,",
    "markdown": "## `Conv2d(1, 1,",
    "latex": "%",
    "html": "<!doctype html>",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" role="img"',
    "junit": '<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="convgrad"',
    "github": "::notice title=convgrad::",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_results_and_nothing_else_on_standard_output():
    noted = call("inspect", "--x", "1 2; 3 4", "-f", "json")
    quiet = call("inspect", "--x", "1 2; 3 4", "-f", "json", "-q")
    assert noted.out == quiet.out
    assert (noted.err, quiet.err) == ("note: --x has shape 2x2; taken as 1x1x2x2\n", "")
    assert call("inspect", "--kernel", "0", "-q").err == "convgrad: --kernel must be 1 or more, not 0\n"


def test_a_pipe_gets_what_a_terminal_shows():
    piped = run("inspect", "--bias", "--x", "1 2 3; 4 5 6; 7 8 9")
    shown = terminal("inspect", "--bias", "--x", "1 2 3; 4 5 6; 7 8 9", columns=500)
    assert "\x1b" in shown.raw
    assert "\x1b" not in piped.out + piped.err
    assert [line.rstrip() for line in shown.lines if line.strip()] == [
        line for line in (piped.out + piped.err).splitlines() if line
    ]
    assert max(map(len, piped.out.splitlines())) > 120
    assert not re.search("…|[.]{3}", piped.out)


def test_a_long_sum_is_not_cut_in_a_pipe():
    told = call("inspect", "--size", "4", "--kernel", "4", "--in-channels", "4", "--only", "output", "--rows", "1").out
    [line] = [line for line in told.splitlines() if line.startswith("y[0,0,0,0]")]
    assert line.endswith("(x[0,:,0:4,0:4] * w[0,:,0:4,0:4]).sum()")
    narrow = call("inspect", "--size", "3", "--only", "output", "--width", "60").out
    assert max(map(len, narrow.splitlines())) <= 60


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "png"])  # pixels: test_figures.py
def test_every_format_by_name_and_by_suffix(name, folder):
    shown = call("inspect", "-f", name)
    assert shown.status == 0
    assert shown.out.startswith(STARTS[name])
    for suffix in (suffix for suffix in SUFFIXES if SUFFIXES[suffix] == name):  # none for what only a log understands
        for option, written in (("-o", f"a{suffix}"), ("--output", f"b{suffix.upper()}")):
            done = call("inspect", option, written)
            assert (done.status, done.out, done.err) == (0, "", "")
            assert Path(written).read_text() == shown.out
    assert call("inspect", "-f", name, "-o", "c.json").out == ""
    assert Path("c.json").read_text() == shown.out
    assert call("inspect", "-f", name, "-o", "-").out == shown.out


def test_a_name_without_a_suffix_is_a_table():
    assert call("inspect", "-o", "README").status == 0
    assert Path("README").read_text() == call("inspect").out


def test_the_old_file_stays_whole_when_something_fails_in_the_middle(folder, monkeypatch):
    def fails(report, style):
        yield "{"
        raise OSError(28, "No space left on device")

    Path("out.json").write_text("old")
    monkeypatch.setattr("convgrad_cli.render.json.render", fails)
    done = call("inspect", "-o", "out.json")
    assert (done.status, done.out) == (2, "")
    assert done.err == "convgrad: --output out.json: No space left on device\n"
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("out.json", "old")]


def test_a_link_stays_a_link_and_what_it_points_to_is_written(folder):
    (folder / "there").mkdir()
    Path("there/real.csv").write_text("old")
    Path("link.csv").symlink_to("there/real.csv")
    Path("new.csv").symlink_to("there/later.csv")
    for name in ("link.csv", "new.csv"):
        assert call("inspect", "-o", name).status == 0
        assert Path(name).is_symlink()
    assert Path("there/real.csv").read_text() == Path("there/later.csv").read_text() == call("inspect", "-f", "csv").out
    assert sorted(path.name for path in (folder / "there").iterdir()) == ["later.csv", "real.csv"]


def test_where_nothing_can_be_written(folder):
    Path("loop.csv").symlink_to("loop.csv")
    for name, told in (
        ("loop.csv", "Symlink loop from"),
        (f"{'a' * 300}.csv", "File name too long"),
        ("a\0b.csv", "null"),
    ):
        done = call("inspect", "-o", name)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert told in done.err
        assert "\0" not in done.err


def test_what_is_read_only_is_refused_before_any_work(folder, monkeypatch):
    Path("fixed.json").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name not in ("fixed.json", folder.name))
    for name in ("fixed.json", "new.json"):  # the file; the folder
        with pytest.raises(ConvGradError, match=f"^--output {name} is read-only; choose another name, or make it"):
            output.check_writable(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_refused():
    Path("fixed.json").write_text("old")
    Path("fixed.json").chmod(0o400)
    assert call("inspect", "-o", "fixed.json").status == 2
    assert Path("fixed.json").read_text() == "old"


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(folder):
    Path("kept.json").write_text("old")
    Path("kept.json").chmod(0o640)
    before = os.umask(0o027)
    try:
        for name in ("kept.json", "new.json"):
            assert call("inspect", "-o", name).status == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("kept.json").stat().st_mode) == 0o640
    assert stat.S_IMODE(Path("new.json").stat().st_mode) == 0o640
    assert sorted(path.name for path in folder.iterdir()) == ["kept.json", "new.json"]


def test_pipes_are_written_to_not_replaced(folder):
    arguments = ("inspect", "-q", "--x", "ramp", "--only", "grad_weight", "-f", "plain", "-o")
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert call(*arguments, "pipe") == Run(0, "", "")
    assert os.read(reader, 100) == b"12\t16\n24\t28\n"
    assert Path("pipe").is_fifo()
    here, there = os.pipe()  # as bash makes them for >(command)
    assert call(*arguments, f"/dev/fd/{there}") == Run(0, "", "")
    assert os.read(here, 100) == b"12\t16\n24\t28\n"
    for descriptor in (reader, here, there):
        os.close(descriptor)


def test_only_by_names_and_letters():
    letters = {"x": "input", "w": "weight", "b": "bias", "y": "output", "g": "grad_output"}
    grads = {"x.grad": "grad_input", "weight.grad": "grad_weight", "b.grad": "grad_bias"}
    tensors = [*NAMES, "padded_input"]
    for short, name in {**letters, **grads}.items():
        found = call("inspect", "--bias", "-f", "json", "--only", short).json()
        assert [key for key in found if key in tensors] == [name]
        assert {element["tensor"] for element in found["elements"]} <= {name}
    several = call("inspect", "-f", "json", "--only", "x, w", "--only", "grad_weight,w").json()
    assert {key for key in several if key in tensors} == {"input", "weight", "grad_weight"}
    assert call("inspect", "--bias", "-f", "plain", "--only", "grad_bias").out == "4\n"
    assert call("inspect", "--x", "ramp", "-f", "plain", "--only", "input").out == "1\t2\t3\n4\t5\t6\n7\t8\t9\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--only", "b"], "--only bias: the layer has no bias; add --bias"),
        (["--only", "grad_bias", "-f", "plain"], "--only grad_bias: the layer has no bias; add --bias"),
        (
            ["--only", "w", "-f", "csv"],
            "--only weight: inspect -f csv does not show it; it shows output, grad_weight, grad_input",
        ),
        (
            ["--only", "x", "-f", "jsonl", "--bias"],
            "--only input: inspect -f jsonl does not show it; it shows output, grad_weight, grad_input, grad_bias",
        ),
    ],
)
def test_an_empty_answer_is_not_given_for_a_right_one(options, told):
    done = call("inspect", *options)
    assert (done.status, done.out, done.err) == (2, "", f"convgrad: {told}\n")


def test_rows():
    for rows in (1, 3, 30):
        rest = ("inspect", "--size", "12", "--rows", str(rows), "--only", "grad_input")
        table = call(*rest).out
        assert len(re.findall(r"^x\[\d", table, re.MULTILINE)) == rows
        assert f"{144 - rows} of 144 elements of grad_input are not shown" in table
        assert "--rows 144 shows all" in table
        assert len(call(*rest, "-f", "jsonl").out.splitlines()) == rows
        assert len(list(csv.reader(io.StringIO(call(*rest, "-f", "csv").out)))) == rows + 1
    assert len(re.findall(r"^x\[\d", call(*rest[:3], "--rows", "200", "--only", "grad_input").out, re.MULTILINE)) == 144


def test_the_rows_shown_are_the_largest():
    options = ("inspect", "--size", "12", "--x", "ramp", "--w", "ramp", "--only", "output")
    values = json.loads(f"[{','.join(call(*options, '-f', 'plain').out.split())}]")
    shown = [float(line.split()[1]) for line in call(*options, "--rows", "5").out.splitlines() if line.startswith("y[")]
    assert sorted(shown) == sorted(values)[-5:]


@pytest.mark.parametrize("precision", [0, 1, 7, 17])
def test_precision(precision):
    told = call("inspect", "--precision", str(precision), "--only", "weight").out
    decimals = {len(number.partition(".")[2]) for number in re.findall(r"-?\d[\d.]*", told.split("\n", 1)[1])}
    assert decimals == {precision}


def test_ascii():
    plain, drawn = (call("inspect", "--size", "20", "--only", "input", *more).out for more in (["--ascii"], []))
    assert plain.isascii()
    assert not drawn.isascii()
    assert plain.split("mean")[0] == drawn.split("mean")[0]
    assert call("explain", "--bias", "--ascii", "--size", "9").out.isascii()


def test_the_same_seed_gives_the_same_bytes():
    arguments = ("inspect", "--bias", "-f", "json", "--seed", "5", "--in-channels", "2")
    first = call(*arguments)
    assert call(*arguments) == first
    assert run(*arguments) == first
    other = call(*arguments[:-3], "6", "--in-channels", "2").json()
    found = first.json()
    for name in ("input", "weight", "bias"):
        assert other[name]["values"] != found[name]["values"]
    plain = call("inspect", "--no-bias", *arguments[2:]).json()
    assert plain["input"] == found["input"]
    assert plain["weight"] == found["weight"]
    assert found["input"]["values"] != found["weight"]["values"]


def test_doctor_tells_what_a_bug_report_needs():
    found = json.loads(call("doctor", "-f", "json").out)
    assert set(found) >= {"versions", "machine", "torch", "terminal"}
    assert set(found["versions"]) == {"convgrad", "python", "torch", "numpy", "typer", "rich", "safetensors"}
    told = call("doctor", env={"NO_COLOR": "\x1b[31m1"}).out
    assert all(name in told for group in found.values() for name in group)
    assert not ESCAPES.search(told)
    assert r"\x1b[31m1" in told
