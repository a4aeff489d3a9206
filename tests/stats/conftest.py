"""People whose scores the tests of statistics share."""

import numpy as np
import pytest


@pytest.fixture
def study(rng):
    """Give 22 patients, 66 controls and two correlated scores with ties."""
    labels = (np.arange(88) < 22).astype(int)
    shared = rng.normal(size=88) + 1.3 * labels
    first = np.round(shared + 0.5 * rng.normal(size=88), 1)
    return labels, first, np.round(shared + 0.8 * rng.normal(size=88), 1)
