"""The nearest-neighbour probe against scikit-learn's classifier."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from mmssl.pretrain.neighbours import nearest_neighbours_auc


@pytest.mark.parametrize("classes", [2, 3])
def test_equals_the_classifier_of_scikit_learn(classes, rng):
    labels = rng.integers(0, classes, 130)
    z = rng.normal(size=(130, 7)) + 0.8 * labels[:, None] + 3
    train, test = slice(0, 90), slice(90, None)
    centred = z - z[train].mean(0)
    reference = KNeighborsClassifier(11, metric="cosine")
    reference.fit(centred[train], labels[train])
    shares = reference.predict_proba(centred[test])
    if classes == 2:
        shares = shares[:, 1]
    expected = roc_auc_score(labels[test], shares, multi_class="ovr")
    found = nearest_neighbours_auc(
        torch.from_numpy(z[train]),
        torch.from_numpy(labels[train]),
        torch.from_numpy(z[test]),
        torch.from_numpy(labels[test]),
        11,
    )
    assert found == pytest.approx(expected)


def test_rows_without_a_label_take_no_part(rng):
    z = torch.from_numpy(rng.normal(size=(40, 3)))
    labels = torch.from_numpy(rng.integers(0, 2, 40))
    far = torch.cat([z, 100 * z])
    unknown = torch.cat([labels, torch.full((40,), -1)])
    expected = nearest_neighbours_auc(z, labels, z, labels, 5)
    found = nearest_neighbours_auc(far, unknown, far, unknown, 5)
    assert found == expected


def test_noise_is_at_chance_and_one_class_says_nothing(rng):
    found = []
    for _ in range(40):
        z = torch.from_numpy(rng.normal(size=(200, 5)))
        labels = torch.from_numpy(rng.integers(0, 2, 200))
        halves = (z[:100], labels[:100], z[100:], labels[100:])
        found.append(nearest_neighbours_auc(*halves))
    assert abs(np.mean(found) - 0.5) < 0.03
    zeros = torch.zeros_like(labels)
    assert np.isnan(nearest_neighbours_auc(z, labels, z, zeros))
