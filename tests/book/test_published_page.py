"""Published numbers stand beside the book's own, each under its edition and
version, and never as the reader's.
"""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from executed_page import build
from test_findings import fine_tuned

from book import front_page, published_editions, published_page
from book.claims import rule
from mmssl import __version__, ledger
from mmssl.ledger.artefacts import Provenance
from mmssl.ledger.hashes import as_json
from mmssl.ledger.manifest import write_manifest

ROOT = Path(__file__).parents[2]
MAKERS = ("mmssl.ledger.artefacts",)
MADE = Provenance({}, {}, 0, MAKERS)


def _scores(**aucs):
    """Lines of models on T1, whose other protocol is not shown."""
    lines = []
    for model, auc in aucs.items():
        for protocol, value in (
            ("logistic regression", auc),
            ("linear projection", 0.99),
        ):
            line = {"protocol": protocol, "model": model, "modality": "T1"}
            line |= {"auc": value, "low": value - 0.1, "high": value + 0.05}
            line |= {"baseline": model == "PCA-64", "difference_low": 0.1}
            line |= {"supervised": False, "above_pca": 0.2}
            line |= {"above_pca_low": 0.1, "above_pca_high": 0.3}
            lines.append(line)
    return pd.DataFrame(lines)


def _publish(root, name="night", claims=None, **changes):
    """Publish a table of an edition in a checkout."""
    folder = root / "book" / "published" / name
    scores = _scores(**{"PCA-64": 0.7, "RR": 0.85})
    MADE.save(folder / "tables", "", {"linear_evaluation": scores})
    if claims is not None:
        MADE.save(folder / "tables", "", {"claims": claims})
    record = {
        "format": published_editions.FORMAT,
        "edition": name,
        "version": __version__,
        "code": ledger.fingerprint(*MAKERS),
        "core_hours": 14.25,
        "simulated": True,
        "pages": {},
    }
    text = as_json(record | changes)
    (folder / published_editions.RECORD).write_text(text)
    write_manifest(folder)
    return folder


