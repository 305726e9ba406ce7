"""Code under test in a process of its own: what right code gets, what other code is told, and that nothing is left.

Right answers are compared with the slices bit for bit, on integers of float64.
"""

import gc
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cases import CASES, integer_operands, random_specs
from processes import is_gone, wait_for

from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.gradients.foreign import FunctionTarget, function_target
from convgrad_cli.gradients.target import SETTINGS, Answer, Call, TargetError, lay_out

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
    assert everything.allows == {"layouts", *SETTINGS}


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


def agrees(text: str, spec=PLAIN, names=("weight", "input", "bias"), **options):
    """Whether the target gives the right gradients of this layer."""
    target, operands = function_target(text, **options), integer_operands(spec)
    try:
        answer = target.run(spec, operands)
        assert_right(answer, spec, operands, names)
        assert answer.changed == ()
    finally:
        target.close()


def test_code_that_wants_numbers_is_told_of_scalars(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def one(x, w, b, g, stride): return x[:, ::stride], w\n"
        "def two(x, w, b, g, stride, padding): return range(0, 9, stride), padding\n"
        "def own(x, w, b, g, stride): n, c = x.shape\n"
    )
    for name, hint in (
        ("one", "; stride came as a tuple: --scalars gives numbers"),
        ("two", "; stride and padding came as tuples: --scalars gives numbers"),
        ("own", ""),
    ):
        said = refusal(function_target(f"{tmp_path / 'mine.py'}::{name}"), PLAIN)
        assert said.endswith(f"){hint}")


def test_scalars_are_handed_over_where_one_number_says_it():
    target = function_target(LOOPS + "scalars", scalars=True)
    operands = integer_operands(PLAIN)
    assert_right(target.run(PLAIN, operands), PLAIN, operands)
    uneven = make_spec(input_size=5, kernel_size=2, stride=(1, 2))
    assert (
        refusal(target, uneven)
        == "stride (1, 2) is no single number, as --scalars wants it; give another layer, or drop --scalars"
    )
    pairs = make_spec(input_size=5, kernel_size=2, padding="same")
    assert refusal(target, pairs).startswith("padding ((0, 1), (0, 1)) is no single number")
    target.close()


@pytest.mark.parametrize("layer", [{}, {"batch_size": 2}])
def test_layouts_are_those_of_the_function_and_back(layer):
    agrees(LOOPS + "nhwc", replace(PLAIN, **layer), layout="NHWC", weight_layout="hwio")


@pytest.mark.parametrize(
    ("layout", "weight_layout", "layer", "message"),
    [
        ("NHWX", None, {}, "--layout 'NHWX' does not fit: PyTorch's order is NCW, NCHW or NCDHW, and any order of one"),
        ("NHHC", None, {}, "--layout 'NHHC' does not fit"),
        (None, "HWOC", {}, "--weight-layout 'HWOC' does not fit: PyTorch's order is OIW, OIHW or OIDHW"),
        ("NWC", None, {}, "--layout 'NWC' does not fit: PyTorch's order is NCHW, and any order may be given"),
        ("HWC", None, {}, "--layout 'HWC' does not fit: PyTorch's order is NCHW"),
        ("\x1b", None, {}, r"--layout '\\x1b' does not fit"),
    ],
)
def test_layouts_that_do_not_fit(layout, weight_layout, layer, message):
    with pytest.raises(ConvGradError, match=re.escape(message)):
        agrees(LOOPS + "nhwc", layout=layout, weight_layout=weight_layout)


