"""The paper takes every number from an edition, and can be printed."""

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from small_cohort import rehash, write_small_cohort

from mmssl import ledger

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))

import filled_text  # noqa: E402
import paper  # noqa: E402
import printing  # noqa: E402

EDITION = {
    "edition": "tiny",
    "banner": "Tiny edition.\n",
    "notebooks": {"04_linear_evaluation": {"cohort": "people"}},
}
TEMPLATE = (ROOT / "book" / "paper.md").read_text()


@pytest.fixture
def checkout(tmp_path):
    """Make a checkout with the results of a tiny edition."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "book").mkdir()
    for name in ("book/simulations.tsv", "CITATION.cff"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    people = write_small_cohort(tmp_path / "people")
    described = json.loads((people.path / "cohort.json").read_text())
    described["parameters"] = {"oracle_auc": 0.94}
    (people.path / "cohort.json").write_text(json.dumps(described))
    rehash(people.path)
    scores, codes = [], []
    for model, auc in (("PCA-64", 0.8), ("random encoder", 0.7), ("RR", 0.9)):
        for modality in ("T1", "fALFF"):
            line = {"model": model, "modality": modality, "auc": auc}
            line |= {"protocol": "logistic regression", "draws": 1}
            line |= {"positives": 31, "negatives": 47, "train": 50}
            line |= {"baseline": model != "RR", "difference_low": auc - 0.75}
            line |= {"supervised": False, "above_pca_low": auc - 0.8}
            scores.append(line)
        for measure in ("CCA", "debiased CKA"):
            line = {"model": model, "role": "holdout", "group": "all"}
            line |= {"measure": measure, "estimate": auc, "chance": 0.25}
            codes.append(line)
    claims = {"paper": ["000", "001"], "verdict": ["supported"] * 2}
    tables = {
        "linear_evaluation": pd.DataFrame(scores),
        "similarity": pd.DataFrame(codes),
        "claims": pd.DataFrame(claims),
    }
    made = ledger.Provenance({}, {}, 0, ("mmssl.ledger.paths",))
    made.save(tmp_path / "data" / "results" / "tiny", "", tables)
    return tmp_path


def test_every_number_is_that_of_the_tables(checkout):
    text = paper.write(EDITION, checkout)
    assert (checkout / "paper.md").read_text() == text
    words = " ".join(text.split())
    assert "**tiny edition**" in words and "Tiny edition." in words
    assert "has 24 simulated people" in words and "exceed 0.94" in words
    assert "31 patients and 47 controls" in words
    assert "ROC-AUC of 0.90 in the mean of 2 combinations" in words
    assert "have 0.80 on T1 and 0.80 on fALFF" in words
    assert "2 gain on the untrained" in words
    assert "self-supervised ones 2 lie above principal" in words
    assert "supports 2 and contradicts 0" in words
    assert filled_text.is_filled_from(text, TEMPLATE)
    for line in text.split("---\n", 2)[2].splitlines():
        assert len(line) <= 79 or "[@" in line


def test_the_committed_paper_is_this_text():
    """An edited text is not left beside numbers of the last one."""
    committed = (ROOT / "paper.md").read_text()
    assert filled_text.is_filled_from(committed, TEMPLATE)
    assert filled_text.typed_digits(TEMPLATE) == []
    head = yaml.safe_load(committed.split("---\n")[1])
    assert head["bibliography"] == "paper.bib"
    assert {"title", "tags", "authors", "affiliations", "date"} <= set(head)


def test_its_citations_resolve():
    references = (ROOT / "paper.bib").read_text()
    keys = set(re.findall(r"@\w+\{(\w+),", references))
    cited = set(re.findall(r"@(\w+\d{4}\w*)", TEMPLATE.split("---\n", 2)[2]))
    assert cited and cited <= keys


def test_without_fresh_results_it_says_what_to_run(checkout):
    other = {**EDITION, "edition": "other"}
    with pytest.raises(ValueError, match="make reproduce EDITION=other"):
        paper.write(other, checkout)
    table = checkout / "data/results/tiny/linear_evaluation.tsv"
    table.write_text(table.read_text().replace("0.9", "0.99"))
    with pytest.raises(ValueError, match=r"linear_evaluation\.tsv: .*change"):
        paper.write(EDITION, checkout)
    assert not (checkout / "paper.md").exists()


def test_a_typed_number_is_refused(checkout, monkeypatch):
    typed = checkout / "typed.md"
    typed.write_text(TEMPLATE.replace("planted by hand", "of 0.87"))
    monkeypatch.setattr(paper, "TEMPLATE", typed)
    with pytest.raises(ValueError, match=r"typed 0\.87"):
        paper.write(EDITION, checkout)


def test_without_chromium_the_message_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="Chromium.*apt-get install"):
        printing.print_pdf(tmp_path / "a.html", tmp_path / "a.pdf")
    with pytest.raises(FileNotFoundError, match="Chromium"):
        paper.print_paper(TEMPLATE, tmp_path / "a.pdf")


def _chromium():
    try:
        return printing.browser()
    except FileNotFoundError:
        return None


needs_chromium = pytest.mark.skipif(not _chromium(), reason="no Chromium")


@needs_chromium
def test_a_page_is_printed_with_what_its_scripts_write(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<p>one</p><script>document.title = 'written'</script>"
        '<div style="break-before: page">two</div>'
    )
    printing.print_pdf(page, tmp_path / "page.pdf")
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert re.search(rb"/Count 2\b", content)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "page.html",
        "page.pdf",
    ]


@needs_chromium
@pytest.mark.slow
def test_the_paper_is_printed(checkout, tmp_path):
    text = paper.write(EDITION, checkout)
    paper.print_paper(text, tmp_path / "paper.pdf")
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
    with pytest.raises(RuntimeError, match="nobody2021"):
        paper.print_paper(
            text.replace("@fedorov2021cake", "@nobody2021"),
            tmp_path / "other.pdf",
        )
    assert not (tmp_path / "other.pdf").exists()
