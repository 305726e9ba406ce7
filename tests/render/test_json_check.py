"""JSON of a check: the verdict at the top, everything that it rests on below, as the schema says."""

from dataclasses import fields

import pytest
from render.checks import CHECKS, TAME, check
from render.samples import NAMES, evaluate, namespace, same, sample, text_of
from render.test_json import VALIDATOR, plain, strict

from convgrad_cli.findings import Check, Finding, Verdict
from convgrad_cli.render import csv, jsonl
from convgrad_cli.render import json as format_json
from convgrad_cli.render.json import document
from convgrad_cli.safe import safe


@pytest.mark.parametrize("name", CHECKS)
def test_what_is_written_is_the_document_and_fits_the_schema(name):
    text = text_of(format_json, check(name))
    found = strict(text)
    assert found == document(check(name))
    VALIDATOR.validate(found)
    assert text.isascii()
    assert text.endswith("}\n")


@pytest.mark.parametrize("name", CHECKS)
def test_the_keys_are_those_of_the_report(name):
    found, report = document(check(name)), check(name)
    assert found["verdict"] == found["check"]["verdict"] == report.check.verdict
    assert found["exit_code"] == report.exit_code == {"PASS": 0, "FAIL": 1, "ERROR": 2}.get(found["verdict"], 3)
    assert list(found["check"]) == [field.name for field in fields(Check)]
    assert [v["tensor"] for v in found["check"]["verdicts"]] == [v.tensor for v in report.check.verdicts]
    assert all(list(v) == [field.name for field in fields(Verdict)] for v in found["check"]["verdicts"])
    findings = found["check"]["conditions"] + [p for v in found["check"]["verdicts"] for p in v["probes"]]
    assert all(list(finding) == [field.name for field in fields(Finding)] for finding in findings)
    assert len(found["check"]["conditions"]) == len(report.check.conditions)


@pytest.mark.parametrize("name", NAMES)
def test_other_reports_have_no_verdict(name):
    assert not {"check", "verdict"} & set(document(sample(name)))


@pytest.mark.parametrize("name", TAME)
def test_every_expression_evaluates_to_what_is_expected(name):
    report = check(name)
    letters = namespace(report)
    found = document(report)["elements"]
    assert len(found) == sum(len(table.elements) for table in report.tables)
    for element in found:
        assert same(evaluate(element["expression"], letters), plain(element["values"]["expected"]))
    assert list(map(strict, text_of(jsonl, report).splitlines())) == found


def test_numbers_that_are_not_finite_are_words():
    found = document(check("hostile_check"))
    assert {v["ratio"] for v in found["check"]["verdicts"]} == {"NaN"}
    assert {v["bits"] for v in found["check"]["verdicts"]} == {"-Infinity"}
    assert found["elements"][0]["values"] == {"actual": "Infinity", "expected": "-Infinity"}
    assert document(check("misshapen"))["check"]["verdicts"][1]["ratio"] == "Infinity"


def test_words_of_the_code_under_test_are_escaped():
    found, report = document(check("hostile_check"))["check"], check("hostile_check").check
    assert found["target"] == safe(report.target, 2000)
    assert found["conditions"][3]["name"] == r"\x1b[31mred\x1b[0m \x9b2J"
    assert "\\x1b[31m" in found["reason"]


@pytest.mark.parametrize("name", CHECKS)
def test_csv_has_both_numbers(name):
    head, *rows = text_of(csv, check(name)).splitlines()
    assert head == "tensor,index,actual,expected,difference,bound,agrees,terms,expression"
    assert len(rows) == sum(len(table.elements) for table in check(name).tables)
