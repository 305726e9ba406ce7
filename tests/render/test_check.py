"""A check at a terminal: composed at any width, the verdict as a word, the worst elements with sums that evaluate."""

import re
from dataclasses import replace

import pytest
from render.checks import CHECKS, TAME, check
from render.samples import HOSTILE, evaluate, namespace, same, text_of
from rich.cells import cell_len

from convgrad_cli.cli.options import OutputOptions
from convgrad_cli.cli.output import show
from convgrad_cli.errors import ConvGradError
from convgrad_cli.render import terminal, verdicts
from convgrad_cli.render.names import TITLES, element_name
from convgrad_cli.render.style import Style
from convgrad_cli.safe import safe

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def told(name: str, **style) -> str:
    return text_of(terminal, check(name), **style)


def rejoined(text: str) -> str:
    """The text without what wrapping adds."""
    return re.sub(r"\s+", "", text)


def test_a_pass_is_short_and_calm():
    assert told("passing", width=80) == (
        "Conv2d(2, 3, kernel_size=(3, 3), padding=(1, 1))  float32  cpu  seed 0\n"
        "x 1x2x4x4   w 3x2x3x3   y 1x3x4x4\n"
        "mine.py::backward   declared arithmetic: any order of summation\n"
        "\n"
        "                    probes  real data  x bound  arithmetic\n"
        "output       PASS  5 exact  48 within     0.21  correctly rounded\n"
        "weight.grad  PASS  5 exact  54 within     0.21  correctly rounded\n"
        "x.grad       PASS  5 exact  32 within     0.21  correctly rounded\n"
        "bias.grad    PASS  5 exact   3 within     0.21  correctly rounded\n"
        "\n"
        "conditions   repeat · repeat after another shape · stride-0 g ·\n"
        "             channels_last x, w, g · sliced x, w, g · transposed x, w, g ·\n"
        "             6 request masks · operands untouched\n"
        "\n"
        "PASS  exact on every probe, and every element is proved within its rounding\n"
        "      bound\n"
    )


