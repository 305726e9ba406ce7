"""What a notebook shows of a report: its page in a frame of its own, and beside it the text.

In the frame neither the notebook's styles reach the page nor the page's the notebook, and its script can touch nothing
outside. Where frames are taken out, as on pages that show notebooks of others, the folded text is left.
"""

from __future__ import annotations

from collections.abc import Iterable

from convgrad_cli.render.markup import Markup, tag


def bundle(page: Iterable[str], markdown: Iterable[str], text: str, name: str) -> dict[str, str]:
    """The same by MIME type, of which a notebook shows the richest that it knows, and that alone."""
    return {"text/plain": text, "text/markdown": "".join(markdown), "text/html": framed("".join(page), text, name)}


def framed(page: str, text: str, name: str) -> Markup:
    """The page in a frame, and its text folded below."""
    style = "width:100%;height:56rem;border:1px solid #8884;border-radius:6px;resize:vertical;overflow:auto"
    frame = tag("iframe", srcdoc=page, sandbox="allow-scripts", title=name, style=style, loading="lazy")
    told = tag("details", tag("summary", f"{name}, as text"), tag("pre", text))
    return tag("div", frame, told)
