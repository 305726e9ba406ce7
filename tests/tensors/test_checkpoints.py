""".pt and .safetensors: plain dense tensors come through, code never runs, no size is believed that is not stored."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from refusals import memory_below, refusal
from safetensors.torch import save_file

from convgrad_cli.errors import SourceError
from convgrad_cli.tensors.files import read_file

FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]
READABLE = "floats of 16 to 64 bits and integers are read: save tensor.float()"
MORE = "or is damaged; save only tensors, as in torch.save(model.state_dict(), ...)"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save_pt(value: Any, **options: Any) -> str:
    torch.save(value, "a.pt", **options)
    return "a.pt"


def save_parts(header: Any, data: bytes = b"", length: int | None = None) -> str:
    """A .safetensors file of a header (JSON, or raw bytes) and data."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    Path("a.safetensors").write_bytes((length or len(encoded)).to_bytes(8, "little") + encoded + data)
    return "a.safetensors"


def part(start: int, end: int, shape: list[int] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape or [2], "data_offsets": [start, end]}


@pytest.mark.parametrize("suffix", ["pt", "pth", "safetensors", "bin"])
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_every_dtype(dtype: str, suffix: str) -> None:
    tensor = (torch.arange(6).reshape(2, 3) % 5 / (8 if dtype in FLOATS else 1)).to(getattr(torch, dtype))
    if suffix == "safetensors":
        save_file({"w": tensor}, "a.safetensors")
    else:
        torch.save({"w": tensor}, f"a.{suffix}")
    numbers = read_file(f"a.{suffix}", "w")
    stored = {"bfloat16": "float32", "bool": "uint8"}.get(dtype, dtype)
    assert (numbers.array.dtype.name, numbers.dtype) == (stored, dtype if dtype in FLOATS else None)
    assert numbers.array.tolist() == tensor.to(torch.float64).tolist()
    assert numbers.where == f"a.{suffix}::w"
    assert numbers.array.flags.carray


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5])
def test_every_rank(rank: int) -> None:
    tensor = torch.randn(*range(2, 2 + rank))
    save_file({"w": tensor}, "a.safetensors")
    for name in (save_pt(tensor), "a.safetensors"):
        numpy.testing.assert_array_equal(read_file(name).array, tensor.numpy(), strict=True)


def test_views_parameters_and_single_numbers() -> None:
    tensor = torch.arange(24.0).reshape(2, 3, 4)
    assert read_file(save_pt(tensor.transpose(0, 2)[1::2])).array.tolist() == tensor.transpose(0, 2)[1::2].tolist()
    assert read_file(save_pt(torch.nn.Parameter(tensor))).array.tolist() == tensor.tolist()
    assert read_file(save_pt(torch.tensor(3.0))).array.tolist() == [3]


def test_state_dicts_and_nested_containers_have_dotted_names() -> None:
    layer = torch.nn.Conv2d(2, 3, 2)
    save_pt(
        {"epoch": 3, "model": layer.state_dict(), "grads": [torch.ones(1), (torch.zeros(2),)], "betas": (), "no": ()}
    )
    listed = "model.weight, model.bias, grads.0, grads.1.0"
    assert refusal(read_file, "a.pt") == f"a.pt has 4 arrays; name one, as in FILE::model.weight: it has {listed}"
    assert refusal(read_file, "a.pt", "q\x1b") == f"a.pt has no array named 'q\\\\x1b'; it has {listed}"
    numpy.testing.assert_array_equal(read_file("a.pt", "model.weight").array, layer.weight.detach().numpy())
    assert read_file("a.pt", "grads.1.0").array.tolist() == [0, 0]


def test_a_lone_tensor_has_no_name() -> None:
    assert refusal(read_file, save_pt(torch.ones(1)), "w") == "a.pt holds a single array without a name; leave out ::w"


def test_containers_that_hold_themselves_or_grow() -> None:
    loop: dict[str, Any] = {"w": torch.ones(1)}
    loop["again"] = loop
    assert read_file(save_pt(loop)).where == "a.pt::w"
    wide: Any = [torch.ones(1)]
    for _ in range(60):
        wide = [wide, wide]
    assert read_file(save_pt(wide)).array.tolist() == [1]
    names: Any = {"w": torch.ones(1)}
    for _ in range(20):
        names = {"k" * 100: names}
    message = "a.pt has a name that is not text of at most 1000 characters; save it with short names"
    assert refusal(read_file, save_pt(names)) == message
    assert refusal(read_file, save_pt({(1, 2): torch.ones(1)})) == message
    assert refusal(read_file, save_pt({10**30: torch.ones(1)})) == message


