"""Findings and their limits at every level; tables and their errors."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from book.claims import evidence, printed, tables
from book.claims.scores import SCORES


@pytest.mark.parametrize("level", [0.5, 0.95, 0.9998])
def test_limits_at_other_levels_are_those_of_their_own_method(edition, level):
    finding = evidence.normal(0.3, 0.2, "", "", df=1)
    expected = stats.t.interval(level, 1, 0.3, 0.2)
    assert finding.limits(level) == pytest.approx(expected)
    x, noise = np.random.default_rng(4).normal(size=(2, 9))
    y = x + 0.1 * noise
    finding = printed.correlation(x.tolist(), y.tolist())
    expected = stats.pearsonr(x, y).confidence_interval(level)
    assert finding.limits(level) == pytest.approx(tuple(expected))
    assert max(expected) < 1
    wilson = proportion_confint(30, 31, 1 - level, "wilson")
    assert printed.share(30, 31).limits(level) == pytest.approx(wilson)
    low, high = printed.auc(0.97, 8, 60).limits(level)
    assert 0 < low < 0.97 < high < 1
    low, high = tables.auc_level(edition, ["CR"], ["T1"]).limits(level)
    assert 0 <= low < high <= 1


def test_limits_of_a_lead_at_another_level(edition):
    competitors = ["CR", "XX", "CC"]
    lead = tables.auc_lead(edition, "RR", competitors, ["T1"])
    pairs = [
        tables.auc_contrast(edition, ["RR"], [other], ["T1"])
        for other in competitors
    ]
    low = min(pair.limits(0.99)[0] for pair in pairs)
    high = min(pair.limits(1 - 0.01 / 3)[1] for pair in pairs)
    assert lead.limits(0.99) == pytest.approx((low, high))


def test_limits_of_95_percent_alone_are_stretched_like_a_normals():
    finding = evidence.Finding(0.1, 0.0, 0.3, "", "bootstrap")
    factor = stats.norm.ppf(0.995) / stats.norm.ppf(0.975)
    expected = (0.1 - 0.1 * factor, 0.1 + 0.2 * factor)
    assert finding.limits(0.99) == pytest.approx(expected)


def test_a_table_made_by_other_code_is_an_error(tmp_path):
    (tmp_path / "similarity.tsv").write_text("model\testimate\nCR\t0.5\n")
    message = "similarity.tsv: columns .*'role'.* are missing"
    with pytest.raises(ValueError, match=message):
        tables.similarity_contrast(tmp_path, "CKA", ["CR"], ["CR"])


def test_a_table_that_changed_is_read_again(edition, tmp_path):
    scores = pd.read_csv(edition / SCORES, sep="\t")
    scores.to_csv(tmp_path / SCORES, sep="\t", index=False)
    before = tables.auc_level(tmp_path, ["CR"], ["T1"]).estimate
    scores["score"] = -scores["score"]
    scores.to_csv(tmp_path / SCORES, sep="\t", index=False)
    after = tables.auc_level(tmp_path, ["CR"], ["T1"]).estimate
    assert after == pytest.approx(1 - before)
