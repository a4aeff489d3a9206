"""Localisation: left stays left, clusters by another library, regions of an
atlas.
"""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nilearn.image import resample_to_img
from nilearn.reporting import get_clusters_table
from planted_ball import SHAPE
from scipy import ndimage

from mmssl.groupmaps.clusters import (
    Atlas,
    clusters,
    peaks,
    read_atlas,
    surviving,
)
from mmssl.groupmaps.overlap import overlap, overlaps
from mmssl.ledger.artefacts import write_map


def test_left_stays_left_in_the_table_and_in_the_file(one_sided, tmp_path):
    o = one_sided
    found = peaks({("a", "T1", "positive"): (o.rbc, o.p)}, o.affine, o.mask)
    at = found.loc[0, ["x", "y", "z"]].to_numpy(dtype=float)
    assert np.sign(at[0]) == o.side and np.linalg.norm(at - o.point) < 6
    table = clusters(o.rbc, o.p < 0.05, o.affine, p=o.p)
    assert np.sign(table["x"][0]) == o.side and table["sign"][0] == 1
    assert table["mm3"][0] == pytest.approx(
        table["voxels"][0] * 2.0 * 2.5 * 3.0
    )

    image = nib.load(write_map(tmp_path / "rbc.nii.gz", o.rbc, o.affine))
    assert np.allclose(image.affine, o.affine, atol=1e-5)
    voxel = np.unravel_index(np.abs(image.get_fdata()).argmax(), SHAPE)
    assert np.allclose(apply_affine(image.affine, voxel), at, atol=1e-3)
    score = overlap(o.rbc, o.ball, o.mask, o.affine)
    assert score.auprc > 0.8 and score.dice > 0.7 and score.distance == 0.0


def test_clusters_equal_nilearns(rng, affine):
    values = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.2)
    values /= np.abs(values).max()
    ours = clusters(values, np.abs(values) > 0.4, affine)
    image = nib.Nifti1Image(values, affine)
    theirs = get_clusters_table(
        image, stat_threshold=0.4, two_sided=True, min_distance=1000
    )
    assert len(ours) == len(theirs) and len(set(ours["sign"])) == 2
    keys = {"X": "x", "Y": "y", "Z": "z", "Peak Stat": "peak"}
    ours = ours.sort_values("peak")[[*keys.values(), "mm3"]].to_numpy()
    theirs = theirs.sort_values("Peak Stat")
    assert np.allclose(
        ours[:, :4], theirs[list(keys)].to_numpy(dtype=float), atol=1e-4
    )
    volumes = theirs["Cluster Size (mm3)"].to_numpy(dtype=float)
    # theirs are cut to whole mm3
    assert np.abs(ours[:, 4] - volumes).max() <= 1


def test_touching_corners_are_two_clusters():
    values = np.zeros(SHAPE)
    values[3, 4, 5] = values[4, 5, 6] = 1.0
    assert len(clusters(values, values > 0, np.eye(4))) == 2
    nothing = clusters(values, values > 2, np.eye(4), p=values)
    assert nothing.empty and {"cluster", "mm3", "x", "peak", "p"} <= set(
        nothing
    )


def test_a_voxel_without_a_sign_is_in_no_cluster():
    values = np.zeros(SHAPE)
    assert clusters(values, values == 0, np.eye(4)).empty


def test_tables_of_several_maps_name_each(one_sided):
    o = one_sided
    maps = {
        ("a", "T1", "positive"): (o.rbc, o.p),
        ("b", "T1", "negative"): (o.rbc, o.p * 0 + 1),
    }
    found = surviving(maps, o.affine)
    assert set(found["source"]) == {"a"} and set(found["effect"]) == {1}
    again = {("c", "T1", "positive"): (o.rbc, o.p)}
    both = surviving({**maps, **again}, o.affine)
    assert both.index.tolist() == list(range(2 * len(found)))
    none = surviving({("b", "T1", "negative"): (o.rbc, o.p * 0 + 1)}, o.affine)
    assert none.empty and list(none) == list(found)
    found = peaks(maps, o.affine)
    assert found["voxels"].tolist() == [int((o.p < 0.05).sum()), 0]
    scores = overlaps(
        {k: v for k, (v, _) in maps.items()}, {"T1": o.ball}, o.mask, o.affine
    )
    assert scores["auprc"].nunique() == 1 and len(scores) == 2


