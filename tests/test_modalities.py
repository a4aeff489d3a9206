"""The pages on a tiny cohort of one, two and three modalities, with ids that
must be on none of them.
"""

import html
import shutil

import numpy as np
import pandas as pd
import pytest
from page_in_process import LEAST, empty_project, run_page, text_of
from small_cohort import lack

from mmssl.cohorts import cohort, splits

MODALITIES = ("T1", "fALFF", "dMRI")
OBJECTIVES = {1: "CR-AE", 2: "CR-XX-CC", 3: "CR-XX-CC"}
PLANTED = "QXV7"
"""In the id of every person."""

SIDE = 16


def write_cohort(folder, number, classes=("AD", "HC")):
    """Sixty people, twelve of them of another population, one pair each; a
    ball is dimmer in patients.
    """
    rng = np.random.default_rng(number)
    ids = [f"{PLANTED}-{k:02d}" for k in range(60)]
    group = np.array(classes)[np.arange(60) % len(classes)]
    sick = group == "AD"
    people = pd.DataFrame(
        {
            "participant_id": ids,
            "group": group,
            "age": rng.normal(70, 8, 60).round(1),
            "sex": rng.choice(["F", "M"], 60),
            "site": rng.choice(["1", "2"], 60),
            "population": ["main"] * 48 + ["shift"] * 12,
        }
    )
    pairs = pd.DataFrame(
        {
            "pair": range(60),
            "participant_id": ids,
            "session": 1,
            "day": 0,
            "downstream": 1,
        }
    )
    places = np.indices((SIDE,) * 3) - (SIDE - 1) / 2
    brain = (places**2).sum(0) < 7**2
    ball = ((places - 2) ** 2).sum(0) < 3**2
    volumes = {}
    for m in MODALITIES[:number]:
        x = 1 + 0.2 * rng.random((60, *brain.shape)) + 0.02 * places[1]
        x[np.ix_(sick)] *= 1 - 0.2 * ball
        volumes[m] = (x * brain).astype(np.float32)
    return cohort.write(
        folder,
        name="tiny",
        kind="test",
        volumes=volumes,
        participants=people,
        pairs=pairs,
        splits=splits.make(people, folds=2, holdout=0.4),
        affine=np.diag([12.0, 12.0, 12.0, 1.0]),
        mask=brain,
        tasks={
            "diagnosis": {"column": "group", "classes": sorted(classes)[::-1]}
        },
    )


def parameters_of(name, number):
    """Return the values a page is run with."""
    objective = OBJECTIVES[number]
    values = {"runs": "runs", "output": "results", **LEAST[name]}
    if name != "14_sanity_checks":
        values["cohort"] = "cohort"
    if name == "03_pretraining":
        values["run_dir"] = f"runs/{objective}-fold0-seed0"
    if name in ("03_pretraining", "06_saliency"):
        values["objective"] = objective
    if name == "05_similarity":
        values["auc"] = "results/linear_evaluation.tsv"
    if name == "07_group_differences":
        values["objectives"] = objective
    if name == "14_sanity_checks":
        values["reports"] = "results/group_reports.tsv"
    if name in ("03_pretraining", "14_sanity_checks"):
        values.pop("runs"), values.pop("output")
    return values


