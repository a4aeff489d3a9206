"""Slices of volumes: each in its place with its neighbours, people in their
roles, and a cohort that networks of images are pretrained on.
"""

from dataclasses import replace

import numpy as np
import pytest
from small_cohort import SMALL_RUN, lack, write_small_cohort

from mmssl.cohorts import slices as module
from mmssl.cohorts.slices import (
    brain_slices,
    cut_slices,
    slice_sources,
    stacked,
)
from mmssl.pretrain import embed, fit

SIDE = 16


def with_brain(folder):
    """A small cohort whose images are 0 above and below a brain, in one
    person higher up, and in one slice nearly so.
    """
    rng = np.random.default_rng(2)
    volumes = rng.uniform(1, 2, (24, SIDE, SIDE, SIDE)).astype("f2")
    volumes[..., :3] = 0
    volumes[..., 13:] = 0
    volumes[5, ..., :5] = 0
    volumes[:, 3:, :, 12] = 0
    volumes[:, :, 4:, 12] = 0
    cohort = write_small_cohort(folder, T1=volumes, intensity="brain")
    assert (volumes[0, ..., 12] != 0).mean() == 12 / 256
    return cohort


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Give the cohort of volumes."""
    return with_brain(tmp_path_factory.mktemp("volumes") / "cohort")


@pytest.fixture(scope="module")
def slices(volumes, tmp_path_factory):
    """Give its slices, each with one neighbour on each side."""
    return cut_slices(volumes, tmp_path_factory.mktemp("cut") / "slices")


def test_a_slice_is_its_own_with_its_neighbours_as_channels(volumes, slices):
    sources = slice_sources(slices)
    cut = slices.volumes["T1"]
    assert cut.shape == (len(sources), 3, SIDE, SIDE)
    assert cut.dtype == np.float16
    for row, (pair, place) in enumerate(sources.to_numpy()):
        for channel, other in enumerate((place - 1, place, place + 1)):
            expected = volumes.volumes["T1"][pair][:, :, other]
            assert np.array_equal(cut[row, channel], expected)


def test_what_lies_beyond_a_volume_is_empty():
    volume = np.random.default_rng(0).random((4, 5, 6))
    found = stacked(volume, 2)
    assert found.shape == (6, 5, 4, 5)
    for place in range(6):
        for channel in range(5):
            other = place + channel - 2
            inside = 0 <= other < 6
            expected = volume[:, :, other] if inside else np.zeros((4, 5))
            assert np.array_equal(found[place, channel], expected)
    assert np.array_equal(stacked(volume, 0)[:, 0], np.moveaxis(volume, 2, 0))


def test_slices_without_brain_are_left_out(volumes, slices):
    """Slice 12 shows brain in less than a 20th of its voxels."""
    sources = slice_sources(slices)
    for pair in range(len(volumes)):
        first = 5 if pair == 5 else 3
        places = sources["slice"][sources["pair"] == pair]
        assert places.tolist() == list(range(first, 12))
    shown = brain_slices(volumes, "T1")
    assert shown.sum() == len(slices)


def test_the_mask_says_what_brain_is(volumes, tmp_path):
    mask = np.zeros((SIDE,) * 3, bool)
    mask[2:9, 1:12, 6:9] = True
    masked = replace(volumes, mask=mask)
    cut = cut_slices(masked, tmp_path / "cut")
    sources = slice_sources(cut)
    assert set(sources["slice"]) == {6, 7, 8}
    first = np.asarray(cut.volumes["T1"][0])
    assert not first[0].any()  # slice 5
    for channel, place in ((1, 6), (2, 7)):
        expected = volumes.volumes["T1"][0][:, :, place]
        expected = np.where(mask[:, :, place], expected, 0)
        assert np.array_equal(first[channel], expected)


def test_people_keep_their_role_their_label_and_their_rows(volumes, slices):
    assert slices.splits == volumes.splits
    sources = slice_sources(slices)
    assert np.array_equal(slices.subjects, volumes.subjects[sources["pair"]])
    labels = volumes.labels()[sources["pair"]]
    assert np.array_equal(slices.labels(), labels)
    roles = [slices.rows(*r) for r in (("train",), ("valid",), ("holdout",))]
    people = [set(slices.subjects[rows]) for rows in roles]
    assert [len(names) for names in people] == [16, 4, 4]
    assert len(set.union(*people)) == 24
    keys = slices.pairs[["participant_id", "session"]]
    assert not keys.duplicated().any()
    assert slices.pairs["session"][0] == "1-slice003"
    assert (slices.dims, slices.intensity) == (2, "brain")
    assert slices.affine is None
    assert slices.mask is None


def test_one_slice_a_person_is_downstream_the_one_of_most_brain(tmp_path):
    volumes = with_brain(tmp_path / "volumes")
    images = np.array(volumes.volumes["T1"])
    images[:, 0, :, 3:7] = 0
    images[:, 0, :, 8:12] = 0
    whole = write_small_cohort(
        tmp_path / "whole", T1=images, intensity="brain"
    )
    cut = cut_slices(whole, tmp_path / "cut")
    chosen = cut.pairs["downstream"] == 1
    assert chosen.sum() == len(whole.participants)
    assert set(slice_sources(cut)["slice"][chosen]) == {7}


def test_who_lacks_the_modality_has_no_slice(tmp_path):
    with_brain(tmp_path / "volumes")
    lacking = lack(tmp_path / "volumes", "T1", [1, 7])
    cut = cut_slices(lacking, tmp_path / "cut")
    assert not {1, 7} & set(slice_sources(cut)["pair"])
    assert len(cut.participants) == 24
    assert "has_T1" not in cut.pairs


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        ("AE", {}),
        (
            "SwAV",
            {"prototypes": 4, "queue": 32, "crops": (2, 1), "features": 4},
        ),
    ],
)
def test_networks_of_images_are_pretrained_on_it(
    slices, objective, options, tmp_path
):
    asked = {**SMALL_RUN, "batch_size": 32, **options}
    run = fit(slices, objective, tmp_path / objective, **asked)
    z = embed(run, slices)["T1"]
    assert z.shape == (len(slices), 4)
    assert np.isfinite(z).all()
    assert z.std(0).min() > 0


def test_landmarks_are_those_of_the_slices_of_training_people(
    volumes, slices, tmp_path
):
    """Whatever other people show, the network is the same."""
    others = np.array(volumes.volumes["T1"])
    held_out = volumes.rows("holdout")
    others[held_out] **= 3
    changed = write_small_cohort(
        tmp_path / "other", T1=others, intensity="brain"
    )
    cut = cut_slices(changed, tmp_path / "cut")
    embeddings = []
    for number, cohort in enumerate((slices, cut)):
        run = fit(cohort, "AE", tmp_path / f"run{number}", **SMALL_RUN)
        z = embed(run, cohort)["T1"]
        embeddings.append(z[cohort.rows("train")])
    assert np.array_equal(*embeddings)


def test_without_neighbours_there_is_no_axis_of_channels(volumes, tmp_path):
    cut = cut_slices(volumes, tmp_path / "cut", "fALFF", neighbours=0)
    assert cut.modalities == ("fALFF",)
    assert cut.volumes["fALFF"].shape == (24 * SIDE, SIDE, SIDE)
    place = slice_sources(cut).iloc[20]
    expected = volumes.volumes["fALFF"][place["pair"]][..., place["slice"]]
    assert np.array_equal(cut.volumes["fALFF"][20], expected)


def test_what_cannot_be_cut_is_refused(volumes, slices, tmp_path):
    folder = tmp_path / "cut"
    with pytest.raises(ValueError, match="dims is 2, expected 3"):
        cut_slices(slices, folder)
    with pytest.raises(ValueError, match="'FLAIR', expected one of T1, fALF"):
        cut_slices(volumes, folder, "FLAIR")
    with pytest.raises(ValueError, match="neighbours is -1, expected 0"):
        cut_slices(volumes, folder, neighbours=-1)
    coloured = replace(volumes, channels={"T1": 3, "fALFF": 1})
    with pytest.raises(ValueError, match="T1 has 3 channels, expected 1"):
        cut_slices(coloured, folder)
    nothing = replace(volumes, mask=np.zeros((SIDE,) * 3, bool))
    with pytest.raises(ValueError, match="no slice of which brain fills 5%"):
        cut_slices(nothing, folder)
    assert not folder.exists()
    folder.mkdir()
    with pytest.raises(ValueError, match="exists already"):
        cut_slices(volumes, folder)
    assert module.SMALLEST_SHARE == 0.05
