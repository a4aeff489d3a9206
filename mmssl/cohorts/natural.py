"""Pairs of natural images: Two-View MNIST, MNIST-SVHN, and a stand-in where
there is no SVHN.

The two data sets of the taxonomy (Fedorov et al. 2021, "Taxonomy", section
III-A), after Wang et al. 2015 and Shi et al. 2019. One pair stands for one
participant; the test part is the hold-out. Nothing here mirrors an image: a
mirrored digit is no digit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mmssl.cohorts import pixels, splits
from mmssl.cohorts.cohort import Cohort, load, write
from mmssl.cohorts.digits import PARTS, Digits, read

CLASSES = tuple("0123456789")
TASK = "digit"
Source = str | Path | Digits | None


def two_view_mnist(
    path: str | Path,
    source: Source = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    folds: int = 5,
    second: str = "same-image",
    rescale: bool = False,
) -> Cohort:
    """Make the Two-View MNIST cohort.

    Digits are resized to 32 on uint8 (PIL, bilinear) and scaled to [0, 1].
    view1 is turned by an angle from U(-45, 45) degrees, zero outside; view2
    has U(0, 1) noise added and is clamped to [0, 1]. Angle and noise belong to
    an image's number in its file, so a smaller cohort holds the same images as
    a larger one.

    Parameters
    ----------
    path : path
        Folder to make.
    source : path or Digits, optional
        As :func:`mmssl.cohorts.digits.read` takes it; None: the digits
        scikit-learn bundles.
    train, test : int, optional
        How many of the first training and test images; by default all, 60,000
        and 10,000 of MNIST.
    seed : int
    folds : int
        Over the training images, stratified by digit; 1: all of them train and
        nobody validates, as the published train/test split has it.
    second : {"same-image", "same-class"}
        What view2 shows: the digit of view1, as the public code has it, or
        another image of its class, as Wang et al. 2015; partners are drawn
        inside one fold's part, so no image crosses.
    rescale : bool
        Stretch view2 back to [0, 1] ("Taxonomy", section III-A) instead of
        clamping.

    Returns
    -------
    Cohort
        Kind "two-view-mnist", 2D, size 32, modalities view1 and view2 (pairs,
        32, 32) float16 in [0, 1], task "digit"; training images first.
        ``parameters["images"]`` names the digits.

    Raises
    ------
    ValueError
        Before anything is written: a file missing, damaged or of another kind,
        images and labels that do not count the same, more images asked for
        than there are, an unknown `second`.
    """
    if second not in ("same-image", "same-class"):
        raise ValueError(
            f"second is {second!r}, expected 'same-image' or 'same-class'"
        )
    digits = _digits("mnist", source).first(train, test)
    participants, split = _people(digits, folds, seed)
    images = pixels.resized(digits.images)
    shown = np.arange(len(images))
    if second == "same-class":
        shown = _partners(digits.labels, _role(participants, split), seed)
    angles, noise = _draws(digits, seed)
    views = {
        "view1": pixels.rotated(images, angles).astype(np.float16),
        "view2": pixels.noisy(images[shown], noise, rescale).astype(
            np.float16
        ),
    }
    return _write(
        path,
        "two-view-mnist",
        views,
        participants,
        split,
        seed,
        digits,
        second=second,
        rescale=rescale,
    )


def mnist_svhn(
    path: str | Path,
    mnist: Source = None,
    svhn: Source = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    folds: int = 5,
) -> Cohort:
    """Make the MNIST-SVHN cohort: a handwritten digit with a house number of
    the same digit.

    Each image is kept once. In each part and class, n = min of both counts,
    the k-th image of one data set lies in a row with the k-th of the other;
    what is beyond n is left out, as in the public code (iffsid/mmvae), which
    then writes out 20 or 30 random permutations of the n. Here ``pairing``
    says that any two training images of one class are a pair, and the draw of
    an epoch (:class:`mmssl.pretrain.draws.Draw`) makes such a permutation on
    the fly, so that many epochs of ours show what one of theirs does.
    Validation and hold-out pairs are fixed.

    Parameters
    ----------
    path : path
        Folder to make.
    mnist, svhn : path or Digits
        As :func:`mmssl.cohorts.digits.read` takes them. ``svhn=None`` makes
        **no** SVHN but a stand-in: other digits of the same class, painted in
        colour between neighbours (:func:`mmssl.cohorts.pixels.painted`).
    train, test : int, optional
        How many of the first MNIST images of each part can be paired; all by
        default.
    seed, folds : int
        As in :func:`two_view_mnist`.

    Returns
    -------
    Cohort
        Kind "mnist-svhn", modalities MNIST (pairs, 32, 32) and SVHN (pairs, 3,
        32, 32), or kind "painted-digits", where the second modality is
        "painted"; the first is "digits" where they are not MNIST's. float16 in
        [0, 1], task "digit".

    Raises
    ------
    ValueError
        As :func:`two_view_mnist`; also where a part holds no class that both
        data sets have.
    """
    first = _digits("mnist", mnist).first(train, test)
    second = first if svhn is None else _digits("svhn", svhn)
    if svhn is not None:
        rows, partners = _matched(first, second)
        first, second = first[rows], second[partners]
    participants, split = _people(first, folds, seed)
    images = pixels.resized(first.images)
    if svhn is None:
        kind, modality = "painted-digits", "painted"
        second, other = _stand_in(
            first, images, _role(participants, split), seed
        )
    else:
        kind, modality, other = (
            "mnist-svhn",
            "SVHN",
            pixels.resized(second.images),
        )
        other = (
            other if other.ndim == 4 else np.repeat(other[:, None], 3, axis=1)
        )
    name = "MNIST" if first.name == "MNIST" else "digits"
    participants[name], participants[modality] = first.number, second.number
    return _write(
        path,
        kind,
        {name: images, modality: other},
        participants,
        split,
        seed,
        first,
        channels={name: 1, modality: 3},
        pairing=TASK,
    )


def make_both(
    path: str | Path,
    mnist: Source = None,
    svhn: Source = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    folds: int = 5,
    **views,
) -> dict[str, Cohort]:
    """Both data sets from the same digits, made where they are not there yet.

    Parameters
    ----------
    path : path
        Folder of the two cohort folders, ``two-view`` and ``paired``.
    mnist, svhn, train, test, seed, folds
        As :func:`mnist_svhn` takes them.
    **views
        ``second`` and ``rescale`` of :func:`two_view_mnist`.

    Returns
    -------
    dict
        {title: Cohort}; the titles say what the images are.

    Raises
    ------
    ValueError
        As the makers; also where a cohort is there that was made in another
        way.
    """
    digits = _digits("mnist", mnist).first(train, test)
    title = "MNIST" if digits.name == "MNIST" else "digits"
    paired = (
        f"{title}-SVHN"
        if svhn is not None
        else f"{title}-painted (a stand-in for MNIST-SVHN)"
    )
    wanted = {
        f"Two-View {title}": (
            "two-view",
            two_view_mnist,
            {"source": digits, **views},
        ),
        paired: ("paired", mnist_svhn, {"mnist": digits, "svhn": svhn}),
    }
    made = {}
    for name, (place, maker, given) in wanted.items():
        where = Path(path) / place
        if not where.exists():
            maker(where, seed=seed, folds=folds, **given)
        made[name] = load(where)
        _agree(made[name], digits, svhn is not None, seed, folds, views)
    return made


def _agree(
    cohort: Cohort, digits, real: bool, seed: int, folds: int, views: dict
) -> None:
    """Refuse a cohort that is there and is another one."""
    have = {"seed": cohort.seed, **cohort.parameters}
    asked = {"seed": seed, "images": digits.name, "folds": folds}
    if cohort.pairing is None:
        asked |= views
    else:
        have["SVHN"], asked["SVHN"] = "SVHN" in cohort.modalities, real
    # with SVHN, fewer than asked for may find a partner
    if not asked.get("SVHN"):
        asked |= {
            "train": int((digits.part == 0).sum()),
            "test": int(digits.part.sum()),
        }
    for key, value in asked.items():
        if have.get(key) != value:
            raise ValueError(
                f"{cohort.path}: {key} is {have.get(key)!r}, asked for {value!r}; "
                f"remove {cohort.path} or choose another folder"
            )


def _digits(dataset: str, source: Source) -> Digits:
    return source if isinstance(source, Digits) else read(dataset, source)


def _matched(first: Digits, second: Digits) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each that make pairs, class by class within a part, in the order
    of the first.
    """
    pairs = []
    for part, name in enumerate(PARTS):
        found = 0
        for digit in range(len(CLASSES)):
            rows, partners = (
                np.flatnonzero((d.part == part) & (d.labels == digit))
                for d in (first, second)
            )
            n = min(len(rows), len(partners))
            pairs.append(np.stack([rows[:n], partners[:n]]))
            found += n
        if not found:
            raise ValueError(
                f"{name} part: {first.name} and {second.name} have no class in common"
            )
    joined = np.concatenate(pairs, axis=1)
    rows, partners = joined[:, np.argsort(joined[0])]
    return rows, partners


