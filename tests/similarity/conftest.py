"""Codes that the tests of similarity share."""

import pytest


@pytest.fixture
def codes():
    """Give a function that draws two codes of which one predicts the other."""

    def draw(rng, n=30, d1=4, d2=6):
        x = rng.normal(size=(n, d1)) @ rng.normal(size=(d1, d1)) + 5.0
        noise = 2.0 * rng.normal(size=(n, d2))
        y = x @ rng.normal(size=(d1, d2)) + noise - 3.0
        return x, y

    return draw
