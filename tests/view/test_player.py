"""The player: every frame is what the spans say, every step is Python that runs, and the keys do what the help says."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

import pytest
import torch
from view.test_explorer import LAYERS, explorer, pressed, text

from convgrad_cli.commands.arguments import problem_from
from convgrad_cli.commands.inspect import inspect_problem
from convgrad_cli.commands.play import played
from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.render.style import Style
from convgrad_cli.tensors.problem import make_operands
from convgrad_cli.view.light import TENSORS
from convgrad_cli.view.player import Player, play

PLAIN = Style()
LAYERS = {
    **LAYERS,
    "transposed bias": {"input_size": 2, "kernel_size": 3, "transposed": True, "padding": 1, "bias": True},
    "nothing met": {"input_size": 2, "kernel_size": 1, "padding": 1, "bias": True, "loss": "mean"},
    "cropped": {"input_size": 4, "kernel_size": 2, "padding": -1},
    "replicate": {"input_size": 2, "kernel_size": 2, "padding": 2, "padding_mode": "replicate", "dims": 1},
    "unbatched": {"input_size": 4, "kernel_size": 2, "stride": 2, "batch_size": None, "dims": 1},
}


def player(**options) -> Player:
    problem = problem_from(None, options)
    return play(played(problem, inspect_problem(problem)))


def at_every_step(shown: Player):
    for number in range(len(shown.report.steps)):
        assert shown.number == number
        yield shown
        shown = shown.pressed("right")


def marked(shown: Player) -> tuple[set, set]:
    """The cells of all matrices that are read and that are made, by the map of cells that the mouse uses."""
    found: dict[str, set] = {"[": set(), ">": set(), " ": set()}
    shapes = shown.report.tensors
    slices = [light.leads(t, len(shapes[t].shape) - 1) for light in (shown.read, shown.made) for t in light.blocks]
    for pick in range(max([*slices, 1])):
        screen = replace(shown, pick=pick).screen(400, 100, PLAIN)
        for line, start, _, tensor, index in screen.cells:
            found[screen.lines[line].plain[start]].add((tensor, index))
    return found["["], found[">"]


@pytest.mark.parametrize("name", LAYERS)
def test_the_steps_are_python_that_makes_every_gradient_bit_for_bit(name):
    """On whole numbers in float64, each statement run in turn, compared with autograd; and so are the sums."""
    options = {key: value for key, value in LAYERS[name].items() if key != "loss"}
    numbers = ("input", "weight", "grad_output", *(["bias"] if "bias" in options else []))
    problem = problem_from(None, {**options, **dict.fromkeys(numbers, "integers"), "dtype": "float64"})
    operands = make_operands(problem)
    report = played(problem, inspect_problem(problem))
    letters = {k: t.clone() for k, t in operands.letters(problem.spec).items()}
    letters["y"] = torch.zeros(problem.spec.output_shape, dtype=torch.float64)
    for tensor in letters.values():
        tensor.grad = torch.zeros_like(tensor)
    sums: dict = {}
    for step in report.steps:
        exec(step.statement or "pass", letters)
        sums |= {(step.tensor, index): value for index, value in step.sums.items()}
    for name, shape in (("output", problem.spec.output_shape), ("grad_input", problem.spec.input_shape)):
        values = torch.tensor(list(report.tensors[name].values), dtype=torch.float64).reshape(shape)
        if name == "output":
            assert torch.equal(letters["y"], values)
        elif not problem.spec.has_padded_input:
            assert torch.equal(letters["x"].grad, values)
        for (tensor, index), value in sums.items():
            assert tensor != name or values[index] == value
    weight = torch.tensor(list(report.tensors["grad_weight"].values)).reshape(problem.spec.weight_shape)
    assert torch.equal(letters["w"].grad, weight.double())
    if problem.spec.bias:
        assert letters["b"].grad.tolist() == list(report.tensors["grad_bias"].values)


@pytest.mark.parametrize("name", LAYERS)
def test_every_frame_marks_what_is_read_and_what_is_made(name):
    """Compared with the slices of the elements of `inspect`: entry by entry, a placement has the products they have."""
    shown = player(**LAYERS[name])
    spec, told = shown.report.spec, {table.tensor: table for table in shown.report.tables}
    placed = told["grad_input" if spec.transposed else "output"]
    elements = {element.index: element for element in placed.elements}
    for frame in at_every_step(shown):
        step = frame.step
        read, made = marked(frame)
        assert {tensor for tensor, _ in made} <= {step.tensor}
        assert read == {
            (TENSORS[factor.operand], entry)
            for factor in step.reads
            for entry in factor.entries()
            if (TENSORS[factor.operand], entry) not in made
        }
        assert {index for _, index in made} == set(step.sums)
        if step.tensor == placed.tensor and step.reads:
            terms = elements[step.index].formula.terms()
            entries = {(TENSORS[letter], index) for term in terms for letter, index in term}
            assert {entry for entry in read if entry[0] != "grad_output"} == {
                entry for entry in entries if entry[0] != "grad_output"
            }


@pytest.mark.parametrize("name", LAYERS)
def test_a_number_is_a_dot_then_a_sum_and_last_that_of_autograd(name):
    shown = player(**LAYERS[name])
    course = shown.course
    for tensor, steps in course.passes.items():
        data = shown.report.tensors[tensor]
        table = next(table for table in shown.report.tables if table.tensor == tensor)
        for number, element in enumerate(table.elements):
            last = data.values[number]
            assert course.number(tensor, element.index, len(shown.report.steps) - 1) == pytest.approx(last, rel=1e-6)
            before = [course.number(tensor, element.index, step) for step in range(steps.start)]
            assert before == [None] * steps.start
            writes = course.steps_of(tensor, element.index)
            for step in range(steps.start, steps.stop - 1):
                value = course.number(tensor, element.index, step)
                assert (value is None) == (not writes or step < writes[0])
                if writes and step in writes:
                    partial = shown.report.steps[step].sums[element.index]
                    assert value == (pytest.approx(partial, rel=1e-6, abs=1e-6) if step == writes[-1] else partial)


SCREEN = """
Conv2d(1, 1, kernel_size=(2, 2), bias=False)  float32  loss = y.sum()
Backward to x: every g goes back to where its kernel was put, times w

