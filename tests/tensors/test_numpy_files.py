""".npy and .npz: every number comes through, and nothing is believed that the file does not hold."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest
from refusals import memory_below, refusal

import convgrad_cli
from convgrad_cli.errors import SourceError
from convgrad_cli.tensors import npy
from convgrad_cli.tensors.files import read_file

HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
NOT_PLAIN = "a.npy has a .npy header that does not describe one plain array; save the array again with numpy.save"
CONVERT = "float16, float32, float64 and integers are read: convert it with array.astype('float32')"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def npy_bytes(header: str, data: bytes = bytes(8), version: int = 1) -> bytes:
    encoded = header.encode("latin-1")
    return (
        b"\x93NUMPY" + bytes([version, 0]) + len(encoded).to_bytes(2 if version == 1 else 4, "little") + encoded + data
    )


def save_npz(name: str = "a.npz", **sizes: int) -> None:
    """An archive whose members claim to be `sizes` bytes long when unpacked."""
    with zipfile.ZipFile(name, "w") as archive:
        for key, size in sizes.items():
            archive.writestr(f"{key}.npy", npy_bytes(HEADER))
            archive.infolist()[-1].file_size = size


FLOATS = ["float16", "float32", "float64"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5])
def test_every_dtype_and_rank(dtype: str, rank: int) -> None:
    values = numpy.random.default_rng(rank).integers(0, 100, range(2, 2 + rank)).astype(dtype)
    numpy.save("a.npy", values)
    numbers = read_file("a.npy")
    numpy.testing.assert_array_equal(numbers.array, values, strict=True)
    assert (numbers.dtype, numbers.where) == (dtype if dtype in FLOATS else None, "a.npy")
    assert numbers.array.flags.carray


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("byte_order", "<>")
def test_fortran_order_and_byte_order(order: Any, byte_order: str) -> None:
    values = numpy.arange(24.0).reshape(2, 3, 4)
    numpy.save("a.npy", numpy.array(values, byte_order + "f8", order=order))
    array = read_file("a.npy").array
    numpy.testing.assert_array_equal(array, values, strict=True)
    assert array.flags.carray
    assert array.dtype.isnative


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format(version: tuple[int, int]) -> None:
    with open("a.npy", "wb") as file:
        numpy.lib.format.write_array(file, numpy.arange(3.0), version=version)
    assert read_file("a.npy").array.tolist() == [0, 1, 2]


def test_nan_payloads_infinities_and_minus_zero_come_through() -> None:
    values = numpy.array([numpy.nan, -numpy.nan, numpy.inf, -0.0, 5e-324])
    numpy.save("a.npy", values)
    assert read_file("a.npy").array.tobytes() == values.tobytes()


def test_bool_becomes_0_and_1() -> None:
    Path("a.npy").write_bytes(npy_bytes(HEADER.replace("<f4", "|b1"), b"\x00\x07"))
    array = read_file("a.npy").array
    assert (array.tolist(), array.dtype) == ([0, 1], numpy.uint8)


def test_one_number_has_rank_one() -> None:
    numpy.save("a.npy", numpy.float32(3))
    assert read_file("a.npy").array.shape == (1,)
    assert refusal(read_file, "a.npy", "w") == "a.npy holds a single array without a name; leave out ::w"


@pytest.mark.parametrize(
    ("shape", "declared"),
    [
        ("(1099511627776,)", "4 TiB"),
        ("(4294967296, 4294967296, 4294967296)", "more than 2^80 bytes"),
        ("(4611686018427387904, 4)", "64 EiB"),
        ("(0, 1152921504606846976)", "0 bytes"),
        ("(1,)", "4 bytes"),
        ("(3,)", "12 bytes"),
    ],
)
def test_size_is_exactly_that_of_the_file(shape: str, declared: str) -> None:
    Path("a.npy").write_bytes(npy_bytes(HEADER.replace("(2,)", shape)))
    with memory_below(1e6):
        message = refusal(read_file, "a.npy")
    assert message == f"a.npy declares {declared} of numbers and holds 8 bytes; it was cut or added to: save it again"


@pytest.mark.parametrize(
    ("shape", "data", "message"),
    [
        (
            "(0, 1152921504606846976)",
            b"",
            "has shape (0, 1152921504606846976), which holds no numbers; every axis needs a size of 1 or more",
        ),
        (
            "(1, 1, 1, 1, 1, 2)",
            bytes(8),
            "has 6 axes, shape (1, 1, 1, 1, 1, 2); a tensor here has 1 to 5: drop axes of size 1",
        ),
    ],
)
def test_shapes_that_no_tensor_has(shape: str, data: bytes, message: str) -> None:
    Path("a.npy").write_bytes(npy_bytes(HEADER.replace("(2,)", shape), data))
    assert refusal(read_file, "a.npy") == f"a.npy {message}"


def test_a_file_that_really_is_too_large_is_refused_before_it_is_read() -> None:
    with open("a.npy", "wb") as file:
        start = npy_bytes(HEADER.replace("(2,)", f"({(1 << 29) + 1},)"), b"")
        file.write(start)
        file.truncate(len(start) + (4 << 29) + 4)  # sparse: takes no room on the disk
    with memory_below(1e6):
        message = refusal(read_file, "a.npy")
    assert message == "a.npy declares shape (536870913,), 2 GiB; at most 2 GiB are read: save a smaller tensor"


@pytest.mark.parametrize(
    "header",
    [
        "(" * 9000,
        "{" + "(" * 9000,
        HEADER.replace("(2,)", "(" * 3000 + "2" + ")" * 3000),
        HEADER.replace("(2,)", "(2)"),
        HEADER.replace("(2,)", "(2,,)"),
        HEADER.replace("(2,)", "(-2,)"),
        HEADER.replace("(2,)", "(2.0,)"),
        HEADER.replace("(2,)", f"({'9' * 5000},)"),
        HEADER.replace("(2,)", "(__import__('os').getpid(),)"),
        HEADER.replace("False", "0"),
        HEADER.replace("False", "(2,)"),
        HEADER.replace("'descr'", "'shape'"),
        HEADER.replace("}", "'descr': '<f4', }"),
        HEADER.replace("}", "'extra': '<f4', }"),
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<f4', 'shape': (2,)}",
        " " * 9000 + "x",
        "",
    ],
)
def test_headers_are_matched_never_evaluated(header: str) -> None:
    Path("a.npy").write_bytes(npy_bytes(header))
    assert refusal(read_file, "a.npy") == NOT_PLAIN


def test_headers_in_any_order_of_keys() -> None:
    Path("a.npy").write_bytes(npy_bytes("{'shape': (2,), 'fortran_order': False, 'descr': \"<f4\"}"))
    assert read_file("a.npy").array.tolist() == [0, 0]


def test_a_giant_header_is_not_read() -> None:
    Path("a.npy").write_bytes(npy_bytes("(" * 20_000_000, version=2))
    with memory_below(1e6):
        message = refusal(read_file, "a.npy")
    assert message == (
        "a.npy has a .npy header of 19.07 MiB; plain numbers need less than 9.766 KiB: "
        "save the array again with numpy.save"
    )


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (numpy.array([{}], object), "'|O'"),
        (numpy.zeros(2, "M8[s]"), "'<M8[s]'"),
        (numpy.zeros(2, "m8[s]"), "'<m8[s]'"),
        (numpy.zeros(2, "V4"), "'|V4'"),
        (numpy.zeros(2, "c8"), "'<c8'"),
        (numpy.zeros(2, "c16"), "'<c16'"),
        (numpy.array(["1"]), "'<U1'"),
        (numpy.array([b"1"]), "'|S1'"),
    ],
)
def test_only_numbers(array: Any, kind: str) -> None:
    numpy.save("a.npy", array, allow_pickle=True)
    assert refusal(read_file, "a.npy") == f"a.npy holds {kind} elements; {CONVERT}"
    numpy.savez("a.npz", array)
    assert refusal(read_file, "a.npz") == f"a.npz::arr_0 holds {kind} elements; {CONVERT}"


@pytest.mark.parametrize(
    ("data", "start"),
    [(b"", "nothing"), (b"hello world", "68 65 6c 6c 6f 20 77 6f"), (b"\x93NUMPY\x09\x00", "93 4e 55 4d 50 59 09 00")],
)
def test_what_is_not_npy(data: bytes, start: str) -> None:
    Path("a.npy").write_bytes(data)
    assert refusal(read_file, "a.npy") == f"a.npy is not a .npy file: it starts with {start}; use numpy.save"


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_npz_round_trip(save: Any) -> None:
    values = {"x": numpy.arange(6, dtype=numpy.int16).reshape(2, 3), "w.grad": numpy.ones((1, 2), ">f4", order="F")}
    save("a.npz", **values)
    for name, expected in values.items():
        for key in (name, f"{name}.npy"):
            numbers = read_file("a.npz", key)
            assert numbers.array.tolist() == expected.tolist()
            assert numbers.where == f"a.npz::{name}"
    assert read_file("a.npz", "w.grad").dtype == "float32"


def test_npz_with_one_array_needs_no_name() -> None:
    numpy.savez("a.npz", numpy.ones(3))
    numbers = read_file("a.npz")
    assert (numbers.array.tolist(), numbers.where) == ([1, 1, 1], "a.npz::arr_0")


def test_npz_names_are_listed() -> None:
    numpy.savez("a.npz", x=numpy.ones(3), w=numpy.ones(3))
    assert refusal(read_file, "a.npz") == "a.npz has 2 arrays; name one, as in FILE::x: it has x, w"
    assert refusal(read_file, "a.npz", "q") == "a.npz has no array named 'q'; it has x, w"
    numpy.savez("a.npz", **{f"w{i}": numpy.ones(1) for i in range(12)})
    assert refusal(read_file, "a.npz").endswith("it has w0, w1, w2, w3, w4, w5, w6, w7, w8, w9 and 2 more")


def test_npz_names_are_labels_only(tmp_path: Path) -> None:
    numpy.savez("a.npz", **{"../../evil": numpy.ones(2), "\x1b[31m": numpy.ones(3), "n" * 60000: numpy.ones(4)})
    listed = f"../../evil, \\x1b[31m, {'n' * 60}... (60000 characters)"
    assert refusal(read_file, "a.npz").endswith(f"it has {listed}")
    assert read_file("a.npz", "../../evil").array.tolist() == [1, 1]
    assert read_file("a.npz", "\x1b[31m").where == "a.npz::\\x1b[31m"
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_npz_duplicates_are_refused() -> None:
    numpy.savez("a.npz", x=numpy.ones(3))
    with zipfile.ZipFile("a.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("x.npy", npy_bytes(HEADER))
    message = "a.npz has two members named 'x.npy'; save it again with distinct names"
    assert refusal(read_file, "a.npz", "x") == message


def test_npz_budget_covers_all_members() -> None:
    save_npz(x=(3 << 29) + 1, w=1 << 29)
    message = "a.npz holds 2 GiB when unpacked; at most 2 GiB are read: save only the tensors you need"
    assert refusal(read_file, "a.npz", "w") == message


def test_npz_that_unpacks_to_more_than_it_says() -> None:
    big = npy_bytes(HEADER.replace("(2,)", "(4194304,)"), bytes(16 << 20))
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", big)
        archive.infolist()[0].file_size = len(big) - (15 << 20)
    with memory_below(6e6):
        message = refusal(read_file, "a.npz")
    assert message.startswith("a.npz::x declares 16 MiB of numbers and holds 1 MiB")


def test_npz_that_unpacks_to_less_than_it_says() -> None:
    data = npy_bytes(HEADER.replace("(2,)", "(4,)"))
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", data)
        archive.infolist()[0].file_size = len(data) + 8
    assert refusal(read_file, "a.npz") == "a.npz::x ends after 8 bytes of 16 bytes; save it again"


def test_honest_zeros_compress_a_thousand_to_one() -> None:
    numpy.savez_compressed("a.npz", grad=numpy.zeros(1 << 21))
    assert Path("a.npz").stat().st_size < (16 << 20) / 900
    assert read_file("a.npz").array.shape == (1 << 21,)


def test_npz_encrypted() -> None:
    save_npz(x=len(npy_bytes(HEADER)))
    data = bytearray(Path("a.npz").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    Path("a.npz").write_bytes(data)
    assert refusal(read_file, "a.npz") == "a.npz is encrypted; save it again without a password"


def test_npz_with_other_compression() -> None:
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy_bytes(HEADER))
    assert (
        refusal(read_file, "a.npz")
        == "a.npz is packed in a way that numpy does not use; save it again with numpy.savez"
    )


def test_npz_whose_directory_alone_is_large() -> None:
    with zipfile.ZipFile("a.npz", "w") as archive:
        for i in range(80):
            archive.writestr(f"{i:0>60000}", b"")
    with memory_below(2.5 * npy.DIRECTORY_BYTES):
        message = refusal(read_file, "a.npz")
    assert message == "a.npz lists its members in more than 4 MiB; save the tensors you need in an archive of their own"


def test_npz_damage_of_every_byte_is_refused_or_harmless() -> None:
    stream = io.BytesIO()
    numpy.savez_compressed(stream, x=numpy.arange(4.0))
    data = stream.getvalue()
    messages = []
    for position in range(len(data)):
        Path("a.npz").write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        try:
            assert read_file("a.npz").array.tolist() == [0, 1, 2, 3]
        except SourceError as error:
            messages.append(str(error))
    assert len(messages) > len(data) / 2
    assert all(message.startswith("a.npz") and message.isprintable() for message in messages)
    for length in range(0, len(data), 7):
        Path("a.npz").write_bytes(data[:length])
        assert (
            refusal(read_file, "a.npz")
            == "a.npz is a damaged zip archive (File is not a zip file); save or copy it again"
        )


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_npz_checksums_are_compared(save: Any) -> None:
    save("a.npz", x=numpy.arange(1000.0))
    data = bytearray(Path("a.npz").read_bytes())
    data[data.rindex(b"PK\x01\x02") + 16] ^= 1
    Path("a.npz").write_bytes(data)
    message = "a.npz is a damaged zip archive (Bad CRC-32 for file 'x.npy'); save or copy it again"
    assert refusal(read_file, "a.npz") == message


def test_npz_without_arrays() -> None:
    with zipfile.ZipFile("a.npz", "w") as archive:
        archive.writestr("readme.txt", "none here")
    assert refusal(read_file, "a.npz") == "a.npz holds no array of numbers; save at least one tensor in it"


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt", "a.safetensors"])
def test_booleans_are_noted(name: str) -> None:
    import torch
    from safetensors.torch import save_file

    truth = torch.tensor([[True, False]])
    save = {
        "a.npy": lambda: numpy.save(name, truth.numpy()),
        "a.npz": lambda: numpy.savez(name, a=truth.numpy()),
        "a.pt": lambda: torch.save(truth, name),
        "a.safetensors": lambda: save_file({"a": truth}, name),
    }
    save[name]()
    where = name if name in ("a.npy", "a.pt") else f"{name}::a"
    assert read_file(name).notes == (f"{where} holds booleans; True was read as 1, False as 0",)
    report = convgrad_cli.inspect(input=name, kernel_size=1)
    assert f"{where} holds booleans; True was read as 1, False as 0" in report.notes
    given = convgrad_cli.inspect(input=truth, kernel_size=1)
    assert "input holds booleans; True was read as 1, False as 0" in given.notes
