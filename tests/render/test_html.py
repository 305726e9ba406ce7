"""The page as text: one file that asks for nothing, in which whatever comes from outside is text."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from render.checks import CHECKS, check
from render.samples import NAMES, elements_of, evaluate, namespace, same, sample, text_of

from convgrad_cli.render import html
from convgrad_cli.render.markup import tag

ALL = [*NAMES, *CHECKS]
ATTRIBUTES = {
    "aria-hidden", "aria-label", "aria-labelledby", "aria-live", "charset", "class", "content", "data-at", "data-copy",
    "hidden", "http-equiv", "id", "lang", "name", "open", "role", "scope", "tabindex", "type",
}  # fmt: skip
VOID = {"meta", "input", "br"}


def report_of(name: str):
    return check(name) if name in CHECKS else sample(name)


class Reader(HTMLParser):
    """The tags, attributes and texts of a page; `open` is what was not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.open, self.scripts, self.codes = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.attributes += attributes
        if name not in VOID:
            self.open.append(name)
        if name == "code":
            self.codes.append("")

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.scripts.append(data)
        elif "code" in self.open:
            self.codes[-1] += data


@pytest.mark.parametrize("name", ALL)
def test_one_file_without_a_way_out(name):
    page = Reader(text_of(html, report_of(name), typed="convgrad inspect"))
    assert page.open == []
    assert {attribute for attribute, _ in page.attributes} <= ATTRIBUTES
    assert page.tags.count("script") == 2
    assert not {"img", "iframe", "link", "a", "form", "object", "base", "svg"} & set(page.tags)
    [policy] = [value for _, value in page.attributes if value and value.startswith("default-src 'none'")]
    style, _, script = page.scripts
    for kind, text in (("style", style), ("script", script)):
        assert f"{kind}-src 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}';" in policy
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttpRequest|innerHTML|eval\(", style + script)


@pytest.mark.parametrize("name", NAMES)
def test_every_expression_stands_in_the_page_and_evaluates(name):
    report, letters = sample(name), namespace(sample(name))
    codes = Reader(text_of(html, report)).codes
    for element in elements_of(report)[:400]:
        assert element.expression in codes
        assert same(evaluate(element.expression, letters), element.values["by_hand"])


def test_text_is_escaped_unless_it_is_markup():
    assert tag("p", "<b>&amp;\"'") == "<p>&lt;b&gt;&amp;amp;\"'</p>"
    assert tag("p", tag("b", "<"), None, class_='"><script>', hidden=True, id=None) == (
        '<p class="&quot;&gt;&lt;script&gt;" hidden><b>&lt;</b></p>'
    )


def test_fields_of_the_template_in_a_text_stay_as_they_are():
    text = text_of(html, sample("notebook"), typed="convgrad {{script}} {{body}}")
    assert "convgrad {{script}} {{body}}" in text
