"""Who is registered, and that nobody else reaches a network."""

from dataclasses import replace

import numpy as np
import pytest

from mmssl.preprocessing import fit_landmarks, standardised
from mmssl.preprocessing.registration_status import (
    LIMITS,
    STATUSES,
    registration_status,
)


def test_the_worst_figure_decides():
    good = {name: upper for name, (_, upper) in LIMITS.items()}
    assert registration_status(good) == "registered"
    for name, (lower, upper) in LIMITS.items():
        assert lower < upper
        between = good | {name: (lower + upper) / 2}
        assert registration_status(between) == "doubtful"
        below = good | {name: lower - 1e-6}
        assert registration_status(below) == "failed"
        assert registration_status(good | {name: np.nan}) == "failed"


def marked(cohort, status, accept):
    """The cohort with a status for its first person."""
    participants = cohort.participants.assign(registration="registered")
    participants.loc[0, "registration"] = status
    parameters = {} if accept is None else {"accept": accept}
    return replace(cohort, participants=participants, parameters=parameters)


@pytest.mark.parametrize("accept", [None, *STATUSES])
@pytest.mark.parametrize("status", [*STATUSES, "faild", None])
def test_worse_than_what_is_accepted_reaches_no_network(
    tiny_phantom, status, accept
):
    cohort = marked(tiny_phantom, status, accept)
    person = cohort.participants["participant_id"].iloc[0]
    own = np.flatnonzero(cohort.subjects == person)
    others = np.flatnonzero(cohort.subjects != person)
    landmarks = fit_landmarks(tiny_phantom, 0)
    allowed = STATUSES.index(accept or "doubtful")
    standardised(cohort, landmarks, rows=others[:2])
    if status in STATUSES[: allowed + 1]:
        standardised(cohort, landmarks, rows=own)
    else:
        message = f"registration: {len(own)} of {len(own)} rows"
        with pytest.raises(ValueError, match=message):
            standardised(cohort, landmarks, rows=own)


def test_nobody_who_failed_has_a_part_in_landmarks(tiny_phantom):
    trained = tiny_phantom.splits["folds"][0]["train"][0]
    ids = tiny_phantom.participants["participant_id"]
    status = np.where(ids == trained, "failed", "registered")
    participants = tiny_phantom.participants.assign(registration=status)
    cohort = replace(tiny_phantom, participants=participants)
    with pytest.raises(ValueError, match=r"participants\.tsv: registration: "):
        fit_landmarks(cohort, 0)
