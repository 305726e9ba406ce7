"""Style: how a report is to be shown, decided once by the cli; and the names that `--only` understands."""

from __future__ import annotations

from dataclasses import dataclass

ROWS = 100  # a longer table shows only the rows that matter, unless asked


@dataclass(frozen=True)
class Style:
    """`width` None: natural width, nothing wrapped. `rows` None: the format's own default. `only` empty: everything."""

    width: int | None = None
    color: bool = False
    ascii: bool = False
    precision: int = 4
    only: tuple[str, ...] = ()
    rows: int | None = None
    quiet: bool = False

    def shows(self, name: str) -> bool:
        return not self.only or name in self.only