def test_a_layout_of_each_number_of_axes(written):
    body = "raise ValueError((x.shape, w.shape, g.shape))"
    shapes = {
        ("NWC", "WIO", 1): "((1, 5, 2), (2, 2, 3), (1, 4, 3))",
        ("NLC", None, 1): "((1, 5, 2), (3, 2, 2), (1, 4, 3))",
        ("NDHWC", "DHWIO", 3): "((1, 5, 5, 5, 2), (2, 2, 2, 2, 3), (1, 4, 4, 4, 3))",
        ("CHWN", None, 2): "((2, 5, 5, 1), (3, 2, 2, 2), (3, 4, 4, 1))",
    }
    for (layout, weight_layout, dims), shown in shapes.items():
        spec = make_spec(dims=dims, input_size=5, kernel_size=2, in_channels=2, out_channels=3)
        target = written(body, layout=layout, weight_layout=weight_layout)
        assert refusal(target, spec) == f"mine.py::f raised ValueError: {shown} (mine.py:4)"
    unbatched = make_spec(input_size=(5, 4), kernel_size=2, batch_size=None, in_channels=2, transposed=True)
    target = written(body, layout="NHWC", weight_layout="HWOI")
    assert "((5, 4, 2), (2, 2, 1, 2), (6, 5, 1))" in refusal(target, unbatched)


def test_a_wrong_shape_is_reported_in_the_order_of_the_layer(written):
    target = written("return np.zeros((1, 3, 2, 1)), np.zeros(3)", layout="NHWC")
    answer = target.run(SMALL, integer_operands(SMALL))
    assert answer.misshapen == {"input": (1, 1, 3, 2), "weight": (3,)}
    assert answer.gradients.named() == {}


def test_keywords_are_those_of_the_signature(written):
    signature = "x, w, b, g, groups, padding, *, dilation, output_padding, transposed, padding_mode"
    target = written("raise ValueError((groups, padding, dilation, output_padding, transposed, padding_mode))",
                     signature=signature)  # fmt: skip
    spec = make_spec(input_size=4, kernel_size=2, padding=((1, 1), (2, 2)), transposed=True, stride=2, output_padding=1)
    assert "(1, (1, 2), (1, 1), (1, 1), True, 'zeros')" in refusal(target, spec)
    spec = make_spec(input_size=4, kernel_size=2, padding="same", padding_mode="circular")
    assert "(1, ((0, 1), (0, 1)), (1, 1), (0, 0), False, 'circular')" in refusal(target, spec)
    target = written("raise ValueError(sorted(rest.items()))", signature="*operands, **rest")
    assert "[('dilation', (1, 1)), ('groups', 1), ('padding', (0, 0)), ('stride', (1, 1))]" in refusal(target)
    assert target.allows == {"layouts", *SETTINGS}


@pytest.mark.parametrize("signature", ["x, w, g", "x, w, b, g, size", "x, w, b, *, stride", "x, w, padding, b, g"])
def test_a_signature_that_does_not_fit_is_shown(written, signature):
    message = refusal(written("pass", signature=signature))
    start, _, expected = message.partition("; expected ")
    assert start.startswith(f"mine.py::f has the signature ({signature}), which does not fit (")
    assert expected == "function(x, w, b, g, *, stride, padding, dilation, groups), with those keywords that it needs"


def test_masks_and_buffers():
    operands = integer_operands(PLAIN)
    target = function_target(LOOPS + "masked")
    assert target.allows == {"layouts", "wanted", *SETTINGS}
    assert_right(target.run(PLAIN, operands, Call(wanted=("weight",))), PLAIN, operands, ("weight",))
    target.close()
    target = function_target(LOOPS + "fills")
    assert target.allows == {"layouts", "poison", *SETTINGS}
    assert_right(target.run(PLAIN, operands), PLAIN, operands)
    found = target.run(PLAIN, operands, Call(poison=True, wanted=("input",))).gradients
    assert found.input.isnan().all()
    assert found.weight is None
    target.close()


LAYOUTS = ("contiguous", "channels_last", "sliced", "transposed", "expanded")


