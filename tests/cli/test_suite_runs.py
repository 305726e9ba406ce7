"""`convgrad suite` as a process that is killed, interrupted, or loses those that work for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from shell import PATIENCE, in_bash, run, started

COUNT = 30
SLOWLY = """
import time
from convgrad_cli.cli.results import Results
add = Results.add
def slow(self, row):
    time.sleep(0.1)
    add(self, row)
Results.add = slow
"""


@pytest.fixture
def problems(tmp_path) -> Path:
    path = tmp_path / "list"
    path.write_text("".join(f'ic2ih{size + 3}oc2kh2n"p{size}"\n' for size in range(COUNT)))
    return path


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def children(process: subprocess.Popen) -> list[int]:
    found = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(pid) for path in found for pid in path.read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def are_gone(pids: list[int]) -> bool:
    end = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(is_running, pids))


@contextmanager
def half_way(*arguments: str, code: str = ""):
    """The command after it has shown five results."""
    with started("suite", *arguments, "-f", "jsonl", "--conditions", "none", code=code) as process:
        for _ in range(5):
            assert json.loads(process.stdout.readline())["verdict"] == "PASS"
        yield process


def finish(problems: Path, results: Path, *arguments: str) -> None:
    """Go on, and see that in the end every problem has its line once."""
    before = results.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    done = run(
        "suite", str(problems), "--results", str(results), "--resume", "--conditions", "none", "-f", "jsonl", *arguments
    )
    assert done.status == 0, done.err
    assert results.read_bytes().startswith(before)
    assert sorted(row["name"] for row in rows(results)) == sorted(f"p{size}" for size in range(COUNT))
    assert sorted(done.out.splitlines()) == sorted(results.read_text().splitlines())


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_after_kill_9_nothing_is_lost_or_done_twice(problems, tmp_path, jobs):
    results = tmp_path / "found.jsonl"
    with half_way(str(problems), "--results", str(results), "--jobs", jobs, code=SLOWLY) as process:
        mine = children(process)
        process.kill()
        process.wait(PATIENCE)
        found = results.read_text()
        assert found.endswith("\n")
        assert found.count("\n") >= 5
        assert found.count("\n") < COUNT
        assert len(mine) == int(jobs)
        assert are_gone(mine)
    finish(problems, results, "--jobs", jobs)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_leaves_a_file_of_whole_lines_and_no_process(problems, tmp_path, jobs):
    results = tmp_path / "found.jsonl"
    problems.write_text(problems.read_text() * 20)
    with half_way(str(problems), "--results", str(results), "--jobs", jobs) as process:
        mine = children(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    count = 5 + len(out.splitlines())
    assert process.returncode in (130, -signal.SIGINT)
    assert err.startswith(f"note: interrupted after {count} of {20 * COUNT} problems; --resume goes on with ")
    assert "Traceback" not in err
    assert len(rows(results)) == count
    assert are_gone(mine)


def test_two_runs_do_not_share_a_file(problems, tmp_path):
    results = tmp_path / "found.jsonl"
    with half_way(str(problems), "--results", str(results), code=SLOWLY):
        other = run("suite", str(problems), "--results", str(results), "--resume")
    assert other.status == 2
    assert other.err == f"convgrad: --results {results} is being written by another suite; name another file\n"


def test_a_killed_process_is_named_and_its_problem_done_again(problems, tmp_path):
    problems.write_text('ic32ih64oc32kh3n"large"\n' * 12)
    with started("suite", str(problems), "--jobs", "2", "-f", "jsonl") as process:
        process.stdout.readline()
        victim = children(process)[0]
        os.kill(victim, signal.SIGKILL)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert len(out.splitlines()) == 11
    assert err.startswith("note: list:")
    assert f": process {victim} was ended by SIGKILL" in err
    assert err.endswith("while it worked on this problem; it is tried once more\n")


CRASH = """
import os
import signal
from convgrad_cli.suites import Processes
submit = Processes.submit
def crash(self, work, listed):
    return submit(self, os.abort) if listed.name == "p1" else submit(self, work, listed)
Processes.submit = crash
"""


def test_a_crash_of_torch_is_one_problem_without_answer(problems, tmp_path):
    """oneDNN crashes on some layers (uxlfoundation/oneDNN issue 5942); a suite goes on, also with one job."""
    results = tmp_path / "found.jsonl"
    problems.write_text("".join(problems.read_text().splitlines(keepends=True)[:3]))
    done = run("suite", str(problems), "--results", str(results), "--conditions", "none", "-f", "jsonl", code=CRASH)
    assert done.status == 2
    [one, two, three] = rows(results)
    assert [one["verdict"], two["verdict"], three["verdict"]] == ["PASS", "ERROR", "PASS"]
    assert " was ended by SIGABRT while it worked on this problem" in two["reason"]
    assert done.err.startswith("note: list:2: process ")
    assert done.err.endswith("; it is tried once more\n")


DEADLY = """
import os
import signal

def f(x, w, b, g, **settings):
    os.kill(os.getppid(), signal.SIGKILL)
"""


def test_code_that_kills_its_process_ends_no_suite(problems, tmp_path):
    """The code under test kills the process that called it, each time."""
    (tmp_path / "mine.py").write_text(DEADLY)
    problems.write_text('ic1ih3oc1kh2n"only"\n')
    done = run("suite", "list", "--jobs", "2", "--target", "mine.py::f", cwd=tmp_path)
    assert done.status == 2
    assert done.out.splitlines()[1].startswith("ERROR       only ")
    assert done.out.splitlines()[2].startswith("  process ")
    assert " was ended by SIGKILL" in done.out


def test_a_full_disk_ends_the_run_and_the_file_can_be_resumed(problems, tmp_path):
    results = tmp_path / "found"
    done = in_bash(f"ulimit -f 40; convgrad suite {problems} --conditions none --results {results} -f plain")
    assert done.status == 2
    assert done.err == f"convgrad: --results {results}: File too large\n"
    assert 5 < done.out.count("PASS") < COUNT
    assert results.stat().st_size == 40 * 1024
    finish(problems, results)


def test_the_reader_may_leave():
    done = in_bash("yes ic1ih3oc1kh2 | head -n 50 | convgrad suite - --conditions none -f plain | head -n 1")
    assert (done.status, done.out) == (0, "PASS\tic1ih3oc1kh2\n")
    assert done.err == ""
