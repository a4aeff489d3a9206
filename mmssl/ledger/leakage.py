"""Leakage: whom each fit has seen, and the proof that nobody is tested by what
has seen them.

Whatever learns from people (intensity landmarks, a scaler, principal
components, an encoder, a probe), chooses with them (an epoch, a penalty, a
latent dimension, a threshold) or is tested on them leaves an `Exposure`.
`prove` reads those of everything behind a table and refuses the table unless
who is tested was seen by nothing else. Identifiers are kept as hashes keyed
with the list of all participants of the cohort, which only those who hold the
cohort have; a message names the row of ``pairs.tsv`` instead. Hashes made with
two lists cannot be compared, and `prove` refuses to.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmssl.ledger import atomic, limits
from mmssl.ledger.hashes import as_json, hash_json

TRAIN, CHOOSE, TEST = ROLES = ("train", "choose", "test")
# 64 bits of a hash: a chance collision among 100,000 people is one in 10^9
_DIGITS = 16
_ROLE_NAME = {TRAIN: "learned from", CHOOSE: "chosen with", TEST: "tested on"}

_ADVICE = {
    (TRAIN, CHOOSE): (
        "who chooses may not be who trains. Deal people, not scans, to folds: "
        "remake splits.json."
    ),
    (TRAIN, TEST): (
        "what is fitted may not have seen the people it is tested on. Fit it "
        "on the training rows of the fold alone."
    ),
    (CHOOSE, TEST): (
        "a choice made with the people it is tested on flatters the result. "
        "Choose on training or validation people."
    ),
    (TEST, TEST): (
        "samples that are compared as independent may not share a person. "
        "Give each person one population (participants.tsv) and one fold "
        "(splits.json)."
    ),
}


class LeakError(ValueError):
    """A subject or an image is in two roles that must not share any, or this
    cannot be ruled out.
    """


class Exposure(NamedTuple):
    """Whom one fit has seen in one role.

    fit : what saw them: its kind, then which one: "encoder CR-XX-CC, fold 0";
        for the role "test", the sample that is tested: "hold-out".
    role : "train" (its parameters), "choose" (an epoch, penalty, dimension or
        threshold was picked with them) or "test" (a table reports them).
    subjects : {keyed hash of the identifier: "row <n> of <cohort>/pairs.tsv"},
        where to find whom.
    images : {content hash: "<modality>[<row>]"}.
    key : fingerprint of the key of the hashes; subjects of equal keys alone
        can be compared.
    """

    fit: str
    role: str
    subjects: Mapping[str, str]
    images: Mapping[str, str]
    key: str


def exposure(fit: str, role: str, cohort, rows) -> Exposure:
    """Record that a fit sees rows of a cohort.

    Parameters
    ----------
    fit, role : str
        As in `Exposure`.
    cohort : Cohort
        Its ``subjects``, ``participants`` and ``image_hashes`` are read.
    rows : array-like of int
        Rows of ``pairs.tsv``.

    Raises
    ------
    ValueError
        For an unknown role.
    """
    if role not in ROLES:
        raise ValueError(
            f"role {role!r} is unknown; expected one of {', '.join(ROLES)}"
        )
    rows = np.asarray(rows, dtype=np.int64)
    # who the people are, and nothing else about them: a column added later
    # changes no hash
    people = sorted(set(cohort.participants["participant_id"].astype(str)))
    key = bytes.fromhex(hash_json(people))
    subjects: dict[str, str] = {}
    # made anew, for the whole cohort, each time it is asked for
    people_of_pairs = cohort.subjects
    for row in rows.tolist():
        keyed = hashlib.blake2b(
            people_of_pairs[row].encode(), key=key, digest_size=_DIGITS // 2
        )
        subjects.setdefault(
            keyed.hexdigest(), f"row {row} of {cohort.name}/pairs.tsv"
        )
    images = {
        digest[:_DIGITS]: name
        for name, digest in cohort.image_hashes(rows).items()
    }
    # the key itself is not published
    fingerprint = hashlib.sha256(key).hexdigest()[:_DIGITS]
    return Exposure(fit, role, subjects, images, fingerprint)


def prove(
    exposures: Iterable[Exposure], needs: Iterable[str] = ()
) -> dict[str, Any]:
    """Prove that what was tested was seen by nothing else, or refuse.

    Refused are a person or an image shared by something learned or chosen and
    something tested, by the training and the choosing of one fit, or by two
    samples tested. Records of the same fit and role are one.

    Parameters
    ----------
    exposures : iterable of Exposure
        Of everything behind a table: of its runs (`read_exposures`), of its
        probes, of whom it tests.
    needs : iterable of str
        Fits that must be on record, by name or by the words it begins with:
        ``"encoder RR-AE"``.

    Returns
    -------
    dict
        For the sidecar of the table: tested (people), seen (people that
        something learned from or chose with), fits (names and roles), shared:
        0.

    Raises
    ------
    LeakError
        Naming both sides and one of the people or images they share, and what
        to do; also when nothing is tested, a fit is needed that left no
        record, or the records are of different lists of participants.
    """
    exposures = list(exposures)
    merged = _merged(exposures)
    _check_complete(merged, needs)
    by_role = sorted(merged.values(), key=lambda one: ROLES.index(one.role))
    for first, second in _kept_apart(by_role, merged):
        _check_pair(
            f"{first.fit} ({_ROLE_NAME[first.role]})",
            f"{second.fit} ({_ROLE_NAME[second.role]})",
            first,
            second,
            _ADVICE[first.role, second.role],
        )
    _check_keys(exposures)
    tested: set[str] = set()
    seen: set[str] = set()
    for one in by_role:
        (tested if one.role == TEST else seen).update(one.subjects)
    return {
        "tested": len(tested),
        "seen": len(seen),
        "shared": 0,
        "fits": sorted(f"{one.fit} ({one.role})" for one in by_role),
    }


def _check_complete(
    merged: Mapping[tuple[str, str], Exposure], needs: Iterable[str]
) -> None:
    """Refuse records in which nothing is tested or a needed fit is missing."""
    fits = sorted({fit for fit, _ in merged})
    on_record = "; ".join(fits)
    if not any(role == TEST for _, role in merged):
        raise LeakError(
            f"nothing is on record as tested (fits: {on_record or 'none'}), "
            "so nothing can be proven; add "
            'exposure("hold-out", "test", …)'
        )
    known = set(fits)
    for fit in fits:
        known.update(fit[: end.start()] for end in re.finditer("[ ,]", fit))
    for need in needs:
        if need not in known:
            raise LeakError(
                f"{need!r} left no record of whom it has seen (on record: "
                f"{on_record}); make it anew, so that it writes one"
            )


def _kept_apart(
    by_role: list[Exposure], merged: Mapping[tuple[str, str], Exposure]
) -> Iterator[tuple[Exposure, Exposure]]:
    """Pairs of records, in the order of `ROLES`, that may share nobody."""
    tests = [one for one in by_role if one.role == TEST]
    for first in by_role:
        chosen = merged.get((first.fit, CHOOSE))
        if first.role == TRAIN and chosen:
            yield first, chosen
        if first.role != TEST:
            for second in tests:
                yield first, second
    yield from combinations(tests, 2)


def write_exposures(path: str | Path, exposures: Iterable[Exposure]) -> Path:
    """Write exposures as JSON, beside the run or table they belong to."""
    path = Path(path)
    records = [one._asdict() for one in exposures]
    with atomic.file(path) as temporary:
        temporary.write_text(
            as_json(records, indent=0) + "\n", encoding="utf-8"
        )
    return path


def read_exposures(path: str | Path) -> list[Exposure]:
    """Read what `write_exposures` wrote.

    Raises
    ------
    LeakError
        When there is no such file, or one without the key of its hashes:
        nobody knows whom the run has seen.
    """
    path = Path(path)
    if not path.is_file():
        raise LeakError(
            f"{path}: not found, so nobody knows whom {path.parent.name} has "
            "seen; make the run anew, so that it writes one"
        )
    records = json.loads(limits.read_text(path))
    if not all("key" in record for record in records):
        raise LeakError(
            f"{path}: does not say by which list of participants its people "
            f"are hashed, so nobody knows whom {path.parent.name} has seen; "
            f"remove {path.parent} and make the run anew"
        )
    return [Exposure(**record) for record in records]


def check_disjoint(cohort, rows: Mapping[str, Any]) -> None:
    """Refuse a cohort in which a person or an image has two roles.

    Parameters
    ----------
    cohort : Cohort
    rows : {role: array-like of int}
        Rows of ``pairs.tsv`` of each role. Image hashes catch the same scan
        under two names.

    Raises
    ------
    LeakError
        Naming the two roles and the rows of the person, or the two images,
        that they share.
    """
    advice = "a person has one role. Remake splits.json."
    sides = []
    for role, part in rows.items():
        sides.append(exposure(role, TEST, cohort, part))
    for first, second in combinations(sides, 2):
        _check_pair(first.fit, second.fit, first, second, advice)


def _check_pair(
    first_name: str,
    second_name: str,
    first: Exposure,
    second: Exposure,
    advice: str,
) -> None:
    """Refuse two records that share a person or an image."""
    people = first.subjects.keys() & second.subjects.keys()
    if people:
        one = min(people)
        places = sorted({first.subjects[one], second.subjects[one]})
        number = "1 person" if len(people) == 1 else f"{len(people)} people"
        raise LeakError(
            f"the person of {' and '.join(places)} is in both {first_name!r} "
            f"and {second_name!r} ({number} in common): {advice}"
        )
    images = first.images.keys() & second.images.keys()
    if images:
        one = min(images)
        raise LeakError(
            f"image {first.images[one]} of {first_name!r} and image "
            f"{second.images[one]} of {second_name!r} are the same (sha256 "
            f"{one[:12]}): one scan under two names. Find out whose it is, "
            "remove the other, remake splits.json."
        )


def _check_keys(exposures: list[Exposure]) -> None:
    """Refuse records whose people are hashed with different keys.

    Each of them is compared with whoever is tested, so that one list of
    participants must do.
    """
    fits_by_key: dict[str, set[str]] = {}
    for one in exposures:
        fit = f"'{one.fit} ({_ROLE_NAME[one.role]})'"
        fits_by_key.setdefault(one.key, set()).add(fit)
    if len(fits_by_key) > 1:
        sides = [", ".join(sorted(fits)) for fits in fits_by_key.values()]
        raise LeakError(
            "people are hashed with the list of all participant_id of their "
            f"cohort, and it was another one for {' than for '.join(sides)}, "
            "so nobody can tell whom they share: participants.tsv has gained, "
            "lost or renamed people since, or these are two cohorts. Remove "
            "the fits of the other list and make them anew on the cohort that "
            "is tested; two cohorts belong into one participants.tsv, as two "
            "populations."
        )


def _merged(exposures: Iterable[Exposure]) -> dict[tuple[str, str], Exposure]:
    """Records of the same fit and role joined."""
    merged: dict[tuple[str, str], Exposure] = {}
    for one in exposures:
        empty = one._replace(subjects={}, images={})
        joined = merged.setdefault((one.fit, one.role), empty)
        joined.subjects.update(one.subjects)
        joined.images.update(one.images)
    return merged
