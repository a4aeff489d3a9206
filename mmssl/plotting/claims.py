"""Figures of the claims ledger: how many claims have which verdict, and the
intervals behind the verdicts.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmssl.plotting.look import (
    DOTTED,
    VERDICT,
    canvas,
)

_NO_ANSWER = "no answer"


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
    is_tested = assessed["estimate"].notna()
    evidence = assessed["evidence"].where(is_tested, _NO_ANSWER)
    kinds = sorted(set(evidence) - {_NO_ANSWER}) + [_NO_ANSWER]
    papers = list(assessed["paper"].unique())[::-1]
    counts = assessed.groupby([evidence, "paper", "verdict"]).size()
    largest = counts.groupby(level=[0, 1]).sum().max()
    height = 1.4 + 0.4 * len(papers)
    figure, axes = canvas(
        1, len(kinds), 10.0, height, sharey=True, sharex=True
    )
    for axis, kind in zip(axes[0], kinds, strict=True):
        left = np.zeros(len(papers))
        for verdict, colour in VERDICT.items():
            numbers = [counts.get((kind, p, verdict), 0) for p in papers]
            width = np.array(numbers)
            axis.barh(papers, width, left=left, color=colour, lw=0)
            _write_numbers(axis, left, width, 0.06 * largest)
            left = left + width
        axis.set_title(kind, fontsize=9)
        axis.set(xlabel="claims", xlim=(0, 1.05 * largest))
        axis.tick_params(axis="y", length=0)
    handles = [
        Patch(color=colour, label=verdict)
        for verdict, colour in VERDICT.items()
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, fontsize=9
    )
    return figure


def claim_intervals(
    assessed: pd.DataFrame, tests: tuple[str, ...], label: str
) -> Figure:
    """Draw the intervals of all claims that some tests answered, with what
    each of them asserted.

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
        verdict. Claims of one direction stand together, and the grey band
        behind a line is where its claim says that the difference lies. Empty
        where the tests answered none.
    """
    is_asked = assessed["test"].str.startswith(tests)
    lines = assessed[is_asked & assessed["estimate"].notna()]
    direction = lines["claimed"].str.split().str[0]
    lines = lines.assign(direction=direction)
    lines = lines.sort_values(["direction", "estimate"])
    figure, axes = canvas(1, 1, 7.0, 1.3 + 0.28 * len(lines))
    axis = axes[0, 0]
    height = np.arange(len(lines))
    colours = [VERDICT[verdict] for verdict in lines["verdict"]]
    axis.hlines(height, lines["low"], lines["high"], color=colours, lw=1)
    axis.hlines(height, lines["low_95"], lines["high_95"], color=colours, lw=3)
    axis.scatter(lines["estimate"], height, color=colours, s=24, zorder=3)
    axis.axvline(0.0, **DOTTED)
    limits = axis.get_xlim()
    for place, claimed in zip(height, lines["claimed"], strict=True):
        low, high = np.clip(_region(claimed), *limits)
        axis.barh(
            place, high - low, left=low, height=0.9, color="#EEEEEE", zorder=0
        )
    axis.set_xlim(limits)
    names = [
        f"{line.id}  {_shorten(line.claim)}" for line in lines.itertuples()
    ]
    axis.set(yticks=height, ylim=(-0.8, len(lines) - 0.2), xlabel=label)
    axis.set_yticklabels(names, fontsize=8.5)
    for verdict in lines["verdict"].unique():
        axis.plot([], [], color=VERDICT[verdict], lw=3, label=verdict)
    if len(lines):
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _region(claimed: str) -> tuple[float, float]:
    """Ends of what a claim asserts: "above 0", "below -0.1", "between 0 and
    1".
    """
    word, *numbers = claimed.replace(" and ", " ").split()
    low, high = -np.inf, np.inf
    if word in ("above", "between"):
        low = float(numbers[0])
    if word in ("below", "between"):
        high = float(numbers[-1])
    return low, high


def _write_numbers(
    axis: Axes, left: np.ndarray, width: np.ndarray, narrowest: float
) -> None:
    """Write the number of claims into each bar that has room for it."""
    for place in np.flatnonzero(width >= narrowest):
        axis.text(
            left[place] + width[place] / 2,
            place,
            width[place],
            ha="center",
            va="center",
            fontsize=8,
        )


def _shorten(text: str, letters: int = 40) -> str:
    """The text cut at a word."""
    if len(text) <= letters:
        return text
    return text[: letters - 1].rsplit(" ", 1)[0] + " …"
