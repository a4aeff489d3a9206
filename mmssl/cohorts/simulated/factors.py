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

FIRST = {"HC": 9, "AD": 8, "other": 3}
"""Of the first 20 people: more AD, so that the smallest cohorts still fill
five folds.
"""

SHIFT_SHARE = {"HC": 3, "AD": 1}
"""Of 4 people of the second population (100 HC and 34 AD in "Tasting the
cake", section II-C).
"""

SHIFT_EVERY = 6
"""Every sixth person belongs to the second population."""

SESSIONS = {1: 0.6, 2: 0.3, 3: 0.1}
"""Probability of a person's number of sessions; 1.5 on average."""

SITES = {"main": ("A", "B", "C"), "second": ("D",)}
_PERSON, _GROUP, _SESSION = 1, 2, 3  # keys of the generators


def oracle_auc() -> float:
    """ROC-AUC of the best linear score on the true factors, HC against AD."""
    return NormalDist().cdf(DELTA / 2**0.5)


def draw(subjects: int, seed: int) -> pd.DataFrame:
    """Draw people.

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


def person(i: int, seed: int) -> dict:
    """One row of :func:`draw`."""
    second = i % SHIFT_EVERY == SHIFT_EVERY - 1
    group = _group(i, second, seed)
    rng = np.random.default_rng([seed, _PERSON, i])
    severity, shared, private_t1, private_falff, head = rng.standard_normal(5)
    sites = SITES["second" if second else "main"]
    return {
        "participant_id": f"sub-{i + 1:05d}",
        "group": group,
        "population": "second" if second else "main",
        "age": round(
            float(np.clip(rng.normal(66 if second else 71, 8), 45, 95)), 1
        ),
        "sex": "FM"[int(rng.random() < 0.45)],
        "site": sites[int(rng.integers(len(sites)))],
        "sessions": int(rng.choice(list(SESSIONS), p=list(SESSIONS.values()))),
        "severity": severity
        + DELTA * {"HC": 0.0, "other": 0.5, "AD": 1.0}[group],
        "shared": shared,
        "private_t1": private_t1,
        "private_falff": private_falff,
        "head_size": head + second,
    }


def _group(i: int, second: bool, seed: int) -> str:
    """Diagnosis of person i: exact counts in every block of people, shuffled
    inside it.
    """
    place = i // SHIFT_EVERY if second else i - i // SHIFT_EVERY
    length = sum((SHIFT_SHARE if second else SHARE).values())
    block = place // length
    counts = SHIFT_SHARE if second else FIRST if block == 0 else SHARE
    deck = [name for name, n in counts.items() for _ in range(n)]
    order = np.random.default_rng(
        [seed, _GROUP, int(second), block]
    ).permutation(length)
    return deck[order[place % length]]


def sessions(people: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Pairs of images: pair, participant_id, session, day, downstream (one
    random session each).
    """
    rows = []
    for i, (name, count) in enumerate(
        zip(people["participant_id"], people["sessions"], strict=True)
    ):
        rng = np.random.default_rng([seed, _SESSION, i])
        days = np.concatenate(
            [[0], np.cumsum(rng.integers(300, 1100, size=count - 1))]
        )
        chosen = int(rng.integers(count))
        rows += [
            (name, k + 1, int(days[k]), int(k == chosen)) for k in range(count)
        ]
    table = pd.DataFrame(
        rows, columns=["participant_id", "session", "day", "downstream"]
    )
    table.insert(0, "pair", np.arange(len(table)))
    return table
