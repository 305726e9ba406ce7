"""`convgrad model` as a user runs it: rows of real layers, refusals, and code that does what it likes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from models.networks import Small
from safetensors.torch import save_file
from shell import call, run

NETWORKS = str(Path(__file__).parents[1] / "models" / "networks.py")
SMALL = (f"{NETWORKS}::Small", "--input-size", "2x3x8x9")


def model(*arguments: str, **more):
    return call("model", *arguments, **more)


def rows(*arguments: str) -> list[dict]:
    done = model(*arguments, "-f", "jsonl", "-q")
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_every_layer_has_a_row_and_is_right():
    found = rows(*SMALL)
    assert [(row["name"], row["verdict"]) for row in found] == [("first", "PASS"), ("grouped", "PASS"), ("up", "PASS")]
    assert all([v["tensor"] for v in row["verdicts"]] == ["grad_weight", "grad_input", "grad_bias"] for row in found)
    assert all(0 < row["ratio"] < 1 and 15 < row["bits"] <= 24 for row in found)


def test_what_is_not_the_models_fault_is_not_said_of_it(tmp_path):
    (tmp_path / "losses.py").write_text("def two(y, target):\n    return y.sum()\n")
    done = model(*SMALL, "--loss", f"{tmp_path}/losses.py::two")
    assert (done.status, "has a loss that raised TypeError: two() missing 1" in done.err) == (2, True)
    if not torch.cuda.is_available():
        done = model(*SMALL, "--device", "cuda")
        assert (done.status, "can't run there: --device cuda: not on this machine" in done.err) == (2, True)


def test_what_a_model_prints_is_no_result():
    done = run("model", *SMALL, "-f", "plain", "-q")
    assert (done.status, done.out) == (0, "PASS\tfirst\nPASS\tgrouped\nPASS\tup\n")
    assert done.err == "Small is built\n"


@pytest.mark.parametrize("width", [40, 80])
def test_the_table_fits_a_terminal(width):
    done = model(*SMALL, "--width", str(width), "--train", "--loss", f"{NETWORKS}::square", "--args", "6, bias=False")
    assert done.status == 0
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= width
    assert "train mode" in " ".join(lines)
    assert any("3->6 3x3, 8x9" in line for line in lines)
    assert lines[-1].startswith("3 PASS  8 gradients")


def test_a_model_is_judged_in_the_dtypes_that_it_has(tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "class Short(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.short = torch.nn.Conv2d(2, 3, 3).bfloat16()\n"
        "        self.long = torch.nn.Conv2d(3, 2, 3).double()\n"
        "    def forward(self, x):\n"
        "        return self.long(self.short(x).double())\n"
    )
    target = f"{tmp_path / 'net.py'}::Short", "--input-size", "2x2x7x7"
    document = model(*target, "-f", "json", "-q").json()
    assert document["dtype"] == "bfloat16"
    assert [(layer["dtype"], layer["verdict"]) for layer in document["layers"]] == [
        ("bfloat16", "PASS"),
        ("float64", "PASS"),
    ]
    cast = model(*target, "--dtype", "float64", "-f", "json", "-q").json()
    assert {layer["dtype"] for layer in cast["layers"]} == {"float64"}
    assert model(*target, "--layer", "short", "-q").out.startswith("Conv2d(2, 3, kernel_size=(3, 3))  bfloat16")
    with (tmp_path / "net.py").open("a") as file:
        file.write(
            "class Bare(torch.nn.Module):\n"
            "    def forward(self, x):\n"
            "        return torch.nn.functional.conv2d(x, torch.ones(2, 3, 3, 3, dtype=x.dtype))\n"
        )
    np.save(tmp_path / "x.npy", np.ones((1, 3, 5, 5)))
    bare = model(f"{tmp_path / 'net.py'}::Bare", "--input", str(tmp_path / "x.npy"), "-f", "json", "-q").json()
    assert bare["dtype"] == "float64"


def test_formats_hold_the_same_rows():
    document = model(*SMALL, "-f", "json", "-q").json()
    assert (document["command"], document["mode"], document["exit_code"]) == ("model", "eval", 0)
    table = list(csv.DictReader(model(*SMALL, "-f", "csv", "-q").out.splitlines()))
    marked = model(*SMALL, "-f", "markdown", "-q").out
    for layer, row in zip(document["layers"], table, strict=True):
        assert (row["name"], row["layer"], float(row["ratio"])) == (
            layer["name"],
            layer["layer"]["text"],
            layer["ratio"],
        )
        assert f"| {layer['name']} | `{layer['layer']['text']}` |" in marked


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights_are_loaded_and_mismatches_listed(tmp_path, suffix):
    torch.manual_seed(5)
    state = Small().state_dict()
    state["first.weight"] = torch.zeros_like(state["first.weight"])
    state["first.weight"][0, 0, 1, 1] = 2.0
    path = tmp_path / f"small.{suffix}"
    save = torch.save if suffix == "pt" else save_file
    save(state, path)
    found = rows(*SMALL, "--weights", str(path))
    gradient = next(v for v in found[0]["verdicts"] if v["tensor"] == "grad_input")
    assert gradient["ratio"] == 0  # a single entry of the kernel passes g on as it is, doubled
    done = model(*SMALL, "--weights", str(path), "--args", "6")
    assert done.status == 2
    assert "of another shape: first.weight (4x3x3x3, not 6x3x3x3)" in done.err
    save({f"net.{name}": value for name, value in state.items() if name != "up.bias"}, path)
    done = model(*SMALL, "--weights", str(path))
    assert "missing: first.weight, first.bias" in done.err
    assert "unexpected: net." in done.err
    assert f"give {path}::net" in done.err
    assert "missing: up.bias" in model(*SMALL, "--weights", f"{path}::net").err


def test_numbers_are_given_as_for_other_commands(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(torch.ones(2, 3, 8, 9), path)
    given, filled = rows(SMALL[0], "--input", str(path)), rows(*SMALL, "--input", "ones")
    assert [row["ratio"] for row in given] == [row["ratio"] for row in filled]
    assert [row["ratio"] for row in given] != [row["ratio"] for row in rows(*SMALL)]
    assert all(row["dtype"] == "float64" for row in rows(*SMALL, "--dtype", "float64"))


def test_whole_numbers_reach_an_embedding_as_they_are(tmp_path):
    (tmp_path / "words.py").write_text(WORDS)
    np.save(tmp_path / "ids.npy", np.arange(8).reshape(1, 8))
    [found] = rows(f"{tmp_path}/words.py::Words", "--input", str(tmp_path / "ids.npy"))
    assert (found["name"], found["verdict"]) == ("conv", "PASS")
    several = model(f"{tmp_path}/words.py::Two", "--input-size", "1x2x8")
    assert several.status == 2
    assert "takes more than the one input that --input gives (" in several.err
    assert "convgrad_cli.capture judges it however it is called" in several.err


def test_names_that_are_there_are_told_of_models(tmp_path):
    (tmp_path / "words.py").write_text(WORDS)
    asked = model(f"{tmp_path}/words.py", "--input-size", "1")
    assert f"names no model; write {tmp_path}/words.py::Words; it has Words, Two, build, two" in asked.err
    assert "has no nothing; it has Words, Two, build, two" in model(f"{tmp_path}/words.py::nothing").err
    assert "it has Words, Two, build, two" in call("check", "--forward", f"{tmp_path}/words.py::nothing").err


WORDS = """
from torch import nn
class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.conv = nn.Embedding(10, 4), nn.Conv1d(4, 3, 3)
    def forward(self, x):
        return self.conv(self.table(x).mT)
