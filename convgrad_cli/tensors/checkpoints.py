"""Tensors saved by torch (.pt, .pth) and in .safetensors files: plain ones only, and never anything that runs code."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from convgrad_cli.errors import SourceError
from convgrad_cli.safe import safe
from convgrad_cli.tensors.npy import ZIP_MAGIC, open_archive
from convgrad_cli.tensors.numbers import Numbers, check_shape, choose, join_name, make_numbers, refuse_key, size_text

if TYPE_CHECKING:
    import torch

OLDEST_TORCH = (2, 10)  # CVE-2025-32434 and CVE-2026-24747: before, weights_only=True could run code
DESCRIPTION_BYTES = 16 << 20
"""The most that names, shapes and dtypes may take in a file; objects made from them take up to 60 times as much."""

OLD_MAGIC = b"\x80\x02"
"""A pickle of protocol 2: what torch.save wrote before it made archives."""

SAFETENSORS_DTYPES = {
    "BF16": ("bfloat16", 4),  # widened to float32
    "F16": ("float16", 2),
    "F32": ("float32", 4),
    "F64": ("float64", 8),
    **{f"{sign}{bits}": (None, bits // 8) for sign in "IU" for bits in (8, 16, 32, 64)},
    "BOOL": (None, 1),
}
TORCH_DTYPES = (
    *("float16", "float32", "float64", "bfloat16"),
    *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "bool"),
)

_READABLE = "floats of 16 to 64 bits and integers are read: save tensor.float()"


def read_pt(file: IO[bytes], key: str | None, where: str) -> Numbers:
    """The tensor in a file of torch.save, or the one that `key` names in a dict, list or state_dict.

    Names have dots where containers are nested.
    """
    import torch

    if tuple(map(int, re.findall("[0-9]+", torch.__version__)[:2])) < OLDEST_TORCH:
        raise SourceError(
            f"{where} needs torch 2.10 or newer, which reads .pt files without running code (CVE-2025-32434, "
            f"CVE-2026-24747), and this is {torch.__version__}; update torch, or save as .safetensors or .npy"
        )
    _check_archive(file, where)
    loaded = _load(file, where)
    if isinstance(loaded, torch.Tensor):
        refuse_key(key, where)
        return _to_numbers(loaded, where)
    tensors = list(_tensors(loaded, where))
    name = choose([name for name, _ in tensors], key, where)
    return _to_numbers(dict(tensors)[name], f"{where}::{safe(name)}")


def _check_archive(file: IO[bytes], where: str) -> None:
    """Refuse what torch.save does not write, and sizes that would only show while torch loads them."""
    if file.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
        raise SourceError(
            f"{where} is not an archive as torch.save writes since torch 1.6; save it again with torch.save"
        )
    with open_archive(file, where) as (_, members):
        if any(member.filename.endswith("/constants.pkl") for member in members):
            raise SourceError(f"{where} is a TorchScript program; save only its tensors, with torch.save")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise SourceError(f"{where} was compressed after torch.save wrote it; save it again with torch.save")
        described = sum(member.file_size for member in members if member.filename.endswith(".pkl"))
        if described > DESCRIPTION_BYTES:
            raise SourceError(
                f"{where} has {size_text(described)} of objects beside its tensors, more than "
                f"{size_text(DESCRIPTION_BYTES)}; save only tensors, as in torch.save(model.state_dict(), ...)"
            )


def _load(file: IO[bytes], where: str) -> Any:
    import torch

    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch thinks of such a file is told in one line
            return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a pickle made by someone else can make the loader raise anything
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f" (it needs {safe(named[1], 80)})" if named else ""
        raise SourceError(
            f"{where} holds more than plain tensors{reason}, or is damaged; save only tensors, "
            "as in torch.save(model.state_dict(), ...)"
        ) from None


def _tensors(loaded: Any, where: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in nested dicts and lists, with their dotted names; what is shared keeps the name met first."""
    import torch

    containers = (dict, list, tuple)
    waiting: list[tuple[str, Any]] = [("", loaded)]
    seen: set[int] = set()
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, containers) and id(value) not in seen:
            seen.add(id(value))
            entries = list(value.items() if isinstance(value, dict) else enumerate(value))
            waiting += [
                (join_name(name, key, where), entry)
                for key, entry in reversed(entries)
                if isinstance(entry, (torch.Tensor, *containers))
            ]


