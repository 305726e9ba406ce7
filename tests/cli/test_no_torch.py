"""Help, versions, completion and every mistake answer without torch: a torch that cannot be imported proves it."""

from __future__ import annotations

import json
import os

import pytest
from mistakes import mistakes
from shell import ROOT, Run, run

ABSENT = ("torch", "numpy", "safetensors", "textual")


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """An environment whose torch, numpy and safetensors end every process that imports them."""
    folder = tmp_path_factory.mktemp("absent")
    for name in ABSENT:
        (folder / f"{name}.py").write_text(
            f"import os, sys\nsys.stderr.write('{name} was imported\\n')\nos._exit(99)\n"
        )
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


QUIET = [
    (),
    ("--help",),
    ("-h",),
    ("--version",),
    ("inspect", "--help"),
    ("explain", "-h"),
    ("doctor", "--help"),
    ("check", "--help"),
    ("view", "--help"),
    ("inspect", "--version"),
    ("inspect", "--layer", "mb1000ic99999ih9999oc99999kh3", "--as", "miopen"),
    ("explain", "--size", "3", "--version"),
    ("doctor", "--version"),
]


@pytest.mark.parametrize("arguments", QUIET, ids=" ".join)
def test_what_only_informs_needs_no_torch(arguments, without):
    done = run(*arguments, env=without)
    assert (done.status, done.err) == (0, "")
    assert done.out.strip()
    if "--version" in arguments:
        assert done.out.startswith("convgrad ")
        assert done.out.count("\n") == 1


def complete(words: str, without: dict[str, str]) -> Run:
    """What the shell gets when Tab is pressed after `words`."""
    asked = {"_CONVGRAD_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    return run(env={**without, **asked})


def test_completion_needs_no_torch(without):
    done = complete("convgrad ", without)
    assert (done.status, done.out.split()) == (0, ["inspect", "explain", "check", "suite", "model", "view", "doctor"])
    options = complete("convgrad inspect --pad", without)
    assert (options.status, options.out.split()) == (0, ["--padding", "--padding-mode"])


# One process for all of them: a process each would take minutes.
ALL_MISTAKES = """
import io, json, sys
from contextlib import redirect_stderr
from convgrad_cli.cli.main import _run
answers = []
for arguments in json.load(sys.stdin):
    told = io.StringIO()
    with redirect_stderr(told):
        status = _run(arguments)
    answers.append([status, told.getvalue(), [name for name in ("torch", "numpy") if name in sys.modules]])
print(json.dumps(answers))
sys.exit()
"""


def test_no_mistake_needs_torch(tmp_path):
    # Numbers that are given are an array of numpy, so that one may be there.
    asked = [arguments for arguments, _ in mistakes()]
    assert len(asked) > 90
    done = run(code=ALL_MISTAKES, stdin=json.dumps(asked), cwd=tmp_path)
    assert done.status == 0, done.err
    for arguments, (status, told, imported) in zip(asked, json.loads(done.out), strict=True):
        assert (status, told.count("\n")) == (2, 1), arguments
        assert "torch" not in imported, arguments


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "--kernel", "5", "--size", "3"),
        ("inspect", "--groups", "2", "--in-channels", "3"),
        ("explain", "--at", "weight"),
        ("inspect", "-f", "pdf"),
        ("inspect", "3"),
        ("nosuch",),
    ],
    ids=" ".join,
)
def test_a_mistake_of_words_or_geometry_needs_not_even_numpy(arguments, without):
    done = run(*arguments, env=without)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "was imported" not in done.err


def test_a_result_does_need_it_so_the_tests_above_can_fail(without):
    done = run("inspect", env=without)
    assert (done.status, done.out) == (99, "")
    assert done.err.endswith(" was imported\n")
