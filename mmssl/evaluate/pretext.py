"""What frozen features know without being told: how an image is turned, and
where one patch lies beside another (003, table 1); and how well a contrast
with a queue holds for people whom nobody trained on.

The encoder is frozen and a linear layer reads z (logistic regression, as all
probes here are). Patches are cut from a plane of the first two axes, whole
along the third, and brought to the network's size; the paper's "14 × 14
patches" may be a grid or pixels, and leaves their size open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmssl.losses.preservation import queue_chance_level, queue_contrast
from mmssl.models.keyed_random import Stream
from mmssl.objectives.corruptions import (
    QUARTERS,
    Boxes,
    Turn,
    resized,
    turned,
)
from mmssl.objectives.preservation import MOMENTUM, ORDINARY
from mmssl.objectives.term import Batch, Context, View
from mmssl.objectives.views import PadCropFlip, make_views
from mmssl.stats.means import mean_interval

if TYPE_CHECKING:
    import pandas as pd

    from mmssl.objectives.language import Objective

ROTATION, POSITION = TASKS = ("rotation", "relative position")
NEIGHBOURS = (
    (-1, -1),
    (-1, 0),
    (-1, 1),
    (0, -1),
    (0, 1),
    (1, -1),
    (1, 0),
    (1, 1),
)
PATCHES = 5
"""Patches along a side, from which a centre and a neighbour are taken."""

_DIFFERENCE = ("difference", "difference_low", "difference_high")
_BATCH = 64
_PAIRS = 2  # of patches, a person
_C = 1.0  # of the logistic regression


class Examples(NamedTuple):
    """Features of several examples of every person, and their classes.

    z : (people, examples, features)
    classes : (people, examples)
    """

    z: np.ndarray
    classes: np.ndarray


def rotation_examples(encoder: nn.Module, images: np.ndarray) -> Examples:
    """Every image turned by 0, 90, 180 and 270 degrees in the plane of its
    first two axes, and by how many quarters.

    Parameters
    ----------
    encoder : Module
        Used in evaluation mode.
    images : array, shape (people, C, *sides)
        The first two sides equal.
    """
    axes = images.ndim - 2
    x = torch.from_numpy(np.asarray(images, np.float32))
    z = []
    for quarter in range(QUARTERS):
        turn = Turn(
            torch.zeros(len(x), axes, dtype=torch.bool),
            torch.full((len(x),), quarter),
        )
        z.append(_features(encoder, turned(x, turn)))
    classes = np.tile(np.arange(QUARTERS), (len(x), 1))
    return Examples(np.stack(z, 1), classes)


def position_examples(
    encoder: nn.Module, images: np.ndarray, seed: int = 0
) -> Examples:
    """Two patches of an image side by side, and in which of eight directions
    the second lies from the first.

    Parameters
    ----------
    encoder : Module
    images : array, shape (people, C, *sides)
    seed : int
        Of where the first patch lies, and in which direction the second.
    """
    x = torch.from_numpy(np.asarray(images, np.float32))
    stream = Stream(torch.arange(len(x)), seed, 0, POSITION)
    inner = PATCHES - 2
    places = 1 + stream.integers("places", inner, _PAIRS, 2)
    directions = stream.integers("directions", len(NEIGHBOURS), _PAIRS)
    steps = torch.tensor(NEIGHBOURS)[directions]
    z = []
    for pair in range(_PAIRS):
        first = places[:, pair]
        both = [
            _features(encoder, _patch(x, place))
            for place in (first, first + steps[:, pair])
        ]
        z.append(np.concatenate(both, 1))
    return Examples(np.stack(z, 1), directions.numpy())


def pretext_answers(
    models: Mapping[str, nn.Module],
    images: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    seed: int = 0,
) -> pd.DataFrame:
    """What linear layers on frozen features tell of people held out.

    Parameters
    ----------
    models : {name: encoder of one modality}
    images : array, shape (people, C, *sides)
    train, test : arrays of int
        Rows of ``images`` that the layers learn from, and others.
    seed : int
        Of the patches.

    Returns
    -------
    DataFrame
        One line per task, model and person: task, model, person (a number,
        the same in all tasks), right (share of the person's examples).
    """
    import pandas as pd

    tables = []
    for task in TASKS:
        for name, encoder in models.items():
            if task == ROTATION:
                examples = rotation_examples(encoder, images)
            else:
                examples = position_examples(encoder, images, seed)
            lines = {
                "task": task,
                "model": name,
                "person": np.arange(len(test)),
                "right": share_right(examples, train, test),
            }
            tables.append(pd.DataFrame(lines))
    return pd.concat(tables, ignore_index=True)


def pretext_table(
    answers: pd.DataFrame, baseline: str, seed: int = 0
) -> pd.DataFrame:
    """Accuracy of both tasks, per model.

    Parameters
    ----------
    answers : DataFrame
        Of `pretext_answers`.
    baseline : str
        The model that others are compared with, an untrained one.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        One line per task and model: task, model, baseline, accuracy (mean over
        people), low, high (BCa bootstrap over people, 95 %), chance,
        difference to the baseline on the same people with its interval
        (Student's t), people.
    """
    import pandas as pd

    lines = []
    for (task, name), one in answers.groupby(["task", "model"], sort=False):
        right = one.sort_values("person")["right"].to_numpy()
        of_baseline = answers.query("task == @task and model == @baseline")
        others = of_baseline.sort_values("person")["right"].to_numpy()
        line = {"task": task, "model": name, "baseline": name == baseline}
        line |= _interval("accuracy", right, seed)
        classes = QUARTERS if task == ROTATION else len(NEIGHBOURS)
        line["chance"] = 1 / classes
        compared = dict.fromkeys(_DIFFERENCE, np.nan)
        if name != baseline:
            compared = _paired(right, others)
        lines.append({**line, **compared, "people": len(right)})
    return pd.DataFrame(lines)


def share_right(
    examples: Examples, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Share of each person's examples that a linear layer tells, fitted on
    other people; (test,).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    width = examples.z.shape[-1]
    layer = make_pipeline(
        StandardScaler(), LogisticRegression(C=_C, max_iter=1000)
    )
    layer.fit(
        examples.z[train].reshape(-1, width), examples.classes[train].ravel()
    )
    told = layer.predict(examples.z[test].reshape(-1, width))
    right = told.reshape(len(test), -1) == examples.classes[test]
    return right.mean(1)


def target_examples(
    objective: Objective,
    inputs: Mapping[str, np.ndarray],
    m: str,
    seed: int = 0,
) -> Examples:
    """Features of PCRL's corrupted views, and by how many quarters the image
    to be reconstructed is turned: nothing of that may be read from them.

    Parameters
    ----------
    objective : Objective
    inputs : {modality: (people, C, *sides)}
    m : str
        Whose features.
    seed : int
    """
    z, classes = [], []
    for draw in range(_PAIRS):
        views = _views(objective, inputs, seed, draw)
        z.append(_features(objective.encoders[m], views[ORDINARY].volumes[m]))
        _, indicator = views[ORDINARY].targets[ORDINARY][m]
        classes.append(indicator[:, -QUARTERS:].argmax(1).numpy())
    return Examples(np.stack(z, 1), np.stack(classes, 1))


def contrast_table(
    objective: Objective,
    inputs: Mapping[str, np.ndarray],
    draws: int = 2,
    seed: int = 0,
) -> pd.DataFrame:
    """The contrast with the queue of people whom nobody trained on, and
    whether it knows them.

    A loss below that of equal scores may say only that features have moved on
    since those in the queue, or that two crops are of one place. So the loss
    is compared with that of keys of another person, in the same crop.

    Parameters
    ----------
    objective : Objective
        With the term PCRL, of `mmssl.pretrain.load_objective`.
    inputs : {modality: (people, C, *sides)}
        Of people held out, with every modality.
    draws : int
        Views a person.
    seed : int

    Returns
    -------
    DataFrame
        One line per pair of modalities: query, key, loss (nats, a mean over
        people), low, high (BCa bootstrap over people, 95 %), others (the loss
        of another person's key), difference (loss minus others, below 0 where
        people are known) with its interval (Student's t), chance (of equal
        scores), people.

    Raises
    ------
    ValueError
        For an objective without PCRL's contrast, or an empty queue.
    """
    import pandas as pd

    term = objective.terms["PCRL"] if "PCRL" in objective.terms else None
    if (
        term is None
        or not term.contrast
        or not len(term.queue(next(iter(inputs))))
    ):
        raise ValueError(
            f"{'-'.join(objective.terms)}: no contrast with a queue that is "
            "filled, expected PCRL"
        )
    losses: dict[tuple[str, str], list] = {}
    for draw in range(draws):
        own, others = (
            _contrast(objective, inputs, seed, draw, shift) for shift in (0, 1)
        )
        for pair, of_person in own.items():
            both = np.stack([of_person, others[pair]])
            losses.setdefault(pair, []).append(both)
    lines = []
    for (i, j), of_draw in losses.items():
        own, others = np.mean(of_draw, 0)
        line = {"query": i, "key": j, **_interval("loss", own, seed)}
        line["others"] = float(others.mean())
        line |= _paired(own, others)
        length = len(term.queue(j))
        line["chance"] = queue_chance_level(length, term.positive)
        lines.append({**line, "people": len(own)})
    return pd.DataFrame(lines)


def known_people(contrasts: pd.DataFrame) -> str:
    """Say in how many contrasts people are known, and not only places.

    Parameters
    ----------
    contrasts : DataFrame
        Of `contrast_table`, of one model or several.
    """
    total = len(contrasts)
    knows = int((contrasts["difference_high"] < 0).sum())
    of_own = (
        "for a person's own key than for another person's in the same crop"
    )
    if total == 1:
        line = contrasts.iloc[0]
        gap = (
            f"(difference {line['difference']:+.3f}, interval "
            f"{line['difference_low']:+.3f} to "
            f"{line['difference_high']:+.3f})"
        )
        if knows:
            return (
                f"In the one contrast the loss is lower {of_own} {gap}, a "
                "sign that people and not only places are known."
            )
        return (
            "In the one contrast the loss was not shown to be lower "
            f"{of_own} {gap}: nothing shows that people and not only places "
            "are known."
        )
    if not knows:
        return (
            f"In none of the {total} contrasts was the loss shown to be lower "
            f"{of_own}: nothing shows that people and not only places are "
            "known."
        )
    return (
        f"In **{knows}** of the {total} contrasts the loss is lower {of_own}, "
        "a sign that people and not only places are known."
    )


@torch.no_grad()
def _contrast(
    objective: Objective,
    inputs: Mapping[str, np.ndarray],
    seed: int,
    draw: int,
    shift: int,
) -> dict[tuple[str, str], np.ndarray]:
    """Loss of every person, whose key is of the person so many places on, in
    the crop of the person's own key: {(query, key): (people,)}.
    """
    term = objective.terms["PCRL"]
    people = torch.arange(len(next(iter(inputs.values()))))
    views = _views(objective, inputs, seed, draw)
    views[MOMENTUM] = _views(objective, inputs, seed, draw, shift)[MOMENTUM]
    rows = dict.fromkeys(inputs, people)
    labels = {m: {} for m in inputs}
    batch = Batch(views, rows, labels, draw, seed)
    projected = term.projections(Context(objective, batch))
    losses = {}
    for i, j in term.contrasted(tuple(inputs)):
        pairs = zip(
            projected[i][ORDINARY].split(1),
            projected[j][MOMENTUM].split(1),
            strict=True,
        )
        each = [
            queue_contrast(
                *pair, term.queue(j), term.temperature, term.positive
            )
            for pair in pairs
        ]
        losses[i, j] = torch.stack(each).numpy()
    return losses


def _views(
    objective, inputs, seed: int, draw: int, shift: int = 0
) -> dict[str, View]:
    """The views of an objective, of every person; or in the crops of each
    those of the person so many places on.
    """
    volumes = {}
    for m, x in inputs.items():
        volumes[m] = torch.from_numpy(np.asarray(x, np.float32))
    keys = torch.arange(len(next(iter(volumes.values()))))
    stream = Stream(keys, seed, draw, "pretext")
    rows = dict.fromkeys(volumes, keys.roll(-shift))
    return make_views(volumes, rows, objective.views, PadCropFlip(), stream)


def _patch(images: Tensor, place: Tensor) -> Tensor:
    """Patches at places of the grid, (people, 2), at the size of the
    images.
    """
    sides = torch.tensor(images.shape[2:], dtype=torch.float32)
    length = sides.repeat(len(images), 1)
    length[:, :2] = sides[:2] / PATCHES
    start = torch.zeros_like(length)
    start[:, :2] = place * length[:, :2]
    return resized(images, Boxes(start, length), images.shape[2:])


@torch.no_grad()
def _features(encoder: nn.Module, images: Tensor) -> np.ndarray:
    """z of images, in evaluation mode."""
    encoder.eval()
    parts = [encoder(part).z for part in images.split(_BATCH)]
    return torch.cat(parts).float().numpy()


def _interval(name: str, values: np.ndarray, seed: int) -> dict:
    """Columns of a mean over people."""
    found = mean_interval(values, seed=seed)
    return {name: found.estimate, "low": found.low, "high": found.high}


def _paired(values: np.ndarray, others: np.ndarray) -> dict:
    """Mean difference on the same people with its interval."""
    from scipy import stats

    gains = values - others
    low = high = gains.mean()
    if np.ptp(gains) > 0:
        low, high = stats.ttest_rel(values, others).confidence_interval()
    return dict(zip(_DIFFERENCE, (gains.mean(), low, high), strict=True))
