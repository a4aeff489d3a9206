"""Probabilities of probes: Bayes by hand, a recalibration by scikit-learn,
leaks refused.
"""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmssl import plotting
from mmssl.evaluate import linear_evaluation, probabilities
from mmssl.ledger import leakage
from mmssl.stats.calibration import calibration


class Study:
    """What `probe_probabilities` reads of a cohort: 300 people, 1 in 4 of them
    ill.
    """

    name = "toy"
    modalities = ("T1",)

    def __init__(self, valid=slice(150, 220), ill=0.25):
        self.parts = {
            "train": slice(0, 150),
            "valid": valid,
            "holdout": slice(220, 300),
        }
        self.there = np.ones(300, bool)
        self.subjects = np.array([f"sub-{i}" for i in range(300)])
        self.participants = pd.DataFrame({"participant_id": self.subjects})
        rng = np.random.default_rng(8)
        self.y = (rng.random(300) < ill).astype(int)
        self.z = (rng.normal(size=(300, 5)) + 0.8 * self.y[:, None]).astype(
            np.float32
        )

    def labels(self, task=None):
        return self.y

    def rows(self, role, fold=0):
        return np.arange(300)[self.parts[role]]

    def downstream(self, rows, task=None, modalities=None):
        return rows

    def present(self, modality):
        return self.there

    def image_hashes(self, rows):
        return {f"T1[{row}]": f"{row:x}".ljust(64, "-") for row in rows}


def probe(study, c=1.0):
    """Score the hold-out as `evaluate.probe` does, with the penalty given
    instead of searched.
    """
    line = {
        "fold": 0,
        "protocol": linear_evaluation.LOGISTIC,
        "model": "CR",
        "modality": "T1",
        "draw": 0,
        "C": c,
        "penalty": "l2",
        "l1_ratio": 0.0,
    }
    train, test = study.rows("train"), study.rows("holdout")
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=c, class_weight="balanced")
    )
    score = model.fit(study.z[train], study.y[train]).decision_function(
        study.z[test]
    )
    scores = pd.DataFrame(
        {
            **line,
            "pair": test,
            "subject": study.subjects[test],
            "label": study.y[test],
            "score": score,
        }
    )
    exposures = [
        leakage.exposure("probes, fold 0", "train", study, train),
        leakage.exposure("hold-out", "test", study, test),
    ]
    return model, linear_evaluation.ProbeResults(
        scores, pd.DataFrame([line]), exposures
    )


def test_the_three_conversions_of_a_score_are_those_written_out():
    study = Study()
    model, probed = probe(study)
    converted = probabilities.probe_probabilities(
        study, {"CR": {"T1": study.z}}, probed, ["CR"]
    )
    by_conversion = {
        conversion: people["probability"].to_numpy()
        for conversion, people in converted.groupby("conversion")
    }
    s = probed.scores["score"].to_numpy()
    train = study.rows("train")
    valid = study.rows("valid")
    assert np.allclose(by_conversion[probabilities.AS_FITTED], expit(s))
    odds = study.y[train].sum() / (150 - study.y[train].sum())
    assert np.allclose(
        by_conversion[probabilities.TRAINING_SHARE],
        expit(s)
        * odds
        /
        # Bayes with the prior put back
        (expit(s) * odds + 1 - expit(s)),
    )
    line = LogisticRegression(C=1e9, tol=1e-10)
    line.fit(model.decision_function(study.z[valid])[:, None], study.y[valid])
    assert np.allclose(
        by_conversion[probabilities.RECALIBRATED],
        line.predict_proba(s[:, None])[:, 1],
        # the probe's solver stops earlier than this one
        atol=0.01,
    )
    assert "recalibration, fold 0 (train)" in converted.attrs["proof"]["fits"]


def test_the_hold_out_has_no_say_in_its_probabilities():
    study = Study()
    _, probed = probe(study)
    before = probabilities.probe_probabilities(
        study, {"CR": {"T1": study.z}}, probed, ["CR"]
    )
    study.y = np.where(np.arange(300) >= 220, 1 - study.y, study.y)
    after = probabilities.probe_probabilities(
        study, {"CR": {"T1": study.z}}, probed, ["CR"]
    )
    assert np.array_equal(before["probability"], after["probability"])


def test_who_lacks_an_image_has_no_say_in_its_probabilities():
    """As if they were neither training nor validation people."""
    lacking = [3, 40, 77, 151, 160, 199]
    incomplete, smaller = Study(), Study()
    incomplete.there[lacking] = False
    for role in ("train", "valid"):
        rows = np.arange(300)[smaller.parts[role]]
        smaller.parts[role] = np.setdiff1d(rows, lacking)
    _, probed = probe(smaller)
    expected = probabilities.probe_probabilities(
        smaller, {"CR": {"T1": smaller.z}}, probed, ["CR"]
    )
    z = incomplete.z.copy()
    z[lacking] = np.nan
    found = probabilities.probe_probabilities(
        incomplete, {"CR": {"T1": z}}, probed, ["CR"]
    )
    assert np.array_equal(found["probability"], expected["probability"])


