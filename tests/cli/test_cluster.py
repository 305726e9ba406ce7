"""`convgrad suite --cluster`: a real scheduler and two workers on the loopback interface, one of which is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from shell import PATIENCE, call, environment, run, started

COUNT = 40
LOCAL = ("--host", "127.0.0.1", "--no-dashboard")


class Cluster(NamedTuple):
    """Where the scheduler listens, and the processes."""

    address: str
    scheduler: subprocess.Popen
    workers: list[subprocess.Popen]


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    """A scheduler and two workers of one thread each, as `dask scheduler` and `dask worker` start them."""
    file = tmp_path / "scheduler.json"
    processes = [start("scheduler", tmp_path, "--port", "0", "--scheduler-file", str(file))]
    try:
        address = json.loads(told(file))["address"]
        for name in ("one", "two"):
            directory = ("--local-directory", str(tmp_path / name))
            processes.append(
                start("worker", tmp_path, address, "--nthreads", "1", "--no-nanny", "--name", name, *directory)
            )
        yield Cluster(address, processes[0], processes[1:])
    finally:
        for process in processes:
            process.kill()
            process.wait(PATIENCE)


def start(kind: str, folder: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *LOCAL, *arguments]
    return subprocess.Popen(
        command, env=environment(), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def told(file: Path) -> str:
    """What the file holds as soon as it holds something."""
    end = time.monotonic() + PATIENCE
    while not (file.exists() and file.stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    return file.read_text()


@pytest.fixture
def problems(tmp_path) -> Path:
    path = tmp_path / "list"
    path.write_text("".join(f'mb1ic2ih{size + 3}oc2kh2n"p{size}"\n' for size in range(COUNT)))
    return path


def without_time(lines: str) -> list[dict]:
    """The rows but for their times, in the order of their names."""
    return sorted(({**json.loads(line), "seconds": 0} for line in lines.splitlines()), key=lambda row: row["name"])


def test_a_killed_worker_loses_nothing_and_the_numbers_are_those_of_this_machine(cluster, problems, tmp_path):
    results = tmp_path / "found"
    with started(
        "suite", str(problems), "--cluster", cluster.address, "--results", str(results), "-f", "jsonl"
    ) as process:
        # Not from its output: what is read ahead of a line there, `communicate` would not give again.
        deadline = time.monotonic() + PATIENCE
        while not results.exists() or results.read_bytes().count(b"\n") < 8:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        cluster.workers[0].kill()
        lines, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert cluster.workers[0].wait(PATIENCE) == -signal.SIGKILL
    assert cluster.workers[1].poll() is None
    assert results.read_text() == lines
    assert len(lines.splitlines()) == COUNT
    assert without_time(lines) == without_time(call("suite", str(problems), "-f", "jsonl").out)


def test_code_in_a_file_is_judged_there_too(cluster, problems, tmp_path):
    (tmp_path / "mine.py").write_text("def f(x, w, b, g):\n    return 0 * x, 0 * w, None\n")
    done = run(
        "suite", "list", "--match", "p[0-3]$", "--cluster", cluster.address, "--target", "mine.py::f", cwd=tmp_path
    )
    assert done.status == 1
    assert done.out.count("FAIL   ") == 4
    assert f"convgrad check {tmp_path}/mine.py::f " in done.out


def test_a_scheduler_that_goes_ends_the_run_with_a_reason(cluster, problems, tmp_path):
    results = tmp_path / "found"
    with started(
        "suite", str(problems), "--cluster", cluster.address, "--results", str(results), "-f", "jsonl"
    ) as process:
        process.stdout.readline()
        cluster.scheduler.kill()
        _, err = process.communicate(timeout=PATIENCE)
    gone = "the scheduler is gone; what is done is in the results file, and --resume goes on from there"
    assert (process.returncode, err) == (2, f"convgrad: --cluster {cluster.address}: {gone}\n")
    assert all(json.loads(line)["verdict"] == "PASS" for line in results.read_text().splitlines())


def test_a_cluster_on_this_machine(problems):
    done = run("suite", str(problems), "--cluster", "local", "--jobs", "2", "--match", "p[12].", "-f", "jsonl")
    assert (done.status, done.err) == (0, "")
    assert without_time(done.out) == without_time(call("suite", str(problems), "--match", "p[12].", "-f", "jsonl").out)


def test_ctrl_c_ends_a_run_on_a_cluster(cluster, problems):
    problems.write_text("".join(f"mb1ic2ih{size + 3}oc2kh2\n" for size in range(50 * COUNT)))
    with started("suite", str(problems), "--cluster", cluster.address, "-f", "jsonl") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode in (130, -signal.SIGINT)
    assert "note: interrupted after" in err
    assert cluster.workers[0].poll() is None


NOBODY = "no scheduler with a worker answers there"
GIVE = "; give the address that `dask scheduler` prints, such as tcp://host:8786, or local\n"


def test_no_cluster_is_told(problems):
    done = run("suite", str(problems), "--cluster", "nohost")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"convgrad: --cluster nohost: {NOBODY} (missing port number in address 'nohost'){GIVE}"
    quick = "import convgrad_cli.suites as s\ns.LONGEST_WAIT = 0.5"
    done = run("suite", str(problems), "--cluster", "tcp://127.0.0.1:1", code=quick)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"convgrad: --cluster tcp://127.0.0.1:1: {NOBODY} (Timed out")
    assert done.err.endswith(GIVE)


def test_without_the_extra_it_is_named(problems):
    missing = "import sys\nsys.modules['distributed'] = None"
    done = run("suite", str(problems), "--cluster", "local", code=missing)
    told = "convgrad: --cluster needs Dask's distributed; pip install 'convgrad[cluster]'\n"
    assert (done.status, done.out, done.err) == (2, "", told)
