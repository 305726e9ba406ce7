"""Which notation a text is in, layers in JSON and as PyTorch's modules, and the way from one notation to the others."""

import json

import pytest
import torch
from cases import PATIENT, integer_operands, specs
from hypothesis import given, settings
from oracle import definition, entries

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.languages import LONGEST, WRITTEN, language, read_layer, write_layer
from convgrad_cli.geometry.layer_text import DIRECTIONS, settled
from convgrad_cli.geometry.spec import make_spec

TEXTS = [
    ("Conv2d(3, 4, kernel_size=(2, 2))", "torch"),
    ("(conv1): ConvTranspose3d(3, 4, 2)", "torch"),
    ("mb2ic16ih8oc32oh8kh3ph1", "benchdnn"),
    ("  g2ic16ih8oc32kh3 ", "benchdnn"),
    ("--dir=BWD_D --dt=f16 deconv:_ih8ic16oc32kh3", "benchdnn"),
    ("conv -n 32 -c 64", "miopen"),
    ("convbfp16 --batchsize 32", "miopen"),
    ("./bin/MIOpenDriver conv -n 32", "miopen"),
    ("onednn_verbose,v1,primitive,exec,cpu,convolution", "verbose"),
    ("dnnl_verbose,exec", "verbose"),
    ('{"kernel_size": 3}', "json"),
    # What is in none of them is refused as a module that it is not.
    ("conv", "torch"),
    ("mb", "torch"),
    ("", "torch"),
    ("icecream", "torch"),
]


@pytest.mark.parametrize(("text", "name"), TEXTS)
def test_a_notation_is_known_by_its_looks(text, name):
    assert language(text) == name


LAYER = make_spec(batch_size=2, in_channels=4, out_channels=6, input_size=(5, 7), kernel_size=3, padding=1, bias=True)


@pytest.mark.parametrize(
    "text",
    [
        "mb2ic4ih5iw7oc6kh3kw3ph1pw1",
        "conv -n 2 -c 4 -H 5 -W 7 -k 6 -y 3 -x 3 -p 1 -q 1 -b 1",
        "dnnl_verbose,exec,cpu,convolution,ref,forward_training,src_f32: bia_f32:,,mb2_ic4oc6_ih5kh3ph1_iw7kw3pw1,1",
        '{"layer": "Conv2d(4, 6, 3, padding=1)", "input_size": [5, 7], "batch_size": 2}',
        '{"in_channels": 4, "out_channels": 6, "input_size": [5, 7], "kernel_size": 3, "padding": 1, "bias": true, '
        '"batch_size": 2}',
    ],
    ids=["benchdnn", "miopen", "verbose", "json of torch", "json"],
)
def test_every_notation_says_the_same_layer(text):
    assert read_layer(text).spec == LAYER
    assert [read_layer(write_layer(LAYER, notation)).spec for notation in ("benchdnn", "miopen")] == [LAYER] * 2


JSON = [
    ('{"kernel_size": 3}', None, None, DIRECTIONS[:-1]),
    ('{"bias": true, "name": "stem", "dtype": "float64"}', "stem", "float64", DIRECTIONS),
    ('{"dtype": "bf16", "directions": ["grad_weight", "output"]}', None, "bfloat16", ("output", "grad_weight")),
    ('{"layer": "--dir=BWD_WB --dt=f16 ic1oc1iw3kw2nplain"}', "plain", "float16", ("grad_weight", "grad_bias")),
    ('{"layer": "ic1oc1iw3kw2nplain", "name": "other", "dtype": "f32"}', "other", "float32", DIRECTIONS),
    ('{"layer": "ic1oc1iw3kw2", "bias": false}', None, None, DIRECTIONS[:-1]),
    ('{"directions": ["grad_bias", "output"]}', None, None, ("output",)),
]


@pytest.mark.parametrize(("text", "name", "dtype", "directions"), JSON)
def test_json_says_what_a_layer_does_not(text, name, dtype, directions):
    said = read_layer(text)
    assert (said.name, said.dtype, said.directions) == (name, dtype, directions)


@PATIENT
@given(specs())
def test_the_layer_of_a_report_is_read_back(spec):
    assert read_layer(json.dumps(spec.to_dict())).spec == spec