class Two(nn.Module):
    def forward(self, x, z):
        return x + z
def build():
    return Words()
two = Two()
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((f"{NETWORKS}::exits", "--input-size", "1"), "can't be loaded: it called sys.exit(0) (networks.py:"),
        ((f"{NETWORKS}::dies", "--input-size", "1"), "ended its process with status 0 before it answered"),
        ((f"{NETWORKS}::number", "--input-size", "1"), "returned an int; expected a model, an nn.Module"),
        ((f"{NETWORKS}::smal", "--input-size", "1"), "has no smal; did you mean small?"),
        ((f"{NETWORKS}::small", "--input-size", "2x3x1x1"), "raised RuntimeError: "),
        ((f"{NETWORKS}::small",), "the model needs an input; give --input-size 1x3x224x224"),
        ((f"{NETWORKS}::small", "--input-size", "2xax3"), "--input-size '2xax3' is no shape; write every axis"),
        ((*SMALL, "--args", "open('x')"), "are not plain arguments; write them as in a call"),
        ((*SMALL, "--loss", "median"), "'median' is neither file.py::function nor package.module:function"),
        ((*SMALL, "--weights", "gone.pt"), "--weights gone.pt does not exist"),
        ((*SMALL, "--loss", f"{NETWORKS}::number"), "number() takes 0 positional arguments but 1 was given"),
        ((*SMALL, "-f", "latex"), "latex has no rows for a model; --format can be table, plain, json"),
        ((*SMALL, "--dtype", "int8"), "--dtype 'int8': use one of float64"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[-40:],
)
def test_what_is_wrong_is_told_in_one_line(arguments, message):
    done = model(*arguments)
    assert (done.status, done.out) == (2, "")
    [line] = [line for line in done.err.splitlines() if line.startswith("convgrad: ")]
    assert message in line
