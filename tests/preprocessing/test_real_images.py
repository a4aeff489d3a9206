"""The chain on real people: raw T1 and BOLD of one, the skull-stripped T1 of
another.
"""

import nibabel as nib
import numpy as np
import pytest

from mmssl.cohorts import preprocessed
from mmssl.cohorts.cohort import load
from mmssl.preprocessing import person, read, registration, space, template

FIGURES = (
    "normalised_mutual_information",
    "correlation",
    "dice_csf",
    "dice_white",
)


def test_stripped_t1_alone(real_data, tmp_path):
    t1 = (
        real_data
        / "ds002748_T1w_brain"
        / "sub-02"
        / "anat"
        / "sub-02_T1w.nii.gz"
    )
    prepared = person.prepare(t1, size=32)
    assert prepared.motion is None and set(prepared.volumes) == {"T1"}
    # somebody else's brain extraction is the reference: voxels that are not
    # zero
    reference = nib.as_closest_canonical(nib.load(t1)).get_fdata() > 0
    mask = prepared.native_mask.get_fdata() > 0
    assert 2 * (mask & reference).sum() / (mask.sum() + reference.sum()) > 0.95
    assert prepared.quality["dice_mask"] > 0.9
    for figure in FIGURES:
        assert prepared.quality[figure] > prepared.control[figure]
    cohort = preprocessed.write_person(prepared, tmp_path / "person")
    again = load(cohort.path)
    assert again.modalities == ("T1",)
    assert again.volumes["T1"].shape == (1, 32, 32, 32)


@pytest.mark.slow
def test_raw_t1_and_bold(real_data, tmp_path):
    folder = real_data / "studyforrest_sub-02"
    (t1,) = folder.glob("anat/*_T1w.nii.gz")
    (bold,) = folder.glob("func/*_bold.nii.gz")
    prepared = person.prepare(t1, bold, size=64, progress=False)
    assert prepared.tr == 2.0 and len(prepared.motion) == 156
    falff = prepared.volumes["fALFF"][prepared.measured["fALFF"]]
    assert ((falff > 0) & (falff < 1)).all()
    quality, control = prepared.quality, prepared.control
    assert quality["falff_grey"] > quality["falff_white"]
    assert quality["falff_coverage"] > 0.85
    assert quality["dice_mask"] > 0.93 and quality["correlation"] > 0.55
    assert quality["correlation"] - control["correlation"] > 0.1
    assert quality["dice_csf"] - control["dice_csf"] > 0.1
    assert quality["dice_white"] - control["dice_white"] > 0.05
    assert prepared.motion["framewise_displacement"].max() < 1.0
    cohort = preprocessed.write_person(prepared, tmp_path / "person")
    assert cohort.modalities == ("T1", "fALFF")
    for file in cohort.path.glob("*.[jt]s*"):
        assert "sub-02" not in file.read_text()


@pytest.mark.slow
def test_wrong_origin_and_tilt_end_in_the_same_place(real_data):
    """The same real head, 30 mm off on each axis and tilted by 20 degrees,
    back within 2 mm.
    """
    folder = real_data / "studyforrest_sub-02" / "anat"
    (file,) = folder.glob("*_T1w.nii.gz")
    t1 = read.Image(*space.coarsen(*read.read_t1(file), 0.8))
    straight = registration.to_template(*t1).matrix
    turn = np.deg2rad(20)
    wrong = np.eye(4)
    cos, sin = np.cos(turn), np.sin(turn)
    wrong[1:3, 1:3] = [[cos, -sin], [sin, cos]]
    wrong[:3, 3] = (30, -30, 30)
    tilted = registration.to_template(t1.data, wrong @ t1.affine).matrix
    mni = template.template(32)
    points = space.apply(mni.affine, np.argwhere(mni.mask))
    back = space.apply(np.linalg.inv(wrong) @ tilted, points)
    apart = np.linalg.norm(back - space.apply(straight, points), axis=1)
    assert np.median(apart) < 2.0