def test_operands_lie_in_memory_as_asked(written):
    target = written("raise ValueError([tuple(s // t.itemsize for s in t.strides) for t in (x, w, g)])")
    spec = make_spec(input_size=(4, 5), kernel_size=2, in_channels=2, out_channels=3, batch_size=2)
    operands = integer_operands(spec, ones=True)
    for layout in LAYOUTS:
        laid = [lay_out(t, layout).stride() for t in (operands.input, operands.weight, operands.grad_output)]
        said = refusal(target, spec, layouts=dict.fromkeys(("input", "weight", "grad_output"), layout))
        assert str(laid) in said, layout


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_right_gradients_in_every_layout(everything, layout):
    operands = integer_operands(PLAIN, ones=True)
    names = ("grad_output",) if layout == "expanded" else ("input", "weight", "grad_output")
    answer = everything.run(PLAIN, operands, Call(layouts=dict.fromkeys(names, layout)))
    assert_right(answer, PLAIN, operands, ("output", "weight", "input", "bias"))
    assert answer.changed == ()


def test_written_operands_are_named(written):
    operands = integer_operands(SMALL)
    before = operands.map(torch.clone)
    target = written("x[0, 0, 0, 0] += 1\ng[...] = np.nan\nb *= 1\nreturn x, w, b")
    assert target.run(SMALL, operands).changed == ("input", "grad_output")
    assert target.run(SMALL, operands, Call(layouts={"grad_output": "expanded"})).changed == ("input", "grad_output")
    assert torch.equal(operands.input, before.input)
    assert torch.equal(operands.grad_output, before.grad_output)


def test_an_async_function_is_refused_and_never_called(tmp_path, capfd):
    (tmp_path / "mine.py").write_text("async def f(x, w, b, g): return x, w, b")
    target = function_target(f"{tmp_path / 'mine.py'}::f")
    assert refusal(target) == "mine.py::f is an async function, and a coroutine is no gradient; name a plain one"
    assert capfd.readouterr().err == ""


def test_no_module_is_offered_for_a_function(written):
    with pytest.raises(ConvGradError, match=r"mine\.py has no nq; it has f$"):
        written("pass", name="nq")
    target = written("pass", head="globals()\nimport numpy as nump\nnumb = abs", name="nump_")
    assert refusal(target) == "mine.py::nump_ can't be found: mine.py has no nump_; did you mean numb?"


