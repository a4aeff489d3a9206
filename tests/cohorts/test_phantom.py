"""The phantom: its stated oracle, where severity acts and where not, and
bitwise repeatability.
"""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mmssl.cohorts.simulated import (
    anatomy,
    factors,
    images,
    phantom,
    planted_masks,
    raw,
)
from mmssl.preprocessing import template

QUIET = replace(
    images.Design(),
    deformation=0,
    head=0,
    shift=0,
    turn=0,
    zoom=0,
    bias=0,
    contrast=0,
    noise=0,
    amplitude=0,
)


def person(severity, index=3, **changed):
    row = (
        factors.person(index, seed=9000)
        | {"age": 71.0, "severity": severity}
        | changed
    )
    return images.SimulatedPerson(index, 9000, row)


def test_the_oracle_on_ten_thousand_people_meets_its_closed_form():
    people = factors.draw(10_000, seed=9000)
    chosen = people[people["group"] != "other"]
    sick = (chosen["group"] == "AD").to_numpy()
    assert (
        abs(roc_auc_score(sick, chosen["severity"]) - factors.oracle_auc())
        < 0.01
    )
    known = chosen[
        ["severity", "shared", "private_t1", "private_falff", "age"]
    ].to_numpy()
    half = len(known) // 2
    score = (
        LogisticRegression()
        .fit(known[:half], sick[:half])
        .decision_function(known[half:])
    )
    assert abs(roc_auc_score(sick[half:], score) - factors.oracle_auc()) < 0.01


def test_groups_sessions_and_populations_have_the_stated_shares():
    people = factors.draw(2000, seed=1)
    main, second = (
        people[people["population"] == p] for p in ("main", "second")
    )
    share = main["group"].value_counts(normalize=True)
    assert share["HC"] == pytest.approx(0.70, abs=0.005)
    assert share["AD"] == pytest.approx(0.15, abs=0.005)
    assert len(second) == 2000 // 6 and set(second["site"]) == {"D"}
    assert second["head_size"].mean() - main[
        "head_size"
    ].mean() == pytest.approx(1, abs=0.2)
    assert second["age"].mean() < main["age"].mean() - 3
    pairs = factors.sessions(people, seed=1)
    assert len(pairs) / len(people) == pytest.approx(1.5, abs=0.05)
    assert (pairs.groupby("participant_id")["downstream"].sum() == 1).all()


def test_ventricles_widen_and_the_left_temporal_lobe_thins_most():
    shared = anatomy.anatomy(64)
    healthy, sick = (
        images.t1(shared, person(s), 1, QUIET) for s in (0.0, 2.5)
    )
    masks = planted_masks.truth_masks(64)
    around = ndimage.binary_dilation(masks["ventricles"], iterations=3)
    fluid = [int((volume[around] < 0.45).sum()) for volume in (healthy, sick)]
    assert fluid[1] > 1.15 * fluid[0]
    x = template.grid(64)[0, 0] * np.arange(64) + template.grid(64)[0, 3]
    # RAS+: x grows to the right
    left = (x < 0)[:, None, None] & masks["temporal_lobe"]
    right = (x > 0)[:, None, None] & masks["temporal_lobe"]
    lost = [float((healthy - sick)[side].mean()) for side in (left, right)]
    assert lost[0] > 1.3 * lost[1] > 0
    near = masks["ventricles"] | masks["temporal_lobe"]
    change, away = (
        abs(healthy - sick),
        ~ndimage.binary_dilation(near, iterations=8),
    )
    assert (
        change[away & template.template(64).mask].mean()
        < 0.05 * change[near].mean()
    )


def test_severity_lowers_falff_in_the_default_mode_and_nowhere_else():
    shared, design = anatomy.anatomy(32), replace(QUIET, ventricles=0)
    healthy, sick = (
        images.falff(shared, person(s), 1, design) for s in (0.0, 2.5)
    )
    inside = healthy > 0
    assert 0 < healthy[inside].min() and healthy.max() < 1
    change = sick - healthy  # the same draws, so what differs is severity
    nodes = planted_masks.network("default", template.grid(32), (32,) * 3)
    core = planted_masks.truth_masks(32)["default_mode"] & inside
    others = [
        planted_masks.network(n, template.grid(32), (32,) * 3)
        for n in ("visual", "motor")
    ]
    assert change[core].mean() < -0.02
    away = inside & (np.max(others, axis=0) > 0.6) & (nodes < 0.05)
    assert away.sum() > 50 and abs(change[away].mean()) < 0.05 * abs(
        change[core].mean()
    )
    expected = (nodes * template.template(32).grey)[inside]
    assert np.corrcoef(change[inside], expected)[0, 1] < -0.8


