"""How often correct code is blamed: torch's own gradients, in every dtype, with oneDNN and without, on many data.

    python tests/false_alarms.py [--tensors N] [--seed S] [--jobs J]

prints a table and writes the figures to tests/benchmarks/results/false-alarms.json. Correct 16-bit code on a CPU keeps
its sums in 16 bits, which is what it is declared to do here. What is known to be incorrect in torch is left out: on
CPUs with AVX512_BF16 oneDNN does not write the gradients of kernel entries that only ever meet padding.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import cycle, product
from pathlib import Path
from typing import Any

import torch
from cases import random_specs
from distributions import DISTRIBUTIONS, ZERO_MEAN, operands_of

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.autograd import Flags, TorchTarget
from convgrad_cli.verdict.bounds import term_counts
from convgrad_cli.verdict.examine import examine
from convgrad_cli.verdict.precision import read_precision

RESULT = Path(__file__).parent / "benchmarks" / "results" / "false-alarms.json"
DECLARED = {
    torch.float64: "direct",
    torch.float32: "direct",
    torch.float16: "short",
    torch.bfloat16: "short",
}
READ = "reads as less"
LARGEST = 10**6  # multiply-adds of a layer; more of them say more than larger ones


def layers(seed: int) -> Iterator[ConvSpec]:
    """Random layers without end, small ones and some with long sums."""
    draw = random.Random(seed)
    for spec in random_specs(seed, 10**9):
        if draw.random() < 0.3:
            batch = None if spec.batch_size is None else draw.randint(1, 8)
            times = draw.choice((1, 4, 16))
            channels = {"in_channels": spec.in_channels * times, "out_channels": spec.out_channels * times}
            spec = replace(spec, batch_size=batch, **channels)
        if spec.macs <= LARGEST:
            yield spec


def count_alarms(tensors: int, seed: int) -> Counter[tuple[str, str, str, bool, str]]:
    """Verdicts by (dtype, oneDNN, distribution, zero mean, verdict) over at least `tensors` tensors."""
    torch.set_num_threads(1)
    found: Counter[tuple[str, str, str, bool, str]] = Counter()
    settings = cycle(product(DISTRIBUTIONS, DECLARED, (True, False)))
    for number, spec in enumerate(layers(seed)):
        kind, dtype, mkldnn = next(settings)
        if mkldnn and dtype == torch.bfloat16 and not bool(term_counts(spec, "weight").all()):
            continue
        target = TorchTarget(torch.device("cpu"), Flags(mkldnn=mkldnn))
        operands = operands_of(spec, kind, dtype, seed + number)
        examined = examine(spec, operands, target, DECLARED[dtype], seed=seed + number)
        for one in examined.judged:
            name = str(dtype).removeprefix("torch.")
            found[(name, "on" if mkldnn else "off", kind, kind in ZERO_MEAN, one.verdict)] += 1
            reading = read_precision(one.certificate) if DECLARED[dtype] == "direct" else None
            if reading and reading.suspicious:  # what saved gradients would be suspected of
                found[(name, "on" if mkldnn else "off", kind, kind in ZERO_MEAN, READ)] += 1
            if one.verdict in ("FAIL", "SUSPECT"):
                print(f"{one.verdict}: {one.operand} of {spec.layer_text()} {spec.input_shape}, {name}, {kind}, "
                      f"oneDNN {mkldnn}, seed {seed + number}: {one.reason}", flush=True)  # fmt: skip
        if judged(found) >= tensors:
            return found
    raise AssertionError("layers never end")


def judged(found: Counter[tuple[str, str, str, bool, str]]) -> int:
    """The number of tensors."""
    return sum(count for key, count in found.items() if key[-1] != READ)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensors", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULT)
    asked = parser.parse_args()
    share = -(-asked.tensors // asked.jobs)
    total: Counter[tuple[str, str, str, bool, str]] = Counter()
    with ProcessPoolExecutor(asked.jobs) as pool:
        for part in pool.map(count_alarms, [share] * asked.jobs, [asked.seed + 10**6 * j for j in range(asked.jobs)]):
            total += part
    rows = _rows(total)
    for row in rows:
        print(*row.values(), sep="\t")
    document = {"torch": torch.__version__, "tensors": judged(total), "seed": asked.seed, "rows": rows}
    asked.results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _rows(total: Counter[tuple[str, str, str, bool, str]]) -> list[dict[str, Any]]:
    """One row for each dtype, setting of oneDNN and kind of mean."""
    keys = sorted({(dtype, mkldnn, centred) for dtype, mkldnn, _, centred, _ in total})
    rows = []
    for dtype, mkldnn, centred in keys:
        verdicts: Counter[str] = Counter()
        for (d, m, _, c, verdict), count in total.items():
            if (d, m, c) == (dtype, mkldnn, centred):
                verdicts[verdict] += count
        counts = {name: verdicts[name] for name in ("PASS", "SUSPECT", "MISTRUSTED", "FAIL", READ)}
        rows.append({"dtype": dtype, "oneDNN": mkldnn, "zero mean": centred, **counts})
    return rows


if __name__ == "__main__":
    main()
