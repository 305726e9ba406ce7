"""`convgrad suite` in this process: every kind of list, every option, every refusal."""

from __future__ import annotations

import json
import re
import shlex
import sys
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
from shell import Run, call, terminal

from convgrad_cli import suites
from convgrad_cli.commands import suite_problem

LIST = r"""# layers of mine
--dir=BWD_W --mb=3
ic2ih5oc4oh5kh3ph1n"one"
g2ic2ih5 \
  oc4kh3n"two"
--dt=f64
--skip-impl=ref --skip-impl=jit
ic2ih5oc3oh3kh3n"three"
"""
CODE = """
import torch

def right(x, w, b, g, *, stride, padding, dilation, groups):
    x, w = (torch.from_numpy(t).requires_grad_() for t in (x, w))
    forward = {3: torch.conv1d, 4: torch.conv2d}[x.dim()]
    forward(x, w, None, stride, padding, dilation, groups).backward(torch.from_numpy(g))
    return x.grad, w.grad, None

def wrong(x, w, b, g, **settings):
    settings.pop("dilation")
    x, w = (torch.from_numpy(t).requires_grad_() for t in (x, w))
    torch.conv2d(x, w, None, **settings).backward(torch.from_numpy(g))
    w.grad[0, 0, 0, 0] += 1
    return x.grad, w.grad, None

def no_groups(x, w, b, g, *, groups, **settings):
    if groups > 1:
        raise NotImplementedError("groups")
    return right(x, w, b, g, groups=groups, **settings)
"""


