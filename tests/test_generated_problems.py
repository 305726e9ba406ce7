"""Two thousand layers by a rule of our own, as benchdnn writes them: every gradient and y of each is judged, and right.

Which layers they are for, and that they have these, is in tests/geometry/test_benchdnn.py.
"""

from __future__ import annotations

import json

import pytest
from descriptors import descriptors
from shell import call

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
