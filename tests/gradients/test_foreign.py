"""Code under test in a process of its own: what right code gets, what other code is told, and that nothing is left.

Right answers are compared with the slices bit for bit, on integers of float64.
"""

import os
import re
from pathlib import Path

import pytest
import torch
from cases import CASES, integer_operands, random_specs

from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.gradients.foreign import FunctionTarget, function_target
from convgrad_cli.gradients.target import Answer, Call, TargetError

TARGETS = Path(__file__).parent / "targets"
LOOPS = f"{TARGETS / 'loops.py'}::"
SMALL = make_spec(input_size=3, kernel_size=2, bias=True)
PLAIN = make_spec(input_size=(4, 5), kernel_size=(2, 3), stride=2, padding=1, in_channels=2, out_channels=3, bias=True)


def assert_right(answer: Answer, spec, operands, names=("weight", "input", "bias")):
    expected = by_hand(spec, operands).named()
    found = answer.gradients.named()
    assert set(found) == {name for name in names if name in expected}
    assert not answer.misshapen
    for name, value in found.items():
        assert value.is_contiguous()
        assert torch.equal(value, expected[name]), name


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


@pytest.fixture
def written(tmp_path):
    """Makes a target of a function `f` whose body is given, in a file mine.py; closes it afterwards."""
    made: list[FunctionTarget] = []

    def write(
        body: str, *, head: str = "", signature: str = "x, w, b, g", name: str = "f", **options
    ) -> FunctionTarget:
        lines = [head, f"def f({signature}):", *(f"    {line}" for line in body.splitlines())]
        (tmp_path / "mine.py").write_text("import numpy as np\n" + "\n".join(lines) + "\n")
        made.append(function_target(f"{tmp_path / 'mine.py'}::{name}", **options))
        return made[-1]

    yield write
    for target in made:
        target.close()


def refusal(target, spec=SMALL, **call) -> str:
    """What is said where there is no answer, without the folder of the file."""
    with pytest.raises(TargetError) as caught:
        target.run(spec, integer_operands(spec), Call(**call))
    message = str(caught.value)
    assert "\n" not in message
    return re.sub(r"\S*/(?=mine\.py)", "", message)


@pytest.fixture(scope="module")
def everything():
    target = function_target(LOOPS + "everything")
    yield target
    target.close()


@pytest.mark.parametrize("spec", [*(case.spec for case in CASES), *random_specs(11, 60)])
def test_right_gradients_of_any_layer_come_back_bit_for_bit(everything, spec):
    operands = integer_operands(spec)
    answer = everything.run(spec, operands)
    assert_right(answer, spec, operands, ("output", "weight", "input", "bias"))
    assert answer.changed == ()


def test_one_process_answers_many_calls(everything):
    for spec in (SMALL, PLAIN, SMALL):
        everything.run(spec, integer_operands(spec))
        pid = everything._worker.pid
        assert pid is not None
        assert pid == everything._worker.pid


def test_facts_say_what_was_run(everything):
    everything.run(SMALL, integer_operands(SMALL))
    [fact] = everything.facts
    assert re.fullmatch(r".*loops\.py::everything, sha256 [0-9a-f]{64}, runs in a process of its own", fact)
    assert everything.callable
    assert everything.allows == {"layouts"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_dtype_stays(everything, dtype):
    operands = integer_operands(SMALL).map(lambda t: t.to(dtype))
    answer = everything.run(SMALL, operands)
    assert {value.dtype for value in answer.gradients.named().values()} == {dtype}
    assert torch.equal(answer.gradients.weight, by_hand(SMALL, operands).weight)


def test_numpy_has_no_bfloat16(everything):
    with pytest.raises(TargetError, match=r"^NumPy has no bfloat16; add --as torch$"):
        everything.run(SMALL, integer_operands(SMALL).map(torch.Tensor.bfloat16))


def test_where_a_wrong_text_is_refused_without_running_anything(tmp_path):
    with pytest.raises(ConvGradError, match=r"gone\.py does not exist; check the name$"):
        function_target("gone.py::f")
    with pytest.raises(ConvGradError, match=r"loops\.py has no backwrd; did you mean backward\?$"):
        function_target(LOOPS + "backwrd")


def test_close_ends_the_process():
    target = function_target(LOOPS + "backward")
    target.run(SMALL, integer_operands(SMALL))
    pid = target._worker.pid
    target.close()
    assert is_gone(pid)
    target.run(SMALL, integer_operands(SMALL))
    target.close()