EXPECTED = "(grad_input, grad_weight, grad_bias), fewer of them or None for one, or a mapping with these names"
SAID = {
    "nothing": ("pass", f"returned None; expected {EXPECTED}"),
    "one array": ("return x", f"returned one array; expected {EXPECTED}"),
    "generator": ("yield x", f"returned a generator; expected {EXPECTED}"),
    "coroutine": ("async def g(): pass\nreturn g()", f"returned a coroutine; expected {EXPECTED}"),
    "text": ("return 'gradients'", f"returned a str; expected {EXPECTED}"),
    "class": ("return np.ndarray", f"returned a type; expected {EXPECTED}"),
    "too many": ("return x, w, b, g", f"returned 4 values; expected {EXPECTED}"),
    "none at all": ("return ()", f"returned 0 values; expected {EXPECTED}"),
    "unknown name": (
        "return {'grad_inputs': x}",
        "returned a mapping with the name 'grad_inputs'; "
        "its names can be grad_input, grad_weight, grad_bias, output",
    ),
    "list": ("return x, w.tolist()", "returned grad_weight as a list; expected an array of numbers"),
    "objects": (
        "return x.astype(object), w",
        "returned grad_input with dtype object; expected float16, bfloat16, float32, float64 or integers",
    ),
    "complex": (
        "return x + 0j, w",
        "returned grad_input with dtype complex128; expected float16, bfloat16, float32, float64 or integers",
    ),
    "bool": (
        "return x > 0, w",
        "returned grad_input with dtype bool; expected float16, bfloat16, float32, float64 or integers",
    ),
    "masked": (
        "return np.ma.masked_greater(x, 0), w",
        "returned grad_input with masked entries, which have no numbers; expected an array without a mask",
    ),
    "raises": ("\nraise ValueError('first\\nsecond')", "raised ValueError: first (mine.py:5)"),
    "raises inside": (
        "import json\njson.loads('x')",
        "raised JSONDecodeError: Expecting value: line 1 column 1 (char 0) (mine.py:5)",
    ),
    "raises escapes": (r"raise ValueError('\x1b[31m\u202e')", r"raised ValueError: \x1b[31m\u202e (mine.py:4)"),
    "raises at length": ("raise ValueError('a' * 10**7)", f"raised ValueError: {'a' * 500}... (mine.py:4)"),
    "bare": ("raise KeyboardInterrupt", "raised KeyboardInterrupt (mine.py:4)"),
    "speechless": (
        "class E(Exception):\n    def __str__(self): raise E\nraise E",
        "raised E (mine.py:6)",
    ),
    "exit": ("import sys; sys.exit(0)", "called sys.exit(0) (mine.py:4)"),
    "deep": ("return f(x, w, b, g)", "raised RecursionError: maximum recursion depth exceeded (mine.py:4)"),
    "hard exit": ("import os; os._exit(0)", "ended its process with status 0 before it answered"),
    "kill": (
        "import os; os.kill(os.getpid(), 9)",
        "was ended by SIGKILL (the system does that where memory runs out) before it answered",
    ),
    "segfault": (
        "import ctypes; ctypes.string_at(0)",
        "was ended by SIGSEGV (a segmentation fault) before it answered",
    ),
    "abort": ("import os; os.abort()", "was ended by SIGABRT before it answered"),
    "own channel": ("import os; os.closerange(3, 100)\nreturn x, w", None),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_what_is_said_where_there_is_no_answer(written, case):
    body, message = SAID[case]
    target = written(body)
    said = refusal(target)
    if message is None:
        assert re.search(r"before it answered$", said)
    else:
        assert said == f"mine.py::f {message}"


def test_a_forged_answer_is_none(written):
    """Whatever is written into the channel is checked against what was asked for, before it is allocated."""
    forge = (
        "import json, os, struct, stat\n"
        "fds = [fd for fd in range(3, 50) if os.path.exists(f'/proc/self/fd/{fd}') and "
        "stat.S_ISSOCK(os.fstat(fd).st_mode)]\n"
        "text = json.dumps(HEADER).encode()\n"
        "os.write(fds[0], struct.pack('<Q', LENGTH or len(text)) + text)\n"
    )
    headers = {
        "{'arrays': [['output', 'float64', [2**40]]]}": "an array that was not asked for",
        "{'arrays': [['output', 'object', [1, 1, 2, 2]]]}": "an array that was not asked for",
        "{'arrays': 5}": "a damaged header (TypeError)",
        "[1]": "a damaged header (TypeError)",
    }
    for header, why in headers.items():
        target = written(forge.replace("HEADER", header).replace("LENGTH", "0"))
        assert refusal(target) == f"mine.py::f wrote into convgrad's own channel: {why}"
    target = written(forge.replace("HEADER", "{}").replace("LENGTH", "2**50"))
    assert refusal(target) == f"mine.py::f wrote into convgrad's own channel: a header of {2**50} bytes"


def test_numbers_of_other_kinds_come_back(written):
    head = (
        "class Keeps:\n    def __init__(self, a): self.a = a\n"
        "class Has(Keeps):\n    def __array__(self, dtype=None, copy=None): return self.a\n"
        "class Lends(Keeps):\n    def __dlpack__(self, **k): return self.a.__dlpack__(**k)\n"
        "    def __dlpack_device__(self): return self.a.__dlpack_device__()\n"
    )
    target = written(
        "return Has(x.astype(np.int8)), Lends(w[..., ::-1].copy()), np.asfortranarray(b, '>f4')", head=head
    )
    operands = integer_operands(SMALL)
    found = target.run(SMALL, operands).gradients
    assert torch.equal(found.input, operands.input)
    assert torch.equal(found.weight, operands.weight.flip(-1))
    assert torch.equal(found.bias, operands.bias.float())


def test_without_a_bias_none_is_given_and_none_is_taken(written):
    spec = make_spec(input_size=3, kernel_size=2)
    target = written("assert b is None\nreturn x, None, np.zeros(1)")
    assert set(target.run(spec, integer_operands(spec)).gradients.named()) == {"input"}


def test_after_a_crash_the_next_call_starts_afresh(written):
    target = written("import os\nif x.shape[-1] == 3: os._exit(1)\nreturn x, w, b")
    operands = integer_operands(PLAIN)
    assert torch.equal(target.run(PLAIN, operands).gradients.input, operands.input)
    first = target._worker.pid
    assert refusal(target).endswith("f ended its process with status 1 before it answered")
    assert target._worker.pid is None
    assert is_gone(first)
    assert torch.equal(target.run(PLAIN, operands).gradients.input, operands.input)


def test_an_exception_ends_nothing(written):
    target = written("if x.shape[-1] == 3: raise ValueError\nreturn x, w, b")
    operands = integer_operands(PLAIN)
    target.run(PLAIN, operands)
    first = target._worker.pid
    assert refusal(target) == "mine.py::f raised ValueError (mine.py:4)"
    target.run(PLAIN, operands)
    assert target._worker.pid == first


def test_a_call_that_hangs_is_ended_with_all_that_it_started(written, tmp_path):
    body = (
        "import subprocess, os\n"
        f"child = subprocess.Popen(['sleep', '100'])\nopen({str(tmp_path / 'pids')!r}, 'w').write(f'{{child.pid}}')\n"
        "while True: pass"
    )
    target = written(body, timeout=1.5)
    start = time.monotonic()
    assert refusal(target) == "mine.py::f gave no answer in 1.5 s and was ended; give it longer with --timeout"
    assert time.monotonic() - start < 5
    wait_for(lambda: is_gone(int((tmp_path / "pids").read_text())))


def test_a_fork_that_outlives_the_function_does_not_keep_us_waiting(written):
    target = written("import os, time\nif os.fork() == 0: time.sleep(100)\nos._exit(3)")
    start = time.monotonic()
    assert refusal(target) == "mine.py::f ended its process with status 3 before it answered"
    assert time.monotonic() - start < 5


def test_a_fork_that_returns_as_well_gives_no_second_answer(written):
    target = written("import os\nos.fork()\nf.calls = getattr(f, 'calls', 0) + 1\nreturn x * f.calls, w, None")
    operands = integer_operands(SMALL)
    for number in (1, 2, 3):
        assert torch.equal(target.run(SMALL, operands).gradients.input, operands.input * number)


def test_a_hanging_import_counts_too(written):
    target = written("pass", head="while True: pass", timeout=1)
    assert "gave no answer in 1 s" in refusal(target)
    # More than a pipe holds, to a process that never reads it.
    large = make_spec(input_size=500, kernel_size=2)
    target = written("import time; time.sleep(100)", timeout=1)
    assert "gave no answer in 1 s" in refusal(target, large)


ABOVE = {
    "import numpie": "can't be loaded: it raised ModuleNotFoundError: No module named 'numpie' (mine.py:2)",
    "raise SystemExit": "can't be loaded: it called sys.exit(None) (mine.py:2)",
    "import sys; sys.exit(0)": "can't be loaded: it called sys.exit(0) (mine.py:2)",
    "import os; os._exit(0)": "ended its process with status 0 before it answered",
    "exec('f = 5')\ndel f": "can't be loaded: it raised NameError: name 'f' is not defined (mine.py:5)",
}  # fmt: skip


@pytest.mark.parametrize("head", [*ABOVE][:4])
def test_what_is_said_of_a_file_that_cannot_be_imported(written, head):
    target = written("pass", head=head)
    assert refusal(target) == f"mine.py::f {ABOVE[head]}"
    with pytest.raises(TargetError):
        _ = target.allows


def test_names_that_are_found_when_the_file_runs(written):
    target = written(
        "pass", head="import os\nglobals()['h' + 'idden'] = lambda x, w, b, g: (x, w, b)\nfive = 5", name="hidden"
    )
    assert target.run(SMALL, integer_operands(SMALL)).gradients.input is not None
    assert refusal(written("pass", head="globals()", name="g")) == "mine.py::g can't be found: mine.py has no g"
    assert refusal(written("pass", head="globals()\nfive = 5", name="fiv")) == (
        "mine.py::fiv can't be found: mine.py has no fiv; did you mean five?"
    )
    assert refusal(written("pass", head="five = 5", name="five")).startswith(
        "mine.py::five is an int, not a function; expected function(x, w, b, g"
    )
    target = written("pass", head="class A:\n    @staticmethod\n    def f(x, w, b, g): return x, w, b", name="A.f")
    assert target.run(SMALL, integer_operands(SMALL)).gradients.input is not None


def test_what_it_prints_goes_to_standard_error_and_it_has_no_input(written, capfd):
    head = "print('while imported')\nif __name__ == '__main__': print('main')\nimport sys"
    body = "print('called'); import os; os.write(1, b'by C\\n'); print(repr(sys.stdin.read()))\nreturn x, w, b"
    target = written(body, head=head)
    for _ in range(3):  # what it prints when it is called again is not shown
        target.run(SMALL, integer_operands(SMALL))
    out, err = capfd.readouterr()
    assert out == ""
    assert err.split("\n") == ["while imported", "called", "by C", "''", ""]


def test_imports_come_from_its_folder_and_the_current_one(written, tmp_path, monkeypatch):
    (tmp_path / "beside.py").write_text("one = 1")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "there.py").write_text("def g(x, w, b, g): return x, w, b")
    # Were the current folder first while the process starts, this would be Python's own json.
    (tmp_path / "elsewhere" / "json.py").write_text("raise ValueError")
    monkeypatch.chdir(tmp_path / "elsewhere")
    target = written("return x, w, b", head="import beside, there; assert beside.one == 1")
    assert target.run(SMALL, integer_operands(SMALL)).gradients.input is not None
    target = function_target("there:g")
    assert target.run(SMALL, integer_operands(SMALL)).gradients.input is not None
    assert re.fullmatch(r"there:g, sha256 [0-9a-f]{64}, runs in a process of its own", target.facts[0])
    target.close()
    target = function_target("nowhere:g")
    with pytest.raises(
        TargetError, match=r"^nowhere:g can't be loaded: it raised ModuleNotFoundError: No module named"
    ):
        target.run(SMALL, integer_operands(SMALL))


