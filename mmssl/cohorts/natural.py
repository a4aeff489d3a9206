"""Pairs of natural images: Two-View MNIST, MNIST-SVHN, and a stand-in where
there is no SVHN.

The two data sets of the taxonomy (Fedorov et al. 2021, "Taxonomy", section
III-A), after Wang et al. 2015 and Shi et al. 2019. One pair stands for one
participant; the test part is the hold-out. Nothing here mirrors an image: a
mirrored digit is no digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mmssl.cohorts import pixels, splits
from mmssl.cohorts.cohort import Cohort, load, write
from mmssl.cohorts.digits import PARTS, Digits, read_digits

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
        As :func:`mmssl.cohorts.digits.read_digits` takes it; None: the digits
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
    participants, split = _participants_and_split(digits, folds, seed)
    images = pixels.resized(digits.images)
    shown = np.arange(len(images))
    if second == "same-class":
        roles = _fold_roles(participants, split)
        shown = _partners(digits.labels, roles, seed)
    angles, noise = _angles_and_noise(digits, seed)
    turned = pixels.rotated(images, angles)
    covered = pixels.noisy(images[shown], noise, rescale)
    return _write_pairs(
        path,
        kind="two-view-mnist",
        volumes={
            "view1": turned.astype(np.float16),
            "view2": covered.astype(np.float16),
        },
        participants=participants,
        split=split,
        seed=seed,
        digits=digits,
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
        As :func:`mmssl.cohorts.digits.read_digits` takes them. ``svhn=None``
        makes **no** SVHN but a stand-in: other digits of the same class,
        painted in colour between neighbours
        (:func:`mmssl.cohorts.pixels.painted`).
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
    if svhn is not None:
        second = _digits("svhn", svhn)
        rows, partners = _pairs_by_class(first, second)
        first, second = first[rows], second[partners]
    participants, split = _participants_and_split(first, folds, seed)
    images = pixels.resized(first.images)
    if svhn is None:
        kind, modality = "painted-digits", "painted"
        roles = _fold_roles(participants, split)
        second, colour_images = _painted_partners(first, images, roles, seed)
    else:
        kind, modality = "mnist-svhn", "SVHN"
        colour_images = pixels.resized(second.images)
        if colour_images.ndim == 3:  # grey: the same in every channel
            colour_images = np.repeat(colour_images[:, None], 3, axis=1)
    name = _name(first)
    participants[name] = first.number
    participants[modality] = second.number
    return _write_pairs(
        path,
        kind=kind,
        volumes={name: images, modality: colour_images},
        participants=participants,
        split=split,
        seed=seed,
        digits=first,
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
    name = _name(digits)
    design = {"seed": seed, "folds": folds}

    folder = Path(path) / "two-view"
    if not folder.exists():
        two_view_mnist(folder, digits, **design, **views)
    two_view = load(folder)
    _check_design(two_view, digits, {**design, **views})

    folder = Path(path) / "paired"
    if not folder.exists():
        mnist_svhn(folder, digits, svhn, **design)
    paired = load(folder)
    _check_design(paired, digits, design, with_svhn=svhn is not None)

    title = f"{name}-SVHN"
    if svhn is None:
        title = f"{name}-painted (a stand-in for MNIST-SVHN)"
    return {f"Two-View {name}": two_view, title: paired}


def _check_design(
    cohort: Cohort,
    digits: Digits,
    design: Mapping,
    with_svhn: bool | None = None,
) -> None:
    """ValueError for a cohort that was made in another way.

    with_svhn : whether it must hold SVHN; None where that is not asked.
    """
    expected = {**design, "images": digits.name}
    found = {"seed": cohort.seed, **cohort.parameters}
    if with_svhn is not None:
        expected["SVHN"] = with_svhn
        found["SVHN"] = "SVHN" in cohort.modalities
    if not with_svhn:
        # with SVHN, fewer than asked for may find a partner
        expected |= _part_sizes(digits)
    for key, value in expected.items():
        if found.get(key) != value:
            raise ValueError(
                f"{cohort.path}: {key} is {found.get(key)!r}, asked for "
                f"{value!r}; remove {cohort.path} or choose another folder"
            )


def _digits(dataset: str, source: Source) -> Digits:
    """Digits that were given, or those that are read."""
    if isinstance(source, Digits):
        return source
    return read_digits(dataset, source)


def _name(digits: Digits) -> str:
    """What the modality of grey digits is called."""
    return "MNIST" if digits.name == "MNIST" else "digits"


def _part_sizes(digits: Digits) -> dict[str, int]:
    """{"train": images, "test": images}."""
    counts = np.bincount(digits.part, minlength=len(PARTS))
    return dict(zip(PARTS, counts.tolist(), strict=True))


def _pairs_by_class(
    first: Digits, second: Digits
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each that make pairs, class by class within a part, in the order
    of the first.
    """
    rows, partners = [], []
    for part, name in enumerate(PARTS):
        number = 0
        for digit in range(len(CLASSES)):
            of_first = first.rows(part, digit)
            of_second = second.rows(part, digit)
            count = min(len(of_first), len(of_second))
            rows.append(of_first[:count])
            partners.append(of_second[:count])
            number += count
        if number == 0:
            raise ValueError(
                f"{name} part: {first.name} and {second.name} have no class "
                "in common"
            )
    rows, partners = np.concatenate(rows), np.concatenate(partners)
    order = np.argsort(rows)
    return rows[order], partners[order]


