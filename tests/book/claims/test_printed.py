"""Tests of printed numbers, against loops, libraries and drawn studies."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
)

from book.claims import printed


def test_sums_leads_and_gaps_against_loops(rng):
    first = rng.normal(size=7).tolist()
    others = {name: rng.normal(size=7).tolist() for name in "abcd"}
    leads, gaps = [], []
    for k in range(7):
        column = [line[k] for line in others.values()]
        leads.append(first[k] - max(column))
        gaps.append(max(abs(first[k] - value) for value in column))
    lead = printed.smallest_lead(first, others)
    assert lead.estimate == pytest.approx(min(leads))
    gap = printed.largest_gap(first, others)
    assert gap.estimate == pytest.approx(max(gaps))
    assert printed.total([1, 2, -3.5]).estimate == -0.5
    assert printed.ratio([3.0, 5.0], [2.0]).estimate == 2.0
    with pytest.raises(ValueError, match="others: b differ in length"):
        printed.smallest_lead([1.0, 2.0], {"a": [1, 2], "b": [1]})


def test_correlation_and_shares_against_scipy_and_statsmodels(rng):
    x, y = rng.normal(size=(2, 9))
    y = y + x
    reference = stats.pearsonr(x, y)
    finding = printed.correlation(x.tolist(), y.tolist())
    assert finding[:3] == pytest.approx(
        (reference.statistic, *reference.confidence_interval())
    )
    wilson = proportion_confint(7, 31, method="wilson")
    assert printed.share(7, 31)[1:3] == pytest.approx(wilson)
    finding = printed.share_difference(0.6, 0.5, 200, correlation=0.0)
    wald = confint_proportions_2indep(120, 200, 100, 200, method="wald")
    assert finding[1:3] == pytest.approx(wald)


def test_implied_spread_gives_back_the_p():
    spread = printed.implied_spread(1.7, 0.013, 4).estimate
    z = np.array([-1.2, -0.3, 0.4, 1.1])
    data = 1.7 + spread * (z - z.mean()) / z.std(ddof=1)
    assert stats.ttest_1samp(data, 0).pvalue == pytest.approx(0.013)


def test_auc_gap_against_drawn_studies():
    rng = np.random.default_rng(2)
    common = rng.normal(size=(2000, 1, 90))
    own = rng.normal(size=(2000, 2, 90))
    scores = np.sqrt(0.5) * (common + own) + 1.2 * (np.arange(90) < 30)
    exceeds = scores[..., :30, None] > scores[..., None, 30:]
    aucs = exceeds.mean((-1, -2))  # (studies, 2)
    mean, r = aucs.mean(), np.corrcoef(aucs.T)[0, 1]
    finding = printed.auc_gap(mean, mean, 30, 60, correlation=r)
    drawn = (aucs[:, 0] - aucs[:, 1]).std()
    error = (finding.high - finding.low) / 3.92
    assert error == pytest.approx(drawn, rel=0.1)
    clustered = printed.auc_gap(
        mean, mean, 30, 60, correlation=r, design_effect=4.0
    )
    assert clustered.high == pytest.approx(2 * finding.high)
