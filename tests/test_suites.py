"""Many items on every executor: each is done once, in whatever order, and what dies is told by its name."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest

from convgrad_cli.errors import ConvGradError
from convgrad_cli.suites import ProcessDied, Processes, executor_of, run_all


def square(number: int) -> int:
    return number * number


def picky(number: int) -> int:
    if number == 3:
        raise ZeroDivisionError("not 3")
    return number


def pid(number: int) -> int:
    time.sleep(0.01)
    return os.getpid()


def dies(item: tuple[str, int]) -> int:
    """The first `times` processes that work on it die; each leaves a mark in the folder."""
    folder, times = item
    if len(os.listdir(folder)) < times:
        Path(folder, str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def noisy(number: int) -> int:
    print("out of place")
    os.write(1, b"out of place\n")
    return number


def threads(number: int) -> tuple[str, int]:
    import torch

    return os.environ["OMP_NUM_THREADS"], torch.get_num_threads()


def asks(item: object) -> object:
    return sys.stdin.read()


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_item_comes_back_once_with_its_result(jobs):
    with executor_of(jobs) as (executor, at_once):
        assert at_once == jobs
        found = list(run_all(square, range(40), executor, at_once))
    assert sorted(found) == [(number, number * number) for number in range(40)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_is_the_result_of_its_item_alone(jobs):
    with executor_of(jobs) as (executor, at_once):
        found = dict(run_all(picky, range(6), executor, at_once))
    assert [found[number] for number in (0, 1, 2, 4, 5)] == [0, 1, 2, 4, 5]
    assert str(found[3]).endswith("not 3")


@pytest.mark.parametrize("jobs", [1, 2])
def test_jobs_are_processes_and_none_is_this_one(jobs):
    with executor_of(jobs) as (executor, at_once):
        pids = {found for _, found in run_all(pid, range(60), executor, at_once)}
    assert len(pids) == jobs
    assert os.getpid() not in pids
    assert not any(is_running(one) for one in pids)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_no_more_items_are_asked_for_than_are_under_way():
    asked = []

    def items():
        for number in range(20):
            asked.append(number)
            yield number

    with executor_of(2) as (executor, at_once):
        for done, _ in enumerate(run_all(square, items(), executor, at_once), start=1):
            assert len(asked) <= done + at_once


def test_an_item_whose_process_died_is_tried_once_more(tmp_path):
    told = []
    with executor_of(2) as (executor, at_once):
        [(_, found)] = run_all(
            dies, [(str(tmp_path), 1)], executor, at_once, lambda item, why: told.append((item[1], why))
        )
    [first] = os.listdir(tmp_path)
    assert isinstance(found, int)
    assert found != int(first)
    [(times, why)] = told
    assert times == 1
    assert why.startswith(f"process {first} was ended by SIGKILL (the system does that where memory runs out) while ")
    assert why.endswith(" worked on this problem; it is tried once more")


def test_an_item_that_kills_twice_is_an_error_and_the_others_are_done(tmp_path):
    other = tmp_path / "other"
    deadly = tmp_path / "deadly"
    for folder in (other, deadly):
        folder.mkdir()
    items = [(str(deadly), 2), *[(str(other), 0)] * 5]
    with executor_of(2) as (executor, at_once):
        found = list(run_all(dies, items, executor, at_once))
    errors = [result for item, result in found if item == items[0]]
    assert len(found) == 6
    assert [type(error) for error in errors] == [ProcessDied]
    assert str(errors[0]).partition(" was ")[0].removeprefix("process ") in os.listdir(deadly)
    assert all(isinstance(result, int) for item, result in found if item[0] == str(other))


def test_what_a_process_prints_is_not_among_the_results(capfd):
    with executor_of(2) as (executor, at_once):
        assert len(list(run_all(noisy, range(4), executor, at_once))) == 4
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("out of place") == 8


def test_a_process_has_no_standard_input():
    with executor_of(2) as (executor, at_once):
        assert [found for _, found in run_all(asks, [0], executor, at_once)] == [""]


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(7)), raising=False)
    assert [Processes(jobs).threads for jobs in (1, 2, 3, 20)] == [7, 3, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [Processes(jobs).threads for jobs in (1, 2, 4, 20)] == [2, 2, 1, 1]
    with executor_of(20) as (executor, _):
        assert [found for _, found in run_all(threads, [0], executor, 1)] == [("1", 1)]


def test_any_executor_of_the_standard_library_does():
    class Backwards(Executor):
        """Does the last first."""

        waiting: list = []  # noqa: RUF012

        def submit(self, fn, /, *args, **kwargs):
            future: Future = Future()
            self.waiting.append((future, fn, args))
            if len(self.waiting) == 3:
                for one, function, given in reversed(self.waiting):
                    one.set_result(function(*given))
                self.waiting.clear()
            return future

    found = list(run_all(square, range(6), Backwards(), 3))
    assert sorted(found) == [(number, number**2) for number in range(6)]


def test_an_interrupt_is_not_a_result():
    class Interrupted(Executor):
        def submit(self, fn, /, *args, **kwargs):
            future: Future = Future()
            future.set_exception(KeyboardInterrupt())
            return future

    with pytest.raises(KeyboardInterrupt):
        list(run_all(square, [1], Interrupted(), 1))


def test_what_cannot_be_sent_is_an_error_of_its_item():
    with executor_of(2) as (executor, at_once):
        [(_, found)] = run_all(lambda item: item, [1], executor, at_once)
    assert isinstance(found, Exception)
    assert not isinstance(found, ConvGradError | ProcessDied)