x[0,0]      w[0,0]   y[0,0]
 1  2  3  * [1][2] =  37  47
 4  5  6    [3][4]    67  77
 7  8  9

g[0,0]   x.grad[0,0]    w.grad[0,0]
 1 [1]     1 > 3<> 2<     ·   ·
 1  1      3 > 7<> 4<     ·   ·
           ·   ·   ·




y ━━━━━━━━━━━━  x.grad ━━━━━━──────  w.grad ────────────  2 of 4, stopped
x.grad[0,:,0:2,1:3] += g[0,0,0,1] * w[0,:,0:2,0:2]
adds 1*1, 1*2, 1*3, 1*4




space stop/go  arrows step  tab pass  +- speed  ? help  q quit
"""


def test_a_frame_in_80_columns():
    shown = pressed(player(input_size=3, kernel_size=2, input="ramp", weight="ramp"), *["right"] * 5)
    assert text(shown).split("\n") == SCREEN.strip("\n").split("\n")
    plain = "\n".join(line.plain for line in shown.screen(80, 24, Style(ascii=True)).lines)
    assert plain.isascii()
    assert "x.grad ######------" in plain


def test_time_goes_on_to_the_last_step_and_stops():
    shown = player(input_size=3, kernel_size=2)
    seen = [shown.number]
    while shown.seconds is not None:
        assert shown.seconds == 1.0
        shown = shown.ticked()
        seen.append(shown.number)
    assert seen == [*range(12), 11]
    again = shown.pressed("space")
    assert (again.number, again.playing) == (0, True)


@pytest.mark.parametrize(
    ("keys", "number", "playing"),
    [
        ("space", 0, False),
        ("space space", 0, True),
        ("right right left", 1, False),
        ("left", 0, False),
        ("end", 15, False),
        ("end right", 15, False),
        ("end home", 0, False),
        ("tab", 4, True),
        ("tab tab tab tab", 0, True),
        ("shift+tab", 12, True),
        ("3", 8, True),
        ("4 space", 12, False),
        ("pagedown", 10, False),
        ("escape", 0, False),
        ("?", 0, False),
        ("? x", 0, False),
        ("x", 0, True),
    ],
)
def test_keys(keys, number, playing):
    shown = pressed(player(input_size=3, kernel_size=2, bias=True), *keys.split())
    assert (shown.number, shown.playing) == (number, playing)


def test_speed():
    shown = player()
    assert shown.pressed("+").seconds == 0.5
    assert shown.pressed("-").seconds == 2.0
    assert pressed(shown, *["+"] * 9).speed == 20
    assert pressed(shown, *["-"] * 9).speed == 0.1


def test_a_click_goes_to_the_first_step_that_writes_there():
    shown = player(input_size=3, kernel_size=2)
    there = shown.clicked("grad_input", (0, 0, 2, 2))
    assert (there.number, there.playing) == (7, False)
    assert shown.clicked("input", (0, 0, 0, 0)) == shown
    assert shown.pointed("grad_input", (0, 0, 2, 2)) == shown


def test_the_view_plays_its_layer_and_comes_back_to_where_it_was():
    before = pressed(explorer(input_size=4, kernel_size=2), "s", "right", "down")
    shown = before.pressed("space")
    assert isinstance(shown, Player)
    assert shown.report.spec.stride == (2, 2)
    assert "esc back" in text(shown)
    assert shown.pressed("right").pressed("escape") == before
    large = explorer(input_size=40, kernel_size=2)
    assert "at most 1,000 can be played" in large.pressed("space").said
    assert before.pressed("k").pressed("space").said == "the new layer is still being computed; it can be played then"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 14), (20, 5), (300, 90), (1, 1)])
@pytest.mark.parametrize("key", ["right", "?"])
def test_every_size_is_filled_exactly(width, height, key):
    shown = player(input_size=12, kernel_size=3, in_channels=2, out_channels=4, bias=True, loss="mean")
    for frame in (shown, *(pressed(shown, tensor, key) for tensor in "1234")):
        screen = frame.screen(width, height, Style(color="truecolor"))
        assert len(screen.lines) == height
        assert max(len(line.plain) for line in screen.lines) <= width


def test_the_window_follows_the_kernel():
    shown = pressed(player(input_size=30, kernel_size=3), "end", *["left"] * 40)
    screen = shown.screen(80, 24, PLAIN)
    marks = [screen.lines[cell.line].plain[cell.start] for cell in screen.cells]
    assert marks.count("[") == 1 + 9
    assert marks.count(">") == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"input_size": 512, "in_channels": 64, "out_channels": 64},
            "the kernel is put in 16,711,744 places; at most 1,000 can be played: use a smaller --size, --batch or "
            "number of channels, or --at for one element",
        ),
        (
            {"input_size": 9, "kernel_size": 8, "in_channels": 64, "out_channels": 64},
            "the layer multiplies 1,048,576 times; at most 100,000 can be played: use a smaller --size, --batch or "
            "number of channels, or --at for one element",
        ),
    ],
)
def test_what_is_too_long_to_follow_is_refused(options, message):
    problem = problem_from(None, options)
    with pytest.raises(SpecError) as caught:
        played(problem, None)
    assert str(caught.value) == message


def test_not_a_number_is_played_as_it_is():
    nan = float("nan")
    shown = player(input=[[nan, 1, 2], [3, 4, float("inf")], [5, 6, 7]], kernel_size=2)
    for frame in at_every_step(shown):
        assert "Traceback" not in text(frame)
    first = shown.course.number("output", (0, 0, 0, 0), 0)
    assert first is not None
    assert isnan(first)
    assert "nan" in text(shown)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes_end_at_the_number_of_the_report(dtype):
    shown = player(input_size=3, kernel_size=2, dtype=dtype).pressed("end")
    for tensor in shown.course.passes:
        data = shown.report.tensors[tensor]
        letter = LETTERS[tensor.removeprefix("grad_")]
        assert letter in data.letter
        cells = [cell for cell in shown.screen(200, 40, PLAIN).cells if cell.tensor == tensor]
        assert len(cells) == len(data.values)
