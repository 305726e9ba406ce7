"""Planted mistakes are named, right code is not, and what is said of either can be checked by hand."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy
import pytest
import torch
from jsonschema import Draft202012Validator
from shell import call
from table import CORRECT, REPORTS
from table import PLANTED as WRONG

import convgrad_cli
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.render.json import schema
from convgrad_cli.testing import assert_gradients

PLANTED = Path(__file__).parents[1] / "planted"

# They need a layout, a request mask or an earlier call, or are faults of the arithmetic.
OTHERWISE = {one.name for one in WRONG if one.shows != "always"} | {"sums_in_bfloat16"}


def diagnosed(one, layer):
    spec = make_spec(**layer)
    return convgrad_cli.check(one.function, spec, framework=one.framework, conditions="all")


ALWAYS = [(number, one) for number, one in enumerate(WRONG) if one.name not in OTHERWISE]


@pytest.mark.parametrize(("number", "one"), ALWAYS, ids=[one.name for _, one in ALWAYS])
def test_every_planted_mistake_is_named(number, one):
    report = diagnosed(one, one.layers[number % len(one.layers)])
    found = report.diagnosis
    assert report.check.verdict == "FAIL"
    tensors = {"output": "output", "input": "grad_input", "weight": "grad_weight", "bias": "grad_bias"}
    wrong = {tensors[name] for name in one.wrong}
    assert {drawn.tensor for drawn in found.maps} == wrong
    named = {fault.tensor for fault in found.faults if fault.equals}
    assert named == wrong, str(report)


@pytest.mark.parametrize("one", [one for one in WRONG if one.name in OTHERWISE], ids=lambda one: one.name)
def test_what_shows_only_sometimes_is_told_by_its_class(one):
    found = diagnosed(one, one.layers[0]).diagnosis
    kinds = {kind for fault in found.faults for kind in fault.kinds}
    wanted = {"second call": {"F10", "F11"}, "weight alone": {"F16"}, "always": {"F14"}}.get(one.shows, {"F12"})
    assert kinds & wanted


@pytest.mark.parametrize("one", CORRECT, ids=lambda one: one.name)
def test_right_code_gets_no_diagnosis(one):
    """Right by FFT: the verdict says that it leaks, and no formula is named."""
    report = convgrad_cli.check(one.function, make_spec(**one.layers[0]), framework=one.framework)
    if one.exact:
        assert (report.check.verdict, report.diagnosis) == ("PASS", None)
    else:
        assert not any(fault.equals for fault in report.diagnosis.faults)


SAID = {  # of each public report, what is said of its tensors
    "pytorch#25101": "without the positions where a placement beyond the last would start, on the width only",
    "pytorch#68868": "with group k of x begun at k times the output channels of a group",
    "pytorch#50042": "with positions in the padded x compared with the size of x, so that the last are lost, on the "
    "height only",
    "NNlib#538": "with the samples before added to each: the buffer is not cleared between samples",
    "pytorch#63314": "with stride 1: the stride is ignored",
    "candle PR 2337": "with stride and dilation exchanged",
    "pytorch#13008": "with dilation 1: the dilation is ignored",
    "pytorch#68048": "operands are rounded: about 9 bits of them come back",
    "mean for sum": "divided by N*Ho*Wo = 50: a mean where a sum is meant",
    "iree-turbine PR 1223": "with stride and dilation exchanged",
    "mxnet#15464": "depends on which other gradients are asked for",
    "pytorch#64529": "is wrong with stride-0 g, channels_last g, sliced g and transposed g",
    "nntrainer#705": "with the kernel not rotated",
    "pytorch PR 51027": "with all sizes and settings in the order (width, height), and its memory read so",
}


@pytest.mark.parametrize("one", REPORTS, ids=lambda one: one.report)
def test_what_is_said_of_the_faults_of_public_reports(one):
    report = diagnosed(one, one.layers[0])
    assert report.check.verdict == "FAIL"
    said = {fault.tensor.removeprefix("grad_"): fault.words for fault in report.diagnosis.faults}
    assert said == dict.fromkeys(one.wrong, SAID[one.report])
    assert {kind for fault in report.diagnosis.faults for kind in fault.kinds} == set(one.classes)


BACKWARD = """
import numpy as np

