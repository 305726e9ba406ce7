"""LaTeX: pdflatex compiles it in a bare article, nothing runs off a page, expressions evaluate."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from render.samples import HOSTILE, NAMES, evaluate, namespace, same, sample, tables_of, text_of

from convgrad_cli.render import latex
from convgrad_cli.report import Passage

DOCUMENT = "\\documentclass{article}\n\\begin{document}\n%s\\end{document}\n"
ROW = re.compile(r"^\\texttt\{(?P<name>[^}]*)\} & (?P<numbers>.*) & \\raggedright \\texttt\{(?P<expression>[^}]*)\}")


def compiled(text: str, folder: Path) -> tuple[subprocess.CompletedProcess, str]:
    """pdflatex's result, halting on the first error, and its log."""
    (folder / "page.tex").write_text(DOCUMENT % text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done, (folder / "page.log").read_text(encoding="latin-1")


@pytest.mark.parametrize("name", NAMES)
def test_it_compiles_and_no_table_runs_off_its_page(name, tmp_path):
    done, log = compiled(text_of(latex, sample(name), rows=150), tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 1000
    assert "Overfull \\vbox" not in log
    assert all(float(width) < 5 for width in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log))
    assert "Missing character" not in log


def test_the_compiler_sees_errors(tmp_path):
    assert compiled("\\undefined\n", tmp_path)[0].returncode != 0


@pytest.mark.parametrize("name", NAMES)
def test_it_is_ascii_and_ends_in_one_newline(name):
    text = text_of(latex, sample(name))
    assert text.isascii()
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)


@pytest.mark.parametrize("name", NAMES)
def test_tables_read_back_and_expressions_evaluate(name):
    report = sample(name)
    letters = namespace(report)
    for table in tables_of(report):
        text = text_of(latex, report, only=(table.tensor,), rows=10_000, precision=17)
        rows = [found for line in text.splitlines() if (found := ROW.match(line))]
        assert len(rows) == len(table.elements)
        for row, element in zip(rows, table.elements, strict=True):
            assert row["name"].partition("[")[2] == ",".join(map(str, element.index)) + "]"
            numbers = [float(unmath(cell)) for cell in row["numbers"].split(" & ")]
            assert all(same(n, v) for n, v in zip(numbers, element.values.values(), strict=True))
            assert same(evaluate(row["expression"].replace(r"\allowbreak", ""), letters), element.values["by_hand"])


def unmath(cell: str) -> str:
    return re.sub(r"\\mathrm|[${}]", "", cell)


def test_the_notebook():
    text = text_of(latex, sample("with_bias"))
    assert "\n\\section*{\\raggedright \\texttt{Conv2d(1, 1, kernel\\_size=(2, 2))}, float64, cpu, seed 0}\n" in text
    assert (
        "\\texttt{w[0,0,0,0]} & $3.1997$ & $3.1997$ & \\raggedright \\texttt{x[0,0,0:2,0:2]\\allowbreak.sum()}"
        "\\newline $1.8676 - 0.2631 + 1.0669 + 0.5283$\\tabularnewline\n"
    ) in text
    assert "\\[\\texttt{w} = \\left(\\begin{array}{rr}\n0.0848 & -0.0717\\\\\n-0.2816 & 0.3315\\\\\n" in text
    assert "agree: 14 of 14 gradient elements" in text
    assert "\\usepackage" not in text


def test_a_long_table_is_cut_into_pages():
    pages = text_of(latex, sample("large"), rows=150, only=("grad_input",)).split("\\begin{tabular}")[1:]
    assert len(pages) > 3
    assert all(page.count("\\raggedright") <= latex.PAGE and "element & autograd" in page for page in pages)
    assert "851 of 1,001 elements are not shown; -{}-{}rows 1001 shows all" in text_of(latex, sample("large"), rows=150)


def test_numbers_and_products_as_formulas():
    text = text_of(latex, sample("hostile"))
    assert "\\mathrm{nan} & \\mathrm{inf} & -\\mathrm{inf}\\\\\n" in text
    assert "1.0000\\mathrm{e}{+300}" in text
    assert "\\cdot (-" in text_of(latex, sample("gaps"))
    assert "1.8676 & \\fbox{$-0.2631$} & \\fbox{$-0.2380$}\\\\\n" in text_of(latex, sample("story"))


def test_hostile_text_is_printed_and_not_run(tmp_path):
    text = text_of(latex, sample("hostile"))
    assert "\\textbackslash{}end\\{document\\} \\textbackslash{}[ \\% \\# \\& \\{ \\} \\textasciicircum{}" in text
    assert "\\undefined" not in text
    assert text.count("\nnote") == 0
    assert text.count("\\noindent note: ") == len(HOSTILE)
    assert "\\textbackslash{}u4e2d" in text
    assert "$\\partial$ --- $\\times$ \\ldots{}" in text


def test_a_story_keeps_its_spaces_and_breaks_its_long_lines(tmp_path):
    rows = (("y1", "= " + "w[0,0] + " * 30, 0.5), ("y10", "= w[1,1]", -12.25))
    report = replace(sample("story"), passages=(Passage("story", rows=rows), Passage("short", rows=rows[1:] * 2)))
    text = text_of(latex, report)
    assert "\n{}y10 = w[1,1] -{}12.2500\\\\\n" in text
    assert "{}~~two~~spaces" in text_of(latex, sample("story"))
    assert "Overfull" not in compiled(text, tmp_path)[1]
