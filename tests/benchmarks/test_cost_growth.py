"""Exponents of growth: of known powers, and what counts as too steep."""

import growth
import numpy as np
import pytest

SIZES = np.array([100, 1_000, 10_000])


def cost(seconds, expected=1.0, megabytes=(1.0, 10.0, 100.0)):
    """Give a cost with such points."""
    points = np.stack([SIZES, seconds, megabytes], axis=1).tolist()
    return {"expected": expected, "points": points}


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 4 / 3, 2.0])
def test_a_power_law_gives_its_power_whatever_its_unit(power):
    for unit in (1e-6, 1.0, 30.0):
        costs = unit * SIZES.astype(float) ** power
        assert growth.exponent(SIZES, costs) == pytest.approx(power)


def test_fixed_costs_do_not_hide_what_the_largest_come_to():
    line = growth.fitted(cost(0.2 + 1e-7 * SIZES.astype(float) ** 2))
    assert line["exponent"] < 1 < line["last exponent"]
    assert line["superlinear"]


@pytest.mark.parametrize(
    "power, expected, steep",
    [(1.0, 1.0, False), (1.2, 1.0, False), (1.3, 1.0, True), (2, 2.0, False)],
)
def test_too_steep_is_what_is_above_its_method(power, expected, steep):
    seconds = 1e-5 * SIZES.astype(float) ** power
    assert growth.fitted(cost(seconds, expected))["superlinear"] == steep


def test_memory_has_an_exponent_only_where_there_is_some():
    seconds = SIZES.astype(float)
    assert growth.fitted(cost(seconds))["memory exponent"] == pytest.approx(1)
    none = growth.fitted(cost(seconds, megabytes=(0.0, 0.0, 0.5)))
    assert none["memory exponent"] is None