def test_two_tensors_of_one_name() -> None:
    message = "a.pt has two arrays named 'a.b'; save it again with distinct names"
    assert refusal(read_file, save_pt({"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}})) == message


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("environment", ["0", "1"])
def test_code_never_runs(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", environment)
    for value in (_Runs(), {"w": torch.ones(2), "x": _Runs()}):
        message = refusal(read_file, save_pt(value), "w")
        assert message == f"a.pt holds more than plain tensors (it needs {os.mkdir.__module__}.mkdir), {MORE}"
    assert not Path("ran").exists()
    torch.load("a.pt", weights_only=False)
    assert Path("ran").exists()  # the file would have run code


def test_whole_modules_are_refused() -> None:
    message = refusal(read_file, save_pt(torch.nn.Conv2d(1, 1, 1)))
    assert message == f"a.pt holds more than plain tensors (it needs torch.nn.modules.conv.Conv2d), {MORE}"


@pytest.mark.parametrize(
    ("version", "known"), [("2.9.1+cpu", False), ("1.13.0", False), ("2.10.0", True), ("3.0a1", True)]
)
def test_old_torch_does_not_read_pt(version: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pt(torch.ones(1))
    monkeypatch.setattr(torch, "__version__", version)
    if known:
        assert read_file("a.pt").array.tolist() == [1]
    else:
        assert refusal(read_file, "a.pt") == (
            "a.pt needs torch 2.10 or newer, which reads .pt files without running code (CVE-2025-32434, "
            f"CVE-2026-24747), and this is {version}; update torch, or save as .safetensors or .npy"
        )


DENSE = "only dense tensors are read: save tensor.dequantize(), .to_dense()"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.ones(1).expand(2**40),
            "declares shape (1099511627776,), 4 TiB; at most 2 GiB are read: save a smaller tensor",
        ),
        (
            lambda: torch.ones(1).expand(2**20),
            "has 4 MiB of numbers and stores 4 bytes (an expanded tensor); save tensor.contiguous()",
        ),
        (
            lambda: torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.long), torch.ones(1), (2**30, 2**30)),
            f"is laid out as torch.sparse_coo; {DENSE}",
        ),
        (lambda: torch.ones(2, 2).to_sparse_csr(), f"is laid out as torch.sparse_csr; {DENSE}"),
        (
            lambda: torch.ones(1, dtype=torch.bfloat16).expand(3 << 28),  # 1.5 GiB, and 3 GiB once it is widened
            "declares shape (805306368,), 3 GiB; at most 2 GiB are read: save a smaller tensor",
        ),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), f"is nested; {DENSE}"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), f"is quantized; {DENSE}"),
        (lambda: torch.ones(2**40, device="meta"), f"is without numbers, on device meta; {DENSE}"),
        (lambda: torch.ones(2, dtype=torch.complex64), f"has dtype complex64; {READABLE}"),
        (lambda: torch.ones(2).to(torch.float8_e4m3fn), f"has dtype float8_e4m3fn; {READABLE}"),
        (
            lambda: torch.ones(0, 3),
            "has shape (0, 3), which holds no numbers; every axis needs a size of 1 or more",
        ),
        (
            lambda: torch.ones(1, 1, 1, 1, 1, 1),
            "has 6 axes, shape (1, 1, 1, 1, 1, 1); a tensor here has 1 to 5: drop axes of size 1",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, about making sparse and quantized tensors
def test_only_plain_tensors_that_are_stored(make: Callable[[], torch.Tensor], message: str) -> None:
    save_pt({"w": make()})
    with memory_below(6e6):
        assert refusal(read_file, "a.pt") == f"a.pt::w {message}"


class _Own(torch.Tensor):
    pass


def test_own_kinds_of_tensors_that_this_process_trusts_elsewhere() -> None:
    save_pt(torch.ones(2).as_subclass(_Own))
    with torch.serialization.safe_globals([_Own]):
        assert refusal(read_file, "a.pt") == f"a.pt is of type _Own; {DENSE}"


def test_tensors_saved_on_a_gpu() -> None:
    save_pt(torch.ones(2))
    with zipfile.ZipFile("a.pt") as old, zipfile.ZipFile("b.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0"))
    assert b"cuda:0" in Path("b.pt").read_bytes()
    assert read_file("b.pt").array.tolist() == [1, 1]


