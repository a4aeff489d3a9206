"""What is published of a finished edition: all of it or nothing, small, of
nobody, and checked to the byte.
"""

import os
import shutil
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_cohort import SMALL_RUN, write_small_cohort

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "book"), str(ROOT / "notebooks")]

import jobs  # noqa: E402
import publish  # noqa: E402

from mmssl import ledger, plotting, pretrain  # noqa: E402
from mmssl.ledger import sidecars  # noqa: E402
from mmssl.ledger.__main__ import main as verify_folders  # noqa: E402

EDITION = {"edition": "tiny", "banner": "Tiny edition."}
COHORT = "data/derived/tiny"
RUN = "data/runs/tiny/RR-AE-fold0-seed0"
OTHER_FOLD = "data/runs/tiny/RR-AE-fold1-seed0"
NOT_IN_README = "data/runs/tiny/CR-RR-fold0-seed0"
RESULTS = "data/results/tiny"
MAKERS = ("mmssl.ledger.atomic",)

TABLE = f"{RESULTS}/linear_evaluation.tsv"
PAGE = "book/executed/tiny/04_linear_evaluation.ipynb"


def _job(notebook, run_dir=None, fold=0):
    executed = f"book/executed/tiny/{notebook}.ipynb"
    resolved = {"edition": "tiny", "cohort": COHORT, "output": RESULTS}
    if run_dir:
        executed = f"data/executed/tiny/{Path(run_dir).name}.ipynb"
        resolved |= {"run_dir": run_dir, "fold": fold}
    folders = [run_dir] if run_dir else []
    return jobs.Job(notebook, executed, {}, resolved, folders, [], 1, 0)


JOBS = [
    _job("03_pretraining", RUN),
    _job("03_pretraining", OTHER_FOLD, 1),
    _job("03_pretraining", NOT_IN_README),
    _job("04_linear_evaluation"),
]


