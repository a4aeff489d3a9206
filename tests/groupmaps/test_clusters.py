"""Localisation: left stays left, clusters by another library, scores by
definition, bad input.
"""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import AxesImage
from nibabel.affines import apply_affine
from nilearn.image import resample_to_img
from nilearn.reporting import get_clusters_table
from scipy import ndimage
from sklearn.metrics import average_precision_score
from torch import nn

from mmssl import plotting
from mmssl.cohorts.simulated import planted_masks
from mmssl.groupmaps.clusters import (
    CORNERS,
    clusters,
    peak,
    peaks,
    read_atlas,
    surviving,
    to_volume,
)
from mmssl.groupmaps.mann_whitney import compare, rank_biserial
from mmssl.groupmaps.overlap import edges, overlap, overlaps
from mmssl.ledger.artefacts import (
    KEYS,
    TESTS,
    Ruling,
    Verdict,
    read_map,
    stamp,
    write_map,
)
from mmssl.models.dcgan import Encoder
from mmssl.saliency import dimensions
from mmssl.saliency.parameter_randomisation import map_cascade

SHAPE = (17, 18, 19)


def _planted(affine, side):
    """A brain and, on one side of x = 0 mm, a ball around a point far from it;
    bool each.
    """
    world = apply_affine(affine, np.stack(np.indices(SHAPE), axis=-1))
    centre = world[tuple(n // 2 for n in SHAPE)]
    brain = np.linalg.norm((world - centre) / (15, 19, 24), axis=-1) < 1
    ball = np.linalg.norm(world - centre - (side * 8, 3, -5), axis=-1) < 5.5
    return brain, ball, centre + (side * 8, 3, -5)


def _judged(rbc):
    """A verdict that was given on this map."""
    answers = ("yes", "yes", "yes", "no")
    rulings = {
        test: Ruling(a, "") for test, a in zip(TESTS, answers, strict=True)
    }
    return Verdict(stamp(rbc), rulings)


@pytest.fixture
def centred(affine):
    """The oblique affine, moved so that the middle of the image is at x =
    0.
    """
    middle = [n // 2 for n in SHAPE]
    affine[0, 3] -= apply_affine(affine, middle)[0]
    return affine


@pytest.fixture(params=[-1, 1], ids=["left", "right"])
def one_sided(request, rng, centred):
    """Two groups of 12 that differ in one ball on one side: what the whole
    chain makes of it.
    """
    mask, ball, point = _planted(centred, request.param)
    values = ndimage.gaussian_filter(
        rng.normal(size=(24, *SHAPE)), (0, 1, 1, 1)
    )
    values[:12] += ball
    found = compare(
        values[:, None, mask], np.arange(24) < 12, 199, progress=False
    )
    ((rbc, p),) = found.volumes(mask)
    return SimpleNamespace(
        side=request.param,
        mask=mask,
        ball=ball,
        point=point,
        rbc=rbc,
        p=p,
        affine=centred,
    )


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


def test_left_stays_left_in_the_figures_array(one_sided):
    """The array that is drawn, placed by the extent that is drawn, peaks where
    the ball lies.
    """
    o = one_sided
    figure = plotting.group_maps(
        {"row": {"column": (o.rbc, o.p, _judged(o.rbc))}},
        o.mask * 1.0,
        o.affine,
        {"row": o.ball},
    )
    axial = next(
        a
        for a in figure.axes
        if any(t.get_text().startswith("z=") for t in a.texts)
    )
    drawn = [
        i
        for i in axial.images
        if isinstance(i, AxesImage) and i.get_cmap().name == "RdBu_r"
    ]
    array, (left, right, bottom, top) = (
        np.abs(drawn[-1].get_array()),
        drawn[-1].get_extent(),
    )
    row, column = np.unravel_index(
        np.ma.filled(array, 0).argmax(), array.shape
    )
    row = row if drawn[-1].origin == "lower" else array.shape[0] - 1 - row
    x = left + (column + 0.5) * (right - left) / array.shape[1]
    y = bottom + (row + 0.5) * (top - bottom) / array.shape[0]
    # the ball's size
    assert np.sign(x) == o.side and np.linalg.norm((x, y) - o.point[:2]) < 7
    letters = {t.get_text(): t.get_window_extent().x0 for t in axial.texts}
    assert letters["L"] < letters["R"]
    assert axial.get_xlim()[0] < axial.get_xlim()[1]


def test_the_page_says_when_nothing_survives(rng, centred):
    mask = _planted(centred, 1)[0]
    rbc = rng.uniform(-0.2, 0.2, SHAPE) * mask
    given = rbc, np.ones(SHAPE), _judged(rbc)
    figure = plotting.group_maps({"row": {"a": given}}, mask * 1.0, centred)
    said = "".join(t.get_text() for t in figure.texts)
    assert "nothing survives" in said and "court: 3 of 4; no: deletion" in said


def test_the_viewer_is_small_and_needs_nothing_from_elsewhere(one_sided):
    o = one_sided
    background = np.random.default_rng(0).random(SHAPE) * o.mask
    verdict = _judged(o.rbc)
    view = plotting.interactive(
        o.rbc, o.p, verdict, o.affine, background, o.affine, "title"
    )
    page = view.get_standalone()
    assert (
        f"title: |RBC| above {np.abs(o.rbc).max() / 2:.2f}" in page
        and str(verdict) in page
    )
    assert len(page) < 1_000_000
    assert (
        "<script src" not in page and 'rel="stylesheet" href="http' not in page
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda rbc, p, verdict: (rbc, None, verdict),
            "shown with its correction",
        ),
        (
            lambda rbc, p, verdict: (rbc, p[1:], verdict),
            "shown with its correction",
        ),
        (
            lambda rbc, p, verdict: (rbc, np.full(SHAPE, np.nan), verdict),
            "above 0",
        ),
        (
            lambda rbc, p, verdict: (rbc, p, None),
            "what the saliency court says",
        ),
        (
            lambda rbc, p, verdict: (rbc, p, "court: 4 of 4"),
            "what the saliency court says",
        ),
        (lambda rbc, p, verdict: (-rbc, p, verdict), "given on another map"),
    ],
)
def test_no_map_is_drawn_without_its_correction_and_its_verdict(
    one_sided, spoil, reason
):
    o = one_sided
    rbc, p, verdict = spoil(o.rbc, o.p, _judged(o.rbc))
    with pytest.raises(ValueError, match=reason):
        plotting.group_maps(
            {"row": {"a": (rbc, p, verdict)}}, o.mask * 1.0, o.affine
        )
    with pytest.raises(ValueError, match=reason):
        plotting.interactive(rbc, p, verdict, o.affine, o.mask * 1.0, o.affine)


def test_a_map_given_as_a_bare_pair_is_refused(one_sided):
    o = one_sided
    with pytest.raises(ValueError, match="row, a: NoneType for a verdict"):
        plotting.group_maps(
            {"row": {"a": (o.rbc, o.p)}}, o.mask * 1.0, o.affine
        )


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


def test_touching_corners_are_one_cluster_only_if_asked():
    values = np.zeros(SHAPE)
    values[3, 4, 5] = values[4, 5, 6] = 1.0
    assert len(clusters(values, values > 0, np.eye(4))) == 2
    together = clusters(values, values > 0, np.eye(4), connected=CORNERS)
    assert together["voxels"].tolist() == [2]
    nothing = clusters(values, values > 2, np.eye(4), p=values)
    assert nothing.empty and {"cluster", "mm3", "x", "peak", "p"} <= set(
        nothing
    )


def test_tables_of_several_maps_name_each(one_sided):
    o = one_sided
    maps = {
        ("a", "T1", "positive"): (o.rbc, o.p),
        ("b", "T1", "negative"): (o.rbc, o.p * 0 + 1),
    }
    found = surviving(maps, o.affine)
    assert set(found["source"]) == {"a"} and set(found["effect"]) == {1}
    none = surviving({("b", "T1", "negative"): (o.rbc, o.p * 0 + 1)}, o.affine)
    assert none.empty and list(none) == list(found)
    found = peaks(maps, o.affine)
    assert found["voxels"].tolist() == [int((o.p < 0.05).sum()), 0]
    scores = overlaps(
        {k: v for k, (v, _) in maps.items()}, {"T1": o.ball}, o.mask, o.affine
    )
    assert scores["auprc"].nunique() == 1 and len(scores) == 2


# ---- regions -----------------------------------------------------------------------------------


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


# ---- scores ------------------------------------------------------------------------------------


def test_scores_are_their_definitions(rng, affine):
    mask, truth, _ = _planted(affine, 1)
    values = rng.normal(size=SHAPE)
    values[truth] *= 3
    found = overlap(values, truth, mask, affine)
    score, wanted = np.abs(values[mask]), truth[mask]
    assert found.auprc == pytest.approx(average_precision_score(wanted, score))
    chosen = np.argsort(-score)[: wanted.sum()]
    both = wanted[chosen].sum()
    assert found.dice == pytest.approx(2 * both / (wanted.sum() + len(chosen)))
    assert found.chance == pytest.approx(wanted.mean())
    point, voxel = peak(values, affine, mask)
    inside = apply_affine(affine, np.argwhere(truth & mask))
    assert found.distance == pytest.approx(
        np.linalg.norm(inside - point, axis=1).min()
    )
    assert mask[voxel]


def test_the_mask_itself_is_perfect_and_a_constant_is_chance(affine):
    mask, truth, _ = _planted(affine, -1)
    perfect = overlap(-1.0 * truth, truth, mask, affine)
    assert (perfect.auprc, perfect.dice, perfect.distance) == (1.0, 1.0, 0.0)
    flat = overlap(np.ones(SHAPE), truth, mask, affine)
    assert flat.auprc == pytest.approx(
        flat.chance
    ) and flat.dice == pytest.approx(flat.chance)


def test_edges_are_steep_where_the_image_is(rng):
    images = np.zeros((3, *SHAPE))
    images[:, 9:] = [[[[1.0]]], [[[2.0]]], [[[3.0]]]]
    found = edges(images)
    assert set(np.unique(found.argmax(axis=0))) <= {8, 9}
    # the derivative of a Gaussian, summed over one side of a step of 2
    k = np.arange(-4, 5)
    weight = np.exp(-(k**2) / 2)
    expected = 2 * (k * weight)[k > 0].sum() / weight.sum()
    assert found.max() == pytest.approx(expected)


# ---- dimensions --------------------------------------------------------------------------------


def test_the_probe_leans_on_the_planted_dimensions(rng):
    labels = np.arange(60) % 2
    z = rng.normal(size=(60, 5))
    z[:, 3] += 2 * labels
    z[:, 1] = 100 * (z[:, 1] - 2 * labels)  # another unit must not count
    picks = dimensions.choose(
        dimensions.fit({"row": {"T1": z}}, labels, np.arange(60), trials=6)
    )
    assert picks["dimension"].tolist() == [3, 1]
    assert picks["sign"].tolist() == ["positive", "negative"]
    assert picks["beta"][0] > 0 > picks["beta"][1]


def test_maps_of_all_sources_are_each_corrected_as_one_family(rng):
    labels, mask = np.arange(20) < 8, np.ones((2, 3, 4), dtype=bool)
    values = {
        "a": rng.normal(size=(20, 2, 24)),
        "b": rng.normal(size=(20, 2, 24)),
    }
    values["a"][labels, 1, :5] += 3
    picks = pd.DataFrame(
        [(s, "T1", sign, 0, 0.0) for s in values for sign in dimensions.SIGNS],
        columns=["source", "modality", "sign", "dimension", "beta"],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            dimensions,
            "subject_maps",
            lambda encoders, *a, **k: values[encoders],
        )
        maps, counted = dimensions.compare(
            {s: s for s in values}, {}, labels, picks, mask, 99
        )
    assert list(maps) == list(
        picks[list(KEYS)].itertuples(index=False, name=None)
    )
    for source, people in values.items():
        expected = compare(people, labels, 99, 0, progress=False)
        for i, sign in enumerate(dimensions.SIGNS):
            rbc, p = maps[source, "T1", sign]
            assert np.allclose(rbc[mask], expected.rbc[i]) and np.allclose(
                p[mask], expected.corrected[i]
            )
        # Benjamini and Hochberg: the largest k of the sorted p with p_k <= .05
        # k / m
        p = np.sort(expected.p.ravel())
        below = [
            k for k in range(1, len(p) + 1) if p[k - 1] <= 0.05 * k / len(p)
        ]
        limit = p[max(below) - 1] if below else -1.0
        found = counted.loc[counted["source"] == source, "voxels_fdr"]
        assert found.tolist() == (expected.p <= limit).sum(axis=1).tolist()
    assert counted["voxels_fdr"].tolist()[1] >= 4


def test_what_was_planted_and_who_follows_it(tiny_phantom):
    planted = planted_masks.planted(tiny_phantom)
    folder = tiny_phantom.path / "truth"
    both = [
        nib.load(folder / f"{n}.nii.gz").get_fdata() > 0
        for n in planted_masks.PLANTED["T1"]
    ]
    assert np.array_equal(
        planted["T1"], (both[0] | both[1]) & tiny_phantom.mask
    )
    assert planted_masks.planted(SimpleNamespace(path=folder)) == {}

    rows = np.arange(12)
    truth = pd.read_csv(
        folder / "factors.tsv", sep="\t", index_col="participant_id"
    )
    severity = truth["severity"].loc[tiny_phantom.subjects[rows]].to_numpy()
    z = np.random.default_rng(0).normal(size=(12, 3)) * 0.1
    z[:, 2] -= severity
    scaled = np.arange(3.0)[:, None, None, None] * np.ones((3, 2, 2, 2))
    maps = {("a", "T1"): SimpleNamespace(scaled=scaled)}
    found = dimensions.following(tiny_phantom, rows, {"a": {"T1": z}}, maps)
    first, second = found
    r = np.corrcoef(z[:, 2], severity)[0, 1]
    assert (
        first[2] == f"2, severity (r = {r:+.2f})"
        and (found[first] == 2).all()
        and r < -0.9
    )
    assert second == ("a", "T1", "mean of all") and (found[second] == 1).all()


class _Linear(nn.Module):
    """An encoder without anything non-linear."""

    def __init__(self, shape, latent=3):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(shape)), latent, bias=False)

    def forward(self, x):
        return self.layer(x.flatten(1))


