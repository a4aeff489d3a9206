"""Works named by author and year are those of the bibliography."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from book import citations

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("(Smilkov et al. 2017)", "({cite:t}`smilkov2017smoothgrad`)"),
        (
            "Hanley & McNeil 1982,\n1983",
            "{cite:t}`hanley1982`, {cite:t}`hanley1983`",
        ),
        ("DeLong, DeLong & Clarke-Pearson 1988", "{cite:t}`delong1988`"),
        ("Zou et\nal. 2008", "{cite:t}`zou2008falff`"),
        ("Zou & Donner 2008", "{cite:t}`zou2008`"),
        ("Pérez-García et al. 2021", "{cite:t}`perezgarcia2021torchio`"),
        (
            "Fedorov et al. 2021, *Tasting the cake* and *Taxonomy*",
            "{cite:t}`fedorov2021cake`, *Tasting the cake* and *Taxonomy*",
        ),
        ("Fedorov et al. 2021 say", "Fedorov et al. 2021 say"),
        ("Nobody et al. 1901 and May 2021", "Nobody et al. 1901 and May 2021"),
    ],
)
def test_a_mention_is_cited_by_its_key(text, linked):
    assert citations.linked(text) == linked


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_work_that_a_notebook_names_is_one_of_the_bibliography(path):
    found = []
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            found += citations.mentions(cell.source)
    assert found
    assert [work for work in found if len(work.keys) != 1] == []


def test_works_of_one_author_and_year_are_told_apart():
    entries = {}
    for key, entry in citations._entries().items():
        entries[key] = SimpleNamespace(
            persons=entry.persons, fields={"year": entry.fields["year"]}
        )
    citations.add_letters(entries)
    years = {key: entry.fields["year"] for key, entry in entries.items()}
    assert years["fedorov2021application"] == "2021a"
    assert years["fedorov2021cake"] == "2021c"
    # one other work of that author's name, and of two authors
    assert years["zou2008"] == years["zou2008falff"] == "2008"
    assert years["zhou2021pcrl"] == "2021"
