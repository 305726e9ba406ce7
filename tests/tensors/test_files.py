"""Files, standard input and their limits, whatever the format."""

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from refusals import refusal
from safetensors.torch import save_file

from convgrad_cli.tensors import files
from convgrad_cli.tensors.files import read_file, read_stdin, read_text
from convgrad_cli.tensors.numbers import TENSOR_BYTES, TEXT_BYTES, make_numbers
from convgrad_cli.tensors.sources import read_source


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def send(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_importing_and_reading_text_needs_neither_numpy_nor_torch_before_numbers() -> None:
    code = (
        "import sys; from convgrad_cli.tensors import files\n"
        "try: files.read_file('missing.npy')\n"
        "except files.SourceError as error: print(error, {'numpy', 'torch', 'safetensors'} & set(sys.modules))\n"
        "files.read_text('1 2', '--x'); print('torch' in sys.modules)"
    )
    root = Path(files.__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout == "missing.npy does not exist; check the name set()\nFalse\n"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.npy", "missing.npy does not exist; check the name"),
        ("", "'' does not exist; check the name"),
        ("a\0b", "a\\x00b cannot be the name of a file (embedded null byte); check the name"),
        ("\x1b[31m\u202e.npy", "\\x1b[31m\\u202e.npy does not exist; check the name"),
        ("[/x].npy", "[/x].npy does not exist; check the name"),
        (
            "n" * 1_000_000,
            f"{'n' * 200}... (1000000 characters) cannot be read (File name too long); "
            "check the file and its permissions",
        ),
        (".", ". is a directory; name a file in it"),
        ("/dev/zero", "/dev/zero is a device, not a file; give - and send it to standard input"),
    ],
)
def test_names_that_are_no_files(path: str, message: str) -> None:
    assert refusal(read_file, path) == message


def test_lone_surrogates_in_names() -> None:
    assert refusal(read_file, "\ud800.npy").startswith("\\ud800.npy cannot be the name of a file (")


def test_directories_pipes_and_sockets_are_refused_without_hanging() -> None:
    os.mkdir("d.npy")
    os.mkfifo("pipe.npy")
    assert refusal(read_file, "d.npy") == "d.npy is a directory; name a file in it"
    message = "pipe.npy is a pipe, not a file; give - and send it to standard input"
    assert refusal(read_file, "pipe.npy") == message
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.npy")
        assert refusal(read_file, "s.npy") == "s.npy is not a regular file; copy it to one"


def test_a_file_swapped_for_a_pipe_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo("pipe.npy")
    Path("file").touch()
    stat = os.stat("file")
    monkeypatch.setattr(os, "stat", lambda path: stat)
    assert "is a pipe, not a file" in refusal(read_file, "pipe.npy")


def test_links_are_followed_and_loops_refused() -> None:
    numpy.save("a.npy", numpy.ones(2))
    os.symlink("a.npy", "link.npy")
    os.symlink("loop.npy", "loop.npy")
    assert read_file("link.npy").array.tolist() == [1, 1]
    message = "loop.npy cannot be read (Too many levels of symbolic links); check the file and its permissions"
    assert refusal(read_file, "loop.npy") == message


def test_unreadable_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    Path("a.npy").touch()
    monkeypatch.setattr(os, "open", denied)  # root can read everything
    assert refusal(read_file, "a.npy") == "a.npy cannot be read (Permission denied); check the file and its permissions"


def test_memory_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    numpy.save("a.npy", numpy.ones(2))
    monkeypatch.setattr(numpy, "empty", full)
    assert refusal(read_file, "a.npy") == "a.npy needs more memory than there is; give a smaller tensor"


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.txt", "a.dat"])
def test_text_has_a_budget(name: str) -> None:
    with open(name, "wb") as file:
        file.truncate(TEXT_BYTES + 1)  # sparse: takes no room on the disk
    assert refusal(read_file, name) == f"{name} has more than 64 MiB of text; save the array as .npy"


