"""Capture: which convolutions are seen, and that operands and gradients are exactly those of each run."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from models.networks import Shared, Small
from torch import nn

from convgrad_cli import capture
from convgrad_cli.gradients.autograd import autograd
from convgrad_cli.models.capture import Capture
from convgrad_cli.models.run import COLUMNS
from convgrad_cli.models.use import Use


def captured(model: nn.Module, x: torch.Tensor, loss=torch.sum) -> tuple[dict[str, Use], list[str]]:
    uses: list[Use] = []
    with Capture(model, uses.append) as capture:
        loss(model(x)).backward()
    return {use.name: use for use in sorted(uses, key=lambda use: use.place)}, capture.notes


def gradients_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def small() -> tuple[Small, torch.Tensor]:
    torch.manual_seed(0)
    return Small(), torch.randn(2, 3, 8, 9)


def assert_a_use_repeats(use: Use):
    """Run alone on the captured operands, torch gives the captured gradients, bit for bit."""
    again = autograd(use.spec, use.operands).named()
    for name, value in use.gradients.named().items():
        assert torch.equal(again[name], value), (use.name, name)


def test_every_layer_is_seen_with_its_own_operands_and_gradients():
    model, x = small()
    uses, notes = captured(model, x)
    assert (list(uses), notes) == (["first", "grouped", "up"], [])
    assert [use.spec.layer_text() for use in uses.values()] == [
        "Conv2d(3, 4, kernel_size=(3, 3), padding=(1, 1))",
        "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 2), groups=2)",
        "ConvTranspose2d(6, 2, kernel_size=(2, 2), stride=(2, 2))",
    ]
    left = gradients_of(model)
    for name, use in uses.items():
        assert_a_use_repeats(use)
        assert torch.equal(use.gradients.weight, left[f"{name}.weight"])
        assert torch.equal(use.gradients.bias, left[f"{name}.bias"])
        assert torch.equal(use.operands.weight, model.get_submodule(name).weight)
    assert uses["first"].gradients.input is None  # nobody asked for it


def test_g_is_the_gradient_at_the_output_of_the_convolution_itself():
    """Not the one behind what is done in place to that output."""
    model, x = small()
    uses, _ = captured(model, x)
    y = uses["first"]
    output = F.conv2d(y.operands.input, y.operands.weight, y.operands.bias, padding=1)
    assert torch.equal(y.operands.grad_output, uses["grouped"].gradients.input * (output > 0))


def test_the_model_computes_the_same_with_and_without():
    model, x = small()
    plain, _ = small()
    loss = plain(x.clone()).sum()
    loss.backward()
    captured(model, x.clone())
    ours, theirs = gradients_of(model), gradients_of(plain)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert len(theirs) == 6
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_layer_used_twice_has_a_gradient_for_each_use_and_functional_calls_are_seen():
    torch.manual_seed(0)
    model = Shared()
    uses, notes = captured(model, torch.randn(3, 2, 10))
    assert list(uses) == ["twice", "twice#2", "kernel", "conv1d"]
    for use in uses.values():
        assert_a_use_repeats(use)
    both = uses["twice"].gradients.weight + uses["twice#2"].gradients.weight
    assert torch.equal(both, model.twice.weight.grad)
    assert not torch.equal(uses["twice"].gradients.weight, uses["twice#2"].gradients.weight)
    assert notes == ["unused did not run, or in another thread"]


def test_what_is_frozen_has_no_gradient_and_the_rest_has():
    model, x = small()
    model.grouped.weight.requires_grad_(False)
    model.first.requires_grad_(False)
    uses, notes = captured(model, x)
    assert {name: list(use.gradients.named()) for name, use in uses.items()} == {
        "grouped": ["bias"],
        "up": ["weight", "input", "bias"],
    }
    assert notes == [
        "first: not judged, as nothing asks for a gradient there: frozen, under no_grad, "
        "inside an autograd.Function, or checkpointed with use_reentrant=True"
    ]


class Spelled(nn.Module):
    """A convolution and a transposed one in every way that torch can be called."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up = nn.Conv2d(2, 2, 2), nn.ConvTranspose2d(2, 2, 2)

    def forward(self, x):
        conv, up, aten = (self.conv.weight, self.conv.bias), (self.up.weight, self.up.bias), torch.ops.aten
        rest = ((1, 1), (0, 0), (1, 1), False, (0, 0), 1)
        around = ((2, 1), (0, 0), (1, 1), True, (1, 0), 1)
        x = torch.convolution(torch.convolution(x, *conv, *rest), *up, *around)
        x = aten.convolution(aten.convolution.default(x, *conv, *rest), *up, *around)
        x = aten.conv2d.default(aten.conv2d(x, *conv, stride=(2, 1)), *conv)
        return aten.conv_transpose2d(torch.conv2d(input=x, weight=conv[0], bias=conv[1]), *up)