def backward(x, w, b, g, *, stride, padding):
    (sh, sw), (ph, pw), (kh, kw) = stride, padding, w.shape[2:]
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    dx, dw = np.zeros_like(xp), np.zeros_like(w)
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            window = np.s_[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
            dw += np.einsum("nchw,no->ochw", xp[window], g[:, :, i, j])
            dx[window] += np.einsum("ochw,no->nchw", KERNEL, g[:, :, i, j])
    return dx[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]], dw, g.sum((0, 2, 3))
"""
LAYER = shlex.split("--in-channels 3 --out-channels 4 --batch 2 --size 7x6 --kernel 3x2 --stride 2 --padding 1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "right.py").write_text(BACKWARD.replace("KERNEL", "w"))
    (tmp_path / "mine.py").write_text(BACKWARD.replace("KERNEL", "w[:, :, ::-1, ::-1]"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_sums_are_expressions_that_evaluate_to_what_the_code_gives(folder):
    """Both expressions on numbers of our own: one gives the right element, the other that of the code."""
    namespace: dict = {}
    exec((folder / "mine.py").read_text(), namespace)
    spec = make_spec(in_channels=2, out_channels=3, input_size=(6, 5), kernel_size=(3, 2), batch_size=2)
    [one] = convgrad_cli.check(namespace["backward"], spec).diagnosis.recovered
    generator = torch.Generator().manual_seed(5)
    x, w, g = (
        torch.randint(1, 9, spec.shape_of(name), generator=generator).double() for name in ("input", "weight", "output")
    )
    dx, _, _ = namespace["backward"](*(t.numpy() for t in (x, w)), None, g.numpy(), stride=(1, 1), padding=(0, 0))
    letters = {"x": x, "w": w, "g": g}
    assert float(eval(one.yours, letters)) == dx[one.index]
    leaf = x.clone().requires_grad_()
    (torch.nn.functional.conv2d(leaf, w) * g).sum().backward()
    assert float(eval(one.right, letters)) == float(leaf.grad[one.index])
    assert one.right != one.yours


def test_the_command_line_names_the_mistake_and_a_smallest_layer_that_shows_it(folder):
    done = call("check", "mine.py::backward", *LAYER)
    assert done.status == 1
    assert "equals the reference with the kernel not rotated [F8]" in " ".join(done.out.split())
    assert "kernel > 1" in next(line for line in done.out.splitlines() if line.startswith("when"))
    line = next(line for line in done.out.splitlines() if line.startswith("smallest")).split(maxsplit=1)[1]
    again = call(*shlex.split(line)[1:])
    assert again.status == 1
    assert "with the kernel not rotated" in " ".join(again.out.split())
    assert line.endswith("--x ones --w ramp --g ones")  # a kernel of ones looks the same rotated
    numbers = again.out.partition("worst of")[2].splitlines()[1].split()
    assert [float(number) for number in numbers[1:3]] == [2, 1]  # what ones and a ramp make of it


def test_a_function_of_this_process_gets_a_call_that_shows_the_fault(folder):
    namespace: dict = {}
    exec((folder / "mine.py").read_text(), namespace)
    line = convgrad_cli.check(namespace["backward"], "Conv2d(2, 3, 3)", input_size=5).diagnosis.smallest
    assert line.startswith("convgrad_cli.check(backward, 'Conv2d(1, 1, ")
    again = eval(line, {**namespace, "convgrad_cli": convgrad_cli})
    assert again.check.verdict == "FAIL"
    assert again.diagnosis.faults[0].words == "with the kernel not rotated"


SAVED = ["--in-channels", "2", "--out-channels", "3", "--batch", "2", "--size", "6x5", "--kernel", "3x2", "--bias"]
SPEC = {"in_channels": 2, "out_channels": 3, "batch_size": 2, "input_size": (6, 5), "kernel_size": (3, 2)}


def saved(change, **operands):
    """Files with x, w, g and gradients in float32, the latter after `change`."""
    generator, spec = torch.Generator().manual_seed(7), make_spec(bias=True, **SPEC)
    x, w, g = (torch.randn(spec.shape_of(name), generator=generator) for name in ("input", "weight", "output"))
    tensors = {"x": x, "w": w, "g": g} | operands
    leaves = [tensors[name].clone().requires_grad_() for name in "xw"]
    y = torch.nn.functional.conv2d(*leaves, torch.zeros(3, requires_grad=True))
    (y * tensors["g"]).sum().backward()
    found = {"dx": leaves[0].grad, "dw": leaves[1].grad, "db": tensors["g"].sum((0, 2, 3))}
    torch.save({**tensors, **change(tensors, found)}, "saved.pt")
    given = [word for letter in "xwg" for word in (f"--{letter}", f"saved.pt::{letter}")]
    return ["check", *given, "--b", "zeros", "--grad-input", "saved.pt::dx", "--grad-weight", "saved.pt::dw",
            "--grad-bias", "saved.pt::db", "-f", "json"]  # fmt: skip


def unrotated(tensors, found):
    leaf = tensors["x"].clone().requires_grad_()
    (torch.nn.functional.conv2d(leaf, tensors["w"].flip(2, 3)) * tensors["g"]).sum().backward()
    return {"dx": leaf.grad, "dw": found["dw"], "db": found["db"]}


@pytest.mark.parametrize(
    ("change", "tensor", "words", "kinds"),
    [
        (unrotated, "grad_input", "fits the reference with the kernel not rotated", ["F8"]),
        (
            lambda tensors, found: {**found, "dw": found["dw"] / 32},
            "grad_weight",
            "fits the reference divided by N*Ho*Wo = 32: a mean where a sum is meant",
            ["F9"],
        ),
        (
            lambda tensors, found: {**found, "dw": found["dw"] * 0.3},
            "grad_weight",
            "fits the reference multiplied by 0.3",
            ["F9"],
        ),
        (
            lambda tensors, found: {**found, "dw": -found["dw"].flip(2, 3)},
            "grad_weight",
            "fits the reference with w.grad",
            ["F8", "F9"],
        ),
    ],
    ids=["not rotated", "mean", "any factor", "two"],
)
def test_saved_gradients_fit_a_mistake_up_to_rounding(tmp_path, monkeypatch, change, tensor, words, kinds):
    monkeypatch.chdir(tmp_path)
    done = call(*saved(change))
    assert done.status == 1, done.err
    found = json.loads(done.out)["check"]["diagnosis"]
    [fault] = found["faults"]
    assert (fault["tensor"], fault["equals"]) == (tensor, False)
    if kinds == ["F8", "F9"]:
        assert fault["kinds"] == kinds
        assert fault["words"].startswith("fits the reference with ")
        assert fault["words"].endswith("and times -1: the sign is wrong")
    else:
        assert (fault["words"], fault["kinds"]) == (words, kinds)
    assert (found["smallest"], found["boundary"], found["calls"], found["recovered"]) == ("", [], 0, [])


def test_saved_gradients_of_rounded_operands_fit_an_arithmetic(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def rounded(tensors, found):
        x, w, g = (tensors[name].bfloat16().float() for name in ("x", "w", "g"))
        return {**found, "dx": torch.nn.grad.conv2d_input(x.shape, w, g)}

    [fault] = json.loads(call(*saved(rounded)).out)["check"]["diagnosis"]["faults"]
    assert (fault["tensor"], fault["kinds"]) == ("grad_input", ["F14"])
    assert fault["words"] == "fits operands rounded to bfloat16, which --arithmetic bf16 would declare"


def test_saved_gradients_that_nothing_fits_are_not_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = json.loads(call(*saved(lambda tensors, found: {**found, "dx": found["dx"] + 0.01})).out)
    found = found["check"]["diagnosis"]
    assert found["faults"] == []
    assert found["hidden"] == ["grad_input: no mistake that has a name here gives these numbers, nor do two at once"]
    assert [drawn["tensor"] for drawn in found["maps"]] == ["grad_input"]


def test_numbers_that_are_too_simple_name_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = make_spec(bias=True, **SPEC)
    ones = {letter: torch.ones(spec.shape_of(name)) for letter, name in (("x", "input"), ("w", "weight"))}
    arguments = saved(lambda tensors, found: {**found, "dx": found["dx"] * 2}, g=torch.ones(spec.output_shape), **ones)
    found = json.loads(call(*arguments).out)["check"]["diagnosis"]
    [hidden] = found["hidden"]
    assert "mistakes fit these numbers, which are too simple to tell them apart" in hidden
    assert not found["faults"]


def test_hints_give_away_a_step_at_a_time(folder):
    told = [call("check", "mine.py::backward", *LAYER, "--hint", str(level)).out for level in (1, 2, 3, 4)]
    steps = ("x.grad: every element", "it is about the order in which w", "with the kernel not rotated", "\nyours ")
    for level, text in enumerate(told):
        shown = [step in " ".join(text.split(" ")) for step in steps]
        assert shown == [True, level == 1, level >= 2, level == 3], text
    assert "about" not in told[0].split("where")[1]
    assert all(".sum()" not in text for text in told[:3])
    assert call("check", "mine.py::backward", "--hint", "5").err.startswith("convgrad: --hint must be from 1")


def test_without_a_layer_code_is_graded_by_classes_of_layers(folder):
    right, wrong = call("check", "right.py::backward"), call("check", "mine.py::backward")
    assert right.status == 0
    assert "right on 14 of 14 classes" in right.out  # those without dilation and groups, of which it can't be told
    assert wrong.status == 1
    assert "right on 1 of 14 classes: kernel 1" in wrong.out
    assert "no layer was given; 14 classes of layers were tried" in right.err


def test_a_fault_of_one_class_is_found_without_a_layer(folder):
    text = BACKWARD.replace("KERNEL", "w").replace("i * sh : i * sh + kh", "i * sw : i * sw + kh")
    (folder / "axes.py").write_text(text)
    done = call("check", "axes.py::backward")
    assert done.status in (1, 2)
    assert "stride of its own on each axis" in done.out


BARE = """
import numpy as np

