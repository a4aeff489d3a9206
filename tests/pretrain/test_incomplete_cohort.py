"""Pretraining on people who lack a modality, and what is known of them
afterwards.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_cohort import SMALL_RUN, lack, write_small_cohort

from mmssl.objectives.views import Clean
from mmssl.preprocessing import fit_landmarks, standardised
from mmssl.pretrain import (
    PCA_64,
    RANDOM,
    baseline_embeddings,
    embed,
    fit,
    load_encoders,
    loop,
    untrained_encoders,
)
from mmssl.pretrain.encoders import encode

ABSENT = [0, 3, 5, 6, 17, 21]


@pytest.fixture
def incomplete(tmp_path):
    """Give the small cohort without the fALFF of six of its people."""
    write_small_cohort(tmp_path / "incomplete")
    return lack(tmp_path / "incomplete", "fALFF", ABSENT)


def weights(run, modality):
    encoders, _ = load_encoders(run)
    return encoders[modality].state_dict()


def test_what_one_modality_learns_alone_it_learns_whoever_lacks_another(
    incomplete, cohort, tmp_path
):
    """To the bit: the same draws, crops and rows of T1."""
    alone = {**SMALL_RUN, "gradient_clip": None, "keep": "last"}
    for made, name in ((cohort, "whole"), (incomplete, "less")):
        fit(made, "CR-AE", tmp_path / name, **alone)
    whole = weights(tmp_path / "whole", "T1")
    less = weights(tmp_path / "less", "T1")
    for name, values in whole.items():
        assert torch.equal(values, less[name])
    other = weights(tmp_path / "less", "fALFF")
    moved = weights(tmp_path / "whole", "fALFF")
    assert any(not torch.equal(other[name], moved[name]) for name in moved)


@pytest.mark.filterwarnings("ignore:CCA over")
@pytest.mark.parametrize(
    "objective", ["CR-XX-CC", "RR-AE", "CR-CCA", "MMVAE", "Supervised"]
)
def test_every_objective_trains_and_embeds_who_is_there(
    objective, incomplete, tmp_path
):
    options = {"samples": 2} if objective == "MMVAE" else {}
    run = fit(incomplete, objective, tmp_path / "run", **SMALL_RUN, **options)
    history = pd.read_csv(run / "history.csv")
    assert np.isfinite(history["train/loss"]).all()
    assert np.isfinite(history["valid/loss"]).all()
    z = embed(run, incomplete)
    absent = np.zeros(len(incomplete), bool)
    absent[ABSENT] = True
    assert np.isfinite(z["T1"]).all()
    assert np.isnan(z["fALFF"][absent]).all()
    assert np.isfinite(z["fALFF"][~absent]).all()
    # as if it were another cohort: through the encoder, not from the cache
    encoders, landmarks = load_encoders(run)
    inputs = standardised(incomplete, landmarks, np.float16)
    again = encode(encoders, {"fALFF": inputs["fALFF"][~absent]})
    np.testing.assert_allclose(
        z["fALFF"][~absent], again["fALFF"], rtol=1e-4, atol=1e-5
    )


def test_labels_and_keys_of_a_batch_are_those_of_its_images(
    incomplete, tmp_path, monkeypatch
):
    """Wherever in the batch somebody lacks one."""
    batches = []
    original = loop.Pretraining.batch

    def batch(self, role, epoch, index):
        made = original(self, role, epoch, index)
        batches.append((index, made))
        return made

    monkeypatch.setattr(loop.Pretraining, "batch", batch)
    options = {**SMALL_RUN, "batch_size": 8, "augment": Clean()}
    fit(incomplete, "RR", tmp_path / "run", **options)
    row_of = {}
    for m in incomplete.modalities:
        images = np.asarray(incomplete.volumes[m], np.float32)
        row_of[m] = {x.tobytes(): i for i, x in enumerate(images)}
    first_lacks = 0
    for index, made in batches:
        rows = {}
        for m, x in made.views["main"].volumes.items():
            images = x.contiguous().numpy()
            rows[m] = [row_of[m][image.tobytes()] for image in images]
            expected = incomplete.labels()[rows[m]]
            assert np.array_equal(made.labels[m]["diagnosis"], expected)
        there = [k for k, row in enumerate(rows["T1"]) if row not in ABSENT]
        assert rows["fALFF"] == [rows["T1"][k] for k in there]
        drawn = 8 * index + np.arange(len(rows["T1"]))
        assert made.rows["T1"].tolist() == drawn.tolist()
        assert made.rows["fALFF"].tolist() == drawn[there].tolist()
        first_lacks += there != [*range(len(there))]
    assert first_lacks


def test_pairs_are_those_that_have_both(incomplete, tmp_path):
    """In a whole epoch as one batch, chance is that of the ten training pairs
    of sixteen that have both images.
    """
    batch = {**SMALL_RUN, "batch_size": 16}
    run = fit(incomplete, "RR", tmp_path / "run", **batch)
    history = pd.read_csv(run / "history.csv")
    there = np.setdiff1d(np.arange(16), ABSENT)
    expected = 2 * np.log(len(there))
    np.testing.assert_allclose(history["train/chance"], expected, rtol=1e-6)


def test_too_few_of_a_pair_are_refused(tmp_path):
    write_small_cohort(tmp_path / "cohort")
    first = lack(tmp_path / "cohort", "fALFF", range(8))
    rest = lack(tmp_path / "cohort", "T1", range(9, 24))
    message = "1 of the 16 training pairs of fold 0 have T1 and fALFF"
    with pytest.raises(ValueError, match=message):
        fit(rest, "RR", tmp_path / "run", **SMALL_RUN)
    fit(rest, "CR", tmp_path / "run", **SMALL_RUN)
    assert first.lacking() == "8 without fALFF"
    write_small_cohort(tmp_path / "one")
    one = lack(tmp_path / "one", "T1", range(1, 24))
    message = "1 of the 16 training pairs of fold 0 have T1, expected 2"
    with pytest.raises(ValueError, match=message):
        fit(one, "CR", tmp_path / "other", **SMALL_RUN)


def test_fits_on_who_is_there_are_those_of_a_cohort_of_them(tmp_path):
    """Landmarks, components and the untrained encoder."""
    write_small_cohort(tmp_path / "a", intensity="brain")
    made = lack(tmp_path / "a", "fALFF", ABSENT)
    there = made.present("fALFF")
    inputs = standardised(made, fit_landmarks(made, 0))["fALFF"]
    assert not inputs[~there].any() and inputs[there].any()

    volumes = np.load(made.path / "fALFF.npy")
    train = made.rows("train")
    copied = train[there[train]]
    # whoever lacks it has the image of somebody in their place: the fits
    # differ, so that the comparison below can fail
    volumes[~there] = volumes[copied[0]] + 5
    moved = write_small_cohort(
        tmp_path / "b", intensity="brain", fALFF=volumes
    )
    assert fit_landmarks(made, 0)["T1"] == fit_landmarks(moved, 0)["T1"]
    assert fit_landmarks(made, 0)["fALFF"] != fit_landmarks(moved, 0)["fALFF"]

    splits = {**made.splits, "folds": [dict(made.splits["folds"][0])]}
    names = set(made.subjects[there])
    splits["folds"][0]["train"] = [
        name for name in splits["folds"][0]["train"] if name in names
    ]
    of_them = replace(moved, splits=splits)
    expected = fit_landmarks(of_them, 0)["fALFF"]
    assert fit_landmarks(made, 0)["fALFF"] == expected
    found = baseline_embeddings(made, width=2, latent=4)
    wanted = baseline_embeddings(of_them, width=2, latent=4)
    for name in (RANDOM, PCA_64):
        assert np.isnan(found[name]["fALFF"][~there]).all()
        np.testing.assert_allclose(
            found[name]["fALFF"][there],
            wanted[name]["fALFF"][there],
            rtol=1e-4,
            atol=1e-4,
        )


def test_nobody_with_a_modality_has_no_embedding(cohort):
    encoders = untrained_encoders(cohort, width=2, latent=4)
    x = np.zeros((3, 1, 16, 16, 16), np.float32)
    nobody = {"T1": np.zeros(3, bool)}
    z = encode({"T1": encoders["T1"]}, {"T1": x}, present=nobody)["T1"]
    assert z.shape == (3, 4) and np.isnan(z).all()
