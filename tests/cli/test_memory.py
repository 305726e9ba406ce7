"""A layer too large for the machine is refused with the numbers, before anything of it is allocated."""

from __future__ import annotations

import json
import re

import pytest
from shell import PEAK, call, run

from convgrad_cli.cli.options import LayerOptions, NumberOptions
from convgrad_cli.cli.request import read_problem
from convgrad_cli.tensors import memory
from convgrad_cli.tensors.problem import memory_for

GIB = 2**30
HUGE = [
    "inspect --size 999999999 --dims 1 --batch 100",
    "inspect --size 100000000 --dims 2",
    "inspect --size 100000000 --dims 3",
    "inspect --batch 999999999 --size 100",
    "inspect --in-channels 999999999 --out-channels 999999999",
    "inspect --kernel 99999 --size 100000",
    "inspect --padding 999999999",
    "inspect --batch 1000000 --padding 100 --padding-mode replicate",
    "inspect --transposed --stride 999999999",
    "explain --size 100000000",
    "explain --size 100000000 --at weight:0,0,0,0",
]

# All in one process, whose memory is looked at after each.
IN_ONE = f"""{PEAK}
import io, json, sys, time
from contextlib import redirect_stderr
import torch
from convgrad_cli.cli.main import _run
from convgrad_cli.commands import element, story
for line in sys.stdin.read().splitlines():
    before, begun = peak(), time.process_time()
    told = io.StringIO()
    with redirect_stderr(told):
        status = _run(line.split())
    grown = peak() - before
    print(json.dumps([status, told.getvalue(), grown, time.process_time() - begun]))
sys.exit()
"""


def test_a_huge_layer_is_refused_at_once_with_the_numbers():
    done = run(code=IN_ONE, stdin="\n".join(HUGE))
    assert done.status == 0, done.err
    for line, answer in zip(HUGE, done.out.splitlines(), strict=True):
        status, told, grown, seconds = json.loads(answer)
        assert status == 2, line
        assert re.fullmatch(
            r"convgrad: Conv\S+\(.*\) on [\dx]+ needs about [\d.e+]+ GiB of memory, and half of what is available is "
            r"[\d.]+ GiB; use a smaller --size or --batch(, or explain --at for a single element)?\n",
            told,
        ), told
        assert grown < 50, line  # MiB
        assert seconds < 5, line


@pytest.fixture
def little(monkeypatch):
    """A machine with 1 GiB to give."""
    monkeypatch.setattr(memory, "available_memory", lambda: GIB)


def test_half_of_what_is_available_may_be_taken(little):
    memory.require_memory(GIB // 2, "this", "do that")
    with pytest.raises(memory.ConvGradError) as told:
        memory.require_memory(GIB // 2 + 1, "this", "do that")
    assert str(told.value) == "this needs about 0.5 GiB of memory, and half of what is available is 0.5 GiB; do that"


def test_a_single_element_is_offered_only_where_it_would_help(little):
    layer = ("--in-channels", "64", "--out-channels", "64", "--kernel", "3", "--batch", "32")
    offered = call("inspect", *layer, "--size", "100")
    assert (offered.status, offered.out) == (2, "")
    assert offered.err.endswith("; use a smaller --size or --batch, or explain --at for a single element\n")
    assert call("inspect", *layer, "--size", "1000").err.endswith("; use a smaller --size or --batch\n")
    assert call("explain", "--at", "weight:0,0,0,0", *layer, "--size", "100").status == 0


def test_where_nothing_says_how_much_there_is_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    memory.require_memory(10**30, "this", "do that")


def test_a_container_with_less_than_the_machine_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "Path", lambda name: tmp_path / name.strip("/").replace("/", "."))
    (tmp_path / "proc.meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 4096 kB\n")
    assert memory.available_memory() == 4096 * 1024
    (tmp_path / "sys.fs.cgroup.memory.max").write_text("max\n")
    (tmp_path / "sys.fs.cgroup.memory.current").write_text("1000\n")
    assert memory.available_memory() == 4096 * 1024
    (tmp_path / "sys.fs.cgroup.memory.max").write_text("5000\n")
    assert memory.available_memory() == 4000


MEASURED = f"""{PEAK}
import os, sys
import torch, convgrad_cli.commands.inspect
torch.nn.functional.conv2d(torch.ones(1, 1, 9, 9), torch.ones(1, 1, 3, 3))
before = peak()
def tell():
    print(peak() - before, file=sys.stderr, flush=True)
leave = os._exit
os._exit = lambda status: (tell(), leave(status))
"""


def test_the_estimate_is_near_the_truth():
    options = {"size": "1100", "kernel": "3", "in_channels": 4, "out_channels": 2}
    estimate = memory_for(read_problem(LayerOptions(**options), NumberOptions()), gradients=True) / 2**20
    typed = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    done = run("inspect", "-q", "--only", "weight", *typed, code=MEASURED)
    assert done.status == 0, done.err
    assert 0.4 * estimate < int(done.err) < 1.3 * estimate
