"""The dimensions that a probe relies on, and their maps."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from torch import nn

from mmssl.cohorts.simulated import planted_masks
from mmssl.groupmaps.mann_whitney import compare, rank_biserial
from mmssl.ledger.artefacts import KEYS
from mmssl.models.dcgan import Encoder
from mmssl.saliency import dimensions


def test_the_extreme_dimensions_are_the_planted_ones(rng):
    labels = np.arange(60) % 2
    z = rng.normal(size=(60, 5))
    z[:, 3] += 2 * labels
    z[:, 1] = 100 * (z[:, 1] - 2 * labels)  # another unit must not count
    probes = dimensions.fit_probes(
        {"model": {"T1": z}}, labels, np.arange(60), trials=6
    )
    picks = dimensions.extreme_dimensions(probes)
    assert picks["dimension"].tolist() == [3, 1]
    assert picks["sign"].tolist() == ["positive", "negative"]
    assert picks["beta"][0] > 0 > picks["beta"][1]


def test_maps_of_all_sources_are_each_corrected_as_one_family(
    rng, monkeypatch
):
    labels, mask = np.arange(20) < 8, np.ones((2, 3, 4), dtype=bool)
    values = {
        "a": rng.normal(size=(20, 2, 24)),
        "b": rng.normal(size=(20, 2, 24)),
    }
    values["a"][labels, 1, :5] += 3
    picks = []
    for source in values:
        for sign in dimensions.SIGNS:
            picks.append((source, "T1", sign, 0, 0.0))
    picks = pd.DataFrame(picks, columns=[*KEYS, "dimension", "beta"])

    def maps_of_source(source, *arguments, **options):
        return values[source]

    monkeypatch.setattr(dimensions, "subject_maps", maps_of_source)
    maps, counted = dimensions.corrected_group_differences(
        {source: source for source in values}, {}, labels, picks, mask, 99
    )
    keys = picks[list(KEYS)].itertuples(index=False, name=None)
    assert list(maps) == list(keys)
    for source, people in values.items():
        expected = compare(people, labels, 99, 0, progress=False)
        for i, sign in enumerate(dimensions.SIGNS):
            rbc, p = maps[source, "T1", sign]
            assert np.allclose(rbc[mask], expected.rbc[i])
            assert np.allclose(p[mask], expected.corrected[i])
        survivors = (expected.p <= _largest_discovery(expected.p)).sum(axis=1)
        counts = counted.loc[counted["source"] == source, "voxels_fdr"]
        assert counts.tolist() == survivors.tolist()
    assert counted["voxels_fdr"].tolist()[1] >= 4


def _largest_discovery(p):
    """Benjamini and Hochberg: the largest sorted p_k <= .05 k / m, or -1."""
    p = np.sort(p.ravel())
    limit = -1.0
    for k, value in enumerate(p, 1):
        if value <= 0.05 * k / len(p):
            limit = value
    return limit


def test_maps_follow_the_picks_over_modalities(rng):
    torch.manual_seed(0)
    encoders, x = {}, {}
    for m in ("T1", "fALFF"):
        encoders[m] = Encoder(width=2, latent=4, size=16).eval()
        x[m] = rng.normal(size=(9, 1, 16, 16, 16)).astype("f4")
    mask = np.zeros((16, 16, 16), dtype=bool)
    mask[3:13, 4:12, 2:14] = True
    picks = pd.DataFrame(
        {"modality": ["T1", "T1", "fALFF"], "dimension": [3, 0, 1]}
    )
    maps = dimensions.subject_maps(encoders, x, picks, mask, samples=1)
    assert maps.shape == (9, 3, mask.sum())
    assert (maps.min(), maps.max()) == (0, 1)
    alone = dimensions.subject_maps(encoders, x, picks[2:], mask, samples=1)
    assert np.array_equal(alone[:, 0], maps[:, 2])


def test_planted_masks_are_joined_and_real_people_have_none(tiny_phantom):
    folder = tiny_phantom.path / "truth"
    joined = np.zeros(tiny_phantom.mask.shape, dtype=bool)
    for name in planted_masks.PLANTED["T1"]:
        joined |= nib.load(folder / f"{name}.nii.gz").get_fdata() > 0
    planted = planted_masks.planted(tiny_phantom)
    assert np.array_equal(planted["T1"], joined & tiny_phantom.mask)
    assert planted_masks.planted(SimpleNamespace(path=folder)) == {}


def test_the_map_of_the_dimension_that_follows_severity_is_found(tiny_phantom):
    rows = np.arange(12)
    file = tiny_phantom.path / "truth" / "factors.tsv"
    factors = pd.read_csv(file, sep="\t", index_col="participant_id")
    severity = factors["severity"].loc[tiny_phantom.subjects[rows]].to_numpy()
    z = np.random.default_rng(0).normal(size=(12, 3)) * 0.1
    z[:, 2] -= severity
    scaled = np.arange(3.0)[:, None, None, None] * np.ones((3, 2, 2, 2))
    maps = {("a", "T1"): SimpleNamespace(scaled=scaled)}
    selected = dimensions.maps_following_severity(
        tiny_phantom, rows, {"a": {"T1": z}}, maps
    )
    best, mean = selected
    r = np.corrcoef(z[:, 2], severity)[0, 1]
    assert r < -0.9
    assert best == ("a", "T1", f"2, severity (r = {r:+.2f})")
    assert (selected[best] == 2).all()
    assert mean == ("a", "T1", "mean of all")
    assert (selected[mean] == 1).all()


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
    x = rng.normal(size=(12, 1, *shape)).astype("f4")
    x = x + 3 * labels[:, None, None, None, None]
    mask = np.ones(shape, dtype=bool)
    picks = pd.DataFrame({"modality": ["T1", "T1"], "dimension": [2, 0]})
    encoders = {"T1": _Linear(shape)}
    maps = dimensions.subject_maps(
        encoders, {"T1": x}, picks, mask, samples=2, sigma=0.0, scaled=False
    )
    weight = encoders["T1"].layer.weight.detach().numpy()
    assert np.allclose(maps, np.abs(weight[[2, 0]])[None], atol=1e-6)
    rounded = maps[:, 0].round(5)
    assert not rank_biserial(rounded[labels], rounded[~labels]).rbc.any()
