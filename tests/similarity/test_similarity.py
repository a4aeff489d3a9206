"""CKA, CCA, SVCCA, PWCCA against loops, libraries and closed forms; what
chance does to them.
"""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from sklearn.decomposition import PCA
from statsmodels.multivariate.cancorr import CanCorr

from mmssl import plotting
from mmssl.similarity import inference
from mmssl.similarity.inference import (
    _exchangeable,
    chance,
    group_table,
    group_test,
    intervals,
    no_difference,
    related,
    shuffled,
)
from mmssl.similarity.measures import (
    BIASED,
    MEASURES,
    cca,
    cka,
    measures,
    pwcca,
    svcca,
)
from mmssl.stats.permutation import p_value

SQUARE = np.array([[1, 0], [0, 1], [-1, 0], [0, -1.0]])
SHEARED = np.array([[2, 1], [0, 1], [-2, -1], [0, -1.0]])


def cka_by_loop(x, y):
    """HSIC of two Gram matrices, centred entry by entry."""

    def hsic(p, q):
        n, total = len(p), 0.0
        k, m = p @ p.T, q @ q.T
        for i in range(n):
            for j in range(n):
                centred = k[i, j] - k[i].mean() - k[:, j].mean() + k.mean()
                total += centred * m[i, j]
        return total

    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


def hsic1_by_quadruples(x, y):
    """The U-statistic itself: the mean of K_ij (L_ij + L_qr - 2 L_iq) over
    distinct i, j, q, r.
    """
    k, m = x @ x.T, y @ y.T
    values = [
        k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
        for i, j, q, r in permutations(range(len(x)), 4)
    ]
    return np.mean(values)


def hsic1_by_gram(x, y):
    """Song et al. 2012 as printed, with n by n matrices."""
    n, one = len(x), np.ones(len(x))
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0), np.fill_diagonal(m, 0)
    middle = one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + middle - 2 / (n - 2) * one @ k @ m @ one) / (
        n * (n - 3)
    )


def ratio(hsic, x, y):
    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


def pwcca_by_eigenvectors(x, y):
    """Canonical weights from the generalised eigenproblem, then Morcos' sum,
    one by one.
    """
    x, y = x - x.mean(0), y - y.mean(0)
    sxy, sxx, syy = x.T @ y, x.T @ x, y.T @ y
    squared, weights = eigh(sxy @ np.linalg.solve(syy, sxy.T), sxx)
    count, total, mass = min(x.shape[1], y.shape[1]), 0.0, 0.0
    for i in range(len(squared) - count, len(squared)):
        variate = x @ weights[:, i]
        variate /= np.linalg.norm(variate)
        alpha = sum(abs(variate @ x[:, j]) for j in range(x.shape[1]))
        total, mass = total + alpha * np.sqrt(max(squared[i], 0)), mass + alpha
    return total / mass


def codes(rng, n=30, d1=4, d2=6):
    x = rng.normal(size=(n, d1)) @ rng.normal(size=(d1, d1)) + 5.0
    return x, x @ rng.normal(size=(d1, d2)) + 2.0 * rng.normal(
        size=(n, d2)
    ) - 3.0


def test_numbers_worked_by_hand():
    assert cka(SQUARE, SHEARED) == pytest.approx(0.8017837257, abs=1e-9)
    assert cca(SQUARE, SHEARED) == pytest.approx(1.0)
    assert pwcca(SQUARE, SQUARE) == pytest.approx(1.0)
    assert cka(SQUARE, SQUARE[:, :1]) == pytest.approx(1 / np.sqrt(2))
    line = np.arange(5.0)[:, None]
    assert cca(line, line**2) == pytest.approx(
        np.corrcoef(line[:, 0], line[:, 0] ** 2)[0, 1]
    )


def test_cka_is_the_loop(rng):
    x, y = codes(rng)
    assert cka(x, y) == pytest.approx(cka_by_loop(x, y), abs=1e-12)


def test_debiased_cka_is_the_u_statistic_and_songs_formula(rng):
    x, y = codes(rng, n=7)
    assert cka(x, y, debiased=True) == pytest.approx(
        ratio(hsic1_by_quadruples, x, y), abs=1e-10
    )
    for shape in ((40, 4, 6), (9, 30, 2), (4, 3, 5)):
        x, y = codes(rng, *shape)
        # the trace cancels badly far from the origin
        x, y = x - x.mean(0), y - y.mean(0)
        assert cka(x, y, debiased=True) == pytest.approx(
            ratio(hsic1_by_gram, x, y), abs=1e-9
        )


