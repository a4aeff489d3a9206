"""Who is exchanged with whom, and the p that follows."""

import numpy as np
import pandas as pd
import pytest

from mmssl.stats.permutation import (
    TIE_SLACK,
    labellings,
    permutation_p,
    strata,
    two_groups,
)


def test_p_counts_ties_and_itself():
    assert permutation_p(1.0, np.array([1.0, 0.2, 0.3])) == 0.5
    assert permutation_p(2.0, np.array([1.0, 0.2, 0.3])) == 0.25
    assert isinstance(permutation_p(1, [1, 2]), float)


def test_p_of_an_array_is_the_loop(rng):
    null = np.round(rng.normal(size=99), 1).astype(np.float32)
    observed = np.round(rng.normal(size=(3, 4)), 1)
    observed[0, 0] = null.max() + 1
    observed[0, 1] = null[5]
    p = permutation_p(observed, null)
    for at, value in np.ndenumerate(observed):
        reached = sum(one >= value - 1e-12 for one in null)
        assert p[at] == (1 + reached) / 100
    assert p.shape == (3, 4) and p[0, 0] == 0.01


def test_p_of_a_statistic_without_value_has_no_value():
    null = np.arange(99.0)
    assert np.isnan(permutation_p(np.nan, null))
    p = permutation_p([98.0, np.nan, 200.0], null)
    assert p[0] == 0.02 and np.isnan(p[1]) and p[2] == 0.01
    null[:5] = np.nan
    assert permutation_p(98.0, null) == 0.07
    assert permutation_p(200.0, null) == 0.06
    assert np.isnan(permutation_p(np.nan, null))


def test_a_tie_up_to_rounding_counts_and_a_smaller_value_does_not():
    null = [0.1 + 0.2, 0.3]
    assert permutation_p(0.1 + 0.2, null) == 1.0
    assert permutation_p(0.1 + 0.2, null, slack=0.0) == 2 / 3
    assert permutation_p(0.3 + 2 * TIE_SLACK, [0.3] * 3) == 0.25


def test_labellings_are_all_others_where_there_are_few():
    group = np.arange(7) < 3
    draws = labellings(group, 34)
    assert draws.shape == (34, 7)
    assert len({tuple(draw) for draw in draws} | {tuple(group)}) == 35
    assert (draws.sum(axis=1) == 3).all()
    assert len(labellings(group, 33)) == 33
    assert labellings(group, 1).shape == (1, 7)


def test_labels_move_within_strata_only():
    group = np.tile(np.arange(10) % 2 == 0, 4)
    ward = np.tile(np.repeat(["A", "B"], [4, 6]), 4)
    draws = labellings(group, 200, strata=ward)
    assert draws.shape == (200, 40)
    assert (draws[:, ward == "A"].sum(axis=1) == 8).all()
    assert (draws[:, ward == "B"].sum(axis=1) == 12).all()
    assert np.array_equal(draws, labellings(group, 200, strata=ward))
    assert not np.array_equal(draws, labellings(group, 200, 1, ward))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_strata_that_are_missing_are_counted_and_named(missing):
    group = np.arange(24) < 12
    site = pd.Series(["A", "B"] * 12, name="site", dtype=object)
    site[[2, 5, 20]] = missing
    found = r"3 of 24 rows have no value, the first is row 2"
    with pytest.raises(ValueError, match=rf"\(column 'site'\): {found}"):
        labellings(group, 100, strata=site)
    for values in (site.to_list(), site.to_numpy()):
        with pytest.raises(ValueError, match=f"strata: {found}"):
            labellings(group, 100, strata=values)
    numbers = np.where(site.isna(), np.nan, 1.0)
    with pytest.raises(ValueError, match=f"strata: {found}"):
        labellings(group, 100, strata=numbers)


def test_missing_labels_are_no_group():
    for values in (["HC", np.nan] * 8, [1.0, np.nan] * 8, [None, "AD"] * 8):
        with pytest.raises(ValueError, match="labels: 8 of 16 rows have no"):
            two_groups(values, 16)


def test_strata_are_those_who_are_alike(rng):
    table = pd.DataFrame(
        {
            "age": rng.normal(70, 8, 30),
            "site": rng.choice(["A", "B", "C"], 30),
            "sex": np.where(np.arange(30) % 3 == 0, "F", "M"),
            "ward": np.arange(30) % 2,
        }
    )
    found = strata(table, bins=3)
    thirds = np.searchsorted(
        np.quantile(table["age"], [1 / 3, 2 / 3]), table["age"]
    )
    same = found[:, None] == found
    alike = thirds[:, None] == thirds
    for name in ("site", "sex", "ward"):
        values = table[name].to_numpy()
        alike &= values[:, None] == values
    assert np.array_equal(same, alike) and len(np.unique(found)) > 10
    assert np.array_equal(strata(table[["ward"]]), table["ward"])
    with pytest.raises(ValueError, match=r"missing \{'age': 1\}"):
        strata(table.assign(age=table["age"].where(np.arange(30) != 4)))
    with pytest.raises(ValueError, match="bins is 1"):
        strata(table, 1)


def test_four_people_make_a_group_and_three_do_not():
    labels = np.repeat([0, 1], [4, 7])
    np.testing.assert_array_equal(two_groups(labels, 11), labels == 1)
    with pytest.raises(ValueError, match="groups of 7 and 3 people"):
        two_groups(labels[1:], 10)


def test_bad_labels_are_named():
    with pytest.raises(ValueError, match="labels hold 3 values"):
        two_groups(np.arange(12) % 3, 12)
    with pytest.raises(ValueError, match=r"labels: shape \(11,\)"):
        two_groups(np.arange(11) % 2, 12)
    with pytest.raises(ValueError, match="groups of 2 and 10"):
        two_groups(np.arange(12) < 2, 12)
    with pytest.raises(ValueError, match=r"strata: shape \(5,\)"):
        labellings(np.arange(12) < 6, 10, strata=np.zeros(5))
    with pytest.raises(ValueError, match="nothing can be permuted"):
        labellings(np.arange(12) < 6, 10, strata=np.arange(12) < 6)
    with pytest.raises(ValueError, match="permutations is 0"):
        labellings(np.arange(12) < 6, 0)


def test_a_neighbour_is_no_tie():
    """Rounding is forgiven, a difference that rounding cannot make is not."""
    assert permutation_p(0.3 + 1e-14, [0.3] * 3) == 1.0
    assert permutation_p(0.3 + 1e-10, [0.3] * 3) == 0.25