def test_a_linear_encoder_reads_everybody_alike(rng):
    """However well it separates the groups, its maps hold no difference."""
    torch.manual_seed(0)
    shape, labels = (7, 8, 9), np.arange(12) < 5
    x = (
        rng.normal(size=(12, 1, *shape)).astype("f4")
        + 3 * labels[:, None, None, None, None]
    )
    mask = np.ones(shape, dtype=bool)
    picks = pd.DataFrame({"modality": ["T1", "T1"], "dimension": [2, 0]})
    encoders = {"T1": _Linear(shape)}
    maps = dimensions.subject_maps(
        encoders, {"T1": x}, picks, mask, samples=2, sigma=0.0, scaled=False
    )
    weight = encoders["T1"].layer.weight.detach().numpy()
    assert np.allclose(maps, np.abs(weight[[2, 0]])[None], atol=1e-6)
    rbc = rank_biserial(
        maps[labels, 0].round(5), maps[~labels, 0].round(5)
    ).rbc
    assert not rbc.any()


def test_maps_follow_the_picks_over_modalities_and_forget_with_the_weights(
    rng,
):
    torch.manual_seed(0)
    encoders = {
        m: Encoder(width=2, latent=4, size=16).eval() for m in ("T1", "fALFF")
    }
    x = {m: rng.normal(size=(9, 1, 16, 16, 16)).astype("f4") for m in encoders}
    mask = np.zeros((16, 16, 16), dtype=bool)
    mask[3:13, 4:12, 2:14] = True
    picks = pd.DataFrame(
        {"modality": ["T1", "T1", "fALFF"], "dimension": [3, 0, 1]}
    )
    maps = dimensions.subject_maps(encoders, x, picks, mask, samples=1)
    assert (
        maps.shape == (9, 3, mask.sum())
        and maps.min() == 0
        and maps.max() == 1
    )
    alone = dimensions.subject_maps(encoders, x, picks[2:], mask, samples=1)
    assert np.array_equal(alone[:, 0], maps[:, 2])
    group = np.arange(9) < 4
    rbc = compare(maps, group, 10).rbc
    found = map_cascade(encoders, rbc, x, group, picks, mask, samples=1)
    assert (found.query("layers == 0")["correlation"] > 1 - 1e-9).all()
    forgotten = found.query("layers > 0")["correlation"]
    assert (
        sorted(set(found["layers"])) == [0, 1, 2, 3]
        and forgotten.abs().max() < 0.95
    )


