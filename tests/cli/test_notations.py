"""Layers in other notations where a command or a function takes a layer, and `inspect --as`, which writes them."""

import json
import re
from dataclasses import replace

import pytest
import torch
from shell import call
from torch import nn

from convgrad_cli import ConvGradError, check, explain, inspect, make_spec

DESCRIPTOR = 'mb2ic2iw9oc4kw3pw1sw2n"a name"'
MIOPEN = "convfp16 -n 2 -c 2 -H 4 -W 5 -k 4 -y 2 -x 3 -p 1 -g 2 -b 1"
LOGGED = "dnnl_verbose,exec,cpu,convolution,ref,backward_data,src_f64: bia_undef:,,mb2_ic2oc4_iw9kw3pw1sw2,1"


def layer(*arguments):
    return json.loads(call("inspect", *arguments, "-f", "json").out)["layer"]


@pytest.mark.parametrize(
    ("text", "written", "dtype"),
    [
        (DESCRIPTOR, "Conv1d(2, 4, kernel_size=(3,), stride=(2,), padding=(1,))", "float32"),
        (MIOPEN, "Conv2d(2, 4, kernel_size=(2, 3), padding=(1, 0), groups=2)", "float16"),
        (LOGGED, "Conv1d(2, 4, kernel_size=(3,), stride=(2,), padding=(1,), bias=False)", "float64"),
        ("(head): Conv1d(2, 4, kernel_size=(3,))", "Conv1d(2, 4, kernel_size=(3,))", "float32"),
        ("--dt=f64 deconv:mb1ic1iw2oc1kw2", "ConvTranspose1d(1, 1, kernel_size=(2,))", "float64"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "check -q", "explain"])
def test_layer_is_understood_by_every_command(command, text, written, dtype):
    found = json.loads(call(*command.split(), "--layer", text, "-f", "json").out)
    assert (found["layer"]["text"], found["dtype"]) == (written, dtype)


def test_what_a_notation_leaves_to_its_reader_is_given_beside_it():
    assert layer("--layer", DESCRIPTOR, "--batch", "3")["batch_size"] == 3
    assert layer("--layer", DESCRIPTOR, "--no-bias")["bias"] is False
    assert layer("--layer", LOGGED, "--bias")["bias"] is True
    assert call("inspect", "--layer", MIOPEN, "--dtype", "float64", "-f", "json").json()["dtype"] == "float64"


def written(*arguments):
    done = call("inspect", *arguments)
    assert (done.status, done.err, done.out.count("\n")) == (0, "", 1)
    return done.out.rstrip("\n")


AS = [
    (("--size", "3"), "torch", "Conv2d(1, 1, kernel_size=(2, 2), bias=False)"),
    (("--size", "3", "--bias"), "benchdnn", "mb1ic1ih3iw3oc1oh2ow2kh2kw2ph0pw0"),
    (("--size", "3"), "miopen", "conv -n 1 -c 1 -H 3 -W 3 -k 1 -y 2 -x 2 -p 0 -q 0 -u 1 -v 1 -l 1 -j 1 -g 1"),
    (("--dims", "1", "--size", "5", "--padding", "0:-1"), "benchdnn", "--dir=FWD_D,BWD_D,BWD_W mb1ic1iw5oc1ow3kw2pw0"),
    (("--layer", MIOPEN), "benchdnn", "--dt=f16 g2mb2ic2ih4iw5oc4oh5ow3kh2kw3ph1pw0"),
    (("--layer", MIOPEN, "--dtype", "bfloat16"), "miopen",
     "convbfp16 -n 2 -c 2 -H 4 -W 5 -k 4 -y 2 -x 3 -p 1 -q 0 -u 1 -v 1 -l 1 -j 1 -g 2 -b 1"),
    # What is given as numbers says the sizes here too.
    (("--x", "1 2 3 4", "--w", "1 2"), "benchdnn", "--dir=FWD_D,BWD_D,BWD_W mb1ic1iw4oc1ow3kw2pw0"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "notation", "line"), AS, ids=[line for *_, line in AS])
def test_as_writes_the_layer_and_nothing_else(arguments, notation, line):
    assert written(*arguments, "--as", notation) == line
    if notation != "torch":
        again = layer("--layer", line)
        assert again["input_size"] == layer(*arguments)["input_size"]
        assert written("--layer", line, "--as", notation) == line


def test_the_line_goes_where_output_says(tmp_path):
    path = tmp_path / "layer.txt"
    done = call("inspect", "--as", "torch", "-o", str(path))
    assert (done.status, done.out, path.read_text()) == (0, "", "Conv2d(1, 1, kernel_size=(2, 2), bias=False)\n")


SPEC = make_spec(
    dims=1, in_channels=2, out_channels=4, input_size=9, kernel_size=3, stride=2, padding=1, batch_size=2, bias=True
)


@pytest.mark.parametrize(
    "report",
    [
        lambda: inspect(DESCRIPTOR),
        lambda: explain(DESCRIPTOR, at="weight:0,0,0"),
        lambda: check(None, DESCRIPTOR, conditions="none"),
    ],
    ids=["inspect", "explain", "check"],
)
def test_a_function_takes_them_too(report):
    assert (report().spec, report().dtype, report().exit_code) == (SPEC, "float32", 0)


def test_a_function_takes_what_a_notation_leaves_to_its_reader():
    assert inspect(MIOPEN).dtype == "float16"
    assert inspect(MIOPEN, dtype="float64").dtype == "float64"
    assert inspect(DESCRIPTOR, batch_size=3, bias=False).spec == replace(SPEC, batch_size=3, bias=False)
    with pytest.raises(ConvGradError, match="the layer already says stride; drop one of them"):
        inspect(DESCRIPTOR, stride=2)
    with pytest.raises(ConvGradError, match=re.escape("'ic2xx' is not a benchdnn descriptor from 'xx' on; ")):
        inspect("ic2xx")


MODULES = [
    nn.Conv1d(2, 4, 3, padding="same"),
    nn.Conv2d(2, 4, (1, 3), stride=(2, 1), padding=(0, 2), dilation=2, groups=2, padding_mode="circular"),
    nn.Conv3d(1, 2, 2, bias=False),
    nn.ConvTranspose1d(2, 3, 3, stride=2, output_padding=1),
    nn.ConvTranspose2d(4, 2, 3, groups=2, padding=1, dilation=(1, 2)),
    nn.ConvTranspose3d(1, 1, 2),
]


@pytest.mark.parametrize("module", MODULES, ids=repr)
def test_what_pytorch_prints_is_read_and_written(module):
    size = [5] * len(module.kernel_size)
    found = written("--layer", repr(module), "--size", "x".join(map(str, size)), "--as", "torch")
    made = eval(found, vars(torch.nn))
    assert [tuple(p.shape) for p in made.parameters()] == [tuple(p.shape) for p in module.parameters()]
    made.load_state_dict(module.state_dict())
    x = torch.randn(1, module.in_channels, *size)
    assert torch.equal(made(x), module(x))
    # One line of a printed model, name and all.
    line = str(nn.Sequential(module)).splitlines()[1]
    assert written("--layer", line, "--size", "x".join(map(str, size)), "--as", "torch") == found