def bare(x, w, b, g):
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i, j in np.ndindex(*g.shape[2:]):
        window = np.s_[:, :, i : i + w.shape[2], j : j + w.shape[3]]
        dw += np.einsum("nchw,no->ochw", x[window], g[:, :, i, j])
        dx[window] += np.einsum("ochw,no->nchw", w, g[:, :, i, j])
    return dx, dw

def mean(x, w, b, g):
    dx, dw = bare(x, w, b, g)
    return dx, dw / len(x)

def added(x, w, b, g):
    dx, dw = bare(x, w, b, g)
    dx[0, 0, 0, 0] += 0.37 * abs(w).max() ** 2
    return dx, dw

def uncropped(x, w, b, g, *, padding):
    (ph, pw) = padding
    return bare(np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw))), w, b, g)

def sliced(x, w, b, g, *, padding):
    (ph, pw) = padding
    dx, dw = bare(np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw))), w, b, g)
    return dx[:, :, ph:-ph, pw:-pw], dw

def doubled(x, w, b, g, *, stride, padding, dilation, groups):
    dx, dw = bare(x, w, b, g)
    return 2 * dx, dw

def no_groups(x, w, b, g, *, groups):
    if groups > 1:
        raise ValueError(f"no groups of {x.shape[1] // groups}")
    return bare(x, w, b, g)
