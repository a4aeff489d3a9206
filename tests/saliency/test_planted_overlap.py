"""Gains in overlap on encoders whose maps are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

from mmssl.groupmaps.mann_whitney import rank_biserial
from mmssl.saliency import overlap_gains

SIDES = (5, 6, 7)


class Paired(nn.Module):
    """Both dimensions are the sum of each voxel times its partner, so that a
    gradient shows at a voxel what the image has at its partners.
    """

    def __init__(self, partners):
        super().__init__()
        self.partners = torch.as_tensor(partners)

    def forward(self, volumes):
        flat = volumes.flatten(1)
        z = (flat * flat[:, self.partners]).sum(1)
        return torch.stack([z, -z], dim=1)


@pytest.fixture
def world(rng):
    """Give 60 people whose disease is in the lower planes, with their mask of
    the brain and labels.
    """
    mask = np.ones(SIDES, bool)
    mask[0] = False
    truth = np.zeros(SIDES, bool)
    truth[1:3] = True
    labels = (np.arange(60) % 3 == 0).astype(int)
    images = np.abs(rng.normal(size=(60, 1, *SIDES))) + 0.5
    images[labels == 1] += 0.6 * truth
    return images.astype(np.float32), labels, truth, mask


def paired(rng, honest=False):
    """An encoder whose voxels are their own partners, or strangers."""
    voxels = np.arange(np.prod(SIDES))
    return {"T1": Paired(voxels if honest else rng.permutation(voxels))}


def picks_of(sources, beta=(1.0, -1.0)):
    lines = []
    for source in sources:
        for sign, k in (("positive", 0), ("negative", 1)):
            lines.append((source, "T1", sign, k, beta[k]))
    columns = ["source", "modality", "sign", "dimension", "beta"]
    return pd.DataFrame(lines, columns=columns)


def test_an_encoder_that_reads_the_disease_gains_and_a_blind_one_does_not(
    world, rng
):
    images, labels, truth, mask = world
    untrained = [f"untrained {k}" for k in range(4)]
    encoders = {name: paired(rng) for name in untrained}
    encoders["reads"] = paired(rng, honest=True)
    encoders["blind"] = paired(rng)
    table = overlap_gains(
        encoders,
        untrained,
        {"T1": images},
        labels,
        picks_of(encoders),
        {"T1": truth},
        mask,
        resamples=100,
        samples=1,
        std=0.0,
        sigma=0.0,
        scaled=False,
    ).set_index("source")
    assert list(table.index) == ["reads", "blind"]
    # the gradient is twice the image
    group = labels == 1
    x = images[:, 0][:, mask].astype(float)
    rbc = rank_biserial(x[group], x[~group]).rbc
    expected = average_precision_score(truth[mask], np.abs(rbc))
    assert table.loc["reads", "auprc"] == pytest.approx(expected)
    assert table["chance"].iloc[0] == truth[mask].mean()
    assert table["low"]["reads"] > 0.2
    assert table["p"]["reads"] < 1e-3
    assert table["low"]["blind"] < 0 < table["high"]["blind"]
    gap = table["auprc"] - table["untrained"]
    np.testing.assert_allclose(gap, table["difference"])
    middle = (table["low"] + table["high"]) / 2
    np.testing.assert_allclose(middle, table["difference"])


def test_what_no_coefficient_chose_is_not_scored(world, rng):
    images, labels, truth, mask = world
    sources = ["trained", "one", "two"]
    encoders = {name: paired(rng) for name in sources}
    given = ({"T1": images}, labels)
    rest = ({"T1": truth}, mask)
    options = {"resamples": 20, "samples": 1}
    picks = picks_of(sources, beta=(0.0, 0.0))
    table = overlap_gains(
        encoders, ["one", "two"], *given, picks, *rest, **options
    )
    assert table[["auprc", "difference", "low"]].isna().all(axis=None)
    half = picks_of(sources, beta=(2.0, 0.0))
    alone = half[half["sign"] == "positive"]
    both = [
        overlap_gains(encoders, ["one", "two"], *given, p, *rest, **options)
        for p in (half, alone)
    ]
    pd.testing.assert_frame_equal(*both)
    with pytest.raises(ValueError, match="expected two sources at least"):
        overlap_gains(encoders, ["one"], *given, picks, *rest, **options)
