"""`convgrad check` as people and CI run it: targets, verdicts, exit statuses, formats, and what foreign code can do."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from shell import call, run, terminal

import convgrad_cli
from convgrad_cli.errors import ConvGradError
from convgrad_cli.gradients.target import TargetError
from convgrad_cli.render.json import schema
from convgrad_cli.testing import assert_gradients

LAYER = ("--size", "7x6", "--kernel", "3x2", "--stride", "2", "--padding", "1", "--bias", "--in-channels", "2")
MINE = """
import os, sys, time
import numpy as np

def backward(x, w, b, g, *, stride=(1, 1), padding=(0, 0)):
    (sh, sw), (ph, pw) = stride, padding
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            here = np.s_[:, :, i * sh : i * sh + w.shape[2], j * sw : j * sw + w.shape[3]]
            dw += np.einsum("no,nchw->ochw", g[:, :, i, j], xp[here])
            dxp[here] += np.einsum("no,ochw->nchw", g[:, :, i, j], w)
    dx = dxp[:, :, ph : dxp.shape[2] - ph, pw : dxp.shape[3] - pw]
    return dx, dw, g.sum((0, 2, 3))

def flipped(x, w, b, g, **k):
    dx, dw, db = backward(x, w, b, g, **{n: k[n] for n in ("stride", "padding")})
    return dx, dw[..., ::-1], db

def in_place(x, w, b, g, *, stride, padding):
    found = backward(x, w, b, g, stride=stride, padding=padding)
    g *= 2
    return found

def wrong_shape(x, w, b, g, *, stride, padding):
    dx, dw, db = backward(x, w, b, g, stride=stride, padding=padding)
    return dx, dw, db.sum(keepdims=True)

def contiguous_only(x, w, b, g, *, stride, padding):
    if not x.flags.c_contiguous:
        raise ValueError("x is not contiguous")
    return backward(x, w, b, g, stride=stride, padding=padding)

def leaves(x, w, b, g): sys.exit(0)
def leaves_at_once(x, w, b, g): os._exit(0)
def hangs(x, w, b, g): time.sleep(1000)
def prints(x, w, b, g, *, stride, padding):
    print("PASS")
    return backward(x, w, b, g, stride=stride, padding=padding)
def generates(x, w, b, g): yield g
def zeros(x, w, b, g): return x * 0, w * 0, g.sum((0, 2, 3)) * 0
def unstrided(x, w, b, g, stride, padding):
    if max(stride) > 1:
        raise NotImplementedError("stride")
    return backward(x, w, b, g, stride=stride, padding=padding)
def scalars(x, w, b, g, stride, padding):
    return backward(x, w, b, g, stride=(stride, stride), padding=(padding, padding))
"""
FORWARD = """
import torch
def forward(x, w, b, *, stride, padding, dilation, groups):
    return torch.nn.functional.conv2d(x, w, b, stride, padding, dilation, groups)
