"""Fixtures that the tests of saliency share."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from checked_case import SHAPE, toy_of_region, two_groups_of_people

from mmssl.saliency import dimensions, sanity_checks
from mmssl.saliency.parameter_randomisation import randomised


@pytest.fixture
def brain():
    """An uneven mask inside unequal sides."""
    x, y, z = np.ogrid[:7, :8, :9]
    return ((x - 3) ** 2 / 9 + (y - 3.5) ** 2 / 12 + (z - 4) ** 2 / 16) <= 1


@pytest.fixture(scope="session")
def case():
    """People who differ in a region, an encoder that responds to it and one
    that learned nothing, and what the checks measured of both.
    """
    rng = np.random.default_rng(5)
    mask = np.ones(SHAPE, dtype=bool)
    mask[0], mask[:, :, 8] = False, False
    region = np.zeros(SHAPE, dtype=bool)
    region[3:5, 2:5, 4:7] = True
    learned, learned_labels = two_groups_of_people(rng, 90, region, 0.8)
    seen, labels = two_groups_of_people(rng, 48, region, 0.8)
    trained = {"T1": toy_of_region(region)}
    untrained = {"T1": randomised(trained["T1"], seed=0).eval()}
    encoders = {"trained": trained, "untrained": untrained}
    z = {}
    for source, networks in encoders.items():
        features = networks["T1"](torch.as_tensor(learned["T1"]))
        z[source] = {"T1": features.z.detach().numpy()}
    fits = dimensions.fit_probes(
        z, learned_labels, np.arange(90), trials=2, folds=3
    )
    options = {"std": 0.05, "scaled": False, "sigma": 0.0, "seed": 0}
    maps, picks = dimensions.corrected_group_differences(
        encoders,
        seen,
        labels,
        dimensions.extreme_dimensions(fits),
        mask,
        199,
        samples=1,
        **options,
    )
    measured = sanity_checks.run_checks(
        ["trained", "untrained"],
        picks,
        encoders,
        fits,
        learned,
        learned_labels,
        seen,
        labels,
        np.arange(48),
        mask,
        untrained="untrained",
        **options,
    )
    return SimpleNamespace(
        mask=mask,
        region=region,
        learned=learned,
        learned_labels=learned_labels,
        seen=seen,
        labels=labels,
        trained=trained,
        encoders=encoders,
        z=z,
        fits=fits,
        options=options,
        maps=maps,
        picks=picks,
        measured=measured,
    )
