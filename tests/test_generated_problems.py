"""Two thousand layers by a rule of our own, as benchdnn writes them: every gradient and y of each is judged, and right.

Which layers they are for, and that they have these, is in tests/geometry/test_benchdnn.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from descriptors import descriptors
from shell import call

# Two of benchdnn's own lists, where they lie beside this project; they are no part of it.
PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "benchdnn"
COUNT, PARTS = 2_000, 4
TENSORS = ["output", "grad_weight", "grad_input", "grad_bias"]


@pytest.mark.parametrize("part", range(PARTS))
def test_all_pass(part):
    """Without other memory formats: some of these layers crash oneDNN in channels_last on processors with AVX2."""
    problems = descriptors(COUNT, seed=5)[part::PARTS]
    done = call("suite", "-", "--conditions", "none", "-f", "jsonl", stdin="".join(f"{one}\n" for one in problems))
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["problem"], row["reason"]) for row in rows if row["verdict"] != "PASS"] == []
    assert [row["problem"] for row in rows] == problems
    assert all([verdict["tensor"] for verdict in row["verdicts"]] == TENSORS for row in rows)
    assert (done.status, done.err) == (0, "")


@pytest.mark.skipif(not PUBLISHED.exists(), reason="../shared/data has no benchdnn lists")
@pytest.mark.parametrize(
    ("name", "options", "count"),
    [("shapes_basic", (), 54), ("shapes_resnet_50", ("--mb", "2", "--conditions", "none"), 20)],
)
def test_all_of_a_published_list_pass(name, options, count):
    done = call("suite", str(PUBLISHED / name), *options, "-f", "jsonl")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert (done.status, done.err, [row["verdict"] for row in rows]) == (0, "", ["PASS"] * count)
    assert all([verdict["tensor"] for verdict in row["verdicts"]] == TENSORS for row in rows)
    assert all(row["seconds"] > 0 for row in rows)
