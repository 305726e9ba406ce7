"""A self-contained page around what it shows: one file that opens from disk and asks for nothing from anywhere.

Its content security policy says so: only the style and the scripts of this package, told by their hashes, apply.
Whatever comes from outside is text in it, escaped.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files

from convgrad_cli.render.markup import Child, Markup, tag
from convgrad_cli.render.palette import DARK_PUOR, PUOR, STEPS, shades
from convgrad_cli.safe import safe

ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def sheet(
    version: str, title: str, header: Markup, body: Iterable[str], scripts: Sequence[str], data: str = ""
) -> Iterator[str]:
    """The page from its first line to its last; `data` is JSON for its scripts."""
    script = _script(tuple(scripts))
    policy = f"default-src 'none'; style-src {_hash(_style())}; script-src {_hash(script)}; base-uri 'none'"
    fields = {
        "policy": f"{policy}; form-action 'none'",
        "version": safe(version),
        "title": tag("title", title),
        "style": _style(),
        "header": header,
        "script": script,
        "data": _data(data) if data else "",
    }
    before, after = _resource("page.html").split("{{body}}")
    yield _filled(before, fields)
    yield from body
    yield _filled(after, fields)


def header(kind: str, title: Markup, facts: Sequence[str], copies: Iterable[tuple[str, str, str]]) -> Markup:
    """What a page is about; `copies` are texts to be copied: what they are called, their id, the text."""
    return tag(
        "header",
        tag("p", f"convgrad {kind}", class_="kind"),
        tag("h1", title),
        tag("p", " · ".join(facts), class_="facts"),
        tag("div", *(copied(*copy) for copy in copies), class_="copies"),
    )


def copied(label: str, identity: str, text: str) -> Markup:
    """A text to be copied by a button, and to be read without one."""
    shown = tag("details", tag("summary", f"Show {label}"), tag("pre", text, id=identity, tabindex="0"))
    return tag("div", copy_button(f"Copy {label}", identity), shown, class_="copy")


def copy_button(label: str, identity: str) -> Markup:
    return tag("button", label, type="button", data_copy=identity, hidden=True)


def wide(table: Markup, label: str) -> Markup:
    """A table that scrolls by itself where it is too wide, with the keyboard as well."""
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label=f"Table: {label}")


def rows_of(heads: Sequence[Child], rows: Iterable[Sequence[Child]], numbers: Sequence[int] = ()) -> Markup:
    """A table whose first column names its rows; the columns in `numbers` stand to the right."""

    def cells(kind: str, texts: Sequence[Child]) -> list[Markup]:
        return [tag(kind, text, class_="number" if at in numbers else None) for at, text in enumerate(texts, 1)]

    head = tag("tr", tag("th", heads[0], scope="col"), *cells("th", heads[1:]))
    body = [tag("tr", tag("th", first, scope="row"), *cells("td", rest)) for first, *rest in rows]
    return tag("table", tag("thead", head), tag("tbody", *body), class_="listing")


def _data(data: str) -> Markup:
    return Markup(f'<script type="application/json" id="data">{data.translate(ESCAPED)}</script>')


def _filled(text: str, fields: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: fields[found[1]], text)


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


@cache
def _resource(name: str) -> str:
    return files("convgrad_cli.render").joinpath("page", name).read_text("utf-8")


@cache
def _script(names: tuple[str, ...]) -> str:
    return '"use strict";\n' + "\n".join(_resource(name) for name in names)


@cache
def _style() -> str:
    names = [f"{'n' if step < 0 else 'p'}{abs(step)}" for step in range(-STEPS, STEPS + 1)]
    light, dark = (
        "\n".join(
            f".{name}{{--shade:{back};--ink:{ink}}}" for name, (back, ink) in zip(names, shades(colours), strict=True)
        )
        for colours in (PUOR, DARK_PUOR)
    )
    errors = "\n".join(f".e{step}{{--much:{4.5 * step:g}%}}" for step in range(1, STEPS + 1))
    return (
        f"{_resource('page.css')}\n{light}\n{errors}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
    )
