"""Commands that read and write .npz files, and gradients that were saved."""

import re
import sys
import time
from pathlib import Path

import numpy
import pytest
import torch
from cases import CASES, integer_operands
from processes import is_gone, wait_for

from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.gradients.command import command_target
from convgrad_cli.gradients.saved import saved_target
from convgrad_cli.gradients.target import TargetError
from convgrad_cli.tensors.numbers import Numbers

TARGETS = Path(__file__).parent / "targets"
SMALL = make_spec(input_size=3, kernel_size=2, bias=True)


def command(body: str, tmp_path: Path, timeout: float = 60.0):
    """A target that runs `body` with the arrays of its input in `given`; what it puts into `found` is written."""
    lines = ["import os, sys, numpy as np", "given = dict(np.load(sys.argv[1]))", "found = {}", body]
    lines += ["np.savez(sys.argv[2], **found)"]
    (tmp_path / "program.py").write_text("\n".join(lines))
    return command_target(f"{sys.executable} {tmp_path / 'program.py'} {{in}} {{out}}", timeout)


def refusal(target) -> str:
    with pytest.raises(TargetError) as caught:
        target.run(SMALL, integer_operands(SMALL))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(target.name)


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield
    assert not list(tmp_path.glob("convgrad-*"))


CALL = f"""
sys.path.insert(0, {str(TARGETS)!r})
from loops import everything
names = ("stride", "padding", "dilation", "output_padding")
layer = {{name: given[name].tolist() for name in names}}
layer |= {{"groups": int(given["groups"]), "transposed": bool(given["transposed"])}}
layer["padding_mode"] = str(given["padding_mode"])
found = everything(given["x"], given["w"], given.get("b"), given["g"], **layer)
assert str(given["dtype"]) == "float64"
"""


@pytest.mark.parametrize("case", CASES[::4], ids=str)
def test_right_gradients_of_any_layer(case, tmp_path):
    spec, operands = case.spec, integer_operands(case.spec)
    answer = command(CALL, tmp_path).run(spec, operands)
    expected, found = by_hand(spec, operands).named(), answer.gradients.named()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert not answer.misshapen


def test_bfloat16_goes_as_float32_and_comes_back(tmp_path):
    operands = integer_operands(SMALL).map(torch.Tensor.bfloat16)
    body = "assert given['x'].dtype == 'f4' and given['dtype'] == 'bfloat16'\nfound['grad_input'] = given['x']\n"
    body += "found['grad_weight'] = given['w'] + np.float32(2**-20)\nfound['grad_bias'] = np.array([7])"
    found = command(body, tmp_path).run(SMALL, operands).gradients
    assert torch.equal(found.input, operands.input)
    assert found.weight.dtype == torch.float32
    assert torch.equal(found.bias, torch.tensor([7.0], dtype=torch.bfloat16))


def test_other_shapes_are_reported(tmp_path):
    answer = command("found['grad_input'] = np.zeros((3, 3), 'f4')", tmp_path).run(SMALL, integer_operands(SMALL))
    assert answer.misshapen == {"input": (3, 3)}
    assert answer.gradients.named() == {}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit(3)", " ended its process with status 3"),
        (
            "print('why\\n\\x1b[31mthat', file=sys.stderr); os._exit(1)",
            r" ended its process with status 1: \x1b[31mthat",
        ),
        ("1 / 0", " ended its process with status 1: ZeroDivisionError: division by zero"),
        ("os.kill(os.getpid(), 11)", " was ended by SIGSEGV (a segmentation fault)"),
        ("sys.exit(0)", " wrote no file to {out}, though it ended with status 0"),
        ("os.mkfifo(sys.argv[2]); os._exit(0)", " wrote no plain file to {out}"),
        ("pass", ": the .npz that it wrote is empty; its names can be grad_input, grad_weight, grad_bias, output"),
        (
            "found['grad_x'] = given['x']",
            ": the .npz that it wrote has the name 'grad_x'; "
            "its names can be grad_input, grad_weight, grad_bias, output",
        ),
        (
            "found['grad_input'] = given['x'].astype(object)",
            ": the .npz that it wrote::grad_input holds '|O' elements; "
            "float16, float32, float64 and integers are read: convert it with array.astype('float32')",
        ),
        (
            "open(sys.argv[2], 'w').write('no'); os._exit(0)",
            ": the .npz that it wrote is a damaged zip archive (File is not a zip file); save or copy it again",
        ),
    ],
)
def test_what_is_said_where_there_is_no_answer(body, said, tmp_path):
    assert refusal(command(body, tmp_path)) == said


