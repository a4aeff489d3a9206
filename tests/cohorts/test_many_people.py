"""Many simulated people: repeatable, each the same in a cohort of any size,
with a label that can be known and nuisances that do not tell it, in memory
that does not grow.
"""

import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mmssl import cohorts
from mmssl.cohorts.simulated import factors, many_people
from mmssl.cohorts.simulated.planted_masks import truth_masks
from mmssl.preprocessing import template

SMALL = {"people": 40, "held_out": 30, "validated": 10, "labelled": 20}
QUIET = many_people.Effects(
    second=0,
    shift=0,
    deformation=0,
    bias=0,
    site=0,
    flow=0,
    level=0,
    noise=0,
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Give a small cohort."""
    path = tmp_path_factory.mktemp("many") / "small"
    return cohorts.make_many_people(path, seed=9000, **SMALL)


def images_of(table, effects, size=16, seed=9000):
    """Give {modality: images} of the people of a table."""
    blocks = list(many_people.scans(table, size, seed, effects))
    return {m: np.concatenate([b[m] for b in blocks]) for m in blocks[0]}


def test_the_same_call_gives_the_same_bytes(cohort, tmp_path):
    again = cohorts.make_many_people(tmp_path / "again", seed=9000, **SMALL)
    assert again.hashes == cohort.hashes
    other = cohorts.make_many_people(tmp_path / "other", seed=9001, **SMALL)
    assert other.hashes["T1.npy"] != cohort.hashes["T1.npy"]


@pytest.mark.parametrize("people", [41, 500])
def test_a_person_is_the_same_in_a_cohort_of_any_size(
    cohort, tmp_path, people
):
    numbers = {**SMALL, "people": people}
    larger = cohorts.make_many_people(tmp_path / "more", seed=9000, **numbers)
    assert len(larger) == len(cohort) + people - SMALL["people"]
    for m in cohort.modalities:
        own = larger.volumes[m][: len(cohort)]
        np.testing.assert_array_equal(own, cohort.volumes[m])
    pd.testing.assert_frame_equal(
        larger.participants[: len(cohort)], cohort.participants
    )
    for role in ("holdout", "valid"):
        np.testing.assert_array_equal(larger.rows(role), cohort.rows(role))
    assert {*cohort.rows("train")} < {*larger.rows("train")}


def test_few_have_a_label_and_no_two_images_are_alike(cohort):
    labels = cohort.labels()
    assert len(cohort.downstream(cohort.rows("train"))) == 20
    for role in ("holdout", "valid"):
        assert (labels[cohort.rows(role)] >= 0).all()
    hashes = cohort.image_hashes(range(len(cohort)))
    assert len({*hashes.values()}) == 2 * len(cohort)
    for volumes in cohort.volumes.values():
        assert np.isfinite(volumes).all()
        assert 0.5 < (volumes == 0).mean() < 0.9


def test_the_oracle_meets_its_closed_form():
    table = many_people.draw(20_000, 9000)
    is_ill = table["group"] == "AD"
    assert is_ill.mean() == pytest.approx(0.5, abs=0.015)
    oracle = roc_auc_score(is_ill, table["severity"])
    assert oracle == pytest.approx(factors.oracle_auc(), abs=0.006)
    for nuisance in (table["shared"], table["site"] == "A"):
        auc = roc_auc_score(is_ill, nuisance)
        assert auc == pytest.approx(0.5, abs=0.015)


def test_without_nuisances_the_planted_regions_tell_severity():
    table = many_people.draw(300, 9000)
    images = images_of(table, QUIET)
    masks = truth_masks(16)
    regions = {"T1": masks["temporal_lobe"], "fALFF": masks["default_mode"]}
    elsewhere = ~np.any([*masks.values()], axis=0)
    for m, region in regions.items():
        # of one anatomy that changes with severity alone
        means = images[m][:, region].mean(1)
        assert np.corrcoef(means, table["severity"])[0, 1] < -0.95
        spread = images[m].std(0)
        assert spread[region].mean() > 5 * spread[elsewhere].mean()


@pytest.mark.parametrize(
    "nuisance", ["second", "shift", "bias", "site", "flow", "noise"]
)
def test_every_nuisance_moves_images_and_none_tells_the_label(nuisance):
    strength = getattr(many_people.Effects(), nuisance)
    still = replace(QUIET, thinning=0, default_mode=0)
    effects = replace(still, **{nuisance: strength})
    table = many_people.draw(400, 9000)
    is_ill = (table["group"] == "AD").to_numpy()
    images = images_of(table, effects)
    unmoved = images_of(table[:1], still)
    touched = [m for m in images if (images[m][:1] != unmoved[m]).any()]
    assert touched
    for m in touched:
        voxels = images[m].reshape(len(table), -1)
        pattern = voxels[:200][is_ill[:200]].mean(0)
        pattern = pattern - voxels[:200][~is_ill[:200]].mean(0)
        auc = roc_auc_score(is_ill[200:], voxels[200:] @ pattern)
        assert 0.35 < auc < 0.65


def test_voxels_tell_the_label_but_not_all_of_it():
    table = many_people.draw(1200, 101)
    is_ill = (table["group"] == "AD").to_numpy()
    images = images_of(table, many_people.Effects(), seed=101)
    brain = template.template(16).mask
    for values in images.values():
        voxels = values[:, brain]
        voxels = (voxels - voxels[:600].mean(0)) / voxels[:600].std(0)
        probe = LogisticRegression(C=1e-3).fit(voxels[:600], is_ill[:600])
        auc = roc_auc_score(
            is_ill[600:], probe.decision_function(voxels[600:])
        )
        assert 0.65 < auc < 0.85


def test_memory_does_not_grow_with_the_people(tmp_path, monkeypatch):
    monkeypatch.setattr(many_people, "BLOCK", 16)
    # what is made once, the anatomy
    list(many_people.scans(many_people.draw(1, 0), 16, 0, QUIET))
    peaks = {}
    for people in (64, 1024):
        tracemalloc.start()
        table = many_people.draw(people, 9000)
        many_people._write_images(
            tmp_path, table, 16, 9000, many_people.Effects()
        )
        peaks[people] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # all images would be sixteen times as much
    assert peaks[1024] < 1.5 * peaks[64]


def test_what_cannot_be_made_is_refused(cohort, tmp_path):
    for wrong, message in (
        ({"labelled": 41}, "labelled is 41, expected at most 40"),
        ({"people": 1}, "people is 1, expected at least 2"),
        ({"held_out": 0}, "held_out is 0"),
        ({"size": 4}, "size: found 4"),
    ):
        with pytest.raises(ValueError, match=message):
            cohorts.make_many_people(tmp_path / "no", **{**SMALL, **wrong})
    assert not (tmp_path / "no").exists()
    with pytest.raises(ValueError, match="people is 40, asked for 41"):
        cohorts.make_many_people(
            cohort.path, seed=9000, **{**SMALL, "people": 41}
        )
    there = cohorts.make_many_people(cohort.path, seed=9000, **SMALL)
    assert there.hashes == cohort.hashes
