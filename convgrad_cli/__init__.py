"""convgrad: every gradient of any convolution beside the slice sum that explains it.

The Python API is imported lazily: `import convgrad_cli` imports neither torch nor a terminal library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from convgrad_cli.commands.capture import capture
    from convgrad_cli.commands.check import check
    from convgrad_cli.commands.explain import explain
    from convgrad_cli.commands.inspect import inspect
    from convgrad_cli.errors import ConvGradError
    from convgrad_cli.geometry.derivation import formula
    from convgrad_cli.geometry.languages import read_layer, write_layer
    from convgrad_cli.geometry.spec import ConvSpec, make_spec
    from convgrad_cli.report import Report

_HOMES = {
    "ConvGradError": "errors",
    "ConvSpec": "geometry.spec",
    "Report": "report",
    "capture": "commands.capture",
    "check": "commands.check",
    "explain": "commands.explain",
    "formula": "geometry.derivation",
    "inspect": "commands.inspect",
    "make_spec": "geometry.spec",
    "read_layer": "geometry.languages",
    "write_layer": "geometry.languages",
}
__all__ = [
    "ConvGradError",
    "ConvSpec",
    "Report",
    "__version__",
    "capture",
    "check",
    "explain",
    "formula",
    "inspect",
    "make_spec",
    "read_layer",
    "write_layer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
