"""safe(): nothing that it returns can move a cursor, reorder text, hide or break a line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convgrad_cli.safe import UNSAFE, safe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grads/x.npy", "grads/x.npy"),
        ("größe 重み ∂L/∂w 🎲", "größe 重み ∂L/∂w 🎲"),
        ("[/x] [bold]", "[/x] [bold]"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("C1 \x9b2J", r"C1 \x9b2J"),
        ("a\r\nb\tc\0", r"a\x0d\x0ab\x09c\x00"),
        ("bidi \u202etxt.npy", r"bidi \u202etxt.npy"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("lone \udcff", r"lone \udcff"),
        ("private \ue000", r"private \ue000"),
        ("unassigned \U000e0fff tag \U000e0041", r"unassigned \U000e0fff tag \U000e0041"),
    ],
)
def test_escapes_what_does_not_print(text: str, expected: str) -> None:
    assert safe(text) == expected


def test_length_is_capped_and_said() -> None:
    assert safe("a" * 200) == "a" * 200
    assert safe("a" * 201) == "a" * 200 + "... (201 characters)"
    assert safe("a" * 1_000_000) == "a" * 200 + "... (1000000 characters)"
    assert safe("abcdef", limit=3) == "abc... (6 characters)"


def test_never_cuts_inside_an_escape() -> None:
    assert safe("ab\x1b\x1b", limit=9) == r"ab\x1b... (4 characters)"
    assert safe("ab\x1b\x1b", limit=10) == r"ab\x1b\x1b"


@given(st.text(st.characters(exclude_categories=[]), max_size=300))
def test_every_character_that_comes_out_is_harmless(text: str) -> None:
    assert not {unicodedata.category(character) for character in safe(text)} & UNSAFE
    assert len(safe(text)) <= 200 + len("... (300 characters)")