module = torch.nn.Conv2d(2, 3, (3, 2))
other = torch.nn.Conv2d(4, 6, (3, 1), groups=2)
"""
LAYERS = """
import numpy as np
def conv_forward_naive(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    kh, kw = w.shape[2:]
    out = np.zeros((len(x), len(w), (xp.shape[2] - kh) // s + 1, (xp.shape[3] - kw) // s + 1), x.dtype)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = np.einsum("nchw,ochw->no", xp[:, :, i*s:i*s+kh, j*s:j*s+kw], w) + b
    return out, (x, w, b, conv_param)
def conv_backward_naive(dout, cache):
    from mine import backward
    x, w, b, c = cache
    return backward(x, w, b, dout, stride=(c["stride"],) * 2, padding=(c["pad"],) * 2)
"""
PROGRAM = """
import sys, numpy as np
from mine import backward
d = np.load(sys.argv[1])
dx, dw, db = backward(d["x"], d["w"], None, d["g"], stride=tuple(d["stride"]), padding=tuple(d["padding"][:, 0]))
np.savez(sys.argv[2], grad_input=dx, grad_weight=dw)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("code")
    for name, text in {"mine": MINE, "forward": FORWARD, "layers": LAYERS, "program": PROGRAM}.items():
        (found / f"{name}.py").write_text(text)
    return found


def check(folder, *arguments, **more):
    return run("check", *arguments, cwd=folder, **more)


def test_a_right_function_passes(folder):
    done = check(folder, "mine.py::backward", *LAYER)
    assert done.status == 0, done.err
    assert "PASS  exact on every probe, and every element is proved within its rounding bound" in done.out
    assert re.search(r"mine\.py::backward, sha256 [0-9a-f]{64}", done.err)


def test_a_wrong_one_fails_and_says_where_and_by_how_much(folder):
    done = check(folder, "mine.py::flipped", *LAYER)
    assert done.status == 1
    assert re.search(r"^weight.grad +FAIL", done.out, re.MULTILINE)
    assert re.search(r"^x.grad +PASS", done.out, re.MULTILINE)
    assert "FAIL  grad_weight: the formula is wrong" in done.out
    assert re.search(r"\(x\[:,.*\] \* g\[:,.*\]\)\.sum\(\)", done.out)
    assert "bound" in done.out


def test_torch_alone_is_a_target_and_its_flags_are_set(folder):
    done = check(folder, *LAYER, "--conditions", "all", "--channels-last", "--deterministic", "--no-mkldnn", "-q")
    assert (done.status, done.err) == (0, "")
    assert "channels_last on, deterministic on, mkldnn off" in done.out


@pytest.mark.parametrize(
    ("arguments", "judged"),
    [
        (("--forward", "forward.py::forward", *LAYER), 4),
        (("--convention", "cs231n", "layers.py", "--size", "7", "--kernel", "3", "--stride", "2", "--bias"), 4),
        (("mine.py::backward", "--layout", "NCHW", *LAYER), 3),
        (("mine:backward", *LAYER), 3),
    ],
    ids=["forward", "cs231n", "layout", "module"],
)
def test_every_kind_of_code_is_judged(folder, arguments, judged):
    done = check(folder, *arguments, "-f", "json")
    found = done.json()
    assert found["verdict"] == "PASS"
    assert len(found["check"]["verdicts"]) == judged


def test_a_command_is_judged(folder):
    done = check(folder, "--exec", f"{sys.executable} program.py {{in}} {{out}}", *LAYER[:8], "-f", "plain")
    assert (done.status, done.out) == (0, "grad_weight\tPASS\ngrad_input\tPASS\n")


def test_saved_gradients_are_judged_and_not_probed(folder):
    layer = torch.nn.Conv2d(1, 1, 2)
    x = torch.randn(1, 1, 4, 4)
    layer(x).sum().backward()
    np.savez(folder / "saved.npz", x=x.numpy(), w=layer.weight.detach().numpy(), b=layer.bias.detach().numpy())
    np.save(folder / "right.npy", layer.weight.grad.numpy())
    np.save(folder / "wrong.npy", layer.weight.grad.numpy() * 1.001)
    given = ("--x", "saved.npz::x", "--w", "saved.npz::w", "--b", "saved.npz::b", "--loss", "sum")
    right = check(folder, *given, "--grad-weight", "right.npy")
    assert right.status == 0
    assert "saved numbers cannot be probed" in right.out
    assert check(folder, *given, "--grad-weight", "wrong.npy", "-f", "plain").out == "grad_weight\tFAIL\n"


@pytest.mark.parametrize(
    ("function", "status", "said"),
    [
        ("leaves", 2, "called sys.exit(0)"),
        ("leaves_at_once", 2, "ended its process with status 0 before it answered"),
        ("hangs", 2, "gave no answer in 3 s and was ended"),
        ("generates", 2, "returned a generator"),
        ("wrong_shape", 1, "its shape is 1, not 3"),
        ("in_place", 1, "writes to grad_output"),
        ("contiguous_only", 2, "raised ValueError: x is not contiguous"),
        ("zeros", 1, "the formula is wrong"),
        ("prints", 0, "PASS"),
    ],
)
def test_nothing_that_code_does_looks_like_a_pass(folder, function, status, said):
    layer = (*LAYER, "--out-channels", "3")
    done = check(folder, f"mine.py::{function}", *layer, "--timeout", "3" if function == "hangs" else "60")
    assert done.status == status, done.out + done.err
    assert said in done.out + done.err
    if status:
        assert "PASS  exact" not in done.out
    assert "Traceback" not in done.err


def test_what_code_prints_is_no_result(folder):
    done = check(folder, "mine.py::prints", *LAYER, "-f", "json")
    assert done.json()["verdict"] == "PASS"
    assert "PASS\n" in done.err


def test_the_default_layer_has_no_two_equal_sizes_and_is_said(folder):
    done = check(folder, "mine.py::backward")
    assert done.status == 0
    assert "Conv2d(2, 3, kernel_size=(3, 2), bias=False)" in done.out
    assert "note: no layer was given" in done.err


@pytest.mark.parametrize(
    ("arguments", "classes"),
    [
        (("--convention", "cs231n", "layers.py"), 12),
        (("mine.py::scalars", "--scalars"), 12),
        (("--forward", "forward.py::module"), 4),
        (("mine.py::unstrided",), 9),
    ],
)
def test_classes_of_layers_that_code_is_not_meant_for_are_not_held_against_it(folder, arguments, classes):
    done = check(folder, *arguments)
    assert done.status == 0, done.out
    assert f"right on {classes} of {classes} classes" in done.out
    assert f"{classes} classes of layers were tried" in done.err


def test_code_without_an_answer_for_the_layer_itself_has_none(folder):
    done = check(folder, "mine.py::unstrided", "--size", "7", "--kernel", "3", "--stride", "2")
    assert (done.status, done.err) == (
        2,
        "convgrad: mine.py::unstrided raised NotImplementedError: stride (mine.py:45)\n",
    )
    other = check(folder, "--forward", "forward.py::other")
    assert other.err.endswith(
        "has a weight of 6x2x3x1, and this layer's is 3x2x3x2; "
        "give --layer 'Conv2d(4, 6, kernel_size=(3, 1), stride=(1, 1), groups=2)'\n"
    )
    layer = "Conv2d(4, 6, kernel_size=(3, 1), stride=(1, 1), groups=2)"
    assert check(folder, "--forward", "forward.py::other", "--layer", layer).status == 0


@pytest.mark.parametrize("kind", ["--bias", "--no-bias", "--dims 1", "--transposed"])
def test_what_every_layer_can_have_leaves_the_classes(folder, kind):
    done = check(folder, *kind.split(), "-f", "json").json()
    assert len(done["check"]["classes"]) > 20
    assert ("bias=False" in done["layer"]["text"]) == (kind != "--bias")


def test_json_fits_the_schema(folder):
    for function in ("backward", "flipped", "wrong_shape"):
        document = json.loads(check(folder, f"mine.py::{function}", *LAYER, "-f", "json", "--out-channels", "3").out)
        Draft202012Validator(schema()).validate(document)
        assert document["exit_code"] == (document["verdict"] == "FAIL")


def test_junit_and_github_say_what_fails(folder):
    junit = check(folder, "mine.py::flipped", *LAYER, "-f", "junit")
    suite = ElementTree.fromstring(junit.out)
    assert junit.status == 1
    assert suite.find(".//failure") is not None
    github = check(folder, "mine.py::flipped", *LAYER, "-f", "github")
    assert github.out.startswith("::error ")
    assert "grad_weight" in github.out


def test_a_result_is_written_to_a_file(folder):
    done = check(folder, "mine.py::backward", *LAYER, "-o", "report.xml")
    assert (done.status, done.out) == (0, "")
    assert ElementTree.parse(folder / "report.xml").getroot().find(".//testcase") is not None


def test_at_a_terminal_it_fits(folder):
    for columns in (40, 80):
        screen = terminal("check", f"{folder}/mine.py::flipped", *LAYER, "-q", columns=columns)
        assert screen.status == 1
        assert max(map(len, screen.lines)) <= columns


def test_float16_of_the_cpu_is_found_out():
    layer = ("--in-channels", "32", "--out-channels", "32", "--size", "9", "--kernel", "3")
    done = call("check", *layer, "--dtype", "float16", "--no-mkldnn")  # oneDNN may keep its sums in float32
    assert done.status == 1
    assert "sums" in done.out
    small = call("check", "--dtype", "float16", "--arithmetic", "short")
    assert small.status == 0, small.out


def test_not_finite_is_refused():
    done = call("check", "--x", "nan", "--kernel", "1", "--size", "2")
    assert done.status == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nosuch.py::f",), "nosuch.py does not exist; check the name"),
        (("mine.py::bakward",), "mine.py has no bakward; did you mean backward?"),
        (("mine.py",), "mine.py names no function; write mine.py::backward"),
        (("mine.py::backward", "--forward", "forward.py::forward"), "only one thing can be checked at a time"),
        (("mine.py::backward", "--no-mkldnn"), "--no-mkldnn is a flag for torch's own gradients"),
        (("mine.py::backward", "--as", "jax"), "--as 'jax' is not one of numpy, torch"),
        (("mine.py::backward", "--timeout", "0"), "--timeout must be more than 0 seconds"),
        (("mine.py::backward", "--layout", "NHWX"), "--layout 'NHWX' does not fit"),
        (("mine.py::backward", "--convention", "cs232n"), "--convention 'cs232n' is not known; there is cs231n"),
        (("--convention", "cs231n"), "--convention cs231n needs a TARGET"),
        (("--exec", "program"), "--exec 'program' has no {in} and no {out}"),
        (("--scalars",), "--scalars says how a function is called, and none is named"),
        (("--as", "torch"), "--as says how a function is called, and none is named"),
        (("--conditions", "repeats"), "did you mean repeat?"),
        (("--arithmetic", "exakt"), "did you mean exact?"),
        (("--arithmetic", "short"), "--arithmetic short describes results of float16 or bfloat16; these are float32"),
        (("--kernel", "9", "--size", "3"), "kernel 9x9 does not fit input 3x3"),
    ],
)
def test_a_wrong_request_is_refused_without_torch(folder, arguments, said):
    code = "import sys; sys.modules['torch'] = None"
    done = check(folder, *arguments, code=code)
    assert (done.status, done.out) == (2, ""), done.err
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mine.py::backward", "--dtype", "bfloat16"), "NumPy has no bfloat16; add --as torch"),
        (("mine.py::backward", "--scalars", "--stride", "1x2"), "stride (1, 2) is no single number"),
        (("--grad-weight", "ones"), "--grad-weight takes saved numbers, no fill; name a file"),
        (("--grad-weight", "nosuch.npy"), "nosuch.npy does not exist"),
        (
            ("--grad-weight", "wrong.npy"),
            "--grad-weight is right or wrong for the x that it was computed with; give that as --x, and --g where the "
            "loss is not y.sum()",
        ),
        (
            ("--grad-input", "wrong.npy", "--x", "ones"),
            "--grad-input is right or wrong for the w that it was computed with; give that as --w, and --g where the "
            "loss is not y.sum()",
        ),
        (("--x", "1 nan; 2 3", "--kernel", "1"), "x has NaN or infinities (x[0,0,0,1]), which no bound can judge"),
    ],
)
def test_what_only_the_run_can_show_is_refused_too(folder, arguments, said):
    done = check(folder, *arguments)
    assert (done.status, done.out) == (2, ""), done.err
    assert said in done.err


