"""The latent dimensions that a probe relies on most, and where in each
person's image they respond.

Fedorov et al. 2021 ("Application to Alzheimer's disease", section 4, figure 4)
map the dimensions with the largest positive and negative coefficient of the
logistic regression. The maps of people are then compared between groups by
`mmssl.groupmaps.mann_whitney`. A table of *picks* says which dimensions are
mapped: source, modality, sign, dimension, beta.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmssl.evaluate.probes import LogisticFit, logistic_regression
from mmssl.groupmaps import mann_whitney
from mmssl.groupmaps.mann_whitney import rank_biserial
from mmssl.ledger import leakage
from mmssl.ledger.artefacts import KEYS
from mmssl.saliency.maps import Saliency, postprocess
from mmssl.saliency.smoothgrad import stream
from mmssl.stats.permutation import two_groups

if TYPE_CHECKING:
    import pandas as pd

SIGNS = ("positive", "negative")
Probes = Mapping[str, Mapping[str, LogisticFit]]
"""Tuned probes, {source: {modality: LogisticFit}}."""


def fit_probes(
    embeddings: Mapping[str, Mapping[str, np.ndarray]],
    labels,
    subjects,
    trials: int = 25,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, dict[str, LogisticFit]]:
    """Fit a tuned logistic regression to every source and modality.

    Parameters
    ----------
    embeddings : {source: {modality: (n, latent)}}
        Of the training people; standardised by the probe, so that coefficients
        compare.
    labels, subjects : array-like, shape (n,)
    trials, folds, seed : int
        Of `mmssl.evaluate.probes.logistic_regression`; never more folds than a
        class has people.

    Returns
    -------
    {source: {modality: LogisticFit}}
    """
    folds = int(min(folds, np.bincount(labels).min()))
    probes = {}
    for source, by_modality in embeddings.items():
        probes[source] = {}
        for modality, z in by_modality.items():
            probes[source][modality] = logistic_regression(
                z, labels, subjects, trials, folds, seed
            )
    return probes


def extreme_dimensions(probes: Probes) -> pd.DataFrame:
    """Dimensions with the largest and the smallest coefficient of each probe.

    Returns
    -------
    DataFrame
        source, modality, sign ("positive", "negative"), dimension, beta. A
        strong penalty may leave no coefficient of a sign; the beta then says
        so, and the dimension means nothing.
    """
    import pandas as pd

    picks = []
    for source, by_modality in probes.items():
        for modality, probe in by_modality.items():
            beta = probe.pipeline[-1].coef_[0]
            pair = extreme_coefficients(probe.pipeline)
            for sign, k in zip(SIGNS, pair, strict=True):
                picks.append((source, modality, sign, k, float(beta[k])))
    return pd.DataFrame(picks, columns=[*KEYS, "dimension", "beta"])


def extreme_coefficients(pipeline) -> tuple[int, int]:
    """Dimensions of the largest and of the smallest coefficient of a fitted
    probe.
    """
    beta = pipeline[-1].coef_[0]
    return int(beta.argmax()), int(beta.argmin())


def lacks_coefficient(picks: pd.DataFrame) -> np.ndarray:
    """Which picks, with sign and beta, have no coefficient of their sign:
    (picks,) bool.
    """
    side = picks["sign"].map({"positive": 1, "negative": -1})
    return (picks["beta"] * side <= 0).to_numpy()


def prove_unseen(cohort, runs: Sequence[Path], train, test) -> dict:
    """Prove that nothing a group map is made of has seen the people it
    compares, for the sidecar.

    Parameters
    ----------
    cohort : Cohort
    runs : sequence of Path
        Folders of the runs whose encoders are mapped.
    train, test : array of int
        Rows that choose the dimensions, and rows that are compared.

    Returns
    -------
    dict
        As `mmssl.ledger.leakage.prove`.

    Raises
    ------
    LeakError
        If a subject or an image of ``test`` was seen by landmarks, an encoder
        or the choice.
    """
    exposures = [
        leakage.exposure("dimension", "choose", cohort, train),
        leakage.exposure("hold-out", "test", cohort, test),
    ]
    for run in runs:
        exposures += leakage.read_exposures(run / "exposures.json")
    needs = ["landmarks", "encoder", "dimension"]
    return leakage.prove(exposures, needs=needs)


def subject_maps(
    encoders: Mapping,
    volumes: Mapping,
    picks: pd.DataFrame,
    mask,
    *,
    scaled: bool = True,
    sigma: float = 1.5,
    part: str = "absolute",
    rescale: str = "last",
    **options,
) -> np.ndarray:
    """Saliency of the picked dimensions in the brain of every person.

    SmoothGrad, masked, smoothed and rescaled ("Application to Alzheimer's
    disease", section 4), streamed so that gradients of many people never lie
    in memory together.

    Parameters
    ----------
    encoders : {modality: Module}
    volumes : {modality: (n, channels, X, Y, Z)}
    picks : DataFrame
        modality, dimension: of one source, the rows of a modality together.
    mask : array of bool, shape (X, Y, Z)
    scaled : bool
        Whether every person's map is rescaled to [0, 1].
    sigma, part, rescale
        Of `mmssl.saliency.maps.postprocess`.
    **options
        Of `mmssl.saliency.smoothgrad.stream`: samples, std, seed, precision.

    Returns
    -------
    array, shape (n, picks, voxels), float32
    """
    inside = np.asarray(mask, dtype=bool)
    maps = []
    for modality, rows in picks.groupby("modality", sort=False):
        blocks = []
        for gradient in stream(
            encoders[modality],
            volumes[modality],
            dimensions=rows["dimension"].tolist(),
            **options,
        ):
            gradient = gradient.float().cpu().numpy()
            saliency = postprocess(
                gradient, inside, sigma, part=part, rescale=rescale
            )
            shown = saliency.scaled if scaled else saliency.magnitude
            blocks.append(shown[..., inside])
        maps.append(np.concatenate(blocks))
    return np.concatenate(maps, axis=1)


def group_differences(
    encoders: Mapping,
    volumes: Mapping,
    labels,
    picks: pd.DataFrame,
    mask,
    **options,
) -> np.ndarray:
    """`rank_biserial_maps` of the `subject_maps` of the picked dimensions,
    (picks, voxels).
    """
    values = subject_maps(encoders, volumes, picks, mask, **options)
    return rank_biserial_maps(values, labels)


def rank_biserial_maps(values, labels) -> np.ndarray:
    """Effect sizes of two groups, (picks, voxels), from people's maps (n,
    picks, voxels).

    Positive where the group of the larger label has larger saliency.
    """
    group = two_groups(labels, len(values))
    maps = []
    for people in values.swapaxes(0, 1):
        maps.append(rank_biserial(people[group], people[~group]).rbc)
    return np.array(maps)


def corrected_group_differences(
    encoders: Mapping,
    volumes: Mapping,
    labels,
    picks: pd.DataFrame,
    mask,
    permutations: int = 10_000,
    *,
    seed: int = 0,
    **options,
) -> tuple[dict, pd.DataFrame]:
    """Maps of group differences of all sources, each source corrected as one
    family.

    Parameters
    ----------
    encoders : {source: {modality: Module}}
    volumes, mask, seed, **options
        As in `subject_maps`.
    labels : array-like, shape (n,)
    picks : DataFrame
        Of `extreme_dimensions`.
    permutations : int
        Of `mmssl.groupmaps.mann_whitney.compare`.

    Returns
    -------
    maps : {(source, modality, sign): (rbc, corrected p)}, (X, Y, Z) each.
    picks : DataFrame
        With ``voxels_fdr``: how many voxels of the map the false discovery
        rate of Benjamini & Hochberg (1995) leaves at .05, each map by itself.
    """
    import pandas as pd

    maps, counted = {}, []
    for source, rows in picks.groupby("source", sort=False):
        values = subject_maps(
            encoders[source], volumes, rows, mask, seed=seed, **options
        )
        test = mann_whitney.compare(values, labels, permutations, seed)
        keys = rows[list(KEYS)].itertuples(index=False, name=None)
        maps.update(zip(keys, test.volumes(mask), strict=True))
        survivors = (test.fdr < 0.05).sum(axis=1)
        counted.append(rows.assign(voxels_fdr=survivors))
    return maps, pd.concat(counted, ignore_index=True)


def maps_following_severity(
    cohort,
    rows,
    embeddings: Mapping[str, Mapping[str, np.ndarray]],
    maps: Mapping[tuple[str, str], Saliency],
) -> dict[tuple[str, str, str], np.ndarray]:
    """Maps of the dimension that follows the true severity best, and of all
    dimensions in the mean.

    Parameters
    ----------
    cohort : Cohort
        Simulated: ``truth/factors.tsv`` holds everybody's severity.
    rows : array of int
        People of the embeddings.
    embeddings : {source: {modality: (people, latent)}}
    maps : {(source, modality): Saliency of arrays (latent, X, Y, Z)}

    Returns
    -------
    {(source, modality, which): array (X, Y, Z)}
        The third part says which dimension it is and how it correlates with
        severity.
    """
    import pandas as pd

    file = cohort.file("truth/factors.tsv")
    factors = pd.read_csv(file, sep="\t", index_col="participant_id")
    severity = factors["severity"].loc[cohort.subjects[rows]]
    selected = {}
    for (source, modality), saliency in maps.items():
        z = embeddings[source][modality]
        r = np.corrcoef(z.T, severity)[-1, :-1]
        k = int(np.nanargmax(np.abs(r)))
        best = f"{k}, severity (r = {r[k]:+.2f})"
        selected[source, modality, best] = saliency.scaled[k]
        mean = saliency.scaled.mean(0)
        selected[source, modality, "mean of all"] = mean
    return selected
