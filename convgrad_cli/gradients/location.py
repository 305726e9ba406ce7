"""Where code under test is, as people type it: `file.py::function`, `package.module:function`, or a command.

What can be found wrong by reading is refused here, before torch, numpy or a line of that code is run.
"""

from __future__ import annotations

import ast
import difflib
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convgrad_cli.errors import ConvGradError
from convgrad_cli.safe import safe

CS231N = ("conv_forward_naive", "conv_backward_naive")
SOURCE_BYTES = 16 << 20
SHELL = frozenset({"<", ">", ">>", "2>", "2>&1", "|", "||", "&", "&&", ";"})

_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_OPEN_ENDED = {"globals", "exec", "setattr", "vars", "__getattr__"}  # what can make names that reading does not show


@dataclass(frozen=True)
class Location:
    """Functions of one file or one module. `text` is what was typed, safe to print; `where` the part without names."""

    text: str
    where: str
    path: str | None
    module: str | None
    names: tuple[str, ...]


def check_target_text(text: str, convention: str | None = None, *, model: bool = False) -> Location:
    """The Location that `text` names; ConvGradError where nothing can be there.

    With the convention "cs231n" the text is the file or the module alone. `model`: it may be a class or an object. A
    file is read and parsed, never run; of a module only the spelling is checked.
    """
    where, separator, name = text.partition("::")
    if not separator and not where.endswith(".py"):
        where, separator, name = text.partition(":")
    if convention == "cs231n":
        if name:
            raise ConvGradError(
                f"with --convention cs231n the target is the file that has {' and '.join(CS231N)}; "
                f"leave out ::{safe(name)}"
            )
        names: tuple[str, ...] = CS231N
    else:
        names = (name,)
        if where.endswith(".py") and (separator == ":" or ":" in name):
            raise ConvGradError(f"{safe(text)!r} has a colon too few or too many; write file.py::function")
        _check_name(text, where, name, model)
    if separator != ":" and (separator or where.endswith(".py")):
        _check_file(where, names, model)
        return Location(safe(text), safe(where), str(Path(where).resolve()), None, names)
    if not _DOTTED.fullmatch(where):
        raise ConvGradError(_neither(text))
    return Location(safe(text), safe(where), None, where, names)


def check_command_text(text: str) -> tuple[str, ...]:
    """The words of the command `text`, without a shell; ConvGradError unless it names {in}, {out} and a program."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        reason = str(error)[:1].lower() + str(error)[1:]
        raise ConvGradError(f"--exec {safe(text)!r} can't be split into words: {safe(reason)}") from None
    missing = [part for part in ("{in}", "{out}") if not any(part in word for word in words)]
    if missing:
        raise ConvGradError(
            f"--exec {safe(text)!r} has no {' and no '.join(missing)}; write 'command {{in}} {{out}}', which are the "
            "names of the file to read and of the one to write"
        )
    signs = [word for word in words if word in SHELL]
    if signs:
        raise ConvGradError(
            f"--exec runs no shell, to which {safe(signs[0])!r} would mean something; "
            'write sh -c \'command <"$0" >"$1"\' {in} {out}'
        )
    if shutil.which(words[0]) is None:
        raise ConvGradError(f"--exec: there is no program {safe(words[0])!r}; check the name, or give its path")
    return words


def _check_name(text: str, where: str, name: str, model: bool) -> None:
    if name and _DOTTED.fullmatch(name):
        return
    if name:
        raise ConvGradError(f"{safe(name)!r} can't be the name of a function; write file.py::function")
    if where.endswith(".py") and Path(where).is_file():
        known, what = _named(_parse(where), model), "model" if model else "function"
        listed = f"; it has {', '.join(map(safe, known[:10]))}" if known else ""
        example = f"{safe(where)}::{safe(known[0] if known else what)}"
        raise ConvGradError(f"{safe(text)} names no {what}; write {example}{listed}")
    raise ConvGradError(_neither(text))


def _neither(text: str) -> str:
    return f"{safe(text)!r} is neither file.py::function nor package.module:function; write one of them"


def _check_file(where: str, names: tuple[str, ...], model: bool) -> None:
    tree = _parse(where)
    bound = set(_bound(tree))
    loose = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | bound
    if "*" in bound or loose & _OPEN_ENDED:
        return
    for name in names:
        first = name.partition(".")[0]
        if first in bound:
            continue
        modules = {bind for node in ast.walk(tree) if isinstance(node, ast.Import) for bind in _bound_by(node)}
        close = difflib.get_close_matches(first, bound - modules, 1)
        known = ", ".join(map(safe, _named(tree, model)[:10])) or f"no {'model' if model else 'function'} at all"
        hint = f"did you mean {safe(close[0])}?" if close else f"it has {known}"
        raise ConvGradError(f"{safe(where)} has no {safe(first)}; {hint}")


def _parse(where: str) -> ast.Module:
    """The syntax tree of the file `where`."""
    try:
        path = Path(where)
        if path.exists() and not path.is_file():
            raise ConvGradError(f"{safe(where)} is not a file; name a file of Python")
        if path.stat().st_size > SOURCE_BYTES:
            raise ConvGradError(f"{safe(where)} has more than {SOURCE_BYTES >> 20} MiB; name a file of Python")
        return ast.parse(path.read_bytes())
    except FileNotFoundError:
        there = Path(f"{where}.py").is_file()
        hint = f"did you mean {safe(where)}.py?" if there else "check the name"
        raise ConvGradError(f"{safe(where)} does not exist; {hint}") from None
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise ConvGradError(f"{safe(where)}{line} is not Python: {safe(error.msg)}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConvGradError(f"{safe(where)} can't be read: {safe(reason)}") from None


def _bound(tree: ast.Module) -> Iterator[str]:
    """Every name that the module's own statements bind, in whatever block; "*" for a star import."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _bound_by(node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        waiting.extend(ast.iter_child_nodes(node))


def _bound_by(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.asname or alias.name.partition(".")[0] for alias in node.names]


def _named(tree: ast.Module, model: bool) -> list[str]:
    """The functions of the module; of models the classes first, then functions that build one, and objects."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.Assign) if model else (ast.FunctionDef,)
    return [name for kind in kinds for node in tree.body if isinstance(node, kind) for name in _names_of(node)]


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.name] if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