@pytest.mark.parametrize(("d1", "d2"), [(3, 90), (90, 90), (3, 4)])
def test_features_and_gram_matrices_agree(rng, d1, d2):
    """More dimensions than people and fewer take different ways."""
    x, y = rng.normal(size=(25, d1)), rng.normal(size=(25, d2))
    assert cka(x, y) == pytest.approx(cka_by_loop(x, y), abs=1e-12)
    assert cka(x, y, True) == pytest.approx(
        ratio(hsic1_by_gram, x, y), abs=1e-10
    )


@pytest.mark.parametrize(("d1", "d2"), [(4, 6), (6, 4), (5, 5), (1, 3)])
def test_cca_and_pwcca_against_statsmodels_and_eigenvectors(rng, d1, d2):
    x, y = codes(rng, 40, d1, d2)
    reference = CanCorr(y, x).cancorr
    assert cca(x, y) == pytest.approx(
        reference[: min(d1, d2)].mean(), abs=1e-9
    )
    assert pwcca(x, y) == pytest.approx(pwcca_by_eigenvectors(x, y), abs=1e-7)
    if d1 != d2 and min(d1, d2) > 1:  # one correlation needs no weights
        assert pwcca(x, y) != pytest.approx(pwcca(y, x), abs=1e-4)


def test_svcca_keeps_the_fewest_components_that_hold_the_variance(rng):
    x = rng.normal(size=(60, 8)) * np.linspace(0.2, 1, 8) + 3.0
    y = x[:, :7] + rng.normal(size=(60, 7)) * np.linspace(0.1, 2, 7)
    for threshold in (0.5, 0.8, 0.99):
        kept = []
        for z in (x, y):
            share = np.cumsum(PCA().fit(z).explained_variance_ratio_)
            kept.append(
                PCA(int(np.argmax(share >= threshold)) + 1).fit_transform(z)
            )
        fewer = min(k.shape[1] for k in kept)
        reference = CanCorr(kept[1], kept[0]).cancorr[:fewer].mean()
        assert svcca(x, y, threshold) == pytest.approx(reference, abs=1e-9)
    assert svcca(x, y, 1.0) == pytest.approx(cca(x, y), abs=1e-12)


def test_svcca_counts_variance_after_centring_and_keeps_at_least_one():
    """Three faults of a public implementation: uncentred, singular values, one
    too few.
    """
    u = np.linalg.qr(
        np.c_[np.ones(9), np.random.default_rng(3).normal(size=(9, 4))]
    )[0][:, 1:]
    x = u[:, :2] * np.sqrt([99, 1])  # the first alone holds exactly 99 %
    y = u[:, [0, 2]] * np.sqrt([50, 50])
    # one component against two: sees the shared one
    assert svcca(x, y) == pytest.approx(1.0)
    assert svcca(x, y, 0.9901) == pytest.approx(0.5)
    assert svcca(x + 1e3, y - 1e3) == pytest.approx(1.0)
    assert svcca(u[:, :1], u[:, 1:2]) == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(8, 20),
    st.integers(1, 6),
    st.integers(1, 6),
    st.floats(0.01, 100),
)
def test_invariances(seed, n, d1, d2, scale):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d1)), rng.normal(size=(n, d2))
    turned = scale * x @ np.linalg.qr(rng.normal(size=(d1, d1)))[
        0
    ] + rng.normal(size=d1)
    linear = (
        x @ (np.eye(d1) + 0.3 * np.tril(rng.normal(size=(d1, d1)), -1)) + 7.0
    )
    order = rng.permutation(n)
    # ties included
    assert pwcca(x[order], y[order]) == pytest.approx(pwcca(x, y), abs=1e-7)
    for measure in (cka, lambda a, b: cka(a, b, True), cca, svcca):
        assert measure(turned, y) == pytest.approx(measure(x, y), abs=1e-8)
        assert measure(x, turned) == pytest.approx(1.0)
        assert measure(y, x) == pytest.approx(measure(x, y), abs=1e-10)
        assert measure(x[order], y[order]) == pytest.approx(
            measure(x, y), abs=1e-10
        )
        assert -1 - 1e-9 <= measure(x, y) <= 1 + 1e-9
    assert pwcca(x, turned) == pytest.approx(1.0)
    assert cca(linear, y) == pytest.approx(cca(x, y), abs=1e-7)
    together = measures(x, y)
    alone = (cca(x, y), svcca(x, y), pwcca(x, y), cka(x, y), cka(x, y, True))
    assert tuple(together) == MEASURES
    np.testing.assert_allclose(list(together.values()), alone, atol=1e-9)


