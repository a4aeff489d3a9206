"""A page that cannot be trusted is refused, with the reason."""

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from executed_page import HOME, build, edit, execute, make_page, record
from executed_page import source_of as notebook_of

from book import citations
from mmssl.ledger import sidecars
from mmssl.ledger.artefacts import (
    CHECKS,
    CORRECTED,
    POSITIVE_CONTROL,
    SALIENCY,
    CheckResult,
    Provenance,
    SanityReport,
    map_hash,
    write_map,
)
from mmssl.ledger.code import fingerprint
from mmssl.ledger.manifest import write_manifest
from mmssl.ledger.sidecars import read_sidecar, sidecar_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(tmp_path):
    """Give a page that is fit to publish."""
    return make_page(tmp_path)


def _text(shown):
    return nbformat.v4.new_output("stream", text=shown)


def test_a_good_page_passes(page):
    assert build.check_page(page, "demo", {"subjects": 400}) == []


def test_a_page_with_a_failed_cell_is_reason(page):
    error = nbformat.v4.new_output(
        "error", ename="OSError", evalue="no disk", traceback=[]
    )
    edit(page, lambda cell: cell.outputs.append(error))
    assert build.check_page(page, "demo") == [
        "a cell failed with OSError: no disk"
    ]


def test_a_partial_page_is_reason(page):
    edit(page, lambda cell: cell.update(execution_count=None))
    assert build.check_page(page, "demo") == ["1 of 3 code cells did not run"]


def test_a_page_whose_last_run_failed_is_reason(page):
    page.with_suffix(".failed.ipynb").write_text("{}")
    assert "last run failed" in build.check_page(page, "demo")[0]


@pytest.mark.parametrize(
    ("shown", "what"),
    [
        (
            f"t1w = '{HOME}/someone/sub-07_T1w.nii.gz'",
            f"a path of this machine: {HOME}/someone/sub-07_T1w.nii.gz",
        ),
        ("OAS30417 at day 12", "an identifier of OASIS: OAS30417"),
        (
            "ask someone@hospital.example.org",
            "an e-mail address: someone@hospital.example.org",
        ),
    ],
)
def test_a_page_with_private_text_is_reason(page, shown, what):
    edit(
        page,
        lambda cell: cell.outputs.append(
            nbformat.v4.new_output("stream", text=shown)
        ),
    )
    place = "cell 4, output 1"
    assert build.check_page(page, "demo") == [f"it shows {what} ({place})"]
    edit(page, lambda cell: cell.outputs.clear())
    edit(page, lambda cell: cell.update(source=f"{cell.source}\n# {shown}"))
    place = "cell 4, source"
    assert build.check_page(page, "demo") == [f"it shows {what} ({place})"]


def test_a_page_with_a_participants_id_is_reason(page):
    folder = page.parents[2] / "results"
    folder.mkdir()
    fields = {"kind": "person", "intensity": "brain"}
    (folder / "cohort.json").write_text(json.dumps(fields))
    table = "group\tparticipant_id\nn/a\tQX7-planted\nn/a\t1\n"
    (folder / "participants.tsv").write_text(table)
    pairs = "participant_id\tsession\nQX7-planted\t1\n"
    (folder / "pairs.tsv").write_text(pairs)
    assert build.check_page(page, "demo") == []
    for shown in ("id = 'QX7-planted'", "see QX7-planted_T1w.nii.gz."):
        edit(page, lambda cell, text=shown: cell.update(outputs=[_text(text)]))
        assert build.check_page(page, "demo") == [
            "it shows the id of a participant: QX7-planted (cell 4, output 1)"
        ]
    (folder / "cohort.json").write_text(
        json.dumps({"kind": "phantom", "intensity": "brain"})
    )
    assert build.check_page(page, "demo") == []


def test_an_id_is_found_anywhere_on_a_site(tmp_path):
    (tmp_path / "_static").mkdir()
    (tmp_path / "index.html").write_text("<p>Nobody, XQX7 and QX7b</p>")
    (tmp_path / "searchindex.js").write_text('{"docs": "qx7 QX7"}')
    (tmp_path / "_static" / "a.txt").write_text("sub/QX7/anat")
    people = build.identifiers.Identifiers(frozenset({"QX7"}))
    what = "it shows the id of a participant: QX7 (its content)"
    assert build.private_text.in_site(tmp_path, people) == [
        f"_static/a.txt: {what}",
        f"searchindex.js: {what}",
    ]
    nobody = build.identifiers.Identifiers()
    assert build.private_text.in_site(tmp_path, nobody) == []


