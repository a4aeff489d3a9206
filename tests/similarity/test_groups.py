"""Groups of unequal size: matched sizes, and the test of a difference."""

import numpy as np
import pandas as pd
import pytest

from mmssl.similarity.groups import _exchangeable, group_test, matched_size
from mmssl.similarity.measures import cka, measures
from mmssl.similarity.simulations import (
    simulated_codes,
    studies_without_difference,
)


def test_matched_groups_have_nobody_twice(codes, rng):
    x, y = codes(rng, 40)
    assert np.ptp(matched_size(x, y, 40, draws=3)["CKA"]) < 1e-12
    small = matched_size(x, y, 10, draws=50)
    assert small["CKA"].mean() > cka(x, y) and len(small["CKA"]) == 50
    # all ten rows of one draw differ, so no debiased value is that of copies
    identical = matched_size(
        np.arange(40.0)[:, None], np.arange(40.0)[:, None], 10, draws=5
    )
    np.testing.assert_allclose(identical["debiased CKA"], 1.0)


def test_group_test_knows_the_sizes_and_still_finds_a_difference(rng):
    labels = np.repeat((0, 1), (60, 20))
    x, y = simulated_codes(80, 16, 0.5, 4, rng)
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
    """As a matrix: orthogonal rows of one length (people's covariance),
    which sum to 0 over each group.
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
    x, y = simulated_codes(42, 5, 0.6, 2, rng)
    p = group_test(x, y, labels, 59).set_index("measure")["p"]
    turned = -3 * x + np.where(labels, 100.0, -7.0)[:, None]
    stretched = y * np.where(labels, 0.01, 5.0)[:, None]
    again = group_test(turned, stretched, labels, 59).set_index("measure")["p"]
    np.testing.assert_allclose(p, again)
    assert np.allclose(p * 60, np.round(p * 60))


def test_a_smaller_group_seems_more_alike_though_nothing_differs():
    simulated = studies_without_difference(8, (40, 12), d=24, permutations=19)
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


@pytest.mark.parametrize(("d", "rank"), [(4, 1), (16, 2)])
def test_a_study_is_one_test_of_codes_that_share_an_eighth(d, rank):
    found = studies_without_difference(2, (12, 6), d, 0.6, 5, seed=3)
    x, y = simulated_codes(18, d, 0.6, rank, (3, 1))
    labels = np.repeat((0, 1), (12, 6))
    expected = group_test(x, y, labels, 5, seed=3)
    second = found[found["study"] == 1].drop(columns="study")
    pd.testing.assert_frame_equal(second.reset_index(drop=True), expected)
    design = (2, (12, 6), d, 0.6, 5)
    pd.testing.assert_frame_equal(
        studies_without_difference(*design),
        studies_without_difference(*design, seed=0),
    )
    pd.testing.assert_frame_equal(
        studies_without_difference(1, (6, 5), d),
        studies_without_difference(1, (6, 5), d, permutations=99),
    )


def test_bad_groups_are_named(codes, rng):
    x, y = codes(rng, 6)
    with pytest.raises(ValueError, match="people=7, expected 4 to 6"):
        matched_size(x, y, 7)
    with pytest.raises(ValueError, match="groups of 3 and 3 people"):
        group_test(x, y, [0, 0, 0, 1, 1, 1])
    with pytest.raises(ValueError, match="expected .6,. of 0 and 1"):
        group_test(x, y, [0, 0, 0, 1, 1, 2])
    with pytest.raises(ValueError, match="expected .6,. of 0 and 1"):
        group_test(x, y, [0, 0, 1, 1, 1])
