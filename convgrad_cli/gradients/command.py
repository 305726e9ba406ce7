"""A command in any language as a Target: an .npz file goes in, an .npz file comes out."""

from __future__ import annotations

import os
import select
import stat
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import IO, Any, ClassVar

import numpy
import torch

from convgrad_cli.errors import SourceError
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.location import check_command_text
from convgrad_cli.gradients.process import POLL, end_group, ending, stderr_or_nothing
from convgrad_cli.gradients.results import NAMES
from convgrad_cli.gradients.target import SETTINGS, Answer, Call, TargetError
from convgrad_cli.safe import safe
from convgrad_cli.tensors.memory import available_memory
from convgrad_cli.tensors.npy import open_archive, read_npz
from convgrad_cli.tensors.operands import Operands, Tensor

TAIL = 4096  # bytes of standard error that are kept, to quote the last line
OUT = "the .npz that it wrote"


def command_target(text: str, timeout: float = 60.0) -> CommandTarget:
    """The command `text`, such as `./gradients {in} {out}`, as a Target; `timeout` is in seconds and for one run.

    No shell is involved. {in} becomes the name of an .npz file with

    - `x`, `w`, `g` and, unless the layer has none, `b`: the operands, in the dtype under test;
    - `stride`, `dilation`, `output_padding`: one integer an axis; `padding`: one row (before, after) an axis;
    - `groups`, `transposed`: a number; `padding_mode`, `dtype`: text. With dtype "bfloat16" the operands are float32.

    To {out} it writes an .npz file with any of `grad_input`, `grad_weight`, `grad_bias` and `output`, floating point or
    integers. Gradients of bfloat16 are float32 there, and count as bfloat16 where all of them are such numbers. Raises
    ConvGradError.
    """
    return CommandTarget(safe(text), check_command_text(text), timeout)


@dataclass(eq=False)
class CommandTarget:
    """See `command_target`. `words` are the command's, with {in} and {out} in them."""

    name: str
    words: tuple[str, ...]
    timeout: float
    _runs: int = field(default=0, init=False)

    callable: ClassVar[bool] = True
    allows: ClassVar[frozenset[str]] = frozenset(SETTINGS)

    @property
    def facts(self) -> tuple[str, ...]:
        return (f"{self.name} is run anew for each call",)

    def run(self, spec: ConvSpec, operands: Operands, call: Call | None = None) -> Answer:
        with TemporaryDirectory(prefix="convgrad-", ignore_cleanup_errors=True) as folder:
            files = {"{in}": os.path.join(folder, "in.npz"), "{out}": os.path.join(folder, "out.npz")}
            try:
                numpy.savez(files["{in}"], **_contents(spec, operands))
            except OSError as error:
                raise TargetError(f"the operands can't be written for {self.name}: {error.strerror}") from None
            words = [word.replace("{in}", files["{in}"]).replace("{out}", files["{out}"]) for word in self.words]
            self._run(words)
            return self._read(files["{out}"], spec, operands.input.dtype)

    def close(self) -> None:
        """Nothing runs between calls."""

    def _run(self, words: Sequence[str]) -> None:
        """Run the command to its end; TargetError, with the last line of its standard error, unless that is well."""
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if self._runs else stderr_or_nothing(),  # of interest once
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise TargetError(f"{self.name} can't be run: {safe(reason)}") from None
        self._runs += 1
        try:
            _limit_memory(process.pid)
            said = _last_line(process, monotonic() + self.timeout)
            status = process.returncode
        except (TimeoutError, subprocess.TimeoutExpired):
            raise TargetError(
                f"{self.name} did not end in {self.timeout:g} s and was ended; give it longer with --timeout"
            ) from None
        finally:
            end_group(process)
            if process.stderr:
                process.stderr.close()
        if status:
            raise TargetError(f"{self.name} {ending(status)}{': ' if said else ''}{said}")

    def _read(self, path: str, spec: ConvSpec, dtype: torch.dtype) -> Answer:
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise TargetError(f"{self.name} wrote no plain file to {{out}}")
            with open(path, "rb") as file:
                found = _results(file, dtype)
        except FileNotFoundError:
            raise TargetError(f"{self.name} wrote no file to {{out}}, though it ended with status 0") from None
        except (SourceError, OSError) as error:
            raise TargetError(f"{self.name}: {error}") from None
        unasked = tuple(name for name in found if name == "bias" and not spec.bias)
        found = {name: tensor for name, tensor in found.items() if name not in unasked}
        fits = {name: tensor for name, tensor in found.items() if tuple(tensor.shape) == spec.shape_of(name)}
        misshapen = {name: tuple(tensor.shape) for name, tensor in found.items() if name not in fits}
        return Answer(Gradients(**fits), misshapen, unasked=unasked)


def _contents(spec: ConvSpec, operands: Operands) -> dict[str, Any]:
    dtype = operands.input.dtype
    letters = {"x": operands.input, "w": operands.weight, "b": operands.bias, "g": operands.grad_output}
    arrays = {
        letter: (tensor.float() if dtype == torch.bfloat16 else tensor).contiguous().numpy()
        for letter, tensor in letters.items()
        if tensor is not None
    }
    per_axis = ("stride", "padding", "dilation", "output_padding")
    layer = {name: numpy.array(getattr(spec, name), numpy.int64) for name in (*per_axis, "groups", "transposed")}
    words = {"padding_mode": spec.padding_mode, "dtype": str(dtype).removeprefix("torch.")}
    return {**arrays, **layer, **{name: numpy.array(word) for name, word in words.items()}}


def _results(file: IO[bytes], dtype: torch.dtype) -> dict[str, Tensor]:
    """What the command wrote, by operand."""
    with open_archive(file, OUT) as (_, members):
        names = [member.filename.removesuffix(".npy") for member in members]
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        has = f"has the name {safe(unknown[0])!r}" if unknown else "is empty"
        raise SourceError(f"{OUT} {has}; its names can be {', '.join(NAMES)}")
    found = {}
    for name in names:
        file.seek(0)
        array = read_npz(file, name, OUT).array
        tensor = torch.from_numpy(array.astype(numpy.float64) if array.dtype.kind in "iu" else array)
        if dtype == torch.bfloat16 and torch.equal(tensor.bfloat16().double(), tensor.double()):
            tensor = tensor.bfloat16()
        found[name.removeprefix("grad_")] = tensor
    return found


def _last_line(process: subprocess.Popen[bytes], deadline: float) -> str:
    """The last line that the command wrote to its standard error, all of which is passed on while it runs."""
    assert process.stderr is not None
    source, tail = process.stderr.fileno(), b""
    while True:
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        gone = process.poll() is not None  # what it started may keep its standard error open
        if select.select([source], [], [], 0 if gone else min(left, POLL))[0]:
            data = os.read(source, 1 << 16)
            if not data:
                break
            with suppress(OSError):
                os.write(2, data)
            tail = (tail + data)[-TAIL:]
        elif gone:
            break
    process.wait(max(deadline - monotonic(), 0.001))
    lines = tail.decode(errors="replace").strip().splitlines()
    return safe(lines[-1].strip()) if lines else ""


def _limit_memory(pid: int) -> None:
    """Let the command take half of the available memory, on Linux; elsewhere all of it."""
    available = available_memory()
    with suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        if available is not None and Path("/proc/self").exists():
            resource.prlimit(pid, resource.RLIMIT_DATA, (available // 2, available // 2))
