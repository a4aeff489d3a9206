"""What a page says of networks fine-tuned on few labels: tables as text, and
what pretraining is worth there, in a sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmssl.evaluate.label_efficiency import BOOTSTRAP, FEWEST_TRAININGS
from mmssl.evaluate.results import with_interval
from mmssl.ledger.markup import escaped

if TYPE_CHECKING:
    import pandas as pd

_VALUE = ("value", "low", "high")
_GAIN = ("difference", "difference_low", "difference_high")


def formatted_efficiency(table: pd.DataFrame) -> pd.DataFrame:
    """A table of gains over training from scratch as text, for a page.

    Parameters
    ----------
    table : DataFrame
        Of `efficiency_table`, or another with its columns.

    Returns
    -------
    DataFrame
        Cells such as "0.81 [0.70, 0.89]"; a dash where there is no number, or
        no interval.
    """
    import pandas as pd

    task, value = table["task"], "value [95 %]"
    if table["measure"].nunique() == 1:
        value = f"{table['measure'].iloc[0]} [95 %]"
    else:
        task = task + ", " + table["measure"]
    columns = {
        "task": task,
        "model": table["model"],
        "labelled": table["labelled"],
        "trainings": table["seeds"],
        value: with_interval(table, _VALUE),
        "SD": _numbers(table["sd"], "{:.2f}"),
        "gain [95 %]": with_interval(table, _GAIN, "+"),
        "bootstrap": _ranges(table, BOOTSTRAP),
        "corrected p": _numbers(table["p_corrected"], "{:.3f}"),
    }
    if table["task"].nunique() == 1:
        del columns["task"]
    return pd.DataFrame(columns)


def formatted_convergence(table: pd.DataFrame) -> pd.DataFrame:
    """How long fine-tuned networks took, as text, for a page.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.convergence_table`.

    Returns
    -------
    DataFrame
        Whole steps, and shares of steps in percent, with an interval where
        there is one; a dash where there is no number.
    """
    import pandas as pd

    steps, saved = [], []
    for line in table.itertuples():
        steps.append(_whole(line.steps, line.low, line.high))
        percent = 100 * np.array([line.saved, line.saved_low, line.saved_high])
        saved.append(_whole(*percent, unit=" %"))
    return pd.DataFrame(
        {
            "model": table["model"],
            "labels": _numbers(table["ratio"], "{:.0%}"),
            "trainings": table["seeds"],
            "best AUC": _numbers(table["best"], "{:.2f}"),
            "steps": steps,
            "saved": saved,
        }
    )


def formatted_deviation(table: pd.DataFrame) -> pd.DataFrame:
    """How far told probabilities move, as text, for a page.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.deviation_table`.

    Returns
    -------
    DataFrame
        Cells such as "0.081 [0.070, 0.089]"; a dash where there is no number,
        or no interval.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "change": table["kind"],
            "model": table["model"],
            "trainings": table["seeds"],
            "value [95 %]": with_interval(table, _VALUE, digits=3),
            "SD": _numbers(table["sd"], "{:.3f}"),
            "difference [95 %]": with_interval(table, _GAIN, "+", digits=3),
            "corrected p": _numbers(table["p_corrected"], "{:.3f}"),
        }
    )


def worth_of_pretraining(efficiency: pd.DataFrame) -> str:
    """Say in Markdown whether pretraining beats training from scratch where
    the labels are fewest.

    Of fewer than `FEWEST_TRAININGS` trainings only what they reached is said:
    their interval is so wide, or so narrow by chance, that nothing follows.

    Parameters
    ----------
    efficiency : DataFrame
        Of `efficiency_table`.
    """
    gains = efficiency[~efficiency["baseline"].astype(bool)]
    few = gains[gains["ratio"] == gains["ratio"].min()]
    numbers = " or ".join(map(str, sorted(set(few["labelled"]))))
    said = f"With {numbers} labelled people ({few['ratio'].min():.0%}), "
    is_known = few["seeds"] >= FEWEST_TRAININGS
    sentences = []
    if is_known.any():
        sentences.append(_compared(few[is_known]))
    if not is_known.all():
        sentences.append(
            "the gain over training from scratch was "
            f"{_reached(few[~is_known])}. From so few trainings there is no "
            "useful interval, and nothing is concluded."
        )
    return said + " There, ".join(sentences)


def _compared(few: pd.DataFrame) -> str:
    """What intervals say of gains over training from scratch."""
    better = []
    for line in few[few["difference_low"] > 0].itertuples():
        better.append(
            f"**{escaped(line.model)}** on *{escaped(line.task)}* "
            f"({line.difference:+.2f} {line.measure})"
        )
    if better:
        return (
            "pretraining beat training from scratch, by an interval above 0, "
            f"for {', '.join(better)}."
        )
    reaches = []
    width = (few["difference_high"] - few["difference_low"]) / 2
    for (task, measure), own in width.groupby(
        [few["task"], few["measure"]], sort=False
    ):
        reaches.append(f"± {own.min():.2f} {measure} on *{escaped(task)}*")
    return (
        "pretraining was not shown to beat training from scratch: no interval "
        f"of the gain lies above 0. The narrowest has {' and '.join(reaches)}."
    )


def _reached(few: pd.DataFrame) -> str:
    """The gains of each task, without an interval."""
    told = []
    for (task, measure), own in few.groupby(["task", "measure"], sort=False):
        least, most = own["difference"].min(), own["difference"].max()
        gain = f"{least:+.2f}"
        if len(own) > 1:
            gain = f"between {least:+.2f} and {most:+.2f}"
        trainings = own["seeds"].max()
        count = "one training" if trainings == 1 else "two trainings"
        told.append(f"{gain} {measure} on *{escaped(task)}* ({count} each)")
    return " and ".join(told)


def _whole(value: float, low: float, high: float, unit: str = "") -> str:
    """A rounded number with its interval, if it has one."""
    if np.isnan(value):
        return "–"
    if np.isnan([low, high]).any():
        return f"{value:.0f}{unit}"
    return f"{value:.0f}{unit} [{low:.0f}, {high:.0f}]"


def _numbers(column: pd.Series, form: str) -> list[str]:
    """Cells of numbers, with a dash where there is none."""
    return ["–" if np.isnan(value) else form.format(value) for value in column]


def _ranges(table: pd.DataFrame, columns: tuple[str, str]) -> list[str]:
    """Cells such as "[0.70, 0.89]", or a dash."""
    cells = []
    for low, high in table[list(columns)].to_numpy():
        text = f"[{low:+.2f}, {high:+.2f}]"
        cells.append("–" if np.isnan([low, high]).any() else text)
    return cells
