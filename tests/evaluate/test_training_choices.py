"""Paired differences over cohorts against SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from mmssl.evaluate import choice_differences


def made_up(rng):
    lines = []
    for modality in ("T1", "fALFF"):
        for seed in (3, 1, 2, 5):
            level = rng.normal()
            for choice in ("usual", "other"):
                value = level + 0.1 * rng.normal()
                lines.append(("RR", choice, seed, modality, value))
            lines.append(("PCA-64", "baseline", seed, modality, level))
    columns = ["objective", "choice", "seed", "modality", "value"]
    return pd.DataFrame(lines, columns=columns).sample(frac=1, random_state=1)


def test_differences_are_paired_within_cohorts(rng):
    table = made_up(rng)
    found = choice_differences(table, "usual")
    found = found.set_index(["objective", "choice", "modality"])
    for modality in ("T1", "fALFF"):
        part = table[table["modality"] == modality]
        part = part.pivot(
            index="seed", columns=["objective", "choice"], values="value"
        )
        paired = ttest_rel(part["RR", "other"], part["RR", "usual"])
        low, high = paired.confidence_interval(0.95)
        line = found.loc["RR", "other", modality]
        assert line["low"] == pytest.approx(low)
        assert line["high"] == pytest.approx(high)
        assert line["cohorts"] == 4
        assert line["auc"] == pytest.approx(part["RR", "other"].mean())
        for other in (("RR", "usual"), ("PCA-64", "baseline")):
            assert np.isnan(found.loc[(*other, modality), "difference"])


def test_lines_come_in_the_order_of_the_table(rng):
    by = ["objective", "modality"]
    table = made_up(rng).sort_values(by, ascending=False)
    found = choice_differences(table, "usual")
    expected = table[by].drop_duplicates().to_numpy().tolist()
    assert found[by].drop_duplicates().to_numpy().tolist() == expected


def test_a_cohort_that_a_choice_lacks_is_named(rng):
    table = made_up(rng)
    lacks = (table["choice"] == "other") & (table["seed"] == 5)
    with pytest.raises(ValueError, match=r"RR, other: cohorts \[1, 2, 3\]"):
        choice_differences(table[~lacks], "usual")
