"""Numbers that are predicted from z: ridge regression on the training people,
scored once on the hold-out, beside the same baselines.
"""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from mmssl import evaluate, plotting
from mmssl.evaluate.regression import PENALTIES, RIDGE
from mmssl.evaluate.simple_features import COVARIATES
from mmssl.ledger import leakage
from mmssl.pretrain.baselines import RANDOM


@pytest.fixture(scope="module")
def embeddings(three_classes):
    """Give z that holds the age in one modality and nothing in the other."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, len(three_classes), 8))
    age = evaluate.target_values(three_classes, "age")
    informed = noise[0].copy()
    informed[:, 2] += np.nan_to_num(age - 70) / 4
    return {"RR": {"T1": informed, "fALFF": noise[1]}}


@pytest.fixture(scope="module")
def probed(three_classes, embeddings):
    return evaluate.probe_target(
        three_classes, embeddings, "age", width=4, initialisations=2
    )


def people_with_age(cohort, role):
    rows = cohort.rows(role)
    return rows[np.isfinite(evaluate.target_values(cohort, "age")[rows])]


def test_a_prediction_is_that_of_a_ridge_with_the_recorded_penalty(
    three_classes, embeddings, probed
):
    train = people_with_age(three_classes, "train")
    test = people_with_age(three_classes, "holdout")
    assert len(test) < len(three_classes.rows("holdout"))
    age = evaluate.target_values(three_classes, "age")
    z = embeddings["RR"]["T1"].astype(float)
    scaled = (z - z[train].mean(0)) / z[train].std(0)
    fit = probed.fits.query("model == 'RR' and modality == 'T1'").iloc[0]
    again = Ridge(alpha=fit["alpha"]).fit(scaled[train], age[train])
    found = probed.scores.query("model == 'RR' and modality == 'T1'")
    assert found["pair"].tolist() == test.tolist()
    assert np.allclose(found["score"], again.predict(scaled[test]))
    assert (found["label"] == age[test]).all()
    assert "class" not in found


def test_the_penalty_is_that_of_the_smallest_leave_one_out_error(
    three_classes, embeddings, probed
):
    train = people_with_age(three_classes, "train")
    age = evaluate.target_values(three_classes, "age")[train]
    z = embeddings["RR"]["T1"][train].astype(float)
    z = (z - z.mean(0)) / z.std(0)
    errors = []
    for alpha in PENALTIES:
        squared = 0.0
        for person in range(len(train)):
            rest = np.delete(np.arange(len(train)), person)
            model = Ridge(alpha=alpha).fit(z[rest], age[rest])
            squared += (age[person] - model.predict(z[[person]])[0]) ** 2
        errors.append(squared)
    fit = probed.fits.query("model == 'RR' and modality == 'T1'").iloc[0]
    assert fit["alpha"] == PENALTIES[np.argmin(errors)]


def test_penalties_go_from_a_hundredth_to_a_million_four_a_decade():
    expected = [10 ** (quarter / 4) for quarter in range(-8, 25)]
    assert np.allclose(PENALTIES, expected)


def test_the_table_tells_a_signal_from_noise(three_classes, probed):
    table = evaluate.regression_table([probed], resamples=300)
    lines = table[table["model"] == "RR"].set_index("modality")
    scores = probed.scores.query("model == 'RR' and modality == 'T1'")
    signal, noise = lines.loc["T1"], lines.loc["fALFF"]
    expected = r2_score(scores["label"], scores["score"])
    assert signal["r2"] == pytest.approx(expected)
    assert signal["low"] > 0.4
    assert signal["difference_low"] > 0
    assert noise["low"] < 0 < signal["low"]
    assert noise["difference_low"] < 0 < noise["difference_high"]
    error = np.abs(scores["label"] - scores["score"]).mean()
    assert signal["mae"] == pytest.approx(error)
    assert signal["people"] == len(people_with_age(three_classes, "holdout"))
    untrained = table[table["model"] == RANDOM]
    assert untrained["difference"].isna().all()
    assert (untrained["draws"] == 2).all()
    assert (table["protocol"] == RIDGE).all()
    assert table.attrs["proof"]["shared"] == 0
    shown = evaluate.formatted_regression(table, "years")
    assert shown.columns[-1] == "MAE [95 %] years"
    figure = plotting.linear_evaluation(table, measure="r2")
    assert figure.axes[-2].get_xlabel() == "hold-out R²"


def test_what_is_predicted_is_no_covariate(three_classes, embeddings, probed):
    """The baseline of covariates would else be perfect."""
    table = evaluate.regression_table([probed], resamples=100)
    covariates = table[table["model"] == COVARIATES]
    assert len(covariates) == 2
    assert (covariates["r2"] < 0.3).all()


def test_people_who_train_and_are_tested_are_refused(
    three_classes, embeddings
):
    everybody = leakage.exposure(
        "encoder", "train", three_classes, range(len(three_classes))
    )
    with pytest.raises(leakage.LeakError, match="encoder RR"):
        evaluate.probe_target(
            three_classes, embeddings, "age", seen={"RR": [everybody]}
        )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("height", "no column 'height', expected one of numbers: age, same"),
        ("word", r"column 'word' holds \['none'\], expected numbers"),
        ("same", "train, fold 0: 38 people with 1 values"),
    ],
)
def test_what_is_no_number_is_refused(
    three_classes, embeddings, target, message
):
    with pytest.raises(ValueError, match=message):
        evaluate.probe_target(three_classes, embeddings, target)


def test_an_age_of_89_and_more_is_asked_about(three_classes):
    table = three_classes.participants.copy()
    table["age"] = table["age"].astype(object)
    table.loc[3, "age"] = "89+"
    cohort = replace(three_classes, participants=table)
    with pytest.raises(ValueError, match="mixed='cap' takes the number"):
        evaluate.target_values(cohort, "age")
    assert evaluate.target_values(cohort, "age", "cap")[3] == 89
    assert np.isnan(evaluate.target_values(cohort, "age", "drop")[3])
