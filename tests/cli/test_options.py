"""Every option reaches what it names, and every wrong one is refused with a message that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mistakes import mistakes
from shell import call, run, terminal
from typer.main import get_command

from convgrad_cli.cli.app import app

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def layer(*arguments: str, stdin: str = "") -> dict:
    """The layer that `inspect` runs with these options, in PyTorch's words."""
    return call("inspect", *arguments, "-q", "-f", "json", "--only", "output", stdin=stdin).json()["layer"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text_that_the_help_shows(name):
    shown = " ".join(re.sub(r"[│\s]+", " ", run(name, "-h").out).split())
    assert COMMANDS[name].help.split(".")[0] in shown
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.name
        is_option = parameter.param_type_name == "option"
        named = parameter.opts if is_option else [parameter.metavar or f"[{parameter.name.upper()}]"]
        assert all(name in shown for name in named), parameter.name
        # The column of an option is narrow; its first words are enough to see that the text is there.
        assert " ".join(parameter.help.split()[:3]) in shown, parameter.name
    assert run(name, "--help").out == run(name, "-h").out


def test_the_help_of_all_names_the_commands_and_how_to_begin():
    told = run("--help").out
    assert all(name in told for name in COMMANDS)
    assert "convgrad inspect --size 3 --kernel 2" in told
    assert run("-h").out == run().out == told


def test_help_fits_the_terminal():
    for columns in (60, 100):
        assert max(map(len, terminal("inspect", "--help", columns=columns).lines)) <= columns


@pytest.mark.parametrize(("arguments", "message"), mistakes(), ids=lambda value: " ".join(value)[:60] if value else "")
def test_a_mistake_is_told_in_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err == f"convgrad: {message.replace('FOLDER', str(tmp_path))}\n"
    assert list(tmp_path.iterdir()) == []


OPTIONS = [
    ("-s 4", {"input_size": [4, 4]}),
    ("--size 4x5", {"input_size": [4, 5]}),
    ("--size 4×5", {"input_size": [4, 5]}),
    ("--size 4,5", {"input_size": [4, 5]}),
    ("--size 4X5", {"input_size": [4, 5]}),
    ("--size 3x4x5", {"input_size": [3, 4, 5], "kernel_size": [2, 2, 2]}),
    ("-k 3", {"kernel_size": [3, 3], "input_size": [4, 4]}),
    ("--kernel 1x3", {"kernel_size": [1, 3], "input_size": [2, 4]}),
    ("--kernel 2x1x3", {"kernel_size": [2, 1, 3], "input_size": [3, 2, 4]}),
    ("--stride 2x1", {"stride": [2, 1]}),
    ("--padding 2", {"padding": [[2, 2], [2, 2]]}),
    ("--padding 2x0", {"padding": [[2, 2], [0, 0]]}),
    ("--padding 0:1x2:0", {"padding": [[0, 1], [2, 0]]}),
    ("--padding 0:1", {"padding": [[0, 1], [0, 1]]}),
    ("--padding=-1 --size 4", {"padding": [[-1, -1], [-1, -1]], "output_size": [1, 1]}),
    ("--padding same", {"padding": [[0, 1], [0, 1]], "output_size": [3, 3]}),
    ("--padding SAME --kernel 3 --dilation 2", {"padding": [[2, 2], [2, 2]], "output_size": [6, 6]}),
    ("--padding valid", {"padding": [[0, 0], [0, 0]]}),
    ("--padding full --kernel 3", {"padding": [[2, 2], [2, 2]], "output_size": [6, 6]}),
    ("--dilation 2x3", {"dilation": [2, 3], "input_size": [4, 5]}),
    ("--groups 2", {"groups": 2, "in_channels": 2, "out_channels": 2}),
    ("--in-channels 3", {"in_channels": 3, "out_channels": 1}),
    ("--out-channels 3", {"in_channels": 1, "out_channels": 3}),
    ("--batch 3", {"batch_size": 3}),
    ("--batch none", {"batch_size": None}),
    ("--padding-mode circular --padding 1", {"padding_mode": "circular"}),
    ("--transposed", {"transposed": True, "output_size": [4, 4]}),
    ("--transposed --stride 2 --output-padding 1x0", {"output_padding": [1, 0], "output_size": [7, 6]}),
    ("--bias", {"bias": True}),
    ("--no-bias", {"bias": False}),
    ("", {"bias": False, "in_channels": 1, "kernel_size": [2, 2], "input_size": [3, 3], "batch_size": 1}),
    ("--dims 1", {"input_size": [3], "kernel_size": [2]}),
    ("--dims 3 --size 2", {"input_size": [2, 2, 2]}),
    ("--w sobel-x", {"kernel_size": [3, 3], "input_size": [4, 4]}),
    ("--b 1", {"bias": True}),
]


@pytest.mark.parametrize(("options", "expected"), OPTIONS, ids=[options for options, _ in OPTIONS])
def test_an_option_reaches_the_layer(options, expected):
    found = layer(*options.split())
    assert {name: found[name] for name in expected} == expected


PYTORCH = [
    "Conv2d(3, 4, (2, 2))",
    "nn.Conv2d(3, 4, 2, bias=False)",
    "torch.nn.Conv1d(2, 4, kernel_size=3, stride=2, padding=1, dilation=2, groups=2)",
    "Conv3d(1, 1, (1, 3, 5), padding='same')",
    "Conv2d(1, 2, 3, 2, 1, 1, 1, False, 'reflect')",
    "ConvTranspose2d(2, 4, 3, 2, 1, 1, 2, True, 1)",
    "ConvTranspose1d(1, 1, 2)",
    "ConvTranspose3d(1, 2, (1, 2, 2), stride=(1, 2, 2), output_padding=(0, 1, 1))",
    " Conv2d(1, 1, 2, padding='valid') ",
]


@pytest.mark.parametrize("text", PYTORCH)
def test_a_layer_in_pytorchs_notation_is_the_layer_that_pytorch_makes(text):
    module = eval(text.strip(), {"nn": torch.nn, "torch": torch, **vars(torch.nn)})
    size = [5] * len(module.kernel_size)
    found = layer("--layer", text, "--size", "x".join(map(str, size)))
    for name in ("in_channels", "out_channels", "groups", "padding_mode"):
        assert found[name] == getattr(module, name)
    for name in ("kernel_size", "stride", "dilation", "output_padding"):
        assert found[name] == list(getattr(module, name))
    assert found["bias"] == (module.bias is not None)
    assert found["output_size"] == list(module(torch.zeros(1, module.in_channels, *size)).shape[2:])
    assert layer("--layer", found["text"], "--size", "x".join(map(str, size))) == found


def test_a_layer_in_pytorchs_notation_takes_what_the_notation_does_not_say():
    assert layer("--layer", "Conv2d(3, 4, (2, 2))", "--no-bias")["bias"] is False
    assert layer("--layer", "Conv2d(3, 4, (2, 2))", "--batch", "2", "--padding", "1")["output_size"] == [4, 4]
    assert layer("--layer", "Conv3d(1, 1, 2)", "--dims", "3")["input_size"] == [3, 3, 3]


SIZES = [
    ("1 2 3 4", "4", [1, 1, 4]),
    ("1 2; 3 4", "2x2", [1, 1, 2, 2]),
    ("[[[1, 2], [3, 4]]]", "1x2x2", [1, 1, 2, 2]),
    ("[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]", "2x2x2", [1, 2, 2, 2]),
    ("[[[[1, 2], [3, 4]]], [[[5, 6], [7, 8]]]]", "", [2, 1, 2, 2]),
    ("[[[[[1, 2], [3, 4]]]]]", "", [1, 1, 1, 2, 2]),
]


@pytest.mark.parametrize(("numbers", "given", "shape"), SIZES)
def test_sizes_follow_from_the_input_and_added_axes_are_said(numbers, given, shape):
    options = ("--kernel", "1", "-f", "json", "--only", "input")
    done = call("inspect", "--x", numbers, *options)
    assert done.json()["input"]["shape"] == shape
    said = f"note: --x has shape {given}; taken as {'x'.join(map(str, shape))}\n"
    assert done.err == (said if given else "")
    assert call("inspect", "--x", "-", *options, stdin=numbers).out == done.out
    assert call("inspect", "--x", numbers, *options, "-q").err == ""


def test_sizes_follow_from_every_operand():
    found = layer("--w", "[[[[1, 2, 3]], [[4, 5, 6]]]]", "--b", "7", "--size", "5x4")
    assert (found["in_channels"], found["out_channels"], found["kernel_size"]) == (2, 1, [1, 3])
    assert layer("--transposed", "--w", "[[[[1]], [[2]], [[3]]]]")["out_channels"] == 3
    assert layer("--b", "1 2 3")["out_channels"] == 3
    assert layer("--x", "1 2; 3 4", "--batch", "none", "--kernel", "1")["batch_size"] is None
    assert layer("--x", "1 2; 3 4", "--dims", "1")["in_channels"] == 2
    assert layer("--x", "-", "--w", "1 2", stdin="1 2 3")["input_size"] == [3]


def test_numbers_come_from_where_the_options_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_text("1,2\n3,4\n")
    found = call(
        "inspect", "--x", "x.csv", "--w", "ones", "--b", "0.5", "--g", "-", "-f", "json", "-q", stdin="10"
    ).json()
    assert found["input"]["values"] == [[[[1, 2], [3, 4]]]]
    assert found["weight"]["values"] == [[[[1, 1], [1, 1]]]]
    assert (found["bias"]["values"], found["grad_output"]["values"]) == ([0.5], [[[[10]]]])
    assert found["grad_weight"]["values"] == [[[[10, 20], [30, 40]]]]
    assert found["loss"] == {"name": "(y * g).sum()", "value": 105.0}


def test_how_it_is_run():
    half, mean = (
        call("inspect", *more, "-f", "json", "--bias").json() for more in (["--dtype", "half"], ["--loss", "mean"])
    )
    assert half["dtype"] == half["output"]["dtype"] == "float16"
    assert mean["loss"]["name"] == "y.mean()"
    assert mean["grad_bias"]["values"] == [1.0]
    assert call("inspect", "--seed", "7", "-f", "json").json()["seed"] == 7
    assert call("inspect", "--device", "cpu", "-f", "json").json()["device"] == "cpu"
    assert call("inspect", "--device", "auto", "-f", "json").json()["device"].split(":")[0] in ("cpu", "cuda", "mps")


def test_a_wrong_kernel_is_said_before_the_size_that_follows_from_it():
    assert call("inspect", "--layer", "Conv2d(3, 4, -1)").err == "convgrad: --kernel must be 1 or more, not -1\n"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    done = call("inspect", "--device", "cuda")
    version = re.escape(torch.__version__)
    assert re.fullmatch(
        rf"convgrad: --device cuda: not on this machine \(torch {version}\); there is: cpu.*\n", done.err
    )
    assert (done.status, done.out) == (2, "")


@pytest.mark.parametrize(
    "name", ["w[0,0,0,1]", "w:0,0,0,1", "weight:0,0,0,1", "grad_weight:0,0,0,1", "w.grad[0, 0, 0, 1]"]
)
def test_an_element_has_one_name_in_many_spellings(name):
    told = call("explain", "--at", name)
    assert told.status == 0
    assert "\nw.grad[0,0,0,1] = x[0,0,0:2,1:3].sum()\n" in told.out
