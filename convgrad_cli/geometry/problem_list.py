"""Lists of problems as kernel engineers keep them, line by line: each problem, what is skipped, and what is wrong.

A list may hold benchdnn's options and descriptors (its --batch files), MIOpenDriver commands, lines of a oneDNN log,
PyTorch's modules and JSON, one layer a line; each line is recognised by its looks. `#` starts a comment, a backslash
at its end continues a line. An option holds from where it stands, in nested lists and after them, as in benchdnn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from convgrad_cli.errors import ConvGradError, SpecError
from convgrad_cli.geometry import benchdnn, miopen, onednn_verbose
from convgrad_cli.geometry.benchdnn import Knobs
from convgrad_cli.geometry.languages import language, read_layer
from convgrad_cli.geometry.layer_text import LayerText
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.safe import safe

DEEPEST = 20  # lists within lists
_SHELL = {"cd", "echo", "exit", "export", "set", "source", "unset"}
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
_PROGRAM = re.compile(r"^\S*MIOpenDriver\s+")
_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
_ASSIGNMENT = re.compile(r"\w+=\S*")


@dataclass(frozen=True)
class Listed:
    """A problem of a list; `text` can be given to --layer, `name` is its own or else what the list says of it."""

    name: str
    text: str
    spec: ConvSpec
    dtype: str | None
    directions: tuple[str, ...]
    source: str
    line: int


@dataclass(frozen=True)
class Remark:
    """What a list says that is no problem: an option that is skipped or, if `wrong`, what cannot be read."""

    message: str
    source: str
    line: int
    wrong: bool

    def __str__(self) -> str:
        return f"{safe(self.source)}:{self.line}: {self.message}"


def told_apart(problems: Sequence[Listed]) -> list[Listed]:
    """The problems; where several have one name, what they differ in stands after it, or else a number."""
    found, places = list(problems), dict[str, list[int]]()
    for place, one in enumerate(problems):
        places.setdefault(one.name, []).append(place)
    for name, same in places.items():
        if not name or len(same) == 1:
            continue
        traits = [_traits(problems[place]) for place in same]
        differ = [at for at, values in enumerate(zip(*traits, strict=True)) if len(set(values)) > 1]
        seen = Counter[str]()
        for place, values in zip(same, traits, strict=True):
            full = " ".join([name, *(values[at] for at in differ)])
            seen[full] += 1
            found[place] = replace(problems[place], name=full if seen[full] == 1 else f"{full} #{seen[full]}")
    return found


def _traits(one: Listed) -> tuple[str, ...]:
    kind = "transposed" if one.spec.transposed else "plain"
    return one.dtype or "float32", f"batch {one.spec.batch_size or 1}", "/".join(one.directions), kind


Batches = Callable[[str], Iterable[str]]


def read_problems(
    lines: Iterable[str], source: str, open_batch: Batches, *, transposed: bool = False
) -> Iterator[Listed | Remark]:
    """The problems of `lines` in their order, with a Remark at each place where something is skipped or wrong.

    `open_batch` gives the lines of the list that --batch names, and raises OSError or ConvGradError where it cannot.
    `transposed` says that benchdnn's descriptors are those of its deconv driver. What is read is read as it is asked
    for, so a list may be endless.
    """
    reader = _Reader(open_batch, Knobs(transposed=transposed))
    yield from reader.read(lines, (source,))
    yield from reader.summary()


@dataclass
class _Reader:
    """The options in force, and what was skipped so far."""

    open_batch: Batches
    knobs: Knobs
    named: set[str] = field(default_factory=set)
    types: Counter[str] = field(default_factory=Counter)
    unrun: int = 0
    first: dict[str, tuple[str, int]] = field(default_factory=dict)

    def read(self, lines: Iterable[str], sources: tuple[str, ...]) -> Iterator[Listed | Remark]:
        for line, text in logical_lines(lines):
            first, *_ = text.split(maxsplit=1)
            # benchdnn's words each stand for themselves; every other notation has spaces of its own.
            words = _words(text) if first.startswith("-") or language(first) == "benchdnn" else [text]
            for word in words:
                try:
                    yield from self._word(word, sources, line)
                except (ConvGradError, OSError) as error:
                    yield Remark(_reason(error), sources[-1], line, wrong=True)

    def _word(self, word: str, sources: tuple[str, ...], line: int) -> Iterator[Listed | Remark]:
        kind, source = language(word), sources[-1]
        first = word.split(maxsplit=1)[0]
        if word.startswith("--batch="):
            yield from self._nested(word.removeprefix("--batch="), sources)
        elif word.startswith("-"):
            turned = self.knobs.turned(word)
            self.knobs = turned or self.knobs
            if turned is None:
                yield from self._skip(word.partition("=")[0], word, source, line)
        elif kind == "benchdnn":
            for knobs in self.knobs.variants:
                yield from self._descriptor(word, knobs, source, line)
        elif first in _SHELL or _ASSIGNMENT.fullmatch(word):
            yield from self._skip(first.partition("=")[0], word, source, line)
        elif kind == "miopen" and (program := miopen.other_program(word)):
            yield from self._skip(f"MIOpenDriver {program}", word, source, line)
        elif kind == "verbose" and not onednn_verbose.runs_convolution(word):
            self.unrun += 1
            self.first.setdefault("unrun", (source, line))
        else:
            yield _listed(read_layer(word), word, source, line)

    def _skip(self, kind: str, what: str, source: str, line: int) -> Iterator[Remark]:
        """One Remark for all that is skipped for being of this kind."""
        if kind not in self.named:
            self.named.add(kind)
            yield Remark(
                f"{safe(what, 60)} is skipped, and {safe(kind, 40)} wherever it comes", source, line, wrong=False
            )

    def _descriptor(self, word: str, knobs: Knobs, source: str, line: int) -> Iterator[Listed]:
        try:
            knobs.dtype  # noqa: B018
        except SpecError as error:
            self.types[str(error)] += 1
            self.first.setdefault(str(error), (source, line))
            return
        prefix = "" if word.startswith(benchdnn.TRANSPOSED) or not knobs.transposed else benchdnn.TRANSPOSED
        yield _listed(benchdnn.describe(word, knobs), word, source, line, f"{knobs}{prefix}{word}")

    def _nested(self, name: str, sources: tuple[str, ...]) -> Iterator[Listed | Remark]:
        if name in sources:
            raise SpecError(f"--batch={safe(name)} is the list that it stands in")
        if len(sources) > DEEPEST:
            raise SpecError(f"--batch={safe(name)} lies more than {DEEPEST} lists deep")
        yield from self.read(self.open_batch(name), (*sources, name))

    def summary(self) -> Iterator[Remark]:
        """What was left out without a word of its own, counted."""
        for message, count in self.types.items():
            yield Remark(f"{message}: {_problems(count)} skipped", *self.first[message], wrong=False)
        if self.unrun:
            lines = "1 line" if self.unrun == 1 else f"{self.unrun} lines"
            yield Remark(f"{lines} of a oneDNN log run no convolution, skipped", *self.first["unrun"], wrong=False)


def logical_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that say something, with the number of their first: comments cut off, continued ones joined."""
    start, pieces = 0, [""]
    for line, text in enumerate(lines, 1):
        text = text.strip() if text.lstrip().startswith("{") else _COMMENT.sub("", text).strip()
        if not text and len(pieces) > 1:
            continue  # a comment between continued lines
        start = start if len(pieces) > 1 else line
        pieces.append(text.removesuffix("\\").strip())
        if not text.endswith("\\"):
            yield from _joined(start, pieces)
            pieces = [""]
    yield from _joined(start, pieces)


def _words(text: str) -> list[str]:
    """The words of a line; a name in quotes may have spaces in it, as --layer takes it."""
    return _WORD.findall(text) if text.count('"') % 2 == 0 else text.split()


def _joined(line: int, pieces: list[str]) -> Iterator[tuple[int, str]]:
    """benchdnn glues what a backslash parts (`--dt=f32, \\` and `f16`), a shell keeps it apart."""
    glue = " " if language(" ".join(pieces)) == "miopen" else ""
    text = glue.join(pieces).strip()
    if text:
        yield line, text


def _listed(said: LayerText, word: str, source: str, line: int, text: str | None = None) -> Listed:
    return Listed(
        said.name or _PROGRAM.sub("", word), text or word, said.spec, said.dtype, said.directions, source, line
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{safe(str(error.filename))}: {error.strerror}"
    # Here it is no option that is wrong.
    return str(error).removeprefix("--layer ") if isinstance(error, ConvGradError) else safe(str(error))


def _problems(count: int) -> str:
    return "1 problem" if count == 1 else f"{count} problems"