def test_a_page_of_another_edition_is_reason(page):
    execute(page, edition="smoke", subjects=400, output="results")
    assert build.check_page(page, "demo") == [
        "it is of the smoke edition, not demo"
    ]


def test_a_page_with_other_parameters_is_reason(page):
    (reason,) = build.check_page(page, "demo", {"subjects": 500})
    assert reason == "it ran with subjects = 400, the edition says 500"


def test_a_stale_page_is_reason(page, monkeypatch):
    root = page.parents[2]
    (root / "cohort" / "T1.npy").write_text("other volumes")
    assert build.check_page(page, "demo") == [
        "its input cohort (cohort) has changed"
    ]
    (root / "cohort" / "T1.npy").write_text("volumes")
    notebook = notebook_of(page).read_text()
    notebook_of(page).write_text(notebook.replace("1 + 1", "1 + 2"))
    assert build.check_page(page, "demo") == [
        "its cell 3 is not that of its notebook",
        "its input notebook (notebooks/01_cohort.ipynb) has changed",
    ]
    notebook_of(page).write_text(notebook)
    now = {"mmssl.ledger.paths": "0" * 64}
    monkeypatch.setattr(sidecars, "fingerprint", lambda *_, **__: now)
    assert build.check_page(page, "demo") == [
        "module mmssl.ledger.paths has changed"
    ]


def test_a_page_that_reads_a_run_of_other_code_is_refused(page):
    run = page.parents[2] / "cohort" / "CR-fold0"
    run.mkdir()
    code = fingerprint("mmssl.ledger.paths")
    found = []
    for other in ({}, {"mmssl.ledger.paths": "0" * 64}):
        text = json.dumps({"code": code | other})
        (run / "params.json").write_text(text)
        write_manifest(run)
        record(page)
        found.append(build.check_page(page, "demo"))
    reason = "module mmssl.ledger.paths has changed"
    assert found == [[], [f"its input cohort has stale CR-fold0: {reason}"]]


def test_an_edited_page_and_one_without_provenance_are_reason(page):
    page.write_text(page.read_text().replace("Title", "Better title"))
    assert build.check_page(page, "demo") == [
        "its cell 1 is not that of its notebook",
        "01_cohort.ipynb was changed after it was made",
    ]
    sidecar_of(page).unlink()
    assert build.check_page(page, "demo") == [
        "it has no sidecar, so nobody knows what made it"
    ]
    page.unlink()
    assert build.check_page(page, "demo") == ["it has not been run"]


SHAPE = (7, 8, 9)


@pytest.fixture
def maps(page, rng, affine):
    """Give a page of group differences, the folder of its maps, and what it
    left there.
    """
    edit(
        page,
        lambda cell: cell.update(
            source=f"{cell.source}\nplotting.group_maps(drawn, affine)"
        ),
    )
    folder = page.parents[2] / "results" / "maps"
    passed = dict.fromkeys(CHECKS, CheckResult("yes", "r = 0.1"))
    encoder = ("RR-AE", "T1", "positive")
    control = ("voxels", "T1", "voxels")
    volumes = {}
    for key in (encoder, control):
        effect = rng.uniform(-1, 1, SHAPE).astype("f4")
        volumes[key] = (effect, np.full(SHAPE, 0.2, "f4"))
    reports = {
        encoder: SanityReport(map_hash(volumes[encoder][0]), passed),
        control: SanityReport(
            map_hash(volumes[control][0]), {}, POSITIVE_CONTROL
        ),
    }
    made = Provenance({}, {}, 0, ("mmssl.ledger.artefacts",))
    made.save_group_maps(folder, volumes, reports, affine, 99)
    return SimpleNamespace(
        page=page,
        folder=folder,
        made=made,
        affine=affine,
        volumes=volumes,
        reports=reports,
        effect=folder / "group_RR-AE_T1_positive_rbc.nii.gz",
        p=folder / "group_RR-AE_T1_positive_p.nii.gz",
    )