@pytest.fixture
def root(tmp_path):
    """Give a checkout that has made a small edition."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    tables = {"linear_evaluation": _scores(**{"PCA-64": 0.6, "CR": 0.75})}
    MADE.save(tmp_path / "data" / "results" / "small", "", tables)
    return tmp_path


def _written(root):
    folder = root / "book" / "_build" / "published"
    files = published_page.write("small", root, folder)
    return {file.name: file.read_text() for file in files}


def test_the_page_includes_what_is_written(root):
    text = (ROOT / "book" / "published.md").read_text()
    included = re.findall(r"\{include\} _build/published/(\S+)", text)
    assert sorted(included) == sorted(_written(root))


def test_nothing_published_shows_nothing(root, monkeypatch):
    written = _written(root)
    assert written["tables.md"] == ""
    assert "No edition is published" in written["about.md"]
    assert published_page.claims("small", root) == []
    monkeypatch.setattr(build, "BOOK", root / "book")
    chapter = Path("published")
    assert not build._has({"notebooks": {}}, chapter)
    _publish(root)
    assert build._has({"notebooks": {}}, chapter)


def test_both_editions_stand_side_by_side_each_labelled(root):
    _publish(root)
    written = _written(root)
    lines = written["tables.md"].splitlines()
    (heads,) = [line for line in lines if line.startswith("| model")]
    cells = [cell.strip() for cell in heads.strip("|").split("|")]
    assert cells[2:] == [
        "small, this book",
        f"night, published (mmssl {__version__})",
    ]
    shown = [line for line in lines if line.startswith("| ")][1:]
    assert shown == [
        "| PCA-64 | T1 | 0.60 [0.50, 0.65] | 0.70 [0.60, 0.75] |",
        "| CR | T1 | 0.75 [0.65, 0.80] | – |",
        "| RR | T1 | – | 0.85 [0.75, 0.90] |",
    ]
    assert "**It was not made on your machine.**" in written["about.md"]
    assert "14.2 core-hours" in written["about.md"]
    found = "What it found:\n\n  - **1 of 1 self-supervised representation was"
    assert found in written["about.md"]
    assert "Its code is that of this book" in written["about.md"]
    assert "older" not in written["about.md"]


def test_an_edition_has_no_column_in_a_table_that_it_lacks(root):
    _publish(root)
    folder = root / "book" / "published" / "rows" / "tables"
    MADE.save(folder, "clustering_", {"efficiency": fine_tuned(0.7)})
    (_publish(root, "rows") / "tables" / "linear_evaluation.tsv").unlink()
    write_manifest(folder.parent)
    written = _written(root)
    assert (
        "  - *Online clustering.* With 4 labelled people"
        in written["about.md"]
    )
    heads = []
    for line in written["tables.md"].splitlines():
        if line.startswith("| model"):
            heads.append(re.findall("small|night|rows", line))
    assert heads == [["small", "night"], ["rows"]]
    assert " Not computed: small, this book." in written["tables.md"]


def test_side_by_side_says_where_nothing_compares_and_folds_what_is_long():
    (shown,) = (
        t for t in published_page.TABLES if t.title == "Natural images"
    )
    lines = []
    for k in range(16):
        line = {"data": f"d{k}", "model": "RR", "modality": "a"}
        lines.append(line | {"accuracy": -0.001, "low": -0.004, "high": 0.2})
    table = pd.DataFrame(lines)
    text = published_page.side_by_side(shown, {"a": table[:8], "b": table[8:]})
    assert "no line in common" in text and "Table of 16 rows" in text
    assert "0.00 [0.00, 0.20]" in text
    text = published_page.side_by_side(
        shown, {"a": table[:9], "b": table[8:9]}
    )
    assert "in common" not in text and "Table of" not in text


def test_an_older_version_is_shown_as_one(root):
    old = {"mmssl.ledger.hashes": "0" * 64, "mmssl.gone": "1" * 64}
    code = ledger.fingerprint(*MAKERS) | old
    _publish(root, version="0.0.9", code=code)
    written = _written(root)
    assert "night, published (mmssl 0.0.9)" in written["tables.md"]
    assert "0.85 [0.75, 0.90]" in written["tables.md"]
    told = written["about.md"]
    assert f"other version than this book's ({__version__})" in told
    assert f"2 of {len(code)} files of its code have changed" in told


def test_changed_code_of_the_same_version_is_said(root):
    _publish(root, code={"mmssl.gone": "1" * 64})
    told = _written(root)["about.md"]
    assert "Since it was made, 1 of 1 files" in told
    assert "Its code is that" not in told


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 1}, "version is 1, expected str"),
        ({"version": "0<b>"}, "version is '0<b>', expected letters"),
        ({"format": 2}, "format is 2, expected 1"),
        ({"edition": "demo"}, "edition is 'demo'.*'night'"),
    ],
)
def test_a_record_that_is_none_is_refused(changes, reason, root):
    _publish(root, **changes)
    with pytest.raises(ValueError, match=f"published.json: {reason}"):
        _written(root)


def test_an_altered_table_is_refused(root):
    file = _publish(root) / "tables" / "linear_evaluation.tsv"
    file.write_text(file.read_text().replace("0.85", "0.95"))
    with pytest.raises(ValueError, match="tables/linear_evaluation.tsv: was"):
        _written(root)


def test_the_ledger_judges_both_editions(root):
    verdicts = [rule.SUPPORTED] * 3 + [rule.UNRESOLVED, rule.UNTESTABLE]
    own = pd.DataFrame({"verdict": verdicts})
    MADE.save(root / "data" / "results" / "small", "", {"claims": own})
    others = pd.DataFrame({"verdict": [rule.CONTRADICTED] * 2})
    _publish(root, claims=others)
    small, night = published_page.claims("small", root)
    assert "the small edition supports 3 and contradicts 0; 1 are not" in small
    assert "and 1 cannot be tested here" in small
    assert night.startswith("The night edition, [published](published) with")
    assert f"with mmssl {__version__} and not made here, supports" in night
    assert "supports 0 and contradicts 2; 0 are not resolved" in night
    found = front_page.write("small", root, root / "book" / "_build" / "f")
    assert small in found.read_text() and night in found.read_text()


def test_private_text_in_a_published_record_refuses_the_book(
    root, monkeypatch
):
    folder = _publish(root)
    record = folder / published_editions.RECORD
    content = json.loads(record.read_text()) | {"by": "OAS30417"}
    record.write_text(json.dumps(content))
    monkeypatch.setattr(build, "BOOK", root / "book")
    people = build.identifiers.Identifiers()
    (reason,) = build._private_sources(people)
    assert reason.startswith("published.json: it shows an identifier of OASIS")
