"""Lesions planted in simulated people: known, and nothing else changed."""

from dataclasses import replace

import numpy as np
import pytest
from small_cohort import write_small_cohort

from mmssl import cohorts
from mmssl.cohorts import cohort, lesions
from mmssl.preprocessing import space, template


@pytest.fixture(scope="module")
def planted(tiny_phantom, tmp_path_factory):
    """Give the simulated people with lesions, all but a few at full share."""
    folder = tmp_path_factory.mktemp("lesions") / "cohort"
    return lesions.plant(tiny_phantom, folder, seed=3)


def test_what_lies_outside_the_lesions_is_the_cohort_to_the_bit(
    planted, tiny_phantom
):
    table = lesions.lesion_table(planted)
    masks = lesions.lesion_masks(planted)
    with_lesion = np.isin(np.arange(len(planted)), table["pair"])
    assert 0.25 < with_lesion.mean() < 0.75
    points = space.apply(
        planted.affine, np.argwhere(np.ones((planted.size,) * 3))
    )
    for m in planted.modalities:
        before, after = tiny_phantom.volumes[m], planted.volumes[m]
        assert after.dtype == before.dtype
        assert np.array_equal(before[~with_lesion], after[~with_lesion])
        for line in table.itertuples():
            changed = before[line.pair] != after[line.pair]
            assert changed.any() and masks[line.pair].any()
            centre = np.array([line.x, line.y, line.z])
            far = np.linalg.norm(points - centre, axis=1) > 40
            assert not changed.ravel()[far].any()
            # the background stays background
            assert not after[line.pair][before[line.pair] == 0].any()
    assert not masks[~with_lesion].any()


def test_types_are_what_they_are_called(planted, tiny_phantom):
    table = lesions.lesion_table(planted)
    masks = lesions.lesion_masks(planted)
    assert set(table["type"]) == set(lesions.TYPES)
    for line in table.itertuples():
        inside = masks[line.pair]
        ratio = {}
        for m in planted.modalities:
            before = tiny_phantom.volumes[m][line.pair].astype(np.float64)
            after = planted.volumes[m][line.pair].astype(np.float64)
            ratio[m] = after[inside].sum() / before[inside].sum()
        assert 1 - line.falff - 0.01 < ratio["fALFF"] < 1
        if line.type == lesions.DARK:
            assert 1 - line.contrast - 0.01 < ratio["T1"] < 1
        else:
            assert 1 < ratio["T1"] < 1 + line.contrast + 0.01


def test_a_rim_is_brighter_than_what_it_surrounds(planted, tiny_phantom):
    table = lesions.lesion_table(planted)
    rims = table[table["type"] == lesions.RIM]
    assert len(rims)
    for line in rims.itertuples():
        lesion = line._asdict()
        weights, inside = lesions._profile(
            lesion, planted.affine, planted.size, lesions.LesionDesign()
        )
        voxel = np.linalg.inv(planted.affine) @ [line.x, line.y, line.z, 1]
        centre = tuple(voxel[:3].round().astype(int))
        rim = weights[lesions.RIM]
        assert rim[centre] < rim[inside].max()
        assert weights["whole"][centre] == pytest.approx(1, abs=0.02)
        # in T1, as strong as the table says; fALFF is lost in the whole of it
        for m, change in (
            ("T1", line.contrast * rim),
            ("fALFF", -line.falff * weights["whole"]),
        ):
            before = tiny_phantom.volumes[m][line.pair].astype(np.float64)
            expected = before * (1 + change)
            after = planted.volumes[m][line.pair]
            np.testing.assert_allclose(after, expected, rtol=1e-3)


def test_boxes_and_slices_are_those_of_the_masks(planted):
    table = lesions.lesion_table(planted)
    masks = lesions.lesion_masks(planted)
    for line in table.itertuples():
        box = masks[line.pair][
            line.x0 : line.x1, line.y0 : line.y1, line.z0 : line.z1
        ]
        assert box.sum() == masks[line.pair].sum() > 0
        for axis in range(3):
            assert box.any(tuple(k for k in range(3) if k != axis)).all()
    for axis in range(3):
        labels = lesions.slice_labels(masks, axis)
        for row in range(len(masks)):
            expected = [
                masks[row].take(k, axis).any() for k in range(planted.size)
            ]
            assert labels[row].tolist() == expected


def test_a_lesion_stays_on_its_side_and_in_the_white_matter(planted):
    table = lesions.lesion_table(planted)
    assert set(table["side"]) == {"left", "right"}
    assert ((table["x"] < 0) == (table["side"] == "left")).all()
    points = table[["x", "y", "z"]].to_numpy()
    mni = template.template(planted.size)
    voxels = space.apply(np.linalg.inv(mni.affine), points).round().astype(int)
    assert (mni.white[tuple(voxels.T)] > 0.5).all()


