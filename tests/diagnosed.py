"""What `check` calls each planted mistake on each of its layers, and what it calls right code.

    python tests/diagnosed.py [--jobs J] [--only NAME ...]

prints a table by class and writes tests/benchmarks/results/diagnosed.json. A mistake counts as "named" where a formula
is named for every tensor that it spoils, as "told" where its class is told in words of its own (state, layout, request,
accumulator), as "localised" where only the wrong elements are drawn. A name is "another" where its classes share
none with what was planted (F0 stands for any): a second way to say the same numbers, or a wrong name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).with_name("planted")))

import torch
from table import CORRECT, PLANTED, REPORTS, Correct, Planted

import convgrad_cli
from convgrad_cli.geometry.spec import make_spec

RESULT = Path(__file__).parent / "benchmarks" / "results" / "diagnosed.json"
GRADES = ("named", "told", "localised", "missed")
CLASSES = {
    "F0": "what only hand-written code does",
    "F1": "remainder of the stride",
    "F2": "stride",
    "F3": "stride and dilation exchanged",
    "F4": "dilation",
    "F5": "groups",
    "F6": "border",
    "F7": "axes mixed up",
    "F8": "flipped, transposed, memory re-read",
    "F9": "constant factor",
    "F10": "start value, state left over",
    "F12": "memory layout",
    "F14": "accumulator",
    "F16": "request mask",
    "two": "two at once",
}
TENSORS = {"output": "output", "input": "grad_input", "weight": "grad_weight", "bias": "grad_bias"}
ENTRIES: dict[str, Planted | Correct] = {one.name: one for one in (*PLANTED, *REPORTS, *CORRECT)}
Row = dict[str, Any]


def judge(name: str, number: int) -> Row:
    """What `check` says of one implementation on its layer `number`."""
    torch.set_num_threads(1)
    one = ENTRIES[name]
    spec = make_spec(**one.layers[number])
    wrong = one.wrong if isinstance(one, Planted) else ()
    conditions = "all" if wrong else None
    report = convgrad_cli.check(one.function, spec, framework=one.framework, conditions=conditions)
    faults = report.diagnosis.faults if report.diagnosis else ()
    named = {fault.tensor for fault in faults if fault.equals or fault.words.startswith("fits the reference")}
    kinds = {kind for fault in faults for kind in fault.kinds}
    planted = set(one.classes) if isinstance(one, Planted) else set()
    return {
        "name": name,
        "layer": spec.layer_text(),
        "verdict": report.check.verdict if report.check else "",
        "planted": sorted(one.classes) if isinstance(one, Planted) else [],
        "grade": _grade({TENSORS[tensor] for tensor in wrong}, named, bool(kinds), report.check.verdict == "FAIL"),
        "kinds": sorted(kinds),
        "another": bool(named) and "F0" not in planted and not kinds & planted,
        "said": [f"{fault.tensor} {'equals the reference ' if fault.equals else ''}{fault.words}" for fault in faults],
        "calls": report.diagnosis.calls if report.diagnosis else 0,
    }


def _grade(wrong: set[str], named: set[str], told: bool, failed: bool) -> str:
    if not failed:
        return "missed" if wrong else "right"
    if not wrong:
        return "named" if named else "unnamed"
    return "named" if wrong <= named else "told" if told else "localised"


def judged(names: Iterable[str], jobs: int = 1) -> list[Row]:
    """The rows of these implementations on all their layers."""
    asked = [(name, number) for name in names for number in range(len(ENTRIES[name].layers))]
    if jobs == 1:
        return [judge(*one) for one in asked]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(judge, *zip(*asked, strict=True), chunksize=4))


def by_class(rows: Iterable[Row]) -> dict[str, Counter[str]]:
    """How many rows of each class have each grade; what has two mistakes counts once, as "two"."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        key = "two" if len(row["planted"]) > 1 else "".join(row["planted"])
        found.setdefault(key, Counter())[row["grade"]] += 1
        found[key]["another"] += row["another"]
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))


def markdown(study: Mapping[str, Any]) -> str:
    """The README's table: each class, its mistakes times layers, and how many of these have each grade."""
    heads = ("planted", *GRADES, "wrongly named")
    lines = [f"| class | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    total: Counter[str] = Counter()
    for key, counts in study["classes"].items():
        lines.append(_line(f"{key} {CLASSES[key]}" if key != "two" else CLASSES[key], counts))
        total.update(counts)
    return "\n".join([*lines, _line("all", total)]) + "\n"


def _line(title: str, counts: Mapping[str, int]) -> str:
    shown = [counts.get(grade, 0) for grade in (*GRADES, "another")]
    return f"| {title} | {sum(shown[:-1])} | {' | '.join(map(str, shown))} |"


def reports_markdown(study: Mapping[str, Any]) -> str:
    """The README's table: what is said of each fault that was reported in public, on the layer of the report."""
    named = {one.name: one.report for one in REPORTS}
    lines = ["| report | layer | what `check` says |", "|---|---|---|"]
    for row in study["rows"]:
        if row["name"] in named:
            together: dict[str, list[str]] = {}
            for one in row["said"]:
                tensor, _, words = one.partition(" ")
                together.setdefault(words, []).append(f"`{tensor}`")
            said = "; ".join(f"{', '.join(tensors)}: {words}" for words, tensors in together.items())
            lines.append(f"| {named[row['name']]} | `{row['layer']}` | {said} [{', '.join(row['kinds'])}] |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Judge all, print the table, write everything down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    asked = parser.parse_args()
    planted = judged(asked.only or [one.name for one in PLANTED], asked.jobs)
    others = [] if asked.only else judged([one.name for one in (*REPORTS, *CORRECT)], asked.jobs)
    print(f"{'class':8}" + "".join(f"{grade:>11}" for grade in (*GRADES, "another")))
    for key, counts in by_class(planted).items():
        print(f"{key:8}" + "".join(f"{counts[grade]:>11}" for grade in (*GRADES, "another")))
    total = Counter(row["grade"] for row in planted)
    print(f"{'all':8}" + "".join(f"{total[grade]:>11}" for grade in GRADES))
    if asked.only:
        print(*(f"{row['name']}: {row['said']}" for row in planted), sep="\n")
        return
    right = Counter(row["grade"] for row in others if not row["planted"])
    print("right code:", dict(right))
    table = {key: dict(counts) for key, counts in by_class(planted).items()}
    RESULT.write_text(json.dumps({"classes": table, "right": right, "rows": [*planted, *others]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