def _to_numbers(tensor: torch.Tensor, where: str) -> Numbers:
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    oddities = {
        f"of type {type(tensor).__name__}": type(tensor) not in (torch.Tensor, torch.nn.Parameter),
        "nested": tensor.is_nested,
        "quantized": tensor.is_quantized,
        f"laid out as {tensor.layout}": tensor.layout != torch.strided,
        f"without numbers, on device {tensor.device}": tensor.device.type != "cpu",
    }
    odd = next((what for what, applies in oddities.items() if applies), None)
    if odd:
        raise SourceError(
            f"{where} is {safe(odd, 80)}; only dense tensors are read: save tensor.dequantize(), .to_dense()"
        )
    if dtype not in TORCH_DTYPES:
        raise SourceError(f"{where} has dtype {dtype}; {_READABLE}")
    check_shape(tuple(tensor.shape), max(tensor.itemsize, 4 if dtype == "bfloat16" else 1), where)
    needed, stored = tensor.numel() * tensor.itemsize, tensor.untyped_storage().nbytes()
    if needed > stored:
        raise SourceError(
            f"{where} has {size_text(needed)} of numbers and stores {size_text(stored)} (an expanded tensor); "
            "save tensor.contiguous()"
        )
    array = (tensor.float() if dtype == "bfloat16" else tensor).numpy(force=True)
    return make_numbers(array, where, dtype if tensor.is_floating_point() else None)


def read_safetensors(path: str, key: str | None, where: str) -> Numbers:
    """The tensor named `key`, or the only one.

    The library maps the file, so only the chosen tensor takes memory and the file itself may be of any size.
    """
    from safetensors import SafetensorError, safe_open

    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > DESCRIPTION_BYTES:
        raise SourceError(
            f"{where} declares a header of {size_text(length)}, more than {size_text(DESCRIPTION_BYTES)}; "
            "it is damaged, or save the tensors you need in a file of their own"
        )
    try:
        with safe_open(path, framework="np") as opened:
            name = choose(list(opened.keys()), key, where)
            part = opened.get_slice(name)
            shape, code = tuple(part.get_shape()), str(part.get_dtype())
            where = f"{where}::{safe(name)}"
            if code not in SAFETENSORS_DTYPES:
                raise SourceError(f"{where} has dtype {safe(code, 40)}; {_READABLE}")
            dtype, itemsize = SAFETENSORS_DTYPES[code]
            check_shape(shape, itemsize, where)
            if dtype != "bfloat16":
                return make_numbers(opened.get_tensor(name), where, dtype)
        with safe_open(path, framework="pt") as opened:  # numpy has no bfloat16
            return make_numbers(opened.get_tensor(name).float().numpy(), where, dtype)
    except SafetensorError as error:
        reason = safe(str(error), 80)
        raise SourceError(f"{where} is not a whole .safetensors file ({reason}); save or copy it again") from None


def read_state(path: str, key: str | None, where: str) -> dict[str, torch.Tensor]:
    """Every tensor of a .pt or .safetensors file by its dotted name, or those below `key`. Raises SourceError.

    What torch wrote before version 1.6 is read too. It says only while it is loaded how large it is, so that this is
    for a process whose memory is limited.
    """
    if path.lower().endswith(".safetensors"):
        found = _read_safe_state(path, where)
    else:
        with open(path, "rb") as file:
            if not file.peek(2).startswith(OLD_MAGIC):
                _check_archive(file, where)
            found = dict(_tensors(_load(file, where), where))
    if key is None:
        return found
    below = {name.removeprefix(f"{key}."): tensor for name, tensor in found.items() if name.startswith(f"{key}.")}
    if not below:
        raise SourceError(f"{where} has no tensors below {safe(key)!r}; it has {_few(list(found))}")
    return below


def _read_safe_state(path: str, where: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # it is no mapping
    except SafetensorError as error:
        reason = safe(str(error), 80)
        raise SourceError(f"{where} is not a whole .safetensors file ({reason}); save or copy it again") from None


def _few(names: list[str]) -> str:
    listed = ", ".join(safe(name, 60) for name in names[:5])
    return f"{listed} and {len(names) - 5} more" if len(names) > 5 else listed or "none at all"
