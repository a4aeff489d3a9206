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

from mmssl.cohorts import bids
from mmssl.cohorts.simulated import (
    anatomy,
    factors,
    images,
    phantom,
    planted_masks,
    raw,
)
from mmssl.preprocessing import space, template

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


def person(severity, index=3):
    """A person of 71 years with a given severity."""
    row = factors.person(index, seed=9000)
    row.update(age=71.0, severity=severity)
    return images.SimulatedPerson(index, 9000, row)


def test_the_oracle_on_ten_thousand_people_meets_its_closed_form():
    people = factors.draw(10_000, seed=9000)
    labelled = people[people["group"] != "other"]
    sick = (labelled["group"] == "AD").to_numpy()
    oracle = factors.oracle_auc()
    assert abs(roc_auc_score(sick, labelled["severity"]) - oracle) < 0.01
    names = ["severity", "shared", "private_t1", "private_falff", "age"]
    known = labelled[names].to_numpy()
    half = len(known) // 2
    regression = LogisticRegression().fit(known[:half], sick[:half])
    score = regression.decision_function(known[half:])
    assert abs(roc_auc_score(sick[half:], score) - oracle) < 0.01


def test_groups_sessions_and_populations_have_the_stated_shares():
    people = factors.draw(2000, seed=1)
    main = people[people["population"] == "main"]
    second = people[people["population"] == "second"]
    share = main["group"].value_counts(normalize=True)
    assert share["HC"] == pytest.approx(0.70, abs=0.005)
    assert share["AD"] == pytest.approx(0.15, abs=0.005)
    assert len(second) == 2000 // 6 and set(second["site"]) == {"D"}
    larger = second["head_size"].mean() - main["head_size"].mean()
    assert larger == pytest.approx(1, abs=0.2)
    assert second["age"].mean() < main["age"].mean() - 3
    pairs = factors.sessions(people, seed=1)
    assert len(pairs) / len(people) == pytest.approx(1.5, abs=0.05)
    assert (pairs.groupby("participant_id")["downstream"].sum() == 1).all()


def test_ventricles_widen_and_the_left_temporal_lobe_thins_most():
    shared = anatomy.anatomy(64)
    healthy = images.t1_scan(shared, person(0.0), 1, QUIET)
    sick = images.t1_scan(shared, person(2.5), 1, QUIET)
    masks = planted_masks.truth_masks(64)
    around = ndimage.binary_dilation(masks["ventricles"], iterations=3)
    fluid_healthy = int((healthy[around] < 0.45).sum())
    fluid_sick = int((sick[around] < 0.45).sum())
    assert fluid_sick > 1.15 * fluid_healthy
    grid = template.grid(64)
    x = grid[0, 0] * np.arange(64) + grid[0, 3]
    # RAS+: x grows to the right
    left = (x < 0)[:, None, None] & masks["temporal_lobe"]
    right = (x > 0)[:, None, None] & masks["temporal_lobe"]
    lost = healthy - sick
    assert lost[left].mean() > 1.3 * lost[right].mean() > 0
    near = masks["ventricles"] | masks["temporal_lobe"]
    away = ~ndimage.binary_dilation(near, iterations=8)
    away &= template.template(64).mask
    assert abs(lost[away]).mean() < 0.05 * abs(lost[near]).mean()


def test_severity_lowers_falff_in_the_default_mode_and_nowhere_else():
    shared = anatomy.anatomy(32)
    design = replace(QUIET, ventricles=0)
    healthy = images.falff_scan(shared, person(0.0), 1, design)
    sick = images.falff_scan(shared, person(2.5), 1, design)
    inside = healthy > 0
    assert 0 < healthy[inside].min() and healthy.max() < 1
    change = sick - healthy  # the same draws, so what differs is severity
    nodes, visual, motor = (
        planted_masks.network(name, template.grid(32), (32,) * 3)
        for name in ("default", "visual", "motor")
    )
    core = planted_masks.truth_masks(32)["default_mode"] & inside
    assert change[core].mean() < -0.02
    away = inside & (np.maximum(visual, motor) > 0.6) & (nodes < 0.05)
    assert away.sum() > 50
    assert abs(change[away].mean()) < 0.05 * abs(change[core].mean())
    expected = (nodes * template.template(32).grey)[inside]
    assert np.corrcoef(change[inside], expected)[0, 1] < -0.8


def test_size_64_is_the_same_anatomy_finer():
    someone = person(1.0)
    small = images.t1_scan(anatomy.anatomy(32), someone, 1, QUIET)
    large = images.t1_scan(anatomy.anatomy(64), someone, 1, QUIET)
    assert large.shape == (64,) * 3
    coarse = large.reshape(32, 2, 32, 2, 32, 2).mean(axis=(1, 3, 5))
    both = (small > 0) & (coarse > 0)
    assert np.corrcoef(small[both], coarse[both])[0, 1] > 0.95
    values = images.falff_scan(
        anatomy.anatomy(64), someone, 1, images.Design()
    )
    brain = values > 0
    assert 0.2 < values[brain].mean() < 0.7 and values.max() < 1
    source = template.template(64)
    grey = values[brain & (source.grey > 0.9)].mean()
    white = values[brain & (source.white > 0.9)].mean()
    assert grey > white + 0.03


