r"""Sanity checks: four ways in which a map of group differences can fail to be
evidence.

A map that follows anatomy looks convincing whatever made it. Before one is
drawn it is checked in four ways, each with a stated rule
(`mmssl.saliency.sanity_checks.sanity_reports`):

- **weights**: does it change when the weights of the encoder are drawn anew
  (Adebayo et al. 2018, section 3.1)?
- **labels**: does it differ from, and exceed, maps of dimensions that a probe
  of permuted labels would have chosen? That paper trains on permuted labels;
  an encoder that never saw a label has nothing to lose by that, so here only
  the probe is fitted again.
- **random encoder**: does it differ from, and exceed, maps of untrained
  encoders made in the same way, the choice of dimensions included?
- **deletion**: does the probe lose its separation sooner when voxels are
  deleted in the order of the map of other people than in random order
  (`mmssl.saliency.deletion_curves`)?

"no" means that the check could have been passed and was not; "undecided", that
it could not have been passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from mmssl.evaluate import probes
from mmssl.groupmaps.mann_whitney import compare
from mmssl.groupmaps.spearman import correlate
from mmssl.ledger.artefacts import (
    CHECKS,
    KEYS,
    POSITIVE_CONTROL,
    UNTRAINED,
    CheckResult,
    SanityReport,
    map_hash,
)
from mmssl.preprocessing.network_inputs import standardised
from mmssl.pretrain.encoders import encode
from mmssl.saliency import dimensions
from mmssl.saliency.deletion_curves import measure_deletion
from mmssl.saliency.parameter_randomisation import (
    group_map_correlations,
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

WEIGHTS, LABELS, RANDOM_ENCODER, DELETION = CHECKS

NullMaps = Mapping[tuple[str, str], np.ndarray]
"""Maps from a draw in which something is random, {(modality, sign): (draws,
voxels)}.
"""


class Measurements(NamedTuple):
    """What the checks measured, for `sanity_reports` and the figures.

    randomisation : of
        `mmssl.saliency.parameter_randomisation.group_map_correlations`.
    null_maps : of `compare_with_null_maps`, for labels and for the random
        encoder.
    curves, areas : of `mmssl.saliency.deletion_curves.measure_deletion`.
    """

    randomisation: pd.DataFrame
    null_maps: pd.DataFrame
    curves: pd.DataFrame
    areas: pd.DataFrame


def run_checks(
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
    null_draws: int = 19,
    people: int = 0,
    steps: int = 4,
    untrained: str,
    seed: int = 0,
    **options,
) -> Measurements:
    """Measure all four checks of the maps of several sources.

    Null maps are compared with the map in `balanced_rows` of the people, and
    both are made of one noisy copy: with SmoothGrad's little noise, maps of
    groups from one and from five copies correlate by more than .95 in the
    simulated cohort.

    Parameters
    ----------
    sources : sequence of str
        Whose maps are checked.
    picks, encoders
        As in `mmssl.saliency.dimensions.corrected_group_differences`.
    fits : {source: {modality: LogisticFit}}
        Of `mmssl.saliency.dimensions.fit_probes`.
    learned, seen : {modality: (n, C, X, Y, Z)}
        Images of training and of mapped people.
    learned_labels, labels, subjects : array-like, shape (n,)
        Of training, mapped, mapped people.
    mask : array of bool, shape (X, Y, Z)
    null_draws : int
        Null maps of each of two checks.
    people : int
        In which maps are compared, see `balanced_rows`.
    steps : int
        Of deletion.
    untrained : str
        The source that is an untrained encoder; its probe's penalty serves all
        untrained ones.
    seed : int
    **options
        Of `mmssl.saliency.dimensions.subject_maps` without samples.

    Returns
    -------
    Measurements
    """
    rows = balanced_rows(labels, people)
    options = options | {"samples": 1, "seed": seed}
    images = {modality: x[rows] for modality, x in seen.items()}
    groups = np.asarray(labels)[rows]
    mean_images = {m: x.mean(axis=0) for m, x in learned.items()}
    from_untrained = untrained_maps(
        encoders[sources[0]],
        fits[untrained],
        learned,
        learned_labels,
        images,
        groups,
        mask,
        null_draws,
        **options,
    )
    tables = []
    for source in sources:
        own_picks = picks[picks["source"] == source]
        networks, fit = encoders[source], fits[source]
        values = dimensions.subject_maps(
            networks, seen, own_picks, mask, **options
        )
        rbc = dimensions.rank_biserial_maps(values[rows], groups)
        z = encode(networks, learned)
        from_labels = permuted_label_maps(
            networks,
            fit,
            z,
            learned_labels,
            images,
            groups,
            mask,
            null_draws,
            **options,
        )
        randomisation = group_map_correlations(
            networks, rbc, images, groups, own_picks, mask, **options
        )
        curves, areas = measure_deletion(
            networks,
            fit,
            seen,
            labels,
            subjects,
            values,
            own_picks,
            mask,
            mean_images,
            steps=steps,
            seed=seed,
        )
        null_maps = _compare_with_both(
            rbc, own_picks, from_labels, from_untrained
        )
        tables.append(Measurements(randomisation, null_maps, curves, areas))
    return _joined(tables)


def _compare_with_both(
    rbc, picks: pd.DataFrame, from_labels: NullMaps, from_untrained: NullMaps
) -> pd.DataFrame:
    """`compare_with_null_maps` of both checks, one table."""
    import pandas as pd

    tables = [
        compare_with_null_maps(rbc, picks, from_labels, LABELS),
        compare_with_null_maps(rbc, picks, from_untrained, RANDOM_ENCODER),
    ]
    return pd.concat(tables)


def _joined(tables: Sequence[Measurements]) -> Measurements:
    """The measurements of several sources, one table each."""
    import pandas as pd

    joined = []
    for field in Measurements._fields:
        parts = [getattr(table, field) for table in tables]
        joined.append(pd.concat(parts, ignore_index=True))
    return Measurements(*joined)


def balanced_rows(labels, people: int = 0) -> np.ndarray:
    """Rows of the people in whom maps are compared, half of each group.

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
    smaller = min(group.sum(), (~group).sum())
    each = max(SMALLEST_GROUP, min(people // 2, smaller))
    first = np.flatnonzero(group)[:each]
    second = np.flatnonzero(~group)[:each]
    return np.sort(np.concatenate([first, second]))


def permuted_label_maps(
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
) -> NullMaps:
    """Group maps of the dimensions that probes of permuted training labels
    choose.

    Each draw permutes the labels of the training people, fits the probe again
    at its tuned penalty and takes the extreme coefficients; groups of the
    mapped people keep their true labels. A dimension chosen twice is mapped
    once. With the training labels exchangeable, the map of the true choice is
    one more draw, but for the penalty: it was tuned on the true labels, and a
    draw for which it leaves no coefficient takes the first dimension. On
    labels without meaning that errs on the safe side.

    Parameters
    ----------
    encoders, fits, z : {modality: Module}, {modality: LogisticFit}, {modality:
        (people, latent)}
        Of one source; z and ``learned_labels`` (people,) of the training
        people.
    volumes, labels, mask, **options
        As in `mmssl.saliency.dimensions.group_differences`.
    draws, seed : int
        Permutations, and their seed.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    permuted = [rng.permutation(learned_labels) for _ in range(draws)]
    null_maps = {}
    for modality, fit in fits.items():
        chosen = []
        for draw in permuted:
            probe = refitted(fit, z[modality], draw)
            chosen.append(dimensions.extreme_coefficients(probe))
        distinct = pd.DataFrame(
            {"modality": modality, "dimension": np.unique(chosen)}
        )
        maps = dimensions.group_differences(
            encoders, volumes, labels, distinct, mask, seed=seed, **options
        )
        map_of = dict(zip(distinct["dimension"], maps, strict=True))
        for i, sign in enumerate(dimensions.SIGNS):
            drawn = [map_of[pair[i]] for pair in chosen]
            null_maps[modality, sign] = np.array(drawn)
    return null_maps


def untrained_maps(
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
) -> NullMaps:
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
    draws, seed : int
        Untrained encoders, and their seed.
    progress : bool
        Whether to show a progress bar.
    """
    import pandas as pd

    keys = [(m, sign) for m in fits for sign in dimensions.SIGNS]
    drawn = {key: [] for key in keys}
    bar = tqdm(
        range(draws),
        desc="untrained encoders",
        leave=False,
        disable=not progress,
    )
    for draw in bar:
        encoders = {}
        for modality, encoder in like.items():
            encoders[modality] = randomised(encoder, seed=seed + 1 + draw)
        z = encode(encoders, learned)
        chosen = []
        for modality, fit in fits.items():
            probe = refitted(fit, z[modality], learned_labels)
            for dimension in dimensions.extreme_coefficients(probe):
                chosen.append((modality, dimension))
        picks = pd.DataFrame(chosen, columns=["modality", "dimension"])
        maps = dimensions.group_differences(
            encoders, volumes, labels, picks, mask, seed=seed, **options
        )
        for key, values in zip(keys, maps, strict=True):
            drawn[key].append(values)
    return {key: np.array(maps) for key, maps in drawn.items()}


def refitted(fit: probes.LogisticFit, z, labels):
    """A probe of the same penalty, fitted on other codes or labels: a
    Pipeline.
    """
    from sklearn.base import clone

    return probes.fit_pipeline(
        clone(fit.pipeline),
        np.asarray(z, dtype=np.float32),
        np.asarray(labels),
    )


def compare_with_null_maps(
    rbc, picks: pd.DataFrame, null_maps: NullMaps, check: str
) -> pd.DataFrame:
    """Compare maps with their null maps: how alike they are, and how strong.

    Parameters
    ----------
    rbc : array, shape (picks, voxels)
        Of the same people and voxels as the null maps.
    picks : DataFrame
        source, modality, sign, beta: which maps.
    null_maps : {(modality, sign): (draws, voxels)}
    check : str
        Name of the check.

    Returns
    -------
    DataFrame
        source, modality, sign, check, draw, ``correlation`` over voxels
        (Pearson; NaN where one of them is constant, or no coefficient chose
        the dimension), ``null_strength`` and ``map_strength``, the largest
        absolute effect of the null map and of the map.

    Raises
    ------
    ValueError
        For other shapes, or a map with a value that is not finite.
    """
    import pandas as pd

    rbc = np.asarray(rbc, dtype=np.float64)
    finite = np.isfinite(rbc)
    if rbc.ndim != 2 or len(rbc) != len(picks) or not finite.all():
        raise ValueError(
            f"rbc: shape {rbc.shape}, {int((~finite).sum())} values not "
            f"finite, expected finite ({len(picks)}, voxels) as there are "
            "picks"
        )
    lacking = dimensions.lacks_coefficient(picks)
    keys = picks[list(KEYS)].itertuples(index=False, name=None)
    lines = []
    for effect, key, meaningless in zip(rbc, keys, lacking, strict=True):
        draws = np.asarray(null_maps[key[1:]])
        if draws.ndim != 2 or draws.shape[1:] != effect.shape:
            raise ValueError(
                f"null maps {key[1:]}: shape {draws.shape}, expected (draws, "
                f"{len(effect)})"
            )
        map_strength = np.abs(effect).max()
        for draw, null_map in enumerate(draws):
            correlation = np.nan
            if not meaningless:
                correlation = map_correlation(effect, null_map)
            null_strength = np.abs(null_map).max()
            numbers = (correlation, null_strength, map_strength)
            lines.append((*key, check, draw, *numbers))
    columns = ["check", "draw", "correlation", "null_strength", "map_strength"]
    return pd.DataFrame(lines, columns=[*KEYS, *columns])


def sanity_reports(
    maps: Mapping,
    randomisation: pd.DataFrame,
    null_maps: pd.DataFrame,
    areas: pd.DataFrame,
    level: float = LEVEL,
) -> dict[tuple[str, str, str], SanityReport]:
    """A report on each map that was checked, by one rule a check.

    - weights: yes if the absolute correlation with the map of the encoder
      whose layers are all drawn anew is below `ALIKE`; undecided where no
      voxel survives, since noise changes too.
    - labels, random encoder: yes if the median absolute correlation with the
      null maps is below `ALIKE` and the map is stronger, p = (1 + #{null maps
      as strong}) / (1 + draws) <= level; undecided with fewer than 1 / level -
      1 draws, or where no coefficient chose the dimension.
    - deletion: yes if the interval of the area lies above 0; undecided where
      the interval of the probe's AUC on intact images holds .5, or people were
      too few.

    Parameters
    ----------
    maps : {(source, modality, sign): (rbc, corrected p)}, (X, Y, Z) each.
    randomisation, null_maps, areas : DataFrame
        As in `Measurements`.
    level : float
        Of both kinds of p.

    Returns
    -------
    {(source, modality, sign): SanityReport}

    Raises
    ------
    ValueError
        If a check of a map is missing that another check has measured.
    """
    layers = randomisation["layers"]
    all_random = randomisation[layers == layers.max()]
    all_random = all_random.set_index(list(KEYS))
    draws_of, areas_of = _by_map(null_maps), _by_map(areas)
    reports = {}
    for key in all_random.index:
        draws = draws_of.get(key, null_maps[:0])
        area = areas_of.get(key, areas[:0])
        measured = set(draws["check"])
        if measured != {LABELS, RANDOM_ENCODER} or len(area) != 1:
            raise ValueError(
                f"{key}: measured are {sorted(measured)} and {len(area)} "
                "deletions, expected labels, random encoder and one deletion"
            )
        rbc, p = maps[key]
        correlation = all_random.loc[key, "correlation"]
        survives = bool((p < level).any())
        results = {WEIGHTS: _check_weights(correlation, survives)}
        for check in (LABELS, RANDOM_ENCODER):
            of_check = draws[draws["check"] == check]
            results[check] = _check_null_maps(of_check, level)
        results[DELETION] = _check_deletion(area.iloc[0])
        reports[key] = SanityReport(map_hash(rbc), results)
    return reports


def _by_map(table: pd.DataFrame) -> dict[tuple, pd.DataFrame]:
    return dict(list(table.groupby(list(KEYS), sort=False)))


def _check_weights(r: float, survives: bool) -> CheckResult:
    reason = f"r = {r:.2f} with the map of random weights"
    if not survives:
        return CheckResult("undecided", reason + "; no voxel survives")
    if np.isnan(r):
        return CheckResult("undecided", reason)
    return CheckResult("yes" if abs(r) < ALIKE else "no", reason)


def _check_null_maps(draws: pd.DataFrame, level: float) -> CheckResult:
    p = permutation_p(draws["map_strength"].iloc[0], draws["null_strength"])
    likeness = float(draws["correlation"].abs().median())
    reason = f"p = {p:.3f} of {len(draws)} draws, median |r| = {likeness:.2f}"
    unknown = np.isnan(p) or np.isnan(likeness)
    if 1 / (1 + len(draws)) > level or unknown:
        return CheckResult("undecided", reason)
    passes = p <= level and likeness < ALIKE
    return CheckResult("yes" if passes else "no", reason)


def _check_deletion(area: pd.Series) -> CheckResult:
    if np.isnan(area["area"]):
        return CheckResult(
            "undecided", "too few people to delete by the map of others"
        )
    reason = (
        f"area {area['area']:.3f} [{area['low']:.3f}, {area['high']:.3f}], "
        f"intact AUC {area['intact']:.2f}"
    )
    if area["intact_low"] <= 0.5:
        return CheckResult("undecided", reason + ", whose interval holds 0.5")
    return CheckResult("yes" if area["low"] > 0 else "no", reason)


def report_table(
    reports: Mapping[tuple[str, str, str], SanityReport],
) -> pd.DataFrame:
    """Answers of all checks, a row a map: source, modality, sign, the checks,
    report (in one line).
    """
    import pandas as pd

    lines = []
    for key, report in reports.items():
        answers = ["–"] * len(CHECKS)
        if report.results:
            answers = [report.results[check].answer for check in CHECKS]
        lines.append((*key, *answers, str(report)))
    return pd.DataFrame(lines, columns=[*KEYS, *CHECKS, "report"])


def reason_table(
    reports: Mapping[tuple[str, str, str], SanityReport],
) -> pd.DataFrame:
    """What every check measured of every map that is not exempt: source,
    modality, sign, check, answer, reason.
    """
    import pandas as pd

    lines = []
    for key, report in reports.items():
        for check, result in report.results.items():
            lines.append((*key, check, *result))
    columns = [*KEYS, "check", *CheckResult._fields]
    return pd.DataFrame(lines, columns=columns)


def arrange_for_figure(
    picks: pd.DataFrame, maps: Mapping, reports: Mapping
) -> dict[str, dict[str, tuple]]:
    """Maps as `mmssl.plotting.group_differences.group_maps` draws them, a line
    for each source and modality; without those that no coefficient chose.

    Parameters
    ----------
    picks : DataFrame
        source, modality, sign, dimension, beta: which maps.
    maps : {(source, modality, sign): (rbc, corrected p)}
    reports : {the same: SanityReport}

    Returns
    -------
    {"source, modality": {title: (rbc, corrected p, report)}}
    """
    lines = {}
    chosen = picks[~dimensions.lacks_coefficient(picks)]
    for pick in chosen.itertuples():
        key = pick.source, pick.modality, pick.sign
        line = lines.setdefault(f"{pick.source}, {pick.modality}", {})
        title = f"{pick.sign} β {pick.beta:.2g} (dimension {pick.dimension})"
        line[title] = (*maps[key], reports[key])
    return lines


def positive_control(
    cohort,
    landmarks: Mapping,
    rows,
    permutations: int = 10_000,
    seed: int = 0,
    number=None,
) -> tuple[dict, dict[tuple[str, str, str], SanityReport]]:
    """The positive control: the test of `mmssl.groupmaps.mann_whitney.compare`
    on the images themselves, or of `mmssl.groupmaps.spearman.correlate`.

    No encoder is checked, and the report says only that. Because this function
    reads the images from the cohort and makes both map and report, no other
    map can get this exemption.

    Parameters
    ----------
    cohort : Cohort
    landmarks : {modality: landmarks}
    rows : array of int
        People who are compared, by the label of the first task.
    permutations, seed : int
    number : array-like, shape (pairs,), optional
        Of every pair; the images are correlated with it instead.

    Returns
    -------
    maps : {("voxels", modality, "voxels"): (effect, corrected p)}, (X, Y, Z)
        each; the effect is the rank-biserial correlation, or Spearman's, and
        the third part of the key then "number".
    reports : {the same: SanityReport}
    """
    images = standardised(cohort, landmarks, np.float32, rows)
    in_brain = [x[:, 0][:, cohort.mask] for x in images.values()]
    values = np.stack(in_brain, axis=1)
    if number is None:
        test = compare(values, cohort.labels()[rows], permutations, seed)
        asked = "voxels"
    else:
        asked = "number"
        number = np.asarray(number)[rows]
        test = correlate(values, number, permutations, seed)
    maps, reports = {}, {}
    volumes = test.volumes(cohort.mask)
    for modality, (effect, p) in zip(images, volumes, strict=True):
        key = ("voxels", modality, asked)
        maps[key] = effect, p
        reports[key] = SanityReport(map_hash(effect), {}, POSITIVE_CONTROL)
    return maps, reports


def untrained_reports(
    source: str, maps: Mapping, encoders: Mapping, like: Mapping, seed: int = 0
) -> dict[tuple[str, str, str], SanityReport]:
    """Reports on the maps of an untrained encoder, which is exempt from the
    checks.

    Parameters
    ----------
    source : str
        Whose maps they are.
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
    for modality, encoder in encoders.items():
        drawn = randomised(like[modality], seed=seed).state_dict()
        for name, weight in encoder.state_dict().items():
            if not weight.equal(drawn[name]):
                raise ValueError(
                    f"{modality}: {name} is not as seed {seed} draws it; an "
                    "encoder that may have learned something is checked, not "
                    "exempt"
                )
    reports = {}
    for key, (rbc, _) in maps.items():
        if key[0] == source:
            reports[key] = SanityReport(map_hash(rbc), {}, UNTRAINED)
    return reports
