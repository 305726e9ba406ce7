"""A check in documents and for shells: Markdown, LaTeX, plain; nothing in its words is markup."""

import re

import pytest
from markdown_it import MarkdownIt
from render.checks import CHECKS, TAME, check
from render.samples import evaluate, namespace, same, text_of
from render.test_latex import ROW, compiled, unmath
from render.test_markdown import headings_in, paragraphs_in, tables_in, text_in

from convgrad_cli.render import latex, markdown, plain
from convgrad_cli.render.names import TITLES
from convgrad_cli.safe import safe

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@pytest.mark.parametrize("name", CHECKS)
def test_markdown_has_a_row_of_verdicts_a_tensor(name):
    report = check(name)
    head, *rows = [list(map(text_in, row)) for row in tables_in(text_of(markdown, report))[0]]
    assert head == ["tensor", "verdict", "probes", "real data", "x bound", "arithmetic"]
    assert [row[:2] for row in rows] == [[TITLES[v.tensor], v.verdict] for v in report.check.verdicts]
    assert all(len(row) == len(head) for row in rows)
    said = [text_in(paragraph) for paragraph in paragraphs_in(text_of(markdown, report, quiet=True))]
    assert said[-1] == f"{report.check.verdict}: {safe(report.check.reason, 2000)}"
    wrong = [f"{TITLES[v.tensor]}, {v.verdict}" for v in report.check.verdicts if v.verdict != "PASS"]
    assert headings_in(text_of(markdown, report)) == wrong


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_in_markdown_is_live(name):
    text = text_of(markdown, check(name))
    assert not any(ord(character) < 32 and character != "\n" for character in text)
    for token in PARSER.parse(text):
        assert token.type not in ("html_block", "code_block", "bullet_list_open", "ordered_list_open", "fence")
        assert {child.type for child in token.children or ()} <= {"text", "code_inline"}, token.content


@pytest.mark.parametrize("name", TAME)
def test_shown_elements_evaluate_in_markdown_and_latex(name):
    report = check(name)
    letters = namespace(report)
    for table in report.tables:
        _, rows = tables_in(text_of(markdown, report, only=(table.tensor,), rows=100, precision=17))
        assert len(rows) == len(table.elements) + 1
        expected = [float(text_in(row[2])) for row in rows[1:]]
        assert all(same(evaluate(text_in(row[3]), letters), n) for row, n in zip(rows[1:], expected, strict=True))
        assert all(same(n, e.values["expected"]) for n, e in zip(expected, table.elements, strict=True))
        text = text_of(latex, report, only=(table.tensor,), rows=100, precision=17)
        found = [match for line in text.splitlines() if (match := ROW.match(line))]
        assert [float(unmath(row["numbers"].split(" & ")[1])) for row in found] == expected


def test_markdown_tells_what_differs():
    text = text_of(markdown, check("one_failing"))
    assert "\nmine.py::backward, declared arithmetic: any order of summation\n" in text
    assert "\n| `weight.grad` | FAIL | 1/5 wrong | 18/54 beyond | 5.6e+07 | none |\n" in text
    assert "\nwrong: the first of 3 kernel rows\n" in text
    assert "| 9 terms; DIFFERS by 37, bound 6.56e-07 |\n" in text
    text = text_of(markdown, check("no_answer"))
    assert "\nFAIL under channels\\_last x: grad\\_input, grad\\_weight (differs from the exact numbers)\n" in text


@pytest.mark.parametrize("name", CHECKS)
def test_latex_compiles_and_runs_off_no_page(name, tmp_path):
    text = text_of(latex, check(name))
    assert text.isascii()
    done, log = compiled(text, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
    assert all(float(width) < 5 for width in re.findall(r"Overfull \\[hv]box \(([\d.]+)pt", log))
    for verdict in check(name).check.verdicts:
        title = TITLES[verdict.tensor].replace(".", r"\allowbreak.")
        assert f"\\texttt{{{title}}} & {verdict.verdict} & " in text


def test_operands_only_where_they_are_asked_for():
    assert "```" not in text_of(markdown, check("one_failing"))
    text = text_of(markdown, check("one_failing"), only=("weight", "grad_bias"))
    assert text.count("```text") == 1
    assert "| `bias.grad` | PASS |" in text
    assert "weight.grad" not in text


@pytest.mark.parametrize("name", CHECKS)
def test_plain_is_a_verdict_a_tensor_and_what_else_decides(name):
    found = check(name).check
    verdicts = {verdict.tensor: verdict.verdict for verdict in found.verdicts}
    odd = "".join(f"{safe(c.name)}\t{c.outcome}\n" for c in found.conditions if c.outcome != "PASS")
    assert text_of(plain, check(name)) == "".join(f"{name}\t{word}\n" for name, word in verdicts.items()) + odd
    only = text_of(plain, check(name), only=("grad_weight",))
    assert only == f"grad_weight\t{verdicts['grad_weight']}\n" + odd
    assert (
        found.verdict == "PASS" or any(not line.endswith("\tPASS") for line in only.splitlines()) or len(verdicts) > 1
    )
