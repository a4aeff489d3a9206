r"""What the similarity of two modalities says of people: intervals, groups of
unequal size, tables.

Built on `mmssl.similarity.measures`. Rows must be independent: one pair of
scans of each person. Two traps are stepped around. A bootstrap draws people
twice, both codes agree on the copies, and the resampled similarity lies above
the estimate itself; intervals here leave people out instead. And a smaller
group always seems more alike, so groups are compared at one size (`matched`)
and tested against labels permuted with both sizes kept (`group_test`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student
from tqdm.auto import tqdm

from mmssl.similarity.measures import (
    BIASED,
    MEASURES,
    checked,
    decomposed,
    measures,
    over_orders,
)
from mmssl.stats.auc import Interval
from mmssl.stats.permutation import p_value

if TYPE_CHECKING:
    import pandas as pd


def chance(
    n: int,
    d1: int,
    d2: int | None = None,
    draws: int = 20,
    seed: int = 0,
    threshold: float = 0.99,
) -> dict[str, float]:
    """What the measures say of independent isotropic Gaussian codes: the mean
    of `draws` draws.

    Parameters
    ----------
    n, d1, d2 : int
        People and dimensions of either side; d2 is d1 where it is not given.
    draws, seed : int
        Of the Monte Carlo. Debiased CKA is 0 in expectation and reported as 0.
    threshold : float
        Of SVCCA.
    """
    if n < 4 or d1 < 1:
        raise ValueError(
            f"chance of n={n} people and d={d1}: expected at least 4 and 1"
        )
    return dict(_chance(n, d1, d2 or d1, draws, seed, threshold))


def shuffled(
    x, y, permutations: int = 200, seed: int = 0, threshold: float = 0.99
) -> dict[str, np.ndarray]:
    """The measures after the people of y are shuffled: {measure:
    (permutations,)}.

    Centring, norms and bases do not change when rows are permuted, so a
    permutation costs a gather and the decomposition of a d1 by d2 matrix.
    CKA's mean over all permutations is known, sum(s_x^2) sum(s_y^2) / ((n - 1)
    |s_x^2| |s_y^2|) with s the singular values (Kazi-Aoual et al. 1995): the
    fewer people for the dimensions in use, the higher. Parameters and errors
    as `cka`.
    """
    a, b = decomposed(x, y, threshold, fewest=4)
    return over_orders(a, b, _orders(len(b.basis), permutations, seed))


@cache
def _chance(
    n: int, d1: int, d2: int, draws: int, seed: int, threshold: float
) -> tuple:
    rng = _generator(seed, n, d1, d2)
    found = [
        measures(rng.normal(size=(n, d1)), rng.normal(size=(n, d2)), threshold)
        for _ in range(draws)
    ]
    means = {
        name: float(np.mean([values[name] for values in found]))
        for name in BIASED
    }
    return tuple((means | {"debiased CKA": 0.0}).items())


def _generator(*key: int) -> np.random.Generator:
    """Random numbers that depend on the key alone: what is compared shares
    them.
    """
    return np.random.default_rng(key)


def _orders(n: int, permutations: int, seed: int) -> list[np.ndarray]:
    if permutations < 1:
        raise ValueError(f"permutations={permutations}, expected at least 1")
    rng = _generator(seed, n)
    return [rng.permutation(n) for _ in range(permutations)]


FEWEST = 5
"""People an interval or a group asks for: debiased CKA needs four after one is
left out.
"""


def intervals(
    x,
    y,
    blocks: int = 20,
    level: float = 0.95,
    seed: int = 0,
    threshold: float = 0.99,
) -> dict[str, Interval]:
    r"""How far the measures would move with other people: a delete-d jackknife
    (Shao & Wu 1989).

    A random partition into B blocks of :math:`d = \lfloor n / B \rfloor`
    people; each block is left out once, and with :math:`S^2` the variance of
    the B values,

    .. math:: \mathrm{SE}^2 = \frac{(n - d)^2}{d\,n} S^2, \qquad
        \hat\theta \pm t_{B-1} \mathrm{SE}.

    Every value is taken at the same n - d, so the bias of a small sample is
    the same in all and does not widen the interval. It is not removed either:
    the interval of a biased measure speaks of its value **at this n**, to be
    held against its chance level; that of debiased CKA speaks of the
    population. In simulation 95 % intervals cover in 96 to 100 %: the
    jackknife's variance is too large rather than too small (Efron & Stein
    1981), up to twice the true SE for CCA at n = 2d.

    Parameters
    ----------
    x, y : array-like, shape (n, d1), (n, d2)
    blocks : int
        B; n where there are fewer people.
    level : float
    seed : int
        Of the partition.

    Returns
    -------
    {measure: Interval}
        Ends at 1; those of biased measures also at 0. Of no width where the
        value cannot move, as CCA with n - 1 <= d; NaN where it could only with
        more people than are left.

    Raises
    ------
    ValueError
        As `mmssl.similarity.measures.cka`; also fewer than 5 people or 2
        blocks.
    """
    x, y = checked(x, y, fewest=FEWEST)
    n, blocks = len(x), min(blocks, len(x))
    if blocks < 2 or not 0 < level < 1:
        raise ValueError(
            f"blocks={blocks}, level={level}: expected at least 2 and in (0, 1)"
        )
    order, d = np.random.default_rng((seed, n)).permutation(n), n // blocks
    left_out = order[: blocks * d].reshape(blocks, d)
    values = _subsets(
        x, y, (np.setdiff1d(order, out) for out in left_out), threshold
    )
    reach = student.ppf(0.5 + level / 2, blocks - 1) * (n - d) / np.sqrt(d * n)
    found = {}
    for name, estimate in measures(x, y, threshold).items():
        half = reach * float(values[name].std(ddof=1))
        # fixed at n - d people, but not at n
        if half < 1e-9 < abs(values[name][0] - estimate):
            half = np.nan
        ends = np.clip(
            (estimate - half, estimate + half), 0 if name in BIASED else -1, 1
        ).tolist()
        found[name] = Interval(estimate, *ends, level, "delete-d jackknife")
    return found


def matched(
    x, y, people: int, draws: int = 100, seed: int = 0, threshold: float = 0.99
) -> dict[str, np.ndarray]:
    """The measures on random subsets of `people` rows, nobody twice: {measure:
    (draws,)}.

    What a group would show if it had only as many people as a smaller one.

    Raises
    ------
    ValueError
        As `mmssl.similarity.measures.cka`; also `people` below 4 or above the
        number of rows.
    """
    x, y = checked(x, y, fewest=4)
    if not 4 <= people <= len(x):
        raise ValueError(
            f"people={people}, expected 4 to {len(x)}, the rows of x"
        )
    rng = np.random.default_rng((seed, len(x), people))
    rows = (rng.permutation(len(x))[:people] for _ in range(draws))
    return _subsets(x, y, rows, threshold)


def group_test(
    x,
    y,
    labels,
    permutations: int = 200,
    seed: int = 0,
    threshold: float = 0.99,
) -> pd.DataFrame:
    """Is the similarity of group 1 another than that of group 0? With and
    without matched sizes.

    Labels are permuted with both group sizes kept, so that a difference due to
    the sizes alone is in the null: that the codes of both groups have one
    distribution, but for their place and their spread. A group that lies
    elsewhere or varies more is no group whose modalities agree otherwise, so
    each group's mean and scale are removed first, in such a way that people
    stay exchangeable, which costs the test one of each group
    (`_exchangeable`). Groups that vary in *other directions* are told apart
    too, whatever their modalities share.

    Parameters
    ----------
    x, y : array-like, shape (n, d1), (n, d2)
    labels : array-like, shape (n,)
        0 or 1, at least 5 rows each.
    permutations, seed : int
        Also the number of subsets behind the matched columns, and who stands
        back in the test.

    Returns
    -------
    DataFrame
        A line per measure: first, second (groups 0 and 1); difference, second
        minus first without one person of each; null_difference and null_sd,
        its mean and standard deviation under permuted labels; p, two-sided
        around that mean; matched_first, matched_second (the larger group's
        mean at the smaller one's size), matched_difference.

    Raises
    ------
    ValueError
        As `mmssl.similarity.measures.cka`; also labels of another shape, other
        labels, a group below 5.
    """
    import pandas as pd

    x, y = checked(x, y)
    groups = _two_groups(labels, len(x))
    smaller = min(map(len, groups))
    whole = [measures(x[g], y[g], threshold) for g in groups]
    at_one_size = [
        own
        if len(g) == smaller
        else {
            name: values.mean()
            for name, values in matched(
                x[g], y[g], smaller, permutations, seed, threshold
            ).items()
        }
        for g, own in zip(groups, whole, strict=True)
    ]
    rng = np.random.default_rng((seed, len(x)))
    groups = [rng.permutation(g) for g in groups]
    x, y = _exchangeable(x, groups), _exchangeable(y, groups)
    orders = [
        np.arange(len(x)),
        *(rng.permutation(len(x)) for _ in range(permutations)),
    ]
    cut = len(groups[0]) - 1
    first = _subsets(x, y, (order[:cut] for order in orders), threshold)
    second = _subsets(x, y, (order[cut:] for order in orders), threshold)
    lines = []
    for name in MEASURES:
        # of the groups as they are, then permuted
        differences = second[name] - first[name]
        # centred with the observed one: each of them could have been it
        distance = abs(differences - differences.mean())
        lines.append(
            {
                "measure": name,
                "first": whole[0][name],
                "second": whole[1][name],
                "difference": differences[0],
                "null_difference": differences[1:].mean(),
                "null_sd": differences[1:].std(ddof=1),
                "p": p_value(distance[0], distance[1:]),
                "matched_first": at_one_size[0][name],
                "matched_second": at_one_size[1][name],
                "matched_difference": at_one_size[1][name]
                - at_one_size[0][name],
            }
        )
    return pd.DataFrame(lines)


def related(
    n: int, d: int = 64, shared: float = 0.5, rank: int = 8, rng=None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw n people with two Gaussian codes that share `rank` factors: the
    truth of a simulation.

    Dimensions 1 to `rank` of both codes are the same factors in noise,
    `shared` of their variance; all others are independent. In the population
    there are `rank` canonical correlations, all equal to `shared`, so that one
    code explains its square of the other; the rest are 0.

    Parameters
    ----------
    n, d, rank : int
    shared : float
        In [0, 1].
    rng : None, int or Generator

    Returns
    -------
    x, y : arrays, shape (n, d)
    """
    if not (0 <= shared <= 1 and 1 <= rank <= d):
        raise ValueError(
            f"shared={shared}, rank={rank}: expected in [0, 1] and in 1 to d={d}"
        )
    rng = np.random.default_rng(rng)
    factors = np.zeros((n, d))
    factors[:, :rank] = np.sqrt(shared) * rng.normal(size=(n, rank))
    noise = np.ones(d)
    noise[:rank] = np.sqrt(1 - shared)
    return tuple(factors + noise * rng.normal(size=(n, d)) for _ in range(2))


def no_difference(
    studies: int = 20,
    sizes: tuple[int, int] = (66, 22),
    d: int = 64,
    shared: float = 0.7,
    permutations: int = 99,
    seed: int = 0,
) -> pd.DataFrame:
    """`group_test` in simulated studies whose two groups come from one
    population (`related`).

    An eighth of the dimensions is shared, and any difference found is an
    error. Columns: those of `group_test`, and study.
    """
    import pandas as pd

    labels, lines = np.repeat((0, 1), sizes), []
    for study in tqdm(range(studies), desc="simulated studies"):
        x, y = related(
            len(labels), d, shared, max(1, d // 8), rng=(seed, study)
        )
        lines.append(
            group_test(x, y, labels, permutations, seed).assign(study=study)
        )
    return pd.concat(lines, ignore_index=True)


def table(
    cohort,
    embeddings: Mapping[str, Mapping[str, np.ndarray]],
    fold: int = 0,
    permutations: int = 200,
    blocks: int = 20,
    seed: int = 0,
    threshold: float = 0.99,
) -> pd.DataFrame:
    """Similarity of every two modalities, for every run, role, group and
    measure.

    Parameters
    ----------
    cohort : Cohort
    embeddings : {row: {modality: (pairs, latent)}}
        In cohort order, as `mmssl.pretrain.encoders.embed` returns them.
    fold : int
    permutations, blocks, seed, threshold
        Of `mmssl.similarity.inference.shuffled`, `intervals` and
        `mmssl.similarity.measures.svcca`.

    Returns
    -------
    DataFrame
        row, pair, role ("train", "holdout"), group ("all" and the classes of
        the first task), measure, estimate, low, high, chance, shuffle_mean,
        shuffle_95, p, n, d (the smaller side). NaN where a group has fewer
        than 5 people or a code has collapsed to one point.
    """
    import pandas as pd

    cells = [
        (row, pair, role, group, rows)
        for row, codes in embeddings.items()
        for pair in _pairs(cohort, codes)
        for role in ("train", "holdout")
        for group, rows in _groups(cohort, role, fold).items()
    ]
    lines = []
    for row, pair, role, group, rows in tqdm(
        cells, desc="similarity", unit="cell"
    ):
        x, y = (np.asarray(embeddings[row][m])[rows] for m in pair)
        cell = {
            "model": row,
            "pair": "–".join(pair),
            "role": role,
            "group": group,
        }
        size = {"n": len(rows), "d": min(x.shape[1], y.shape[1])}
        if len(rows) < FEWEST or _collapsed(x) or _collapsed(y):
            lines += [cell | {"measure": name} | size for name in MEASURES]
            continue
        sure = intervals(x, y, blocks, seed=seed, threshold=threshold)
        null = shuffled(x, y, permutations, seed, threshold)
        level = chance(
            len(rows), x.shape[1], y.shape[1], seed=seed, threshold=threshold
        )
        lines += [
            cell
            | {
                "measure": name,
                "estimate": sure[name].estimate,
                "low": sure[name].low,
                "high": sure[name].high,
                "chance": level[name],
                "shuffle_mean": null[name].mean(),
                "shuffle_95": np.quantile(null[name], 0.95),
                "p": p_value(sure[name].estimate, null[name]),
                **size,
            }
            for name in MEASURES
        ]
    columns = [
        "model",
        "pair",
        "role",
        "group",
        "measure",
        "estimate",
        "low",
        "high",
        "chance",
        "shuffle_mean",
        "shuffle_95",
        "p",
        "n",
        "d",
    ]
    return pd.DataFrame(lines, columns=columns)


def group_table(
    cohort,
    embeddings: Mapping[str, Mapping[str, np.ndarray]],
    role: str = "holdout",
    fold: int = 0,
    permutations: int = 200,
    seed: int = 0,
    threshold: float = 0.99,
) -> pd.DataFrame:
    """`group_test` of the cohort's two classes, for every run and two
    modalities, in one role.

    Columns row, pair, role, n_first, n_second (people) and those of
    `group_test`; a run that has collapsed to one point has no line.

    Raises
    ------
    ValueError
        For a task of other than two classes, or fewer than 5 people in one.
    """
    import pandas as pd

    rows = cohort.downstream(cohort.rows(role, fold))
    labels = cohort.labels()[rows]
    counts = [len(group) for group in _two_groups(labels, len(rows))]
    parts = []
    for row, codes in tqdm(embeddings.items(), desc="groups", unit="run"):
        for pair in _pairs(cohort, codes):
            x, y = (np.asarray(codes[m])[rows] for m in pair)
            if _collapsed(x) or _collapsed(y):
                continue
            found = group_test(x, y, labels, permutations, seed, threshold)
            about = [row, "–".join(pair), role, *counts]
            for place, column in enumerate(
                ["model", "pair", "role", "n_first", "n_second"]
            ):
                found.insert(place, column, about[place])
            parts.append(found)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _subsets(
    x, y, subsets: Iterable, threshold: float
) -> dict[str, np.ndarray]:
    """All measures on each subset of the rows."""
    found = [measures(x[rows], y[rows], threshold) for rows in subsets]
    return {
        name: np.array([values[name] for values in found]) for name in MEASURES
    }


def _exchangeable(z: np.ndarray, groups: Iterable[np.ndarray]) -> np.ndarray:
    r"""Rows of each group but its first, free of the group's mean and scale:
    (n - groups, d).

    People without their own mean :math:`r_i` sum to 0, so they are no longer
    exchangeable with those of another group, and rank-sensitive measures
    notice (Winkler et al. 2020, on CCA). Theil's residuals (1965),

    .. math:: c_i = r_i - \frac{\sqrt{n} - 1}{n - 1}\, r_1, \qquad i = 2 \dots n,

    have the covariance of people again: who is left out lends the mean its
    noise. Each group's are divided by their root mean square, as the measures
    are deaf to scale but a mixture of two scales is not a group of either.
    """
    rows = []
    for g in groups:
        residuals, n = z[g] - z[g].mean(axis=0), len(g)
        left = residuals[1:] - (np.sqrt(n) - 1) / (n - 1) * residuals[0]
        rows.append(
            left / max(np.sqrt((left**2).mean()), np.finfo(left.dtype).tiny)
        )
    return np.concatenate(rows)


def _two_groups(labels, n: int) -> list[np.ndarray]:
    labels = np.asarray(labels)
    if labels.shape != (n,) or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"labels: shape {labels.shape} with values {np.unique(labels).tolist()}, "
            f"expected ({n},) of 0 and 1"
        )
    groups = [np.flatnonzero(labels == k) for k in (0, 1)]
    if min(map(len, groups)) < FEWEST:
        raise ValueError(
            f"groups of {len(groups[0])} and {len(groups[1])} people, "
            f"expected at least {FEWEST} in each"
        )
    return groups


def _collapsed(z: np.ndarray) -> bool:
    return bool((z == z[:1]).all())


def _pairs(cohort, codes: Mapping) -> list[tuple[str, str]]:
    return list(combinations([m for m in cohort.modalities if m in codes], 2))


def _groups(cohort, role: str, fold: int) -> dict[str, np.ndarray]:
    """Rows of one role, one pair of each labelled person: all, and each
    class.
    """
    rows = cohort.downstream(cohort.rows(role, fold))
    labels = cohort.labels()[rows]
    classes = next(iter(cohort.tasks.values()))["classes"]
    return {"all": rows} | {
        str(name): rows[labels == k] for k, name in enumerate(classes)
    }