def _save_results(root, **more):
    """Save a table and a figure as pages do."""
    lines = []
    for modality in ("T1", "fALFF"):
        for model, baseline in (("PCA-64", True), ("RR-AE", False)):
            lines.append(
                {
                    "protocol": "logistic regression",
                    "model": model,
                    "modality": modality,
                    "baseline": baseline,
                    "auc": 0.75,
                    "low": 0.5,
                    "high": 0.875,
                    **more,
                }
            )
    inputs = {"RR-AE, fold 0": root / RUN / "embeddings.npz"}
    made = ledger.Provenance(inputs, {}, 0, MAKERS)
    tables = {"linear_evaluation": pd.DataFrame(lines)}
    tables["people"] = pd.DataFrame({"person": [0, 1], "score": [0.5, 0.25]})
    tables["images"] = pd.DataFrame({"pair": [0, 1], "score": [0.5, 0.25]})
    tables["draws"] = pd.DataFrame({"draw": [0, 1], "score": [0.5, 0.25]})
    tables["kinds"] = pd.DataFrame({"pair": ["T1–fALFF"], "score": [0.5]})
    made.save(root / RESULTS, "", tables)
    drawn, _ = plotting.look.canvas()
    figures = {"04_auc": drawn, "15_overlays_T1": drawn}
    for run in (RUN, OTHER_FOLD):
        figures[f"03_history_{Path(run).name}"] = drawn
    made.save(root / "figures" / "tiny", "", figures)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Give a checkout whose edition is finished."""
    root = tmp_path_factory.mktemp("finished")
    (root / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    cohort = write_small_cohort(root / COHORT, intensity="brain")
    pretrain.fit(cohort, "RR-AE", root / RUN, **SMALL_RUN)
    for run in (OTHER_FOLD, NOT_IN_README):
        shutil.copytree(root / RUN, root / run)
    _save_results(root)
    for job in JOBS:
        page = root / job.executed
        page.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(), page)
        inputs = {"cohort": root / COHORT}
        ledger.write_sidecar(page, inputs, job.resolved, None, MAKERS)
    return root


@pytest.fixture
def root(finished, tmp_path, monkeypatch):
    """Give a copy of it to publish from."""
    monkeypatch.setattr(publish.jobs, "jobs_of", lambda _: JOBS)
    sidecars._hash_once.cache_clear()
    return shutil.copytree(finished, tmp_path / "copy")


def _files(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_tables_figures_and_encoders_are_published_as_they_were(root):
    folder = publish.publish(EDITION, root)
    assert folder == root / "book" / "published" / "tiny"
    files = _files(folder)
    table = "linear_evaluation.tsv"
    for name in (table, f"{table}.json"):
        assert files[f"tables/{name}"] == (root / RESULTS / name).read_bytes()
    tables = {path.stem for path in folder.glob("tables/*.tsv")}
    assert tables == {"linear_evaluation", "kinds"}
    figures = {path.stem for path in folder.glob("figures/*.webp")}
    assert figures == {"04_auc", "03_history_RR-AE-fold0-seed0"}
    assert "figures/04_auc.webp.json" in files
    # those of the fold, and of the README's rows
    assert {p.name for p in (folder / "encoders").iterdir()} == {"RR-AE"}
    assert "encoders/RR-AE/README.md" in files
    record = publish.published_editions.read(folder.parent)[0].record
    assert record["edition"] == "tiny"
    assert record["version"] == ledger.versions()["mmssl"]
    assert record["code"] == ledger.fingerprint(*MAKERS)
    assert record["pages"][PAGE] == ledger.hash_file(root / PAGE)
    assert record["config"] == ledger.hash_json(EDITION)
    assert not record["simulated"]


def test_shades_of_a_map_are_published_as_they_were(tmp_path):
    figure = tmp_path / "07_map.png"
    reds, greens = np.meshgrid(np.arange(128), np.arange(128))
    shades = np.stack([reds, greens, np.full_like(reds, 90)], 2)
    Image.fromarray(shades.astype(np.uint8)).save(figure)
    ledger.write_sidecar(figure, {}, {}, None, MAKERS)
    (tmp_path / "out").mkdir()
    publish._lighten(figure, tmp_path / "out")
    with Image.open(tmp_path / "out" / "07_map.webp") as file:
        found = np.asarray(file.convert("RGB")).astype(int)
    assert np.abs(found - shades).mean() < 3
    assert len(np.unique(found.reshape(-1, 3), axis=0)) > publish.COLOURS


def test_a_published_figure_is_that_which_was_drawn_in_few_colours(root):
    file = publish.publish(EDITION, root) / "figures" / "04_auc.webp"
    drawn = root / "figures" / "tiny" / "04_auc.png"
    with Image.open(file) as few, Image.open(drawn) as all_of_them:
        assert few.size == all_of_them.size
        assert len(few.convert("RGB").getcolors()) <= publish.COLOURS
        found = np.asarray(few.convert("RGB")).astype(int)
        expected = np.asarray(all_of_them.convert("RGB")).astype(int)
    assert np.abs(found - expected).mean() < 1
    assert file.stat().st_size < drawn.stat().st_size
    record = ledger.read_sidecar(file)
    assert ledger.changed(file) == []
    assert record["artefact"] == file.name
    assert record["facts"]["drawn"] == ledger.hash_file(drawn)


def test_a_published_encoder_is_the_one_that_was_trained(root):
    publish.publish(EDITION, root)
    cohort = publish.cohorts.load(root / COHORT)
    loaded = pretrain.load_published("RR-AE", root / "book" / "published")
    whole = pretrain.embed(root / RUN, cohort)
    for m, expected in whole.items():
        z = loaded[m].embed(cohort.volumes[m])
        np.testing.assert_allclose(z, expected, atol=0.01)
    weights = root / "book/published/tiny/encoders/RR-AE/T1.safetensors"
    assert b'"dtype":"F16"' in weights.read_bytes()[:2000]


@pytest.mark.parametrize(
    "name",
    [
        "tables/linear_evaluation.tsv",
        "tables/linear_evaluation.tsv.json",
        "figures/04_auc.webp",
        "encoders/RR-AE/T1.safetensors",
        "encoders/RR-AE/README.md",
        "published.json",
    ],
)
def test_one_altered_byte_is_named(name, root, capsys):
    file = publish.publish(EDITION, root) / name
    assert verify_folders([str(root / "book")]) == 0
    # it was made elsewhere, where its inputs are
    assert "published" not in capsys.readouterr().err
    shutil.rmtree(root / "data")
    assert verify_folders([str(root / "book")]) == 0
    assert "published" not in capsys.readouterr().err
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert verify_folders([str(root / "book")]) == 1
    told = capsys.readouterr().err
    assert f"{file.parent}: {name} was changed after it was made" in told


def _lose_page(root):
    (root / PAGE).unlink()


def _lose_run(root):
    (root / RUN / "manifest.json").write_text("{}")
    shutil.rmtree(root / RUN)


def _fail(root):
    page = (root / PAGE).with_suffix(".failed.ipynb")
    nbformat.write(nbformat.v4.new_notebook(), page)


def _change_table(root):
    file = root / TABLE
    file.write_text(file.read_text().replace("0.75", "0.95"))


def _change_cohort(root):
    with (root / COHORT / "participants.tsv").open("a") as file:
        file.write("\n")


def _lose_figures(root):
    shutil.rmtree(root / "figures")


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (_lose_page, "04_linear_evaluation is missing"),
        (_lose_run, "RR_AE_fold0_seed0 is stale: data/runs/tiny/.* is gone"),
        (_fail, "04_linear_evaluation is failed"),
        (_change_table, "linear_evaluation.tsv was changed"),
        (_change_cohort, r"is stale: its input cohort .* has changed"),
        (_lose_figures, "figures/tiny: no .*png"),
    ],
)
def test_an_unfinished_edition_is_refused(break_it, reason, root):
    before = _files(publish.publish(EDITION, root))
    sidecars._hash_once.cache_clear()
    break_it(root)
    with pytest.raises(publish.RefusedError, match=reason):
        publish.publish(EDITION, root)
    assert _files(root / "book" / "published" / "tiny") == before


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ({"who": "person-03"}, "the id of a participant: person-03"),
        ({"note": "OAS30417"}, "an identifier of OASIS"),
        ({"file": "/ho" + "me/someone/x.nii"}, "a path of this machine"),
    ],
)
def test_whoever_is_named_is_not_published(column, reason, root):
    _save_results(root, **column)
    with pytest.raises(
        publish.RefusedError, match=f"tables/linear_evaluation.tsv: .*{reason}"
    ):
        publish.publish(EDITION, root)
    assert not list((root / "book" / "published").glob("*"))


def test_too_many_bytes_are_refused_by_the_largest_files(root, monkeypatch):
    files = _files(publish.publish(EDITION, root))
    total = sum(map(len, files.values()))
    monkeypatch.setattr(publish, "LIMIT", total)
    publish.publish(EDITION, root)
    monkeypatch.setattr(publish, "LIMIT", total - 1)
    with pytest.raises(publish.RefusedError, match="MB, expected at") as told:
        publish.publish(EDITION, root)
    largest = max(files, key=lambda name: len(files[name]))
    assert f"; the largest: {largest} (" in str(told.value)


def test_versions_do_not_mix(root):
    record = ledger.sidecar_of(root / PAGE)
    version = ledger.versions()["mmssl"]
    text = record.read_text().replace(f'"mmssl": "{version}"', '"mmssl": "9"')
    record.write_text(text)
    with pytest.raises(publish.RefusedError, match=f"mmssl {version}, 9"):
        publish.publish(EDITION, root)


def test_it_is_replaced_as_a_whole(root):
    folder = publish.publish(EDITION, root)
    before = _files(folder)
    (folder / "tables" / "old.tsv").write_text("old")
    assert _files(publish.publish(EDITION, root)) == before
    left = [path.name for path in folder.parent.iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == ["tiny"]


def test_what_was_there_comes_back_when_it_cannot_be_replaced(
    root, monkeypatch
):
    folder = publish.publish(EDITION, root)
    before = _files(folder)
    tried = []

    def rename(source, target):
        if target == folder and source.name == folder.name:
            tried.append(source)
            raise OSError("no space")
        real(source, target)

    real = os.rename
    monkeypatch.setattr(publish.os, "rename", rename)
    with pytest.raises(OSError, match="no space"):
        publish.publish(EDITION, root)
    assert len(tried) == 1 and _files(folder) == before


def test_the_command_says_why_it_refuses(root, tmp_path, capsys):
    file = tmp_path / "tiny.yaml"
    file.write_text("edition: tiny\nbanner: Tiny.\n")
    assert publish.main([str(file)]) == 1
    told = capsys.readouterr().err
    assert "publish refused: 04_linear_evaluation is missing" in told
    assert publish.main([str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in capsys.readouterr().err