def _change_sidecar(file, entry, value):
    """Change what the sidecar of a map says; None takes the entry away."""
    record = read_sidecar(file)
    about = record["facts"]["map"]
    if value is None:
        del about[entry]
    else:
        about[entry] = value
    sidecar_of(file).write_text(json.dumps(record))


def _reason(page):
    (reason,) = build.check_page(page, "demo")
    return reason


def test_a_page_of_checked_maps_passes(maps):
    assert build.check_page(maps.page, "demo") == []
    maps.made.save_map(
        maps.folder / "saliency_RR-AE_T1_3.nii.gz",
        np.ones(SHAPE),
        maps.affine,
        kind=SALIENCY,
    )
    assert build.check_page(maps.page, "demo") == []


def test_an_uncorrected_map_is_reason(maps):
    _change_sidecar(maps.effect, "correction", None)
    assert (
        "positive_rbc.nii.gz is not corrected for the number of voxels"
        in _reason(maps.page)
    )


def test_a_map_that_lost_its_corrected_p_is_reason(maps):
    maps.p.unlink()
    assert (
        "has lost its corrected p, group_RR-AE_T1_positive_p.nii.gz"
        in _reason(maps.page)
    )


def test_uncorrected_p_in_the_place_of_corrected_ones_are_reason(maps):
    small = np.full(SHAPE, 0.2)
    small[3, 4, 5] = 1e-4  # 99 relabellings cannot give less than .01
    maps.made.save_map(maps.p, small, maps.affine, kind=CORRECTED)
    assert "these are not the corrected ones" in _reason(maps.page)


def test_a_map_without_a_report_is_reason(maps):
    _change_sidecar(maps.effect, "report", None)
    assert "has no report of the sanity checks" in _reason(maps.page)


def test_the_report_on_another_map_is_reason(maps):
    other = maps.reports["voxels", "T1", "voxels"]
    _change_sidecar(maps.effect, "report", other.record())
    assert "carries the report on another map" in _reason(maps.page)
    half = maps.reports["RR-AE", "T1", "positive"].record()
    del half["checks"]["deletion"]
    _change_sidecar(maps.effect, "report", half)
    assert "was not checked in full: deletion missing" in _reason(maps.page)


def test_a_map_from_elsewhere_an_edited_one_and_none_at_all_are_reason(maps):
    stray = write_map(
        maps.folder / "effect.nii.gz", np.ones(SHAPE), maps.affine
    )
    assert "effect.nii.gz does not say what it shows" in _reason(maps.page)
    stray.unlink()
    write_map(maps.effect, np.ones(SHAPE), maps.affine)
    assert "positive_rbc.nii.gz was changed after it was made" in _reason(
        maps.page
    )
    for file in maps.folder.iterdir():
        file.unlink()
    assert "draws maps of groups, but none lies in maps" in _reason(maps.page)


def test_a_page_that_draws_around_the_checks_is_reason(page):
    edit(
        page,
        lambda cell: cell.update(
            source=f"{cell.source}\nnilearn.plotting.plot_stat_map(image)"
        ),
    )
    assert "draws a brain map by plot_stat_map" in _reason(page)


def test_no_unchecked_map_is_written(maps, tmp_path):
    key = "RR-AE", "T1", "positive"
    rbc, p = maps.volumes[key]
    for pair, reports in (
        ((rbc, None), maps.reports),
        ((rbc, p), {}),
        ((-rbc, p), maps.reports),
    ):
        with pytest.raises(
            ValueError, match="RR-AE, T1, positive|another map"
        ):
            maps.made.save_group_maps(
                tmp_path / "new", {key: pair}, reports, maps.affine, 99
            )
    assert not (tmp_path / "new").exists()


def test_a_heavy_html_page_is_refused(tmp_path):
    (tmp_path / "light.html").write_text("x")
    assert build.check_html(tmp_path) == []
    (tmp_path / "heavy.html").write_bytes(b"x" * 2_000_000)
    assert build.check_html(tmp_path) == [
        "heavy.html: 2.0 MB, expected less than 2.0 MB"
    ]


