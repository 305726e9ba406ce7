"""Every benchmark still runs and writes what it should. Nothing here looks at a time: figures need a quiet machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "benchmarks" / "run.py"
NAMES = {
    "startup", "inspect", "by-hand", "growth", "element", "certify", "gradcheck", "diagnose", "suite", "model", "pages"
}  # fmt: skip
KEYS = {"name", "what", "aims", "date", "runs", "tiny", "machine", "cases", "notes"}
MACHINE = {"python", "torch", "typer", "rich", "numpy", "cpu", "cores", "threads", "system", "load"}
AIM = {"what", "figure", "limit", "at_most", "reached"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(RUN), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="growth reads its peak of memory from /proc")
def test_every_benchmark_runs_and_writes_its_figures(tmp_path):
    done = run("--tiny", "--runs", "1", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in tmp_path.glob("*.json")}
    assert set(found) == NAMES
    for name, document in found.items():
        assert set(document) == KEYS
        assert (document["name"], document["runs"], document["tiny"]) == (name, 1, True)
        assert set(document["machine"]) == MACHINE
        assert all(set(aim) == AIM for aim in document["aims"])
        assert document["aims"]
        assert document["cases"]
        for case in document["cases"]:
            assert case["case"] in done.stdout
            assert all(value > 0 for samples in case["samples"].values() for value in samples)
            assert all(samples for samples in case["samples"].values())


def test_an_unknown_benchmark_is_refused(tmp_path):
    done = run("growht", "--results", str(tmp_path))
    assert done.returncode == 2
    known = "startup, inspect, by-hand, growth, element, certify, gradcheck, diagnose, suite, model, pages"
    assert f"'growht' is not one of {known}" in done.stderr
    assert not os.listdir(tmp_path)
