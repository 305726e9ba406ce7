"""`suite` against a bare loop that only runs torch forward and backward on the same problems, list by list.

Lists of benchdnn's own are read where they lie beside this project (../shared/data/benchdnn); they are no part of it.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from layers import RESNET_50
from measure import THREADS, Aim, Outcome, Settings, compare, in_turns, timed

LISTS = Path(__file__).parents[3] / "shared" / "data" / "benchdnn"
PUBLISHED = {"shapes_basic": None, "shapes_resnet_50": 2}  # and the batch size, where the list's own is too large
BATCH = 2
SMALL = 200
LIMIT = 3.0
Clock = Callable[[], float]
WAYS: list[tuple[str, int, int, Clock]] = [  # processes, threads of each
    ("one thread", 1, 1, time.process_time),
    ("1 job", 1, THREADS, time.perf_counter),
    ("2 jobs", 2, THREADS // 2, time.perf_counter),
]
MODES: dict[str, dict[str, Any]] = {"--summary": {"summary": True}, "--conditions none": {"conditions": "none"}, "": {}}


def suite(settings: Settings) -> Outcome:
    """Seconds of a list in every mode, with one process and with two; and each published problem by itself."""
    os.environ["OMP_WAIT_POLICY"] = "passive"  # as suite has it; before torch is there
    lists = {"20 convolutions of ResNet-50": _resnet_50(), f"{SMALL} small layers": _small()}
    if settings.tiny:
        lists = {"tiny": [f'mb1ic2ih{size}oc2kh2n"{size}"' for size in range(3, 6)]}
    cases, aims = [], []
    for name, lines in lists.items():
        found = _modes(name, lines, settings.runs)
        cases += found
        aims += [Aim(f"{case['case']}: times torch's", case["ratio"], LIMIT) for case in found]
    notes = [
        "without what a process starts with; on one thread it is processor time, which other work hardly changes",
        "a check calls torch 4 times without conditions and about 20 times with them",
    ]
    for name, batch in PUBLISHED.items():
        if (LISTS / name).exists() and not settings.tiny:
            found = _problems(name, batch, settings.runs)
            cases += found
            seconds = sum(case["ours"] for case in found)
            counts = Counter(case["verdict"] for case in found)
            verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
            notes.append(f"{name}{f' --mb {batch}' if batch else ''}: {verdicts}, {seconds:.3g} s in all")
    return Outcome(
        "A list of problems as suite does it, beside a loop that runs torch's forward and backward on them; float32",
        aims,
        cases,
        notes,
    )


def _resnet_50() -> list[str]:
    return [
        f'mb{BATCH}ic{ins}ih{size}oc{outs}kh{kernel}sh{stride}ph{padding}n"{name}"'
        for name, (ins, outs, size, kernel, stride, padding) in RESNET_50.items()
    ]


def _small() -> list[str]:
    sys.path.append(str(Path(__file__).parents[1]))
    from descriptors import descriptors

    return descriptors(SMALL, seed=5)


def _modes(name: str, lines: list[str], runs: int) -> list[dict[str, Any]]:
    """A case for each way to run the list."""
    problems = _read(lines, name)
    cases = []
    for what, jobs, threads, clock in WAYS:
        with _executor(jobs, threads) as (executor, at_once):
            functions = {"theirs": timed(_bare(problems, threads * jobs), clock)}
            for mode, options in MODES.items():
                functions[mode] = partial(_suite, problems, options, executor, at_once, clock)
            samples = in_turns(functions, runs)
        theirs = samples.pop("theirs")
        for mode, ours in samples.items():
            case = compare(f"{name}, {mode or 'check'}, {what}", "s", ours, theirs)
            cases.append({**case, "problems_per_second": len(problems) / median(ours), "verdict": "PASS"})
    return cases


@contextmanager
def _executor(jobs: int, threads: int) -> Iterator[tuple[Any, int]]:
    from convgrad_cli.suites import executor_of

    os.environ["OMP_NUM_THREADS"] = str(threads)
    with executor_of(jobs) as found:
        yield found
    del os.environ["OMP_NUM_THREADS"]


def _suite(problems: list[Any], options: dict[str, Any], executor: Any, at_once: int, clock: Clock) -> float:
    """Seconds for the list: of the clock on the wall, or what the processes had a processor for."""
    from convgrad_cli.commands.suite_settings import Settings as How
    from convgrad_cli.suites import run_all

    begun, spent = time.perf_counter(), 0.0
    for listed, found in run_all(partial(_one, How(**options)), problems, executor, at_once):
        if isinstance(found, Exception) or found[0].verdict != "PASS":
            raise SystemExit(f"{listed.text}: {found}")
        spent += found[1]
    return spent if clock is time.process_time else time.perf_counter() - begun


def _one(how: Any, listed: Any) -> tuple[Any, float]:
    """The row of one problem, and the processor's seconds for it; called in a process of the suite."""
    from convgrad_cli.commands.suite import run_one

    begun = time.process_time()
    row = run_one(how, listed)
    return row, time.process_time() - begun


def _problems(name: str, batch: int | None, runs: int) -> list[dict[str, Any]]:
    """A case for each problem of a published list: the seconds of its check beside torch's."""
    from convgrad_cli.commands.suite import run_one
    from convgrad_cli.commands.suite_settings import Settings as How
    from convgrad_cli.suites import executor_of, run_all

    problems = _read((LISTS / name).read_text(encoding="utf-8").splitlines(), name)
    with executor_of(1) as (executor, at_once):
        rounds = [list(run_all(partial(run_one, How(batch=batch)), problems, executor, at_once)) for _ in range(runs)]
    cases = []
    for number, listed in enumerate(problems):
        rows: list[Any] = [found[number][1] for found in rounds]
        one = listed if batch is None else replace(listed, spec=replace(listed.spec, batch_size=batch))
        theirs = in_turns({"theirs": timed(_bare([one], THREADS))}, runs)["theirs"]
        case = compare(f"{name}: {listed.name}", "s", [row.seconds for row in rows], theirs)
        cases.append({**case, "problems_per_second": 1 / case["ours"], "verdict": rows[0].verdict})
    return cases


def _read(lines: list[str], name: str) -> list[Any]:
    from convgrad_cli.geometry.problem_list import Listed, read_problems

    return [found for found in read_problems(lines, name, lambda name: ()) if isinstance(found, Listed)]


def _bare(problems: list[Any], threads: int) -> Callable[[], None]:
    """The loop; its operands are made before it runs."""
    import torch

    from convgrad_cli.gradients.autograd import forward

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    given = []
    for listed in problems:
        spec = listed.spec
        names = ("input", "weight", "bias", "output") if spec.bias else ("input", "weight", "output")
        *leaves, grad_output = (torch.randn(spec.shape_of(name)) for name in names)
        given.append((spec, [leaf.requires_grad_() for leaf in leaves], grad_output))

    def loop() -> None:
        for spec, leaves, grad_output in given:
            output = forward(spec, leaves[0], leaves[1], leaves[2] if spec.bias else None)
            torch.autograd.grad(output, leaves, grad_output)

    return loop
