"""What a command costs: its start, against a bare Typer application; its work, against a bare script."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from bare import write_bare
from measure import ENVIRONMENT, Aim, Outcome, Settings, compare, in_turns, run_process

WHO = ("ours", "theirs")
CONVGRAD = Path(sysconfig.get_path("scripts")) / "convgrad"

STARTS = {
    "convgrad --help": (["--help"], {}),
    "convgrad inspect --help": (["inspect", "--help"], {}),
    "completion of convgrad insp": (
        [],
        {"_CONVGRAD_COMPLETE": "complete_bash", "COMP_WORDS": "convgrad insp", "COMP_CWORD": "1"},
    ),
}

# The notebook that convgrad grew from, without its comments.
NOTEBOOK = """\
import torch
import torch.nn as nn
import torch.nn.functional as F

x = torch.randn(1, 1, 3, 3, requires_grad=True)
conv = nn.Conv2d(1, 1, (2, 2), bias=False)
y = conv(x)
y = y.sum()
y.backward()
print(conv.weight.grad)
print(x.grad)
"""


def startup(settings: Settings) -> Outcome:
    """Seconds until the help text or the completion is there."""
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        bare = write_bare(Path(folder))
        for name, (arguments, extra) in STARTS.items():
            environment = ENVIRONMENT | extra
            commands = {"ours": [str(CONVGRAD), *arguments], "theirs": [str(bare), *arguments]}
            _require_the_same_text(commands, environment)
            runs = in_turns(
                {who: lambda c=command, e=environment: run_process(c, e) for who, command in commands.items()},
                settings.runs,
            )
            cases.append(compare(name, "s", *([run.seconds for run in runs[who]] for who in WHO)))
    return Outcome(
        "Wall time of a whole process, beside a bare Typer application with the same commands, options and help text",
        [Aim(f"{case['case']}: times the bare application", case["ratio"], 1.25) for case in cases],
        cases,
    )


def inspect(settings: Settings) -> Outcome:
    """Seconds and memory of the first command a newcomer types."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "notebook.py"
        script.write_text(NOTEBOOK, encoding="utf-8")
        ours = [str(CONVGRAD), "inspect", "--size", "3", "--kernel", "2"]
        theirs = [sys.executable, str(script)]
        runs = in_turns({"ours": lambda: run_process(ours), "theirs": lambda: run_process(theirs)}, settings.runs)
    seconds = compare("wall time", "s", *([run.seconds for run in runs[who]] for who in WHO))
    processor = compare("processor time", "s", *([run.processor_seconds for run in runs[who]] for who in WHO))
    memory = compare("peak memory", "bytes", *([run.peak_bytes for run in runs[who]] for who in WHO))
    return Outcome(
        "convgrad inspect --size 3 --kernel 2, beside a script that imports torch, runs that convolution forward and "
        "backward and prints its two gradients",
        [
            Aim("wall time: times the script's", seconds["ratio"], 1.15),
            Aim("peak memory: times the script's", memory["ratio"], 1.1),
        ],
        [seconds, processor, memory],
    )


def _require_the_same_text(commands: dict[str, list[str]], environment: dict[str, str]) -> None:
    """The comparison counts only if the bare application says what convgrad says."""
    ours, theirs = (
        subprocess.run(commands[who], env=environment, capture_output=True, text=True).stdout for who in commands
    )
    if ours != theirs or not ours:
        raise SystemExit(f"convgrad and the bare application differ:\n{ours}\n{theirs}")
