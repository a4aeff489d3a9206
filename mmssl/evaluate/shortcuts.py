"""What else a representation holds than the person: the crop and the flip of a
view, the site, the head's size.

A contrast between two modalities is met by anything that both show. If both
get the same crop, the crop is enough, and an encoder may learn its
augmentation instead of the brain (shortcut learning; Geirhos et al. 2020). So
views of held-out people are drawn here, and two things are asked of their z:
what can be read from it, with which share of its variance, and whether the two
images of a person find each other under the same crop, under separate crops,
and without any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from mmssl.models.keyed_random import Stream
from mmssl.objectives.views import Clean, PadCropFlip
from mmssl.stats.auc import roc_auc

if TYPE_CHECKING:
    import pandas as pd

SAME, SEPARATE, NONE = AUGMENTATIONS = ("same", "separate", "none")
"""How the two images of a person are cropped when they are matched."""

_PENALTIES = np.logspace(-2, 4, 13)  # of the ridge regressions


class AugmentedViews(NamedTuple):
    """z of several views of every person, and how each view was made.

    z : {modality: (people, draws, latent)}
    shift : {modality: (people, draws, axes)}, voxels by which the brain moved
    flip : {modality: (people, draws, axes)}, bool
    """

    z: dict[str, np.ndarray]
    shift: dict[str, np.ndarray]
    flip: dict[str, np.ndarray]


@torch.no_grad()
def augmented_views(
    encoders: Mapping[str, torch.nn.Module],
    inputs: Mapping[str, np.ndarray],
    recipe: PadCropFlip,
    draws: int = 4,
    seed: int = 0,
) -> AugmentedViews:
    """Embed several views of every person.

    Parameters
    ----------
    encoders : mapping
        modality -> encoder; used in evaluation mode.
    inputs : mapping
        modality -> array (people, C, *sides), standardised.
    recipe : PadCropFlip
        How views are made.
    draws : int
        Views a person, at least 2.
    seed : int

    Raises
    ------
    ValueError
        For fewer than two draws: one view cannot tell a person from a crop.
    """
    if draws < 2:
        raise ValueError(f"draws={draws}, expected at least 2")
    people = len(next(iter(inputs.values())))
    volumes = {}
    for m, x in inputs.items():
        volumes[m] = torch.from_numpy(np.asarray(x, np.float32))
    views = AugmentedViews({}, {}, {})
    for m, encoder in encoders.items():
        sides = volumes[m].shape[2:]
        z, shifts, flips = [], [], []
        for draw in range(draws):
            stream = Stream(torch.arange(people), seed, draw)
            moved = recipe({m: volumes[m]}, stream)[m]
            z.append(encoder.eval()(moved).z.float().numpy())
            offset, flip = recipe.draw(m, sides, stream)
            # the crop comes first, so that a flip turns it round
            shifts.append(torch.where(flip, offset, -offset).numpy())
            flips.append(flip.numpy())
        views.z[m] = np.stack(z, 1)
        views.shift[m] = np.stack(shifts, 1)
        views.flip[m] = np.stack(flips, 1)
    return views


def nuisance_table(
    views: AugmentedViews,
    traits: Mapping[str, np.ndarray] | None = None,
    folds: int = 5,
) -> pd.DataFrame:
    """What can be read from z, and which share of its variance it makes.

    Everything is read by ridge regression, in folds over people: numbers with
    R² (negative where the regression is worse than the mean), two classes with
    ROC-AUC, more classes with its mean over one against the rest. The person
    is read by the nearest view: the share of views whose nearest neighbour,
    among one view each of all people, is of the same person.

    Parameters
    ----------
    views : AugmentedViews
    traits : mapping, optional
        Of the people: name -> (people,) numbers, or classes as words.
    folds : int
        As many as there are people, where these are fewer.

    Returns
    -------
    DataFrame
        modality, nuisance ("crop", "flip" where there are flips, "person", and
        the traits), measure, value, chance, share of the total variance of z
        that a linear regression on the nuisance explains beyond its degrees
        of freedom.
    """
    import pandas as pd

    lines = []
    for m, z in views.z.items():
        people, draws, latent = z.shape
        folds = min(folds, people)
        flat = z.reshape(people * draws, latent)
        person = np.repeat(np.arange(people), draws)
        shift = views.shift[m].reshape(people * draws, -1)
        flip = views.flip[m].reshape(people * draws, -1)
        crops = [_read(flat, column, person, folds) for column in shift.T]
        line = {"modality": m, "nuisance": "crop", "measure": "R2"}
        line |= {"value": np.mean(crops), "chance": 0.0}
        lines.append({**line, "share": explained_share(flat, shift)})
        if flip.any():
            aucs = [_read(flat, column, person, folds) for column in flip.T]
            line = {"modality": m, "nuisance": "flip", "measure": "AUC"}
            line |= {"value": np.mean(aucs), "chance": 0.5}
            lines.append({**line, "share": explained_share(flat, flip)})
        line = {"modality": m, "nuisance": "person", "measure": "top-1"}
        line |= {"value": recognised_people(z), "chance": 1 / people}
        lines.append({**line, "share": person_share(z)})
        for name, values in (traits or {}).items():
            values = np.repeat(np.asarray(values), draws)
            is_number = np.issubdtype(values.dtype, np.number)
            line = {"modality": m, "nuisance": name}
            line["measure"] = "R2" if is_number else "AUC"
            line["value"] = _read(flat, values, person, folds)
            line["chance"] = 0.0 if is_number else 0.5
            columns = values[:, None] if is_number else _one_hot(values)
            lines.append({**line, "share": explained_share(flat, columns)})
    return pd.DataFrame(lines)


def recognised_people(z: np.ndarray) -> float:
    """Share of views whose nearest view of another draw, among all people's,
    is of the same person: z (people, draws, latent).
    """
    people, draws, _ = z.shape
    hits = []
    for draw in range(draws):
        one, other = z[:, draw], z[:, (draw + 1) % draws]
        squares = (other**2).sum(1)[None] - 2 * one @ other.T
        hits.append(squares.argmin(1) == np.arange(people))
    return float(np.mean(hits))


def person_share(z: np.ndarray) -> float:
    """Share of the variance of z between people: the variance component of the
    person in a one-way analysis of variance, over all dimensions.

    z : (people, draws, latent)
    """
    draws = z.shape[1]
    within = z.var(1, ddof=1).mean(0).sum()
    between = z.mean(1).var(0, ddof=1).sum() - within / draws
    return float(max(between, 0.0) / (max(between, 0.0) + within))


def explained_share(z: np.ndarray, columns: np.ndarray) -> float:
    """Share of the total variance of z, (n, latent), that a linear regression
    on some columns, (n, k), explains, adjusted for their number.
    """
    z = z - z.mean(0)
    columns = np.asarray(columns, float)
    columns = columns - columns.mean(0)
    fitted, _, rank, _ = np.linalg.lstsq(columns, z, rcond=None)
    left = ((z - columns @ fitted) ** 2).sum() / (len(z) - 1 - rank)
    return float(1 - left / ((z**2).sum() / (len(z) - 1)))


@torch.no_grad()
def matching_table(
    encoders: Mapping[str, torch.nn.Module],
    inputs: Mapping[str, np.ndarray],
    recipe: PadCropFlip,
    batch_size: int = 16,
    draws: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """How often the two images of a person find each other in a batch.

    Each image of one modality is given to the image of the next whose z has
    the largest inner product with its own, the score of the objective RR.

    Parameters
    ----------
    encoders, inputs, seed
        As in `augmented_views`; two modalities or more, of which neighbours in
        their order are matched.
    recipe : PadCropFlip
        Drawn once for both ("same"), for each ("separate"), or not ("none").
    batch_size : int
        Candidates; people who fill no batch are left out.
    draws : int
        Times that people are cropped and dealt into batches anew.

    Returns
    -------
    DataFrame
        augmentation, accuracy, chance, people.

    Raises
    ------
    ValueError
        For fewer people than a batch, or one modality.
    """
    import pandas as pd

    modalities = list(encoders)
    people = len(inputs[modalities[0]])
    if len(modalities) < 2 or people < batch_size:
        raise ValueError(
            f"{people} people of {len(modalities)} modality(ies), expected at "
            f"least {batch_size} people of two"
        )
    volumes = {}
    for m in modalities:
        volumes[m] = torch.from_numpy(np.asarray(inputs[m], np.float32))
    recipes = {
        SAME: replace(recipe, shared=True),
        SEPARATE: replace(recipe, shared=False),
        NONE: Clean(),
    }
    batches = people // batch_size
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(people) for _ in range(draws)]
    lines = []
    for name, drawn in recipes.items():
        hits = []
        for draw, order in enumerate(orders):
            stream = Stream(torch.arange(people), seed, draw)
            moved = drawn(volumes, stream)
            z = {m: encoders[m].eval()(moved[m]).z for m in modalities}
            for rows in order[: batches * batch_size].reshape(batches, -1):
                hits.append(_matched(z, modalities, rows))
        lines.append(
            {
                "augmentation": name,
                "accuracy": float(np.mean(hits)),
                "chance": 1 / batch_size,
                "people": people,
            }
        )
    return pd.DataFrame(lines)


def _matched(z: Mapping, modalities: list[str], rows: np.ndarray) -> float:
    """Share of a batch that finds its partner in the next modality."""
    shares = []
    for one, other in zip(modalities, modalities[1:], strict=False):
        scores = z[one][rows] @ z[other][rows].T
        found = scores.argmax(1) == torch.arange(len(rows))
        shares.append(found.float().mean().item())
    return float(np.mean(shares))


def _read(
    z: np.ndarray, values: np.ndarray, person: np.ndarray, folds: int
) -> float:
    """R² of numbers, or ROC-AUC of classes, read from z in folds over
    people.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    is_number = np.issubdtype(values.dtype, np.number)
    targets = values[:, None] if is_number else _one_hot(values)
    reader = make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))
    read = cross_val_predict(
        reader,
        z,
        targets.astype(float),
        groups=person,
        cv=GroupKFold(folds),
    )
    read = read.reshape(targets.shape)
    if is_number:
        return float(r2_score(values, read[:, 0]))
    aucs = []
    for target, score in zip(targets.T, read.T, strict=True):
        aucs.append(roc_auc(target.astype(int), score))
    return float(np.mean(aucs))


def _one_hot(values: np.ndarray) -> np.ndarray:
    """(n, classes) bool; of two classes the second alone."""
    classes = np.unique(values)
    columns = values[:, None] == classes
    return columns[:, 1:] if len(classes) == 2 else columns