def test_another_embedding_and_a_recalibration_on_the_hold_out_are_refused():
    study = Study()
    _, probed = probe(study)
    with pytest.raises(
        ValueError, match="CR, T1: the scores of this embedding are not those"
    ):
        probabilities.probe_probabilities(
            study, {"CR": {"T1": study.z[::-1]}}, probed, ["CR"]
        )
    with pytest.raises(
        leakage.LeakError, match="'recalibration, fold 0.*hold-out"
    ):
        probabilities.probe_probabilities(
            Study(slice(150, 230)), {"CR": {"T1": study.z}}, probed, ["CR"]
        )


def test_the_table_has_every_conversion_but_those_without_a_line():
    study = Study()
    _, probed = probe(study)
    converted = probabilities.probe_probabilities(
        study, {"CR": {"T1": study.z}}, probed, ["CR"]
    )
    separated = converted.assign(
        probability=converted["probability"].where(
            converted["conversion"] != probabilities.RECALIBRATED
        )
    )
    for given, number in ((converted, 3), (separated, 2)):
        lines = probabilities.calibration_table(given, resamples=200)
        lines = lines.set_index("conversion")
        assert lines["brier"].notna().sum() == number
        diagrams = probabilities.reliability_table(given)
        assert diagrams["conversion"].nunique() == number
    alone = calibration(
        study.y[220:], converted["probability"][:80], resamples=200
    )
    assert lines.loc[probabilities.AS_FITTED, "slope_low"] == alone.slope.low
    assert (
        lines.loc[probabilities.AS_FITTED, "ece_by_chance"]
        == alone.ece_by_chance
    )
    slopes = lines["slope"]  # a shift of all scores tilts no line
    assert slopes[probabilities.AS_FITTED] == pytest.approx(
        slopes[probabilities.TRAINING_SHARE]
    )


def test_the_figure_draws_every_estimate_and_points_at_what_lies_outside():
    study = Study()
    _, probed = probe(study)
    converted = probabilities.probe_probabilities(
        study, {"CR": {"T1": study.z}}, probed, ["CR"]
    )
    lines = probabilities.calibration_table(converted, resamples=100)
    figure = plotting.calibration_of_probes(
        lines.assign(slope=[1.0, 9.0, -7.0]),
        probabilities.reliability_table(converted),
        "CR",
    )
    _, slope, error = figure.axes
    dots = [
        p.get_offsets()
        for p in slope.collections
        if isinstance(p, PathCollection)
    ]
    drawn = sorted(x for part in dots for x in np.asarray(part)[:, 0])
    assert drawn == [-1.0, 1.0, 4.0]  # the edges stand for what is beyond
    dots = [
        p.get_offsets()
        for p in error.collections
        if isinstance(p, PathCollection)
    ]
    assert {*lines["ece"]} <= {
        x for part in dots for x in np.asarray(part)[:, 0]
    }


def test_the_page_shows_the_tables_numbers():
    study = Study()
    _, probed = probe(study)
    converted = probabilities.probe_probabilities(
        study, {"CR": {"T1": study.z}}, probed, ["CR"]
    )
    lines = probabilities.calibration_table(converted, resamples=200)
    shown = probabilities.formatted_calibration(lines).iloc[0]
    expected = lines.set_index("conversion")
    for conversion, after in (
        (probabilities.AS_FITTED, ""),
        (probabilities.RECALIBRATED, " after"),
    ):
        assert shown[f"slope{after} [95 %]"].startswith(
            f"{expected.loc[conversion, 'slope']:.2f} ["
        )
        assert (
            shown[f"skill{after}"]
            == f"{expected.loc[conversion, 'skill']:+.2f}"
        )
        assert shown[f"ECE{after} [95 %]"].endswith(
            f", {expected.loc[conversion, 'ece_high']:.2f}]"
        )
    empty = probabilities.formatted_calibration(
        lines.assign(slope=np.nan, skill=-np.nan)
    ).iloc[0]
    assert empty["slope after [95 %]"] == empty["skill"] == "–"
    steep = probabilities.formatted_calibration(
        lines.assign(slope=[47.0, 0.0, -80.0])
    ).iloc[0]
    assert steep["slope [95 %]"] == "above 10"
    assert steep["slope after [95 %]"] == "below −10"
