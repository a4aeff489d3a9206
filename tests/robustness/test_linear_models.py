"""Linear projections against the probe, and the models of finished runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_cohort import SMALL_RUN, lack, write_small_cohort

from mmssl.evaluate.probes import linear_probe
from mmssl.ledger import leakage
from mmssl.ledger.leakage import LeakError
from mmssl.preprocessing.network_inputs import standardised
from mmssl.pretrain.fit import fit
from mmssl.robustness import spaces
from mmssl.robustness.linear_models import (
    fit_linear_models,
    fit_projections,
    prove_samples_unseen,
    select_runs,
)
from mmssl.robustness.sweep import sweep


def test_the_projection_is_the_linear_probes(rng):
    embeddings = rng.normal(size=(3, 40, 5)).astype(np.float32)
    labels = np.arange(40) % 2
    others = rng.normal(size=(9, 5)).astype(np.float32)
    encoders = [torch.nn.Identity() for _ in embeddings]
    models = fit_projections(encoders, embeddings, labels, epochs=5, seed=3)
    assert [model.encoder for model in models] == encoders
    for model, z in zip(models, embeddings, strict=True):
        logits = linear_probe(z, labels, others, 2, 5, seed=3)
        expected = logits[:, 1] - logits[:, 0]
        scores = others @ model.weight + model.bias
        np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.fixture(scope="module")
def run(tiny_phantom, tmp_path_factory):
    """Give the folder of a short run."""
    return fit(
        tiny_phantom,
        "RR",
        tmp_path_factory.mktemp("runs") / "RR",
        epochs=1,
        batch_size=8,
        width=2,
        latent=8,
        progress=False,
    )


def test_models_of_finished_runs_score_the_undistorted_cohort(
    tiny_phantom, run, tmp_path
):
    fitted = fit_linear_models(tiny_phantom, {"RR": run}, epochs=3, width=2)
    assert list(fitted.models) == ["RR", "random encoder"]
    rows = np.arange(4)
    inputs = standardised(tiny_phantom, fitted.landmarks, np.float16, rows)
    swept = sweep(
        inputs,
        [str(row) for row in rows],
        fitted.models,
        spaces.grid_points(10)[:0],
        tiny_phantom.affine,
        tmp_path,
        progress=False,
    )
    for i, model in enumerate(swept.models):
        for j, m in enumerate(swept.modalities):
            expected = fitted.scores[model][m][rows]
            np.testing.assert_allclose(
                swept.scores[0, i, j], expected, rtol=1e-2, atol=2e-3
            )


def test_the_proof_names_every_fit(tiny_phantom, run):
    proof = prove_samples_unseen(tiny_phantom, {"RR": run})
    people = 0
    for role in ("holdout", "shift"):
        people += len(tiny_phantom.downstream(tiny_phantom.rows(role)))
    assert proof["tested"] == people
    assert proof["shared"] == 0
    assert "encoder RR, fold 0 (train)" in proof["fits"]
    assert "second population (test)" in proof["fits"]


def without(cohort, rows):
    """The cohort with some people in no role."""
    gone = set(cohort.subjects[rows])
    splits = {
        role: [person for person in cohort.splits[role] if person not in gone]
        for role in ("holdout", "shift")
    }
    fold = {
        role: [person for person in people if person not in gone]
        for role, people in cohort.splits["folds"][0].items()
    }
    return replace(cohort, splits={**splits, "folds": [fold]})


def test_who_lacks_a_modality_is_neither_learned_from_nor_tested(tmp_path):
    """Projections and the proof are those of a cohort of who has both."""
    absent = [3, 8, 17, 21, 22]
    write_small_cohort(tmp_path / "cohort", groups=("HC", "AD"))
    made = lack(tmp_path / "cohort", "fALFF", absent)
    fold = made.splits["folds"][0]
    splits = {**made.splits, "shift": fold["valid"]}
    splits["folds"] = [{"train": fold["train"], "valid": []}]
    made = replace(made, splits=splits)
    runs = {"RR": fit(made, "RR", tmp_path / "RR", **SMALL_RUN)}
    options = {"epochs": 3, "width": 2}
    found = fit_linear_models(made, runs, **options)
    smaller = without(made, absent)
    expected = fit_linear_models(smaller, runs, **options)
    for m in made.modalities:
        linear, wanted = found.models["RR"][m], expected.models["RR"][m]
        assert np.isfinite(linear.weight).all()
        np.testing.assert_array_equal(linear.weight, wanted.weight)
        assert linear.bias == wanted.bias
    # of four people each in the hold-out and the second population
    assert prove_samples_unseen(made, runs)["tested"] == 5


def test_an_encoder_that_saw_the_second_population_is_refused(
    tiny_phantom, tmp_path
):
    with pytest.raises(LeakError, match="nobody knows whom"):
        prove_samples_unseen(tiny_phantom, {"RR": tmp_path})
    rows = tiny_phantom.rows("shift")
    seen = leakage.exposure("encoder", "train", tiny_phantom, rows)
    leakage.write_exposures(tmp_path / "exposures.json", [seen])
    with pytest.raises(LeakError, match="encoder RR, fold 0"):
        prove_samples_unseen(tiny_phantom, {"RR": tmp_path})


def test_runs_are_selected_by_name_and_a_missing_one_is_named(tmp_path):
    runs = {"AE": tmp_path / "1", "RR": tmp_path / "2", "XX": tmp_path / "3"}
    assert select_runs(runs) == runs
    assert list(select_runs(runs, "XX, AE")) == ["XX", "AE"]
    with pytest.raises(ValueError, match="no finished run of RR; found AE"):
        select_runs({"AE": tmp_path}, "AE, RR")
