"""Registered, doubtful or failed: what is said of a person's registration, and
that nobody whose registration failed becomes the input of a network.
"""

from collections.abc import Mapping

REGISTERED, DOUBTFUL, FAILED = STATUSES = ("registered", "doubtful", "failed")
"""What is said of a registration, the best first."""

LIMITS = {
    "correlation": (0.38, 0.45),
    "dice_white": (0.50, 0.58),
    "dice_csf": (0.15, 0.28),
    "dice_mask": (0.85, 0.915),
}
"""{figure: (failed below, registered from)}; doubtful between. Set on
simulated heads of few seeds and on a handful of real ones, right and displaced
by 6 to 40 mm; how they do on others stands in ``book/registrations.tsv``.
"""


def registration_status(figures: Mapping[str, float]) -> str:
    """Whether a brain lies on the template, by absolute limits.

    That a registration gets worse when it is moved says only that it is at an
    optimum, which white noise has too.

    Parameters
    ----------
    figures : {figure: value}
        Of `similarity_to_template`.

    Returns
    -------
    str
        One of `STATUSES`: "failed" if any figure of `LIMITS` is below its
        lower limit, "registered" if all reach the upper one.
    """
    status = REGISTERED
    for name, (failed, registered) in LIMITS.items():
        # a figure that is NaN is not above anything
        if not figures[name] >= failed:
            return FAILED
        if not figures[name] >= registered:
            status = DOUBTFUL
    return status


def check_registered(cohort, rows) -> None:
    """ValueError if a person whose registration failed is among some rows.

    A cohort whose ``participants.tsv`` has a column ``registration`` (one of
    `STATUSES`) gives networks nobody of a worse status than its parameter
    ``accept``, "doubtful" where there is none.
    """
    participants = cohort.participants
    if "registration" not in participants:
        return
    accept = cohort.parameters.get("accept", DOUBTFUL)
    accepted = STATUSES[: STATUSES.index(accept) + 1]
    status = participants.set_index("participant_id")["registration"]
    status = status.loc[cohort.subjects[rows]]
    # a word that nobody knows is no registration
    number = int((~status.isin(accepted)).sum())
    if number:
        raise ValueError(
            f"{cohort.path / 'participants.tsv'}: registration: {number} of "
            f"{len(status)} rows not {' or '.join(accepted)}; look at them, "
            "and leave them out, or prepare them with another `accept`"
        )
