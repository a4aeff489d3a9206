"""Figures of the claims ledger: how many claims have which verdict, and the
intervals behind the verdicts.
"""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmssl.plotting.look import (
    DOTTED,
    VERDICT,
    canvas,
)

_NO_ANSWER = "no answer"

_DIGIT = 0.035  # of the longest bar: what a digit needs
_BRIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue
_LETTERS = 52  # of a line of a claim


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
        that have room for them, and above the others.
    """
    is_tested = assessed["estimate"].notna()
    evidence = assessed["evidence"].where(is_tested, _NO_ANSWER)
    kinds = sorted(set(evidence) - {_NO_ANSWER}) + [_NO_ANSWER]
    papers = list(assessed["paper"].unique())[::-1]
    counts = assessed.groupby([evidence, "paper", "verdict"]).size()
    largest = counts.groupby(level=[0, 1]).sum().max()
    rows = -(-len(kinds) // 2)
    height = 1.0 + (0.7 + 0.38 * len(papers)) * rows
    figure, axes = canvas(rows, 2, 7.0, height, sharey=True, sharex=True)
    panels = axes.ravel()
    for axis, kind in zip(panels, kinds, strict=False):
        left = np.zeros(len(papers))
        free = np.zeros(len(papers))
        for verdict, colour in VERDICT.items():
            numbers = [counts.get((kind, p, verdict), 0) for p in papers]
            width = np.array(numbers)
            axis.barh(papers, width, left=left, color=colour, lw=0)
            free = _write_numbers(axis, left, width, free, largest, colour)
            left = left + width
        axis.set_title(kind, fontsize=9.5)
        axis.set(xlim=(0, 1.05 * largest))
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel("claims")
        axis.label_outer()
    for axis in panels[len(kinds) :]:
        axis.remove()
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
    figure, axes = canvas(1, 1, 7.0, 1.3 + 0.33 * len(lines))
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
        _wrapped(f"{line.id}  {line.claim}") for line in lines.itertuples()
    ]
    axis.set(yticks=height, ylim=(-0.8, len(lines) - 0.2), xlabel=label)
    axis.set_yticklabels(names, fontsize=8, linespacing=1.05)
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
    axis: Axes,
    left: np.ndarray,
    width: np.ndarray,
    free: np.ndarray,
    largest: int,
    colour: str,
) -> np.ndarray:
    """Write the number of claims into each bar, or above one without room for
    it, right of the number that stands there; return where that place is free.
    """
    free = free.copy()
    is_dark = np.dot(to_rgb(colour), _BRIGHTNESS) < 0.45
    digit = _DIGIT * largest
    for place in np.flatnonzero(width):
        number = str(width[place])
        centre = left[place] + width[place] / 2
        look = {"ha": "center", "va": "center_baseline", "fontsize": 8.5}
        if width[place] >= digit * len(number):
            shade = "white" if is_dark else "black"
            axis.text(centre, place, number, color=shade, **look)
            continue
        centre = max(centre, free[place] + 0.6 * digit)
        free[place] = centre + 0.6 * digit
        look |= {"va": "bottom", "fontsize": 7.5}
        axis.text(centre, place + 0.39, number, color="black", **look)
    return free


def _wrapped(text: str) -> str:
    """The text in two lines at most, cut at a word."""
    lines = textwrap.wrap(
        text,
        _LETTERS,
        break_long_words=False,
        break_on_hyphens=False,
        max_lines=2,
        placeholder=" …",
    )
    return "\n".join(lines)
