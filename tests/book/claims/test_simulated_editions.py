"""The rule finds a known truth where people are enough, and is seldom wrong
where they are not.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from book.claims.rule import CONTRADICTED, SUPPORTED, UNRESOLVED
from book.claims.simulated_editions import assess_editions


def _share_at_least(assessed, share):
    """Whether the lower 95 % limit of the share of right verdicts (Clopper &
    Pearson) is above.
    """
    right = int((assessed["truth"] == assessed["verdict"]).sum())
    test = stats.binomtest(right, len(assessed), alternative="greater")
    return test.proportion_ci(0.95).low >= share


def _wrong_among_decided(assessed):
    """V / max(R, 1) of each edition: V wrong verdicts, R decided ones."""
    decided = assessed[assessed["verdict"] != UNRESOLVED]
    is_wrong = decided["verdict"] != decided["truth"]
    rates = is_wrong.groupby(decided["edition"]).mean()
    return rates.reindex(assessed["edition"].unique(), fill_value=0.0)


def _at_most(rates, share):
    """Whether a mean of rates within [0, 1] may be `share` (Hoeffding's first
    bound, 1963).
    """
    mean, n = rates.mean(), len(rates)
    if mean <= share:
        return True
    log_of_wrong = mean * np.log(share / mean)
    log_of_right = (1 - mean) * np.log((1 - share) / max(1 - mean, 1e-300))
    return np.exp(n * (log_of_wrong + log_of_right)) > 0.01


def test_known_truth_is_found_where_people_are_enough():
    assessed = assess_editions(4, 4000, 4000)
    assert set(assessed["truth"]) == {SUPPORTED, CONTRADICTED}
    wrong = assessed[assessed["truth"] != assessed["verdict"]]
    assert _share_at_least(assessed, 0.9), wrong


def test_wrong_among_decided_by_hand():
    columns = {
        "edition": [0, 0, 0, 1, 1, 2],
        "verdict": [
            SUPPORTED,
            SUPPORTED,
            UNRESOLVED,
            UNRESOLVED,
            UNRESOLVED,
            CONTRADICTED,
        ],
        "truth": [SUPPORTED, CONTRADICTED, *[SUPPORTED] * 4],
    }
    rates = _wrong_among_decided(pd.DataFrame(columns))
    assert rates.tolist() == [0.5, 0.0, 1.0]
    assert _at_most(pd.Series([0.0, 0.1]), 0.05)
    assert not _at_most(pd.Series([0.4] * 20), 0.05)


def test_at_the_papers_size_most_are_not_resolvable_and_few_are_wrong():
    assessed = assess_editions(10, 22, 66)
    assert (assessed["verdict"] == UNRESOLVED).mean() > 0.6
    assert _at_most(_wrong_among_decided(assessed), 0.05)


@pytest.mark.slow
def test_known_truth_is_found_in_nine_of_ten_full_size():
    assessed = assess_editions(40, 4000, 4000, seed=100)
    for test, part in assessed.groupby(assessed["test"].str.partition("(")[0]):
        assert _share_at_least(part, 0.9), test
    small = assess_editions(100, 22, 66, seed=100)
    assert (small["verdict"] == UNRESOLVED).mean() > 0.6
    assert _at_most(_wrong_among_decided(small), 0.05)