class Here(Executor):
    """This process in place of others, which would each have to import torch."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future

    def end(self) -> None:
        while suite_problem._kept:
            suite_problem._kept.popitem()[1].close()


PROCESSES = suites.Processes


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    monkeypatch.setattr(suites, "Processes", Here)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("list").write_text(LIST)
    Path("mine.py").write_text(CODE)


def suite(line: str, stdin: str = "") -> Run:
    return call("suite", *shlex.split(line), stdin=stdin)


def rows(line: str, stdin: str = "") -> list[dict]:
    """The lines of jsonl; nothing but notes beside them."""
    done = suite(f"{line} -f jsonl", stdin)
    assert all(said.startswith("note: ") for said in done.err.splitlines()), done.err
    found = [json.loads(said) for said in done.out.splitlines()]
    assert done.status == (0 if {row["verdict"] for row in found} == {"PASS"} else 1)
    return found


def names(line: str, stdin: str = "") -> list[str]:
    return [row["name"] for row in rows(line, stdin)]


def test_a_list_is_checked_line_by_line():
    done = suite("list")
    lines = done.out.splitlines()
    assert done.status == 0
    assert [line.split()[:2] for line in lines[1:4]] == [["PASS", "one"], ["PASS", "two"], ["PASS", "three"]]
    assert lines[-1].startswith("3 PASS  3 problems in ")
    assert done.err == "note: list:7: --skip-impl=ref is skipped, and --skip-impl wherever it comes\n"


def test_what_a_list_says_counts():
    one, two, three = rows("list")
    assert [row["place"] for row in (one, two, three)] == ["list:3", "list:4", "list:8"]
    assert [row["dtype"] for row in (one, two, three)] == ["float32", "float32", "float64"]
    assert [row["layer"]["batch_size"] for row in (one, two, three)] == [3, 3, 3]
    assert (two["layer"]["groups"], two["layer"]["kernel_size"]) == (2, [3, 3])
    assert [verdict["tensor"] for verdict in one["verdicts"]] == ["grad_weight"]
    assert [condition["outcome"] for condition in one["conditions"]] == ["PASS"] * len(one["conditions"])
    assert len(one["conditions"]) >= 7


def test_all_three_gradients_and_y_where_a_list_does_not_say():
    [row] = rows("-", '--dir=FWD_B,BWD_WB,BWD_D\nic2ih5oc3kh3ph1n"all"\n')
    assert [verdict["tensor"] for verdict in row["verdicts"]] == ["output", "grad_weight", "grad_input", "grad_bias"]


def test_lists_of_every_notation_and_standard_input():
    mixed = (
        "#!/bin/sh\n./bin/MIOpenDriver conv -n 2 -c 4 -H 6 -W 5 -k 2 -y 3 -x 3 -p 1 -q 1 -F 2 -g 2\n"
        '{"layer": "Conv1d(2, 3, 2)", "input_size": 7, "name": "json"}\n'
        '{"input_size": [4, 4], "kernel_size": 2, "dtype": "float64", "bias": true, "name": "keywords"}\n'
        'deconv:ic2iw5oc3kw3sw2n"transposed"\n'
    )
    found = rows("- list", mixed)
    assert [row["name"] for row in found[1:]] == ["json", "keywords", "transposed", "one", "two", "three"]
    assert found[0]["layer"]["text"].startswith("Conv2d(4, 2, kernel_size=(3, 3), padding=(1, 1), groups=2")
    assert [verdict["tensor"] for verdict in found[2]["verdicts"]] == [
        "output", "grad_weight", "grad_input", "grad_bias",
    ]  # fmt: skip
    assert found[3]["layer"]["transposed"]
    assert [row["place"] for row in found[1:3]] == ["standard input:3", "standard input:4"]


def test_lists_name_other_lists():
    Path("deep").mkdir()
    Path("deep/outer").write_text('--batch=inner\nic1ih4oc1kh2n"after"\n')
    Path("deep/inner").write_text('--dt=f64\nic1ih3oc1kh2n"before"\n')
    found = rows("deep/outer")
    assert [(row["name"], row["place"]) for row in found] == [("before", "inner:2"), ("after", "outer:2")]
    assert found[1]["dtype"] == "float64"  # an option holds after the list that gave it, as in benchdnn
    assert names("list deep/inner") == ["one", "two", "three", "before"]


def test_target_and_the_exit_status():
    assert {row["target"] for row in rows("list --target mine.py::right")} == {"mine.py::right"}
    done = suite("list --target mine.py::wrong")
    assert done.status == 1
    assert (
        "\n  convgrad check mine.py::wrong --size 5 --kernel 3 --groups 2 --in-channels 2 --out-channels 4 --batch 3\n"
        in done.out
    )
    assert done.out.endswith("not PASS: one, two, three\n")
    assert "\nFAIL        two" in done.out
    again = suite("list --target mine.py::no_groups")
    assert (again.status, again.out.count("PASS   "), again.out.count("ERROR   ")) == (2, 2, 1)
    assert "NotImplementedError: groups" in again.out


def test_the_command_that_a_row_gives_says_the_same():
    [row] = [json.loads(line) for line in suite("list --match one --target mine.py::wrong -f jsonl").out.splitlines()]
    command = shlex.split(row["again"])
    assert command[0] == "convgrad"
    done = call(*command[1:])
    assert done.status == 1
    assert "the formula is wrong: 1 of 72 elements" in row["reason"]
    assert "1 of 72 elements" in done.out


def test_code_of_other_kinds():
    Path("layer.py").write_text(
        "import torch\ndef f(x, w, b, *, groups): return torch.conv2d(x, w, b, groups=groups)\n"
    )
    assert [row["verdict"] for row in rows("list --forward layer.py::f --match 'two|three'")] == ["PASS", "PASS"]
    Path("program.py").write_text(
        "import sys, numpy, torch\n"
        "found = numpy.load(sys.argv[1])\n"
        "x, w = (torch.from_numpy(found[name]).requires_grad_() for name in 'xw')\n"
        "torch.conv2d(x, w, padding=1).backward(torch.from_numpy(found['g']))\n"
        "numpy.savez(sys.argv[2], grad_input=x.grad, grad_weight=w.grad)\n"
    )
    line = f"list --match one --conditions none --timeout 100 --exec '{sys.executable} program.py {{in}} {{out}}'"
    assert [row["verdict"] for row in rows(line)] == ["PASS"]


def test_problems_of_one_name_are_told_apart():
    Path("same").write_text('--dt=f32,bf16 --mb=1,2 ic2ih4oc2kh2n"cont"\n--reset --dir=FWD_B ic2ih4oc2kh2n"b" '
                            'deconv:ic2ih4oc2kh2n"b" ic2ih5oc2kh2n"b" ic2ih4oc3kh2n"c"\n')  # fmt: skip
    said = suite("same -f plain").out
    found = [line.split("\t")[1] for line in said.splitlines()]
    assert len(set(found)) == len(found)
    assert found[:4] == [f"cont {dtype} batch {size}" for dtype in ("float32", "bfloat16") for size in (1, 2)]
    assert "c" in found


def test_match_is_about_names_and_texts():
    assert names("list --match '^t'") == ["two", "three"]
    assert names("list --match 'kh3ph1'") == ["one"]


def test_mb_dtype_seed_and_conditions():
    usual, other = rows("list --match one"), rows("list --match one --mb 1 --dtype bfloat16 --seed 7")
    assert (other[0]["layer"]["batch_size"], other[0]["dtype"]) == (1, "bfloat16")
    assert other[0]["again"].endswith("--dtype bfloat16 --seed 7")
    assert other[0]["settings"] == "--dtype bfloat16 --seed 7 --mb 1"
    assert usual[0]["verdicts"][0]["ratio"] != rows("list --match one --seed 7")[0]["verdicts"][0]["ratio"]
    assert not rows("list --match one --conditions none")[0]["conditions"]
    found = rows("list --match one --conditions repeat --arithmetic exact")[0]
    assert [condition["name"].split()[0] for condition in found["conditions"]] == ["repeat"] * 2
    assert found["again"].endswith("--arithmetic exact --conditions repeat")


def test_an_arithmetic_is_for_the_types_that_it_describes():
    done = suite("list --arithmetic partial")
    assert (done.status, done.out.count("ERROR      ")) == (2, 3)
    assert "--arithmetic partial describes results of float16 or bfloat16; these are float32: use direct" in done.out
    refused = suite("list --arithmetic partial --dtype float32")
    assert refused.err.startswith("convgrad: --arithmetic partial describes results of ")


def test_the_same_seed_gives_the_same_rows():
    one, two = (rows("list --max-macs 1500") for _ in range(2))
    assert [{**row, "seconds": 0} for row in one] == [{**row, "seconds": 0} for row in two]


def test_larger_problems_are_sampled_and_it_is_said():
    done = suite("list --max-macs 2e3 --sample 5")
    lines = done.out.splitlines()
    assert [line.endswith("  5 sampled") for line in lines[1:4]] == [True, False, False]
    assert lines[-1].endswith("; 1 by a sample of each tensor's elements")
    first, second, _ = rows("list --max-macs 2000 --sample 5")
    assert (first["sampled"], first["verdicts"][0]["elements"], first["conditions"]) == (5, 5, [])
    assert (second["sampled"], second["verdicts"][0]["elements"]) == (0, 36)
    assert [row["verdict"] for row in rows("list --max-macs 0 --sample 1000 --target mine.py::wrong")] == ["FAIL"] * 3


def test_summary_inspects():
    found = rows("list --summary")
    assert [row["verdict"] for row in found] == ["PASS"] * 3
    assert [v["tensor"] for v in found[0]["verdicts"]] == ["output", "grad_weight", "grad_input"]
    assert found[0]["target"].endswith(" autograd")
    assert found[0]["again"].startswith("convgrad inspect --size 5 ")


def test_jobs_give_the_same_rows(monkeypatch):
    monkeypatch.setattr(suites, "Processes", PROCESSES)
    one, two = ({row["name"]: {**row, "seconds": 0} for row in rows(f"list{jobs}")} for jobs in ("", " --jobs 2"))
    assert one == two


def test_lines_that_cannot_be_read_are_told_and_the_others_done():
    Path("bad").write_text(LIST + "nonsense\n" + "ih3kh9ic1oc1\n" * 20)
    done = suite("bad -q")
    assert done.status == 2
    assert done.out.splitlines()[-1].startswith("3 PASS  3 problems")
    errors = done.err.splitlines()
    assert errors[0] == "convgrad: bad:9: 'nonsense' is not a layer; write it as PyTorch does: Conv2d(3, 4, (2, 2))"
    assert (len(errors), errors[10]) == (12, "convgrad: 11 more lines cannot be read")
    assert errors[11] == "convgrad: 21 lines could not be read, as told above, and have no result"
    assert suite("bad -q --target mine.py::wrong").status == 1
    document = json.loads(suite("bad -q --conditions none -f json").out)
    assert (document["exit_code"], len(document["unread"])) == (2, 21)
    assert document["unread"][0] == errors[0].removeprefix("convgrad: ")


def test_types_that_convgrad_has_not_are_skipped_and_counted():
    done = suite("-", 'ic1ih3oc1kh2n"float"\n--dt=s8\nic1ih3oc1kh2n"int"\nic1ih4oc1kh2n"more"\n')
    assert (done.status, "--dt=s8" in done.err, "2 problems skipped" in done.err) == (0, True, True)
    assert done.out.splitlines()[-1].startswith("1 PASS  1 problem in ")


FORMATS = {"table": "problem", "plain": "PASS\tone", "json": '"problems"', "jsonl": '"problem"', "csv": "verdict,name"}
FORMATS |= {"markdown": "| problem |", "latex": "tabular", "junit": "<testsuite", "github": "::notice"}


@pytest.mark.parametrize(("name", "holds"), FORMATS.items())
def test_every_format(name, holds):
    done = suite(f"list --match one -f {name}")
    assert done.status == 0
    assert holds in done.out


def test_the_suffix_of_a_file_decides_the_format():
    assert suite("list --match one -o found.xml").out == ""
    assert Path("found.xml").read_text().startswith("<?xml")


def test_quiet_hides_notes_alone():
    assert suite("list --match one -q").err == ""


def test_a_label_too_long_for_the_terminal_has_its_numbers_below():
    long = "a name of more than thirty-eight columns"
    Path("long").write_text(f'ic1ih3oc1kh2n"short" ic1ih3oc1kh2n"{long}"\n')
    shown = terminal("suite", "long", "-q", "--conditions", "none", columns=80)
    head, one, two, numbers, *_ = (line.rsplit("\r")[-1] for line in shown.lines)
    assert (two, head.index("problem"), one.startswith("PASS        short ")) == (f"PASS        {long}", 12, True)
    assert re.fullmatch(r"  [\d.]+ x bound, [\d.]+ s", numbers)
    wide = terminal("suite", "long", "-q", "--conditions", "none", columns=100).lines
    assert wide[2].rsplit("\r")[-1].startswith(f"PASS        {long}  ")


def test_nothing_is_wider_than_the_terminal():
    for columns in (40, 80):
        shown = terminal("suite", "list", "-q", "--target", "mine.py::wrong", "--conditions", "none", columns=columns)
        assert shown.status == 1
        lines = [line.rsplit("\r")[-1] for line in shown.lines]  # progress is written over
        assert max(map(len, lines)) <= columns
        assert all(line[:2] == "  " for line in lines[2 : lines.index("", 2)] if "FAIL" not in line)
    assert "\x1b[" in shown.raw


def test_results_are_written_as_lines_and_resumed():
    done = suite("list --results found.jsonl -f jsonl")
    assert Path("found.jsonl").read_text() == done.out
    again = suite("list --results found.jsonl --resume")
    assert again.out.splitlines()[-1] == "3 PASS  3 problems in 0.0 s; 3 were done before"
    assert Path("found.jsonl").read_text() == done.out


def test_resume_never_takes_the_results_of_other_code_for_those_of_this():
    line = "list --results found.jsonl --conditions none --match one --target code.py::right"
    Path("code.py").write_text(Path("mine.py").read_text())
    assert suite(line).status == 0
    assert suite(f"{line} --resume").out.splitlines()[-1].endswith("1 were done before")
    with Path("code.py").open("a") as file:
        file.write("right = wrong\n")
    done = suite(f"{line} --resume -q")
    assert (done.status, done.out) == (2, "")
    assert done.err == "convgrad: --results found.jsonl was written with other code in code.py; name another file\n"


def test_resume_goes_on_after_a_line_that_was_half_written():
    whole = suite("list --results found.jsonl -f jsonl").out
    lines = whole.splitlines(keepends=True)
    Path("found.jsonl").write_text(lines[0] + lines[1][:100])
    done = suite("list --results found.jsonl --resume")
    assert done.status == 0
    assert "note: the last line of found.jsonl was half written; its problem is done again\n" in done.err
    found = [json.loads(line) for line in Path("found.jsonl").read_text().splitlines()]
    assert [row["name"] for row in found] == ["one", "two", "three"]


def test_a_problem_that_stands_twice_is_done_twice():
    twice = "ic1ih3oc1kh2\nic1ih3oc1kh2\n"
    suite("- --results found.jsonl", "ic1ih3oc1kh2\n")
    done = suite("- --results found.jsonl --resume", twice)
    assert done.out.splitlines()[-1].endswith("; 1 were done before")
    assert len(Path("found.jsonl").read_text().splitlines()) == 2


def test_resume_also_with_jobs_and_an_empty_file():
    Path("found.jsonl").touch()
    assert suite("list --results found.jsonl --jobs 2").status == 0
    assert suite("list --results found.jsonl --resume --jobs 2").out.splitlines()[-1].endswith("3 were done before")


NO_LAYER = "is not a layer; write it as PyTorch does: Conv2d(3, 4, (2, 2))"
MISTAKES = {
    "nofile": "nofile: No such file or directory",
    "mine.py::right": "mine.py::right: No such file or directory; code is named with --target",
    "ic1ih3oc1kh2": "ic1ih3oc1kh2: No such file or directory; lists are files, and one layer is for "
    "convgrad check --layer, or comes through standard input: -",
    "deep": "deep is a directory; name the files in it",
    "/dev/null": "/dev/null is no regular file; send it through standard input: -",
    "empty": "empty has no problem in it; one is such as ic16ih8oc32oh8kh3ph1, a line each",
    "binary": "binary is no text, as lists of problems are: byte 0 is not UTF-8",
    "zeros": "zeros is no text, as lists of problems are: it has NUL bytes in it",
    "- -": "standard input (-) can only be read once",
    "mine.py --match conv": f"mine.py:2: 'import torch' {NO_LAYER}",
    "loop": "loop:1: --batch=loop is the list that it stands in",
    "list --match nono": "--match 'nono' fits none of the 3 problems; the first is one",
    "list --match '('": "--match '(' is no regular expression: missing ), unterminated subpattern at position 0",
    "list --mb 0": "--mb must be 1 or more, not 0",
    "list --jobs 0": "--jobs must be 1 or more, not 0",
    "list --jobs x": "Invalid value for '--jobs': 'x' is not a whole number. Try convgrad suite --help",
    "list --sample 0 --max-macs 9": "--sample must be 1 or more, not 0",
    "list --max-macs -1": "--max-macs must be 0 or more, not -1",
    "list --max-macs 1.5e0": "Invalid value for '--max-macs': '1.5e0' is not a whole number. Try convgrad suite --help",
    "list --sample 4": "--sample is for problems of more than --max-macs multiply-adds; give that too",
    "list --summary --target mine.py::right": "--summary inspects torch's own gradients, and this names other code; "
    "drop one of them",
    "list --summary --max-macs 9": "--summary compares every element; drop --max-macs, --conditions and --arithmetic",
    "list --dtype int3": "--dtype 'int3': use one of float64, float32, float16, bfloat16",
    "list --device warp": "--device 'warp' is not a device; use cpu, cuda, cuda:1, mps, xpu or auto",
    "list --conditions foo": "--conditions 'foo' is not one of all, none, repeat, stride-0, channels_last, sliced, "
    "transposed, masks, inputs, poison, accumulate, sizes",
    "list --arithmetic foo": "--arithmetic 'foo' is not one of exact, direct, partial, short, tf32, bf16",
    "list --target nomine.py::f": "nomine.py does not exist; check the name",
    "list --target mine.py::nof": "mine.py has no nof; it has right, wrong, no_groups",
    "list --only w": "--only and --rows choose elements, and a suite shows none; drop them",
    "list -f svg": "svg has no lines for a suite; --format can be table, plain, json, jsonl, csv, markdown, latex, "
    "html, junit, github",
    "list --resume": "--resume goes on with a file of results; name it with --results",
    "list --results no/found": "--results no/found: there is no directory FOLDER/no",
    "list --results /dev/full": "--results /dev/full is no regular file, and --resume could not read it; name a file",
    "list --results list": "--results list is there already; add --resume to go on with it, or name another file",
    "list --results list --resume": "--results list: line 1 is no result of a suite; name another file",
    "list --results done --resume --seed 4": "--results done was written with the usual options, and this run has "
    "'--seed 4'; give the same options, or another file",
    "list --cluster nohost": "--cluster nohost: no scheduler with a worker answers there (missing port number in "
    "address 'nohost'); give the address that `dask scheduler` prints, such as tcp://host:8786, or local",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_in_one_line_and_changes_nothing(line, tmp_path):
    Path("deep").mkdir()
    Path("empty").write_text("# nothing\n")
    Path("binary").write_bytes(b"\xff\xfe")
    Path("zeros").write_bytes(b"ic1\0ih3")
    Path("loop").write_text("--batch=loop\n")
    if "done" in line:
        suite("list -q --results done --conditions none --match one")
        Path("done").write_text(Path("done").read_text().replace('"settings": "--conditions none"', '"settings": ""'))
    before = {path: path.read_bytes() for path in Path().glob("*") if path.is_file()}
    done = suite(f"{line} -q")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"convgrad: {MISTAKES[line].replace('FOLDER', str(tmp_path))}\n"
    assert {path: path.read_bytes() for path in Path().glob("*") if path.is_file()} == before


def test_a_missing_file_is_a_usage_error():
    done = suite("")
    assert (done.status, done.err) == (2, "convgrad: Missing argument 'FILE'. Try convgrad suite --help\n")
