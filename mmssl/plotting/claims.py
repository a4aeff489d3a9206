"""Figures of the claims ledger: how many claims have which verdict, and what
decided them.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmssl.plotting.look import BASELINE, PALETTE, canvas

_ORDER = (
    "supported",
    "contradicted",
    "not resolvable at this sample size",
    "not computed in this edition",
    "not testable here",
)

_TINTS = (PALETTE[2], PALETTE[1], PALETTE[4], PALETTE[5], "#BBBBBB")
VERDICT = dict(zip(_ORDER, _TINTS, strict=True))
"""The colour of a verdict."""


def claim_counts(assessed: pd.DataFrame) -> Figure:
    """Draw how many claims of each paper have each verdict, by where the
    answer comes from.

    Parameters
    ----------
    assessed : DataFrame
        Of `book.claims.rule.assess`.

    Returns
    -------
    Figure
        A panel for each kind of evidence and one for claims that nothing
        tested, with one stacked bar a paper; the numbers stand in the bars
        that have room for them.
    """
    evidence = assessed["evidence"].where(
        assessed["estimate"].notna(), "no answer"
    )
    kinds = [
        kind
        for kind in dict.fromkeys(
            [*sorted(set(evidence) - {"no answer"}), "no answer"]
        )
    ]
    papers = list(dict.fromkeys(assessed["paper"]))[::-1]
    table = assessed.groupby([evidence, "paper", "verdict"]).size()
    figure, axes = canvas(
        1, len(kinds), 10.0, 1.4 + 0.4 * len(papers), sharey=True, sharex=True
    )
    most = table.groupby(level=[0, 1]).sum().max()
    for axis, kind in zip(axes[0], kinds, strict=True):
        left = np.zeros(len(papers))
        for name, tint in VERDICT.items():
            width = np.array(
                [table.get((kind, paper, name), 0) for paper in papers]
            )
            axis.barh(papers, width, left=left, color=tint, lw=0)
            for place in np.flatnonzero(width >= 0.06 * most):
                axis.text(
                    left[place] + width[place] / 2,
                    place,
                    width[place],
                    ha="center",
                    va="center",
                    fontsize=8,
                )
            left = left + width
        axis.set_title(kind, fontsize=9)
        axis.set(xlabel="claims", xlim=(0, 1.05 * most))
        axis.tick_params(axis="y", length=0)
    handles = [Patch(color=tint, label=name) for name, tint in VERDICT.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, fontsize=9
    )
    return figure


def claim_intervals(
    assessed: pd.DataFrame, tests: tuple[str, ...], label: str
) -> Figure:
    """Draw the intervals of all claims that some tests judged, with what each
    of them asserted.

    Parameters
    ----------
    assessed : DataFrame
        Of `book.claims.rule.assess`.
    tests : tuple of str
        Names of the tests, e.g. ("auc_contrast", "auc_lead").
    label : str
        Of the horizontal axis.

    Returns
    -------
    Figure
        Thick: 95 %; thin: corrected for the number of claims; coloured by
        verdict. Empty where they judged none.
    """
    lines = assessed[
        assessed["test"].str.startswith(tests) & assessed["estimate"].notna()
    ]
    lines = lines.sort_values("estimate")
    figure, axes = canvas(1, 1, 8.0, 1.3 + 0.24 * len(lines))
    axis, height = axes[0, 0], np.arange(len(lines))
    colours = [VERDICT[name] for name in lines["verdict"]]
    axis.hlines(height, lines["low"], lines["high"], color=colours, lw=1)
    axis.hlines(height, lines["low_95"], lines["high_95"], color=colours, lw=3)
    axis.scatter(lines["estimate"], height, color=colours, s=24, zorder=3)
    axis.axvline(0.0, color=BASELINE, ls=":", lw=1)
    names = [f"{row.id}  {_short(row.claim)}" for row in lines.itertuples()]
    axis.set(yticks=height, ylim=(-0.8, len(lines) - 0.2), xlabel=label)
    axis.set_yticklabels(names, fontsize=7)
    for name in dict.fromkeys(lines["verdict"]):
        axis.plot([], [], color=VERDICT[name], lw=3, label=name)
    if len(lines):
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _short(text: str, letters: int = 52) -> str:
    return (
        text
        if len(text) <= letters
        else text[: letters - 1].rsplit(" ", 1)[0] + " …"
    )
