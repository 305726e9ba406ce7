"""A suite in every format: a line a problem, the counts, and no text that leaves its place."""

import csv
import io
import json
import re
from collections import Counter
from xml.etree import ElementTree

import jsonschema
import pytest
from render.rows import AGAIN, ROWS, row, shown, verdict
from render.test_ci import COMMAND
from render.test_json import strict
from render.test_latex import compiled
from render.test_markdown import tables_in, text_in

from convgrad_cli.render.json import row_object, row_of, schema
from convgrad_cli.render.style import Style
from convgrad_cli.render.suite import RENDERERS
from convgrad_cli.report import Tally
from convgrad_cli.safe import safe

COUNTS = Counter(one.verdict for one in ROWS)
LABELS = [safe(one.label, 2000) for one in ROWS]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]")


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema()["$defs"]})


@pytest.mark.parametrize("name", RENDERERS)
def test_no_control_character_is_written(name):
    assert not CONTROL.search(shown(name))


def test_the_table_has_a_line_a_problem_and_says_what_is_wrong():
    lines = shown("table").splitlines()
    assert lines[0].split() == ["problem", "x", "bound", "seconds"]
    assert lines[1].split() == ["PASS", "right", "0.5", "0.031"]
    assert lines[2].split(None, 4) == ["PASS", "g2ic2oc4ih6iw5kh3ph1", "0.25", "1.500", "64 sampled"]
    assert lines[3].split() == ["FAIL", "wrong", "inf", "0.000"]
    assert lines[4:6] == ["  the formula is wrong", f"  {AGAIN}"]
    assert [line.split()[0] for line in lines if re.match(r"[A-Z]+ +\S", line)] == [one.verdict for one in ROWS]
    total = f"2 PASS, {COUNTS['FAIL']} FAIL, 1 SUSPECT, 1 MISTRUSTED, 1 ERROR  {len(ROWS)} problems in 2.0 s"
    assert lines[-2].startswith(f"{total}, {len(ROWS) / 2:g} a second; 1 by a sample of each tensor's elements")
    assert lines[-1].startswith("not PASS: wrong, doubt, zeros, silent, ")
    assert lines[-1].endswith(f", and {len(ROWS) - 12} more")


def test_numbers_stand_below_the_label_where_there_is_no_room():
    lines = shown("table", ROWS[:2], width=36).splitlines()
    assert lines[:3] == ["PASS        right", "  0.5 x bound, 0.031 s", "PASS        g2ic2oc4ih6iw5kh3ph1"]
    assert max(map(len, shown("table", width=40).splitlines())) <= 40


def test_what_was_done_before_counts_and_says_so():
    tally = Tally(3, 5, before=2, seconds=4.0)
    for one in ROWS[:2]:
        tally.add(one)
    assert "".join(RENDERERS["table"](iter(()), tally, Style())).splitlines()[-1] == (
        "2 PASS  2 of 3 problems in 4.0 s; 2 were done before; 1 by a sample of each tensor's elements"
    )


def test_plain_is_the_verdict_and_the_label():
    found = [line.split("\t") for line in shown("plain").splitlines()]
    assert found == [[one.verdict, label] for one, label in zip(ROWS, LABELS, strict=True)]


def test_json_fits_its_schema_and_a_line_of_jsonl_is_a_problem_of_it():
    found = strict(shown("json"))
    validator("suite").validate(found)
    lines = shown("jsonl").splitlines()
    assert [strict(line) for line in lines] == found["problems"] == [row_object(one) for one in ROWS]
    validator("problem").validate(strict(lines[0]))
    assert found["counts"] == {"PASS": 2, "FAIL": COUNTS["FAIL"], "SUSPECT": 1, "MISTRUSTED": 1, "ERROR": 1}
    assert (found["total"], found["seconds"], found["exit_code"]) == (len(ROWS), 2.0, 1)


def test_the_schema_refuses_what_it_does_not_know():
    wrong = {**row_object(ROWS[0]), "verdict": "GOOD"}
    assert not validator("problem").is_valid(wrong)
    assert not validator("problem").is_valid({**row_object(ROWS[0]), "more": 1})


@pytest.mark.parametrize("one", ROWS[:6], ids=lambda one: one.label)
def test_a_row_reads_back_from_json(one):
    assert row_of(json.loads(json.dumps(row_object(one)))) == one


def test_what_is_no_row_is_refused():
    for wrong in ([], {}, 3, {**row_object(ROWS[0]), "layer": 3}, {**row_object(ROWS[0]), "verdicts": [{}]}):
        with pytest.raises(ValueError, match=r"\w"):
            row_of(wrong)


