r"""From an interval to a verdict: the one rule of the ledger.

A claim says that a quantity lies in a region :math:`R = [a, b]`, mostly "above
0". With the interval :math:`[l, h]` of this edition and the smallest
difference that matters, :math:`\epsilon`,

- **supported** where :math:`[l, h] \subset R`;
- **contradicted** where :math:`[l, h]` misses :math:`[a + \epsilon, b -
  \epsilon]`: it lies on the other side, or whatever advantage is left is
  negligible;
- **not resolvable at this sample size** otherwise, with the smallest effect
  that these people would show with power .8.

Contradiction goes first: a sure but negligible advantage contradicts. Many
claims are tested at once, so intervals are widened until the share of wrong
verdicts among the decided ones is bounded by 5 % (Benjamini & Yekutieli 2005:
with R of m claims decided, each interval has level :math:`1 - .05 R / m`; that
R is Benjamini & Hochberg's). What is tested on this edition's people and what
on a paper's printed sample are two families; arithmetic and simulations, which
can be made as exact as one likes, are in neither, as they would only make it
easier for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from book.claims.claim import Claim
from book.claims.evidence import LEVEL, Finding, NotInEdition, Region

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
UNRESOLVED = "not resolvable at this sample size"
NOT_COMPUTED = "not computed in this edition"
UNTESTABLE = "not testable here"

VERDICTS = (SUPPORTED, CONTRADICTED, UNRESOLVED, NOT_COMPUTED, UNTESTABLE)
"""Every verdict, in the order in which pages show them."""

POWER = 0.8

_ENTRY = ("id", "paper", "where", "kind", "claim", "evidence")

_COLUMNS = (
    *_ENTRY,
    "claimed",
    "test",
    "estimate",
    "low",
    "high",
    "low_95",
    "high_95",
    "level",
    "detectable",
    "sample",
    "method",
    "verdict",
    "why",
)


class NoAnswer(NamedTuple):
    """The verdict on a claim that no test answers, and the reason."""

    verdict: str
    reason: str


def verdict(low: float, high: float, region: Region) -> str:
    """Return the verdict that the interval of a claim's quantity leads to (see
    the module).

    Raises
    ------
    ValueError
        For limits that are no numbers or in the wrong order.
    """
    if not low <= high:
        raise ValueError(f"interval [{low}, {high}]: expected low <= high")
    if high < region.low + region.negligible:
        return CONTRADICTED
    if low > region.high - region.negligible:
        return CONTRADICTED
    if region.low <= low and high <= region.high:
        return SUPPORTED
    return UNRESOLVED


def corrected_limits(finding: Finding, level: float) -> tuple[float, float]:
    """Limits at another level; those of arithmetic and simulations stay."""
    if finding.sampled:
        return finding.limits(level)
    return finding.low, finding.high


def detectable(finding: Finding, level: float = LEVEL) -> float:
    """Smallest true effect that an interval of this width would have shown
    with power .8; NaN for an interval without width.

    Half the interval, and half of the one that ends at the quantile .8.
    """
    width = 0.0
    for at_level in (level, 2 * POWER - 1):
        low, high = finding.limits(at_level)
        width += high - low
    return width / 2 if width else np.nan


def corrected_level(
    findings: Iterable[tuple[Finding, Region]], level: float = LEVEL
) -> float:
    """Level at which as many sampled claims are decided as that level allows
    for.

    Parameters
    ----------
    findings : findings and the regions of their claims
        Of one family; those that sampled nobody do not count.
    level : float
        1 minus the share of wrong verdicts among the decided.

    Returns
    -------
    float
        1 - (1 - level) R / m for the largest R of m for which R claims are
        decided; R = 1 where none is.
    """
    sampled = [pair for pair in findings if pair[0].sampled]
    for decided in range(len(sampled), 0, -1):
        at_level = 1 - (1 - level) * decided / len(sampled)
        verdicts = [
            verdict(*finding.limits(at_level), region)
            for finding, region in sampled
        ]
        if len(verdicts) - verdicts.count(UNRESOLVED) >= decided:
            return at_level
    return 1 - (1 - level) / max(1, len(sampled))


def assess(
    claims: Sequence[Claim],
    results: str | Path,
    simulated: bool = True,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Test every claim that can be tested in an edition.

    Parameters
    ----------
    claims : sequence of Claim
        Of `book.claims.catalogue.read`.
    results : path
        The edition's folder of tables.
    simulated : bool
        Whether the people of the edition are simulated; what is a property of
        the papers' own people is then not tested.
    level : float
        1 minus the share of wrong verdicts among the decided ones.

    Returns
    -------
    DataFrame
        One line per claim, in their order: id, paper, where, kind, claim;
        test, evidence, claimed; estimate, low, high (corrected limits),
        low_95, high_95, level, detectable, sample, method; verdict, why.
    """
    answers = [_answer(claim, results, simulated) for claim in claims]
    levels = _family_levels(claims, answers, level)
    lines = []
    for claim, answer in zip(claims, answers, strict=True):
        line: dict[str, Any] = {name: getattr(claim, name) for name in _ENTRY}
        line["claimed"] = claim.region_text
        line["test"] = claim.test_text
        if isinstance(answer, Finding):
            line |= _tested(claim, answer, levels[claim.evidence])
        else:
            line["verdict"] = answer.verdict
            line["why"] = answer.reason
        lines.append(line)
    return pd.DataFrame(lines, columns=_COLUMNS)


