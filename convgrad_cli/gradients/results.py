"""What a user's function returned, read in the process in which it ran: names, and for each a plain array."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

import numpy
from numpy.typing import NDArray

from convgrad_cli.gradients.channel import CARRIERS, Block, Shape

GRADIENTS = ("grad_input", "grad_weight", "grad_bias")
NAMES = (*GRADIENTS, "output")
SECOND = ("grad_grad_output", "grad_input", "grad_weight")


class Refusal(Exception):
    """Why there is no answer, in words that follow the name of the function."""


class OtherLayer(Refusal):
    """The same where the layer is none that the code is meant for."""


def named(value: Any, order: tuple[str, ...] = GRADIENTS) -> dict[str, Any]:
    """What was returned, by name, without what is None. Refusal where that is not what a function returns here.

    `order` is that of a tuple: GRADIENTS, or SECOND for gradients of gradients.
    """
    names = NAMES if order == GRADIENTS else order
    expected = f"({', '.join(order)}), fewer of them or None for one, or a mapping with these names"
    if isinstance(value, Mapping):
        unknown = [name for name in value if name not in names]
        if unknown:
            raise Refusal(f"returned a mapping with the name {unknown[0]!r}; its names can be {', '.join(names)}")
        found = dict(value)
    elif isinstance(value, tuple | list):
        if not 1 <= len(value) <= len(order):
            raise Refusal(f"returned {len(value)} values; expected {expected}")
        found = dict(zip(order, value, strict=False))
    else:
        if inspect.iscoroutine(value):  # or Python warns of it on standard error
            value.close()
        what = "one array" if _is_array(value) else "None" if value is None else a(value)
        raise Refusal(f"returned {what}; expected {expected}")
    return {name: part for name, part in found.items() if part is not None}


def plain(name: str, value: Any) -> Block:
    """The numbers of `value`, which is any kind of array on any device; integers become float64."""
    if not _is_array(value):
        raise Refusal(f"returned {name} as {a(value)}; expected an array of numbers")
    if "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor):
        return _plain_tensor(name, value)
    # Not imported here: the code may have changed what numpy.ma is made of.
    if "numpy.ma" in sys.modules and sys.modules["numpy.ma"].is_masked(value):
        raise Refusal(f"returned {name} with masked entries, which have no numbers; expected an array without a mask")
    if hasattr(value, "__array__"):
        try:
            return _plain_array(name, numpy.asarray(value))
        except Refusal:
            raise
        except Exception:  # CuPy, for one, refuses to be copied from a GPU this way
            if not hasattr(value, "__dlpack__"):
                raise
    if value.__dlpack_device__()[0] == 1:  # the CPU's number
        return _plain_array(name, numpy.from_dlpack(value))
    import torch

    return _plain_tensor(name, torch.utils.dlpack.from_dlpack(value))


def operand_block(values: Mapping[str, Any], shapes: Mapping[str, Shape]) -> tuple[dict[str, Block], dict[str, Shape]]:
    """The arrays that have the shapes in `shapes`, and the shapes of those that have others."""
    blocks, misshapen = {}, {}
    for name, value in values.items():
        if name not in shapes:
            continue
        # Said before the numbers are read: they may be far more than were asked for.
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple) and shape != shapes[name] and all(isinstance(size, int) for size in shape):
            misshapen[name] = tuple(shape)
            continue
        block = plain(name, value)
        if block.array.shape == shapes[name]:
            blocks[name] = block
        else:
            misshapen[name] = block.array.shape
    return blocks, misshapen


def _plain_array(name: str, array: NDArray[Any]) -> Block:
    kind = array.dtype.name
    if array.dtype.kind in "iu":
        array, kind = array.astype(numpy.float64), "float64"
    if kind not in CARRIERS:
        raise Refusal(f"returned {name} with dtype {kind}; expected float16, bfloat16, float32, float64 or integers")
    array = numpy.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)
    return Block(kind, array.view("i2") if kind == "bfloat16" else array)


def _plain_tensor(name: str, tensor: Any) -> Block:
    import torch

    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return Block("bfloat16", tensor.contiguous().view(torch.int16).numpy())
    return _plain_array(name, tensor.resolve_neg().resolve_conj().numpy())


def a(value: Any) -> str:
    """What kind of thing that is: "a str", "an int"."""
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"


def _is_array(value: Any) -> bool:
    return not isinstance(value, type) and (hasattr(value, "__array__") or hasattr(value, "__dlpack__"))