# ---- files and bad input -----------------------------------------------------------------------


def test_files_of_another_grid_are_refused(tmp_path, affine):
    path = write_map(
        tmp_path / "mask.nii.gz", np.ones(SHAPE, dtype=bool), affine
    )
    assert read_map(path, SHAPE, affine).sum() == np.prod(SHAPE)
    with pytest.raises(
        ValueError,
        match=r"mask.nii.gz: shape \(17, 18, 19\), expected \(18, 17",
    ):
        read_map(path, (18, 17, 19), affine)
    flipped = affine @ np.diag([-1.0, 1, 1, 1])
    with pytest.raises(ValueError, match="mask.nii.gz: affine"):
        read_map(path, SHAPE, flipped)
    with pytest.raises(ValueError, match="invertible"):
        write_map(
            tmp_path / "flat.nii.gz", np.ones(SHAPE), np.diag([1.0, 0, 1, 1])
        )
    with pytest.raises(ValueError, match=r"expected \(X, Y, Z\)"):
        write_map(tmp_path / "4d.nii.gz", np.ones((2, *SHAPE)), affine)
    assert [f.name for f in tmp_path.iterdir()] == ["mask.nii.gz"]


def test_bad_scores_are_named(affine):
    mask, truth, _ = _planted(affine, 1)
    with pytest.raises(ValueError, match=r"shapes \(17, 18, 18\)"):
        overlap(np.ones(SHAPE), truth[..., 1:], mask, affine)
    with pytest.raises(ValueError, match="truth: 0 of"):
        overlap(np.ones(SHAPE), truth & ~truth, mask, affine)
    with pytest.raises(
        ValueError, match="1 values in the mask are not finite"
    ):
        values = np.ones(SHAPE)
        values[tuple(np.argwhere(mask)[5])] = np.inf
        overlap(values, truth, mask, affine)
    with pytest.raises(ValueError, match="region: shape"):
        clusters(np.ones(SHAPE), np.ones((3, 3, 3)), affine)
    with pytest.raises(ValueError, match=r"values: shape \(4,\)"):
        to_volume(np.ones(4), mask)
    with pytest.raises(ValueError, match=r"expected \(n, X, Y, Z\)"):
        edges(np.ones(SHAPE))
