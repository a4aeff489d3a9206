"""Whether online clustering has collapsed: which prototypes images lie nearest
to, and what crops tell of each other's codes, against chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import xlogy

from mmssl.losses.swapped import swapped_chance_level
from mmssl.models.keyed_random import Stream
from mmssl.objectives.term import Batch, Context
from mmssl.objectives.views import Clean, make_views
from mmssl.stats.means import mean_interval

if TYPE_CHECKING:
    import pandas as pd

    from mmssl.objectives.language import Objective

TERM = "SwAV"

_EVEN = 0.8  # usage from which prototypes are used alike
_LITTLE = 0.9  # of chance: a loss that may be so high has learned little


@torch.no_grad()
def prototype_assignments(
    objective: Objective,
    inputs: Mapping[str, np.ndarray],
    batch_size: int = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """The prototype of each person, and the person's loss.

    Parameters
    ----------
    objective : Objective
        With a SwAV term, as learned (`mmssl.pretrain.load_objective`).
    inputs : {modality: array (people, C, *sides)}
        Standardised images, one a person.
    batch_size : int
        People of a step, as in training: codes are shared out among them and
        the queue. An incomplete last step is left out.
    seed : int
        Of the crops, which are drawn as in training.

    Returns
    -------
    DataFrame
        One line per modality and person: modality, person (a number), nearest
        (the prototype that the first assigned crop lies nearest to), loss (of
        swapped prediction, in nats), prototypes (K).

    Raises
    ------
    ValueError
        For an objective without the term, or fewer than two people.
    """
    import pandas as pd

    if TERM not in objective.terms:
        raise ValueError(
            f"objective of {', '.join(objective.terms)}: no prototypes, "
            f"expected {TERM} among its terms"
        )
    images = {m: torch.from_numpy(np.asarray(x)) for m, x in inputs.items()}
    people = len(next(iter(images.values())))
    size = min(batch_size, people)
    if size < 2:
        raise ValueError(f"{people} people, expected two at least")
    term = objective.eval().terms[TERM]
    lines = []
    for step in range(people // size):
        rows = torch.arange(step * size, (step + 1) * size)
        of_all = dict.fromkeys(images, rows)
        stream = Stream(rows, seed, 0)
        views = make_views(images, of_all, term.views, Clean(), stream)
        ctx = Context(objective, Batch(views, of_all, {}, 0, seed))
        for m, one in term.assignments(ctx).items():
            first = one.scores[term.assigned[0]]
            # mixed modalities stand one after the other
            person = np.tile(rows.numpy(), len(first) // size)
            made = {
                "modality": m,
                "person": person,
                "nearest": first.argmax(1).numpy(),
                "loss": _loss_of_rows(term, one).numpy(),
                "prototypes": first.shape[1],
            }
            lines.append(pd.DataFrame(made))
    return pd.concat(lines, ignore_index=True)


def _loss_of_rows(term, one) -> torch.Tensor:
    """Swapped prediction of each row: `swapped_prediction` is its mean."""
    logs = [(s / term.temperature).log_softmax(1) for s in one.scores]
    losses = []
    for number, code in one.codes.items():
        others = [log for k, log in enumerate(logs) if k != number]
        each = [-(code * log).sum(1) for log in others]
        losses.append(torch.stack(each).mean(0))
    return torch.stack(losses).mean(0)


def prototype_table(
    assignments: pd.DataFrame, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Whether a modality's clusters have collapsed.

    Parameters
    ----------
    assignments : DataFrame
        Of `prototype_assignments`.
    resamples, seed : int
        Of the bootstrap over people.

    Returns
    -------
    DataFrame
        One line a modality: modality, people, prototypes, used (how many are
        nearest to somebody), usage (entropy of the prototypes' shares of the
        people, as a share of ln K: 1 where all have as many, 0 where one has
        all; of few people it is too small), loss (a mean over people) with its
        interval (BCa bootstrap, 95 %), chance (ln K) and share (loss /
        chance).
    """
    import pandas as pd

    lines = []
    for m, own in assignments.groupby("modality", sort=False):
        number = int(own["prototypes"].iloc[0])
        counts = np.bincount(own["nearest"], minlength=number)
        shares = counts / counts.sum()
        chance = swapped_chance_level(number)
        entropy = abs(xlogy(shares, shares).sum())
        loss = mean_interval(own["loss"].to_numpy(), resamples, seed)
        lines.append(
            {
                "modality": m,
                "people": len(own),
                "prototypes": number,
                "used": int((counts > 0).sum()),
                "usage": entropy / chance if number > 1 else 1.0,
                "loss": loss.estimate,
                "low": loss.low,
                "high": loss.high,
                "chance": chance,
                "share": loss.estimate / chance if number > 1 else np.nan,
            }
        )
    return pd.DataFrame(lines)


def collapses(prototypes: pd.DataFrame) -> str:
    """Say of how many clusterings the clusters collapsed, or learned little.

    Parameters
    ----------
    prototypes : DataFrame
        Of `prototype_table`, of one model or several.
    """
    total = len(prototypes)
    if not total:
        return ""
    is_uneven = prototypes["usage"] < _EVEN
    is_useless = prototypes["high"] >= _LITTLE * prototypes["chance"]
    poor = int((is_uneven | is_useless).sum())
    if poor:
        which = "The one clustering"
        if total > 1:
            which = f"{poor} of the {total} clusterings"
            if poor == total == 2:
                which = "Both clusterings"
        verbs = ("is", "has") if poor == 1 else ("are", "have")
        return (
            f"**{which} {verbs[0]} near a collapse or {verbs[1]} learned "
            f"little**: usage is below {_EVEN:g}, or the interval of the loss "
            f"reaches {_LITTLE:g} of chance."
        )
    which = "The one clustering is not"
    if total > 1:
        none = "Neither" if total == 2 else "None"
        which = f"{none} of the {total} clusterings is"
    return (
        f"{which} near a collapse: usage is at least {_EVEN:g}, and the "
        f"interval of the loss stays below {_LITTLE:g} of chance."
    )