def test_cka_sees_linear_maps_that_cca_does_not(rng):
    x, y = codes(rng)
    stretched = x * np.array([100, 1, 1, 1])
    assert cca(stretched, y) == pytest.approx(cca(x, y))
    assert abs(cka(stretched, y) - cka(x, y)) > 0.01


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_dependent_columns_are_no_dimensions(rng, kind):
    x, y = codes(rng, 50, 4, 5)
    double = np.c_[x, x @ rng.normal(size=(4, 3)), np.full(50, 2.0)].astype(
        kind
    )
    y = y.astype(kind)
    assert cca(double, y) == pytest.approx(cca(x, y), abs=1e-4)
    assert cca(double, double) == pytest.approx(1.0)
    assert pwcca(double, double) == pytest.approx(1.0)


def test_tensors_lists_and_halves_are_read_as_arrays(rng):
    x, y = (z.astype(np.float32) for z in codes(rng))
    whole = measures(x, y)
    tensors = (torch.tensor(x, requires_grad=True), torch.tensor(y).double())
    for name, value in measures(*tensors).items():
        assert value == pytest.approx(whole[name], abs=1e-6)
    half = torch.tensor(x).bfloat16()
    assert cka(half, y) == pytest.approx(
        cka(half.float().numpy(), y), abs=1e-12
    )
    assert isinstance(cka([[1, 2], [3, 5], [0, 1]], [[1], [2], [0]]), float)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.eye(5), np.eye(6), "x has 5 rows and y 6"),
        (np.ones((5, 2)) * np.nan, np.eye(5), "x: 10 values are NaN"),
        (np.eye(5), np.full((5, 3), 0.1), "y: all 5 rows are equal"),
        (np.zeros((5, 2)), np.eye(5), "x: all 5 rows are equal"),
        (np.eye(5)[0], np.eye(5), r"x: shape \(5,\)"),
        (np.eye(5), np.eye(5).astype(str), "y: shape"),
        (np.eye(1), np.eye(1), "1 rows, expected at least 2"),
    ],
)
def test_bad_codes_are_named(x, y, message):
    for measure in (cka, cca, svcca, pwcca):
        with pytest.raises(ValueError, match=message):
            measure(x, y)


def test_other_errors(rng):
    x, y = codes(rng, 6)
    with pytest.raises(ValueError, match="3 rows, expected at least 4"):
        cka(x[:3], y[:3], debiased=True)
    lonely = np.zeros((6, 1))
    lonely[2] = 1
    with pytest.raises(ValueError, match="x: one row differs"):
        cka(lonely, y, debiased=True)
    for threshold in (0.0, 1.2):
        with pytest.raises(ValueError, match="threshold"):
            svcca(x, y, threshold)
    with pytest.raises(ValueError, match="permutations=0"):
        shuffled(x, y, permutations=0)
    with pytest.raises(ValueError, match="4 rows, expected at least 5"):
        intervals(x[:4], y[:4])
    with pytest.raises(ValueError, match="blocks=1"):
        intervals(x, y, blocks=1)
    with pytest.raises(ValueError, match="people=7, expected 4 to 6"):
        inference.matched(x, y, 7)
    with pytest.raises(
        ValueError, match="groups of 3 and 3 people, expected at least 5"
    ):
        group_test(x, y, [0, 0, 0, 1, 1, 1])
    with pytest.raises(ValueError, match="expected .6,. of 0 and 1"):
        group_test(x, y, [0, 0, 0, 1, 1, 2])
    with pytest.raises(ValueError, match="chance of n=3"):
        chance(3, 2)


@pytest.mark.parametrize(
    ("n", "cca_level"), [(22, 1.0), (66, 0.99), (100, 0.741), (580, 0.285)]
)
def test_chance_levels_of_independent_codes(n, cca_level):
    """CKA's is d / (d + n - 1) up to O(1/n): .75 of 22 people, .49 of 66, .10
    of 580.
    """
    level = chance(n, 64)
    assert level["CCA"] == pytest.approx(cca_level, abs=0.006)
    assert level["CKA"] == pytest.approx(64 / (64 + n - 1), abs=0.015)
    assert level["debiased CKA"] == 0
    assert chance(n, 64) == level != chance(n, 64, draws=2, seed=1)