def test_archives_packed_again() -> None:
    save_pt(torch.zeros(100_000))
    with zipfile.ZipFile("a.pt") as old, zipfile.ZipFile("b.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert Path("b.pt").stat().st_size < 5000
    assert refusal(read_file, "b.pt") == "b.pt was compressed after torch.save wrote it; save it again with torch.save"


def test_sizes_are_summed_before_torch_sees_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    save_pt([torch.ones(1), torch.ones(2)])
    with zipfile.ZipFile("a.pt", "a") as archive:
        archive.writestr("archive/more", b"")
        for member in archive.infolist()[:2]:
            member.file_size = 3 << 29
    monkeypatch.setattr(torch, "load", None)
    message = "a.pt holds 3 GiB when unpacked; at most 2 GiB are read: save only the tensors you need"
    assert refusal(read_file, "a.pt") == message


def test_other_objects_are_counted_before_torch_sees_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    save_pt([b"a" * (17 << 20)])
    monkeypatch.setattr(torch, "load", None)
    assert refusal(read_file, "a.pt").startswith(
        "a.pt has 17 MiB of objects beside its tensors, more than 16 MiB; save"
    )


def test_old_pickles_and_programs() -> None:
    save_pt(torch.ones(2), _use_new_zipfile_serialization=False)
    message = "a.pt is not an archive as torch.save writes since torch 1.6; save it again with torch.save"
    assert refusal(read_file, "a.pt") == message
    with zipfile.ZipFile("b.pt", "w") as archive:
        archive.writestr("b/constants.pkl", b"")
    assert refusal(read_file, "b.pt") == "b.pt is a TorchScript program; save only its tensors, with torch.save"


def test_damaged_archives() -> None:
    save_pt(torch.ones(100))
    data = Path("a.pt").read_bytes()
    Path("a.pt").write_bytes(data[:-100])
    assert refusal(read_file, "a.pt") == "a.pt is a damaged zip archive (File is not a zip file); save or copy it again"
    messages = []
    for position in range(0, len(data), 13):
        Path("a.pt").write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        try:
            assert read_file("a.pt").array.shape == (100,)
        except SourceError as error:
            messages.append(str(error))
    assert messages
    assert all(message.startswith("a.pt ") and message.isprintable() for message in messages)


def test_containers_without_tensors() -> None:
    for value in ({}, {"lr": 0.1}, 5, "text"):
        assert refusal(read_file, save_pt(value)) == "a.pt holds no array of numbers; save at least one tensor in it"


def test_safetensors_names_are_listed() -> None:
    save_file({"w": torch.ones(2), "b\x1b": torch.ones(1)}, "a.safetensors")
    message = refusal(read_file, "a.safetensors")
    assert message.startswith("a.safetensors has 2 arrays; name one, as in FILE::")
    assert "b\\x1b" in message
    assert read_file("a.safetensors", "b\x1b").where == "a.safetensors::b\\x1b"
    assert refusal(read_file, "a.safetensors", "q").startswith("a.safetensors has no array named 'q'; it has ")


WHOLE = "a.safetensors is not a whole .safetensors file (Error while deserializing header: "


@pytest.mark.parametrize(
    ("header", "size", "length", "message"),
    [
        ({"w": part(0, 8)}, 7, None, WHOLE),
        ({"w": part(0, 8)}, 9, None, WHOLE),
        ({"w": part(0, 8), "v": part(4, 12)}, 12, None, WHOLE),
        ({"w": part(0, 8), "v": part(12, 20)}, 20, None, WHOLE),
        ({"w": part(0, 8, [2**40])}, 8, None, WHOLE),
        ({"w": part(0, 8, [2**40, 2**40])}, 8, None, WHOLE),
        (b"[" * 5000, 0, None, WHOLE),
        (b"{", 0, 2**40, "a.safetensors declares a header of 1 TiB, more than 16 MiB; it is damaged, or save"),
        (b"{", 0, 17 << 20, "a.safetensors declares a header of 17 MiB, more than 16 MiB; it is damaged, or save"),
        ({"w": part(0, 0, [0, 2**60])}, 0, None, "a.safetensors::w has shape (0, 1152921504606846976), which holds no"),
        ({"w": part(0, 8, [2, 1, 1, 1, 1, 1])}, 8, None, "a.safetensors::w has 6 axes, shape (2, 1, 1, 1, 1, 1); a"),
        ({"w": part(0, 16, dtype="C64")}, 16, None, f"a.safetensors::w has dtype C64; {READABLE}"),
        ({"w": part(0, 2, dtype="F8_E4M3")}, 2, None, f"a.safetensors::w has dtype F8_E4M3; {READABLE}"),
        ({}, 0, None, "a.safetensors holds no array of numbers; save at least one tensor in it"),
    ],
)
def test_safetensors_refusals(header: Any, size: int, length: int | None, message: str) -> None:
    assert refusal(read_file, save_parts(header, bytes(size), length)).startswith(message)


def test_safetensors_cap_on_one_tensor_and_none_on_the_file() -> None:
    count = (1 << 29) + 1
    name = save_parts({"large": part(0, 4 * count, [count]), "w": part(4 * count, 4 * count + 8)})
    os.truncate(name, Path(name).stat().st_size + 4 * count + 8)  # sparse: takes no room on the disk
    assert read_file(name, "w").array.tolist() == [0, 0]
    message = "a.safetensors::large declares shape (536870913,), 2 GiB; at most 2 GiB are read: save a smaller tensor"
    assert refusal(read_file, name, "large") == message