"""


@pytest.fixture
def bare(tmp_path, monkeypatch):
    (tmp_path / "bare.py").write_text(BARE)
    monkeypatch.chdir(tmp_path)

    def check(name, *options):
        return json.loads(call("check", f"bare.py::{name}", *options, "-f", "json").out)["check"]

    return check


def test_nothing_is_said_of_settings_that_the_code_does_not_take(bare):
    [fault] = bare("mean")["diagnosis"]["faults"]
    assert (fault["words"], fault["others"]) == ("divided by N = 2: a mean over the batch where a sum is meant", [])
    smallest = bare("mean")["diagnosis"]["smallest"]
    assert "--size 1 --kernel 1 --in-channels 1 --out-channels 1 --batch 2 --x ones --w ones --g ones" in smallest


def test_settings_that_the_code_takes_and_ignores_do_not_hide_what_else_is_wrong(bare):
    [fault] = bare("doubled", "--size", "6x5")["diagnosis"]["faults"]
    assert (fault["tensor"], fault["words"], fault["others"]) == ("grad_input", "multiplied by 2", [])


def test_what_no_rounding_can_be_is_not_called_rounding(bare):
    found = bare("added", "--size", "6x5")["diagnosis"]
    assert found["faults"] == []
    assert found["hidden"] == [
        "grad_input: no mistake that has a name here gives these numbers, nor do two at once",
        "grad_input: its terms are not read out: "
        "they do not add up to what it gives on other numbers: it is not bilinear",
    ]


def test_a_wrong_shape_is_read(bare):
    [fault] = bare("uncropped", "--size", "6x5", "--padding", "1")["diagnosis"]["faults"]
    assert (fault["kinds"], fault["words"]) == (
        ["F6"],
        "has the size of the padded input: the padding is not cropped",
    )


def test_a_slice_to_minus_nothing_is_told_apart(bare):
    assert bare("sliced", "--size", "6x5", "--padding", "1")["verdict"] == "PASS"
    for padding in ("0", "1x0"):
        [fault] = bare("sliced", "--size", "6x5", "--padding", padding)["diagnosis"]["faults"]
        assert fault["kinds"] == ["F6"]
        assert fault["words"].startswith("is empty: a slice such as [p:-p] takes nothing where the padding is 0")


def test_classes_that_raise_the_same_share_a_line(bare):
    bare("mean")
    done = call("check", "bare.py::no_groups")
    assert done.status == 2
    [line] = [line for line in done.out.splitlines() if "ERROR  bare.py" in line]
    assert line.endswith("groups 2; groups 3, padding 1; depthwise; depthwise, two filters each") or "depthwise" in line


def test_json_and_python_hold_the_same_diagnosis(folder):
    document = call("check", "mine.py::backward", *LAYER, "-f", "json")
    assert document.status == 1

    found = json.loads(document.out)
    Draft202012Validator(schema()).validate(found)
    assert found["check"]["diagnosis"]["faults"][0]["words"] == "with the kernel not rotated"
    with pytest.raises(AssertionError, match="with the kernel not rotated"):
        assert_gradients("mine.py::backward", input_size=5, kernel_size=3)


def test_the_readme_counts_what_these_tests_hold():
    text = " ".join((PLANTED.parents[1] / "README.md").read_text(encoding="utf-8").split())
    named = len(WRONG) - len(OTHERWISE)
    assert f"Of {len(WRONG)} mistakes planted" in text
    assert f"{sum(len(one.classes) > 1 for one in WRONG)} of them two at once), {named} are named in every" in text
    assert f"{len(OTHERWISE)} are told by their class" in text
    assert f"No right implementation of {len(CORRECT)} is given a name" in text


def _torch_gradients(x, w, b, g, change_w=None):
    leaves = [torch.from_numpy(t).clone().requires_grad_() for t in (x, w)]
    used = leaves[1] if change_w is None else change_w(leaves[1])
    dx, dw = torch.autograd.grad(torch.nn.functional.conv2d(leaves[0], used), leaves, torch.from_numpy(g))
    return dx.numpy(), dw.numpy()


def holed(x, w, b, g):
    dx, _ = _torch_gradients(x, w, b, g, lambda w: w * (torch.arange(9).view(3, 3) != 4))
    return dx, _torch_gradients(x, w, b, g)[1]


def third_in_float64(x, w, b, g):
    dx, dw = _torch_gradients(x, w, b, g)
    return dx, dw.astype("float64") / 3


def two_at_once(x, w, b, g):
    dx, _ = _torch_gradients(x, w, b, g, lambda w: w.flip(2, 3))
    return dx / len(x), _torch_gradients(x, w, b, g)[1]


def racing(x, w, b, g):
    dx, dw = _torch_gradients(x, w, b, g)
    return dx * torch.randint(1, 9, dx.shape).numpy(), dw


def test_a_sum_with_a_hole_is_written_as_what_it_lacks_and_evaluates():
    spec = make_spec(in_channels=2, out_channels=3, input_size=5, kernel_size=3, batch_size=2)
    [one] = convgrad_cli.check(holed, spec).diagnosis.recovered
    assert one.yours.startswith(f"{one.right} - w[")
    generator = torch.Generator().manual_seed(5)
    x, w, g = (
        torch.randint(1, 9, spec.shape_of(name), generator=generator).float() for name in ("input", "weight", "output")
    )
    assert float(eval(one.yours, {"w": w, "g": g})) == holed(x.numpy(), w.numpy(), None, g.numpy())[0][one.index]


def test_code_that_returns_float64_is_not_called_unsteady():
    report = convgrad_cli.check(third_in_float64, input_size=5, kernel_size=3, in_channels=2, out_channels=3)
    assert "second time" not in report.check.reason
    assert report.diagnosis.faults[0].words == "multiplied by 0.333333"
    assert report.diagnosis.recovered[0].yours.startswith("1/3 * (x[")


def test_of_two_mistakes_both_show_on_the_smallest_layer():
    diagnosis = convgrad_cli.check(two_at_once, input_size=5, kernel_size=3, batch_size=3).diagnosis
    assert diagnosis.faults[0].kinds == ("F8", "F9")
    assert "batch_size=1" not in diagnosis.smallest


def test_of_numbers_that_change_no_sum_is_read_out_and_no_line_promised():
    diagnosis = convgrad_cli.check(racing, input_size=5, kernel_size=3).diagnosis
    assert diagnosis.faults[0].kinds == ("F11",)
    assert (diagnosis.recovered, diagnosis.smallest) == ((), "")


def test_a_sum_of_another_layer_says_so():
    spec = make_spec(in_channels=8, out_channels=8, input_size=12, kernel_size=3, batch_size=4)
    report = convgrad_cli.check(two_at_once, spec)
    [one] = report.diagnosis.recovered
    assert one.layer != report.diagnosis.layer
    assert f"of {one.layer}, whose terms are few enough" in " ".join(str(report).split())


def undefined(x, w, b, g):
    dx, dw = _torch_gradients(x, w, b, g)
    dx = dx.copy()
    dx.flat[-1] = float("nan")
    return dx, dw


def test_nan_that_comes_every_time_is_no_race():
    diagnosis = convgrad_cli.check(undefined, input_size=5, kernel_size=3).diagnosis
    assert "F11" not in [kind for fault in diagnosis.faults for kind in fault.kinds]


def padded_in_front(x, w, b, g, *, stride):
    leaves = [torch.from_numpy(t).clone().requires_grad_() for t in (x, w)]
    dx, dw = torch.autograd.grad(torch.nn.functional.conv2d(*leaves, None, stride), leaves, torch.from_numpy(g))
    rest = (x.shape[3] - w.shape[3]) % stride[1]
    return torch.nn.functional.pad(dx, (rest, 0))[..., : x.shape[3]].numpy(), dw.numpy()


def test_a_remainder_in_front_on_one_axis_is_one():
    spec = make_spec(in_channels=2, out_channels=3, input_size=(7, 8), kernel_size=3, stride=2, batch_size=2)
    [fault] = convgrad_cli.check(padded_in_front, spec).diagnosis.faults
    assert fault.kinds == ("F1",)
    assert "remainder of the stride" in fault.words
    assert "width" in fault.words


def doubled_without_groups(x, w, b, g):
    dx, dw = _torch_gradients(x[:, :1], w, b, g)
    return 2 * numpy.concatenate([dx, 0 * dx], 1), 2 * dw


def test_of_constants_that_no_layer_parts_all_are_said():
    spec = make_spec(in_channels=2, out_channels=4, input_size=2, kernel_size=2, groups=2, batch_size=2)
    for fault in convgrad_cli.check(doubled_without_groups, spec).diagnosis.faults:
        assert any(words.endswith("multiplied by N = 2") for words in (fault.words, *fault.others))
        assert any(words.endswith("multiplied by 2") for words in (fault.words, *fault.others))


def by_fourier(x, w, b, g):
    """Right, with noise of float64 where every term is 0."""
    size = [x.shape[2] + g.shape[2], x.shape[3] + g.shape[3]]
    fx, fw, fg = (numpy.fft.rfft2(t.astype("float64"), size) for t in (x, w, g))
    dx = numpy.fft.irfft2(numpy.einsum("ocij,noij->ncij", fw, fg), size)[..., : x.shape[2], : x.shape[3]]
    dw = numpy.fft.irfft2(numpy.einsum("ncij,noij->ocij", fx, fg.conj()), size)[..., : w.shape[2], : w.shape[3]]
    return dx.astype("float32"), dw.astype("float32")


def test_noise_of_a_transform_names_no_formula_and_no_layers():
    diagnosis = convgrad_cli.check(by_fourier, input_size=8, kernel_size=3, in_channels=2, out_channels=3).diagnosis
    assert not any(fault.equals or "fits" in fault.words for fault in diagnosis.faults)
    assert (diagnosis.boundary, diagnosis.smallest, diagnosis.recovered) == ((), "", ())


def by_fourier_in_float32(x, w, b, g):
    """The same with noise that shows beside the rounding of float32."""
    size = [x.shape[2] + g.shape[2], x.shape[3] + g.shape[3]]
    fw, fg = (numpy.fft.rfft2(t, size).astype("complex64") for t in (w, g))
    dx = numpy.fft.irfft2(numpy.einsum("ocij,noij->ncij", fw, fg), size)[..., : x.shape[2], : x.shape[3]]
    return dx.astype("float32"), None


def test_a_transform_has_one_name():
    check = convgrad_cli.check(by_fourier_in_float32, input_size=8, kernel_size=3, in_channels=2, out_channels=3).check
    [fault] = check.diagnosis.faults
    assert fault.words in check.reason
    assert "as from a transform (Winograd or FFT)" in fault.words


class Flaky:
    """One element is off in every second call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x, w, b, g):
        dx, dw = _torch_gradients(x, w, b, g)
        self.calls += 1
        if self.calls % 2:
            dx = dx.copy()
            dx[0, 0, 0, 0] += 1
        return dx, dw


