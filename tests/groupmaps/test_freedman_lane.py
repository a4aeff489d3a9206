"""Freedman-Lane against models fitted one by one, and what adjusting removes
and leaves.
"""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from nilearn.mass_univariate import permuted_ols
from scipy.stats import rankdata

from mmssl.groupmaps.freedman_lane import (
    _basis,
    _maxima,
    _residuals,
    freedman_lane,
)
from mmssl.groupmaps.mann_whitney import max_statistic_test, rank_biserial
from mmssl.stats.permutation import strata


@pytest.fixture
def study(rng):
    """Give 30 people with age and site, whose groups differ in age, and maps
    of 7 voxels.
    """
    age = rng.normal(70, 8, 30)
    group = (age + rng.normal(size=30) * 6 > 71).astype(int)
    table = pd.DataFrame({"age": age, "site": rng.choice(["A", "B", "C"], 30)})
    values = rng.normal(size=(30, 7))
    values[:, 2] += 0.2 * (age - 70)  # age alone
    values[:, 5] += 1.5 * group  # the group itself
    values[:, 6] = 4.0  # the same in everybody
    return values, group, table


def by_regression(values, group, table, order):
    """Permute what the covariates leave, add back what they explain, fit the
    whole model.
    """
    z = sm.add_constant(
        pd.get_dummies(table, drop_first=True, dtype=float).to_numpy()
    )
    full, r = np.column_stack([group, z]), []
    for y in rankdata(values, axis=0).T:
        reduced = sm.OLS(y, z).fit()
        fit = sm.OLS(reduced.fittedvalues + reduced.resid[order], full).fit()
        r.append(fit.tvalues[0] / np.sqrt(fit.tvalues[0] ** 2 + fit.df_resid))
    return np.array(r)


def test_it_is_freedman_and_lanes_regression(study):
    values, group, table = study
    varying = values[:, :6]
    found = freedman_lane(values, group, table, 40, seed=3, progress=False)
    observed = by_regression(varying, group, table, np.arange(30))
    assert (
        np.allclose(found.correlation[:6], observed)
        and found.correlation[6] == 0
    )
    rng = np.random.default_rng(3)
    null = [
        np.abs(by_regression(varying, group, table, rng.permutation(30))).max()
        for _ in range(40)
    ]
    expected = (1 + (np.array(null)[:, None] >= np.abs(observed)).sum(0)) / 41
    # which person a permutation moves where is a convention; the null's law is
    # not
    assert (
        np.allclose(found.corrected[:6], expected, atol=0.2)
        and found.corrected[6] == 1
    )
    z = sm.add_constant(
        pd.get_dummies(table, drop_first=True, dtype=float).to_numpy()
    )
    fit = sm.OLS(rankdata(values[:, 5]), np.column_stack([group, z])).fit()
    assert found.p[5] == pytest.approx(fit.pvalues[0])


def test_nilearn_finds_the_same(study):
    values, group, table = study
    varying = values[:, :6]
    dummies = pd.get_dummies(table, drop_first=True, dtype=float).to_numpy()
    found = freedman_lane(varying, group, table, 3000, progress=False)
    expected = permuted_ols(
        group[:, None],
        rankdata(varying, axis=0),
        dummies,
        n_perm=3000,
        random_state=1,
        output_type="dict",
    )
    t = expected["t"][0]
    freedom = 30 - dummies.shape[1] - 2
    assert found.correlation == pytest.approx(t / np.sqrt(t**2 + freedom))
    p = 10.0 ** -expected["logp_max_t"][0]
    error = np.sqrt(2 * p * (1 - p) / 3000)
    assert (np.abs(found.corrected - p) < 4 * error + 1e-3).all()
    assert found.corrected.min() < 0.1 and found.corrected.max() > 0.9


def test_the_smallest_p_is_of_a_thousand_permutations(rng):
    group = np.arange(40) % 2
    values = group[:, None] + 0.01 * rng.normal(size=(40, 1))
    found = freedman_lane(values, group, np.arange(40), progress=False)
    assert found.corrected == pytest.approx(1 / 1001, rel=1e-6)


