"""How things are measured: side by side, in turns, as medians; and what is written down about it."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

THREADS = 2  # for torch, where a benchmark runs it in its own process
PACKAGES = ("torch", "typer", "rich", "numpy")

# An installed program has its modules compiled, so what keeps Python from it has no place here.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

T = TypeVar("T")


class Settings(NamedTuple):
    """What was asked for on the command line; `tiny` replaces the layers by small ones, to see that all of it runs."""

    runs: int
    tiny: bool
    results: Path


class Aim(NamedTuple):
    """A figure and where it is to be: at most or at least `limit`."""

    what: str
    figure: float
    limit: float
    at_most: bool = True

    @property
    def reached(self) -> bool:
        return self.figure <= self.limit if self.at_most else self.figure >= self.limit


@dataclass
class Outcome:
    """What a benchmark found: aims, and cases with their raw samples."""

    what: str
    aims: list[Aim]
    cases: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


class Run(NamedTuple):
    """One process: its wall time, the time it had a processor, and the most memory it ever held."""

    seconds: float
    processor_seconds: float
    peak_bytes: int


def run_process(command: Sequence[str], environment: Mapping[str, str] = ENVIRONMENT) -> Run:
    """Run `command` without a terminal. What it prints is thrown away; if it fails, that is an error here."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    peak = usage.ru_maxrss * (1 if platform.system() == "Darwin" else 1024)
    return Run(seconds, usage.ru_utime + usage.ru_stime, peak)


def measured_by(script: str, argument: str) -> Any:
    """What a script of this folder prints as JSON, in a process that gives memory back as soon as it is free.

    Its peak is then what was held at once; else it is also how the C library happens to keep what was freed.
    """
    child = [sys.executable, str(Path(__file__).with_name(script)), argument]
    environment = {**ENVIRONMENT, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    return json.loads(subprocess.run(child, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def timed(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Callable[[], float]:
    """A function that runs `function` and returns the seconds it took by `clock`."""

    def run() -> float:
        begun = clock()
        function()
        return clock() - begun

    return run


def in_turns(functions: Mapping[str, Callable[[], T]], runs: int) -> dict[str, list[T]]:
    """`runs` results of each function, taken in turns (A B A B ...) after one unmeasured round."""
    results: dict[str, list[T]] = {name: [] for name in functions}
    for number in range(runs + (runs > 1)):
        for name, function in functions.items():
            result = function()
            if number or runs == 1:
                results[name].append(result)
    return results


def compare(name: str, unit: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """A case: two medians, their ratio, and the samples behind them."""
    medians = statistics.median(ours), statistics.median(theirs)
    return {
        "case": name,
        "unit": unit,
        "ours": medians[0],
        "theirs": medians[1],
        "ratio": medians[0] / medians[1],
        "samples": {"ours": list(ours), "theirs": list(theirs)},
    }


def machine() -> dict[str, Any]:
    """The versions and the hardware that the figures belong to, and how busy it was."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "system": platform.platform(terse=True),
        "load": round(os.getloadavg()[0], 2),
    }


def write(name: str, outcome: Outcome, settings: Settings, before: Mapping[str, Any]) -> Path:
    """Write what was found to NAME.json in the folder of results."""
    document = {
        "name": name,
        "what": outcome.what,
        "aims": [{**aim._asdict(), "reached": aim.reached} for aim in outcome.aims],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "runs": settings.runs,
        "tiny": settings.tiny,
        "machine": before,
        **{key: value for key, value in asdict(outcome).items() if key in ("cases", "notes")},
    }
    settings.results.mkdir(parents=True, exist_ok=True)
    path = settings.results / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
