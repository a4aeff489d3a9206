"""Covariates against the hidden truth, baselines against formulas, predictions
against chance.
"""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from scipy.stats import kstest
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from mmssl import plotting
from mmssl.evaluate import confounds


@pytest.fixture
def people(rng):
    """Give 200 people: z tells age and site, not sex; older ones are ill more
    often.
    """
    n = 200
    age, site = (
        rng.normal(70, 8, n),
        np.array(["A", "B", "C"])[rng.integers(0, 3, n)],
    )
    z = rng.normal(size=(n, 7))
    z[:, 0] += (age - 70) / 8
    z[:, 3] += 2.0 * (site == "B")
    table = pd.DataFrame(
        {"age": age, "sex": rng.choice(["F", "M"], n), "site": site}
    )
    labels = (age + rng.normal(size=n) * 5 > 72).astype(int)
    return z, table, labels, np.arange(120), np.arange(120, n)


def test_covariates_are_public_and_head_size_finds_the_hidden_one(
    tiny_phantom,
):
    table = confounds.covariates(tiny_phantom)
    assert list(table.columns) == ["age", "sex", "site", "head size"]
    truth = pd.read_csv(tiny_phantom.path / "truth" / "factors.tsv", sep="\t")
    hidden = truth.set_index("participant_id").loc[tiny_phantom.subjects]
    assert np.array_equal(table["age"], hidden["age"])
    assert (
        np.corrcoef(np.log(table["head size"]), hidden["head_size"])[0, 1]
        > 0.8
    )
    assert 1.2 < table["head size"].median() < 2.6  # litres


def test_head_size_counts_voxels_in_litres(tiny_phantom, affine):
    images = np.zeros((2, 7, 8, 9), np.float32)
    images[0, 2:5, 1:7, 3:8] = 4.0
    images[1, 2:4, 1:7, 3:8] = 9.0  # a brighter, smaller head
    toy = tiny_phantom.__class__(
        **{
            **tiny_phantom.__dict__,
            "volumes": {"T1": images},
            "mask": images[0] > 0,
            "affine": affine,
            "modalities": ("T1",),
        }
    )
    expected = np.array([3 * 6 * 5, 2 * 6 * 5]) * 2.0 * 2.5 * 3.0 * 1e-6
    assert np.allclose(confounds.head_size(toy), expected)


def test_a_cohort_without_covariates_is_named(tiny_phantom):
    bare = tiny_phantom.__class__(
        **{**tiny_phantom.__dict__, "intensity": "unit"}
    )
    with pytest.raises(ValueError, match="none of weight found"):
        confounds.covariates(bare, ["weight"])


def test_one_number_alone_has_the_auc_of_its_own_order(people):
    _, table, labels, train, test = people
    known = confounds.alone(labels, table, train, test)
    lines = confounds.baselines(labels, known).set_index("covariates")
    assert list(lines.index) == ["age", "sex", "site", "all"]
    expected = roc_auc_score(labels[test], table["age"].to_numpy()[test])
    assert (
        lines.loc["age", "auc"] == pytest.approx(expected) and expected > 0.8
    )
    assert lines.loc["sex", "low"] < 0.5 < lines.loc["sex", "high"]
    assert lines.loc["all", "auc"] > 0.75


def test_a_baseline_learns_from_the_training_rows_alone(people):
    _, table, labels, train, test = people
    before = confounds.baselines(
        labels, confounds.alone(labels, table, train, test)
    )
    swapped = np.where(np.isin(np.arange(200), test), 1 - labels, labels)
    after = confounds.baselines(
        swapped, confounds.alone(swapped, table, train, test)
    )
    assert np.allclose(after["auc"], 1 - before["auc"])
    elsewhere = table.assign(
        site=np.where(np.isin(np.arange(200), test), "D", table["site"])
    )
    known = confounds.alone(labels, elsewhere, train, test)
    assert np.ptp(known["site"]) == 0  # an unknown site says nothing