class TestPython:
    def test_a_function_of_this_process(self):
        def right(x, w, b, g):
            x, w = (torch.from_numpy(t).requires_grad_() for t in (x, w))
            torch.nn.functional.conv2d(x, w).backward(torch.from_numpy(g))
            return {"grad_input": x.grad, "grad_weight": w.grad}

        report = convgrad_cli.check(right, in_channels=2, input_size=5)
        assert report.check.verdict == "PASS"
        assert report.exit_code == 0
        assert assert_gradients(right, "Conv2d(2, 3, 3, bias=False)", input_size=6).check.target.endswith("right")

    def test_what_it_raises_is_the_cause(self):
        def broken(x, w, b, g):
            raise ZeroDivisionError("here")

        with pytest.raises(TargetError, match="broken raised ZeroDivisionError: here") as caught:
            convgrad_cli.check(broken)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def test_assert_gradients_reads_well(self):
        def doubled(x, w, b, g):
            return None, torch.nn.grad.conv2d_weight(torch.from_numpy(x), w.shape, torch.from_numpy(g)) * 2

        with pytest.raises(AssertionError) as caught:
            assert_gradients(doubled, input_size=5, kernel_size=3)
        assert "FAIL  grad_weight: the formula is wrong: 54 of 54 elements differ" in str(caught.value)

    def test_a_module_and_its_saved_gradients(self):
        layer, x = torch.nn.Conv2d(2, 3, 3), torch.randn(1, 2, 6, 6)
        layer(x).sum().backward()
        report = convgrad_cli.check(layer=layer, input=x, loss="sum", grad_weight=layer.weight.grad)
        assert [(v.tensor, v.verdict) for v in report.check.verdicts] == [("grad_weight", "PASS")]

    def test_a_forward_of_this_process(self):
        def forward(x, w, b):
            return torch.nn.functional.conv2d(x, w, b)

        assert convgrad_cli.check(forward=forward, conditions="all").check.verdict == "PASS"

    def test_a_wrong_option_is_one_line(self):
        with pytest.raises(ConvGradError, match="--arithmetic 'exakt' is not one of"):
            convgrad_cli.check(arithmetic="exakt")
        with pytest.raises(TypeError, match="unexpected keyword 'kernel'"):
            convgrad_cli.check(kernel=3)


