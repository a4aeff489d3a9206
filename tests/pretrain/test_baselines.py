"""Baselines against encoders made by hand and scikit-learn's components."""

import dataclasses

import numpy as np
import torch
from sklearn.decomposition import PCA

from mmssl.models.dcgan import Encoder
from mmssl.pretrain.baselines import (
    BASELINES,
    PCA_64,
    RANDOM,
    baseline_embeddings,
    component_scores,
    untrained_embeddings,
    untrained_encoders,
)

SMALL = {"width": 4, "latent": 8}


def test_untrained_encoders_are_drawn_from_the_seed_alone(cohort):
    state = torch.random.get_rng_state()
    encoders = untrained_encoders(cohort, seed=5, **SMALL)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(5)
    for m in cohort.modalities:
        expected = Encoder(size=16, **SMALL).state_dict()
        assert not encoders[m].training
        for name, value in encoders[m].state_dict().items():
            assert torch.equal(value, expected[name])


def test_untrained_embeddings_depend_on_the_seed_alone(cohort):
    one = untrained_embeddings(cohort, seed=0, **SMALL)
    two = untrained_embeddings(cohort, seed=0, **SMALL)
    assert all(np.array_equal(one[m], two[m]) for m in cohort.modalities)
    other = untrained_embeddings(cohort, seed=1, **SMALL)
    assert not np.array_equal(one["T1"], other["T1"])
    assert one["T1"].shape == (24, 8)


def test_both_baselines_are_named_and_of_the_same_seed(cohort):
    baselines = baseline_embeddings(cohort, seed=3, **SMALL)
    assert tuple(baselines) == BASELINES
    untrained = untrained_embeddings(cohort, seed=3, **SMALL)
    for m, z in untrained.items():
        assert np.array_equal(baselines[RANDOM][m], z)


def test_components_are_those_of_the_training_rows(cohort):
    train = cohort.rows("train", 0)
    scores = baseline_embeddings(cohort, **SMALL)[PCA_64]["T1"]
    assert scores.shape == (24, min(64, len(train) - 1))
    voxels = np.asarray(cohort.volumes["T1"], float).reshape(24, -1)
    centred = voxels - voxels[train].mean(axis=0)
    _, _, axes = np.linalg.svd(centred[train], full_matrices=False)
    expected = centred @ axes[: scores.shape[1]].T
    # a component's sign is free
    signs = np.sign((scores * expected).sum(axis=0))
    assert np.allclose(scores * signs, expected, atol=1e-3)


def test_components_know_nothing_of_the_holdout(cohort):
    train = cohort.rows("train", 0)
    scores = baseline_embeddings(cohort, **SMALL)[PCA_64]["T1"]
    volumes = {m: np.array(v) for m, v in cohort.volumes.items()}
    volumes["T1"][cohort.rows("holdout")] = 0.5
    changed = dataclasses.replace(cohort, volumes=volumes)
    again = baseline_embeddings(changed, **SMALL)[PCA_64]["T1"]
    assert np.array_equal(scores[train], again[train])


def test_components_are_the_same_by_the_smaller_matrix(rng):
    mixing = rng.normal(size=(40, 40))
    voxels = rng.normal(size=(90, 40)).astype(np.float32) @ mixing
    # fewer and more rows than voxels
    for rows in (np.arange(30), np.arange(80)):
        scores = component_scores(voxels, rows, 5)
        expected = PCA(5).fit(voxels[rows]).transform(voxels)
        signs = np.sign((scores * expected).sum(axis=0))
        assert np.allclose(scores * signs, expected, atol=1e-3)
