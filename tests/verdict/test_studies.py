"""The two studies in short: no correct tensor is blamed, and every planted fault is seen."""

from __future__ import annotations

import pytest
from false_alarms import READ, count_alarms, judged
from injected import FAULTS, count_caught


@pytest.mark.parametrize("seed", [100, 200])
def test_correct_code_is_not_blamed(seed):
    found = count_alarms(1000, seed)
    assert judged(found) >= 1000
    verdicts = {key[-1] for key in found}
    assert "FAIL" not in verdicts
    assert not [key for key in found if key[3] and key[-1] in ("SUSPECT", READ)]


def test_the_faults_are_of_many_kinds():
    assert len(FAULTS) >= 25
    assert {kind.split()[0] for kind in FAULTS} >= {f"F{n}" for n in range(1, 11)}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_planted_fault_is_seen(kind):
    found = count_caught(kind, 3, seed=9)
    assert found
    assert all(caught == total for caught, total in found.values())
