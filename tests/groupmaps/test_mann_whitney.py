"""The Mann-Whitney test against SciPy, its permutation test against
enumeration, and its error rate.
"""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nilearn.mass_univariate import permuted_ols
from scipy import ndimage
from scipy.stats import binom, mannwhitneyu, permutation_test, rankdata
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from mmssl.groupmaps import mann_whitney as groupmaps
from mmssl.groupmaps.mann_whitney import (
    compare,
    max_statistic_test,
    rank_biserial,
    resampled_rank_biserial,
)
from mmssl.stats.permutation import labellings

SHAPE = (7, 8, 9)


def _people(rng, n1=9, n0=14, voxels=60, ties=False):
    x = rng.normal(size=(n1 + n0, voxels))
    return (x.round(1) if ties else x)[:n1], (x.round(1) if ties else x)[n1:]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("decimals", [0, 1, 6])
@pytest.mark.parametrize(("n1", "n0"), [(4, 4), (22, 66), (31, 5)])
def test_rank_biserial_equals_scipy_voxel_by_voxel(
    rng, n1, n0, decimals, dtype
):
    first, second = (
        x.round(decimals).astype(dtype) for x in _people(rng, n1, n0)
    )
    found = rank_biserial(first, second)
    for v in range(first.shape[1]):
        expected = mannwhitneyu(
            first[:, v].astype("f8"),
            second[:, v].astype("f8"),
            alternative="two-sided",
            method="asymptotic",
        )
        assert found.u[v] == expected.statistic
        assert found.p[v] == pytest.approx(expected.pvalue, abs=1e-9)


def test_the_papers_statistic_by_hand(rng):
    # four of twelve pairs won and lost by counting: (2 > none), (3 > 2.5), (4
    # > 2.5, 3.5)
    first, second = (
        np.array([1.0, 2, 3, 4])[:, None],
        np.array([2.5, 3.5, 5, 6])[:, None],
    )
    assert rank_biserial(first, second).u.tolist() == [3.0]
    assert rank_biserial(first, second).rbc.tolist() == [2 * 3 / 16 - 1]
    same = rank_biserial(first, first)
    assert same.rbc.tolist() == [0.0] and same.p.tolist() == [1.0]


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float32, (11, 6), elements=st.integers(-3, 3).map(float)))
def test_rank_biserial_counts_pairs_and_is_twice_the_auc_less_one(values):
    first, second = values[:4], values[4:]
    found = rank_biserial(first, second)
    wins = (first[:, None] > second).sum((0, 1)) + 0.5 * (
        first[:, None] == second
    ).sum((0, 1))
    assert np.array_equal(found.u, wins)
    aucs = [roc_auc_score([1] * 4 + [0] * 7, column) for column in values.T]
    assert found.rbc == pytest.approx(2 * np.array(aucs) - 1)


def test_swapping_groups_turns_the_sign_and_nothing_else(rng):
    first, second = _people(rng, ties=True)
    one, other = rank_biserial(first, second), rank_biserial(second, first)
    assert np.array_equal(one.rbc, -other.rbc) and np.array_equal(
        one.p, other.p
    )
    assert np.array_equal(one.u + other.u, np.full(60, 9 * 14.0))


def test_only_the_order_of_people_counts(rng):
    first, second = _people(rng)
    expected = rank_biserial(first, second)
    again = rank_biserial(np.exp(first[::-1]), np.exp(second))
    assert all(
        np.array_equal(a, b) for a, b in zip(expected, again, strict=True)
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_voxels_do_not_depend_on_their_block(kind, rng, monkeypatch):
    first, second = (x.astype(kind) for x in _people(rng, ties=True))
    whole = rank_biserial(first, second)
    labels = np.repeat([1, 0], [9, 14])
    values = np.concatenate([first, second])
    p = max_statistic_test(values, labels, 300)
    # seven voxels at a time
    monkeypatch.setattr(groupmaps, "_RANK_BYTES", 40 * 23 * 7)
    monkeypatch.setattr(groupmaps, "_ELEMENTS", {"cpu": 11 * 13})
    parts = rank_biserial(first, second)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert np.array_equal(p, max_statistic_test(values, labels, 300))


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(8, 13), st.integers(1, 7)),
        elements=st.one_of(
            st.floats(width=32, allow_nan=False, allow_infinity=False),
            st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0]),
        ),
    )
)
def test_sums_of_ranks_are_those_of_ranks_in_every_precision(values):
    """Zeros of either sign are one value, subnormal numbers are their own."""
    first, second = values[:4], values[4:]
    found = rank_biserial(first, second)
    wide = rank_biserial(first.astype("f8"), second.astype("f8"))
    for ours, others in zip(found, wide, strict=True):
        np.testing.assert_array_equal(ours, others)
    ranks = rankdata(values, axis=0)[:4].sum(axis=0)
    np.testing.assert_array_equal(found.u, ranks - 10)