def test_a_book_with_a_bad_page_is_not_built(page, monkeypatch, capsys):
    folder = page.parents[2]
    edition = {
        "edition": "demo",
        "notebooks": {"01_cohort": {"subjects": 7}},
        "banner": "b",
    }
    (folder / "demo.yaml").write_text(yaml.safe_dump(edition))
    monkeypatch.setattr(build, "BOOK", folder)
    monkeypatch.setattr(
        build.subprocess, "run", lambda *a, **k: pytest.fail("it was built")
    )
    assert build.main([str(folder / "demo.yaml")]) == 1
    assert "01_cohort: it ran with subjects = 400" in capsys.readouterr().err


def test_a_built_book_that_names_somebody_is_taken_back(page, monkeypatch):
    folder = page.parents[2]
    people = folder / "results"
    people.mkdir()
    fields = {"kind": "person", "intensity": "brain"}
    (people / "cohort.json").write_text(json.dumps(fields))
    (people / "participants.tsv").write_text("participant_id\nQX7\n")
    (people / "pairs.tsv").write_text("participant_id\tsession\nQX7\t1\n")
    edition = {
        "edition": "demo",
        "banner": "A demo.",
        "notebooks": {"01_cohort": {}},
    }
    (folder / "demo.yaml").write_text(yaml.safe_dump(edition))
    html = folder / "_build" / "html"
    shown = "of QX7"

    def built(*_):
        html.mkdir(parents=True)
        (html / "index.html").write_text(f"<h1>Title</h1> {shown}")
        return []

    monkeypatch.setattr(build, "BOOK", folder)
    toc = {"root": "index", "parts": []}
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc))
    settings = None, folder / "_toc.yml"
    monkeypatch.setattr(build, "_settings", lambda *_: settings)
    monkeypatch.setattr(build, "_run_jupyter_book", built)
    drawn = build.methods_page, build.simulations_page, build.speed_page
    for made in drawn:
        monkeypatch.setattr(made, "write", lambda: None)
    assert build.build(folder / "demo.yaml") == [
        "index.html: it shows the id of a participant: QX7 (its content)"
    ]
    assert not (html / "index.html").exists()
    shown = "of nobody"
    assert build.build(folder / "demo.yaml") == []
    assert (html / "index.html").exists()
    toc["parts"] = [{"chapters": [{"file": "executed/demo/01_cohort"}]}]
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc))
    assert build.build(folder / "demo.yaml") == [
        "executed/demo/01_cohort: it is not in the built book"
    ]
    assert not (html / "index.html").exists()


def _chapters(toc):
    """Return the files of a table of contents, in order."""
    files = []
    for part in toc["parts"]:
        files += [chapter["file"] for chapter in part["chapters"]]
    return files


def test_every_notebook_is_in_the_contents():
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    pages = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    listed = {Path(name).name for name in _chapters(toc)}
    assert {page.stem for page in pages} <= listed


def test_every_page_of_the_contents_exists_and_every_edition_shows_it():
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    shown = []
    for name in _chapters(toc):
        if name.startswith("executed/"):
            shown.append(Path(name).name)
        else:
            assert (ROOT / "book" / f"{name}.md").is_file()
    for file in (ROOT / "config").glob("*.yaml"):
        edition = yaml.safe_load(file.read_text())
        pages = list(edition["notebooks"])
        assert [name for name in shown if name in pages] == pages
        assert edition["edition"] == file.stem and edition["banner"]


def test_citations_and_labels_resolve():
    references = (ROOT / "book" / "references.bib").read_text()
    keys = re.findall(r"@\w+\{(\w+),", references)
    assert len(keys) == len(set(keys))
    text = "".join(file.read_text() for file in (ROOT / "book").glob("*.md"))
    cited = set()
    chapters = []
    for file in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(file, 4).cells:
            chapters.append(citations.linked(cell.source))
    every = "\n".join([text, *chapters])
    for group in re.findall(r"\{cite:\w\}`([^`]+)`", every):
        cited |= set(group.split(","))
    assert cited == set(keys)
    labels = re.findall(r":label: (\S+)", text)
    assert len(labels) == len(set(labels)) >= 5
    equations = set(re.findall(r"\{eq\}`([^`]+)`", text))
    assert equations <= set(labels)


def test_the_sidecar_is_json_that_names_no_machine(page):
    record = json.loads(sidecar_of(page).read_text())
    assert str(page.parents[2]) not in json.dumps(record)


