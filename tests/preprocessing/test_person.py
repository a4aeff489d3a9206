"""The whole chain on a raw person of the phantom, against the planted truth,
and the person written as a cohort.
"""

import json
import shutil
import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from mmssl.cohorts import preprocessed
from mmssl.cohorts.simulated import phantom
from mmssl.preprocessing import (
    motion,
    person,
    quality,
    read,
    registration,
    space,
    template,
)


@pytest.fixture(scope="module")
def raw_person(tmp_path_factory):
    """One raw person of the phantom, and what `prepare` makes of it at 32
    voxels.
    """
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    phantom.make_phantom(folder, subjects=30, size=32, seed=5, raw=1)
    (t1,) = folder.glob("raw/*/anat/*_T1w.nii.gz")
    name = t1.name.replace("_T1w", "_task-rest_bold")
    bold = t1.parents[1] / "func" / name
    truth = folder / "raw/derivatives/truth/sub-01"
    return truth, person.prepare(t1, bold, size=32, progress=False)


def test_raw_phantom_meets_its_planted_truth(raw_person):
    folder, prepared = raw_person
    truth = json.loads((folder / "truth.json").read_text())
    planted = np.array(truth["similarity"])
    error = quality.position_error(prepared.to_native, planted)
    assert np.median(error) <= 2.0
    image = nib.as_closest_canonical(nib.load(folder / "truth_mask.nii.gz"))
    mask = image.get_fdata() > 0
    assert quality.dice(prepared.native_mask.get_fdata() > 0, mask) >= 0.95
    points = space.apply(prepared.affine, np.argwhere(prepared.mask))
    points = space.apply(prepared.to_native, points)
    moved = space.apply(prepared.to_bold, points)
    assert np.median(np.linalg.norm(moved - points, axis=1)) < 2.0
    turns = np.array(truth["motion"])[:, :3, :3]
    angles = Rotation.from_matrix(turns).as_euler("xyz")
    measured = prepared.motion[["x_rad", "y_rad", "z_rad"]].to_numpy()
    assert np.abs(measured - angles).max() < 4e-3


def test_raw_phantom_has_a_plausible_falff(raw_person):
    prepared = raw_person[1]
    values = prepared.volumes["fALFF"][prepared.measured["fALFF"]]
    assert ((values > 0) & (values < 1)).all()
    assert (prepared.volumes["fALFF"][~prepared.measured["fALFF"]] == 0).all()
    assert (
        prepared.quality["falff_grey"] > prepared.quality["falff_white"] + 0.05
    )
    assert prepared.quality["falff_coverage"] > 0.9
    displacement = prepared.motion["framewise_displacement"].iloc[1:]
    assert prepared.quality["mean_framewise_displacement_mm"] == pytest.approx(
        displacement.mean()
    )
    for figure in (
        "normalised_mutual_information",
        "correlation",
        "dice_csf",
        "dice_white",
    ):
        assert prepared.quality[figure] > prepared.control[figure] + 0.03


def test_written_person_is_a_cohort_without_a_name(raw_person, tmp_path):
    folder, prepared = raw_person
    cohort = preprocessed.write_person(prepared, tmp_path / "person")
    assert cohort.modalities == ("T1", "fALFF")
    assert cohort.size == 32 and len(cohort) == 1
    assert list(cohort.subjects) == ["person-1"]
    assert list(cohort.rows("holdout")) == [0]
    np.testing.assert_array_equal(
        cohort.volumes["T1"][0], prepared.volumes["T1"]
    )
    np.testing.assert_array_equal(cohort.affine, template.grid(32))
    for file in cohort.path.iterdir():
        if file.suffix in (".json", ".tsv"):
            text = file.read_text()
            assert folder.name not in text and str(tmp_path) not in text
    assert list(cohort.participants["registration"]) == ["registered"]
    assert cohort.parameters["accept"] == "doubtful"
    with pytest.raises(ValueError, match="accept is 'anything', expected"):
        preprocessed.write_person(
            prepared, tmp_path / "other", accept="anything"
        )
    named = preprocessed.write_person(prepared, tmp_path / "p", "sub-0A.7")
    assert list(named.subjects) == ["sub-0A.7"] and len(named.rows("holdout"))
    shutil.rmtree(named.path)
    for name in ("", "a b", "../x", "a\tb"):
        with pytest.raises(ValueError, match="expected letters, digits"):
            preprocessed.write_person(prepared, tmp_path / "p", name)
    # the same person again replaces itself
    preprocessed.write_person(prepared, tmp_path / "person", accept="failed")
    assert [p.name for p in tmp_path.iterdir()] == ["person"]
    (tmp_path / "person" / "cohort.json").write_text(
        json.dumps({"kind": "phantom"})
    )
    with pytest.raises(ValueError, match="exists and holds kind 'phantom'"):
        preprocessed.write_person(prepared, tmp_path / "person")


def test_a_falff_without_contrast_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        person._check_contrast({"falff_grey": 0.4, "falff_white": 0.39})
    with pytest.warns(UserWarning, match="0.380 in grey and 0.390 in white"):
        person._check_contrast({"falff_grey": 0.38, "falff_white": 0.39})


@pytest.mark.parametrize("slow", ["grey", "white"])
def test_every_falff_is_asked_for_its_contrast(rng, monkeypatch, slow):
    """A series on the template's own grid, whose slow waves are in one tissue
    alone.
    """
    mni = template.template(24)
    waves = np.sin(2 * np.pi * 0.05 * 2.0 * np.arange(60))
    series = rng.normal(100, 1, (*mni.mask.shape, 60))
    series += 5 * (getattr(mni, slow) > 0.5)[..., None] * waves
    head = person.Person(
        volumes={"T1": mni.t1},
        mask=mni.mask,
        measured={"T1": mni.mask},
        affine=mni.affine,
        to_native=np.eye(4),
        native_mask=None,
        quality={},
        control={},
        hashes={},
        parameters={"backend": person.SIMPLEITK},
    )
    still = pd.DataFrame({"framewise_displacement": np.zeros(60)})
    monkeypatch.setattr(
        person, "realign", lambda x, *_, **__: motion.Motion(x, still, None)
    )
    monkeypatch.setattr(
        person.registration,
        "to_anatomy",
        lambda *_: registration.Registration(np.eye(4), 1.0),
    )
    image = read.Image(mni.t1, mni.affine)
    anatomy = person.Anatomy(head, image, mni.mask)
    bold = read.Image(series, mni.affine)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = person._add_falff(anatomy, bold, 2.0, (0.01, 0.1), False)
    assert found.quality["falff_coverage"] > 0.9
    words = [str(warning.message) for warning in said]
    asked = [text for text in words if "expected more in grey" in text]
    assert len(asked) == (slow == "white")
