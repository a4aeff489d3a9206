"""The list of claims: it is whole, and what does not fit is refused."""

import inspect
from pathlib import Path

import pandas as pd
import pytest
import yaml

from book.claims import catalogue
from book.claims.claim import EVIDENCE, KINDS, TESTS

GOOD = {
    "id": "004-R-01",
    "where": "section 4",
    "kind": "comparative",
    "claim": "A beats B.",
    "test": {"difference": {"first": [0.9], "second": [0.8]}},
    "holds": {"above": 0},
}


def _write(folder, entries, **document):
    """Write a list of claims of one paper; return its file."""
    file = folder / "claims.yaml"
    papers = {"004": {"title": "Title", "name": "Taxonomy"}}
    document = {"papers": papers, "claims": entries, **document}
    file.write_text(yaml.safe_dump(document))
    return file


def test_the_list_covers_five_papers_and_every_claim_is_tested_or_has_a_reason(
    papers, claims
):
    assert sorted(papers) == ["000", "001", "002", "003", "004"]
    by_paper = pd.Series([claim.id[:3] for claim in claims]).value_counts()
    assert by_paper.min() >= 30
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        ways = [bool(claim.test), bool(claim.chapter), bool(claim.untestable)]
        assert sum(ways) == 1, claim.id
        assert claim.kind in KINDS and claim.where
        assert bool(claim.evidence) == bool(claim.test)


def test_every_test_is_used_by_a_claim(claims):
    assert set(TESTS) == {claim.test for claim in claims if claim.test}


def test_tests_come_from_three_modules_and_helpers_are_none(claims):
    modules = {inspect.getmodule(test) for test in TESTS.values()}
    assert modules == set(EVIDENCE)
    assert not {"read_table", "read_scores", "normal"} & set(TESTS)


def test_a_good_entry_is_read(tmp_path):
    _, (claim,) = catalogue.read(_write(tmp_path, [GOOD]))
    assert claim.paper == "Taxonomy"
    assert claim.run(tmp_path).estimate == pytest.approx(0.1)
    assert claim.test_text == "difference(first=0.9, second=0.8)"
    assert claim.region_text == "above 0"


def test_the_negligible_difference_of_a_test_is_that_of_its_directed_claims(
    tmp_path,
):
    own = {**GOOD, "id": "004-R-02", "holds": {"above": 0, "negligible": 0.5}}
    band = {**GOOD, "id": "004-R-03", "holds": {"between": [0, 1]}}
    file = _write(tmp_path, [GOOD, own, band], negligible={"difference": 0.02})
    _, listed = catalogue.read(file)
    assert [c.region.negligible for c in listed] == [0.02, 0.5, 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "004-R-1"}, "004-R-1: id: .*expected a paper of .*'004'"),
        ({"id": "007-R-01"}, "007-R-01: id: "),
        ({"kind": "bold"}, "004-R-01: kind: found 'bold', expected one of"),
        ({"claim": " "}, "004-R-01: claim: found ' ', expected text"),
        ({"claims": "x"}, "004-R-01: claims: unknown, expected of"),
        (
            {"chapter": "10"},
            r"test: found \['test', 'chapter'\], expected exactly one",
        ),
        (
            {"test": {"differenze": {}}},
            "test: found .*differenze.*, expected one of",
        ),
        (
            {"test": {"difference": {"first": [1.0]}}},
            "test difference: missing .*'second'",
        ),
        (
            {"test": {"difference": {"first": ["a"], "second": [1]}}},
            r"first: found \['a'\], expected ",
        ),
        (
            {"test": {"share": {"successes": True, "cases": 3}}},
            "successes: found True, expected .*int",
        ),
        (
            {"test": {"share": {"successes": 1.5, "cases": 3}}},
            "successes: found 1.5, expected .*int",
        ),
        (
            {"test": {"difference": {"first": [1.0], "second": [1], "x": 1}}},
            "unexpected .*'x'",
        ),
        ({"holds": {}}, "holds: found {}, expected one of"),
        ({"holds": {"above": 0, "below": 1}}, "holds: found "),
        (
            {"holds": {"above": "0"}},
            "holds, above: found '0', expected a number",
        ),
        (
            {"holds": {"between": [2, 1]}},
            "holds, between: found .*expected two numbers in order",
        ),
        (
            {"holds": {"above": 0, "negligible": -1}},
            "holds, negligible: found -1",
        ),
        (
            {"holds": {"between": [0, 1], "negligible": 0.1}},
            "holds, negligible: found 0.1, .*none beside between",
        ),
        (
            {"real_people": "yes"},
            "real_people: found 'yes', expected true or false",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_claim_and_field(
    tmp_path, change, message
):
    with pytest.raises(ValueError, match=message) as error:
        catalogue.read(_write(tmp_path, [GOOD | change]))
    assert str(error.value).startswith("claims.yaml: ")


def test_all_errors_are_said_at_once_and_doubles_are_found(tmp_path):
    with pytest.raises(ValueError, match="comes twice"):
        catalogue.read(_write(tmp_path, [GOOD, GOOD]))
    entries = [GOOD | {"kind": 1}, GOOD | {"where": 3}, "text"]
    with pytest.raises(ValueError) as error:
        catalogue.read(_write(tmp_path, entries))
    # kind; where; text and its missing id
    assert len(str(error.value).splitlines()) == 4
    with pytest.raises(ValueError, match="expected a mapping with papers"):
        catalogue.read(_write(tmp_path, [GOOD], extra=1))
    with pytest.raises(ValueError, match="negligible: 'nothing' is no test"):
        catalogue.read(_write(tmp_path, [GOOD], negligible={"nothing": 1}))


def test_every_test_has_plain_annotations():
    plain = (
        Path,
        int,
        float,
        str,
        bool,
        list[str],
        list[float],
        dict[str, list[float]],
    )
    for name, test in TESTS.items():
        parameters = inspect.signature(test, eval_str=True).parameters
        for parameter in parameters.values():
            assert parameter.annotation in plain, (name, parameter)
