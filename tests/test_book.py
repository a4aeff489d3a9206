"""A page that cannot be trusted is refused, with the reason."""

import importlib.util
import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from mmssl import ledger

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("book_build", ROOT / "book" / "build.py")
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)
HOME = "/" + "home"  # no path of anybody's machine stands in this repository


@pytest.fixture
def page(tmp_path):
    """Give a page that is fit to publish."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "T1.npy").write_text("volumes")
    source = tmp_path / "source.ipynb"
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("1 + 1")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, source)
    path = tmp_path / "executed" / "demo" / "01_cohort.ipynb"
    path.parent.mkdir(parents=True)
    notebook.cells[1].execution_count = 1
    nbformat.write(notebook, path)
    _record(path)
    return path


def _record(page, edition="demo"):
    root = page.parents[2]
    inputs = {"notebook": root / "source.ipynb", "cohort": root / "cohort"}
    parameters = {"edition": edition, "subjects": 400}
    ledger.write_sidecar(page, inputs, parameters, 0, ("mmssl.ledger",), {"edition": edition})


def _edit(page, change):
    """Change a page and record it anew, so that only the change itself can be the reason."""
    notebook = nbformat.read(page, as_version=4)
    change(notebook.cells[1])
    nbformat.write(notebook, page)
    _record(page)


def test_a_good_page_passes(page):
    assert build.check_page(page, "demo", {"subjects": 400}) == []


def test_a_page_with_a_failed_cell_is_refused(page):
    error = nbformat.v4.new_output("error", ename="OSError", evalue="no disk", traceback=[])
    _edit(page, lambda cell: cell.outputs.append(error))
    assert build.check_page(page, "demo") == ["a cell failed with OSError: no disk"]


def test_a_partial_page_is_refused(page):
    _edit(page, lambda cell: cell.update(execution_count=None))
    assert build.check_page(page, "demo") == ["1 of 1 code cells did not run"]


def test_a_page_whose_last_run_failed_is_refused(page):
    page.with_suffix(".failed.ipynb").write_text("{}")
    assert "last run failed" in build.check_page(page, "demo")[0]


@pytest.mark.parametrize(
    ("shown", "what"),
    [
        (f"t1w = '{HOME}/someone/sub-07_T1w.nii.gz'", f"a path of this machine: {HOME}/someone"),
        ("OAS30417 at day 12", "an identifier of OASIS: OAS30417"),
        ("ask someone@hospital.example.org", "an e-mail address: someone@hospital.example.org"),
    ],
)
def test_a_page_with_private_text_is_refused(page, shown, what):
    _edit(page, lambda cell: cell.outputs.append(nbformat.v4.new_output("stream", text=shown)))
    assert build.check_page(page, "demo") == [f"it shows {what}"]
    _edit(page, lambda cell: cell.outputs.clear())
    _edit(page, lambda cell: cell.update(source=f"# {shown}"))
    assert build.check_page(page, "demo") == [f"it shows {what}"]


def test_a_page_of_another_edition_is_refused(page):
    _record(page, edition="smoke")
    assert build.check_page(page, "demo") == ["it is of the smoke edition, not demo"]


def test_a_page_with_other_parameters_is_refused(page):
    (reason,) = build.check_page(page, "demo", {"subjects": 500})
    assert reason == "it ran with subjects = 400, the edition says 500"


def test_a_stale_page_is_refused(page, monkeypatch):
    root = page.parents[2]
    (root / "cohort" / "T1.npy").write_text("other volumes")
    assert build.check_page(page, "demo") == ["its input cohort (cohort) has changed"]
    (root / "cohort" / "T1.npy").write_text("volumes")
    source = nbformat.read(root / "source.ipynb", as_version=4)
    source.cells[1].source = "1 + 2"
    nbformat.write(source, root / "source.ipynb")
    assert build.check_page(page, "demo") == ["its input notebook (source.ipynb) has changed"]
    source.cells[1].source = "1 + 1"
    nbformat.write(source, root / "source.ipynb")
    now = ledger.fingerprint("mmssl.ledger") | {"mmssl.paths": "0" * 64}
    monkeypatch.setattr(ledger, "fingerprint", lambda *modules: now)
    assert build.check_page(page, "demo") == ["module mmssl.paths has changed"]


def test_an_edited_page_and_one_without_provenance_are_refused(page):
    page.write_text(page.read_text().replace("Title", "Better title"))
    assert build.check_page(page, "demo") == ["01_cohort.ipynb was changed after it was made"]
    ledger.sidecar_of(page).unlink()
    assert build.check_page(page, "demo") == ["it has no sidecar, so nobody knows what made it"]
    page.unlink()
    assert build.check_page(page, "demo") == ["it has not been run"]


def test_a_heavy_html_page_is_a_complaint(tmp_path):
    (tmp_path / "light.html").write_text("x")
    assert build.check_html(tmp_path) == []
    (tmp_path / "heavy.html").write_bytes(b"x" * 2_000_000)
    assert build.check_html(tmp_path) == ["heavy.html: 2.0 MB, expected less than 2.0 MB"]


def test_a_book_with_a_bad_page_is_not_built(page, monkeypatch, capsys):
    folder = page.parents[2]
    edition = {"edition": "demo", "notebooks": {"01_cohort": {"subjects": 7}}, "banner": "b"}
    (folder / "demo.yaml").write_text(yaml.safe_dump(edition))
    monkeypatch.setattr(build, "BOOK", folder)
    monkeypatch.setattr(build.subprocess, "run", lambda *a, **k: pytest.fail("it was built"))
    assert build.main([str(folder / "demo.yaml")]) == 1
    assert "01_cohort: it ran with subjects = 400" in capsys.readouterr().err


def test_every_page_of_the_contents_exists_and_every_edition_shows_it():
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    texts = [name for name in files if not name.startswith("executed/")]
    assert all((ROOT / "book" / f"{name}.md").is_file() for name in texts)
    shown = [Path(name).name for name in files if name.startswith("executed/")]
    for file in (ROOT / "config").glob("*.yaml"):
        edition = yaml.safe_load(file.read_text())
        pages = list(edition["notebooks"])
        assert [name for name in shown if name in pages] == pages
        assert edition["edition"] == file.stem and edition["banner"]


def test_citations_and_labels_resolve():
    texts = {file.name: file.read_text() for file in (ROOT / "book").glob("*.md")}
    keys = set(re.findall(r"@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text()))
    for name, text in texts.items():
        cited = {k for group in re.findall(r"\{cite:\w\}`([^`]+)`", text) for k in group.split(",")}
        assert cited <= keys, name
    labels = re.findall(r":label: (\S+)", "".join(texts.values()))
    assert len(labels) == len(set(labels)) >= 5


def test_the_sidecar_is_json_that_names_no_machine(page):
    record = json.loads(ledger.sidecar_of(page).read_text())
    assert str(page.parents[2]) not in json.dumps(record)


def test_the_readme_takes_its_numbers_from_the_table(tmp_path):
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "figures/readme/refresh.py")
    refresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(refresh)
    line = {"floor": True, "low": 0.6, "high": 0.8, "positives": 9, "negatives": 30, "train": 50}
    floors = {"random encoder": (0.712, 0.654), "PCA-64": (0.85, 0.82)}
    rows = [
        line | {"row": row, "modality": m, "auc": auc}
        for row, aucs in floors.items()
        for m, auc in zip(("T1", "fALFF"), aucs, strict=True)
    ]
    line |= {"row": "RR", "floor": False}
    rows += [
        line | {"modality": "T1", "auc": 0.9, "difference_low": 0.02},
        line | {"modality": "fALFF", "auc": 0.8, "difference_low": -0.1},
    ]
    text = refresh.markdown(pd.DataFrame(rows), ceiling=0.94)
    assert "| *random encoder* (floor) | 0.71 [0.60, 0.80] | 0.65 [0.60, 0.80] |" in text
    assert "| `RR` | 0.90" in text and "9 AD and 30 HC" in text and "0.94" in text
    assert "Of the 2 learned rows, 1 gain" in text and "and 1 lie above PCA-64" in text
    readme = tmp_path / "README.md"
    readme.write_text((ROOT / "README.md").read_text())
    for _ in range(2):
        refresh.write(readme, text)
        assert readme.read_text().count("`RR` | 0.90") == 1
    with pytest.raises(ValueError, match="Run make reproduce"):
        refresh.load_results(tmp_path)
