"""The order of the rooms: who may import whom, read from the source, and what stays out of a command's start.

    cli -> commands -> suites, models -> verdict -> gradients -> tensors -> geometry -> errors, safe

Beside the stairs stand findings, layers and report (plain data: they see geometry and errors; the last two hold
findings), render (text: sees all three, geometry, safe) and view (screens: sees what render sees, and render).
"""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "convgrad_cli"

FLOORS = (
    ("cli", "testing"),
    ("commands",),
    ("suites", "models"),
    ("verdict",),
    ("gradients",),
    ("tensors",),
    ("geometry",),
    ("errors", "safe"),
)
SEES = {
    room: {below for floor in FLOORS[i + 1 :] for below in floor} for i, rooms in enumerate(FLOORS) for room in rooms
}
for reporting in ("cli", "testing", "commands", "suites", "models"):
    SEES[reporting] |= {"findings", "layers", "report"}
SEES["cli"] |= {"render", "view"}
SEES["findings"] = {"geometry", "errors"}
SEES["layers"] = {"findings", "geometry", "errors"}
SEES["report"] = {"findings", "geometry", "errors"}
SEES["render"] = {"findings", "layers", "report", "geometry", "safe"}
SEES["view"] = {*SEES["render"], "render", "errors"}
SEES["__main__"] = {"cli"}
SEES["__init__"] = set()
# Inside functions and for type checkers alone: a Report shows itself, the package hands out its Python API.
LATER = {room: SEES[room] | {"render"} for room in ("layers", "report")}
SEES_LATER = {**SEES, **LATER, "__init__": set(SEES) - {"cli", "__main__"}}

NUMERIC = {"torch", "numpy"}
STARTS_FAST = {"geometry", "findings", "layers", "report", "render", "cli", "errors", "safe", "__init__", "__main__"}
NAMES_NOTHING = {"utils", "helpers", "common", "base", "core", "manager"}


class Import(NamedTuple):
    line: int
    module: str
    later: bool  # inside a function, or for type checkers alone


def imports(tree: ast.Module, package: str) -> Iterator[Import]:
    """Every import of a module that lies in `package`, relative ones and import_module("...") too."""

    def walk(node: ast.AST, later: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, later) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = node.module or ""
            if node.level:
                parts = package.split(".")
                home = ".".join([*parts[: len(parts) - node.level + 1], *([home] if home else [])])
            # `from convgrad_cli import x` may name a room as well as a thing.
            whole = [f"{home}.{alias.name}" for alias in node.names] if home == PACKAGE else [home]
            yield from (Import(node.lineno, module, later) for module in whole)
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__"):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield Import(node.lineno, str(node.args[0].value), later)
        elif isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
            for child in node.body:
                yield from walk(child, True)
            for child in node.orelse:
                yield from walk(child, later)
            return
        later = later or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, later)

    return walk(tree, False)


def _name(node: ast.AST) -> str:
    return str(getattr(node, "attr", getattr(node, "id", "")))


def violations(root: Path) -> list[str]:
    """Every import and every name that breaks the house, with its place."""
    paths = sorted((root / PACKAGE).rglob("*.py"))
    return [found for path in paths for found in violations_in(path.relative_to(root), path.read_text("utf-8"))]


@cache
def violations_in(place: Path, source: str) -> list[str]:
    """The same for one module, which lies at `place` in the tree."""
    room = place.parts[1].removesuffix(".py")
    found = [f"{place}: the name {part} says nothing" for part in place.with_suffix("").parts if part in NAMES_NOTHING]
    if room not in SEES:
        return [*found, f"{place}: {room} is no room of the house; give it a place in FLOORS"]
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [*found, f"{place}:{error.lineno}: {error.msg}"]
    for line, module, later in imports(tree, ".".join(place.parts[:-1])):
        top, _, rest = module.partition(".")
        if top in NUMERIC and not later and room in STARTS_FAST:
            found.append(f"{place}:{line}: {room} imports {top} at module level")
        if top != PACKAGE or rest == "__version__":
            continue
        other = rest.split(".")[0] or "__init__"
        sees = SEES_LATER[room] if later else SEES[room]
        if other != room and other not in sees:
            found.append(f"{place}:{line}: {room} imports {module}" + ("" if later else " at module level"))
    return found


def test_the_house_is_in_order():
    found = violations(ROOT)
    assert not found, "\n".join(found)


