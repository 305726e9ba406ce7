"""How many of the planted mistakes are named: each on its three layers, by class.

    python tests/diagnosed.py

prints the table that the README shows and writes it to tests/benchmarks/results/diagnosed.json. A tensor is named where
a formula reproduces it bit for bit (or to rounding, for a mean), classed where the diagnosis says no formula but what
kind of fault it is (state, memory layout, request, accumulator), and else localised: its wrong elements are shown.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent / "planted"))

from table import CORRECT, PLANTED, Correct, Planted

import convgrad_cli
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.report import Report

RESULT = Path(__file__).parent / "benchmarks" / "results" / "diagnosed.json"
OUTCOMES = ("named", "classed", "localised")


def checked(one: Planted | Correct, layer: dict[str, object]) -> Report:
    return convgrad_cli.check(one.function, make_spec(**layer), framework=one.framework, conditions="all")


def outcomes(one: Planted, layer: dict[str, object]) -> list[str]:
    """What became of each wrong tensor."""
    found = checked(one, layer).diagnosis
    assert found is not None, one.name
    kinds = {fault.tensor: "named" if fault.equals else "classed" for fault in found.faults}
    tensors = [name if name == "output" else f"grad_{name}" for name in one.wrong]
    return [kinds.get(tensor, "localised") for tensor in tensors]


def main() -> None:
    begun, by_class, styles = perf_counter(), {}, Counter()
    for one in PLANTED:
        styles[one.style] += 1
        for layer in one.layers:
            for outcome in outcomes(one, layer):
                for kind in dict.fromkeys(one.classes):
                    by_class.setdefault(kind, Counter())[outcome] += 1
    false = sum(
        bool(report.diagnosis and any(fault.equals for fault in report.diagnosis.faults))
        for report in (checked(one, layer) for one in CORRECT for layer in one.layers)
    )
    rows = {
        kind: {name: by_class[kind][name] for name in OUTCOMES} for kind in sorted(by_class, key=lambda k: int(k[1:]))
    }
    result = {
        "mistakes": len(PLANTED),
        "styles": dict(styles),
        "classes": rows,
        "correct": len(CORRECT),
        "correct that were given a name": false,
        "seconds": round(perf_counter() - begun),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def table(result: dict[str, dict[str, dict[str, int]]]) -> str:
    lines = ["| class | tensors | named | classed | localised |", "|---|---|---|---|---|"]
    for kind, counts in result["classes"].items():
        lines.append(
            f"| {kind} | {sum(counts.values())} | " + " | ".join(str(counts[name]) for name in OUTCOMES) + " |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
