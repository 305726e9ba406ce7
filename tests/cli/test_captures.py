"""Captures: the real layers of a model, written to files and read by every command."""

from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from shell import call
from test_model_command import SMALL

import convgrad_cli
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.tensors.captures import read_capture, write_capture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The captures of Small, written by the command."""
    path = tmp_path_factory.mktemp("captures") / "new"
    assert call("model", *SMALL, "--save", str(path), "-q", "-f", "plain").status == 0
    return path


def test_every_layer_is_in_a_file_of_its_own(folder):
    assert sorted(path.name for path in folder.iterdir()) == [f"{n}.safetensors" for n in ("first", "grouped", "up")]
    tensors = load_file(folder / "grouped.safetensors")
    gradients = ["grad_bias", "grad_input", "grad_output", "grad_weight"]
    assert sorted(tensors) == sorted(["bias", *gradients, "input", "weight"])
    assert tensors["grad_input"].shape == tensors["input"].shape == (2, 4, 8, 9)


def test_every_command_reads_a_capture(folder):
    path = str(folder / "grouped.safetensors")
    tensors = load_file(path)
    document = call("inspect", "--capture", path, "-f", "json").json()
    assert document["layer"]["text"] == "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 2), groups=2)"
    assert torch.equal(torch.tensor(document["grad_weight"]["values"]), tensors["grad_weight"])
    assert "is the layer grouped of a model" in document["notes"][0]
    told = call("explain", "--capture", path, "--at", "weight:1,0,0,1", "-f", "json").json()
    [element] = told["elements"]
    assert element["values"]["autograd"] == pytest.approx(float(tensors["grad_weight"][1, 0, 0, 1]))
    checked = call("check", "--capture", path, "-f", "json", "--conditions", "none").json()
    assert (checked["verdict"], checked["check"]["classes"]) == ("PASS", [])


def test_the_gradients_of_a_capture_can_be_judged_themselves(folder, tmp_path):
    path = str(folder / "up.safetensors")
    assert call("check", "--capture", path, "--grad-weight", f"{path}::grad_weight").status == 0
    wrong = load_file(path)["grad_weight"]
    wrong[0, 0, 0, 0] *= 1.001
    save_file({"grad_weight": wrong}, tmp_path / "wrong.safetensors")
    done = call("check", "--capture", path, "--grad-weight", str(tmp_path / "wrong.safetensors"), "-f", "json")
    assert (done.status, json.loads(done.out)["check"]["verdicts"][0]["wrong"]) == (1, 1)


def test_what_the_model_left_is_what_is_shown_and_judged(folder, tmp_path):
    tensors, path = load_file(folder / "grouped.safetensors"), str(tmp_path / "wrong.safetensors")
    with safe_open(folder / "grouped.safetensors", "pt") as opened:
        metadata = opened.metadata()
    tensors["grad_weight"] = tensors["grad_weight"] * 1.01
    save_file(tensors, path, metadata)
    shown = call("inspect", "--capture", path)
    assert (shown.status, "of 72 elements of grad_weight; the worst" in shown.out) == (1, True)
    told = call("explain", "--capture", path, "--at", "weight:1,0,0,1", "-f", "json")
    [element] = json.loads(told.out)["elements"]
    assert (told.status, element["agrees"]) == (1, False)
    assert element["values"]["autograd"] == pytest.approx(float(tensors["grad_weight"][1, 0, 0, 1]))
    checked = call("check", "--capture", path, "-f", "json")
    target = json.loads(checked.out)["check"]["target"]
    assert (checked.status, target) == (1, "saved grad_input and grad_weight and grad_bias")
    # Asked about torch itself, under a flag, or about other numbers, they have no say.
    assert call("check", "--capture", path, "--no-mkldnn", "--conditions", "none").status == 0
    assert call("inspect", "--capture", path, "--w", "ones").status == 0


def test_the_whole_story_and_the_second_order_of_a_capture_are_told(folder):
    path = str(folder / "grouped.safetensors")
    story = call("explain", "--capture", path)
    assert (story.status, "w and x have exactly the same gradients" in story.out) == (0, True)
    second = call("inspect", "--capture", path, "--second-order")
    assert (second.status, "it left" in second.err) == (0, False)
    assert re.search(r"agree +\d+ of \d+ gradient elements", second.out)


def test_which_gradients_the_model_left_is_said_and_notes_are_not_cut(folder, tmp_path):
    whole, path = str(folder / "first.safetensors"), str(tmp_path / "part.safetensors")
    with safe_open(whole, "pt") as opened:
        metadata = opened.metadata()
    save_file({name: t for name, t in load_file(whole).items() if name != "grad_input"}, path, metadata)
    said = call("inspect", "--capture", path).err
    assert "with the gradient that it left of w and b; that of x is torch's own, as nothing asked for it" in said
    assert "with the gradients that it left\n" in call("inspect", "--capture", whole).err
    read = [f"--grad-{name}={whole}::grad_{name}" for name in ("weight", "input", "bias")]
    assert "read, not run, so that other numbers can't be tried\n" in call("check", "--capture", whole, *read).err


def test_gradients_of_another_shape_make_no_capture(folder, tmp_path):
    tensors = load_file(folder / "grouped.safetensors")
    with safe_open(folder / "grouped.safetensors", "pt") as opened:
        metadata = opened.metadata()
    save_file({**tensors, "grad_weight": tensors["grad_bias"].clone()}, tmp_path / "odd.safetensors", metadata)
    done = call("inspect", "--capture", str(tmp_path / "odd.safetensors"))
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith("odd.safetensors::grad_weight has shape 6; this layer's grad_weight is 6x2x3x2\n")
    assert call("check", "--capture", str(tmp_path / "odd.safetensors")).status == 1


def test_numbers_of_ones_own_take_the_place_of_captured_ones(folder):
    path = str(folder / "first.safetensors")
    document = call("inspect", "--capture", path, "--loss", "sum", "-f", "json", "--only", "grad_bias").json()
    assert document["grad_bias"]["values"] == [2 * 8 * 9] * 4
    ones = call("inspect", "--capture", path, "--w", "ones", "-f", "json", "--only", "weight").json()
    assert set(torch.tensor(ones["weight"]["values"]).flatten().tolist()) == {1}


def test_one_layer_is_inspected_explained_and_checked_at_once(folder):
    path = str(folder / "grouped.safetensors")
    layer = (*SMALL, "--layer", "grouped")
    through_file = call("inspect", "--capture", path, "-f", "json").json()
    at_once = call("model", *layer, "-f", "json").json()
    assert {**at_once, "notes": []} == {**through_file, "notes": []}
    assert at_once["notes"][0].startswith("layer grouped of ")
    [element] = call("model", *layer, "--at", "x:0,0,0,1", "-f", "json").json()["elements"]
    assert element["index"] == [0, 0, 0, 1]
    assert call("model", *layer, "--check", "-f", "json").json()["verdict"] == "PASS"


def altered(folder, target, metadata) -> str:
    save_file(load_file(folder / "first.safetensors"), target, metadata)
    return str(target)


def test_what_is_no_capture_is_refused(folder, tmp_path):
    with safe_open(folder / "first.safetensors", framework="np") as opened:
        said = json.loads(opened.metadata()["convgrad"])
    path = tmp_path / "file.safetensors"
    assert "has no layer of convgrad in its metadata" in call("inspect", "--capture", altered(folder, path, {})).err
    for change, message in (
        ({"kernel_size": [30, 9]}, "is a capture of a layer that can't be: kernel 30x9"),
        ({"stride": [2, 2], "groups": 2}, "is a capture of a layer that can't be"),
        ({"kernel_size": 3.5}, "has no layer of convgrad in its metadata"),
        ({"in_channels": 2}, "--x makes in_channels 3"),
    ):
        text = json.dumps({**said, "layer": {**said["layer"], **change}})
        done = call("inspect", "--capture", altered(folder, path, {"convgrad": text}))
        assert (done.status, done.out) == (2, "")
        assert message in done.err, change


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "--capture", "first.safetensors", "--kernel", "2"), "already says the layer; drop --kernel"),
        (("inspect", "--capture", "first.safetensors", "--layer", "Conv1d(1, 1, 1)"), "drop --layer"),
        (("inspect", "--capture", "first.npy"), "first.npy is no capture; those end in .safetensors"),
        (("model", *SMALL, "--at", "w:0,0,0,0"), "--at is about one layer; name it with --layer"),
        (("model", *SMALL, "--layer", "frist"), "is no layer with gradients of this model; did you mean first?"),
        (("model", *SMALL, "--layer", "first", "--check", "--at", "w:0,0,0,0"), "drop one of them"),
        (("model", *SMALL, "--save", "missing/folder"), "there is no directory"),
        (("model", *SMALL, "--save", "first.safetensors"), "is a file; name a directory"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[-40:],
)
def test_what_is_wrong_is_told(arguments, message, folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = call(*arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_capture_in_code_judges_and_saves(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU(inplace=True), torch.nn.ConvTranspose2d(3, 1, 2)
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with convgrad_cli.capture(model, save=str(tmp_path)) as layers:
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(2, 2, 5, 6)).square().mean().backward()
            optimizer.step()
    assert [row.name for row in layers] == ["0", "2", "0#2", "2#2"]
    assert [row.verdict for row in layers] == ["PASS"] * 4
    assert (layers.exit_code, layers["2#2"].place, len(layers)) == (0, 3, 4)
    assert "4 PASS  10 gradients" in str(layers)
    assert repr(layers) == "<convgrad model Sequential: 4 PASS>"
    assert len(list(tmp_path.iterdir())) == 4
    with pytest.raises(KeyError, match="there are 0, 2"):
        layers["1"]


def test_every_layer_has_a_file_of_its_own(tmp_path):
    names = ["a/b", "a_b", "a b", "x" * 150, "x" * 151, "x" * 120, "..", ""]
    spec = make_spec(input_size=3, kernel_size=2)
    tensors = {name: torch.ones(spec.shape_of(name)) for name in ("input", "weight", "grad_output")}
    paths = {write_capture(str(tmp_path), name, spec, tensors): name for name in names}
    assert len(paths) == len(names)
    assert {path: read_capture(path).name for path in paths} == paths