def test_however_torch_is_called():
    torch.manual_seed(0)
    uses, notes = captured(Spelled(), torch.randn(1, 2, 9, 8))
    assert [name.partition("#")[0] for name in uses] == [
        *["conv.weight", "up.weight"] * 2, *["conv.weight"] * 3, "up.weight"
    ]  # fmt: skip
    assert notes == []
    for use in uses.values():
        assert_a_use_repeats(use)


def swap(flat):
    flat[[3, 50]] = flat[[50, 3]]


def negate_two(flat):
    flat[[3, 50]] *= -1


def nudge(flat):
    flat[3] *= 1 + 2 * torch.finfo(flat.dtype).eps


EDITS = {
    "doubled": lambda flat: flat.mul_(2),
    "negated": torch.Tensor.neg_,
    "moved": lambda flat: flat.copy_(flat.roll(1)),
    "swapped": swap,
    "two negated": negate_two,
    "nudged": nudge,
}
CHANGED = "x or w was written to between the forward and the backward pass in a way that autograd does not see"


@pytest.mark.parametrize("batch", [2, 2 * COLUMNS // (3 * 8 * 9) + 1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("edit", EDITS)
def test_operands_that_are_written_to_behind_autograds_back_are_said(edit, dtype, batch):
    model, _ = small()
    model, x = model.to(dtype), torch.randn(batch, 3, 8, 9).to(dtype)

    def edited(y):
        EDITS[edit](x.data.view(-1))
        return y.sum()

    uses, notes = captured(model, x, edited)
    assert list(uses) == ["grouped", "up"]
    assert notes == [f"first: not judged, as {CHANGED}"]


def test_a_bias_may_be_written_to_as_no_gradient_depends_on_it():
    model, x = small()
    before = model.first.bias.detach().clone()
    uses, notes = captured(model, x, lambda y: (model.first.bias.data.neg_(), y.sum())[1])
    assert (list(uses), notes) == (["first", "grouped", "up"], [])
    assert torch.equal(uses["first"].operands.bias, before)


def test_an_optimizer_may_step_in_the_backward_pass():
    model, x = small()
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(lambda p: (p.data.sub_(p.grad), None)[1])
    before = copy.deepcopy(model.state_dict())
    uses, notes = captured(model, x)
    assert (list(uses), notes) == (["first", "grouped", "up"], [])
    assert not torch.equal(model.first.weight, before["first.weight"])
    for name, use in uses.items():
        assert torch.equal(use.operands.weight, before[f"{name}.weight"])
        assert_a_use_repeats(use)
    # What is written before the layer's own backward pass is none of that.
    uses, notes = captured(model, x, lambda y: (model.first.weight.data.neg_(), y.sum())[1])
    assert (list(uses), notes) == (["grouped", "up"], [f"first: not judged, as {CHANGED}"])


def test_copies_of_the_model_take_no_hooks_along():
    model, x = small()
    file = io.BytesIO()
    with capture(model) as layers:
        torch.save(model, file)
        copied = copy.deepcopy(model)
        model(x).sum().backward()
    assert [row.verdict for row in layers] == ["PASS"] * 3
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    torch.save(copied, io.BytesIO())
    for other in (copied, loaded):
        assert torch.equal(other.first(x), model.first(x))


def test_what_runs_outside_of_the_model_has_its_functions_name():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 1))
    with capture(model[0]) as layers:
        y = model(torch.ones(1, 1, 5, 5))
        F.conv2d(y, torch.ones(1, 1, 2, 2)).sum().backward()
    assert [row.name for row in layers] == ["Conv2d", "conv2d", "conv2d#2"]
    assert "Conv2d" in layers
    assert layers[1] in layers
    assert "Conv2d#2" not in layers