def test_torch_and_half_precision_are_welcome(rng):
    first, second = (x.astype("f2") for x in _people(rng))
    expected = rank_biserial(first.astype("f8"), second.astype("f8"))
    found = rank_biserial(torch.from_numpy(first), second)
    assert all(
        np.array_equal(a, b) for a, b in zip(expected, found, strict=True)
    )


def test_a_voxel_that_is_the_same_in_everybody_says_nothing(rng):
    first, second = _people(rng)
    first[:, 3] = second[:, 3] = 0.7
    found = rank_biserial(first, second)
    assert (found.rbc[3], found.p[3]) == (0.0, 1.0)
    assert np.isfinite(found.p).all()
    labels = np.repeat([1, 0], [9, 14])
    assert (
        max_statistic_test(np.concatenate([first, second]), labels, 50)[3]
        == 1.0
    )


def _enumerated(values, group, allowed=None):
    """Corrected p over every labelling, by SciPy's ranks and the definition of
    U.
    """
    n, n1 = len(values), int(group.sum())
    ranks = rankdata(values, axis=0)
    half = n1 * (n - n1) / 2
    size = []
    for chosen in combinations(range(n), n1):
        if allowed is None or allowed(chosen):
            size.append(
                np.abs(ranks[list(chosen)].sum(0) - n1 * (n1 + 1) / 2 - half)
            )
    observed = np.abs(ranks[group].sum(0) - n1 * (n1 + 1) / 2 - half)
    largest = np.max(size, axis=1)
    return (largest[:, None] >= observed).mean(0), len(size)


@pytest.mark.parametrize("ties", [False, True])
def test_few_people_are_tested_exactly(rng, ties):
    values = rng.normal(size=(9, 12))
    values = values.round(0) if ties else values
    values[:4, 0] += 4
    group = np.arange(9) < 4
    expected, number = _enumerated(values, group)
    assert number == comb(9, 4)
    assert max_statistic_test(values, group) == pytest.approx(expected)
    assert expected.min() >= 1 / number


def test_scipys_permutation_test_finds_the_same_in_each_voxel(rng):
    values, group = rng.normal(size=(9, 6)).round(1), np.arange(9) < 4
    values[group, 0] += 2

    def size(first, second, axis):
        test = mannwhitneyu(first, second, axis=axis, method="asymptotic")
        return np.abs(test.statistic - 10)

    expected = permutation_test(
        (values[group], values[~group]),
        size,
        vectorized=True,
        n_resamples=np.inf,
        alternative="greater",
    )
    found = [max_statistic_test(column[:, None], group) for column in values.T]
    assert np.concatenate(found) == pytest.approx(expected.pvalue)


def test_nilearns_max_statistic_test_finds_the_same(rng):
    values, group = rng.normal(size=(30, 20)), np.arange(30) < 12
    values[group, :3] += [0.8, 1.2, 2.0]
    found = max_statistic_test(values, group, 3000)
    # of ranks without ties, t orders maps as the rank-biserial does
    expected = permuted_ols(
        group[:, None].astype(float),
        rankdata(values, axis=0),
        n_perm=3000,
        random_state=1,
        output_type="dict",
    )
    p = 10.0 ** -expected["logp_max_t"][0]
    error = np.sqrt(2 * p * (1 - p) / 3000)
    assert (np.abs(found - p) < 4 * error + 1e-3).all()
    assert found.min() < 0.01 and found.max() > 0.9


def test_strata_allow_only_exchanges_within_them(rng):
    values, group = rng.normal(size=(10, 8)), np.arange(10) % 2 == 0
    strata = np.repeat(["A", "B"], [4, 6])
    expected, number = _enumerated(
        values, group, lambda chosen: sum(i < 4 for i in chosen) == 2
    )
    assert number == comb(4, 2) * comb(6, 3)
    found = max_statistic_test(values, group, strata=strata)
    assert found == pytest.approx(expected)


