"""The pictures in the README are what the program shows today."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from pictures import GOLDEN, PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_in_the_readme_is_what_the_program_shows(name):
    assert PICTURES[name]() == (GOLDEN / f"{name}.svg").read_text(encoding="utf-8"), (
        "the picture is out of date; look at the change, then run python tests/pictures.py"
    )


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_one_file_that_asks_for_nothing(name):
    text = (GOLDEN / f"{name}.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert re.findall(r"https?://[^\"' )]+", text) == ["http://www.w3.org/2000/svg"]
    assert len(text) < 100_000


def test_the_photograph_of_a_page_is_small():
    picture = (GOLDEN / "page.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 100_000
