"""Covariates against the hidden truth, baselines against formulas, decoding
against chance.
"""

from itertools import product

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
    age = rng.normal(70, 8, n)
    site = np.array(["A", "B", "C"])[rng.integers(0, 3, n)]
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


def test_one_capped_age_is_refused_before_it_is_words(tiny_phantom, people):
    ages = tiny_phantom.participants["age"].astype(str)
    ages[3] = "89+"
    codes = ["1", "2", "A"] * (len(ages) // 3)
    table = tiny_phantom.participants.assign(age=ages, site=codes)
    mixed = tiny_phantom.__class__(
        **{**tiny_phantom.__dict__, "participants": table}
    )
    with pytest.raises(
        ValueError, match=r"participants\.tsv: .*'age' holds .*'89\+': 1"
    ):
        confounds.covariates(mixed)
    capped = confounds.covariates(mixed, mixed="cap")
    expected = tiny_phantom.participants["age"].to_numpy(copy=True)
    expected[3] = 89
    of_pair = dict(zip(table["participant_id"], expected, strict=True))
    assert capped["age"].tolist() == [of_pair[s] for s in mixed.subjects]
    assert set(capped["site"]) == {"1", "2", "A"}
    z, simple, labels, train, test = people
    simple["age"] = simple["age"].round(1).astype(str)
    simple.loc[5, "age"] = "89+"
    with pytest.raises(ValueError, match="'age' holds numbers and 1 values"):
        confounds.covariate_scores(labels, simple, train, test)
    with pytest.raises(ValueError, match="'age' holds numbers and 1 values"):
        confounds.decode_covariates(z, simple, train, test)


def test_one_number_alone_has_the_auc_of_its_own_order(people):
    _, table, labels, train, test = people
    alone = confounds.covariate_scores(labels, table, train, test)
    lines = confounds.covariate_aucs(labels, alone).set_index("covariates")
    assert list(lines.index) == ["age", "sex", "site", "all"]
    expected = roc_auc_score(labels[test], table["age"].to_numpy()[test])
    assert (
        lines.loc["age", "auc"] == pytest.approx(expected) and expected > 0.8
    )
    assert lines.loc["sex", "low"] < 0.5 < lines.loc["sex", "high"]
    assert lines.loc["all", "auc"] > 0.75


def test_a_baseline_learns_from_the_training_rows_alone(people):
    _, table, labels, train, test = people
    before = confounds.covariate_aucs(
        labels, confounds.covariate_scores(labels, table, train, test)
    )
    swapped = np.where(np.isin(np.arange(200), test), 1 - labels, labels)
    after = confounds.covariate_aucs(
        swapped, confounds.covariate_scores(swapped, table, train, test)
    )
    assert np.allclose(after["auc"], 1 - before["auc"])
    elsewhere = table.assign(
        site=np.where(np.isin(np.arange(200), test), "D", table["site"])
    )
    alone = confounds.covariate_scores(labels, elsewhere, train, test)
    assert np.ptp(alone["site"]) == 0  # an unknown site says nothing


def test_decoding_equals_the_models_written_out(people):
    z, table, _, train, test = people
    lines = confounds.decode_covariates(z, table, train, test, 200).set_index(
        "covariate"
    )
    scaler = StandardScaler().fit(z[train])
    age = table["age"].to_numpy()
    ridge = RidgeCV(np.logspace(-4, 4, 9)).fit(
        scaler.transform(z[train]), age[train]
    )
    guess = ridge.predict(scaler.transform(z[test]))
    ratio = r2_score(age[test], guess)  # against the tested people's own mean
    to_own_mean = ((age[test] - age[test].mean()) ** 2).sum()
    to_training_mean = ((age[test] - age[train].mean()) ** 2).sum()
    assert lines.loc["age", "value"] == pytest.approx(
        1 - (1 - ratio) * to_own_mean / to_training_mean
    )
    weak = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
    weak.fit(scaler.transform(z[train]), table["site"].to_numpy()[train])
    reference = roc_auc_score(
        table["site"].to_numpy()[test],
        weak.predict_proba(scaler.transform(z[test])),
        multi_class="ovr",
    )
    assert lines.loc["site", "value"] == pytest.approx(reference, abs=0.05)
    assert (lines.loc[["age", "site"], "p"] < 0.01).all() and lines.loc[
        "sex", "p"
    ] > 0.01
    assert lines.loc["sex", "low"] < 0.5 < lines.loc["sex", "high"]
    assert (
        (lines["low"] <= lines["value"]) & (lines["value"] <= lines["high"])
    ).all()


def test_the_null_is_centred_and_its_p_uniform():
    p = []
    for world in range(60):
        rng = np.random.default_rng([5, world])
        z = rng.normal(size=(60, 4))
        table = pd.DataFrame({"age": rng.normal(size=60)})
        lines = confounds.decode_covariates(
            z, table, np.arange(40), np.arange(40, 60), 50, 100, world
        )
        p.append(lines["p"].iloc[0])
    assert kstest(p, "uniform").pvalue > 0.01


def test_words_unknown_to_training_are_left_out(people):
    z, table, _, train, test = people
    elsewhere = table.assign(
        site=np.where(np.isin(np.arange(200), test), "D", table["site"])
    )
    lines = confounds.decode_covariates(z, elsewhere, train, test, 50, 50)
    assert list(lines["covariate"]) == ["age", "sex"]
    lonely = table.copy()
    lonely.loc[[3, 130], "site"] = "E"  # one of them to learn from
    lines = confounds.decode_covariates(
        z, lonely, train, test, 50, 50
    ).set_index("covariate")
    assert (
        lines.loc["site", "train"] == 119 and lines.loc["site", "test"] == 79
    )


def test_a_word_that_nobody_tested_has_is_no_part_of_the_mean(people):
    z, table, _, train, test = people
    site = table["site"].to_numpy()
    tested = test[site[test] != "C"]
    line = confounds.decode_covariates(
        z, table[["site"]], train, tested, 50, 20
    ).iloc[0]
    scaler = StandardScaler().fit(z[train])
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit(scaler.transform(z[train]), site[train])
    p = model.predict_proba(scaler.transform(z[tested]))
    aucs = [
        roc_auc_score(site[tested] == w, p[:, "ABC".index(w)]) for w in "AB"
    ]
    assert line["value"] == pytest.approx(np.mean(aucs), abs=0.05)
    assert line["low"] < line["value"] < line["high"]


def test_a_recorded_head_size_is_taken_and_missing_columns_are_named(
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
    assert confounds.covariate_sources(table) == (
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
    alone = confounds.covariate_scores(labels, holes, train, test)
    assert np.isfinite(alone.to_numpy()).all()
    median = table.assign(
        age=holes["age"].fillna(np.median(holes["age"][train].dropna()))
    )
    assert np.allclose(
        alone["age"],
        confounds.covariate_scores(labels, median, train, test)["age"],
    )
    lines = confounds.decode_covariates(
        z, holes, train, test, 50, 50
    ).set_index("covariate")
    assert lines.loc["age", ["train", "test"]].tolist() == [118, 79]
    assert lines.loc["site", ["train", "test"]].tolist() == [119, 78]


def test_gains_are_differences_on_the_same_people_and_0_to_itself(people):
    _, table, labels, train, test = people
    alone = confounds.covariate_scores(labels, table, train, test)
    who = {
        "pair": test,
        "subject": test,
        "label": labels[test],
        "modality": "T1",
    }
    age = table["age"].to_numpy()[test]
    scores = pd.concat(
        [
            pd.DataFrame(who).assign(
                model="copy", score=alone["all"].to_numpy()
            ),
            pd.DataFrame(who).assign(model="age", score=age).iloc[::-1],
        ]
    )
    lines = confounds.gain_over_covariates(scores, alone).set_index("model")
    assert lines.loc["copy", ["gain", "gain_low", "gain_high"]].tolist() == [
        0,
        0,
        0,
    ]
    expected = roc_auc_score(labels[test], age) - roc_auc_score(
        labels[test], alone["all"]
    )
    assert lines.loc["age", "gain"] == pytest.approx(expected)
    assert (
        lines.loc["age", "gain_low"] < expected < lines.loc["age", "gain_high"]
    )


def test_limits_are_those_of_a_bootstrap_written_as_a_loop(people):
    z, table, _, train, test = people
    lines = confounds.decode_covariates(
        z, table[["site"]], train, test, 2000, 10
    ).iloc[0]
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
    scaler = StandardScaler().fit(z[train])
    site = table["site"].to_numpy()
    model.fit(scaler.transform(z[train]), site[train])
    p = model.predict_proba(scaler.transform(z[test]))
    rng = np.random.default_rng(3)
    draws = []
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
    assert lines["high"] - lines["low"] == pytest.approx(
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
    alone = confounds.covariate_scores(labels, table, train, test)
    scores = pd.concat(
        [
            pd.DataFrame(
                {
                    "pair": test,
                    "subject": test,
                    "label": labels[test],
                    "model": model,
                    "modality": modality,
                    "score": z[test, k],
                }
            )
            for k, (model, modality) in enumerate(
                product(("CR", "RR"), ("T1", "fALFF"))
            )
        ]
    )
    aucs = confounds.covariate_aucs(labels, alone)
    gains = confounds.gain_over_covariates(scores, alone)
    left, right = plotting.covariate_baseline(aucs, gains).axes
    assert drawn(left) == sorted(
        np.r_[aucs["auc"], gains["auc"]].round(9).tolist()
    )
    assert drawn(right) == sorted(gains["gain"].round(9).tolist())
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names == [
        "all covariates",
        "site alone",
        "sex alone",
        "age alone",
        "RR",
        "CR",
    ]
    lines = confounds.decode_covariates(z, table, train, test, 50, 50)
    decoded = pd.concat(
        [lines.assign(model=model, modality="T1") for model in ("CR", "RR")]
    )
    for axis, (_, lines) in zip(
        plotting.covariates_in_z(decoded).axes,
        decoded.groupby("covariate", sort=False),
        strict=True,
    ):
        assert drawn(axis) == sorted(lines["value"].round(9).tolist())
        assert axis.get_title(loc="left") == lines["covariate"].iloc[0]


def test_a_small_effect_can_be_told_from_chance_in_the_figure():
    decoded = pd.DataFrame(
        {
            "covariate": ["age", "age", "head size", "head size"],
            "measure": "R2",
            "value": [0.03, 0.002, 0.85, 0.2],
            "low": [0.01, -0.005, 0.8, 0.02],
            "high": [0.05, 0.008, 0.88, 0.35],
            "by_chance_95": [0.018, 0.005, -0.51, -30.0],
            "model": ["A", "B"] * 2,
            "modality": "T1",
        }
    )
    age, size = plotting.covariates_in_z(decoded).axes
    low, high = age.get_xlim()
    assert low < -0.005
    assert high > 0.05
    assert high - low < 0.08
    assert size.get_xlim()[0] == -1.0


def test_words_that_look_like_numbers_are_decoded_as_words(people):
    z, table, _, train, test = people
    names = {"A": "1", "B": "2", "C": "10"}
    options = (train, test, 50, 20)
    letters = confounds.decode_covariates(z, table[["site"]], *options)
    digits = table[["site"]].replace(names)
    digits = confounds.decode_covariates(z, digits, *options)
    assert digits["measure"].tolist() == ["AUC"]
    for column in ("value", "by_chance"):
        expected = pytest.approx(letters[column][0], abs=0.005)
        assert digits[column][0] == expected
