"""Region means against a loop over people, covariates against the table."""

import dataclasses

import nibabel as nib
import numpy as np
import pytest

from mmssl.evaluate.simple_features import (
    COVARIATES,
    REGION_MEANS,
    simple_features,
)
from mmssl.preprocessing.network_inputs import fit_landmarks, standardised


@pytest.fixture(scope="module")
def features(tiny_phantom):
    """Give those of the first fold."""
    return simple_features(tiny_phantom, 0)


def test_region_means_are_those_of_the_planted_regions(tiny_phantom, features):
    inputs = standardised(tiny_phantom, fit_landmarks(tiny_phantom, 0))
    train = tiny_phantom.rows("train", 0)
    regions = {"T1": ("ventricles", "temporal_lobe")}
    regions["fALFF"] = ("default_mode",)
    for modality, names in regions.items():
        found = features[REGION_MEANS][modality]
        assert found.shape == (len(tiny_phantom), len(names))
        for column, name in zip(found.T, names, strict=True):
            file = tiny_phantom.path / "truth" / f"{name}.nii.gz"
            region = (nib.load(file).get_fdata() > 0) & tiny_phantom.mask
            means = [x[0][region].mean() for x in inputs[modality]]
            means = np.array(means) - np.mean(np.array(means)[train])
            expected = means / means[train].std()
            np.testing.assert_allclose(column, expected, atol=1e-4)


def test_covariates_are_numbers_and_indicators(tiny_phantom, features):
    people = tiny_phantom.participants.set_index("participant_id")
    age = people.loc[tiny_phantom.subjects, "age"].to_numpy()
    columns = features[COVARIATES]["T1"]
    correlations = [np.corrcoef(age, column)[0, 1] for column in columns.T]
    assert max(correlations) == pytest.approx(1)
    sites = people["site"].nunique()
    # age, head size, sex, and the sites but for one
    assert columns.shape[1] == 3 + sites - 1
    assert np.array_equal(columns, features[COVARIATES]["fALFF"])
    train = tiny_phantom.rows("train", 0)
    np.testing.assert_allclose(columns[train].mean(0), 0, atol=1e-5)


def test_numbers_with_a_word_among_them_are_not_lost(tiny_phantom, features):
    """One "89+" leaves the ages of all others as they were."""
    people = tiny_phantom.participants.astype({"age": str})
    rows = tiny_phantom.rows("holdout")
    person = tiny_phantom.subjects[rows[0]]
    people.loc[people["participant_id"] == person, "age"] = "89+"
    changed = dataclasses.replace(tiny_phantom, participants=people)
    found = simple_features(changed, 0)[COVARIATES]["T1"]
    expected = features[COVARIATES]["T1"].copy()
    expected[tiny_phantom.subjects == person, 0] = 0
    np.testing.assert_allclose(found, expected, atol=1e-5)