def _people(
    digits: Digits, folds: int, seed: int
) -> tuple[pd.DataFrame, dict]:
    """The table of pairs, named by part and number, and who trains, validates
    and is held out.
    """
    names = zip(digits.part, digits.number, strict=True)
    ids = np.array([f"{PARTS[part]}-{number:05d}" for part, number in names])
    participants = pd.DataFrame(
        {"participant_id": ids, "group": digits.labels.astype(str)}
    )
    held = ids[digits.part == 1].tolist()
    if folds == 1:
        everybody = [{"train": ids[digits.part == 0].tolist(), "valid": []}]
        return participants, {
            "seed": seed,
            "holdout": held,
            "shift": [],
            "folds": everybody,
        }
    return participants, splits.make(
        participants, folds, held, seed, classes=CLASSES
    )


def _role(participants: pd.DataFrame, split: dict) -> np.ndarray:
    """Which fold validates an image, one more where none does, -1 for the
    hold-out: (n,).
    """
    of_id = {
        i: k for k, fold in enumerate(split["folds"]) for i in fold["valid"]
    }
    of_id |= dict.fromkeys(split["holdout"], -1)
    return np.array(
        [
            of_id.get(i, len(split["folds"]))
            for i in participants["participant_id"]
        ]
    )


def _partners(labels: np.ndarray, roles: np.ndarray, seed: int) -> np.ndarray:
    """Another image of the same label and role for each, by one turn of a
    random circle.
    """
    rng = np.random.default_rng([seed, 2])
    partner = np.arange(len(labels))
    for role in np.unique(roles):
        for label in np.unique(labels):
            circle = rng.permutation(
                np.flatnonzero((roles == role) & (labels == label))
            )
            partner[circle] = np.roll(circle, 1)
    return partner


