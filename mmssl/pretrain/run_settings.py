"""In what runs were trained otherwise than most of those beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mmssl.objectives.language import options_of

SETTINGS = (
    "epochs",
    "batch_size",
    "backbone",
    "width",
    "dropout",
    "weights",
    "augment",
    "region",
    "keep",
    "optimiser",
    "learning_rate",
    "gradient_clip",
    "precision",
)
"""Of a run, in which those that are compared should agree."""


def deviations(records: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Settings that most runs have otherwise, and options of a run's terms
    that are not their defaults.

    Parameters
    ----------
    records : mapping
        {name of a run: its parameters}.

    Returns
    -------
    dict
        {name: "epochs 4, samples 2"}; only those with any.
    """
    usual = {}
    for setting in SETTINGS:
        values = [repr(record.get(setting)) for record in records.values()]
        usual[setting] = Counter(values).most_common(1)[0][0] if values else ""
    deviating = {}
    for name, record in records.items():
        found = []
        for setting in SETTINGS:
            # a run of an earlier version need not have it on record
            value = record.get(setting)
            if repr(value) != usual[setting]:
                found.append(f"{setting} {value}")
        defaults = _defaults(record["objective"])
        for option, value in record["options"].items():
            if value != defaults.get(option):
                found.append(f"{option} {value}")
        if found:
            deviating[name] = ", ".join(found)
    return deviating


def _defaults(objective: str) -> dict[str, Any]:
    """Of the options of an objective's terms; none where a term is a user's
    that this process does not know.
    """
    try:
        return options_of(objective)
    except ValueError:
        return {}
