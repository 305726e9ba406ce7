"""JUnit and GitHub: whatever was tested is a case, whatever is not right a failure, and no text leaves its place."""

import re
from xml.etree import ElementTree

import pytest
from render.checks import CHECKS, check
from render.samples import NAMES, sample, text_of

from convgrad_cli.render import github, junit
from convgrad_cli.safe import safe

ALL = [*CHECKS, *NAMES]
COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]+)::([^\r\n]+)")


def report_of(name: str):
    return check(name) if name in CHECKS else sample(name)


def suite_of(name: str, **style) -> ElementTree.Element:
    text = text_of(junit, report_of(name), **style)
    assert text.isascii()
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuite ')
    return ElementTree.fromstring(text)


def commands_of(name: str, **style) -> list[tuple[str, str, str]]:
    """Kind, title and message of every line, as the runner reads them."""
    found = []
    for line in text_of(github, report_of(name), **style).splitlines():
        match = COMMAND.fullmatch(line)
        assert match, line
        title = match[2].replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
        found.append((match[1], title, match[3].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")))
    return found


@pytest.mark.parametrize("name", ALL)
def test_a_suite_counts_its_cases(name):
    suite = suite_of(name)
    cases = suite.findall("testcase")
    assert suite.get("name") == "convgrad"
    assert int(suite.get("tests")) == len(cases)
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
    assert int(suite.get("errors")) == len(suite.findall("testcase/error"))
    assert all(case.get("name") and case.get("classname") for case in cases)
    assert all(case.get("type") == "ERROR" for case in suite.findall("testcase/error"))
    assert not any(ord(c) < 32 and c != "\n" for c in "".join(suite.itertext()))


@pytest.mark.parametrize("name", CHECKS)
def test_a_case_for_every_probe_the_real_data_and_every_condition(name):
    found = check(name).check
    names = []
    for verdict in found.verdicts:
        names += [f"{verdict.tensor}: probe {safe(probe.name)}" for probe in verdict.probes]
        names.append(f"{verdict.tensor}: real data")
    names += [f"condition {safe(condition.name)}" for condition in found.conditions]
    assert [case.get("name") for case in suite_of(name).findall("testcase")] == names


@pytest.mark.parametrize("name", CHECKS)
def test_a_suite_is_green_exactly_where_the_verdict_is_pass(name):
    suite = suite_of(name)
    green = suite.get("failures") == suite.get("errors") == "0"
    assert green == (check(name).check.verdict == "PASS")


def test_a_failure_holds_its_elements():
    [case] = [case for case in suite_of("one_failing") if case.get("name") == "grad_weight: real data"]
    failure = case.find("failure")
    assert failure.get("type") == "FAIL"
    assert failure.get("message") == (
        "the formula is wrong: 50 of 54 elements differ on exact integers (the first of 3 kernel rows)"
    )
    assert failure.text.splitlines() == [
        "worst of 18:",
        "w[2,0,0,0] is 26, expected -11 = (x[0,0,0:3,0:3] * g[0,2,1:4,1:4]).sum(); off by 37, bound 6.56e-07",
        "w[1,0,0,1] is 25, expected -11 = (x[0,0,0:3,0:4] * g[0,1,1:4,0:4]).sum(); off by 36, bound 6.56e-07",
    ]


def test_real_data_are_right_where_only_a_probe_shows_the_fault():
    bad = [case.get("name") for case in suite_of("on_a_probe") if case.find("failure") is not None]
    assert bad == ["grad_weight: probe logic"]


def test_doubt_is_a_failure_of_its_own_type_and_no_answer_an_error():
    types = [failure.get("type") for failure in suite_of("suspect").iter("failure")]
    assert types == ["SUSPECT", "MISTRUSTED"]
    errors = suite_of("only_an_error").findall("testcase/error")
    assert [error.get("message") for error in errors] == ["mine.py::backward ran longer than 60 s"]


def test_a_comparison_is_a_case():
    cases = suite_of("differing").findall("testcase")
    assert [case.get("name").partition(":")[0] for case in cases] == ["output", "grad_weight", "grad_input"]
    assert [case.find("failure") is None for case in cases] == [True, False, True]
    assert cases[1].find("failure").get("message") == (
        "1 of 4 elements differ; the worst is w[0,0,0,1], off by 1.01e+08 times its rounding bound"
    )
    assert [case.get("name") for case in suite_of("differing", only=("grad_input",)).findall("testcase")] == [
        "grad_input: autograd beside by_hand"
    ]


def test_hostile_words_stay_in_their_attribute():
    suite = suite_of("hostile_check")
    target = safe(check("hostile_check").check.target, 2000)
    assert {case.get("classname") for case in suite.findall("testcase")} == {target}
    assert {element.tag for element in suite.iter()} <= {
        "testsuite", "properties", "property", "testcase", "failure", "error", "system-out",
    }  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_every_line_is_one_command(name):
    assert commands_of(name)


@pytest.mark.parametrize("name", ALL)
def test_an_error_or_a_warning_exactly_where_something_is_not_right(name):
    kinds = {kind for kind, _, _ in commands_of(name, quiet=True)}
    expected = {0: {"notice"}, 1: {"error"}, 2: {"error"}, 3: {"warning"}}[report_of(name).exit_code]
    assert kinds == expected or (name == "no_answer" and kinds == {"error"})


def test_an_annotation_says_what_is_wrong_and_with_which_numbers():
    [(kind, title, message)] = commands_of("one_failing")
    assert (kind, title) == ("error", "FAIL grad_weight")
    assert message.splitlines()[:3] == [
        "mine.py::backward: the formula is wrong: 50 of 54 elements differ on exact integers "
        "(the first of 3 kernel rows)",
        "probe logic: 50 of 54 elements differ; w[0,0,0,0] is 24, exactly 13",
        "worst of 18:",
    ]
    assert commands_of("passing") == [
        (
            "notice",
            "PASS",
            "mine.py::backward: exact on every probe, and every element is proved within its rounding bound",
        )
    ]
    assert [(kind, title) for kind, title, _ in commands_of("suspect")] == [
        ("warning", "SUSPECT grad_weight"),
        ("warning", "MISTRUSTED grad_bias"),
    ]


def test_what_a_runner_would_read_as_syntax_is_escaped():
    text = text_of(github, sample("differing"))
    assert text.startswith("::error title=FAIL grad_weight%3A ")
    text = text_of(github, check("hostile_check"))
    assert "[ %25 # & { }" in text
    assert not re.search("%(?!25|0A|0D|3A|2C)", text)


def test_a_verdict_outside_only_is_still_told():
    [(kind, title, message)] = commands_of("misshapen", only=("grad_input",))
    assert (kind, title) == ("error", "FAIL")
    assert message == "mine.py::backward: grad_weight: its shape is 3x2x9, not 3x2x3x3"
    assert suite_of("misshapen", only=("grad_input",)).get("failures") == "0"
