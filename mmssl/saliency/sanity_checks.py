r"""The saliency court: four ways in which a map of group differences can fail
to be evidence.

A map that follows anatomy convinces whoever looks at it. Before one is drawn
it answers four questions, each with a stated rule
(`mmssl.saliency.sanity_checks.judge`):

- **weights**: does it change when the encoder forgets (Adebayo et al. 2018,
  section 3.1)?
- **labels**: does it differ from, and exceed, maps of dimensions that a probe
  of permuted labels would have chosen? That paper trains on permuted labels;
  encoders that never saw a label cannot forget one, so here the probe alone is
  refitted.
- **random encoder**: does it differ from, and exceed, maps of untrained
  encoders made in the same way, the choice of dimensions included?
- **deletion**: does the probe lose its separation sooner when voxels are
  deleted in the order of the map of other people than in random order
  (`mmssl.saliency.deletion_curves`)?

"no" means that the test could have shown it and did not; "undecided", that it
had no chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from mmssl.evaluate import probes
from mmssl.groupmaps.mann_whitney import compare
from mmssl.ledger.artefacts import (
    POSITIVE_CONTROL,
    UNTRAINED,
    KEYS,
    CHECKS,
    CheckResult,
    SanityReport,
    map_hash,
)
from mmssl.preprocessing.network_inputs import standardised
from mmssl.pretrain.encoders import encode
from mmssl.saliency import dimensions
from mmssl.saliency.deletion_curves import deletion
from mmssl.saliency.parameter_randomisation import (
    map_cascade,
    map_correlation,
    randomised,
)
from mmssl.stats.permutation import (
    SMALLEST_GROUP,
    permutation_p,
    two_groups,
)

if TYPE_CHECKING:
    import pandas as pd


LEVEL = 0.05
ALIKE = 0.5
"""Two maps whose absolute correlation reaches this share a quarter of their
variance: alike.
"""


def judge(
    maps: Mapping,
    cascades: pd.DataFrame,
    rivals: pd.DataFrame,
    areas: pd.DataFrame,
    level: float = LEVEL,
) -> dict[tuple[str, str, str], SanityReport]:
    """A verdict on each map that was heard, by one rule a test.

    - weights: yes if the absolute correlation with the map of the encoder
      whose layers are all drawn anew is below `ALIKE`; undecided where no
      voxel survives, since noise changes too.
    - labels, random encoder: yes if the median absolute correlation with the
      rivals is below `ALIKE` and the map is stronger, p = (1 + #{rivals as
      strong}) / (1 + draws) <= level; undecided with fewer than 1 / level - 1
      draws, or where no coefficient chose the dimension.
    - deletion: yes if the interval of the area lies above 0; undecided where
      the interval of the probe's AUC on intact images holds .5, or people were
      too few.

    Parameters
    ----------
    maps : {(source, modality, sign): (rbc, corrected p)}, (X, Y, Z) each.
    cascades, rivals, areas : DataFrame
        Of `mmssl.saliency.parameter_randomisation.map_cascade`, `against` and
        `deletion`.

    Raises
    ------
    ValueError
        If a test of a map that another test has heard is missing.
    """
    last = cascades[cascades["layers"] == cascades["layers"].max()].set_index(
        list(KEYS)
    )
    found, beside, gone = {}, _by_map(rivals), _by_map(areas)
    for key in last.index:
        rows, area = beside.get(key, rivals[:0]), gone.get(key, areas[:0])
        if set(rows["test"]) != {"labels", "random encoder"} or len(area) != 1:
            raise ValueError(
                f"{key}: heard by {sorted({*rows['test']})} and {len(area)} "
                "deletions, expected labels, random encoder and one deletion"
            )
        rbc, p = maps[key]
        rulings = (
            _weights(last.loc[key, "correlation"], bool((p < level).any())),
            *(
                _rivals(rows[rows["test"] == test], level)
                for test in CHECKS[1:3]
            ),
            _deletion(area.iloc[0]),
        )
        found[key] = SanityReport(
            map_hash(rbc), dict(zip(CHECKS, rulings, strict=True))
        )
    return found


def table(verdicts: Mapping[tuple[str, str, str], SanityReport]) -> pd.DataFrame:
    """Answers of all tests, a row a map: source, modality, sign, the tests,
    verdict.
    """
    import pandas as pd

    lines = [
        (
            *key,
            *(v.results[t].answer if v.results else "–" for t in CHECKS),
            str(v),
        )
        for key, v in verdicts.items()
    ]
    return pd.DataFrame(lines, columns=[*KEYS, *CHECKS, "verdict"])


def _by_map(table: pd.DataFrame) -> dict[tuple, pd.DataFrame]:
    return dict(list(table.groupby(list(KEYS), sort=False)))


def _weights(r: float, survives: bool) -> CheckResult:
    said = f"r = {r:.2f} with the map of random weights"
    if not survives or np.isnan(r):
        return CheckResult(
            "undecided", said + ("; no voxel survives" if not survives else "")
        )
    return CheckResult("yes" if abs(r) < ALIKE else "no", said)


def _rivals(rows: pd.DataFrame, level: float) -> CheckResult:
    p = permutation_p(rows["own"].iloc[0], rows["strength"])
    alike = float(rows["correlation"].abs().median())
    said = f"p = {p:.3f} of {len(rows)} draws, median |r| = {alike:.2f}"
    if 1 / (1 + len(rows)) > level or np.isnan(alike):
        return CheckResult("undecided", said)
    return CheckResult("yes" if p <= level and alike < ALIKE else "no", said)


def _deletion(area: pd.Series) -> CheckResult:
    if np.isnan(area["area"]):
        return CheckResult(
            "undecided", "too few people to delete by the map of others"
        )
    said = (
        f"area {area['area']:.3f} [{area['low']:.3f}, {area['high']:.3f}], intact AUC "
        f"{area['intact']:.2f}"
    )
    if area["intact_low"] <= 0.5:
        return CheckResult("undecided", said + ", whose interval holds 0.5")
    return CheckResult("yes" if area["low"] > 0 else "no", said)


Rivals = Mapping[tuple[str, str], np.ndarray]
"""Maps that others might have got, {(modality, sign): (draws, voxels)}."""


class Hearing(NamedTuple):
    """What the tests measured, for `mmssl.saliency.sanity_checks.judge` and
    the figures.

    cascade : of `mmssl.saliency.parameter_randomisation.map_cascade`.
    rivals : of `against`, for labels and for the random encoder.
    curves, areas : of `deletion`.
    """

    cascade: pd.DataFrame
    rivals: pd.DataFrame
    curves: pd.DataFrame
    areas: pd.DataFrame


def hear(
    sources: Sequence[str],
    picks: pd.DataFrame,
    encoders: Mapping,
    fits: Mapping,
    learned: Mapping,
    learned_labels,
    seen: Mapping,
    labels,
    subjects,
    mask,
    *,
    rivals: int = 19,
    people: int = 0,
    steps: int = 4,
    naive: str,
    seed: int = 0,
    **options,
) -> Hearing:
    """All four tests of the maps of several sources.

    Rivals are compared before a `panel` and, as the map on trial there, made
    of one noisy copy: with SmoothGrad's little noise, maps of groups from one
    and from five copies correlate by more than .95 in the simulated cohort.

    Parameters
    ----------
    sources : sequence of str
        Whose maps are heard.
    picks, encoders : as in `mmssl.saliency.dimensions.compare`.
    fits : {source: {modality: LogisticFit}}, of
        `mmssl.saliency.dimensions.fit`.
    learned, seen : {modality: (n, C, X, Y, Z)}, images of training and of
        mapped people.
    learned_labels, labels, subjects : array-like, shape (n,), of training,
        mapped, mapped people.
    mask : array of bool, shape (X, Y, Z)
    rivals, people, steps : int
        Draws of each of two tests, size of the panel, steps of deletion.
    naive : str
        The source that is an untrained encoder; its probe's penalty serves all
        untrained ones.
    **options
        Of `mmssl.saliency.dimensions.subject_maps` without samples.
    """
    import pandas as pd

    rows = panel(labels, people)
    one = options | {"samples": 1, "seed": seed}
    few, theirs = (
        {m: x[rows] for m, x in seen.items()},
        np.asarray(labels)[rows],
    )
    before, tables = (few, theirs, mask), []
    mean = {m: x.mean(axis=0) for m, x in learned.items()}
    untaught = untrained(
        encoders[sources[0]],
        fits[naive],
        learned,
        learned_labels,
        *before,
        rivals,
        **one,
    )
    for source in sources:
        own, of, fit = (
            picks[picks["source"] == source],
            encoders[source],
            fits[source],
        )
        codes = encode(of, learned)
        values = dimensions.subject_maps(of, seen, own, mask, **one)
        effects = dimensions.effects(values[rows], theirs)
        relabels = relabelled(
            of, fit, codes, learned_labels, *before, rivals, **one
        )
        beside = [
            against(effects, own, others, test)
            for test, others in zip(
                CHECKS[1:3], (relabels, untaught), strict=True
            )
        ]
        forgotten = map_cascade(of, effects, few, theirs, own, mask, **one)
        gone = deletion(
            of,
            fit,
            seen,
            labels,
            subjects,
            values,
            own,
            mask,
            mean,
            steps=steps,
            seed=seed,
        )
        tables.append((forgotten, pd.concat(beside), *gone))
    return Hearing(
        *(
            pd.concat(found, ignore_index=True)
            for found in zip(*tables, strict=True)
        )
    )


def panel(labels, people: int = 0) -> np.ndarray:
    """Rows of the people in front of whom maps are compared, half of each
    group.

    Parameters
    ----------
    labels : array-like, shape (n,)
        Two-valued.
    people : int
        The first ``people // 2`` of each group, or all that the smaller one
        has; 0: everybody.
    """
    group = two_groups(labels, len(labels))
    if not people:
        return np.arange(len(group))
    each = max(SMALLEST_GROUP, min(people // 2, group.sum(), (~group).sum()))
    return np.sort(
        np.concatenate(
            [np.flatnonzero(side)[:each] for side in (group, ~group)]
        )
    )


def relabelled(
    encoders: Mapping,
    fits: Mapping,
    z: Mapping,
    learned_labels,
    volumes: Mapping,
    labels,
    mask,
    draws: int = 19,
    *,
    seed: int = 0,
    **options,
) -> Rivals:
    """Group maps of the dimensions that probes of permuted training labels
    choose.

    Each draw permutes the labels of the training people, refits the probe at
    its tuned penalty and takes the extreme coefficients; groups of the mapped
    people keep their true labels. A dimension chosen twice is mapped once.
    With the training labels exchangeable, the map of the true choice is one
    more draw, but for the penalty: it was tuned on the true labels, and a draw
    for which it leaves no coefficient takes the first dimension. On labels
    without meaning that errs on the safe side.

    Parameters
    ----------
    encoders, fits, z : {modality: Module}, {modality: LogisticFit}, {modality:
        (people, latent)}
        Of one source; z and ``learned_labels`` (people,) of the training
        people.
    volumes, labels, mask, **options
        As in `mmssl.saliency.dimensions.group_differences`.
    """
    import pandas as pd

    rng, rivals = np.random.default_rng(seed), {}
    orders = [rng.permutation(learned_labels) for _ in range(draws)]
    for m, fit in fits.items():
        chosen = [
            dimensions.extremes(refit(fit, z[m], order)) for order in orders
        ]
        distinct = pd.DataFrame(
            {"modality": m, "dimension": np.unique(chosen)}
        )
        maps = dimensions.group_differences(
            encoders, volumes, labels, distinct, mask, seed=seed, **options
        )
        by = dict(zip(distinct["dimension"], maps, strict=True))
        rivals |= {
            (m, sign): np.array([by[d[i]] for d in chosen])
            for i, sign in enumerate(dimensions.SIGNS)
        }
    return rivals


def untrained(
    like: Mapping,
    fits: Mapping,
    learned: Mapping,
    learned_labels,
    volumes: Mapping,
    labels,
    mask,
    draws: int = 19,
    *,
    seed: int = 0,
    progress: bool = True,
    **options,
) -> Rivals:
    """Group maps of several untrained encoders, each with a probe that chose
    its dimensions.

    Parameters
    ----------
    like, fits : {modality: Module} and {modality: LogisticFit}
        Encoders of the shape in question, whose weights are all drawn anew;
        probes, whose penalty is used again.
    learned : {modality: (people, C, X, Y, Z)}
        Of the training people, whose ``learned_labels`` the probes learn.
    volumes, labels, mask, **options
        As in `mmssl.saliency.dimensions.group_differences`.
    """
    import pandas as pd

    maps = []
    for draw in tqdm(
        range(draws),
        desc="untrained encoders",
        leave=False,
        disable=not progress,
    ):
        encoders = {
            m: randomised(e, seed=seed + 1 + draw) for m, e in like.items()
        }
        z = encode(encoders, learned)
        pairs = [
            (m, k)
            for m, fit in fits.items()
            for k in dimensions.extremes(refit(fit, z[m], learned_labels))
        ]
        picks = pd.DataFrame(pairs, columns=["modality", "dimension"])
        maps.append(
            dimensions.group_differences(
                encoders, volumes, labels, picks, mask, seed=seed, **options
            )
        )
    keys = [(m, sign) for m in fits for sign in dimensions.SIGNS]
    return {
        key: np.array([drawn[i] for drawn in maps])
        for i, key in enumerate(keys)
    }


def refit(fit: probes.LogisticFit, z, labels):
    """A probe of the same penalty, fitted on other codes or labels: a
    Pipeline.
    """
    from sklearn.base import clone

    return probes.fitted(
        clone(fit.pipeline),
        np.asarray(z, dtype=np.float32),
        np.asarray(labels),
    )


def against(
    rbc, picks: pd.DataFrame, rivals: Rivals, test: str
) -> pd.DataFrame:
    """A map beside its rivals: how alike they are, and how strong.

    Parameters
    ----------
    rbc : array, shape (picks, voxels)
        Of the same people and voxels as the rivals'.
    picks : DataFrame
        source, modality, sign, beta: which maps.
    test : str
        Name of the test.

    Returns
    -------
    DataFrame
        source, modality, sign, test, draw, ``correlation`` over voxels
        (Pearson; NaN where one of them is constant, or no coefficient chose
        the dimension), ``strength``, the largest absolute effect of the rival,
        and ``own``, that of the map.

    Raises
    ------
    ValueError
        For other shapes, or a map with a value that is not finite.
    """
    import pandas as pd

    rbc, lines = np.asarray(rbc, dtype=np.float64), []
    if rbc.ndim != 2 or len(rbc) != len(picks) or not np.isfinite(rbc).all():
        raise ValueError(
            f"rbc: shape {rbc.shape}, {int((~np.isfinite(rbc)).sum())} values not "
            f"finite, expected finite ({len(picks)}, voxels) as there are picks"
        )
    keys = picks[list(KEYS)].itertuples(index=False, name=None)
    for own, key, empty in zip(
        rbc, keys, dimensions.unchosen(picks), strict=True
    ):
        others = np.asarray(rivals[key[1:]])
        if others.ndim != 2 or others.shape[1:] != own.shape:
            raise ValueError(
                f"rivals {key[1:]}: shape {others.shape}, expected (draws, "
                f"{len(own)})"
            )
        lines += [
            (
                *key,
                test,
                draw,
                np.nan if empty else map_correlation(own, other),
                np.abs(other).max(),
                np.abs(own).max(),
            )
            for draw, other in enumerate(others)
        ]
    return pd.DataFrame(
        lines,
        columns=[*KEYS, "test", "draw", "correlation", "strength", "own"],
    )


def exhibits(
    picks: pd.DataFrame, maps: Mapping, verdicts: Mapping
) -> dict[str, dict[str, tuple]]:
    """Maps as `mmssl.plotting.group_differences.group_maps` draws them, a line
    for each source and modality.

    Parameters
    ----------
    picks : DataFrame
        source, modality, sign, dimension, beta: which maps.
    maps, verdicts : {(source, modality, sign): (rbc, corrected p)} and {the
        same: SanityReport}
    """
    lines = {}
    for pick in picks.itertuples():
        key = pick.source, pick.modality, pick.sign
        title = f"{pick.sign} β {pick.beta:.2g} (dimension {pick.dimension})"
        lines.setdefault(", ".join(key[:2]), {})[title] = (
            *maps[key],
            verdicts[key],
        )
    return lines


def control(
    cohort, landmarks: Mapping, rows, permutations: int = 10_000, seed: int = 0
) -> tuple[dict, dict[tuple[str, str, str], SanityReport]]:
    """The positive control: the test of `mmssl.groupmaps.mann_whitney.compare`
    on the images themselves.

    No encoder is on trial, so that the verdict says nothing else; and because
    this function reads the images from the cohort and makes both, no other map
    can get that verdict.

    Returns
    -------
    maps : {("voxels", modality, "voxels"): (rbc, corrected p)}, (X, Y, Z)
        each.
    verdicts : {the same: SanityReport}
    """
    images = standardised(cohort, landmarks, np.float32, rows)
    values = np.stack(
        [x[:, 0][:, cohort.mask] for x in images.values()], axis=1
    )
    found = compare(values, cohort.labels()[rows], permutations, seed)
    maps = dict(
        zip(
            [("voxels", m, "voxels") for m in images],
            found.volumes(cohort.mask),
            strict=True,
        )
    )
    return maps, {
        key: SanityReport(map_hash(rbc), {}, POSITIVE_CONTROL) for key, (rbc, _) in maps.items()
    }


def baseline(
    source: str, maps: Mapping, encoders: Mapping, like: Mapping, seed: int = 0
) -> dict[tuple[str, str, str], SanityReport]:
    """Verdicts on the maps of an untrained encoder, which none of the tests
    can ask anything.

    Parameters
    ----------
    source : str
        Which of the maps are its own.
    maps : {(source, modality, sign): (rbc, corrected p)}, (X, Y, Z) each.
    encoders, like : {modality: Module}
        Those of the maps, and what
        `mmssl.saliency.parameter_randomisation.randomised` made them of with
        the ``seed``.

    Raises
    ------
    ValueError
        If any weight of the encoders is not the one drawn.
    """
    for m, encoder in encoders.items():
        drawn = randomised(like[m], seed=seed).state_dict()
        if learned := [
            k for k, x in encoder.state_dict().items() if not x.equal(drawn[k])
        ]:
            raise ValueError(
                f"{m}: {learned[0]} is not as seed {seed} draws it; an encoder that "
                "may have learned something is judged, not exempt"
            )
    return {
        key: SanityReport(map_hash(rbc), {}, UNTRAINED)
        for key, (rbc, _) in maps.items()
        if key[0] == source
    }