def test_predicted_equals_the_models_written_out(people):
    z, table, _, train, test = people
    found = confounds.predicted(z, table, train, test, 200).set_index(
        "covariate"
    )
    scaler = StandardScaler().fit(z[train])
    age = table["age"].to_numpy()
    ridge = RidgeCV(np.logspace(-4, 4, 9)).fit(
        scaler.transform(z[train]), age[train]
    )
    guess = ridge.predict(scaler.transform(z[test]))
    ratio = r2_score(age[test], guess)  # against the tested people's own mean
    own, known = (
        ((age[test] - age[rows].mean()) ** 2).sum() for rows in (test, train)
    )
    assert found.loc["age", "value"] == pytest.approx(
        1 - (1 - ratio) * own / known
    )
    weak = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
    weak.fit(scaler.transform(z[train]), table["site"].to_numpy()[train])
    reference = roc_auc_score(
        table["site"].to_numpy()[test],
        weak.predict_proba(scaler.transform(z[test])),
        multi_class="ovr",
    )
    assert found.loc["site", "value"] == pytest.approx(reference, abs=0.05)
    assert (found.loc[["age", "site"], "p"] < 0.01).all() and found.loc[
        "sex", "p"
    ] > 0.01
    assert found.loc["sex", "low"] < 0.5 < found.loc["sex", "high"]
    assert (
        (found["low"] <= found["value"]) & (found["value"] <= found["high"])
    ).all()


def test_the_null_is_centred_and_its_p_uniform():
    p = []
    for world in range(60):
        rng = np.random.default_rng([5, world])
        z, table = (
            rng.normal(size=(60, 4)),
            pd.DataFrame({"age": rng.normal(size=60)}),
        )
        found = confounds.predicted(
            z, table, np.arange(40), np.arange(40, 60), 50, 100, world
        )
        p.append(found["p"].iloc[0])
    assert kstest(p, "uniform").pvalue > 0.01


def test_words_unknown_to_training_are_left_out(people):
    z, table, _, train, test = people
    elsewhere = table.assign(
        site=np.where(np.isin(np.arange(200), test), "D", table["site"])
    )
    found = confounds.predicted(z, elsewhere, train, test, 50, 50)
    assert list(found["covariate"]) == ["age", "sex"]
    lonely = table.copy()
    lonely.loc[[3, 130], "site"] = "E"  # one of them to learn from
    found = confounds.predicted(z, lonely, train, test, 50, 50).set_index(
        "covariate"
    )
    assert (
        found.loc["site", "train"] == 119 and found.loc["site", "test"] == 79
    )


def test_a_head_size_that_was_measured_before_is_taken_and_what_is_missing_is_named(
    tiny_phantom,
):
    people = tiny_phantom.participants.drop(columns="site")
    people = people.assign(head_size=np.arange(len(people)) + 1200.0, sex=None)
    toy = tiny_phantom.__class__(
        **{**tiny_phantom.__dict__, "participants": people}
    )
    table = confounds.covariates(toy)
    assert list(table.columns) == ["age", "head size"]
    volume = people.set_index("participant_id")["head_size"]
    assert np.array_equal(table["head size"], volume.loc[toy.subjects])
    assert table.attrs == {"missing": ["sex", "site"], "measured": []}
    assert confounds.origin(table) == (
        "Columns of participants.tsv: age, head size; measured on "
        "the images: nothing; not found: sex, site."
    )
    assert confounds.covariates(tiny_phantom).attrs == {
        "missing": [],
        "measured": ["head size"],
    }


def test_people_of_unknown_age_or_site_do_not_stop_the_page(people):
    z, table, labels, train, test = people
    holes = table.copy()
    holes.loc[[2, 7, 130], "age"] = np.nan
    holes.loc[[3, 131, 140], "site"] = None
    known = confounds.alone(labels, holes, train, test)
    assert np.isfinite(known.to_numpy()).all()
    median = table.assign(
        age=holes["age"].fillna(np.median(holes["age"][train].dropna()))
    )
    assert np.allclose(
        known["age"], confounds.alone(labels, median, train, test)["age"]
    )
    found = confounds.predicted(z, holes, train, test, 50, 50).set_index(
        "covariate"
    )
    assert found.loc["age", ["train", "test"]].tolist() == [118, 79]
    assert found.loc["site", ["train", "test"]].tolist() == [119, 78]


