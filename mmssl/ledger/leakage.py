"""Whom each fit has seen, as data; and the proof that nobody is tested by what
has seen them.

Whatever learns from people (intensity landmarks, a scaler, principal
components, an encoder, a probe), chooses with them (an epoch, a penalty, a
latent dimension, a threshold) or is tested on them leaves an `Exposure`.
`prove` reads those of everything behind a table and refuses the table unless
who is tested was seen by nothing else. Identifiers are kept as hashes keyed
with the list of all participants of the cohort, which only who holds the
cohort has; a message names the row of ``pairs.tsv`` instead. Hashes of two
lists cannot be compared, and `prove` refuses to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmssl.ledger import atomic
from mmssl.ledger.hashes import as_json, hash_json

TRAIN, CHOOSE, TEST = ROLES = ("train", "choose", "test")
# 64 bits of a hash: a chance collision among 100,000 people is one in 10^9
_DIGITS = 16
_DOES = {TRAIN: "learned from", CHOOSE: "chosen with", TEST: "tested on"}

_ADVICE = {
    (
        TRAIN,
        CHOOSE,
    ): "who chooses may not be who trains. Deal people, not scans, to folds: remake "
    "splits.json.",
    (
        TRAIN,
        TEST,
    ): "what is fitted may not have seen the people it is tested on. Fit it on the "
    "training rows of the fold alone.",
    (
        CHOOSE,
        TEST,
    ): "a choice made with the people it is tested on flatters the result. Choose on "
    "training or validation people.",
    (
        TEST,
        TEST,
    ): "samples that are compared as independent may not share a person. Give each "
    "person one population (participants.tsv) and one fold (splits.json).",
}


class LeakError(ValueError):
    """A subject or an image is in two roles that must not share any, or nobody
    knows.
    """


class Exposure(NamedTuple):
    """Whom one fit has seen in one role.

    fit : what saw them: its kind, then which one: "encoder CR-XX-CC, fold 0";
        for the role "test",
        the sample that is tested: "hold-out".
    role : "train" (its parameters), "choose" (an epoch, penalty, dimension or
        threshold was picked
        with them) or "test" (a table reports them).
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
    for row in rows.tolist():
        keyed = hashlib.blake2b(
            cohort.subjects[row].encode(), key=key, digest_size=_DIGITS // 2
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
    fits = {fit for fit, _ in merged}
    if not any(role == TEST for _, role in merged):
        raise LeakError(
            f"nothing is on record as tested (fits: {'; '.join(sorted(fits)) or 'none'}"
            '), so nothing can be proven; add exposure("hold-out", "test", …)'
        )
    for need in needs:
        if not any(
            f == need or f.startswith((need + " ", need + ",")) for f in fits
        ):
            raise LeakError(
                f"{need!r} left no record of whom it has seen (on record: "
                f"{'; '.join(sorted(fits))}); make it anew, so that it writes one"
            )
    for first, second in combinations(
        sorted(merged, key=lambda k: ROLES.index(k[1])), 2
    ):
        roles = (first[1], second[1])
        if TEST in roles or (
            first[0] == second[0] and roles == (TRAIN, CHOOSE)
        ):
            named = [f"{fit} ({_DOES[role]})" for fit, role in (first, second)]
            _check_pair(*named, merged[first], merged[second], _ADVICE[roles])
    _check_keys(exposures)
    people = {
        side: set().union(
            *(
                one.subjects
                for (_, role), one in merged.items()
                if (role == TEST) == (side == TEST)
            )
        )
        for side in (TEST, TRAIN)
    }
    return {
        "tested": len(people[TEST]),
        "seen": len(people[TRAIN]),
        "shared": 0,
        "fits": sorted(f"{fit} ({role})" for fit, role in merged),
    }


def write_exposures(path: str | Path, exposures: Iterable[Exposure]) -> Path:
    """Write exposures as JSON, beside the run or table they belong to."""
    path = Path(path)
    with atomic.file(path) as temporary:
        temporary.write_text(
            as_json([one._asdict() for one in exposures], indent=0) + "\n"
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
            f"{path}: not found, so nobody knows whom {path.parent.name} has seen; "
            "make the run anew, so that it writes one"
        )
    records = json.loads(path.read_text())
    if not all("key" in record for record in records):
        raise LeakError(
            f"{path}: does not say by which list of participants its people are "
            f"hashed, so nobody knows whom {path.parent.name} has seen; remove "
            f"{path.parent} and make the run anew"
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
    sides = {
        role: exposure(role, TEST, cohort, part) for role, part in rows.items()
    }
    for first, second in combinations(sides, 2):
        _check_pair(
            first,
            second,
            sides[first],
            sides[second],
            "a person has one role. Remake splits.json.",
        )


def _check_pair(
    first: str, second: str, a: Exposure, b: Exposure, advice: str
) -> None:
    """Refuse two sides that share a person or an image."""
    if shared := a.subjects.keys() & b.subjects.keys():
        one = min(shared)
        places = sorted({a.subjects[one], b.subjects[one]})
        raise LeakError(
            f"the person of {' and '.join(places)} is in both {first!r} and {second!r} "
            f"({_people(len(shared))} in common): {advice}"
        )
    if shared := a.images.keys() & b.images.keys():
        one = min(shared)
        raise LeakError(
            f"image {a.images[one]} of {first!r} and image {b.images[one]} of {second!r} are the "
            f"same (sha256 {one[:12]}): one scan under two names. Find out whose it is, remove the "
            "other, remake splits.json."
        )


def _check_keys(exposures: list[Exposure]) -> None:
    """Refuse records whose people are hashed with different keys.

    Each of them is compared with whoever is tested, so that one list of
    participants must do.
    """
    lists: dict[str, set[str]] = {}
    for one in exposures:
        lists.setdefault(one.key, set()).add(
            f"'{one.fit} ({_DOES[one.role]})'"
        )
    if len(lists) > 1:
        sides = " than for ".join(
            ", ".join(sorted(fits)) for fits in lists.values()
        )
        raise LeakError(
            "people are hashed with the list of all participant_id of their cohort, and it was "
            f"another one for {sides}, so nobody can tell whom they share: participants.tsv has "
            "gained, lost or renamed people since, or these are two cohorts. Remove the fits of "
            "the other list and make them anew on the cohort that is tested; two cohorts belong "
            "into one participants.tsv, as two populations."
        )


def _people(number: int) -> str:
    return "1 person" if number == 1 else f"{number} people"


def _merged(exposures: Iterable[Exposure]) -> dict[tuple[str, str], Exposure]:
    """Records of the same fit and role joined."""
    merged: dict[tuple[str, str], Exposure] = {}
    for one in exposures:
        old = merged.get((one.fit, one.role), one)
        merged[one.fit, one.role] = one._replace(
            subjects={**old.subjects, **one.subjects},
            images={**old.images, **one.images},
        )
    return merged
