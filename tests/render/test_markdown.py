"""Markdown: read back by a Markdown parser; tables hold the numbers, expressions evaluate, hostile text stays text."""

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from render.samples import HOSTILE, NAMES, evaluate, namespace, same, sample, tables_of, text_of

from convgrad_cli.render import markdown
from convgrad_cli.render.numbers import aligned
from convgrad_cli.safe import safe

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def text_in(token) -> str:
    return "".join(child.content for child in token.children)


def tables_in(text: str) -> list[list[list]]:
    """Every table as rows of inline tokens, the header first."""
    tables, row = [], None
    for token in PARSER.parse(text):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            row = []
            tables[-1].append(row)
        elif token.type == "tr_close":
            row = None
        elif token.type == "inline" and row is not None:
            row.append(token)
    return tables


def paragraphs_in(text: str) -> list:
    tokens = PARSER.parse(text)
    return [tokens[i + 1] for i, token in enumerate(tokens) if token.type == "paragraph_open"]


def test_the_notebook():
    text = text_of(markdown, sample("with_bias"))
    assert text.startswith("## `Conv2d(1, 1, kernel_size=(2, 2))`, float64, cpu, seed 0\n\nloss = y.sum() = -0.3")
    assert "```text\nw\n  0.0848  -0.0717\n -0.2816   0.3315\n```\n" in text
    row = "| `w[0,0,0,0]` | 3.1997 | 3.1997 | `x[0,0,0:2,0:2].sum()` | `1.8676 - 0.2631 + 1.0669 + 0.5283` |\n"
    assert (
        "### `weight.grad`\n\n| element | autograd | by hand | slice sum | terms |\n| --- | ---: | ---: | --- | --- |\n"
        in text
    )
    assert row in text
    assert "| `b[0]` | 4 | 4 | `g[:,0].sum()` | `1 + 1 + 1 + 1` |\n" in text
    assert text.endswith("\nagree: 14 of 14 gradient elements; largest error 0.3 of its rounding bound\n")


@pytest.mark.parametrize("name", NAMES)
def test_tables_read_back_and_expressions_evaluate(name):
    report = sample(name)
    letters = namespace(report)
    for table in tables_of(report):
        (rows,) = tables_in(text_of(markdown, report, only=(table.tensor,), rows=10_000, precision=17))
        assert len(rows) == len(table.elements) + 1
        for row, element in zip(rows[1:], table.elements, strict=True):
            named, *numbers, expression, _ = map(text_in, row)
            assert named.partition("[")[2] == ",".join(map(str, element.index)) + "]"
            assert all(same(float(n), v) for n, v in zip(numbers, element.values.values(), strict=True))
            assert row[-2].children[0].type == "code_inline"
            assert same(evaluate(expression, letters), element.values["by_hand"])


@pytest.mark.parametrize("name", NAMES)
def test_listed_terms_add_up(name):
    for rows in tables_in(text_of(markdown, sample(name), precision=17)):
        for row in rows[1:]:
            if row[-1].children and row[-1].children[0].type == "code_inline":
                said = eval(row[-1].children[0].content, {"nan": float("nan"), "inf": float("inf")})
                assert same(said, float(text_in(row[-3])))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_live(name):
    text = text_of(markdown, sample(name))
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    allowed = {"text", "code_inline"}
    for token in PARSER.parse(text):
        assert token.type not in (
            "html_block",
            "code_block",
            "bullet_list_open",
            "ordered_list_open",
            "blockquote_open",
        )
        assert {child.type for child in token.children or ()} <= allowed, token.content
    assert not any(ord(character) < 32 and character != "\n" for character in text)


def test_notes_read_as_they_were_given():
    said = [text_in(paragraph) for paragraph in paragraphs_in(text_of(markdown, sample("hostile")))]
    assert said[-len(HOSTILE) :] == [f"note: {safe(note)}" for note in HOSTILE]
    assert "note:" not in text_of(markdown, sample("hostile"), quiet=True)


def test_dollars_are_no_formulas_and_titles_are_text():
    assert r"\$x\_1\$" in text_of(markdown, sample("hostile"))
    headings = [line for line in text_of(markdown, sample("story")).splitlines() if line.startswith("### ")]
    assert headings[-1] == "### &lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"


def test_lines_of_a_story_stay_in_their_fence():
    fences = [token for token in PARSER.parse(text_of(markdown, sample("story"))) if token.type == "fence"]
    assert fences[0].content.splitlines()[:2] == ["x[0,0]", "  1.8676  [-0.2631] [-0.2380]"]
    assert fences[1].content == "".join(f"{line}\n" for line in aligned(sample("story").passages[2].rows, 4))
    assert fences[2].content == "".join(f"{safe(line)}\n" for line in HOSTILE)


def test_a_reason_and_a_difference_are_told():
    text = text_of(markdown, sample("gaps"))
    assert "| `0` | depth: with stride 4 and dilation 1 no kernel entry lands on position 2 |" in text
    text = text_of(markdown, sample("differing"))
    assert "DIFFERS by 101, bound 1e-06 |" in text
    assert text.endswith(
        "DIFFER: 1 of 4 elements of weight.grad, the worst, w\\[0,0,0,1\\], off by 1.01e+08 times its rounding bound\n"
    )


def test_long_tables_show_what_matters_and_say_how_much_they_hide():
    text = text_of(markdown, sample("large"))
    assert [text_in(row[0]) for row in tables_in(text)[1][1:]] == ["x[0,0,3]", "x[0,0,500]", "x[0,0,1000]"]
    assert "\n998 of 1,001 elements are not shown; --rows 1001 shows all\n" in text
    assert "x (input): 1x1x1001, -3 to 3, mean 0\n" in text
    assert len(tables_in(text_of(markdown, sample("large"), rows=2, only=("grad_input",)))[0]) == 1 + 2
    assert "not shown" not in text_of(markdown, sample("large"), rows=1001)


def headings_in(text: str) -> list[str]:
    tokens = PARSER.parse(text)
    return [text_in(tokens[i + 1]) for i, token in enumerate(tokens) if token.type == "heading_open"][1:]


def drawn_in(text: str) -> list[str]:
    return [token.content.splitlines()[0] for token in PARSER.parse(text) if token.type == "fence"]


def test_the_operands_are_drawn_and_the_gradients_tabled():
    text = text_of(markdown, sample("with_bias"))
    assert drawn_in(text) == ["x", "w", "b", "y"]
    assert headings_in(text) == ["weight.grad", "x.grad", "bias.grad"]
    assert "g[0,0]" in drawn_in(text_of(markdown, sample("sums_of_products")))


def test_only_draws_or_tables_what_was_asked_for():
    text = text_of(markdown, sample("notebook"), only=("weight", "grad_output"))
    assert (drawn_in(text), headings_in(text)) == (["w", "g"], [])
    text = text_of(markdown, sample("notebook"), only=("output", "grad_input"))
    assert (drawn_in(text), headings_in(text)) == ([], ["output", "x.grad"])


def test_a_story_is_told_once():
    report = replace(sample("with_bias"), passages=sample("story").passages)
    text = text_of(markdown, report)
    assert headings_in(text) == [passage.title for passage in report.passages]
    assert len(drawn_in(text)) == 3
    assert len(tables_in(text)) == 1
    assert not tables_in(text_of(markdown, sample("story"), only=("grad_input",)))