def leave_unreadable(run):
    """Leave a run beside a finished one whose checkpoint is cut short."""
    broken = shutil.copytree(run, run.with_name("AE-fold0-seed0"))
    content = (broken / "checkpoint.ckpt").read_bytes()
    (broken / "checkpoint.ckpt").write_bytes(content[:1000])


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """Give the list of what pages display, in an empty project."""
    return empty_project(tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.filterwarnings("ignore")
def test_pages_take_any_number_of_modalities_and_name_nobody(
    number, tmp_path, shown, capsys
):
    write_cohort(tmp_path / "cohort", number)
    for name in LEAST:
        values = parameters_of(name, number)
        if name == "05_similarity" and number == 1:
            with pytest.raises(ValueError, match="holds T1 alone, expected"):
                run_page(name, values, shown)
            continue
        run_page(name, values, shown)
        if name == "03_pretraining":
            leave_unreadable(tmp_path / values["run_dir"])

    texts = [text_of(thing) for thing in shown]
    assert len(texts) > 40
    texts += capsys.readouterr()
    for folder in ("results", "figures"):
        for file in sorted((tmp_path / folder).rglob("*")):
            assert PLANTED not in file.name
            if file.is_file():
                texts.append(file.read_bytes().decode("latin-1"))
    assert not [text for text in texts if PLANTED in text]
    assert [t for t in texts if "left out: AE-fold0-seed0." in t]
    for table in (tmp_path / "results").glob("*.tsv"):
        assert "AE-fold0-seed0" not in table.read_text()
    if number == 3:
        pairs = pd.read_csv(tmp_path / "results/similarity.tsv", sep="\t")
        assert pairs["pair"].nunique() == 3
        groups = pd.read_csv(tmp_path / "results/group_peaks.tsv", sep="\t")
        assert set(groups["modality"]) == set(MODALITIES)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pages_take_three_classes_two_of_them_and_a_number(tmp_path, shown):
    """Probes and curves of all classes; similarity and maps of two; what a
    page of another choice of classes says.
    """
    write_cohort(tmp_path / "cohort", 2, ("AD", "HC", "MCI"))
    named = parameters_of("13_calibration_and_confounds", 2)
    for name in (
        "03_pretraining",
        "04_linear_evaluation",
        "05_similarity",
        "07_group_differences",
        "08_robustness",
    ):
        run_page(name, parameters_of(name, 2), shown)
    table = pd.read_csv(tmp_path / "results/linear_evaluation.tsv", sep="\t")
    assert (table["classes"] == 3).all()
    age = tmp_path / "results/linear_evaluation_regression.tsv"
    assert pd.read_csv(age, sep="\t")["r2"].notna().all()
    along = pd.read_csv(tmp_path / "results/group_regression.tsv", sep="\t")
    assert set(along["modality"]) == {"T1", "fALFF"}
    maps = [file.name for file in (tmp_path / "results/maps").iterdir()]
    assert "group_voxels_T1_number_rho.nii.gz" in maps
    with pytest.raises(ValueError, match="must be those of the page that"):
        run_page("13_calibration_and_confounds", named, shown)

    two = {"classes": "HC,AD"}
    for name in ("04_linear_evaluation", "13_calibration_and_confounds"):
        run_page(name, {**parameters_of(name, 2), **two}, shown)
    table = pd.read_csv(tmp_path / "results/linear_evaluation.tsv", sep="\t")
    assert "positives" in table
    values = {**parameters_of("08_robustness", 2), "target": "age"}
    run_page("08_robustness", values, shown)
    curves = tmp_path / "results/robustness_curves.tsv"
    assert pd.read_csv(curves, sep="\t")["r2"].max() <= 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pages_take_people_who_lack_a_modality(tmp_path, shown):
    """Every page, and what it says of them; where two modalities are asked
    about, who has both.
    """
    made = write_cohort(tmp_path / "cohort", 2)
    people = lack(made.path, "fALFF", range(3, 60, 5))
    for name in LEAST:
        run_page(name, parameters_of(name, 2), shown)
    texts = [html.unescape(text_of(thing)) for thing in shown]
    assert any("(12 without fALFF)" in text for text in texts)
    left_out = people.lacking(
        people.downstream(people.rows("holdout"), modalities=())
    )
    said = [text for text in texts if f"Left out: {left_out}." in text]
    assert len(said) == 3
    table = pd.read_csv(tmp_path / "results/linear_evaluation.tsv", sep="\t")
    sizes = table.groupby("modality")[["positives", "negatives"]].first()
    lost = int(left_out.split()[0])
    assert sizes.sum(1).diff().dropna().abs().tolist() == [lost]
    similar = pd.read_csv(tmp_path / "results/similarity.tsv", sep="\t")
    of_all = similar.query("group == 'all' and role == 'holdout'")["n"]
    assert set(of_all) == {int(sizes.loc["fALFF"].sum())}
    assert of_all.notna().all()
    for file in (tmp_path / "results").glob("*.tsv"):
        assert "inf" not in file.read_text(encoding="utf-8").split("\t")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pages_take_an_objective_with_an_encoder_of_its_own(tmp_path, shown):
    """PCRL, whose encoder is a U-Net, on every page that reads a run."""
    write_cohort(tmp_path / "cohort", 2)
    own = {
        "03_pretraining": {
            "objective": "PCRL",
            "run_dir": "runs/PCRL-fold0-seed0",
        },
        "06_saliency": {"objective": "PCRL"},
        "07_group_differences": {"objectives": "PCRL"},
    }
    for name in LEAST:
        run_page(name, parameters_of(name, 2) | own.get(name, {}), shown)
    results = tmp_path / "results"
    table = pd.read_csv(results / "linear_evaluation.tsv", sep="\t")
    assert table.query("model == 'PCRL'")["auc"].notna().all()
    maps = [file.name for file in (results / "maps").glob("*PCRL*")]
    assert maps