def test_random_labellings_approach_the_exact_p(rng):
    values, group = rng.normal(size=(13, 5)), np.arange(13) < 6
    expected, number = _enumerated(values, group)
    found = max_statistic_test(values, group, number - 200, seed=3)
    error = np.sqrt(expected * (1 - expected) / (number - 200))
    assert (np.abs(found - expected) < 4 * error + 1 / number).all()


def test_permuted_p_are_counts_are_never_0_and_repeat(rng):
    values, labels = rng.normal(size=(40, 30)), np.repeat(["HC", "AD"], 20)
    # the groups do not overlap: no relabelling can do better
    values[:20, 4] += 10
    found = max_statistic_test(values, labels, 99, seed=1)
    assert found[4] == 1 / 100
    assert np.allclose(found * 100, np.rint(found * 100))
    assert np.array_equal(
        found, max_statistic_test(values, labels, 99, seed=1)
    )
    assert not np.array_equal(
        found, max_statistic_test(values, labels, 99, seed=2)
    )


def test_p_equals_a_loop_over_scipy(rng):
    values, group = rng.normal(size=(25, 10)), np.arange(25) < 10
    draws = labellings(group, 80, seed=5)

    def size(chosen):
        u = mannwhitneyu(
            values[chosen], values[~chosen], method="asymptotic"
        ).statistic
        return np.abs(2 * u / 150 - 1)

    largest = np.array([size(chosen).max() for chosen in draws])
    expected = (1 + (largest[:, None] >= size(group) - 1e-12).sum(0)) / 81
    assert max_statistic_test(values, group, 80, seed=5) == pytest.approx(
        expected
    )


def test_resampled_effects_are_those_of_repeated_people(rng):
    first, second = rng.normal(size=(7, 30)), rng.normal(size=(9, 30))
    first[:, :5] = np.round(first[:, :5])
    second[:, :5] = np.round(second[:, :5])
    counts = rng.multinomial(7, np.ones(7) / 7, 3)
    others = rng.multinomial(9, np.ones(9) / 9, 3)
    effects = resampled_rank_biserial(first, second, (counts, others))
    for effect, w1, w0 in zip(effects, counts, others, strict=True):
        repeated = np.repeat(first, w1, axis=0), np.repeat(second, w0, axis=0)
        u = mannwhitneyu(*repeated, axis=0).statistic
        np.testing.assert_allclose(effect, 2 * u / 63 - 1, atol=1e-6)
    once = resampled_rank_biserial(
        first, second, (np.ones((1, 7)), np.ones((1, 9)))
    )
    np.testing.assert_allclose(
        once[0], rank_biserial(first, second).rbc, atol=1e-6
    )


@pytest.mark.parametrize("n", [40, 256, 300])
def test_products_stay_exact_where_a_device_multiplies_coarsely(
    rng, n, monkeypatch
):
    """TensorFloat-32 and bfloat16 round what goes into a product; fp64 they
    leave alone.
    """
    values, labels = rng.normal(size=(n, 40)), np.arange(n) < n // 3
    expected = max_statistic_test(values, labels, 500)

    def coarse(a, b):
        if a.dtype == torch.float32:
            a, b = a.bfloat16().float(), b.bfloat16().float()
        return torch.matmul(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", coarse)
    assert np.array_equal(expected, max_statistic_test(values, labels, 500))


def test_a_family_of_maps_is_corrected_together(rng):
    values, group = rng.normal(size=(30, 2, 3, 11)), np.arange(30) < 12
    found = compare(values, group, 150)
    flat = max_statistic_test(values.reshape(30, -1), group, 150)
    assert np.array_equal(found.corrected, flat.reshape(2, 3, 11))
    alone = rank_biserial(values[group, 1, 2], values[~group, 1, 2])
    assert np.array_equal(found.rbc[1, 2], alone.rbc) and np.array_equal(
        found.p[1, 2], alone.p
    )
    for i, k in np.ndindex(2, 3):  # of each map by itself
        assert np.allclose(
            found.fdr[i, k], multipletests(found.p[i, k], method="fdr_bh")[1]
        )
    assert (found.fdr >= found.p).all()
    single = max_statistic_test(values[:, 1, 2], group, 150)
    assert (found.corrected[1, 2] >= single).all()
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2, :, 3] = mask[3, :3, 0] = True
    volumes = found.volumes(mask)
    assert len(volumes) == 6 and np.array_equal(
        volumes[5][0][mask], found.rbc[1, 2].astype("f4")
    )
    assert volumes[0][1][~mask].min() == 1.0