def test_a_scan_lies_where_its_pose_says():
    design = replace(
        QUIET, shift=6.0, turn=6.0, zoom=0.04, head=0.05, ventricles=0
    )
    someone = person(0.0, index=8)
    full = template.full()
    centre = space.apply(full.affine, np.argwhere(full.mask)).mean(axis=0)
    for modality, scan in (
        ("T1", images.t1_scan),
        ("fALFF", images.falff_scan),
    ):
        volume = scan(anatomy.anatomy(32), someone, 2, design)
        to_anatomy = images.pose(someone, 2, modality, design)
        voxels = np.argwhere(volume > 0)
        here = space.apply(template.grid(32), voxels).mean(axis=0)
        expected = np.linalg.solve(to_anatomy, [*centre, 1])[:3]
        assert np.linalg.norm(here - expected) < 1.5
        assert np.linalg.norm(centre - expected) > 1.5
        scale = np.linalg.det(to_anatomy)
        ratio = len(voxels) * 6**3 * scale / full.mask.sum()
        assert ratio == pytest.approx(1, abs=0.04)


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
        images.t1_scan(anatomy.anatomy(32), other, 1, images.Design()),
        tiny_phantom.volumes["T1"][0],
    )


def test_the_folder_holds_people_pairs_and_truth(tiny_phantom):
    mask = tiny_phantom.mask
    np.testing.assert_array_equal(tiny_phantom.affine, template.grid(32))
    assert len(tiny_phantom) > 24
    assert tiny_phantom.volumes["T1"].dtype == np.float16
    deep = mask & (ndimage.distance_transform_edt(mask) > 4)
    outside = ~ndimage.binary_dilation(mask, iterations=3)
    for values in tiny_phantom.volumes.values():
        filled = (np.asarray(values) > 0).mean(axis=0)
        assert (filled[deep] > 0.9).all()
        assert filled[outside].max() == 0
    truth = pd.read_csv(tiny_phantom.path / "truth" / "factors.tsv", sep="\t")
    people = tiny_phantom.participants["participant_id"]
    assert truth["participant_id"].tolist() == people.tolist()
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
        centres[name] = space.apply(image.affine, voxels).mean(axis=0)
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


TRUTH = "derivatives/truth/sub-01"
BOLD = "sub-01/func/sub-01_task-rest_bold"


@pytest.fixture(scope="module")
def raw_folder(tmp_path_factory):
    """A BIDS dataset of one raw person."""
    folder = tmp_path_factory.mktemp("raw")
    raw.write_raw_people(folder, 1, seed=9000, design=images.Design())
    return folder


def test_a_raw_person_lies_where_its_truth_says(raw_folder):
    truth = json.loads((raw_folder / TRUTH / "truth.json").read_text())
    similarity = np.array(truth["similarity"])
    mask = nib.load(raw_folder / TRUTH / "truth_mask.nii.gz")
    t1 = nib.load(raw_folder / "sub-01/anat/sub-01_T1w.nii.gz")
    np.testing.assert_allclose(mask.affine, t1.affine)
    brain = mask.get_fdata() > 0
    native = space.apply(mask.affine, np.argwhere(brain))
    full = template.full()
    mni = space.apply(full.affine, np.argwhere(full.mask))
    moved = space.apply(similarity, mni)
    np.testing.assert_allclose(
        native.mean(axis=0), moved.mean(axis=0), atol=1.0
    )
    np.testing.assert_allclose(
        np.cov(native.T), np.cov(moved.T), atol=0.05 * 2500
    )
    scale = np.cbrt(np.linalg.det(similarity[:3, :3]))
    volume = brain.sum() * abs(np.linalg.det(mask.affine))
    assert volume / (full.mask.sum() * scale**3) == pytest.approx(1, abs=0.02)
    outside = np.asarray(t1.dataobj)[~brain]
    # a scalp that a brain mask has to leave out
    assert (outside > 400).sum() > 50_000


def test_a_raw_head_moves_as_its_truth_says(raw_folder):
    truth = json.loads((raw_folder / TRUTH / "truth.json").read_text())
    motion = np.array(truth["motion"])
    np.testing.assert_array_equal(motion[0], np.eye(4))
    turn = motion[:, :3, :3]
    np.testing.assert_allclose(
        turn @ turn.transpose(0, 2, 1),
        np.eye(3)[None].repeat(len(motion), axis=0),
        atol=1e-12,
    )
    bold = nib.load(raw_folder / f"{BOLD}.nii.gz")
    sidecar = json.loads((raw_folder / f"{BOLD}.json").read_text())
    assert bold.shape[3] == len(motion)
    tr = bold.header.get_zooms()[3]
    assert tr == pytest.approx(sidecar["RepetitionTime"])
    volumes = bold.get_fdata(dtype=np.float32)
    weights = np.maximum(volumes - 100, 0)  # air is noise below 100
    first, last = (
        space.apply(bold.affine, ndimage.center_of_mass(weights[..., t]))
        for t in (0, -1)
    )
    expected = space.apply(motion[-1], first)
    assert np.linalg.norm(expected - first) > 1
    np.testing.assert_allclose(last, expected, atol=0.25)


def test_raw_people_are_a_dataset_that_studies_are_read_from(raw_folder):
    study = bids.read(raw_folder)
    assert study.aside.empty
    assert len(study.pairs) == 1
    pair = study.pairs.iloc[0]
    assert pair["T1"] == "sub-01/anat/sub-01_T1w.nii.gz"
    assert pair["fALFF"] == f"{BOLD}.nii.gz"
    truth = json.loads((raw_folder / TRUTH / "truth.json").read_text())
    person = study.participants.iloc[0]
    assert person["group"] == truth["factors"]["group"]
    assert person["age"] == pytest.approx(truth["factors"]["age"])