def test_size_64_is_the_same_anatomy_finer():
    p = person(1.0)
    small, large = (
        images.t1(anatomy.anatomy(s), p, 1, QUIET) for s in (32, 64)
    )
    coarse = large.reshape(32, 2, 32, 2, 32, 2).mean(axis=(1, 3, 5))
    both = (small > 0) & (coarse > 0)
    assert (
        large.shape == (64,) * 3
        and np.corrcoef(small[both], coarse[both])[0, 1] > 0.95
    )
    values = images.falff(anatomy.anatomy(64), p, 1, images.Design())
    brain = values > 0
    assert 0.2 < values[brain].mean() < 0.7 and values.max() < 1
    source = template.template(64)
    grey, white = (
        values[brain & (m > 0.9)].mean() for m in (source.grey, source.white)
    )
    assert grey > white + 0.03


def test_a_scan_lies_where_its_pose_says():
    design = replace(
        QUIET, shift=6.0, turn=6.0, zoom=0.04, head=0.05, ventricles=0
    )
    p, full = person(0.0, index=8), template.full()
    centre = nib.affines.apply_affine(
        full.affine, np.argwhere(full.mask)
    ).mean(axis=0)
    for modality, scan in (("T1", images.t1), ("fALFF", images.falff)):
        volume = scan(anatomy.anatomy(32), p, 2, design)
        to_anatomy = images.pose(p, 2, modality, design)
        here = nib.affines.apply_affine(
            template.grid(32), np.argwhere(volume > 0)
        ).mean(axis=0)
        expected = np.linalg.solve(to_anatomy, [*centre, 1])[:3]
        assert (
            np.linalg.norm(here - expected)
            < 1.5
            < np.linalg.norm(centre - expected)
        )
        scale = np.linalg.det(to_anatomy)
        assert (
            volume > 0
        ).sum() * 6**3 * scale / full.mask.sum() == pytest.approx(1, abs=0.04)


def test_a_person_is_the_same_whoever_else_is_there(tiny_phantom, tmp_path):
    again = phantom.make_phantom(
        tmp_path / "more", subjects=27, size=32, seed=0
    )
    rows = np.arange(len(tiny_phantom))
    assert len(again) > len(rows)
    assert (again.subjects[rows] == tiny_phantom.subjects).all()
    # bit for bit
    assert again.image_hashes(rows) == tiny_phantom.image_hashes(rows)
    other = images.SimulatedPerson(0, 1, factors.person(0, seed=1))
    assert not np.array_equal(
        images.t1(anatomy.anatomy(32), other, 1, images.Design()),
        tiny_phantom.volumes["T1"][0],
    )


def test_the_folder_holds_people_pairs_and_truth(tiny_phantom):
    mask = tiny_phantom.mask
    np.testing.assert_array_equal(tiny_phantom.affine, template.grid(32))
    assert (
        len(tiny_phantom) > 24
        and tiny_phantom.volumes["T1"].dtype == np.float16
    )
    for values in tiny_phantom.volumes.values():
        filled = (np.asarray(values) > 0).mean(axis=0)
        assert (
            filled[mask & (ndimage.distance_transform_edt(mask) > 4)] > 0.9
        ).all()
        assert filled[~ndimage.binary_dilation(mask, iterations=3)].max() == 0
    truth = pd.read_csv(tiny_phantom.path / "truth" / "factors.tsv", sep="\t")
    assert (
        truth["participant_id"].tolist()
        == tiny_phantom.participants["participant_id"].tolist()
    )
    # the truth stays apart
    assert not {"severity", "shared"} & set(tiny_phantom.participants)
    assert tiny_phantom.parameters["oracle_auc"] == pytest.approx(
        factors.oracle_auc()
    )
    centres = {}
    for name in ("ventricles", "temporal_lobe", "default_mode"):
        image = nib.load(tiny_phantom.path / "truth" / f"{name}.nii.gz")
        np.testing.assert_allclose(image.affine, template.grid(32))
        voxels = np.argwhere(image.get_fdata() > 0)
        centres[name] = nib.affines.apply_affine(image.affine, voxels).mean(
            axis=0
        )
    np.testing.assert_allclose(centres["ventricles"], [0, -15, 15], atol=10)
    np.testing.assert_allclose(centres["temporal_lobe"], [0, -20, -17], atol=6)
    poses = np.load(tiny_phantom.path / "truth" / "poses.npy")
    assert poses.shape == (len(tiny_phantom), 2, 4, 4)
    roles = [set(tiny_phantom.splits[r]) for r in ("holdout", "shift")]
    assert all(roles) and not roles[0] & roles[1]


