"""Every option, declared once. `takes` turns groups of them into the parameters that Typer reads from a function."""

import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Annotated, Any, get_args

from typer import BadParameter, Exit, Option

from convgrad_cli import __version__
from convgrad_cli.render.style import FORMATS, NAMES
from convgrad_cli.safe import safe

LAYER, NUMBERS, RUN, OUTPUT = "Layer", "Numbers", "Run", "Output"
SECOND_ORDER = "Second order"


def option(panel: str, *flags: str, help: str, metavar: str | None = None, **rest: Any) -> Any:
    """An option in the section `panel` of the help, without a default in it: the help says that itself."""
    return Option(*flags, help=help, metavar=metavar, rich_help_panel=panel, show_default=False, **rest)


def _whole(text: str) -> int:
    """The number that `text` is; what Typer itself says about a wrong one does not show it."""
    with suppress(ValueError):
        return int(text)
    if re.fullmatch(r"\d+(\.\d*)?[eE]\d{1,2}", text) and float(text).is_integer():  # multiply-adds are often 1e9
        return int(float(text))
    raise BadParameter(f"{safe(text)!r} is not a whole number")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"convgrad {__version__}")
        raise Exit


def number(panel: str, flag: str, help: str, metavar: str = "N") -> Any:
    """The same for a whole number."""
    return option(panel, flag, help=help, metavar=metavar, parser=_whole)


Version = Annotated[
    bool, Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
]


@dataclass(frozen=True)
class LayerOptions:
    """The convolution. None means: not typed."""

    size: Annotated[
        str | None,
        option(
            LAYER,
            "--size",
            "-s",
            metavar="HxW",
            help="Input size: N, HxW or DxHxW. Default: one more than the kernel covers.",
        ),
    ] = None
    kernel: Annotated[str | None, option(LAYER, "--kernel", "-k", metavar="HxW", help="Kernel size. Default: 2.")] = (
        None
    )
    stride: Annotated[str | None, option(LAYER, "--stride", metavar="HxW", help="Default: 1.")] = None
    padding: Annotated[
        str | None,
        option(
            LAYER,
            "--padding",
            metavar="HxW",
            help="Numbers, same, valid or full; before:after where the ends differ. Default: 0.",
        ),
    ] = None
    dilation: Annotated[str | None, option(LAYER, "--dilation", metavar="HxW", help="Default: 1.")] = None
    groups: Annotated[int | None, number(LAYER, "--groups", help="Default: 1.")] = None
    in_channels: Annotated[int | None, number(LAYER, "--in-channels", help="Default: --groups.")] = None
    out_channels: Annotated[int | None, number(LAYER, "--out-channels", help="Default: --groups.")] = None
    batch: Annotated[
        str | None,
        option(LAYER, "--batch", metavar="N", help="Batch size, or none for an unbatched input. Default: 1."),
    ] = None
    padding_mode: Annotated[
        str | None,
        option(LAYER, "--padding-mode", metavar="MODE", help="zeros, reflect, replicate or circular. Default: zeros."),
    ] = None
    transposed: Annotated[bool, option(LAYER, "--transposed", help="A transposed convolution.")] = False
    output_padding: Annotated[
        str | None, option(LAYER, "--output-padding", metavar="HxW", help="For a transposed convolution. Default: 0.")
    ] = None
    bias: Annotated[bool | None, option(LAYER, "--bias/--no-bias", help="Add a bias. Default: no.")] = None
    dims: Annotated[
        int | None,
        number(LAYER, "--dims", metavar="1|2|3", help="Spatial axes. Default: as many as --size has parts, else 2."),
    ] = None
    layer: Annotated[
        str | None,
        option(
            LAYER,
            "--layer",
            metavar="TEXT",
            help="The layer as others write it, instead of the above: 'Conv2d(3, 4, (2, 2))', benchdnn, MIOpenDriver.",
        ),
    ] = None
    capture: Annotated[
        str | None,
        option(LAYER, "--capture", metavar="FILE", help="A real layer with its numbers, from convgrad model --save."),
    ] = None