def test_a_parameter_that_was_given_other_memory_is_said():
    model, x = small()

    def moved(y):
        model.first.weight.data = model.first.weight.data.clone()
        return y.sum()

    _, notes = captured(model, x, moved)
    assert notes == [f"first: not judged, as {CHANGED}"]


def test_hooks_on_an_output_come_before_the_convolution_and_what_is_written_later_is_not_kept():
    model, x = small()
    model.first.register_forward_hook(lambda module, given, output: output.register_hook(lambda g: 3 * g) and None)
    model.grouped.weight.register_post_accumulate_grad_hook(lambda p: (p.grad.zero_(), None)[1])
    model.up.weight.register_hook(lambda g: (g.mul_(3), None)[1])
    uses, _ = captured(model, x)
    assert set(uses) == {"first", "grouped", "up"}
    for use in uses.values():
        assert_a_use_repeats(use)


def test_a_second_pass_over_the_same_graph_is_said():
    model, x = small()
    uses = []
    with Capture(model, uses.append) as capture:
        y = model(x)
        y.sum().backward(retain_graph=True)
        y.square().sum().backward()
    assert {use.name for use in uses} == {"first", "grouped", "up"}
    assert capture.notes == ["up, grouped, first: not judged in a later backward pass over the same graph"]


def test_many_passes_at_once_and_tensors_without_numbers_are_said():
    model, x = small()
    with Capture(model, list[Use]().append) as capture:
        losses = model(x).flatten(1).sum(1)
        torch.autograd.grad(losses, list(model.parameters()), torch.eye(2), is_grads_batched=True)
    assert capture.notes == [
        "up, grouped, first: not judged, as many backward passes ran at once (is_grads_batched, vectorize)"
    ]
    with Capture(model.to("meta"), list[Use]().append) as capture:
        model(x.to("meta")).sum().backward()
    assert capture.notes[0] == "first is not judged: it is traced, or its tensors have no numbers"


def test_dtypes_that_are_not_judged_are_said_and_autocast():
    layer, x = nn.Conv2d(2, 3, 3), torch.randn(1, 2, 5, 5)
    with Capture(layer, list[Use]().append) as capture, torch.autocast("cpu", torch.bfloat16):
        layer(x).sum().backward()
    assert capture.notes == ["Conv2d is not judged: it runs under autocast, which casts what it is given"]
    complex_layer = nn.Conv2d(2, 3, 3, dtype=torch.complex64)
    with Capture(complex_layer, list[Use]().append) as capture:
        complex_layer(x.to(torch.complex64)).abs().sum().backward()
    assert capture.notes == ["Conv2d is not judged: it runs on complex64"]


def test_why_no_gradient_came_is_not_guessed():
    model, x = small()
    with Capture(model, lambda use: None) as capture:
        model(x)
    [note] = capture.notes
    assert note.startswith("no gradient reached first, grouped, up: no backward pass ran here, or the loss does not")