PLANTED = [
    ("geometry/planted.py", "import torch", "geometry imports torch at module level"),
    ("geometry/planted.py", "from numpy.linalg import norm", "geometry imports numpy at module level"),
    (
        "geometry/planted.py",
        "try:\n    import torch\nexcept ImportError: ...",
        "geometry imports torch at module level",
    ),
    ("render/planted.py", "class A:\n    import numpy", "render imports numpy at module level"),
    ("cli/planted.py", "import numpy as np", "cli imports numpy at module level"),
    ("report.py", "import torch", "report imports torch at module level"),
    ("findings.py", "import torch", "findings imports torch at module level"),
    ("findings.py", "from convgrad_cli.report import Report", "findings imports convgrad_cli.report at module level"),
    ("errors.py", "import torch", "errors imports torch at module level"),
    ("__init__.py", "import torch", "__init__ imports torch at module level"),
    (
        "geometry/planted.py",
        "from convgrad_cli.tensors.operands import Operands",
        "geometry imports convgrad_cli.tensors.operands at module level",
    ),
    (
        "geometry/planted.py",
        "def f():\n    from convgrad_cli.tensors import operands",
        "geometry imports convgrad_cli.tensors",
    ),
    (
        "tensors/planted.py",
        "from ..gradients.by_hand import by_hand",
        "tensors imports convgrad_cli.gradients.by_hand at module level",
    ),
    ("gradients/planted.py", "from .. import verdict", "gradients imports convgrad_cli.verdict at module level"),
    (
        "gradients/planted.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import convgrad_cli.verdict.bounds",
        "gradients imports convgrad_cli.verdict.bounds",
    ),
    (
        "verdict/planted.py",
        "from convgrad_cli.report import Report",
        "verdict imports convgrad_cli.report at module level",
    ),
    ("verdict/planted.py", "import convgrad_cli.commands", "verdict imports convgrad_cli.commands at module level"),
    (
        "commands/planted.py",
        "def f():\n    from convgrad_cli.render.json import render",
        "commands imports convgrad_cli.render.json",
    ),
    (
        "commands/planted.py",
        "from importlib import import_module\nimport_module('convgrad_cli.cli.main')",
        "commands imports convgrad_cli.cli.main at module level",
    ),
    ("render/planted.py", "from convgrad_cli.errors import OK", "render imports convgrad_cli.errors at module level"),
    ("report.py", "from convgrad_cli.render import style", "report imports convgrad_cli.render at module level"),
    ("report.py", "def f():\n    from convgrad_cli.tensors import x", "report imports convgrad_cli.tensors"),
    (
        "errors.py",
        "from convgrad_cli.geometry.spec import x",
        "errors imports convgrad_cli.geometry.spec at module level",
    ),
    ("__init__.py", "def f():\n    import convgrad_cli.cli", "__init__ imports convgrad_cli.cli"),
    ("tensors/planted.py", "from convgrad_cli import inspect", "tensors imports convgrad_cli.inspect at module level"),
    ("cli/planted.py", "import convgrad_cli", "cli imports convgrad_cli at module level"),
]


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(ROOT / PACKAGE, tmp_path / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def plant(root: Path, name: str, text: str) -> list[str]:
    """What is found after `text` was added to the file `name`, and was not found before."""
    before = violations(root)
    path = root / PACKAGE / name
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")
    return [violation for violation in violations(root) if violation not in before]


@pytest.mark.parametrize(("name", "text", "violation"), PLANTED)
def test_a_planted_violation_is_named(copy, name, text, violation):
    [named] = plant(copy, name, text)
    place, line, said = named.split(":")
    assert (place, said) == (f"{PACKAGE}/{name}", f" {violation}")
    planted = (copy / PACKAGE / name).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert "import" in planted
    assert planted.strip() in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("geometry/planted.py", "from convgrad_cli.errors import OK\nfrom .spec import ConvSpec"),
        ("commands/planted.py", "def f():\n    import torch\n    from convgrad_cli.report import Report"),
        ("commands/planted.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("report.py", "def f():\n    from convgrad_cli.render.json import document"),
        ("cli/planted.py", "from convgrad_cli.render.style import Style\nfrom convgrad_cli import __version__"),
        ("tensors/planted.py", "import torch\nimport numpy"),
        ("suites.py", "from convgrad_cli.verdict import bounds\nfrom convgrad_cli.report import Report"),
    ],
)
def test_what_the_house_allows_is_not_named(copy, name, text):
    assert plant(copy, name, text) == []


def test_names_are_named(copy):
    assert plant(copy, "geometry/utils.py", "") == ["convgrad_cli/geometry/utils.py: the name utils says nothing"]
    assert plant(copy, "core/sums.py", "") == [
        "convgrad_cli/core/sums.py: the name core says nothing",
        "convgrad_cli/core/sums.py: core is no room of the house; give it a place in FLOORS",
    ]


def imported(modules: list[str]) -> set[str]:
    """Which numeric libraries a fresh interpreter holds after importing `modules`."""
    code = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return NUMERIC & set(run.stdout.split())


def test_what_answers_before_any_number_leaves_torch_and_numpy_out():
    places = [path.relative_to(ROOT).with_suffix("") for path in sorted((ROOT / PACKAGE).rglob("*.py"))]
    fast = ("__init__", "errors", "safe", "geometry", "findings", "layers", "report", "render", "cli")
    modules = [".".join(place.parts).removesuffix(".__init__") for place in places if place.parts[1] in fast]
    assert {PACKAGE, "convgrad_cli.geometry.axis", "convgrad_cli.report", "convgrad_cli.cli"} <= set(modules)
    assert imported(modules) == set()
    assert imported(["convgrad_cli.gradients.autograd"]) >= {"torch"}