def test_one_permutation_is_exact(study):
    """The null of a single order, in which it takes each person's place in the
    labels.
    """
    values, group, table = study
    basis = _basis(table, 30)
    x = group - group.mean() - basis @ (basis.T @ group)
    residuals = _residuals(values[:, :6], basis)
    order = np.random.default_rng(8).permutation(30)
    found = _maxima(residuals, x / np.linalg.norm(x), basis, order[None])[0]
    # moving people in the labels by an order moves their maps by its inverse
    expected = np.abs(
        by_regression(values[:, :6], group, table, np.argsort(order))
    ).max()
    assert found == pytest.approx(expected)


def test_without_covariates_it_is_the_rank_biserial_map(study):
    values, group, _ = study
    nothing = np.zeros((30, 1))
    found = freedman_lane(values, group, nothing, 400, progress=False)
    rbc = rank_biserial(values[group == 1], values[group == 0]).rbc
    ratio = found.correlation[:6] / rbc[:6]
    assert np.allclose(ratio, ratio[0])
    plain = max_statistic_test(values, group, 400, progress=False)
    assert np.allclose(found.corrected, plain, atol=0.1)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_unit_of_a_covariate_does_not_matter(study, unit):
    values, group, table = study
    changed = table.assign(age=unit * table["age"])
    found, other = (
        freedman_lane(values, group, t, 40, progress=False)
        for t in (table, changed)
    )
    assert np.allclose(found.correlation, other.correlation)
    assert np.allclose(found.corrected, other.corrected)


def test_what_age_explains_goes_and_the_group_stays():
    rng = np.random.default_rng(2)
    age = rng.normal(size=120)
    group = (age + 0.7 * rng.normal(size=120) > 0).astype(int)
    values = rng.normal(size=(120, 3))
    values[:, 0] += 1.5 * age
    values[:, 1] += 1.5 * group
    plain = max_statistic_test(values, group, 500, progress=False)
    found = freedman_lane(values, group, age, 500, progress=False)
    assert plain[0] < 0.01 and found.corrected[0] > 0.1
    assert found.corrected[1] < 0.01


def test_labels_exchanged_between_the_alike_do_not_find_what_a_site_explains():
    rng = np.random.default_rng(5)
    site = rng.choice(["A", "B", "C"], 160)
    shift = np.select([site == "A", site == "B"], [1.0, 0.0], -1.0)
    group = (shift + rng.normal(size=160) > 0).astype(int)
    values = rng.normal(size=(160, 2))
    values[:, 0] += shift
    values[:, 1] += 1.2 * group
    plain = max_statistic_test(values, group, 400, progress=False)
    alike = strata(pd.DataFrame({"site": site}))
    found = max_statistic_test(
        values, group, 400, strata=alike, progress=False
    )
    assert plain[0] < 0.01 and found[0] > 0.05 and found[1] < 0.01


def test_bad_input_is_named(study):
    values, group, table = study
    with pytest.raises(ValueError, match="explain the labels"):
        freedman_lane(values, group, table.assign(copy=group))
    with pytest.raises(
        ValueError, match=r"covariates: shape \(29, 4\), expected 30 rows"
    ):
        freedman_lane(values, group, table[:29])
    site = np.array(["A", "B", None], dtype=object)[np.arange(30) % 3]
    with pytest.raises(
        ValueError,
        match=r"\(column 'site'\): 10 of 30 rows have no value, the first is "
        "row 2",
    ):
        freedman_lane(values, group, table.assign(site=site))
    ages = table["age"].round(1).astype(str)
    ages[3] = "89+"
    with pytest.raises(ValueError, match=r"column 'age' holds .*'89\+': 1"):
        freedman_lane(values, group, table.assign(age=ages))
    with pytest.raises(ValueError, match="values: shape"):
        freedman_lane(np.full((30, 2), np.nan), group, table)
    with pytest.raises(ValueError, match="permutations is 0"):
        freedman_lane(values, group, table, 0)
