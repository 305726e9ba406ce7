"""Rows of a suite built by hand: right, sampled, wrong, doubtful, without an answer, and hostile words everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator

from render.samples import HOSTILE

from convgrad_cli.findings import Finding, Verdict
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.render.style import Style
from convgrad_cli.render.suite import RENDERERS
from convgrad_cli.report import Row, Tally

SPEC = make_spec(in_channels=2, out_channels=4, input_size=(6, 5), kernel_size=3, padding=1, groups=2, batch_size=2)
AGAIN = "convgrad check mine.py::f --size 6x5 --kernel 3 --padding 1"


def row(name: str, verdict: str = "PASS", reason: str = "", **more) -> Row:
    text = f'g2ic2oc4ih6iw5kh3ph1n"{name}"' if name else "g2ic2oc4ih6iw5kh3ph1"
    fields = {"problem": text, "place": "mine:7", "spec": SPEC, "dtype": "float32", "target": "mine.py::f"}
    return Row(**{**fields, "name": name, "verdict": verdict, "reason": reason, **more})


def verdict(name: str = "PASS", ratio: float = 0.25, reason: str = "") -> Verdict:
    probes = (Finding("sums", name, reason, ("grad_weight",) * bool(reason)),)
    return Verdict("grad_weight", name, reason, 72, 5 * bool(reason), ratio, (0, 0, 1, 2), probes, "any order", 24.5)


ROWS = (
    row("right", verdicts=(verdict(), verdict(ratio=0.5)), seconds=0.03125),
    row("", verdicts=(verdict(),), seconds=1.5, sampled=64, conditions=(Finding("repeat", "PASS"),)),
    row("wrong", "FAIL", "the formula is wrong", verdicts=(verdict("FAIL", math.inf, "off"),), again=AGAIN),
    row("doubt", "SUSPECT", "10 bits", settings="--dtype float16"),
    row("zeros", "MISTRUSTED", "the test could not have failed"),
    row("silent", "ERROR", "mine.py::f raised ValueError", again=AGAIN),
    *(
        row(text, "FAIL", text, problem=text, place=text, dtype=text, target=text, settings=text, again=text)
        for text in HOSTILE
    ),
    row("ic" * 700, "FAIL", "reason " * 60),
)


def shown(name: str, rows: tuple[Row, ...] = ROWS, **style) -> str:
    """All that a format writes of the rows."""
    tally = Tally(len(rows), max(len(one.label) for one in rows), seconds=2.0)

    def counted() -> Iterator[Row]:
        for one in rows:
            tally.add(one)
            yield one

    return "".join(RENDERERS[name](counted(), tally, Style(**style)))
