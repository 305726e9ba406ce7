"""What `model` found: the layers of a model and a verdict on each, as frozen plain data that every renderer reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convgrad_cli.findings import STATUS, NonFinite, Verdict
from convgrad_cli.geometry.spec import ConvSpec

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

SEVERITY = ("FAIL", "ERROR", "SUSPECT", "MISTRUSTED", "PASS")


@dataclass(frozen=True)
class LayerRow:
    """One run of a convolution in a model: `place` counts them in the order of the forward pass.

    `verdicts` are on the gradients that autograd left there, `reason` says why they are not all PASS, `seconds` is the
    time that judging them took,
    `nonfinite` where NaN and infinities in them came from;
    `output_finite`: whether the output has none.
    """

    name: str
    place: int
    spec: ConvSpec
    dtype: str
    verdict: str
    reason: str
    verdicts: tuple[Verdict, ...] = ()
    seconds: float = 0.0
    nonfinite: NonFinite | None = None
    output_finite: bool = True

    @property
    def ratio(self) -> float | None:
        """The largest error in units of its bound; None where nothing was judged."""
        return max((verdict.ratio for verdict in self.verdicts), default=None)

    @property
    def bits(self) -> float | None:
        """The fewest effective bits of any tensor's worst element; None where nothing was judged."""
        return min((verdict.bits for verdict in self.verdicts if verdict.bits is not None), default=None)


@dataclass(frozen=True)
class ModelReport:
    """What `model` found: a row for each run of a convolution, in the order of the forward pass.

    `mode` is "train" or "eval", `seconds` the time of the run and of all judging. Seed, input and loss are not known of
    a step that was only watched.
    """

    version: str
    target: str
    mode: str
    dtype: str
    device: str
    parameters: int
    rows: tuple[LayerRow, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    seed: int | None = None
    input_shape: tuple[int, ...] = ()
    loss: str = ""
    loss_value: float | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each verdict, the worst first."""
        found = {verdict: sum(row.verdict == verdict for row in self.rows) for verdict in SEVERITY}
        return {verdict: count for verdict, count in found.items() if count}

    @property
    def exit_code(self) -> int:
        """That of the worst verdict; where no layer was judged, nothing could have failed."""
        return STATUS[next(iter(self.counts), "MISTRUSTED")]

    def to_dict(self) -> dict[str, Any]:
        """The strict JSON document of `-f json`, schema "convgrad/1"."""
        from convgrad_cli.render.json import model_document

        return model_document(self)

    def __str__(self) -> str:
        from convgrad_cli.render.model import table
        from convgrad_cli.render.style import Style

        return "".join(table(self, Style())).rstrip("\n")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from convgrad_cli.render.model import lines
        from convgrad_cli.render.style import Style

        yield from lines(self, Style(width=options.max_width, ascii=options.ascii_only))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from convgrad_cli.render.model import html, markdown
        from convgrad_cli.render.notebook import bundle
        from convgrad_cli.render.style import Style

        name = f"convgrad model {self.target}"
        return bundle(html(self, Style()), markdown(self, Style()), str(self), name)

    def __repr__(self) -> str:
        counted = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        return f"<convgrad model {self.target}: {counted or 'no layer'}>"