def _atlas(folder, affine, rng):
    labels = np.zeros(SHAPE, dtype=np.int16)
    labels[3:8, 4:9, 2:9], labels[9:14, 6:12, 8:15] = 1, 7
    nib.Nifti1Image(labels, affine).to_filename(folder / "atlas.nii.gz")
    (folder / "names.txt").write_text("1 Hippocampus x\n7\tInsula\n")
    return read_atlas(folder / "atlas.nii.gz", folder / "names.txt")


def test_an_atlas_of_another_grid_is_read_at_its_nearest_voxel(
    tmp_path, affine, rng
):
    atlas = _atlas(tmp_path, affine, rng)
    grid = np.diag([3.0, 3, 3, 1])
    grid[:3, 3] = apply_affine(affine, [4, 5, 4])
    target = nib.Nifti1Image(np.zeros((9, 8, 7)), grid)
    expected = resample_to_img(
        nib.Nifti1Image(atlas.labels.astype("i2"), affine),
        target,
        interpolation="nearest",
    )
    points = apply_affine(grid, np.stack(np.indices((9, 8, 7)), axis=-1))
    found = atlas.at(points)
    # halves may round either way
    assert (found == expected.get_fdata()).mean() > 0.995
    assert set(np.unique(found)) == {0, 1, 7}


def test_an_atlas_ends_at_its_first_and_last_voxel():
    labels = np.arange(1, 25).reshape(2, 3, 4)
    names = {label: str(label) for label in range(1, 25)}
    atlas = Atlas(labels, np.diag([2.0, 3, 4, 1]), names)
    assert atlas.region([0, 0, 0]) == "1"
    assert atlas.region([2, 6, 12]) == "24"
    assert atlas.at([[-2, 0, 0], [4, 0, 0], [0, 0, 16]]).tolist() == [0, 0, 0]


def test_peaks_and_clusters_are_named(tmp_path, affine, rng):
    atlas = _atlas(tmp_path, affine, rng)
    values = np.zeros(SHAPE)
    values[5:8, 6, 5], values[6, 6, 5], values[15, 15, 3] = 0.5, 0.9, -0.6
    values[8, 6, 5] = 0.5  # one voxel outside
    table = clusters(values, values != 0, affine, atlas)
    assert table["region"].tolist() == ["Hippocampus", ""]
    assert table["regions"].tolist() == ["Hippocampus 75%", ""]
    assert atlas.region([1e6, 0, 0]) == ""


def test_an_atlas_without_a_name_is_refused(tmp_path, affine, rng):
    _atlas(tmp_path, affine, rng)
    (tmp_path / "names.txt").write_text("Hippocampus\nInsula\n")
    with pytest.raises(ValueError, match="no name for label 7"):
        read_atlas(tmp_path / "atlas.nii.gz", tmp_path / "names.txt")
    nib.Nifti1Image(np.full(SHAPE, 0.5), affine).to_filename(
        tmp_path / "half.nii.gz"
    )
    with pytest.raises(ValueError, match="3D image of labels"):
        read_atlas(tmp_path / "half.nii.gz", tmp_path / "names.txt")


def test_a_published_atlas_knows_left_from_right(real_data):
    folder = real_data / "atlas"
    atlas = read_atlas(
        folder / "Tian_Subcortex_S1_3T.nii.gz",
        folder / "Tian_Subcortex_S1_3T_label.txt",
    )
    assert len(atlas.names) == 16
    # the body of the hippocampus in MNI space
    for x, side in ((-26, "lh"), (26, "rh")):
        assert atlas.region([x, -22, -14]) == f"HIP-{side}"
    for number, name in atlas.names.items():
        x = apply_affine(atlas.affine, np.argwhere(atlas.labels == number))[
            :, 0
        ]
        assert (x.mean() < 0) == name.endswith("lh"), name