def test_a_failure_says_which_gradient_which_elements_and_what_they_should_be():
    text = told("one_failing", width=80)
    assert "weight.grad  FAIL  1/5 wrong  18/54 beyond  5.6e+07  none\n" in text
    assert text.partition("\n\nweight.grad")[2] == (
        "  wrong: the first of 3 kernel rows\n"
        "             probe logic: 50 of 54 elements differ; w[0,0,0,0] is 24, exactly 13\n"
        "worst of 18  actual  expected  off by     bound\n"
        "w[2,0,0,0]       26       -11      37  6.56e-07\n"
        "  (x[0,0,0:3,0:3] * g[0,2,1:4,1:4]).sum()\n"
        "  0*2 + 1*0 + 2*(-2) + 4*1 + 0*(-1) + 1*(-3) + 3*0 + 4*(-2) + 0*3\n"
        "w[1,0,0,1]       25       -11      36  6.56e-07\n"
        "  (x[0,0,0:3,0:4] * g[0,1,1:4,0:4]).sum()\n"
        "  0*1 + 1*(-1) + 2*(-3) + 3*2 + 4*0 + 0*(-2) + 1*3 + 2*1 + 3*(-1) + 4*(-3) + 0*2\n"
        "  + 1*0\n"
        "\n"
        "conditions   8 hold\n"
        "\n"
        "FAIL  grad_weight: the formula is wrong: 50 of 54 elements differ on exact\n"
        "      integers\n"
    )
    assert len(text.splitlines()) <= 25


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("width", [40, 80, 100])
def test_nothing_is_wider_than_the_terminal_or_lost(name, width):
    text = told(name, width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    report = check(name)
    assert "…" not in text or name not in TAME
    last = rejoined(text.rpartition("\n\n")[2])
    notes = "".join(f"note:{note}" for note in (safe(note, 2000) for note in report.notes))
    assert last == rejoined(f"{report.check.verdict} {safe(report.check.reason, 2000)}{notes}")


@pytest.mark.parametrize("name", TAME)
def test_no_width_wraps_nothing(name):
    wide = told(name)
    assert rejoined(told(name, width=400)) == rejoined(wide)
    report = check(name)
    assert wide.splitlines()[-1 - len(report.notes)] == f"{report.check.verdict}  {report.check.reason}"


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("width", [None, 80, 40])
def test_every_verdict_is_a_word_beside_its_tensor(name, width):
    lines = told(name, width=width).splitlines()
    for verdict in check(name).check.verdicts:
        title = TITLES[verdict.tensor]
        assert any(re.match(rf"{re.escape(title)} +{verdict.verdict}( |$)", line) for line in lines)


@pytest.mark.parametrize("name", TAME)
@pytest.mark.parametrize("width", [None, 40, 80])
def test_shown_elements_evaluate_to_what_is_expected(name, width):
    report = check(name)
    letters = namespace(report)
    text = told(name, width=width, rows=4)
    for verdict in report.check.verdicts:
        for element in verdicts.worst(verdict, report, Style(rows=4)):
            assert rejoined(f"{element_name(element)}") in rejoined(text)
            assert rejoined(element.expression) in rejoined(text)
            assert same(evaluate(element.expression, letters), element.values["expected"])


@pytest.mark.parametrize("name", TAME)
def test_listed_terms_add_up_to_the_number_expected(name):
    text = told(name, rows=100, precision=17)
    lines = text.splitlines()
    found = 0
    for number, line in enumerate(lines):
        if re.match(r"  \S.*   \S", line) and lines[number - 1][:2] in ("y[", "w[", "x[", "b["):
            expected = float(lines[number - 1].split()[2])
            assert same(float(eval(line.rpartition("   ")[2])), expected)
            found += 1
    assert found or not re.search(r"^[ywxb]\[", text, re.MULTILINE)


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("width", [None, 80, 40])
def test_ascii_is_ascii(name, width):
    text = told(name, width=width, ascii=True)
    foreign = set("".join(HOSTILE))  # words from outside are printed as they are; the printer escapes them
    assert all(character.isascii() or character in foreign for character in text)


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("width", [None, 80, 40])
def test_colours_change_no_character(name, width):
    coloured = ESCAPE.sub("", told(name, width=width, color="truecolor"))
    assert [line.rstrip() for line in coloured.splitlines()] == told(name, width=width).splitlines()


def test_no_markup_is_eaten_and_no_control_character_printed():
    text = told("hostile_check")
    assert all(character == "\n" or character.isprintable() for character in text)
    for found in check("hostile_check").check.conditions:
        if found.outcome != "PASS":
            assert f"{found.outcome}  {safe(found.name)}: grad_input ({safe(found.detail, 2000)})\n" in text
    assert text.count("not checked  " + HOSTILE[0]) == 1


def test_numbers_that_are_not_finite_are_shown():
    text = told("hostile_check", only=("grad_weight",), rows=4)
    assert re.search(r"^w\[0,0,0,0\] +inf +-inf +nan +inf$", text, re.MULTILINE)
    assert re.search(r"^w\[0,0,0,1\] +nan +1\S*e\+300 ", text, re.MULTILINE)


def test_close_numbers_have_enough_decimals_to_differ():
    text = told("rounding", precision=2)
    rows = re.findall(r"^w\[\S+\] +(\S+) +(\S+) +(\S+) +(\S+)$", text, re.MULTILINE)
    assert len(rows) == 2
    for actual, expected, off, bound in rows:
        assert actual != expected
        assert float(off) > float(bound)
    assert "the worst element has about 21.6 bits right\n" in text


def test_a_number_of_a_wider_dtype_than_the_layers():
    report = check("one_failing")
    tables = tuple(
        replace(t, elements=tuple(replace(e, values={**e.values, "actual": 1e300}) for e in t.elements))
        for t in report.tables
    )
    assert "1.0000e+300" in text_of(terminal, replace(report, tables=tables, tensors={}))


def test_numbers_of_a_probe_say_so():
    assert re.search(r"^probe logic +actual +expected", told("on_a_probe"), re.MULTILINE)
    assert "weight.grad  FAIL  1/5 wrong  54 within" in told("on_a_probe")


def test_doubt_is_told_with_its_reasons_once():
    text = told("suspect")
    assert text.endswith(f"SUSPECT  {check('suspect').check.reason}\n")
    assert text.count("errors are 812 times") == 1
    assert "\nbias.grad    the test could not have failed: no probe reaches it\n" in text
    assert "b[" not in text
    assert told("mistrusted").endswith(
        "\n\nMISTRUSTED  grad_weight: the test could not have failed: every number is 0\n"
    )


def test_conditions_and_what_was_not_checked():
    assert (
        "\nconditions   ERROR  probe overflow: mine.py::backward raised ZeroDivisionError: division by zero\n"
        "             FAIL  channels_last x: grad_input, grad_weight (differs from the exact numbers)\n"
        "             3 hold\n"
    ) in told("no_answer")
    text = told("misshapen")
    assert re.search(r"^weight.grad  FAIL +none +none +- +-$", text, re.MULTILINE)
    assert "\nnot checked  output: the target gives none\n             other conditions for grad_weight" in text
    assert text.endswith("FAIL  grad_weight: its shape is 3x2x9, not 3x2x3x3\n")


def test_several_wrong_gradients_show_one_element_each():
    text = told("failing")
    assert len(re.findall(r"^w\[", text, re.MULTILINE)) == len(re.findall(r"^x\[", text, re.MULTILINE)) == 1
    assert re.search(r"^x\[0,1,3,3\] +nan +7 +nan ", text, re.MULTILINE)


def test_rows_and_only_show_what_is_asked_for():
    assert re.findall(r"^([wxyb])\[", told("passing"), re.MULTILINE) == []
    assert len(re.findall(r"^([wxyb])\[", told("passing", rows=3), re.MULTILINE)) == 3 * 4
    assert not re.search(r"^bias.grad *$", told("passing", rows=3), re.MULTILINE)
    text = told("passing", only=("grad_bias",))
    assert text.startswith("                    probes")
    assert re.findall(r"^([wxyb])\[", text, re.MULTILINE) == ["b", "b"]
    assert "weight.grad" not in text
    assert text.endswith("PASS  exact on every probe, and every element is proved within its rounding bound\n")
    drawn = told("passing", only=("weight", "grad_bias"))
    assert drawn.startswith("w[0,0]")
    assert told("passing", only=("weight",)).count("probes") == 0
    assert "conditions" not in drawn


def test_operands_are_not_drawn():
    for name in TAME:
        assert not re.search(r"^(x|w|y|g)\[[0-9,]+\]( |$)(?!.*\d)", told(name), re.MULTILINE)


@pytest.mark.parametrize("name", CHECKS)
def test_the_report_shows_itself(name):
    report = check(name)
    assert str(report) == text_of(terminal, report).rstrip("\n")
    shown = report._repr_mimebundle_()
    assert shown["text/plain"] == str(report)
    assert shown["text/markdown"].startswith("## `Conv2d(")


def test_the_repr_has_every_verdict():
    assert repr(check("one_failing")) == (
        "<convgrad check of Conv2d(2, 3, kernel_size=(3, 3), padding=(1, 1)): FAIL, output PASS, grad_weight FAIL, "
        "grad_input PASS, grad_bias PASS>"
    )


def printed(capsys, name: str, **options) -> tuple[int, str]:
    status = show(check(name), OutputOptions(**options))
    return status, capsys.readouterr().out


def test_the_command_line_prints_it_and_returns_its_status(capsys):
    assert printed(capsys, "one_failing", format="plain", only=["grad_weight"]) == (1, "grad_weight\tFAIL\n")
    assert printed(capsys, "suspect", format="plain", only=["w.grad,b.grad"]) == (
        3,
        "grad_weight\tSUSPECT\ngrad_bias\tMISTRUSTED\n",
    )
    assert printed(capsys, "only_an_error", format="plain", only=["output"]) == (2, "output\tPASS\nbatch 17\tERROR\n")


@pytest.mark.parametrize(
    ("name", "options", "there"),
    [
        ("passing", {"format": "plain", "only": ["input"]}, "output, grad_weight, grad_input, grad_bias"),
        ("passing", {"format": "junit", "only": ["w"]}, "output, grad_weight, grad_input, grad_bias"),
        ("mistrusted", {"format": "github", "only": ["output"]}, "grad_weight"),
        ("misshapen", {"format": "csv", "only": ["grad_weight"]}, "output, grad_input, grad_bias"),
    ],
)
def test_what_a_format_would_not_show_is_refused(name, options, there):
    with pytest.raises(ConvGradError, match=f"it shows {there}$"):
        show(check(name), OutputOptions(**options))


def test_a_tensor_without_elements_still_has_a_verdict(capsys):
    status, out = printed(capsys, "misshapen", only=["grad_weight"])
    assert status == 1
    assert re.search(r"^weight.grad  FAIL +none", out, re.MULTILINE)