def test_gains_are_differences_on_the_same_people_and_nothing_gains_over_itself(
    people,
):
    _, table, labels, train, test = people
    known = confounds.alone(labels, table, train, test)
    who = {
        "pair": test,
        "subject": test,
        "label": labels[test],
        "modality": "T1",
    }
    own = table["age"].to_numpy()[test]
    scores = pd.concat(
        [
            pd.DataFrame(who).assign(
                model="copy", score=known["all"].to_numpy()
            ),
            pd.DataFrame(who).assign(model="age", score=own).iloc[::-1],
        ]
    )
    found = confounds.gains(scores, known).set_index("model")
    assert found.loc["copy", ["gain", "gain_low", "gain_high"]].tolist() == [
        0,
        0,
        0,
    ]
    expected = roc_auc_score(labels[test], own) - roc_auc_score(
        labels[test], known["all"]
    )
    assert found.loc["age", "gain"] == pytest.approx(expected)
    assert (
        found.loc["age", "gain_low"] < expected < found.loc["age", "gain_high"]
    )


def test_limits_are_those_of_a_bootstrap_written_as_a_loop(people):
    z, table, _, train, test = people
    found = confounds.predicted(
        z, table[["site"]], train, test, 2000, 10
    ).iloc[0]
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
    scaler = StandardScaler().fit(z[train])
    site = table["site"].to_numpy()
    model.fit(scaler.transform(z[train]), site[train])
    p, rng, draws = (
        model.predict_proba(scaler.transform(z[test])),
        np.random.default_rng(3),
        [],
    )
    for _ in range(400):
        rows = np.concatenate(
            [
                rng.choice(
                    np.flatnonzero(site[test] == c), (site[test] == c).sum()
                )
                for c in model.classes_
            ]
        )
        draws.append(
            roc_auc_score(site[test][rows], p[rows], multi_class="ovr")
        )
    assert found["high"] - found["low"] == pytest.approx(
        np.ptp(np.quantile(draws, [0.025, 0.975])), rel=0.2
    )


def drawn(axis):
    """Give the x of every dot of an axis."""
    return sorted(
        round(float(x), 9)
        for part in axis.collections
        if isinstance(part, PathCollection)
        for x in np.asarray(part.get_offsets())[:, 0]
    )


def test_the_figures_draw_every_number(people):
    z, table, labels, train, test = people
    known = confounds.alone(labels, table, train, test)
    scores = pd.concat(
        [
            pd.DataFrame(
                {
                    "pair": test,
                    "subject": test,
                    "label": labels[test],
                    "model": row,
                    "modality": m,
                    "score": z[test, k],
                }
            )
            for k, (row, m) in enumerate(
                (r, m) for r in ("CR", "RR") for m in ("T1", "fALFF")
            )
        ]
    )
    alone, gained = (
        confounds.baselines(labels, known),
        confounds.gains(scores, known),
    )
    left, right = plotting.covariate_baseline(alone, gained).axes
    assert drawn(left) == sorted(
        np.r_[alone["auc"], gained["auc"]].round(9).tolist()
    )
    assert drawn(right) == sorted(gained["gain"].round(9).tolist())
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names == [
        "all covariates",
        "site alone",
        "sex alone",
        "age alone",
        "RR",
        "CR",
    ]
    inside = pd.concat(
        [
            confounds.predicted(z, table, train, test, 50, 50).assign(
                model=row, modality="T1"
            )
            for row in ("CR", "RR")
        ]
    )
    for axis, (_, lines) in zip(
        plotting.covariates_in_z(inside).axes,
        inside.groupby("covariate", sort=False),
        strict=True,
    ):
        assert drawn(axis) == sorted(lines["value"].round(9).tolist())
        assert axis.get_title(loc="left") == lines["covariate"].iloc[0]