def test_state_of_numpy_stays_there(written):
    import numpy

    target = written(
        "np.seterr(all='raise'); np.random.seed(0); np.zeros = None; import os; os.chdir('/')\nreturn x, w, b"
    )
    before, here = numpy.geterr(), Path.cwd()
    for _ in range(2):
        target.run(SMALL, integer_operands(SMALL))
    assert (numpy.geterr(), Path.cwd()) == (before, here)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux limits memory so")
@pytest.mark.parametrize("body", ["np.ones(2**37, np.int8)", "a = [np.empty(2**28) for _ in range(2**12)]"])
def test_a_memory_hog_is_stopped(written, body):
    said = refusal(written(body))
    assert re.fullmatch(
        r"mine\.py::f ran out of memory \(mine\.py:4\): it may take [0-9.]+ GiB, half of what is available", said
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_it_ends_when_its_parent_is_killed(tmp_path):
    """Even in C code that holds the interpreter's lock, and with what it started."""
    lines = [
        "import ctypes, os, subprocess",
        "def f(x, w, b, g):",
        "    other = subprocess.Popen(['sleep', '100'])",
        "    with open('pids', 'w') as file: file.write(f'{os.getpid()} {other.pid}')",
        "    os.rename('pids', 'done')",
        "    ctypes.PyDLL(None).sleep(100)",
    ]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    parent = subprocess.Popen(
        [sys.executable, "-c", "from cases import *; from convgrad_cli.gradients.foreign import function_target\n"
         "spec = make_spec(input_size=3)\nfunction_target('mine.py::f').run(spec, integer_operands(spec))"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(TARGETS.parent.parent)},
    )  # fmt: skip
    wait_for((tmp_path / "done").exists)
    pids = [int(pid) for pid in (tmp_path / "done").read_text().split()]
    parent.kill()
    parent.wait()
    for pid in pids:
        wait_for(lambda pid=pid: is_gone(pid))


def test_a_target_that_nobody_closed_is_ended():
    target = function_target(LOOPS + "backward")
    target.run(SMALL, integer_operands(SMALL))
    pid = target._worker.pid
    del target
    gc.collect()
    assert is_gone(pid)


def test_sigpipe_does_not_end_us(written):
    """The command line lets SIGPIPE end the process; writing to a target that is gone must not."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        target = written("return x, w, b")
        target.run(SMALL, integer_operands(SMALL))
        os.kill(target._worker.pid, signal.SIGKILL)
        wait_for(lambda: is_gone(target._worker.pid))
        assert "was ended by SIGKILL" in refusal(target)
    finally:
        signal.signal(signal.SIGPIPE, before)


def test_a_file_is_run_as_python_runs_it(written):
    """With its own __future__ and not with convgrad's."""
    target = written("raise ValueError(f.__annotations__)", signature="x: 1 + 1, w, b, g")
    assert refusal(target) == "mine.py::f raised ValueError: {'x': 2} (mine.py:4)"


def test_the_process_imports_no_torch(written):
    target = written("import sys; raise ValueError('torch' in sys.modules, 'convgrad_cli' in sys.modules)")
    assert "(False, True)" in refusal(target)


class TestCs231n:
    def test_both_functions_are_judged(self):
        spec = make_spec(input_size=(5, 4), kernel_size=3, stride=2, padding=1, in_channels=2, bias=True, batch_size=2)
        agrees(str(TARGETS / "loops.py"), spec, ("output", "weight", "input", "bias"), kind="cs231n")
        bare = replace(spec, bias=False)
        agrees(str(TARGETS / "loops.py"), bare, ("output", "weight", "input"), kind="cs231n")

    @pytest.mark.parametrize(
        ("layer", "said"),
        [
            ({"dilation": 2, "input_size": 6}, "dilation (2, 2)"),
            ({"groups": 2}, "groups 2"),
            ({"dims": 3}, "3 spatial axes"),
            ({"transposed": True}, "transposed"),
            ({"stride": (1, 2)}, "stride (1, 2)"),
            ({"padding": (1, 2)}, "padding ((1, 1), (2, 2))"),
            ({"padding": -1, "input_size": 9}, "padding ((-1, -1), (-1, -1))"),
            ({"padding": 1, "padding_mode": "reflect"}, "padding_mode reflect"),
            ({"batch_size": None}, "no batch axis"),
        ],
    )
    def test_layers_it_has_no_words_for(self, layer, said):
        target = function_target(str(TARGETS / "loops.py"), kind="cs231n")
        message = refusal(target, make_spec(**{"input_size": 4, **layer}))
        assert f"with one stride and one padding, and this layer has {said}; give such a layer" in message
        assert target._worker.pid is None

    def test_the_file_alone_is_named(self, tmp_path):
        with pytest.raises(ConvGradError, match=r"leave out ::backward$"):
            function_target(LOOPS + "backward", kind="cs231n")
        (tmp_path / "other.py").write_text("def conv_forward_naive(x, w, b, conv_param): return 5")
        with pytest.raises(
            ConvGradError, match=r"other\.py has no conv_backward_naive; did you mean conv_forward_naive"
        ):
            function_target(str(tmp_path / "other.py"), kind="cs231n")
        with (tmp_path / "other.py").open("a") as file:
            file.write("\ndef conv_backward_naive(dout, cache): pass")
        target = function_target(str(tmp_path / "other.py"), kind="cs231n")
        said = "other.py returned an int from conv_forward_naive; expected (out, cache)"
        with pytest.raises(TargetError, match=re.escape(said)):
            target.run(SMALL, integer_operands(SMALL))


FORWARD = f"{TARGETS / 'differentiable.py'}::"


class TestForward:
    def test_a_function(self):
        target, operands = function_target(FORWARD + "forward", kind="forward"), integer_operands(PLAIN)
        assert target.allows == {"layouts", "wanted", "accumulate", *SETTINGS}
        names = ("output", "weight", "input", "bias")
        assert_right(target.run(PLAIN, operands), PLAIN, operands, names)
        for layout in LAYOUTS[1:4]:
            call = Call(layouts=dict.fromkeys(("input", "weight", "grad_output"), layout))
            assert_right(target.run(PLAIN, operands, call), PLAIN, operands, names)
        call = Call(wanted=("weight",))
        assert_right(target.run(PLAIN, operands, call), PLAIN, operands, ("output", "weight"))
        found = target.run(PLAIN, operands, Call(accumulate=True, wanted=("input", "bias"))).gradients
        expected = by_hand(PLAIN, operands)
        assert torch.equal(found.input, expected.input + 1)
        assert torch.equal(found.bias, expected.bias + 1)
        assert found.weight is None
        narrow = operands.map(torch.Tensor.bfloat16)
        found = target.run(PLAIN, narrow).gradients
        assert found.weight.dtype == torch.bfloat16
        assert torch.equal(found.weight, by_hand(PLAIN, operands).weight.bfloat16())
        target.close()

    @pytest.mark.parametrize("name", ["Conv", "Layer", "own_weight"])
    def test_other_things_that_torch_differentiates(self, name):
        agrees(FORWARD + name, PLAIN, ("output", "weight", "input", "bias"), kind="forward")

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            (
                "NeedsArguments",
                "is a module that can't be made without arguments (TypeError: NeedsArguments.__init__() missing 1 "
                "required positional argument: 'channels'); name an instance",
            ),
            ("shape", "returned an output of shape 1x1x3x3; this layer's is 1x1x2x2"),
            ("pair", "returned a tuple; expected the output, one tensor"),
        ],
    )
    def test_what_is_said_where_there_is_none(self, name, said):
        target = function_target(FORWARD + name, kind="forward")
        with pytest.raises(TargetError, match=re.escape(f"differentiable.py::{name} {said}")):
            target.run(SMALL, integer_operands(SMALL))
        target.close()


class TestTensors:
    def test_a_backward(self):
        target, operands = function_target(FORWARD + "backward", framework="torch"), integer_operands(PLAIN)
        assert target.allows == {"layouts", "wanted", "poison", *SETTINGS}
        assert_right(target.run(PLAIN, operands), PLAIN, operands)
        assert_right(target.run(PLAIN, operands, Call(wanted=("input",))), PLAIN, operands, ("input",))
        target.close()

    def test_strides_are_those_asked_for_in_bfloat16_too(self):
        target = function_target(FORWARD + "strides", framework="torch")
        operands = integer_operands(PLAIN).map(torch.Tensor.bfloat16)
        for layout in LAYOUTS:
            laid = [lay_out(t, layout).stride() for t in (operands.input, operands.weight, operands.grad_output)]
            said = f"torch.bfloat16 {' '.join(map(str, laid))}"
            with pytest.raises(TargetError, match=re.escape(said)):
                target.run(PLAIN, operands, Call(layouts=dict.fromkeys(("input", "weight", "grad_output"), layout)))
        target.close()
