"""Tasks of more than two classes, from the cohort to the table: macro
one-against-rest AUCs of probes that see all classes.
"""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mmssl import evaluate, plotting
from mmssl.evaluate.linear_evaluation import LOGISTIC, PROJECTION, probe
from mmssl.evaluate.probes import class_scores, logistic_regression
from mmssl.evaluate.results import results_table


@pytest.fixture(scope="module")
def embeddings(three_classes):
    """Give z that tells the classes in one modality and nothing in the
    other.
    """
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, len(three_classes), 8))
    labels = three_classes.labels()
    informed = noise[0].copy()
    informed[np.arange(len(labels)), labels] += 4.0
    return {"RR": {"T1": informed, "fALFF": noise[1]}}


@pytest.fixture(scope="module")
def probed(three_classes, embeddings):
    return probe(
        three_classes,
        embeddings,
        trials=3,
        epochs=400,
        width=4,
        initialisations=2,
    )


def test_every_class_has_a_score_of_every_person(three_classes, probed):
    held = three_classes.downstream(three_classes.rows("holdout"))
    of_one = probed.scores.query(
        "protocol == @LOGISTIC and model == 'RR' and modality == 'T1'"
    )
    assert sorted(of_one["class"].unique()) == [0, 1, 2]
    for _, lines in of_one.groupby("class"):
        assert lines["pair"].tolist() == held.tolist()
        assert (lines["label"] == three_classes.labels()[held]).all()


def test_the_table_has_the_macro_average_and_knows_noise(probed):
    table = results_table([probed], resamples=200)
    lines = table[table["model"] == "RR"].set_index(["protocol", "modality"])
    for protocol in (LOGISTIC, PROJECTION):
        scores = probed.scores.query(
            "protocol == @protocol and model == 'RR' and modality == 'T1'"
        ).pivot(index="pair", columns="class", values="score")
        people = probed.scores.drop_duplicates("pair").set_index("pair")
        labels = people.loc[scores.index, "label"]
        aucs = [roc_auc_score(labels == k, scores[k]) for k in scores.columns]
        line = lines.loc[protocol, "T1"]
        assert line["auc"] == pytest.approx(np.mean(aucs))
        assert line["auc"] > 0.9
        assert line["difference_low"] > 0
        noise = lines.loc[protocol, "fALFF"]
        assert noise["low"] < 0.55
        assert noise["difference_low"] < 0.1
    assert (lines["classes"] == 3).all()
    assert (lines["smallest"] == 6).all()
    shown = evaluate.formatted_results(table)
    assert shown["AUC [95 %]"].str.match(r"[01]\.\d\d|–").all()


def test_two_chosen_classes_are_a_task_of_two(three_classes, embeddings):
    pair = three_classes.with_task(classes="MCI, AD")
    found = probe(
        pair, embeddings, trials=2, epochs=3, width=4, initialisations=1
    )
    assert set(found.scores["class"]) == {1}
    column = three_classes.participants.set_index("participant_id")["group"]
    groups = column[found.scores["subject"]]
    labels = found.scores["label"].to_numpy()
    assert (groups.to_numpy() == np.where(labels == 1, "AD", "MCI")).all()
    table = results_table([found], resamples=100)
    assert (table["positives"] == 9).all()
    assert (table["negatives"] == 6).all()


def test_chosen_classes_leave_the_folder_and_its_other_task_alone(
    three_classes,
):
    pair = three_classes.with_task("diagnosis", ("AD", "HC"))
    labels, before = pair.labels(), three_classes.labels()
    assert (labels[before == 2] == 0).all()
    assert (labels[before == 0] == 1).all()
    assert (labels[before == 1] == -1).all()
    assert three_classes.tasks["diagnosis"]["classes"] == ["HC", "MCI", "AD"]
    assert pair.hashes == three_classes.hashes
    sex = three_classes.with_task("sex")
    assert next(iter(sex.tasks)) == "sex"
    assert list(sex.tasks) == ["sex", "diagnosis"]
    assert three_classes.with_task().tasks == {
        **three_classes.tasks,
        "diagnosis": {**three_classes.tasks["diagnosis"], "ignored": []},
    }


@pytest.mark.parametrize("classes", ["HC", "HC,HC", "HC,XX", ("AD",)])
def test_classes_that_are_no_choice_are_refused(three_classes, classes):
    with pytest.raises(ValueError, match=r"each once: \['HC', 'MCI', 'AD'\]"):
        three_classes.with_task(classes=classes)


def test_an_unknown_task_is_refused(three_classes):
    with pytest.raises(ValueError, match="task 'cdr' is unknown"):
        three_classes.with_task("cdr")


def test_scores_are_the_log_odds_of_each_class(three_classes):
    rng = np.random.default_rng(1)
    z = rng.normal(size=(90, 4))
    labels = rng.integers(0, 3, 90)
    model = LogisticRegression().fit(z, labels)
    p = model.predict_proba(z)
    expected = np.log(p / (1 - p)).T
    assert np.allclose(class_scores(model.decision_function(z)), expected)
    two = LogisticRegression().fit(z, labels > 0)
    logits = two.decision_function(z)
    assert class_scores(logits) is logits
    both = np.column_stack([np.zeros(90), logits])
    assert np.array_equal(class_scores(both), logits)


def test_a_search_refuses_a_class_with_fewer_people_than_folds():
    z = np.random.default_rng(2).normal(size=(30, 4))
    labels = np.r_[np.zeros(13), np.ones(14), np.full(3, 2)].astype(int)
    with pytest.raises(ValueError, match="5 inner folds need 5 subjects"):
        logistic_regression(z, labels, np.arange(30), trials=1)
    with pytest.raises(ValueError, match=r"or 0 to K - 1, found \[0, 2\]"):
        logistic_regression(z, 2 * (labels > 0), np.arange(30), trials=1)


def test_a_class_without_two_people_stops_before_long_work(
    three_classes, embeddings
):
    held = three_classes.splits["holdout"]
    column = three_classes.participants.set_index("participant_id")["group"]
    fewer = [p for p in held if column[p] != "MCI"]
    splits = {**three_classes.splits, "holdout": fewer}
    with pytest.raises(ValueError, match=r"hold-out rows .* \[18, 0, 9\]"):
        probe(replace(three_classes, splits=splits), embeddings)


def test_the_figure_and_the_text_hold_a_macro_average(probed):
    table = results_table([probed], resamples=100)
    figure = plotting.linear_evaluation(table[table["protocol"] == LOGISTIC])
    assert figure.axes[-2].get_xlabel() == "hold-out ROC-AUC"