def _participants_and_split(
    digits: Digits, folds: int, seed: int
) -> tuple[pd.DataFrame, dict]:
    """The table of pairs, named by part and number, and who trains, validates
    and is held out.
    """
    names = []
    for part, number in zip(digits.part, digits.number, strict=True):
        names.append(f"{PARTS[part]}-{number:05d}")
    ids = np.array(names)
    participants = pd.DataFrame(
        {"participant_id": ids, "group": digits.labels.astype(str)}
    )
    holdout = ids[digits.part == 1].tolist()
    if folds > 1:
        split = splits.make(
            participants, folds, holdout, seed, classes=CLASSES
        )
        return participants, split
    only_fold = {"train": ids[digits.part == 0].tolist(), "valid": []}
    split = {
        "seed": seed,
        "holdout": holdout,
        "shift": [],
        "folds": [only_fold],
    }
    return participants, split


def _fold_roles(participants: pd.DataFrame, split: Mapping) -> np.ndarray:
    """Which fold validates an image, one more where none does, -1 for the
    hold-out: (n,).
    """
    folds = split["folds"]
    role_of = dict.fromkeys(participants["participant_id"], len(folds))
    for number, fold in enumerate(folds):
        role_of |= dict.fromkeys(fold["valid"], number)
    role_of |= dict.fromkeys(split["holdout"], -1)
    return np.array([role_of[i] for i in participants["participant_id"]])


def _partners(labels: np.ndarray, roles: np.ndarray, seed: int) -> np.ndarray:
    """Another image of the same label and role for each, by one turn of a
    random circle.
    """
    rng = np.random.default_rng([seed, 2])
    partner = np.arange(len(labels))
    for role in np.unique(roles):
        for label in np.unique(labels):
            alike = np.flatnonzero((roles == role) & (labels == label))
            circle = rng.permutation(alike)
            partner[circle] = np.roll(circle, 1)
    return partner


def _angles_and_noise(
    digits: Digits, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Angles (n,) in degrees and noise (n, 32, 32), one generator per
    image.
    """
    sides = (pixels.SIZE, pixels.SIZE)
    angles = np.empty(len(digits.labels), np.float32)
    noise = np.empty((len(angles), *sides), np.float32)
    numbers = zip(digits.part, digits.number, strict=True)
    for i, (part, number) in enumerate(numbers):
        rng = np.random.default_rng([seed, part, number])
        angles[i] = rng.uniform(-pixels.MAX_ANGLE, pixels.MAX_ANGLE)
        noise[i] = rng.random(sides, dtype=np.float32)
    return angles, noise


def _painted_partners(
    digits: Digits, images: np.ndarray, roles: np.ndarray, seed: int
) -> tuple[Digits, np.ndarray]:
    """Another digit of the class and role for each row, and how it is
    painted.
    """
    shown = _partners(digits.labels, roles, seed)
    # any two images of the same role stand beside it
    left = _partners(np.zeros_like(shown), roles, seed)
    neighbours = np.stack([left, left[left]], axis=1)
    partners = digits[shown]
    keys = []
    for part, number in zip(partners.part, partners.number, strict=True):
        keys.append((seed, part, number, 3))
    return partners, pixels.painted(images[shown], neighbours, keys)


def _write_pairs(
    path: str | Path,
    kind: str,
    volumes: Mapping[str, np.ndarray],
    participants: pd.DataFrame,
    split: Mapping,
    seed: int,
    digits: Digits,
    channels: Mapping[str, int] | None = None,
    **parameters,
) -> Cohort:
    """Write a cohort in which one pair stands for one participant."""
    pairs = pd.DataFrame(
        {
            "pair": range(len(participants)),
            "participant_id": participants["participant_id"],
            "session": 1,
            "day": 0,
            "downstream": 1,
        }
    )
    made_with = {"images": digits.name, **_part_sizes(digits)}
    made_with["folds"] = len(split["folds"])
    task = {"column": "group", "classes": list(CLASSES)}
    # a few images of each file may lack a digit
    absent = sorted(set(CLASSES) - set(participants["group"]))
    if absent:
        task["absent"] = absent
    return write(
        path,
        name=Path(path).name,
        kind=kind,
        volumes=volumes,
        participants=participants,
        pairs=pairs,
        splits=split,
        intensity="unit",
        channels=channels,
        seed=seed,
        tasks={TASK: task},
        parameters={**made_with, **parameters},
    )