def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    pids = tmp_path / "pids"
    body = (
        f"import subprocess\nother = subprocess.Popen(['sleep', '100'])\nopen({str(pids)!r}, 'w').write(str(other.pid))"
    )
    start = time.monotonic()
    said = refusal(command(f"{body}\nwhile True: pass", tmp_path, timeout=1.5))
    assert said == " did not end in 1.5 s and was ended; give it longer with --timeout"
    # What it leaves behind keeps nobody waiting, though it has its standard error.
    assert refusal(command(f"{body}\nos._exit(0)", tmp_path)).startswith(" wrote no file")
    assert time.monotonic() - start < 10
    wait_for(lambda: is_gone(int(pids.read_text())))


def test_what_it_prints_goes_to_standard_error(tmp_path, capfd):
    target = command("print('out', flush=True); print('err', file=sys.stderr)\nassert sys.stdin.read() == ''\n"
                     "found['grad_input'] = given['x']", tmp_path)  # fmt: skip
    for shown in (["err", "out"], ["err"]):  # what it prints when it is run again is not shown
        target.run(SMALL, integer_operands(SMALL))
        out, err = capfd.readouterr()
        assert out == ""
        assert sorted(err.split()) == shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--exec '' has no {in} and no {out}; write 'command {in} {out}', which are the names of the file to read"),
        ("cat {in}", "--exec 'cat {in}' has no {out}; write"),
        ("cat '{in} {out}", """--exec "cat '{in} {out}" can't be split into words: no closing quotation"""),
        (
            "cat {in} > {out}",
            "--exec runs no shell, to which '>' would mean something; "
            """write sh -c 'command <"$0" >"$1"' {in} {out}""",
        ),
        ("./gone {in} {out}", "--exec: there is no program './gone'; check the name, or give its path"),
    ],
)
def test_commands_that_cannot_be(text, said):
    with pytest.raises(ConvGradError, match=re.escape(said)):
        command_target(text)


def test_no_shell_sees_it(tmp_path):
    (tmp_path / "a b.py").write_text("import sys; sys.exit(' '.join(sys.argv[3:]))")
    target = command_target(f"{sys.executable} '{tmp_path}/a b.py' --in={{in}} {{out}} '$HOME; *'")
    assert refusal(target) == " ended its process with status 1: $HOME; *"


def numbers(values, dtype=None, kind="f8") -> Numbers:
    return Numbers(numpy.array(values, kind), dtype, "d.npz::a")


def test_saved_gradients():
    target = saved_target({"input": numbers([[[[1, 2], [3, 4]]]]), "weight": numbers([[[[0.1]]]])})
    assert not target.callable
    assert target.name == "saved grad_input and grad_weight"
    assert target.facts == (
        "grad_input from d.npz::a, grad_weight from d.npz::a: read, not run, so that other numbers can't be tried",
    )
    spec = make_spec(input_size=2, kernel_size=1)
    answer = target.run(spec, integer_operands(spec).map(torch.Tensor.float))
    assert torch.equal(answer.gradients.input, torch.tensor([[[[1.0, 2], [3, 4]]]]))
    assert answer.gradients.weight.dtype == torch.float32
    assert answer.gradients.weight.item() == torch.tensor(0.1).item()
    target.close()


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (numbers([[[[1.0]]]], "float64"), torch.float64),
        (numbers([[[[1.0]]]], "bfloat16", "f4"), torch.bfloat16),
        (numbers([[[[1]]]], None, "i8"), torch.float16),
        (numbers([[[[2049]]]], None, "i8"), torch.float64),
    ],
)
def test_saved_numbers_keep_their_dtype(given, dtype):
    spec = make_spec(input_size=2, kernel_size=1)
    answer = saved_target({"weight": given}).run(spec, integer_operands(spec).map(torch.Tensor.half))
    assert answer.gradients.weight.dtype == dtype
    assert answer.gradients.weight.item() == given.array.item()


def test_saved_gradients_have_the_shape_exactly():
    spec = make_spec(input_size=2, kernel_size=1)
    target = saved_target({"input": numbers([[1, 2], [3, 4]]), "bias": numbers([1])})
    with pytest.raises(TargetError, match=r"^there is a saved grad_bias, and this layer has no bias; add --bias$"):
        target.run(spec, integer_operands(spec))
    spec = make_spec(input_size=2, kernel_size=1, bias=True)
    answer = target.run(spec, integer_operands(spec))
    assert answer.misshapen == {"input": (2, 2)}
    assert torch.equal(answer.gradients.bias, torch.tensor([1.0], dtype=torch.float64))