def _false_alarms(cohorts, side, people, permutations, seed=0):
    """How many null cohorts of smooth noise show any voxel below .05."""
    rng, found = np.random.default_rng(seed), 0
    group = np.arange(people) < people // 3
    for k in range(cohorts):
        noise = rng.normal(size=(people, side, side, side))
        smooth = ndimage.gaussian_filter(noise, (0, 1.5, 1.5, 1.5)).reshape(
            people, -1
        )
        p = max_statistic_test(
            smooth, group, permutations, seed=k, progress=False
        )
        found += (p <= 0.05).any()
    return found


def test_null_cohorts_hold_their_error_rate():
    """As many alarms as 5 % allow, no more and no fewer: people enough that
    few maxima are tied.
    """
    found = _false_alarms(200, 8, 88, 99)
    assert (
        binom.cdf(found, 200, 0.05) > 0.005
        and binom.sf(found - 1, 200, 0.05) > 0.005
    )


@pytest.mark.slow
def test_null_cohorts_hold_their_error_rate_at_full_size():
    found = _false_alarms(400, 24, 88, 999, seed=1)
    assert (
        binom.cdf(found, 400, 0.05) > 0.005
        and binom.sf(found - 1, 400, 0.05) > 0.005
    )


def test_bad_maps_are_named(rng):
    first, second = _people(rng)
    with pytest.raises(
        ValueError, match="groups of 3 and 14 people, expected at least 4"
    ):
        rank_biserial(first[:3], second)
    with pytest.raises(ValueError, match="first has 59 voxels, second 60"):
        rank_biserial(first[:, :59], second)
    with pytest.raises(ValueError, match=r"second: shape \(60,\)"):
        rank_biserial(first, second[0])
    second[5, 7] = np.nan
    with pytest.raises(
        ValueError, match="second: map 5 holds 1 values .* voxel 7: nan"
    ):
        rank_biserial(first, second)
    with pytest.raises(ValueError, match="values: map 14 holds"):
        max_statistic_test(np.concatenate([first, second]), np.arange(23) < 9)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (
            np.arange(12) % 3,
            {},
            r"labels hold 3 values \(\[0, 1, 2\]\), expected two",
        ),
        (np.zeros(12), {}, "labels hold 1 values"),
        (np.arange(11) % 2, {}, r"labels: shape \(11,\), expected \(12,\)"),
        (np.arange(12) < 2, {}, "groups of 2 and 10"),
        (np.arange(12) < 6, {"permutations": 0}, "permutations is 0"),
        (np.arange(12) < 6, {"strata": np.zeros(5)}, r"strata: shape \(5,\)"),
        (
            np.arange(12) < 6,
            {"strata": np.arange(12) < 6},
            "nothing can be permuted",
        ),
    ],
)
def test_bad_labels_and_options_are_named(rng, labels, options, message):
    with pytest.raises(ValueError, match=message):
        max_statistic_test(rng.normal(size=(12, 5)), labels, **options)


def test_the_smallest_p_is_that_of_a_voxel_without_an_error(rng):
    values = rng.normal(size=(13, 12))
    labels = np.array([1] * 6 + [0] * 7)
    perfect = np.concatenate([values, labels[:, None]], axis=1)
    # its own permutations are among those of the largest effect already, as
    # far as they go: none but the observed one and its mirror reach it
    found = groupmaps.smallest_p(values, labels, 500, seed=2)
    expected = max_statistic_test(perfect, labels, 500, seed=2)[-1]
    assert found == pytest.approx(expected, abs=2 / 501)
    assert found < 0.05
    # of as many permutations as are asked for
    assert found * 501 == pytest.approx(round(found * 501))


def test_the_smallest_p_of_few_people_is_exact_and_large(rng):
    """Four and four: of 70 labellings that observed and its mirror separate a
    single voxel; of thousands, each separates one.
    """
    labels = np.array([0] * 4 + [1] * 4)
    one = np.arange(8.0)[:, None]
    assert groupmaps.smallest_p(one, labels) == pytest.approx(2 / 70)
    # within strata of two and two of each: 6 x 6 labellings
    strata = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    found = groupmaps.smallest_p(one, labels, strata=strata)
    assert found == pytest.approx(2 / 36)
    many = rng.normal(size=(8, 4000))
    assert groupmaps.smallest_p(many, labels) > 0.9
    with pytest.raises(ValueError, match="values: shape"):
        groupmaps.smallest_p(one[:, 0], labels)