def test_people_keep_their_lesion_over_sessions_and_their_labels(
    planted, tiny_phantom
):
    table = lesions.lesion_table(planted).set_index("pair")
    labels = planted.labels()
    assert planted.classes == ["none", "lesion"]
    assert (labels == np.isin(np.arange(len(planted)), table.index)).all()
    types = planted.labels("lesion_type")
    for row, kind in enumerate(types):
        known = table["type"].get(row)
        assert (kind == -1) == (known is None)
        if known is not None:
            assert lesions.TYPES[kind] == known
    again = planted.labels("diagnosis")
    assert np.array_equal(again, tiny_phantom.labels("diagnosis"))
    assert planted.splits == tiny_phantom.splits
    columns = ["type", "x", "y", "z", "contrast"]
    seen = {}
    for row, person in enumerate(planted.subjects):
        if row in table.index:
            lesion = table.loc[row, columns].tolist()
            assert seen.setdefault(person, lesion) == lesion


def test_a_persons_lesion_depends_on_nobody_else(tiny_phantom, tmp_path):
    """The same in a cohort of fewer people; another with another seed."""
    fewer = tiny_phantom.rows("holdout")
    names = set(tiny_phantom.subjects[fewer])
    drawn = {
        seed: {
            name: lesions._draw(
                name, lesions._places(32), seed, lesions.LesionDesign()
            )
            for name in names
        }
        for seed in (3, 4)
    }
    made = lesions.plant(tiny_phantom, tmp_path / "a", seed=3)
    table = lesions.lesion_table(made).set_index("pair")
    for row in fewer:
        expected = drawn[3][made.subjects[row]]
        assert (expected is None) == (row not in table.index)
        if expected is not None:
            assert table.loc[row, "x"] == expected["x"]
    assert drawn[3] != drawn[4]


def test_nobody_and_everybody(tiny_phantom, tmp_path):
    none = lesions.LesionDesign(share=0.0)
    made = lesions.plant(tiny_phantom, tmp_path / "none", design=none)
    for m in made.modalities:
        assert made.hashes[f"{m}.npy"] == tiny_phantom.hashes[f"{m}.npy"]
    assert lesions.lesion_table(made).empty
    assert not lesions.lesion_masks(made).any()
    everybody = lesions.LesionDesign(share=1.0)
    made = lesions.plant(tiny_phantom, tmp_path / "all", design=everybody)
    assert lesions.lesion_masks(made).any((1, 2, 3)).all()
    assert cohort.load(made.path).labels().all()


def test_what_has_no_place_for_lesions_is_refused(tiny_phantom, tmp_path):
    other = write_small_cohort(tmp_path / "other")
    with pytest.raises(ValueError, match="not on the template's grid of 16"):
        lesions.plant(other, tmp_path / "a")
    third = replace(tiny_phantom, modalities=("T1", "dMRI"))
    with pytest.raises(ValueError, match="modalities T1, dMRI of T1"):
        lesions.plant(third, tmp_path / "a")
    much = lesions.LesionDesign(share=1.5)
    with pytest.raises(ValueError, match="share is 1.5, expected from 0 to 1"):
        lesions.plant(tiny_phantom, tmp_path / "a", design=much)
    with pytest.raises(ValueError, match="exists already"):
        lesions.plant(tiny_phantom, tmp_path / "other")
    assert not (tmp_path / "a").exists()


def test_regions_of_the_disease_are_not_those_of_a_lesion_cohort(planted):
    assert cohorts.planted(planted) == {}


def test_a_cohort_may_be_of_t1_alone(planted, tiny_phantom, tmp_path):
    """The same lesions, without the other images."""
    alone = lesions.plant(
        tiny_phantom, tmp_path / "t1", seed=3, modalities=("T1",)
    )
    assert alone.modalities == ("T1",)
    assert np.array_equal(alone.volumes["T1"], planted.volumes["T1"])
    both = lesions.lesion_table(planted)
    assert lesions.lesion_table(alone).equals(both)
    # not even one that would be right elsewhere
    with pytest.raises(ValueError, match="modalities T1, fALFF of T1, exp"):
        lesions.plant(alone, tmp_path / "b", modalities=("T1", "fALFF"))
    with pytest.raises(ValueError, match="modalities fALFF of T1, fALFF"):
        lesions.plant(tiny_phantom, tmp_path / "a", modalities=("fALFF",))