def test_hooks_that_are_there_already_are_called_and_stay():
    model, x = small()
    seen = []
    handle = model.first.register_forward_hook(lambda *_: seen.append("forward"))
    model.first.weight.register_hook(lambda grad: 2 * grad)
    model.up.register_full_backward_hook(lambda *_: None)
    uses, notes = captured(model, x)
    assert notes == ["first, up: judged before hooks of yours that change gradients"]
    assert seen == ["forward"]
    assert torch.equal(2 * uses["first"].gradients.weight, model.first.weight.grad)
    assert list(model.first._forward_hooks) == [handle.id]


def test_a_run_that_no_gradient_reaches_is_said():
    model, x = small()
    _, notes = captured(model, x, loss=lambda y: (y.detach() * model.up.weight.sum()).sum())
    assert any("no gradient reached first, grouped, up" in note for note in notes)


def test_an_unbatched_input_and_a_single_layer():
    layer = nn.Conv1d(2, 3, 2)
    uses, _ = captured(layer, torch.randn(2, 5, requires_grad=True))
    use = uses["Conv1d"]
    assert use.spec.batch_size is None
    assert_a_use_repeats(use)
    assert list(use.gradients.named()) == ["weight", "input", "bias"]


@pytest.mark.parametrize("how", ["raise", "leave"])
def test_nothing_stays_behind(how):
    model, x = small()
    with Capture(model, lambda use: None):
        loss = model(x).sum()
        if how == "raise":
            with pytest.raises(RuntimeError, match="channels"):
                F.conv2d(torch.ones(1, 1, 2, 2, requires_grad=True), torch.ones(1, 2, 2, 2))
    loss.backward()  # outside: it works, and nobody is told
    assert model.first.weight.grad is not None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_gradients_of_gradients_are_said_and_passes_before_do_no_harm():
    layer, x = nn.Conv2d(1, 1, 2), torch.randn(1, 1, 4, 4, requires_grad=True)

    def penalised(create_graph: bool):
        def loss(y):
            (g,) = torch.autograd.grad((y**2).sum(), x, retain_graph=True, create_graph=create_graph)
            return (y**2).sum() + (g**2).sum()

        return captured(layer, x, loss)

    uses, notes = penalised(False)
    assert_a_use_repeats(uses["Conv2d"])
    assert notes == []
    assert penalised(True) == ({}, ["Conv2d: not judged, as gradients of gradients were added to its own"])


def test_a_pass_that_wants_only_some_gradients_is_said():
    layer, x = nn.Conv2d(1, 1, 2), torch.randn(1, 1, 4, 4, requires_grad=True)
    with Capture(layer, lambda use: None) as capture:
        torch.autograd.grad(layer(x).sum(), x)
    assert capture.notes == ["Conv2d: not judged, as no backward pass left all gradients"]


class Unseen(nn.Module):
    """What can't be watched as it is: torch.func, TorchScript, and two ways to compile."""

    def __init__(self) -> None:
        super().__init__()
        self.mapped, self.scripted = nn.Conv1d(2, 2, 1), torch.jit.script(nn.Conv1d(2, 2, 1))
        self.compiled = torch.compile(nn.Conv1d(2, 2, 1))
        self.inner = nn.Conv1d(2, 2, 1)
        self.function = torch.compile(lambda x: self.inner(x))

    def forward(self, x):
        return self.function(self.compiled(self.scripted(torch.vmap(self.mapped)(x))))


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_watched_is_said_and_what_is_compiled_runs_as_it_is():
    uses, notes = captured(Unseen(), torch.randn(3, 2, 4))
    assert list(uses) == ["compiled._orig_mod", "inner"]
    for use in uses.values():
        assert_a_use_repeats(use)
    assert notes == [
        "mapped is not judged: it runs under torch.func, whose tensors can't be watched",
        "compiled ran without torch.compile, behind which no layer can be seen",
        "scripted: TorchScript, whose layers can't be seen; not judged",
    ]


def test_only_a_module_can_be_captured():
    with pytest.raises(TypeError, match=r"^capture takes a torch\.nn\.Module, not int$"), capture(3):
        pass
