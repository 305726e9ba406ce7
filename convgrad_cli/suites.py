"""Many problems: in processes of this machine, or on a cluster; results in the order they come.

What is done with a problem is a function that is given; here stand only the executors that run it. All of them have the
interface of `concurrent.futures`, so that `run_all` does not know which one it has.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, TypeVar

from convgrad_cli.errors import ConvGradError
from convgrad_cli.gradients.process import end_group, ending, stderr_or_nothing
from convgrad_cli.safe import safe

T = TypeVar("T")
R = TypeVar("R")
LONGEST_WAIT = 30.0  # seconds for the first worker of a cluster
POLL = 0.5  # seconds between looks at whether Ctrl-C was lost
AHEAD = 2  # problems that wait at each thread of a cluster, so that none is idle while results travel

# It imports from where this process would, as the process of a user's function does.
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from convgrad_cli.suites import serve; serve()"


_interrupted = threading.Event()  # by Ctrl-C, since the run on a cluster began


class ProcessDied(Exception):
    """The process that worked on a problem ended before it had a result."""


def run_all(
    work: Callable[[T], R],
    items: Iterable[T],
    executor: Executor,
    at_once: int,
    tell: Callable[[T, str], None] = lambda item, why: None,
) -> Iterator[tuple[T, R | Exception]]:
    """Each item with what `work` made of it, or the error that came instead, as they come; `at_once` are under way.

    An item whose process died is tried a second time, of which `tell` is told why.
    """
    waiting: dict[Future[R], tuple[T, bool]] = {}

    def finished() -> Iterator[tuple[T, R | Exception]]:
        for future in _first_done(waiting):
            (item, again), error = waiting.pop(future), future.exception()
            if isinstance(error, ProcessDied) and not again:
                tell(item, f"{error}; it is tried once more")
                waiting[executor.submit(work, item)] = item, True
            elif error is None:
                yield item, future.result()
            elif isinstance(error, Exception):
                yield item, error
            else:
                raise error

    for item in items:
        waiting[executor.submit(work, item)] = item, False
        if len(waiting) >= at_once:
            yield from finished()
    while waiting:
        yield from finished()


def _first_done(waiting: Collection[Future[R]]) -> Collection[Future[R]]:
    """Those that are done, as soon as any is."""
    while True:
        done, _ = wait(waiting, POLL, FIRST_COMPLETED)
        if _interrupted.is_set():
            raise KeyboardInterrupt
        if done:
            return done


@contextmanager
def executor_of(jobs: int, cluster: str | None = None) -> Iterator[tuple[Executor, int]]:
    """An executor, and how many problems to give it at once: `jobs` processes, or a cluster.

    It is never this process, which is to be here still when something crashes. `cluster` is the address of a Dask
    scheduler, or "local" for one on this machine with `jobs` workers. What was started ends with the block. Raises
    ConvGradError.
    """
    if cluster is not None:
        with _cluster(cluster, jobs) as found:
            yield found
    else:
        processes = Processes(jobs)
        try:
            yield processes, jobs
        finally:
            processes.end()


class Processes(ThreadPoolExecutor):
    """So many processes, each with its share of the cores and asked by a thread of its own.

    One that dies fails only what it worked on, with ProcessDied; the next question starts another.
    """

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs)
        self.threads = _threads(jobs)
        self._mine = threading.local()
        self._running: set[_Process] = set()

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        return super().submit(self._ask, fn, args, kwargs)

    def end(self) -> None:
        """End every process, whatever it does."""
        self.shutdown(wait=False, cancel_futures=True)
        for process in list(self._running):
            process.end()

    def _ask(self, *question: Any) -> Any:
        process = getattr(self._mine, "process", None)
        if process is None:
            process = self._mine.process = _Process(self.threads)
            self._running.add(process)
        try:
            done, result = process.ask(question)
        except ProcessDied:
            self._running.discard(process)
            self._mine.process = None
            raise
        if not done:
            raise ConvGradError(result)
        return result


class _Process:
    """A Python that does what it is sent, until the connection is closed."""

    def __init__(self, threads: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    _CHILD,
                    str(theirs.fileno()),
                    json.dumps([str(path) for path in sys.path]),
                ],
                stdin=subprocess.DEVNULL,
                stdout=stderr_or_nothing(),
                # Threads that wait with their eyes open slow each other down tenfold where others use the cores too.
                env={"OMP_WAIT_POLICY": "passive", **os.environ, "OMP_NUM_THREADS": str(threads)},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the process that was started by hand
            )
        self._connection = Connection(ours.detach())
        self._closing = threading.Lock()  # by the thread that asks and by the one that ends the run, at once

    def ask(self, question: Any) -> tuple[bool, Any]:
        try:
            self._connection.send(question)
            answer: tuple[bool, Any] = self._connection.recv()
            return answer
        except (EOFError, OSError):
            self.end(kill=False)
            said = ending(self._process.wait())
            raise ProcessDied(f"process {self._process.pid} {said} while it worked on this problem") from None

    def end(self, *, kill: bool = True) -> None:
        if kill:
            end_group(self._process)
        with self._closing:
            self._connection.close()


def serve() -> None:
    """Do what comes over the connection whose number is the first argument, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    while True:
        try:
            work, args, kwargs = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = True, work(*args, **kwargs)
        except Exception as error:
            answer = False, f"{type(error).__name__}: {error}"
        try:
            connection.send(answer)
        except OSError:  # whoever asked is gone
            return


def _threads(jobs: int) -> int:
    """The cores for each of `jobs` processes, and no more threads than this process may have."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores // jobs, int(given) if given.isdigit() else cores))


@contextmanager
def _cluster(address: str, jobs: int) -> Iterator[tuple[Executor, int]]:
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise ConvGradError("--cluster needs Dask's distributed; pip install 'convgrad[cluster]'") from None
    for name in ("distributed", "distributed.client", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # what matters of it is raised
    local = None
    try:
        if address == "local":
            with _deaf_children():
                local = distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    host="127.0.0.1",
                    silence_logs=logging.CRITICAL,
                )
        client = distributed.Client(local or address, timeout=LONGEST_WAIT)
        client.wait_for_workers(1, timeout=LONGEST_WAIT)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        if local is not None:
            local.close()
        raise ConvGradError(
            f"--cluster {safe(address)}: no scheduler with a worker answers there ({safe(str(error))}); "
            "give the address that `dask scheduler` prints, such as tcp://host:8786, or local"
        ) from None
    try:
        with _told_of_interrupts():
            yield client.get_executor(pure=False), AHEAD * max(1, sum(client.nthreads().values()))
    except CancelledError:
        raise ConvGradError(
            f"--cluster {safe(address)}: the scheduler is gone; what is done is in the results file, "
            "and --resume goes on from there"
        ) from None
    finally:
        client.close()
        if local is not None:
            local.close()


@contextmanager
def _deaf_children() -> Iterator[None]:
    """What is started here does not hear Ctrl-C, which is for the process that was started by hand."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _told_of_interrupts() -> Iterator[None]:
    """Remembers Ctrl-C: Python loses the exception if it arrives while a destructor runs, and Dask has many."""

    def remember(number: int, frame: FrameType | None) -> None:
        _interrupted.set()
        signal.default_int_handler(number, frame)

    _interrupted.clear()
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _interrupted.clear()