REFUSALS = [
    ("{", "'{' is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ('{"layer": 3}', '"layer" in \'{"layer": 3}\' is text in any notation: {"layer": "Conv2d(3, 4, 2)"}'),
    ('{"layer": "Conv2d(3, 4)"}', "--layer Conv2d: kernel_size is given nowhere"),
    ('{"layer": "Conv2d(3, 4, 2)", "kernel_size": 2}', '"layer" already says kernel_size; drop one of them'),
    (
        '{"kernel": 3}',
        "a layer in JSON has no 'kernel'; it knows layer, name, dtype, directions, batch_size, bias, dilation, dims, "
        "groups, in_channels, input_size, kernel_size, out_channels, output_padding, padding, padding_mode, stride, "
        "transposed",
    ),
    ('{"name": 3}', '"name" is text, not 3'),
    ('{"dtype": "int8"}', "\"dtype\" 'int8' is not one of float64, float32, float16, bfloat16"),
    ('{"dtype": ["f32"]}', "\"dtype\" ['f32'] is not one of float64, float32, float16, bfloat16"),
    (
        '{"directions": "output"}',
        "\"directions\" 'output' is a list of some of output, grad_input, grad_weight, grad_bias",
    ),
    (
        '{"directions": ["up"]}',
        "\"directions\" ['up'] is a list of some of output, grad_input, grad_weight, grad_bias",
    ),
    (
        "x" * 10_001,
        f"--layer '{'x' * 40}... (10001 characters)' is too long; no notation needs more than 10000 characters",
    ),
    ("icecream", "--layer 'icecream' is not a layer; write it as PyTorch does: Conv2d(3, 4, (2, 2))"),
    (
        " [" * 4_000,
        f"--layer '{' [' * 100}... (8000 characters)' is not a layer; write it as PyTorch does: Conv2d(3, 4, (2, 2))",
    ),
    ('{"layer": ' * 900, f"'{('{' + chr(34) + 'layer' + chr(34) + ': ') * 8}... (9000 characters)' is not JSON: "),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS, ids=[text[:40] for text, _ in REFUSALS])
def test_a_refusal(text, message):
    with pytest.raises(SpecError) as refusal:
        read_layer(text)
    assert str(refusal.value) == message or (message.endswith(": ") and str(refusal.value).startswith(message))
    assert len(text) <= LONGEST or "too long" in message


def test_a_notation_that_is_not_written_is_refused():
    for name in ("json", "verbose", ""):
        with pytest.raises(SpecError) as refusal:
            write_layer(LAYER, name)
        assert str(refusal.value) == f"--as {name} is not one of torch, benchdnn, miopen"


MODULES = [
    # a layer, and the module that is written for it
    (make_spec(input_size=5), "Conv2d(1, 1, kernel_size=(2, 2), bias=False)"),
    (make_spec(input_size=5, padding="same"), "Conv2d(1, 1, kernel_size=(2, 2), padding='same', bias=False)"),
    (
        make_spec(input_size=5, padding="same", padding_mode="circular", bias=True),
        "Conv2d(1, 1, kernel_size=(2, 2), padding='same', padding_mode='circular')",
    ),
    (
        make_spec(input_size=5, kernel_size=3, padding="same"),
        "Conv2d(1, 1, kernel_size=(3, 3), padding=(1, 1), bias=False)",
    ),
    (
        make_spec(dims=1, input_size=5, stride=2, padding=((0, -1),), bias=True),
        "Conv1d(1, 1, kernel_size=(2,), stride=(2,))",
    ),
    (
        make_spec(dims=1, transposed=True, input_size=4, kernel_size=3, stride=3, padding=((1, -1),), bias=True),
        "ConvTranspose1d(1, 1, kernel_size=(3,), stride=(3,), padding=(1,), output_padding=(2,))",
    ),
]


@pytest.mark.parametrize(("spec", "text"), MODULES, ids=[text for _, text in MODULES])
def test_a_module_is_written(spec, text):
    assert write_layer(spec, "torch") == text


@pytest.mark.parametrize(
    ("layer", "needs"),
    [
        ({"padding": ((0, 1),)}, "0:1"),
        ({"padding": -1}, "-1:-1"),
        ({"padding": ((2, 1),), "padding_mode": "reflect"}, "2:1"),
    ],
    ids=str,
)
def test_a_module_pads_both_ends_alike(layer, needs):
    with pytest.raises(SpecError) as refusal:
        write_layer(make_spec(dims=1, input_size=6, kernel_size=3, **layer), "torch")
    assert str(refusal.value) == (
        f"PyTorch pads both ends alike, with 0 or more, and this layer needs {needs}; --as benchdnn can say more"
    )


def run_module(text, spec):
    """What PyTorch's own module computes, when it is made as `text` says and given the operands of the layer."""
    module = eval(text, vars(torch.nn)).double()
    operands = integer_operands(spec)
    with torch.no_grad():
        for parameter, values in zip(module.parameters(), [operands.weight, operands.bias], strict=False):
            parameter.copy_(values)
    leaf = operands.input.requires_grad_()
    output = module(leaf)
    output.backward(operands.grad_output)
    return module, {"output": output, "input": leaf.grad, "weight": module.weight.grad}, operands


@settings(PATIENT, max_examples=60)
@given(specs())
def test_a_written_module_is_the_layer(spec):
    try:
        text = write_layer(spec, "torch")
    except SpecError:
        assert any(before != after or before < 0 for before, after in settled(spec).padding)
        return
    module, found, operands = run_module(text, spec)
    bias = None if operands.bias is None else entries(operands.bias)
    expected = definition(
        spec, entries(operands.input.detach()), entries(operands.weight), bias, entries(operands.grad_output)
    )
    for name, values in found.items():
        assert entries(values.detach()) == expected[name], name
    # What PyTorch prints for it is read as the same layer, element for element.
    sizes = {"input_size": spec.input_size, "batch_size": spec.batch_size}
    printed = {**read_layer(repr(module)).settings, **sizes, "bias": module.bias is not None}
    assert settled(make_spec(**printed)).axes == spec.axes


@PATIENT
@given(specs())
def test_from_one_notation_to_the_others_and_back(spec):
    said = {}
    for notation in WRITTEN:
        try:
            said[notation] = write_layer(spec, notation, "float16")
        except SpecError:
            continue
    read = {notation: read_layer(text) for notation, text in said.items()}
    assert [language(text) for text in said.values()] == list(read)
    sized = [one.spec for notation, one in read.items() if notation != "torch"]
    assert sized == [settled(spec)] * len(sized)
    assert {one.dtype for notation, one in read.items() if notation != "torch"} <= {"float16"}
    # MIOpenDriver says less than benchdnn, and nothing that it could not say.
    assert "miopen" not in said or "benchdnn" in said
