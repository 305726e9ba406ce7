"""The README tells the truth: its commands run, and print what it shows; CI runs the two that it begins with."""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import diagnosed
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
        assert comparable(run(command, tmp_path)) == comparable(shown), command


def comparable(shown: str) -> str:
    """What does not depend on the machine: how far float32 rounding went does, by its kernels for this processor."""
    return re.sub(r"largest error [\d.]+ of its rounding bound", "largest error within its rounding bound", shown)


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
    named = json.loads((results / "diagnosed.json").read_text(encoding="utf-8"))
    assert f"\n\n{diagnosed.markdown(named)}\n" in text
    assert f"\n\n{diagnosed.reports_markdown(named)}\n" in text
    study = json.loads((results / "false-alarms.json").read_text(encoding="utf-8"))
    counts = {name: sum(row[name] for row in study["rows"]) for name in ("FAIL", "SUSPECT")}
    said = f"{study['tensors']:,} correct tensors: {counts['FAIL']} FAIL, {counts['SUSPECT']} SUSPECT"
    assert said in " ".join(text.split())


def figures() -> list[str]:
    """The README's tables, as the results of the benchmarks have them: figures with an aim, growth, and suite."""

    def result(name: str) -> dict:
        return json.loads((ROOT / "tests" / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))

    ratios = [
        f"| `{name}` | {aim['what']} | {aim['figure']:{',.0f' if aim['figure'] > 100 else '.2f'}} "
        f"| {'at most' if aim['at_most'] else 'at least'} {aim['limit']:,.10g}{'' if aim['reached'] else ': missed'} |"
        for name in MEASURED
        for aim in result(name)["aims"]
    ]
    grown = [
        f"| {case['case']} | {case['multiply_adds']:.1e} | {case['seconds']:.3g} "
        f"| {case['nanoseconds_per_multiply_add']:.2f} | {case['bytes_beyond_per_element']:.2g} |"
        for case in result("growth")["cases"]
        if case["case"] in GROWN
    ]
    ratio = {case["case"]: f"{case['ratio']:.2g}" for case in result("suite")["cases"]}
    listed = [
        f"| `suite{option}` | {' | '.join(ratio[f'{problems}, {how}, one thread'] for problems in LISTED)} |"
        for option, how in ((" --summary", "--summary"), (" --conditions none", "--conditions none"), ("", "check"))
    ]
    heads = (
        ["| benchmark | what | figure | aim |", "|---|---|---:|---|"],
        ["| layer | multiply-adds | seconds | ns per multiply-add | bytes per element |", "|---|---:|---:|---:|---:|"],
        ["| | 20 convolutions of ResNet-50, batch 2 | 200 small layers |", "|---|---:|---:|"],
    )
    return ["\n".join([*head, *lines]) + "\n" for head, lines in zip(heads, (ratios, grown, listed), strict=True)]


LISTED = ("20 convolutions of ResNet-50", "200 small layers")
MEASURED = ("startup", "inspect", "by-hand", "element", "certify", "gradcheck", "diagnose", "model", "pages")
GROWN = [f"{varied} {n}" for varied in ("size", "channels") for n in (15, 148, 468, 1473)]
GROWN += [f"batch {n}" for n in (14, 1356, 13563, 135633)] + [f"kernel {n}" for n in (3, 9, 17, 57)]


def test_the_readme_shows_the_figures_of_the_benchmarks():
    text = README.read_text(encoding="utf-8")
    for table in figures():
        assert f"\n\n{table}\n" in text
    picture = ROOT / "tests" / "benchmarks" / "results" / "growth.svg"
    assert picture.stat().st_size < 100_000


if __name__ == "__main__":  # writes what commands print today, and figures, into the README, to be looked at
    import tempfile

    text = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        for command, shown in sessions():
            text = text.replace(f"$ {command}\n{shown}", f"$ {command}\n{run(command, Path(folder))}", 1)
    study = json.loads((ROOT / "tests" / "benchmarks" / "results" / "diagnosed.json").read_text(encoding="utf-8"))
    for table in (*figures(), diagnosed.markdown(study), diagnosed.reports_markdown(study)):
        head = re.escape(table.partition("\n")[0])
        text = re.sub(rf"^{head}\n(\|.*\n)*", lambda _, table=table: table, text, flags=re.MULTILINE)
    README.write_text(text, encoding="utf-8")