@pytest.mark.parametrize("n", [6, 22, 66])
def test_debiased_cka_of_independent_codes_is_about_zero_at_any_n(n):
    rng = np.random.default_rng(n)
    values = [
        cka(rng.normal(size=(n, 64)), rng.normal(size=(n, 64)), True)
        for _ in range(200)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3.5 * error and error < 0.03


def test_debiased_cka_does_not_depend_on_n_where_something_is_shared():
    rng = np.random.default_rng(5)
    # four of sixteen unit dimensions with covariance .6
    truth = 4 * 0.6**2 / 16
    for n in (20, 200):
        pairs = [related(n, 16, 0.6, 4, rng) for _ in range(300)]
        values = [cka(*pair, debiased=True) for pair in pairs]
        # the ratio of unbiased parts has a bias of order 1/n: small beside
        # that of the plain ratio
        assert np.mean(values) == pytest.approx(truth, abs=0.02)
        assert np.mean([cka(*pair) for pair in pairs]) > truth + 6 / n


def test_shuffles_are_real_permutations_with_the_known_mean(rng):
    x, y = codes(rng, 5, 3, 2)
    every = [measures(x, y[list(order)]) for order in permutations(range(5))]
    null = shuffled(x, y, permutations=300)
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


def test_shuffle_p_values_are_calibrated_without_a_link_and_small_with_one():
    rng, p = np.random.default_rng(2), {name: [] for name in MEASURES}
    for _ in range(200):
        x, y = rng.standard_t(4, size=(15, 3)), rng.exponential(size=(15, 4))
        null = shuffled(x, y, 39)
        for name, value in measures(x, y).items():
            p[name].append(p_value(value, null[name]))
    for name in MEASURES:
        for level in (0.1, 0.3, 0.5):  # binomial: within 3.5 standard errors
            error = 3.5 * np.sqrt(level * (1 - level) / 200)
            assert np.mean(np.array(p[name]) <= level) == pytest.approx(
                level, abs=error
            )
    x, y = related(60, 6, 0.8, 3, 0)
    for name, null in shuffled(x, y, 99).items():
        assert p_value(measures(x, y)[name], null) == 0.01


def test_p_value_counts_ties_and_itself():
    assert p_value(1.0, np.array([1.0, 0.2, 0.3])) == 0.5
    assert p_value(2.0, np.array([1.0, 0.2, 0.3])) == 0.25


def test_intervals_are_the_jackknife(rng):
    """With a block per person, the classical delete-one jackknife of every
    measure.
    """
    x, y = codes(rng, 12)
    found = intervals(x, y, blocks=12, level=0.9)
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
    assert found == intervals(x, y, blocks=50, level=0.9)


def test_an_interval_that_cannot_be_known_has_no_width_or_no_ends(rng):
    # with five people any two such codes agree perfectly
    x, y = rng.normal(size=(2, 6, 4))
    assert cca(x, y) < 1 - 1e-6
    found = intervals(x, y)
    assert np.isnan([found["CCA"].low, found["CCA"].high]).all()
    x, y = rng.normal(size=(2, 6, 20))
    assert intervals(x, y)["CCA"][:3] == pytest.approx((1, 1, 1))


def test_intervals_hold_the_truth_where_a_bootstrap_does_not():
    rng, truth = np.random.default_rng(4), 4 * 0.5**2 / 8
    held, drawn = [], []
    for _ in range(120):
        x, y = related(60, 8, 0.5, 4, rng)
        sure = intervals(x, y)["debiased CKA"]
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
    sure = [intervals(*related(60, 8, 0.5, 4, rng)) for _ in range(100)]
    for name in BIASED:
        mean = np.mean([found[name].estimate for found in sure])
        assert (
            np.mean(
                [found[name].low <= mean <= found[name].high for found in sure]
            )
            > 0.9
        )


def test_matched_groups_have_nobody_twice(rng):
    x, y = codes(rng, 40)
    assert np.ptp(inference.matched(x, y, 40, draws=3)["CKA"]) < 1e-12
    small = inference.matched(x, y, 10, draws=50)
    assert small["CKA"].mean() > cka(x, y) and len(small["CKA"]) == 50
    # all ten rows of one draw differ, so no debiased value is that of copies
    identical = inference.matched(
        np.arange(40.0)[:, None], np.arange(40.0)[:, None], 10, draws=5
    )
    np.testing.assert_allclose(identical["debiased CKA"], 1.0)


def test_group_test_knows_the_sizes_and_still_finds_a_difference(rng):
    labels = np.repeat((0, 1), (60, 20))
    x, y = related(80, 16, 0.5, 4, rng)
    x[labels == 1] += 30.0  # another mean is no other similarity
    y[labels == 1] -= 30.0
    found = group_test(x, y, labels, 99).set_index("measure")
    for g, column in ((0, "first"), (1, "second")):
        expected = measures(x[labels == g], y[labels == g])
        np.testing.assert_allclose(
            found[column].astype(float), list(expected.values())
        )
    assert found.loc["CKA", "difference"] > 0.1
    assert found.loc["CKA", "null_difference"] == pytest.approx(
        found.loc["CKA", "difference"], abs=0.1
    )
    assert (
        abs(found.loc["CKA", "matched_difference"])
        < 0.5 * found.loc["CKA", "difference"]
    )
    assert found.loc[["CKA", "debiased CKA"], "p"].min() > 0.05
    x[labels == 1] = y[labels == 1]
    found = group_test(x, y, labels, 99).set_index("measure")
    assert (found.loc[["SVCCA", "CKA", "debiased CKA"], "p"] <= 0.02).all()


def test_people_without_their_groups_mean_stay_exchangeable(rng):
    """As a matrix: orthogonal rows of one length (people's covariance), deaf
    to each mean.
    """
    groups = [np.array([4, 0, 6, 2, 7, 8, 10]), np.array([1, 9, 3, 5])]
    reduced = _exchangeable(np.eye(11), groups)
    # the root mean square of an orthonormal row of 11
    expected = np.repeat(11, 9)
    np.testing.assert_allclose(
        reduced @ reduced.T, np.diag(expected), atol=1e-12
    )
    for g in groups:
        np.testing.assert_allclose(reduced[:, g].sum(axis=1), 0, atol=1e-13)
    z = rng.normal(size=(11, 3))
    rows = _exchangeable(z, groups)
    assert (rows[:6] ** 2).mean() == pytest.approx(1) == (rows[6:] ** 2).mean()
    # a person's row is their own, but for what is the same for the whole group
    steps, own = np.diff(rows[:6], axis=0), np.diff(z[groups[0][1:]], axis=0)
    np.testing.assert_allclose(
        steps / own, np.full_like(own, (steps / own)[0, 0])
    )


def test_the_p_of_a_group_is_one_rank_among_exchangeable_differences(rng):
    """Codes that are shifted and reflected, or stretched in one group only,
    change no p.
    """
    labels = np.repeat((0, 1), (30, 12))
    x, y = related(42, 5, 0.6, 2, rng)
    p = group_test(x, y, labels, 59).set_index("measure")["p"]
    turned = -3 * x + np.where(labels, 100.0, -7.0)[:, None]
    stretched = y * np.where(labels, 0.01, 5.0)[:, None]
    again = group_test(turned, stretched, labels, 59).set_index("measure")["p"]
    np.testing.assert_allclose(p, again)
    assert np.allclose(p * 60, np.round(p * 60))


def test_a_smaller_group_seems_more_alike_in_every_study_without_a_difference():
    simulated = no_difference(8, (40, 12), d=24, permutations=19)
    means = simulated.groupby("measure")[
        ["difference", "null_difference"]
    ].mean()
    biased = simulated[simulated["measure"].isin(["SVCCA", "CKA"])]
    assert (biased["difference"] > 0.05).all()
    assert means.loc["CKA", "difference"] == pytest.approx(
        means.loc["CKA", "null_difference"], abs=0.04
    )
    matched = simulated.groupby("measure")["matched_difference"].mean()
    assert abs(matched["CKA"]) < 0.2 * means.loc["CKA", "difference"]
    unbiased = simulated.loc[
        simulated["measure"] == "debiased CKA", "difference"
    ]
    assert abs(unbiased.mean()) < 3.5 * unbiased.std() / np.sqrt(8)


@pytest.fixture
def study(rng):
    """Give a cohort-like object of 60 people and the codes of three runs, one
    collapsed.
    """
    labels, role = (
        np.repeat((0, 1, 0, 1), (20, 10, 26, 4)),
        {"train": slice(0, 30)},
    )
    role["holdout"] = slice(30, 60)
    cohort = SimpleNamespace(
        modalities=("T1", "fALFF"),
        tasks={"diagnosis": {"classes": ["HC", "AD"]}},
        rows=lambda name, fold=0: np.arange(60)[role[name]],
        downstream=lambda rows: rows,
        labels=lambda: labels,
    )
    pair = dict(
        zip(cohort.modalities, related(60, 6, 0.7, 3, rng), strict=True)
    )
    flat = pair | {"fALFF": np.full((60, 6), 0.5, np.float32)}
    return cohort, {
        "CR": pair,
        "RR": flat,
        "AE": {m: z[:, :4] for m, z in pair.items()},
    }


def test_table_holds_every_cell_and_what_each_function_says(study):
    cohort, embeddings = study
    table = inference.table(cohort, embeddings, permutations=29)
    assert len(table) == 3 * 2 * 3 * 5
    keyed = table.set_index(["model", "role", "group", "measure"]).sort_index()
    assert keyed.loc["RR", "estimate"].isna().all()
    # four people
    assert keyed.loc[("CR", "holdout", "AD"), "estimate"].isna().all()
    assert set(keyed["n"]) == {30, 20, 10, 26, 4} and set(keyed["d"]) == {4, 6}
    x, y = (z[:20] for z in embeddings["CR"].values())
    line = keyed.loc[("CR", "train", "HC", "SVCCA")]
    assert line["estimate"] == pytest.approx(svcca(x, y))
    assert line["chance"] == chance(20, 6)["SVCCA"]
    null = shuffled(x, y, 29)["SVCCA"]
    assert line["shuffle_mean"] == pytest.approx(null.mean())
    assert line["p"] == p_value(svcca(x, y), null)
    assert line["low"] <= line["estimate"] <= line["high"]
    groups = group_table(cohort, embeddings, "train", permutations=9)
    assert set(groups["model"]) == {"CR", "AE"} and set(
        groups["n_second"]
    ) == {10}
    with pytest.raises(
        ValueError, match="groups of 26 and 4 people, expected at least 5"
    ):
        group_table(cohort, embeddings, "holdout", permutations=9)
    pd.testing.assert_frame_equal(
        inference.table(cohort, embeddings, permutations=29), table
    )


def test_table_reads_a_real_cohort(tiny_phantom, rng):
    """One pair of each labelled person, whoever has several sessions."""
    codes_of = {
        m: rng.normal(size=(len(tiny_phantom), 8))
        for m in tiny_phantom.modalities
    }
    table = inference.table(tiny_phantom, {"CR": codes_of}, permutations=9)
    rows = tiny_phantom.downstream(tiny_phantom.rows("train", 0))
    line = table.query(
        "role == 'train' and group == 'all' and measure == 'CKA'"
    ).iloc[0]
    assert line["n"] == len(rows) == len(set(tiny_phantom.subjects[rows]))
    assert line["estimate"] == pytest.approx(
        cka(*(z[rows] for z in codes_of.values()))
    )


def test_figures_show_each_line_at_its_place(study):
    cohort, embeddings = study
    table = inference.table(cohort, embeddings, permutations=9)
    figure = plotting.similarity_measures(table)
    panels = figure.axes
    assert [axis.get_title() for axis in panels] == list(MEASURES)
    # from the bottom: the connections, above them the baselines of the paper
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [
        "RR",
        "CR",
        "AE",
    ]
    auc = pd.DataFrame(
        {
            "model": ["CR", "CR", "AE", "AE"],
            "modality": ["T1", "fALFF"] * 2,
            "auc": [0.6, 0.7, 0.9, 0.8],
            "low": 0.5,
            "high": 0.95,
        }
    )
    auc = pd.concat(
        [
            auc.assign(protocol="logistic regression"),
            auc.assign(protocol="linear projection", auc=1 - auc["auc"]),
        ]
    )
    figure = plotting.similarity_and_auc(auc, table)
    assert [a.get_title() for a in figure.axes][1:] == [
        "CKA",
        "SVCCA",
        "debiased CKA",
    ]
    assert [
        label.get_text() for label in figure.axes[0].get_yticklabels()
    ] == ["CR", "AE"]
    dots = figure.axes[1].collections[1].get_offsets()  # HC
    shown = table.query(
        "role == 'holdout' and group == 'HC' and measure == 'CKA'"
    )
    expected = shown.set_index("model").loc[["CR", "AE"], "estimate"]
    np.testing.assert_allclose(dots[:, 0], expected)
    sham = plotting.sham_difference(
        no_difference(3, (12, 6), 4, permutations=5)
    )
    assert len(sham.axes) == len(MEASURES)