def test_numbers_that_come_and_go_are_a_race_and_no_arithmetic():
    check = convgrad_cli.check(Flaky(), in_channels=2, out_channels=3, input_size=6, kernel_size=3).check
    assert check.verdict == "FAIL"
    assert "the same call gave other numbers the second time" in check.reason
    [fault] = check.diagnosis.faults
    assert (fault.kinds, fault.words) == (("F11",), "differs between two calls with the same numbers")
    assert check.diagnosis.boundary == ()


def off_by_one(x, w, b, g):
    dx, dw = _torch_gradients(x, w, b, g)
    dx = dx.copy()
    dx[0, 0, 0, 0] += 1e-6 * numpy.abs(dx).max()
    return dx, dw


def test_one_wrong_element_is_no_rounding():
    layer = {"in_channels": 4, "out_channels": 5, "input_size": 9, "kernel_size": 3}
    for fault in convgrad_cli.check(off_by_one, **layer).diagnosis.faults:
        assert "F14" not in fault.kinds, fault


def detached(x, w, b):
    return torch.nn.functional.conv2d(x, w.detach(), b)


def test_what_autograd_does_not_reach_is_said_so():
    check = convgrad_cli.check(forward=detached, in_channels=2, out_channels=3, input_size=6, kernel_size=3).check
    [fault] = check.diagnosis.faults
    assert fault.tensor == "grad_weight"
    assert fault.words == "no gradient for w: the output does not depend on it for autograd"


