"""The README tells the truth: its commands run, and print what it shows; CI runs the two that it begins with."""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from injected import markdown

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def sessions() -> list[tuple[str, str]]:
    """Every `$ command` of the console blocks with the output shown below it."""
    return [
        (command, shown)
        for block in blocks("console")
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]


def run(command: str, folder: Path) -> str:
    """What a terminal without colours would show: both streams of the command."""
    environment = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "CLICOLOR_FORCE")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, text=True, timeout=120, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def write_files(folder: Path) -> None:
    """The Python blocks that begin with the name of a file, in that file."""
    for block in blocks("python"):
        name, _, code = block.partition("\n")
        (folder / name.removeprefix("# ")).write_text(code, encoding="utf-8")


def test_every_command_prints_what_the_readme_shows(tmp_path):
    found = sessions()
    write_files(tmp_path)
    assert len(found) >= 10
    for command, shown in found:
        assert run(command, tmp_path) == shown, command


def test_every_python_example_runs():
    examples = "\n".join(blocks("pycon"))
    test = doctest.DocTestParser().get_doctest(examples, {}, "README.md", str(README), 0)
    assert len(test.examples) >= 10
    assert doctest.DocTestRunner().run(test).failed == 0


def test_ci_runs_the_two_commands_of_the_readme():
    commands = [block.strip() for block in blocks("sh")]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in script if line.startswith("python -m pip")] == commands
    assert "convgrad inspect --size 3 --kernel 2" in commands[0]
    assert commands[1].endswith("python -m pytest")


@pytest.mark.parametrize("target", re.findall(r"\]\(((?!https?:)[^)#]+)\)", README.read_text(encoding="utf-8")))
def test_every_link_into_the_project_leads_somewhere(target):
    assert (ROOT / target).is_file()


def test_the_readme_lists_every_fill_and_format():
    from convgrad_cli.render.style import FORMATS, SUFFIXES
    from convgrad_cli.tensors.fills import FILLS

    text = README.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in (*FILLS, *FORMATS))
    assert set(SUFFIXES.values()) == set(FORMATS) - {"github"}  # which only a log understands
    assert len(SUFFIXES) == len(FORMATS) - 1


def test_the_readme_shows_the_figures_of_the_studies():
    text = README.read_text(encoding="utf-8")
    results = ROOT / "tests" / "benchmarks" / "results"
    caught = json.loads((results / "injected.json").read_text(encoding="utf-8"))["caught"]
    assert markdown(caught) in text
    study = json.loads((results / "false-alarms.json").read_text(encoding="utf-8"))
    counts = {name: sum(row[name] for row in study["rows"]) for name in ("FAIL", "SUSPECT")}
    said = f"{study['tensors']:,} correct tensors: {counts['FAIL']} FAIL, {counts['SUSPECT']} SUSPECT"
    assert said in " ".join(text.split())


if __name__ == "__main__":  # writes the output that commands print today into the README, to be looked at
    import tempfile

    text = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        for command, shown in sessions():
            text = text.replace(f"$ {command}\n{shown}", f"$ {command}\n{run(command, Path(folder))}", 1)
    README.write_text(text, encoding="utf-8")
