"""The user's function itself, in the process in which it runs: found, understood by its signature, and called."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from convgrad_cli.gradients.channel import CARRIERS, Block, Shape
from convgrad_cli.gradients.convention import BACKWARD, DOUBLE_BACKWARD, KEYWORDS, MORE_KEYWORDS
from convgrad_cli.gradients.results import GRADIENTS, SECOND, Refusal, a, named, operand_block

OPERANDS = ("input", "weight", "bias", "grad_output")
COTANGENTS = ("grad_grad_input", "grad_grad_weight", "grad_grad_bias")


@dataclass(frozen=True)
class Subject:
    """Loaded code: `takes` are the keywords to give it, `sha256` is that of its file."""

    functions: tuple[Callable[..., Any], ...]
    kind: str
    framework: str
    takes: tuple[str, ...]
    sha256: str

    def answer(
        self, question: Mapping[str, Any], blocks: Mapping[str, Block]
    ) -> tuple[dict[str, Any], dict[str, Block]]:
        """What the code returned in the shapes that were asked for, and what of it or of its operands is not right."""
        shapes: dict[str, Shape] = {name: tuple(shape) for name, shape in question["expects"].items()}
        if question["device"] != "cpu" and self.framework != "torch":
            raise Refusal(f"takes NumPy arrays, which are never on {question['device']}; add --as torch")
        returned, given = self.run(question, blocks, shapes)
        missing = [name for name, value in returned.items() if value is None]
        # To autograd no gradient is a gradient of 0.
        zeros = {name: numpy.zeros(shapes[name], numpy.float64) for name in missing}
        results, misshapen = operand_block({**returned, **zeros}, shapes)
        # As bytes: NaN is not equal to itself.
        changed = [
            name
            for name, value in given.items()
            if (_bits(_on_host(value)) != _as_given(blocks[name], question["layouts"].get(name))).any()
        ]
        # cs231n's functions have a bias always.
        unasked = [name for name in returned if name not in shapes and self.kind != "cs231n"]
        return {"misshapen": misshapen, "missing": missing, "changed": changed, "unasked": unasked}, results

    def run(
        self, question: Mapping[str, Any], blocks: Mapping[str, Block], shapes: Mapping[str, Shape]
    ) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """What the code returned, by name, and what it was given, to be compared."""
        device, layouts = question["device"], question["layouts"]
        given = {name: self._value(block, device, layouts.get(name)) for name, block in blocks.items()}
        x, w, b, g = (given.get(name) for name in OPERANDS)
        keywords = {name: _tuples(value) for name, value in question["keywords"].items()}
        along = tuple(given.get(name) for name in COTANGENTS)
        if self.kind == "forward":
            from convgrad_cli.gradients.differentiable import differentiate, differentiate_twice

            if along[0] is not None:
                return differentiate_twice(self.functions[0], (x, w, b, g), along, keywords, question), given
            return differentiate(self.functions[0], (x, w, b, g), keywords, question, shapes["output"]), given
        if self.kind == "double_backward":
            return named(self.functions[0](x, w, b, g, *along, **keywords), SECOND), given
        if self.kind == "cs231n":
            return self._run_cs231n((x, w, b, g), question["conv_param"]), given
        if "out" in self.takes:
            keywords["out"] = self._buffers(question, shapes, blocks["input"].dtype)
        returned = self.functions[0](x, w, b, g, **keywords)
        if returned is None and "out" in self.takes:
            returned = keywords["out"]
        return named(returned), given

    def _run_cs231n(self, operands: tuple[Any, ...], parameters: Mapping[str, int]) -> dict[str, Any]:
        x, w, b, g = operands
        forward, backward = self.functions
        returned = forward(x, w, b, dict(parameters))
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise Refusal(f"returned {a(returned)} from conv_forward_naive; expected (out, cache)")
        out, cache = returned
        return {**named(backward(g, cache)), **({} if out is None else {"output": out})}

    def _buffers(self, question: Mapping[str, Any], shapes: Mapping[str, Shape], dtype: str) -> dict[str, Any]:
        """Arrays for the gradients that are asked for: NaN where the call says poison, else 0."""
        found = {}
        for name in GRADIENTS:
            if name in shapes and name.removeprefix("grad_") in question["wanted"]:
                bits = numpy.full(shapes[name], _nan(dtype) if question["poison"] else 0, CARRIERS[dtype])
                found[name] = self._value(Block(dtype, bits), question["device"])
        return found

    def _value(self, block: Block, device: str, layout: str | None = None) -> Any:
        """A copy of the array as the code takes it, in memory as `layout` says."""
        if self.framework != "torch":
            return lay_out(block, layout)
        import torch

        from convgrad_cli.gradients.target import lay_out as lay_out_tensor

        tensor = torch.from_numpy(block.array.copy())
        tensor = tensor.view(torch.bfloat16) if block.dtype == "bfloat16" else tensor
        return lay_out_tensor(tensor.to(device), layout or "contiguous")


def lay_out(block: Block, layout: str | None) -> NDArray[Any]:
    """A copy of the array in memory as `layout` says; see target.py, whose `lay_out` does it for tensors."""
    array = block.array
    if layout == "channels_last":
        axis = 1 if array.ndim > 2 else 0
        return numpy.moveaxis(numpy.moveaxis(array, axis, -1).copy(), -1, axis)
    if layout == "sliced":
        wide = numpy.full((*array.shape[:-1], 2 * array.shape[-1]), _nan(block.dtype), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if layout == "transposed":
        return array.T.copy().T
    if layout == "expanded":
        return as_strided(array.reshape(-1)[:1].copy(), array.shape, (0,) * array.ndim)
    return array.copy()


def _on_host(value: Any) -> NDArray[Any]:
    """The array, or the tensor as one, with the bits of bfloat16 in int16."""
    if isinstance(value, numpy.ndarray):
        return value
    import torch

    tensor = value.detach().cpu()
    found: NDArray[Any] = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return found


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    return array.view(f"u{array.itemsize}")


def _as_given(block: Block, layout: str | None) -> NDArray[Any]:
    bits = _bits(block.array)
    return bits.reshape(-1)[:1] if layout == "expanded" else bits


def load(setup: Mapping[str, Any]) -> Subject:
    """The code that `setup` names. Refusal, or whatever its import raises."""
    functions, sha256 = find(setup)
    return understand(functions, setup["kind"], setup["framework"], sha256)


def find(setup: Mapping[str, Any]) -> tuple[list[Any], str]:
    """The things that a Location as plain data names, and the hash of their file."""
    path, names = setup["path"], setup["names"]
    sys.path.insert(0, os.getcwd())
    if path:
        sys.path.insert(0, str(Path(path).parent))
        module, source = _import_file(Path(path))
    else:
        module = importlib.import_module(setup["module"])
        source = Path(module.__file__).read_bytes() if module.__file__ else b""
    found = [_find(module, name, setup["where"]) for name in names]
    return found, hashlib.sha256(source).hexdigest() if source else ""


def understand(functions: Sequence[Any], kind: str, framework: str, sha256: str = "") -> Subject:
    """Code that is there, with the keywords that its signature takes. Refusal where it can't be called as `kind`."""
    found, takes = list(functions), tuple[str, ...]()
    if any(map(inspect.iscoroutinefunction, found)):
        raise Refusal("is an async function, and a coroutine is no gradient; name a plain one")
    if kind == "forward":
        from convgrad_cli.gradients.differentiable import as_forward

        found[0], takes = as_forward(found[0])
    elif not all(callable(function) for function in found):
        raise Refusal(
            f"is {a(found[0])}, not a function; expected {DOUBLE_BACKWARD if kind == 'double_backward' else BACKWARD}"
        )
    elif kind == "double_backward":
        takes = keywords_of(found[0], 7, DOUBLE_BACKWARD, (*MORE_KEYWORDS, "output_mask"))
    elif kind == "backward":
        takes = keywords_of(found[0], 4, BACKWARD, (*MORE_KEYWORDS, "output_mask", "out"))
    return Subject(tuple(found), kind, framework, takes, sha256)