@dataclass(frozen=True)
class NumberOptions:
    """Where the numbers come from, and how they are run."""

    x: Annotated[
        str | None,
        option(
            NUMBERS,
            "--x",
            metavar="SOURCE",
            help="Input: a fill (randn, ramp, ...), '1 2; 3 4', FILE, FILE::KEY or -. Default: randn.",
        ),
    ] = None
    w: Annotated[str | None, option(NUMBERS, "--w", metavar="SOURCE", help="Weight. Default: randn.")] = None
    b: Annotated[str | None, option(NUMBERS, "--b", metavar="SOURCE", help="Bias; implies --bias. Default: randn.")] = (
        None
    )
    g: Annotated[
        str | None, option(NUMBERS, "--g", metavar="SOURCE", help="Upstream gradient dL/dy, instead of --loss.")
    ] = None
    loss: Annotated[
        str | None, option(NUMBERS, "--loss", metavar="sum|mean", help="Default: sum, so g is all ones.")
    ] = None
    seed: Annotated[int, number(RUN, "--seed", help="For random numbers. Default: 0.")] = 0
    dtype: Annotated[
        str | None,
        option(
            RUN,
            "--dtype",
            metavar="NAME",
            help="float64, float32, float16 or bfloat16. Default: that of the files, else float32.",
        ),
    ] = None
    device: Annotated[
        str, option(RUN, "--device", metavar="NAME", help="cpu, cuda, cuda:1, mps, xpu or auto. Default: cpu.")
    ] = "cpu"


Precision = Annotated[int, number(OUTPUT, "--precision", help="Decimals in tables. Default: 4.")]
Ascii = Annotated[bool, option(OUTPUT, "--ascii", help="Print only ASCII characters.")]
Color = Annotated[str, option(OUTPUT, "--color", metavar="WHEN", help="auto, always or never. Default: auto.")]


@dataclass(frozen=True)
class ScreenOptions:
    """How a full screen shows it."""

    precision: Precision = 4
    color: Color = "auto"
    ascii: Ascii = False
    version: Version = False


@dataclass(frozen=True)
class SecondOrderOptions:
    """Gradients of gradients, and the cotangents they are taken with."""

    second_order: Annotated[
        bool,
        option(
            SECOND_ORDER,
            "--second-order",
            help="Gradients of the gradients: of S = (ggx * dL/dx).sum() + (ggw * dL/dw).sum() + (ggb * dL/db).sum().",
        ),
    ] = False
    ggx: Annotated[
        str | None,
        option(
            SECOND_ORDER, "--ggx", metavar="SOURCE", help="Implies --second-order, as the next two. Default: randn."
        ),
    ] = None
    ggw: Annotated[str | None, option(SECOND_ORDER, "--ggw", metavar="SOURCE", help="Default: randn.")] = None
    ggb: Annotated[str | None, option(SECOND_ORDER, "--ggb", metavar="SOURCE", help="Default: randn.")] = None

    @property
    def asked(self) -> bool:
        return self.second_order or any(text is not None for text in (self.ggx, self.ggw, self.ggb))


@dataclass(frozen=True)
class OutputOptions:
    """What to show, and where."""

    format: Annotated[
        str | None, option(OUTPUT, "--format", "-f", metavar="NAME", help=f"{', '.join(FORMATS)}. Default: table.")
    ] = None
    output: Annotated[
        str | None,
        option(
            OUTPUT,
            "--output",
            "-o",
            metavar="FILE",
            help="Write here; the suffix decides the format. - is standard output.",
        ),
    ] = None
    only: Annotated[
        list[str] | None, option(OUTPUT, "--only", metavar="NAMES", help=f"Only these: {', '.join(NAMES)}.")
    ] = None
    rows: Annotated[int | None, number(OUTPUT, "--rows", help="Show at most N elements of a gradient.")] = None
    precision: Precision = 4
    color: Color = "auto"
    width: Annotated[
        int | None,
        number(OUTPUT, "--width", help="Columns. Default: those of the terminal; unlimited in a pipe."),
    ] = None
    ascii: Ascii = False
    quiet: Annotated[bool, option(OUTPUT, "--quiet", "-q", help="No notes.")] = False
    version: Version = False


def reworded(group: type, **helps: str) -> type:
    """The same options, with other help for those of a command that has other defaults."""

    def said(kind: Any, help: str) -> Any:
        plain, option = get_args(kind)
        option = copy(option)
        option.help = help
        return Annotated[plain, option]

    changed = [
        (f.name, said(f.type, helps[f.name]), field(default=f.default)) for f in fields(group) if f.name in helps
    ]
    return make_dataclass(group.__name__, changed, bases=(group,), frozen=True)


def takes(**groups: type) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """A decorator: the function's arguments named in `groups` are built from options of those dataclasses."""

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        own = [p for p in inspect.signature(function).parameters.values() if p.name not in groups]
        flat = {field.name: field for group in groups.values() for field in fields(group)}

        def command(**given: Any) -> int:
            built = {
                name: group(**{field.name: given.pop(field.name) for field in fields(group)})
                for name, group in groups.items()
            }
            return function(**given, **built)

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            *(p.replace(kind=keyword) for p in own),
            *(inspect.Parameter(n, keyword, default=f.default, annotation=f.type) for n, f in flat.items()),
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        return command

    return decorate
