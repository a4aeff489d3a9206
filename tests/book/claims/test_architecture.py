"""Tests of the methods themselves, against sums of layers, closed forms and
loops.
"""

import numpy as np
import pytest
from scipy import stats

from book.claims import architecture

CHANNELS = [1, 32, 64, 128, 256, 64]
"""Of the encoder, input to representation."""


def test_operations_against_the_sums_of_their_layers():
    encoder = 0
    for layer, side in enumerate([32, 16, 8, 4, 1]):
        weights = CHANNELS[layer] * CHANNELS[layer + 1] * 4**3
        encoder += weights * side**3
    head = 8**3 * (128 * 64 + 64 * 64 + 128 * 64)
    # transposed convolutions are counted like their mirror images
    expected = (encoder + head) / (2 * encoder)
    finding = architecture.operations("CR-XX-CC", "RR-AE")
    assert finding.estimate == pytest.approx(expected, rel=0.01)


def test_shapes_and_counts():
    channels = architecture.local_features("channels", size=32, dims=2)
    assert channels.estimate == 64
    with pytest.raises(ValueError, match="quantity='depth'"):
        architecture.local_features("depth", size=16)
    assert architecture.connections("CR").estimate == 2
    assert architecture.connections("CC").estimate == 1
    assert architecture.combinations(["CR", "XX", "RR"]).estimate == 2**3 - 1
    assert architecture.visible_brain(0.5).estimate == 1.0
    shares = [architecture.visible_brain(s).estimate for s in (1.0, 1.7, 2.5)]
    assert shares == sorted(shares, reverse=True) and shares[-1] < 0.4


def test_chance_levels_against_what_is_known():
    full = architecture.chance_level("CCA", people=10, dimensions=12)
    assert full.estimate == pytest.approx(1.0)
    unbiased = architecture.chance_level(
        "debiased CKA", people=40, dimensions=9, draws=40
    )
    assert unbiased.low < 0 < unbiased.high
    gap = architecture.chance_similarity(
        "CKA", people=12, others=60, dimensions=8
    )
    # roughly d / (n + d)
    known = 8 / (8 + 12) - 8 / (8 + 60)
    assert gap.estimate == pytest.approx(known, abs=0.08) and gap.low > 0
    with pytest.raises(ValueError, match="measure='CKB'"):
        architecture.chance_level("CKB", people=10)


def test_the_largest_correlation_by_chance_against_a_closed_form():
    people, pairs = 50, 8 * 8
    t = stats.t.isf((1 - 0.5 ** (1 / pairs)) / 2, people - 2)
    # of the largest of independent correlations
    median = t / np.sqrt(people - 2 + t**2)
    finding = architecture.above_largest_by_chance(
        0.9, people, dimensions=8, draws=200
    )
    assert 0.9 - finding.estimate == pytest.approx(median, abs=0.02)


def test_equipartition_against_a_loop():
    batch, prototypes = 6, 5
    rng = np.random.default_rng(0)
    z = rng.normal(size=(batch, 128))
    c = rng.normal(size=(prototypes, 128))
    q = np.zeros((prototypes, batch))
    for k in range(prototypes):
        for b in range(batch):
            cosine = z[b] @ c[k] / np.linalg.norm(z[b]) / np.linalg.norm(c[k])
            q[k, b] = np.exp(cosine / 0.03)
    for _ in range(3):
        for k in range(prototypes):
            q[k] = q[k] / q[k].sum() / prototypes
        for b in range(batch):
            q[:, b] = q[:, b] / q[:, b].sum() / batch
    smallest = min(q[k].sum() * prototypes for k in range(prototypes))
    finding = architecture.equipartition(batch, prototypes)
    assert finding.estimate == pytest.approx(smallest)
    even = architecture.equipartition(batch, prototypes, 500)
    assert even.estimate == pytest.approx(1, abs=1e-3)


def test_weights_of_the_attention_lie_where_a_sigmoid_after_relu_does():
    low = architecture.attention_weights("low", draws=12)
    high = architecture.attention_weights("high", draws=12)
    assert low.estimate == pytest.approx(0.5, abs=1e-5)
    assert 0.6 < high.estimate <= 1
    with pytest.raises(ValueError, match="bound='middle'"):
        architecture.attention_weights("middle")


def test_clusters_and_labels_reach_every_weight_of_the_encoder():
    found = architecture.learned_together(0.5)
    assert found.estimate == 1 and found.sample == "50% of 8 rows labelled"
    # without a label nothing is learned of labels
    assert architecture.learned_together(0.0).estimate == 0