def test_the_readme_takes_its_numbers_from_the_table(tmp_path):
    spec = importlib.util.spec_from_file_location(
        "refresh", ROOT / "figures/readme/refresh.py"
    )
    refresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(refresh)
    line = {
        "baseline": True,
        "low": 0.6,
        "high": 0.8,
        "positives": 9,
        "negatives": 30,
        "train": 50,
        "folds": 5,
        "supervised": False,
        "above_pca_low": -0.1,
    }
    lines = []
    for model, modality, auc in (
        ("random encoder", "T1", 0.712),
        ("random encoder", "fALFF", 0.654),
        ("PCA-64", "T1", 0.85),
        ("PCA-64", "fALFF", 0.82),
    ):
        lines.append(
            {**line, "model": model, "modality": modality, "auc": auc}
        )
    for modality, auc, low in (("T1", 0.9, 0.02), ("fALFF", 0.8, -0.1)):
        result = {"modality": modality, "auc": auc, "model": "RR"}
        result |= {"baseline": False, "difference_low": low}
        lines.append({**line, **result, "above_pca_low": low})
    labelled = {"model": "CE", "modality": "T1", "auc": 0.95}
    labelled |= {"baseline": False, "supervised": True}
    lines.append(
        {**line, **labelled, "difference_low": 0.1, "above_pca_low": 0.1}
    )
    text = refresh.markdown(pd.DataFrame(lines), "tiny", ceiling=0.94)
    assert "The tiny edition: 5 folds, one training each." in text
    assert (
        "| *random encoder* (baseline) | 0.71 [0.60, 0.80] "
        "| 0.65 [0.60, 0.80] |" in text
    )
    assert (
        "| `RR` | 0.90" in text and "9 AD and 30 HC" in text and "0.94" in text
    )
    assert re.search(r"Of the 3 learned \w+, 2 gain .* of untrained", text)
    assert "of the 2 self-supervised ones, 1 lie above PCA-64" in text
    readme = tmp_path / "README.md"
    readme.write_text((ROOT / "README.md").read_text())
    for _ in range(2):
        refresh.write(readme, text)
        assert readme.read_text().count("`RR` | 0.90") == 1
    with pytest.raises(ValueError, match="Run make reproduce"):
        refresh.load_results(tmp_path)
    results = tmp_path / "data" / "results"
    assert refresh.find_results(tmp_path) == ("demo", results / "demo")
    published = tmp_path / "book" / "published" / "overnight"
    tables = published / "tables"
    provenance = Provenance({}, {}, 0, ("mmssl.ledger.paths",))
    of_protocol = pd.DataFrame(lines).assign(protocol="logistic regression")
    provenance.save(tables, "", {"linear_evaluation": of_protocol})
    write_manifest(published)
    assert refresh.find_results(tmp_path) == ("overnight", tables)
    assert len(refresh.load_results(tables, is_own=False)) == len(lines)
    (tables / "linear_evaluation.tsv").write_text("model\nRR\n")
    with pytest.raises(ValueError, match="was changed"):
        refresh.find_results(tmp_path)


@pytest.mark.parametrize(
    "left_out", [[], ["02_preprocessing", "08_robustness"]]
)
def test_links_to_a_chapter_left_out_are_no_error(
    left_out, tmp_path, monkeypatch
):
    for name in ("_config.yml", "_toc.yml"):
        (tmp_path / name).write_text((ROOT / "book" / name).read_text())
    monkeypatch.setattr(build, "BOOK", tmp_path)
    notebooks = (ROOT / "notebooks").glob("[0-9]*.ipynb")
    chapters = sorted({page.stem for page in notebooks} - set(left_out))
    config, toc = build._settings(
        {
            "edition": "mine",
            "banner": "x",
            "notebooks": dict.fromkeys(chapters),
        },
        tmp_path / "built",
    )
    settings = yaml.safe_load(config.read_text())["sphinx"]
    assert "book.direct_build" not in settings["extra_extensions"]
    sphinx = settings["config"]
    ignored = ["myst.xref_missing"] if left_out else []
    assert sphinx["suppress_warnings"] == ignored
    files = _chapters(yaml.safe_load(toc.read_text()))
    shown = [name for name in files if "executed" in name]
    assert sorted(shown) == [f"executed/mine/{name}" for name in chapters]
