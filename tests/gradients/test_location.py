"""What is typed for code under test, read and refused without running or importing anything."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from convgrad_cli.errors import ConvGradError
from convgrad_cli.gradients.location import check_target_text

SOURCE = """
import numpy
from torch import relu as activation
raise SystemExit("never run")
def backward(x, w, b, g): pass
async def later(): pass
class Conv:
    def inner(self): pass
first, (second, *rest) = 1, (2, 3)
if numpy:
    try:
        from os import path
    except ImportError:
        path = None
for each in []:
    with open(each) as file: annotated: int = 5
(walrus := 5)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "nul.py").write_bytes(b"x = '\0'")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "star.py").write_text("from mine import *")
    (tmp_path / "dynamic.py").write_text("globals()['a'] = 1")
    (tmp_path / "deep.py").write_text("(" * 100_000)
    monkeypatch.chdir(tmp_path)


NAMES = "backward later Conv Conv.inner numpy activation first second rest path each file annotated walrus"


@pytest.mark.parametrize("name", NAMES.split())
def test_names_that_a_file_binds(name, tmp_path):
    found = check_target_text(f"mine.py::{name}")
    assert (found.text, found.where, found.names) == (f"mine.py::{name}", "mine.py", (name,))
    assert (found.path, found.module) == (str(tmp_path / "mine.py"), None)


def test_names_that_only_running_would_show():
    assert check_target_text("star.py::backward").names == ("backward",)
    assert check_target_text("dynamic.py::a").names == ("a",)


def test_modules():
    found = check_target_text("package.module:function")
    assert (found.path, found.module, found.where, found.names) == (
        None,
        "package.module",
        "package.module",
        ("function",),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mine.py::backwards", "mine.py has no backwards; did you mean backward?"),
        ("mine.py::inner", "mine.py has no inner; it has backward"),
        ("empty.py::f", "empty.py has no f; it has no function at all"),
        ("mine.py", "mine.py names no function; write mine.py::backward; it has backward"),
        ("mine.py::", "mine.py:: names no function; write mine.py::backward; it has backward"),
        ("mine.py:backward", "'mine.py:backward' has a colon too few or too many; write file.py::function"),
        ("mine.py:::backward", "'mine.py:::backward' has a colon too few or too many; write file.py::function"),
        ("mine.py::back ward", "'back ward' can't be the name of a function; write file.py::function"),
        ("gone.py::f", "gone.py does not exist; check the name"),
        ("mine::f", "mine does not exist; did you mean mine.py?"),
        ("folder.py::f", "folder.py is not a file; name a file of Python"),
        ("/dev/zero::f", "/dev/zero is not a file; name a file of Python"),
        ("broken.py::f", "broken.py, line 2 is not Python: invalid syntax"),
        ("nul.py::f", "source code string cannot contain null bytes"),
        ("deep.py::f", "deep.py"),
        ("a" * 300 + ".py::f", "... (303 characters) can't be read: File name too long"),
        ("backward", "'backward' is neither file.py::function nor package.module:function; write one of them"),
        ("", "'' is neither file.py::function"),
        ("a.b:", "'a.b:' is neither"),
        ("a-b:f", "'a-b:f' is neither"),
        ("\x1b[31m.py::f", r"\x1b[31m.py does not exist"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(ConvGradError) as caught:
        check_target_text(text)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_convention_names_both_functions():
    Path("layers.py").write_text("def conv_forward_naive(): pass\ndef conv_backward_naive(): pass")
    assert check_target_text("layers.py", "cs231n").names == ("conv_forward_naive", "conv_backward_naive")
    assert check_target_text("course.layers", "cs231n").module == "course.layers"
    with pytest.raises(ConvGradError, match=re.escape("has conv_forward_naive and conv_backward_naive; leave out ::f")):
        check_target_text("layers.py::f", "cs231n")
    with pytest.raises(ConvGradError, match=r"^mine\.py has no conv_forward_naive; it has backward$"):
        check_target_text("mine.py", "cs231n")


def test_nothing_numeric_is_imported():
    code = "from convgrad_cli.gradients.location import *; check_target_text('mine.py::backward'); import sys\n"
    code += "assert not {'torch', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
