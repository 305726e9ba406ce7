"""HTML that is escaped by construction: text becomes markup only inside `tag`, and nothing else makes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

OPERAND = re.compile(r"\b(gg(?:xp|[xwb])|xp|[xwbyg])(?:\.grad\b)?(?:\[[^\]]*\](?:\.flip\([\d,]+\))?|\d+\b|\b)")
VOID = {"input", "br", "meta"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | None  # a plain str is escaped, Markup is not


def tag(name: str, *children: Child, **attributes: object) -> Markup:
    """One element; `class_` is class, `data_at` is data-at; True writes a bare attribute, None and False none."""
    said = "".join(map(_attribute, attributes, attributes.values()))
    end = "" if name in VOID else f"</{name}>"
    return Markup(f"<{name}{said}>{join(children)}{end}")


def join(children: Iterable[Child]) -> Markup:
    """The children one after another, each escaped unless it is Markup."""
    return Markup("".join(c if isinstance(c, Markup) else escape(c, quote=False) for c in children if c is not None))


def code(text: str, **attributes: object) -> Markup:
    """A formula with each operand in the colour of its role: x1, w[0,0,1,1], g."""
    return tag("code", coloured(text), **attributes)


def coloured(text: str) -> Markup:
    children: list[Child] = []
    end = 0
    for found in OPERAND.finditer(text):
        children += [text[end : found.start()], tag("span", found[0], class_=found[1])]
        end = found.end()
    return join([*children, text[end:]])


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