def count_verdicts(assessed: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each paper have each verdict: (papers, verdicts),
    with a last line all.
    """
    table = pd.crosstab(assessed["paper"], assessed["verdict"])
    table = table.reindex(columns=list(VERDICTS), fill_value=0)
    table.loc["all"] = table.sum()
    return table


def _answer(claim: Claim, results, simulated: bool) -> Finding | NoAnswer:
    """The finding of a claim's test, or the verdict that there is none."""
    if claim.untestable:
        return NoAnswer(UNTESTABLE, claim.untestable)
    if claim.chapter:
        return NoAnswer(NOT_COMPUTED, f"chapter {claim.chapter} is to come")
    if claim.real_people and simulated:
        return NoAnswer(
            UNTESTABLE,
            "a property of the paper's own people, and these are simulated; "
            "the paper edition, on OASIS-3, tests it",
        )
    try:
        finding = claim.run(results)
    except NotInEdition as missing:
        return NoAnswer(NOT_COMPUTED, str(missing))
    numbers = (finding.estimate, finding.low, finding.high)
    if not np.isfinite(numbers).all():
        return NoAnswer(
            NOT_COMPUTED,
            "its table has no estimate or no limits there: too few people",
        )
    return finding


def _family_levels(
    claims: Sequence[Claim],
    answers: Sequence[Finding | NoAnswer],
    level: float,
) -> dict[str, float]:
    """The corrected level of each kind of evidence."""
    families: dict[str, list[tuple[Finding, Region]]] = {}
    for claim, answer in zip(claims, answers, strict=True):
        family = families.setdefault(claim.evidence, [])
        if isinstance(answer, Finding):
            family.append((answer, claim.region))
    return {
        evidence: corrected_level(family, level)
        for evidence, family in families.items()
    }


def _tested(claim: Claim, finding: Finding, family_level: float) -> dict:
    """What the table says of a claim that was tested."""
    low, high = corrected_limits(finding, family_level)
    return {
        "estimate": finding.estimate,
        "low": low,
        "high": high,
        "low_95": finding.low,
        "high_95": finding.high,
        "level": family_level if finding.sampled else np.nan,
        "detectable": detectable(
            finding, family_level if finding.sampled else LEVEL
        ),
        "sample": finding.sample,
        "method": finding.method,
        "verdict": verdict(low, high, claim.region),
        "why": claim.note,
    }
