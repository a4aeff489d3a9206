"""The simulated people: latent factors, diagnosis, demographics and sessions.

Severity is the only factor whose distribution depends on the diagnosis, normal
with unit variance around 0 (HC), DELTA / 2 (other) and DELTA (AD). The best
linear score on the true factors is therefore severity itself, and its ROC-AUC
for HC against AD is known in closed form,

    AUC = P(s_AD > s_HC) = Phi(DELTA / sqrt(2)).

Every person is drawn from a generator keyed by (seed, person), so person i is
the same whoever else is in the cohort.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd

DELTA = 2.2
"""Shift of severity between AD and HC in standard deviations."""

SHARE = {"HC": 14, "AD": 3, "other": 3}
"""Of 20 people: the 70/15/15 % of Fedorov et al. 2021 (application to
Alzheimer's disease).
"""

FIRST_SHARE = {"HC": 9, "AD": 8, "other": 3}
"""Of the first 20 people: more AD, so that the smallest cohorts still fill
five folds.
"""

SECOND_SHARE = {"HC": 3, "AD": 1}
"""Of 4 people of the second population (100 HC and 34 AD in "Tasting the
cake", section II-C).
"""

SECOND_EVERY = 6
"""Every sixth person belongs to the second population."""

SESSIONS = {1: 0.6, 2: 0.3, 3: 0.1}
"""Probability of a person's number of sessions; 1.5 on average."""

SITES = {"main": ("A", "B", "C"), "second": ("D",)}
"""Sites that scan the people of each population."""

AGE = {"main": 71, "second": 66}
"""Mean age in years of each population; the standard deviation is 8."""

_PERSON, _GROUP, _SESSION = 1, 2, 3  # keys of the generators


def oracle_auc() -> float:
    """ROC-AUC of the best linear score on the true factors, HC against AD."""
    return NormalDist().cdf(DELTA / 2**0.5)


def draw(subjects: int, seed: int) -> pd.DataFrame:
    """Draw people.

    Parameters
    ----------
    subjects : number of people, of both populations.
    seed : of the draws; person i is the same whatever ``subjects`` is.

    Returns
    -------
    DataFrame
        One row per person: participant_id, group, population, age (years),
        sex, site, sessions, and the latent factors, standard normal unless
        said: ``severity`` (module docstring), ``shared`` (seen by both
        modalities), ``private_t1``, ``private_falff``, ``head_size`` (log of
        the linear scale that registration left, in units of its standard
        deviation; the second population's is shifted by +1).
    """
    return pd.DataFrame([person(i, seed) for i in range(subjects)])


def person(index: int, seed: int) -> dict:
    """One row of :func:`draw`.

    The draws come from one generator, so their order is part of the design.
    """
    second = index % SECOND_EVERY == SECOND_EVERY - 1
    population = "second" if second else "main"
    group = _group(index, second, seed)
    rng = np.random.default_rng([seed, _PERSON, index])
    severity, shared, private_t1, private_falff, head = rng.standard_normal(5)
    age = float(np.clip(rng.normal(AGE[population], 8), 45, 95))
    male = int(rng.random() < 0.45)
    site = int(rng.integers(len(SITES[population])))
    count = int(rng.choice(list(SESSIONS), p=list(SESSIONS.values())))
    progress = {"HC": 0.0, "other": 0.5, "AD": 1.0}[group]
    return {
        "participant_id": f"sub-{index + 1:05d}",
        "group": group,
        "population": population,
        "age": round(age, 1),
        "sex": "FM"[male],
        "site": SITES[population][site],
        "sessions": count,
        "severity": severity + DELTA * progress,
        "shared": shared,
        "private_t1": private_t1,
        "private_falff": private_falff,
        "head_size": head + second,
    }


def _group(index: int, second: bool, seed: int) -> str:
    """Diagnosis of a person.

    The people of a population come in blocks whose groups have exact counts;
    inside a block their order is shuffled.
    """
    if second:
        place = index // SECOND_EVERY
        length = sum(SECOND_SHARE.values())
    else:
        place = index - index // SECOND_EVERY
        length = sum(SHARE.values())
    block = place // length
    counts = SHARE
    if second:
        counts = SECOND_SHARE
    elif block == 0:
        counts = FIRST_SHARE
    groups = [name for name, count in counts.items() for _ in range(count)]
    rng = np.random.default_rng([seed, _GROUP, int(second), block])
    order = rng.permutation(length)
    return groups[order[place % length]]


def sessions(people: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Draw the sessions of people, one pair of images each.

    Parameters
    ----------
    people : table of :func:`draw`.
    seed : of the draws.

    Returns
    -------
    DataFrame
        One row per pair: pair, participant_id, session, day (since the first
        session), downstream (1 for one random session of each person).
    """
    rows = []
    counts = people["sessions"].tolist()
    for i, name in enumerate(people["participant_id"]):
        rng = np.random.default_rng([seed, _SESSION, i])
        intervals = rng.integers(300, 1100, size=counts[i] - 1)
        days = [0, *np.cumsum(intervals).tolist()]
        chosen = int(rng.integers(counts[i]))
        for k, day in enumerate(days):
            rows.append((name, k + 1, day, int(k == chosen)))
    table = pd.DataFrame(
        rows, columns=["participant_id", "session", "day", "downstream"]
    )
    table.insert(0, "pair", np.arange(len(table)))
    return table