def keywords_of(function: Callable[..., Any], operands: int, expected: str, more: tuple[str, ...]) -> tuple[str, ...]:
    """The keywords to call `function` with, after that many operands; Refusal where its signature can't take them.

    `**anything` takes the usual four, and what has no signature, as C code has none, is taken at its word.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return KEYWORDS
    parameters = signature.parameters.values()
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes = tuple(n for n in (*KEYWORDS, *more) if n in known or (takes_any and n in KEYWORDS))
    try:
        signature.bind(*range(operands), **dict.fromkeys(takes))
    except TypeError as error:
        raise Refusal(
            f"has the signature {_show(signature)}, which does not fit ({error}); expected {expected}"
        ) from None
    return takes


def _show(signature: inspect.Signature) -> str:
    """The signature without annotations and with defaults as they are."""
    empty = inspect.Parameter.empty
    bare = [p.replace(annotation=empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def _import_file(path: Path) -> tuple[ModuleType, bytes]:
    """The file as a module, and exactly the bytes that were run."""
    source = path.read_bytes()
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else "code_under_test"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise Refusal(f"can't be loaded: {path.name} does not end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look there
    # Not with the __future__ of this file, which would make its annotations text.
    exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    return module, source


def _find(module: ModuleType, name: str, where: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [one for one in dir(found) if not isinstance(getattr(found, one, None), ModuleType)]
            close = difflib.get_close_matches(part, known, 1)
            raise Refusal(f"can't be found: {where} has no {part}" + (f"; did you mean {close[0]}?" if close else ""))
        found = getattr(found, part)
    return found


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _nan(dtype: str) -> float | int:
    return 0x7FC0 if dtype == "bfloat16" else float("nan")