def test_inline_text_has_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "TEXT_BYTES", 10)
    assert refusal(read_text, "1 " * 6, "--x") == "--x has 12 characters; at most 10 are read: put them in a .npy file"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"\x1f\x8b\x08", "gzip data"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"\x80\x04]", "a Python pickle"),
    ],
)
def test_what_is_known_of_other_files(data: bytes, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.data").write_bytes(data)
    rest = (
        "numbers are read from .npy, .npz, .pt, .pth, .safetensors, .csv, .tsv, .json, .txt: "
        "convert it, with numpy.save say"
    )
    assert refusal(read_file, "a.data") == f"a.data is {what}; {rest}"
    send(data, monkeypatch)
    assert refusal(read_stdin) == f"standard input is {what}; {rest}"


def test_other_names_are_told_apart_by_their_first_bytes() -> None:
    numpy.save("a.npy", numpy.ones(2, numpy.float16))
    numpy.savez("a.npz", w=numpy.ones(3))
    torch.save({"w": torch.ones(4)}, "a.pt")
    save_file({"w": torch.ones(5)}, "a.safetensors")
    Path("a.json").write_text("\n[1, 2, 3, 4, 5, 6]")
    for i, name in enumerate(["a.npy", "a.npz", "a.pt", "a.safetensors", "a.json"]):
        os.rename(name, "a.thing")
        assert read_file("a.thing").array.shape == (i + 2,)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"1 2; 3 4", [[1, 2], [3, 4]]),
        (b"\xef\xbb\xbf1,2\r\n3,4\r\n", [[1, 2], [3, 4]]),
        (b' [1, "NaN"]', [1, numpy.nan]),
        (b'{"w": [1, 2]}', [1, 2]),
    ],
)
def test_standard_input_as_text(data: bytes, expected: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    send(data, monkeypatch)
    numpy.testing.assert_array_equal(read_stdin().array, numpy.array(expected))


def test_standard_input_as_archives(monkeypatch: pytest.MonkeyPatch) -> None:
    values = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
    for save in (
        lambda stream: numpy.save(stream, values),
        lambda stream: numpy.savez(stream, values),
        lambda stream: torch.save(torch.from_numpy(values), stream),
    ):
        stream = io.BytesIO()
        save(stream)
        send(stream.getvalue(), monkeypatch)
        numbers = read_stdin()
        numpy.testing.assert_array_equal(numbers.array, values, strict=True)
        assert numbers.dtype == "float32"
        assert numbers.where.startswith("standard input")


def test_standard_input_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    numpy.savez(stream, x=numpy.ones(1), w=numpy.ones(2))
    send(stream.getvalue(), monkeypatch)
    assert read_stdin("w").where == "standard input::w"
    send(b"1 2", monkeypatch)
    assert refusal(read_stdin, "w") == "standard input holds a single array without a name; leave out ::w"


def test_standard_input_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    send(b"", monkeypatch)
    assert refusal(read_stdin).startswith("standard input holds no numbers; ")
    send(b"\x10\0\0\0\0\0\0\0{" + bytes(16), monkeypatch)
    message = "standard input is a .safetensors file, which is read from disk only; name it instead of -"
    assert refusal(read_stdin) == message
    monkeypatch.setattr(sys, "stdin", None)
    assert refusal(read_stdin) == "standard input is closed; name a file instead of -"


class _Endless(io.RawIOBase):
    """Bytes without end, `start` first."""

    def __init__(self, start: bytes) -> None:
        self.start, self.given = start, 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0
        self.given += size
        data, self.start = self.start.ljust(size, b"\0"), b""
        return data


@pytest.mark.parametrize(("start", "limit"), [(b"", TEXT_BYTES), (b"\x93NUMPY", 1 << 24), (b"PK\x03\x04", 1 << 24)])
def test_standard_input_has_a_budget(start: bytes, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if start:
        monkeypatch.setattr(files, "TENSOR_BYTES", limit - files.CHUNK)
    else:
        assert limit < TENSOR_BYTES
    endless = _Endless(start)
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": endless, "closed": False}))
    message = f"standard input has more than {limit >> 20} MiB; save a smaller tensor"
    assert refusal(read_stdin) == message
    assert endless.given <= limit + files.CHUNK


def test_arrays_that_cannot_be_written_to_are_copied() -> None:
    array = numpy.frombuffer(bytes(8))
    assert not array.flags.writeable
    assert make_numbers(array, "w").array.flags.carray


def test_nonfinite_numbers_are_legal_unless_refused() -> None:
    numpy.save("a.npy", numpy.array([[1, numpy.nan], [numpy.inf, 2]]))
    assert numpy.isnan(read_file("a.npy").array[0, 1])
    message = "a.npy has nan at [0, 1] (2 of 4 numbers are not finite); give finite numbers here"
    assert refusal(read_file, "a.npy", nonfinite=False) == message
    numpy.save("a.npy", numpy.arange(3))
    assert read_file("a.npy", nonfinite=False).array.tolist() == [0, 1, 2]


def test_one_array_of_several_on_standard_input(monkeypatch):
    archive = io.BytesIO()
    numpy.savez(archive, x=numpy.arange(4.0), w=numpy.ones(2))
    send(archive.getvalue(), monkeypatch)
    numpy.testing.assert_array_equal(read_source("-::x", "--x").array, numpy.arange(4.0))
    send(archive.getvalue(), monkeypatch)
    assert refusal(read_source, "-", "--x") == ("standard input has 2 arrays; name one, as in -::x: it has x, w")