def test_help_names_every_verdict_option():
    done = call("check", "--help")
    assert done.status == 0
    for option in ("--forward", "--exec", "--grad-weight", "--arithmetic", "--conditions", "--timeout", "--tf32"):
        assert option in done.out


def test_an_answer_in_float64_is_as_right_as_one_in_float32():
    """Code that sums in double, or in a language that knows nothing else."""

    def wide(x, w, b, g, *, stride, padding):
        x, w, g = (torch.tensor(t, dtype=torch.float64) for t in (x, w, g))
        dx = torch.nn.grad.conv2d_input(x.shape, w, g, stride, padding)
        return dx.numpy(), torch.nn.grad.conv2d_weight(x, w.shape, g, stride, padding).numpy(), None

    report = convgrad_cli.check(wide, in_channels=2, out_channels=3, input_size=6, kernel_size=3, stride=2, padding=1)
    assert report.check.verdict == "PASS", str(report)


def test_a_function_of_this_process_that_exits_ends_nothing():
    def leave(x, w, b, g):
        raise SystemExit(0)

    with pytest.raises(ConvGradError, match="raised SystemExit"):
        convgrad_cli.check(leave, input_size=5)


def test_a_saved_gradient_without_g_is_that_of_the_sum(tmp_path):
    x = torch.randn(1, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    w = torch.ones(1, 1, 3, 3)
    grad = torch.nn.grad.conv2d_weight(x, w.shape, torch.ones(1, 1, 3, 3))
    np.savez(tmp_path / "saved.npz", x=x, w=w, grad=grad)
    saved = f"{tmp_path}/saved.npz::"
    done = call("check", "--x", f"{saved}x", "--w", f"{saved}w", "--grad-weight", f"{saved}grad")
    assert done.status == 0, done.out


def test_what_autograd_does_not_reach_has_no_gradient_and_fails(folder):
    (folder / "detached.py").write_text(
        "import torch\n"
        "def f(x, w, b): return torch.nn.functional.conv2d(x.detach(), w, b)\n"
        "def no_bias(x, w, b): return torch.nn.functional.conv2d(x, w, b.detach())\n"
    )
    done = check(folder, "--forward", "detached.py::f", "--conditions", "all", "--size", "5")
    assert done.status == 1
    assert "FAIL  grad_input: no gradient for x: the output does not depend on it for autograd" in done.out
    assert re.search(r"^weight.grad +PASS", done.out, re.MULTILINE)
    done = check(folder, "--forward", "detached.py::no_bias", "--bias", "--size", "5", "-f", "plain")
    assert done.out == "output\tPASS\ngrad_weight\tPASS\ngrad_input\tPASS\ngrad_bias\tFAIL\n"


def test_a_wrong_shape_is_said_without_numbers_that_are_none(folder):
    done = check(folder, "mine.py::wrong_shape", *LAYER, "--out-channels", "3")
    assert "its shape is 1, not 3" in done.out
    assert "nan" not in done.out


def test_zeros_that_show_nothing_have_no_bits_that_are_right(folder):
    np.save(folder / "zeros.npy", np.zeros((1, 1, 2, 2), np.float32))
    done = check(folder, "--x", "zeros", "--size", "3", "--grad-weight", "zeros.npy")
    assert done.status == 3
    assert "MISTRUSTED" in done.out
    assert "bits right" not in done.out


def test_a_device_that_is_not_there_is_refused_for_torch_code_as_for_torch(folder):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert "cuda" in check(folder, "mine.py::backward", "--as", "torch", "--device", "cuda").err
    refused = check(folder, "mine.py::backward", "--device", "cuda").err
    assert refused.endswith("other code gets arrays of the CPU\n")


def test_an_option_leaves_several_samples_and_channels(folder):
    """A mistake in the batch shows though only a stride was given; `inspect` keeps its layer of one channel."""
    (folder / "first.py").write_text(
        "from mine import backward\n"
        "def f(x, w, b, g, *, stride, padding):\n"
        "    return None, backward(x[:1], w, b, g[:1], stride=stride, padding=padding)[1]\n"
    )
    done = check(folder, "first.py::f", "--stride", "2")
    assert done.status == 1
    assert "x 2x2x6x5   w 3x2x3x2" in done.out
    assert "x 1x1x" in call("inspect", "--stride", "2").out


def test_the_smallest_layer_is_said_in_full(folder):
    """What `check` takes where nothing is said is not the smallest."""
    done = check(folder, "mine.py::flipped", "--stride", "2")
    line = next(line for line in done.out.splitlines() if line.startswith("smallest")).split("convgrad ")[1]
    again = run(*line.split(), "-q", cwd=folder)
    assert again.status == 1
    assert "x 1x1x" in again.out


def test_layers_of_cs231n_have_a_bias(folder):
    done = check(folder, "--convention", "cs231n", "layers.py", "--stride", "2", "-f", "plain")
    assert done.out.endswith("grad_bias\tPASS\n")
    bare = check(folder, "--convention", "cs231n", "layers.py", "--stride", "2", "--no-bias", "-f", "plain")
    assert "grad_bias" not in bare.out
    assert (done.status, bare.status) == (0, 0)


@pytest.mark.parametrize("given", [["bias.py::f"], ["--exec", f"{sys.executable} run.py {{in}} {{out}}"]])
def test_a_gradient_that_the_layer_does_not_have_is_not_judged_in_silence(folder, given):
    (folder / "bias.py").write_text(
        "import numpy as np\n"
        "def f(x, w, b, g):\n"
        "    return np.einsum('oc,nohw->nchw', w[:, :, 0, 0], g), None, g.sum((0, 2, 3))\n"
    )
    (folder / "run.py").write_text(
        "import sys, numpy as np, bias\n"
        "given = np.load(sys.argv[1])\n"
        "dx, _, db = bias.f(given['x'], given['w'], None, given['g'])\n"
        "np.savez(sys.argv[2], grad_input=dx, grad_bias=db)\n"
    )
    layer = ["--size", "2", "--kernel", "1", "--conditions", "none"]
    assert "grad_bias: the layer has no bias" in check(folder, *given, *layer).out
    done = check(folder, *given, *layer, "--bias")
    assert "the layer has no bias" not in done.out
    assert "bias.grad" in done.out


def test_help_says_the_defaults_of_check_and_not_those_of_inspect():
    said = {name: " ".join(call(name, "--help", "--width", "200").out.split()) for name in ("check", "inspect")}
    assert "Default: sum" in said["inspect"]
    assert "Default: sum" not in said["check"]
    assert "Default: randn; for saved" in said["check"]
    assert "Default: 2 for each group" in said["check"]
    assert "pair for each" in said["check"]


@pytest.mark.parametrize(("command", "option"), [("check", "--forward"), ("inspect", "--size"), ("explain", "--at")])
def test_an_option_without_its_value_points_at_the_help_of_its_command(command, option):
    done = call(command, option)
    assert done.status == 2
    assert done.err.endswith(f"requires an argument. Try convgrad {command} --help\n")
