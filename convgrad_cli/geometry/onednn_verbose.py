"""Lines that oneDNN logs when ONEDNN_VERBOSE is set: which convolution ran, on which types, for which gradient.

The fields are separated by commas and have moved over the years; the primitive's name, the propagation, the types and
the descriptor are each recognised by what they look like. The descriptor is that of benchdnn.
"""

from __future__ import annotations

import re
from dataclasses import replace

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry import benchdnn
from convgrad_cli.geometry.layer_text import DTYPES, LayerText, asked
from convgrad_cli.safe import safe

LINE = re.compile(r"\s*(?:onednn|dnnl|mkldnn)_verbose,")
_PRIMITIVES = {"convolution": False, "deconvolution": True}
_DIRECTIONS = {
    "forward_training": {"output"},
    "forward_inference": {"output"},
    "backward_data": {"grad_input"},
    "backward_weights": {"grad_weight", "grad_bias"},
}
_DESCRIPTOR = re.compile(r"(?:g\d+)?mb\d+_?ic\d+oc\d+_.*")
_TENSOR = re.compile(r"f?(?:diff_)?(src|wei|bia|dst)[:_]([a-z]\w*)")


def runs_convolution(line: str) -> bool:
    """Whether the line says that a convolution ran, not that one was created or that something else ran."""
    fields = line.split(",")
    return "exec" in fields and not _PRIMITIVES.keys().isdisjoint(fields)


def parse(line: str) -> LayerText:
    """The layer of one line of the log. Raises SpecError."""
    fields = line.strip().split(",")
    kind = next((field for field in fields if field in _PRIMITIVES), None)
    propagation = next((field for field in fields if field in _DIRECTIONS), None)
    descriptor = next((field for field in fields if _DESCRIPTOR.fullmatch(field)), None)
    if kind is None or propagation is None or descriptor is None:
        raise SpecError(
            f"{safe(line, 80)!r} logs no convolution; a line that does holds convolution or deconvolution, "
            "forward_training or another propagation, and a descriptor such as mb2_ic16oc32_ih8oh8kh3"
        )
    types = dict(_TENSOR.findall(line))
    bias = types.pop("bia", "undef") != "undef"
    strange = [name for name in types.values() if re.fullmatch(r"[us]\d+|f8\w*", name)]
    if strange:
        raise SpecError(f"{safe(line, 80)!r} ran on {strange[0]}; only {', '.join(DTYPES)} have gradients here")
    said = benchdnn.describe(descriptor, benchdnn.Knobs(transposed=_PRIMITIVES[kind]))
    directions = asked(_DIRECTIONS[propagation], bias)
    return replace(
        said,
        name=f"{propagation} {descriptor}",
        settings={**said.settings, "bias": bias},
        dtype=DTYPES.get(types.get("src", "")),
        directions=directions,
    )
