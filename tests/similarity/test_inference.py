"""Chance levels, shuffled people and jackknife intervals of similarity."""

from itertools import permutations

import numpy as np
import pytest

from mmssl.similarity.inference import (
    chance_level,
    jackknife_intervals,
    shuffled_null,
)
from mmssl.similarity.measures import BIASED, MEASURES, cca, cka, measures
from mmssl.similarity.simulations import simulated_codes
from mmssl.stats.permutation import permutation_p


@pytest.mark.parametrize(
    ("n", "cca_level"), [(22, 1.0), (66, 0.99), (100, 0.741), (580, 0.285)]
)
def test_chance_levels_of_independent_codes(n, cca_level):
    """CKA's is d / (d + n - 1) up to O(1/n): .75 of 22 people, .49 of 66, .10
    of 580.
    """
    level = chance_level(n, 64)
    assert level["CCA"] == pytest.approx(cca_level, abs=0.006)
    assert level["CKA"] == pytest.approx(64 / (64 + n - 1), abs=0.015)
    assert level["debiased CKA"] == 0
    assert chance_level(n, 64) == level != chance_level(n, 64, draws=2, seed=1)


@pytest.mark.parametrize("n", [6, 22, 66])
def test_debiased_cka_of_independent_codes_is_about_zero_at_any_n(n):
    rng = np.random.default_rng(n)
    values = [
        cka(rng.normal(size=(n, 64)), rng.normal(size=(n, 64)), True)
        for _ in range(200)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3.5 * error and error < 0.03


def test_what_is_wholly_shared_is_the_same_in_both_codes():
    x, y = simulated_codes(20, 5, 1.0, 2, 0)
    assert np.array_equal(x[:, :2], y[:, :2])
    assert not np.isclose(x[:, 2:], y[:, 2:]).any()


def test_debiased_cka_does_not_depend_on_n_where_something_is_shared():
    rng = np.random.default_rng(5)
    # four of sixteen unit dimensions with covariance .6
    truth = 4 * 0.6**2 / 16
    for n in (20, 200):
        pairs = [simulated_codes(n, 16, 0.6, 4, rng) for _ in range(300)]
        values = [cka(*pair, debiased=True) for pair in pairs]
        # the ratio of unbiased parts has a bias of order 1/n: small beside
        # that of the plain ratio
        assert np.mean(values) == pytest.approx(truth, abs=0.02)
        assert np.mean([cka(*pair) for pair in pairs]) > truth + 6 / n


def test_shuffles_are_real_permutations_with_the_known_mean(codes, rng):
    x, y = codes(rng, 5, 3, 2)
    every = [measures(x, y[list(order)]) for order in permutations(range(5))]
    null = shuffled_null(x, y, permutations=300)
    for name in MEASURES:
        exact = np.array([values[name] for values in every])
        distance = np.abs(null[name][:, None] - exact).min(axis=1)
        assert len(null[name]) == 300 and distance.max() < 1e-7
        assert len(np.unique(null[name].round(9))) > 50
    sx, sy = (
        np.linalg.svd(z - z.mean(0), compute_uv=False) ** 2 for z in (x, y)
    )
    mean = sx.sum() * sy.sum() / (4 * np.linalg.norm(sx) * np.linalg.norm(sy))
    assert np.mean([values["CKA"] for values in every]) == pytest.approx(mean)
    assert np.mean(
        [values["debiased CKA"] for values in every]
    ) == pytest.approx(0, abs=1e-12)


def test_p_of_shuffles_is_uniform_without_a_link_and_small_with_one():
    rng, p = np.random.default_rng(2), {name: [] for name in MEASURES}
    for _ in range(200):
        x, y = rng.standard_t(4, size=(15, 3)), rng.exponential(size=(15, 4))
        null = shuffled_null(x, y, 39)
        for name, value in measures(x, y).items():
            p[name].append(permutation_p(value, null[name]))
    for name in MEASURES:
        for level in (0.1, 0.3, 0.5):  # binomial: within 3.5 standard errors
            error = 3.5 * np.sqrt(level * (1 - level) / 200)
            assert np.mean(np.array(p[name]) <= level) == pytest.approx(
                level, abs=error
            )
    x, y = simulated_codes(60, 6, 0.8, 3, 0)
    for name, null in shuffled_null(x, y, 99).items():
        assert permutation_p(measures(x, y)[name], null) == 0.01


def test_intervals_are_the_jackknife(codes, rng):
    """With a block per person, the classical delete-one jackknife of every
    measure.
    """
    x, y = codes(rng, 12)
    found = jackknife_intervals(x, y, blocks=12, level=0.9)
    for name in MEASURES:
        out = np.array(
            [
                measures(np.delete(x, i, 0), np.delete(y, i, 0))[name]
                for i in range(12)
            ]
        )
        error = np.sqrt(11 / 12 * ((out - out.mean()) ** 2).sum())
        # t of .95, 11 df
        middle, half = measures(x, y)[name], 1.7958848187 * error
        assert found[name].high == pytest.approx(min(middle + half, 1))
        assert found[name].low == pytest.approx(
            max(middle - half, 0 if name in BIASED else -1)
        )
    assert found == jackknife_intervals(x, y, blocks=50, level=0.9)


def test_an_interval_that_cannot_be_known_has_no_width_or_no_ends(rng):
    # with five people any two such codes agree perfectly
    x, y = rng.normal(size=(2, 6, 4))
    assert cca(x, y) < 1 - 1e-6
    found = jackknife_intervals(x, y)
    assert np.isnan([found["CCA"].low, found["CCA"].high]).all()
    x, y = rng.normal(size=(2, 6, 20))
    assert jackknife_intervals(x, y)["CCA"][:3] == pytest.approx((1, 1, 1))


def test_intervals_hold_the_truth_where_a_bootstrap_does_not():
    rng, truth = np.random.default_rng(4), 4 * 0.5**2 / 8
    held, drawn = [], []
    for _ in range(120):
        x, y = simulated_codes(60, 8, 0.5, 4, rng)
        sure = jackknife_intervals(x, y)["debiased CKA"]
        held.append(sure.low <= truth <= sure.high)
        rows = rng.integers(0, 60, (60, 60))
        low, high = np.quantile(
            [cka(x[r], y[r], True) for r in rows], [0.025, 0.975]
        )
        drawn.append(low <= truth <= high)
    assert np.mean(held) > 0.9
    assert np.mean(drawn) < 0.7


def test_intervals_of_biased_measures_hold_their_mean_at_this_n():
    rng = np.random.default_rng(6)
    sure = [
        jackknife_intervals(*simulated_codes(60, 8, 0.5, 4, rng))
        for _ in range(100)
    ]
    for name in BIASED:
        mean = np.mean([found[name].estimate for found in sure])
        assert (
            np.mean(
                [found[name].low <= mean <= found[name].high for found in sure]
            )
            > 0.9
        )


def test_only_the_debiased_measure_may_be_below_0(rng):
    found = jackknife_intervals(*rng.normal(size=(2, 30, 3)))
    assert -1 <= found["debiased CKA"].low < 0
    assert all(found[name].low >= 0 for name in BIASED)


def test_bad_options_are_named(codes, rng):
    x, y = codes(rng, 6)
    with pytest.raises(ValueError, match="permutations=0"):
        shuffled_null(x, y, permutations=0)
    with pytest.raises(ValueError, match="3 rows, expected at least 4"):
        shuffled_null(x[:3], y[:3])
    with pytest.raises(ValueError, match="4 rows, expected at least 5"):
        jackknife_intervals(x[:4], y[:4])
    with pytest.raises(ValueError, match="blocks=1"):
        jackknife_intervals(x, y, blocks=1)
    with pytest.raises(ValueError, match="chance level of n=3"):
        chance_level(3, 2)


@pytest.mark.parametrize("compare", [shuffled_null, jackknife_intervals])
def test_a_code_with_one_row_that_differs_has_no_null(compare, rng):
    one_row = np.full((8, 3), 0.1)
    one_row[5] = 2.7
    with pytest.raises(ValueError, match="y: one row differs"):
        compare(rng.normal(size=(8, 4)), one_row)


def test_a_null_of_200_permutations_where_nothing_else_is_said(codes, rng):
    x, y = codes(rng, 12)
    found = shuffled_null(x, y)
    for name, values in shuffled_null(x, y, 200, 0, 0.99).items():
        assert len(found[name]) == 200
        np.testing.assert_array_equal(found[name], values)