def test_csv_reads_back_and_starts_no_formula():
    heads, *rows = csv.reader(io.StringIO(shown("csv")))
    assert (heads[0], heads[-1], len(rows)) == ("verdict", "reason", len(ROWS))
    assert all(len(found) == len(heads) for found in rows)
    assert not any(cell[:1] in ("=", "+", "@", "-") and not re.fullmatch(r"-?[\d.]+", cell) for r in rows for cell in r)
    first = dict(zip(heads, rows[0], strict=True))
    assert (first["multiply_adds"], first["ratio"], first["sampled"]) == (str(ROWS[0].spec.macs), "0.5", "0")
    assert first["input"] == "2x2x6x5"


def test_markdown_is_one_table_in_which_nothing_is_live():
    [found] = tables_in(shown("markdown"))
    assert len(found) == len(ROWS) + 1
    assert [text_in(line[0]) for line in found[1:]] == LABELS
    assert [text_in(line[3]) for line in found[1:]] == [one.verdict for one in ROWS]
    assert text_in(found[2][-1]) == "up to 64 elements of each tensor"


def test_latex_compiles_and_nothing_runs_off_a_page(tmp_path):
    text = shown("latex", ROWS * 5)
    assert text.isascii()
    done, log = compiled(text, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull \\vbox" not in log
    assert all(float(width) < 5 for width in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log))
    assert text.count("\\begin{tabular}") > 5
    assert "FAIL & inf & 0.000 & \\raggedright \\texttt{wrong}\\newline the form\\allowbreak{}ula is" in text


def test_junit_has_a_case_a_problem():
    suite = ElementTree.fromstring(shown("junit"))
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == LABELS
    assert suite.get("tests") == str(len(ROWS))
    assert suite.get("failures") == str(len(suite.findall("testcase/failure"))) == str(len(ROWS) - 3)
    assert suite.get("errors") == str(len(suite.findall("testcase/error"))) == "1"
    failure = cases[2].find("failure")
    assert (failure.get("type"), failure.get("message")) == ("FAIL", "the formula is wrong")
    assert failure.text.splitlines() == ["the formula is wrong", AGAIN, 'g2ic2oc4ih6iw5kh3ph1n"wrong"']


def test_github_says_what_is_not_right_and_the_counts():
    lines = [COMMAND.fullmatch(line) for line in shown("github").splitlines()]
    assert len(lines) == len(ROWS) - 2 + 1
    assert lines[0].groups() == ("error", "FAIL", f"wrong (mine:7): the formula is wrong%0A{AGAIN}")
    assert lines[1][1] == "warning"
    assert lines[-1].group(1, 2) == ("error", "convgrad suite")
    assert [line.partition(" ")[0] for line in shown("github", ROWS[:2]).splitlines()] == ["::notice"]


def test_lines_that_could_not_be_read_are_no_success_in_any_format_that_counts():
    tally, unread = Tally(1, 1), ("list:4: 'x' is not a layer", "list:5: 'y' is not a layer")
    tally.unread = unread

    def rows():
        tally.add(ROWS[0])
        yield ROWS[0]

    def written(name):
        tally.counts = dict.fromkeys(tally.counts, 0)
        return "".join(RENDERERS[name](rows(), tally, Style()))

    junit = ElementTree.fromstring(written("junit"))
    assert (junit.get("tests"), junit.get("failures"), junit.get("errors")) == ("3", "0", "2")
    assert [case.get("name") for case in junit.iter("testcase")][1:] == ["list:4", "list:5"]
    assert junit.find(".//error").get("message") == "'x' is not a layer"
    github = written("github").splitlines()
    assert [line.partition(" ")[0] for line in github] == ["::error"] * 3
    assert github[0].endswith("list:4: 'x' is not a layer")
    document = json.loads(written("json"))
    assert (document["exit_code"], document["unread"]) == (2, list(unread))
    assert all("2 lines could not be read" in written(name) for name in ("table", "markdown", "latex"))
    assert tally.exit_code == 2


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [("PASS", 0), ("PASS FAIL ERROR", 1), ("ERROR SUSPECT", 2), ("PASS SUSPECT", 3), ("MISTRUSTED", 3)],
)
def test_the_status_is_that_of_the_worst_verdict(verdicts, status):
    tally = Tally(3, 1)
    for word in verdicts.split():
        tally.add(row("x", word, verdicts=(verdict(),)))
    assert tally.exit_code == status