def test_bad_requests_and_other_parameters_are_refused(tiny_phantom, tmp_path):
    with pytest.raises(
        ValueError, match=r"size is 48, expected one of \(32, 64\)"
    ):
        phantom.make_phantom(tmp_path / "x", size=48)
    with pytest.raises(
        ValueError, match="participants outside the hold-out|one class only"
    ):
        phantom.make_phantom(tmp_path / "x", subjects=5)
    with pytest.raises(ValueError, match="subjects is 0"):
        phantom.make_phantom(tmp_path / "x", subjects=0)
    with pytest.raises(ValueError, match="raw is -1"):
        phantom.make_phantom(tmp_path / "x", raw=-1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="subjects is 24, asked for 25"):
        phantom.make_phantom(tiny_phantom.path, subjects=25, size=32, seed=0)
    same = phantom.make_phantom(
        tiny_phantom.path, subjects=24, size=32, seed=0
    )
    assert same.hashes == tiny_phantom.hashes


def test_a_raw_person_lies_where_its_truth_says(tmp_path):
    raw.write_raw_people(tmp_path, 1, seed=9000, design=images.Design())
    folder = tmp_path / "raw-01"
    truth = json.loads((folder / "truth.json").read_text())
    similarity, motion = (
        np.array(truth["similarity"]),
        np.array(truth["motion"]),
    )
    mask, t1 = (
        nib.load(folder / n)
        for n in ("truth_mask.nii.gz", "raw-01_T1w.nii.gz")
    )
    np.testing.assert_allclose(mask.affine, t1.affine)
    native = nib.affines.apply_affine(
        mask.affine, np.argwhere(mask.get_fdata() > 0)
    )
    full = template.full()
    mni = nib.affines.apply_affine(full.affine, np.argwhere(full.mask))
    moved = nib.affines.apply_affine(similarity, mni)
    np.testing.assert_allclose(
        native.mean(axis=0), moved.mean(axis=0), atol=1.0
    )
    np.testing.assert_allclose(
        np.cov(native.T), np.cov(moved.T), atol=0.05 * 2500
    )
    scale = np.cbrt(np.linalg.det(similarity[:3, :3]))
    volume = mask.get_fdata().sum() * abs(np.linalg.det(mask.affine))
    assert volume / (full.mask.sum() * scale**3) == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(motion[0], np.eye(4))
    turn = motion[:, :3, :3]
    np.testing.assert_allclose(
        turn @ turn.transpose(0, 2, 1),
        np.eye(3)[None].repeat(len(motion), axis=0),
        atol=1e-12,
    )
    bold = nib.load(folder / "raw-01_task-rest_bold.nii.gz")
    about = json.loads((folder / "raw-01_task-rest_bold.json").read_text())
    assert bold.shape[3] == len(motion)
    assert bold.header.get_zooms()[3] == pytest.approx(about["RepetitionTime"])
    volumes = bold.get_fdata(dtype=np.float32)
    weights = np.maximum(volumes - 100, 0)  # air is noise below 100
    centres = [
        nib.affines.apply_affine(
            bold.affine, ndimage.center_of_mass(weights[..., t])
        )
        for t in (0, -1)
    ]
    expected = nib.affines.apply_affine(motion[-1], centres[0])
    assert np.linalg.norm(expected - centres[0]) > 1
    np.testing.assert_allclose(centres[1], expected, atol=0.25)
    outside = np.asarray(t1.dataobj)[mask.get_fdata() == 0]
    # a scalp that a brain mask has to leave out
    assert (outside > 400).sum() > 50_000