def _draws(digits: Digits, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles (n,) in degrees and noise (n, 32, 32), one generator per
    image.
    """
    angles = np.empty(len(digits.labels), np.float32)
    noise = np.empty((len(angles), pixels.SIZE, pixels.SIZE), np.float32)
    for i, (part, number) in enumerate(
        zip(digits.part, digits.number, strict=True)
    ):
        rng = np.random.default_rng([seed, part, number])
        angles[i] = rng.uniform(-pixels.MAX_ANGLE, pixels.MAX_ANGLE)
        noise[i] = rng.random((pixels.SIZE, pixels.SIZE), dtype=np.float32)
    return angles, noise


def _stand_in(
    digits: Digits, images: np.ndarray, roles: np.ndarray, seed: int
) -> tuple[Digits, np.ndarray]:
    """Another digit of the class and role for each row, and how it is
    painted.
    """
    shown = _partners(digits.labels, roles, seed)
    aside = _partners(np.zeros_like(shown), roles, seed)
    other = digits[shown]
    keys = [
        (seed, part, n, 3)
        for part, n in zip(other.part, other.number, strict=True)
    ]
    return other, pixels.painted(
        images[shown], np.stack([aside, aside[aside]], 1), keys
    )


def _write(
    path,
    kind: str,
    views: dict,
    participants,
    split,
    seed,
    digits,
    channels=None,
    **parameters,
) -> Cohort:
    pairs = pd.DataFrame(
        {
            "pair": range(len(participants)),
            "participant_id": participants["participant_id"],
            "session": 1,
            "day": 0,
            "downstream": 1,
        }
    )
    counts = {
        name: int((digits.part == part).sum())
        for part, name in enumerate(PARTS)
    }
    return write(
        path,
        name=Path(path).name,
        kind=kind,
        volumes=views,
        participants=participants,
        pairs=pairs,
        splits=split,
        intensity="unit",
        channels=channels,
        seed=seed,
        tasks={TASK: {"column": "group", "classes": list(CLASSES)}},
        parameters={
            "images": digits.name,
            **counts,
            "folds": len(split["folds"]),
            **parameters,
        },
    )