def first_sample(x, w, b, g):
    return None, None, g[0].sum((1, 2))


def test_where_it_is_wrong_is_no_matter_of_one_set_of_numbers():
    layer = {"in_channels": 2, "out_channels": 8, "input_size": 4, "kernel_size": 3, "batch_size": 3, "bias": True}
    for seed in range(4):
        [drawn] = convgrad_cli.check(first_sample, **layer, seed=seed).diagnosis.maps
        assert drawn.pattern == "every element"


def test_of_layers_on_which_it_is_right_only_those_that_were_tried_are_spoken_of():
    [said] = convgrad_cli.check(usesx, in_channels=2, out_channels=3, input_size=6, kernel_size=2).diagnosis.boundary
    assert "layers that were tried" in said


def usesx(x, w, b, g):
    dx, dw = _torch_gradients(x, w, b, g)
    return dx * (x > 0), dw


def test_saved_results_of_fewer_bits_are_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    leaves = [torch.randn(2, 3, 6, 6), torch.randn(4, 3, 3, 3).requires_grad_()]
    y = torch.nn.functional.conv2d(*leaves)
    y.sum().backward()
    for name, tensor in {"x": leaves[0], "w": leaves[1].detach(), "dw": leaves[1].grad.half()}.items():
        numpy.save(f"{name}.npy", tensor.numpy())
    done = call("check", "--x", "x.npy", "--w", "w.npy", "--grad-weight", "dw.npy")
    assert "mistake      weight.grad: all results have no more than 11 bits, as if rounded to float16 [F14]" in done.out
    numpy.save("dw.npy", 3 * leaves[1].grad.numpy())
    assert (
        "note: g is all ones, as y.sum() makes it"
        in call("check", "--x", "x.npy", "--w", "w.npy", "--grad-weight", "dw.npy").err
    )
