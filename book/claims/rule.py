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
claims are judged at once, so intervals are widened until the share of wrong
verdicts among the decided ones is bounded by 5 % (Benjamini & Yekutieli 2005:
with R of m claims decided, each interval has level :math:`1 - .05 R / m`; that
R is Benjamini & Hochberg's). What is judged on this edition's people and what
on a paper's printed sample are two families; arithmetic and simulations, which
can be made as exact as one likes, are in neither, as they would only make it
easier for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from book.claims import catalogue
from book.claims.evidence import LEVEL, Found, NotInEdition, Region

VERDICTS = SUPPORTED, CONTRADICTED, UNRESOLVED, NOT_COMPUTED, UNTESTABLE = (
    "supported",
    "contradicted",
    "not resolvable at this sample size",
    "not computed in this edition",
    "not testable here",
)
"""Every verdict, in the order in which pages show them."""

POWER = 0.8


def verdict(low: float, high: float, region: Region) -> str:
    """Judge a claim by the interval of its quantity (see the module).

    Raises
    ------
    ValueError
        For limits that are no numbers or in the wrong order.
    """
    if not low <= high:
        raise ValueError(f"interval [{low}, {high}]: expected low <= high")
    if (
        high < region.low + region.negligible
        or low > region.high - region.negligible
    ):
        return CONTRADICTED
    return (
        SUPPORTED if region.low <= low and high <= region.high else UNRESOLVED
    )


def widened(found: Found, level: float) -> tuple[float, float]:
    """Limits at another level, of what sampled somebody."""
    return found.limits(level) if found.sampled else (found.low, found.high)


def detectable(found: Found, level: float = LEVEL) -> float:
    """Smallest true effect that an interval of this width would have shown
    with power .8.

    Half the interval, and half of the one that ends at the quantile .8.
    """
    width = sum(
        high - low for low, high in map(found.limits, (level, 2 * POWER - 1))
    )
    return width / 2 if width else np.nan


def corrected_level(
    judged: Iterable[tuple[Found, Region]], level: float = LEVEL
) -> float:
    """Level at which as many sampled claims are decided as that level allows
    for.

    Parameters
    ----------
    judged : findings and the regions of their claims
        Of one family; those that sampled nobody do not count.
    level : float
        1 minus the share of wrong verdicts among the decided.

    Returns
    -------
    float
        1 - (1 - level) R / m for the largest R of m for which R claims are
        decided; R = 1 where none is.
    """
    sampled = [(found, region) for found, region in judged if found.sampled]
    for decided in range(len(sampled), 0, -1):
        each = 1 - (1 - level) * decided / len(sampled)
        said = [
            verdict(*widened(found, each), region) for found, region in sampled
        ]
        if len(said) - said.count(UNRESOLVED) >= decided:
            return each
    return 1 - (1 - level) / max(1, len(sampled))


def assess(
    claims: Sequence[catalogue.Claim],
    results: str | Path,
    simulated: bool = True,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Test every claim that can be tested in an edition.

    Parameters
    ----------
    claims : sequence of Claim
        Of `book.claims.catalogue.load`.
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
    regions = [claim.region for claim in claims]
    families = {
        family: corrected_level(
            [
                (answer, region)
                for claim, answer, region in zip(
                    claims, answers, regions, strict=True
                )
                if claim.evidence == family and isinstance(answer, Found)
            ],
            level,
        )
        for family in {claim.evidence for claim in claims}
    }
    rows = []
    for claim, answer, region in zip(claims, answers, regions, strict=True):
        row = {name: getattr(claim, name) for name in _COLUMNS[:7]} | {
            "test": claim.described
        }
        if isinstance(answer, Found):
            each = families[claim.evidence] if answer.sampled else np.nan
            low, high = widened(answer, each)
            row |= {
                "estimate": answer.estimate,
                "low": low,
                "high": high,
                "low_95": answer.low,
                "high_95": answer.high,
                "level": each,
                "sample": answer.sample,
                "detectable": detectable(
                    answer, each if answer.sampled else LEVEL
                ),
                "method": answer.method,
                "verdict": verdict(low, high, region),
                "why": claim.note,
            }
        else:
            row |= {"verdict": answer[0], "why": answer[1]}
        rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS)


def counts(assessed: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each paper have each verdict: (papers, verdicts),
    with a last line all.
    """
    table = pd.crosstab(assessed["paper"], assessed["verdict"])
    table = table.reindex(columns=list(VERDICTS), fill_value=0)
    table.loc["all"] = table.sum()
    return table


_COLUMNS = (
    "id",
    "paper",
    "where",
    "kind",
    "claim",
    "evidence",
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


def _answer(
    claim: catalogue.Claim, results, simulated: bool
) -> Found | tuple[str, str]:
    """The finding of a claim's test, or a verdict with its reason."""
    if claim.untestable:
        return UNTESTABLE, claim.untestable
    if claim.chapter:
        return NOT_COMPUTED, f"chapter {claim.chapter} is to come"
    if claim.real_people and simulated:
        return UNTESTABLE, (
            "a property of the paper's own people, and these are simulated; the "
            "paper edition, on OASIS-3, tests it"
        )
    try:
        found = claim.run(results)
    except NotInEdition as missing:
        return NOT_COMPUTED, str(missing)
    if not np.isfinite(found[:3]).all():
        return (
            NOT_COMPUTED,
            "its table has no estimate or no limits there: too few people",
        )
    return found
