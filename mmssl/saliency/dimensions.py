"""What a probe leans on: its extreme latent dimensions, and where each
person's image moves them.

Fedorov et al. 2021 ("Application to Alzheimer's disease", section 4, figure 4)
map the dimensions with the largest positive and negative coefficient of the
logistic regression. The maps of people then go to
`mmssl.groupmaps.mann_whitney`. A table of *picks* says which dimensions:
source, modality, sign, dimension, beta.
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
from mmssl.saliency.maps import postprocess
from mmssl.saliency.smoothgrad import stream
from mmssl.stats.permutation import two_groups

if TYPE_CHECKING:
    import pandas as pd

SIGNS = ("positive", "negative")
Probes = Mapping[str, Mapping[str, LogisticFit]]
"""Tuned probes, {source: {modality: LogisticFit}}."""


def fit(
    embeddings: Mapping[str, Mapping[str, np.ndarray]],
    labels,
    subjects,
    trials: int = 25,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, dict[str, LogisticFit]]:
    """A tuned logistic regression of every source and modality.

    Parameters
    ----------
    embeddings : {source: {modality: (n, latent)}}
        Of the training people; standardised by the probe, so that coefficients
        compare.
    labels, subjects : array-like, shape (n,)
    trials, folds, seed : int
        Of `mmssl.evaluate.probes.logistic_regression`; never more folds than a
        class has people.
    """
    folds = int(min(folds, np.bincount(labels).min()))
    return {
        source: {
            m: logistic_regression(z, labels, subjects, trials, folds, seed)
            for m, z in by_modality.items()
        }
        for source, by_modality in embeddings.items()
    }


def choose(probes: Probes) -> pd.DataFrame:
    """Dimensions with the largest and the smallest coefficient of each probe.

    Returns
    -------
    DataFrame
        source, modality, sign ("positive", "negative"), dimension, beta. A
        strong penalty may leave no coefficient of a sign; the beta then says
        so, and the dimension means nothing.
    """
    import pandas as pd

    lines = []
    for source, by_modality in probes.items():
        for m, probe in by_modality.items():
            beta = probe.pipeline[-1].coef_[0]
            lines += [
                (source, m, sign, k, float(beta[k]))
                for sign, k in zip(
                    SIGNS, extremes(probe.pipeline), strict=True
                )
            ]
    return pd.DataFrame(
        lines, columns=["source", "modality", "sign", "dimension", "beta"]
    )


def unchosen(picks: pd.DataFrame) -> np.ndarray:
    """Which picks, with sign and beta, no coefficient of their sign has
    chosen: (picks,) bool.
    """
    side = picks["sign"].map(dict(zip(SIGNS, (1, -1), strict=True)))
    return (picks["beta"] * side <= 0).to_numpy()


def extremes(pipeline) -> tuple[int, int]:
    """Dimensions of the largest and of the smallest coefficient of a fitted
    probe.
    """
    beta = pipeline[-1].coef_[0]
    return int(beta.argmax()), int(beta.argmin())


def prove(cohort, runs: Sequence[Path], train, test) -> dict:
    """That no person of a group map was seen by what the map is made of, for
    the sidecar.

    Parameters
    ----------
    cohort : Cohort
    runs : sequence of Path
        Folders of the runs whose encoders are mapped.
    train, test : array of int
        Rows that choose the dimensions, and rows that are compared.

    Raises
    ------
    LeakError
        If a subject or an image of ``test`` was seen by landmarks, an encoder
        or the choice.
    """
    chosen = leakage.exposure("dimension", "choose", cohort, train)
    tested = leakage.exposure("hold-out", "test", cohort, test)
    seen = [
        one
        for run in runs
        for one in leakage.read_exposures(run / "exposures.json")
    ]
    return leakage.prove(
        [chosen, tested, *seen], needs=["landmarks", "encoder", "dimension"]
    )


def subject_maps(
    encoders: Mapping,
    volumes: Mapping,
    picks: pd.DataFrame,
    mask,
    *,
    scaled: bool = True,
    sigma: float = 1.5,
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
    sigma : float
        Of the smoothing, in voxels.
    **options
        Of `mmssl.saliency.smoothgrad.stream`: samples, std, seed, precision.

    Returns
    -------
    array, shape (n, picks, voxels), float32
    """
    inside, maps = np.asarray(mask, dtype=bool), []
    for m, rows in picks.groupby("modality", sort=False):
        wanted, parts = rows["dimension"].tolist(), []
        for gradient in stream(
            encoders[m], volumes[m], dimensions=wanted, **options
        ):
            found = postprocess(gradient.float().cpu().numpy(), inside, sigma)
            parts.append(
                (found.scaled if scaled else found.magnitude)[..., inside]
            )
        maps.append(np.concatenate(parts))
    return np.concatenate(maps, axis=1)


def compare(
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
        Of `choose`.
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

    maps, left = {}, []
    for source, own in picks.groupby("source", sort=False):
        values = subject_maps(
            encoders[source], volumes, own, mask, seed=seed, **options
        )
        found = mann_whitney.compare(values, labels, permutations, seed)
        keys = own[list(KEYS)].itertuples(index=False, name=None)
        maps |= zip(keys, found.volumes(mask), strict=True)
        left.append(own.assign(voxels_fdr=(found.fdr < 0.05).sum(axis=1)))
    return maps, pd.concat(left, ignore_index=True)


def group_differences(
    encoders: Mapping,
    volumes: Mapping,
    labels,
    picks: pd.DataFrame,
    mask,
    **options,
) -> np.ndarray:
    """`effects` of the `subject_maps` of the picked dimensions, (picks,
    voxels).
    """
    return effects(
        subject_maps(encoders, volumes, picks, mask, **options), labels
    )


def effects(values, labels) -> np.ndarray:
    """Rank-biserial maps of two groups, (picks, voxels), from people's maps
    (n, picks, voxels).

    Positive where the group of the larger label has larger saliency.
    """
    group = two_groups(labels, len(values))
    return np.array(
        [rank_biserial(x[group], x[~group]).rbc for x in values.swapaxes(0, 1)]
    )


def following(
    cohort, rows, codes: Mapping, maps: Mapping
) -> dict[tuple[str, str, str], np.ndarray]:
    """Maps of the dimension that follows the true severity best, and of all in
    the mean.

    Parameters
    ----------
    cohort : Cohort
        Simulated: ``truth/factors.tsv`` holds everybody's severity.
    rows : array of int
        People of the codes.
    codes : {source: {modality: (people, latent)}}
    maps : {(source, modality): Saliency of arrays (latent, X, Y, Z)}

    Returns
    -------
    dict
        (source, modality, which) -> (X, Y, Z); which dimension it is and how
        far it follows.
    """
    import pandas as pd

    truth = pd.read_csv(
        cohort.path / "truth" / "factors.tsv",
        sep="\t",
        index_col="participant_id",
    )
    severity, found = truth["severity"].loc[cohort.subjects[rows]], {}
    for (source, m), saliencies in maps.items():
        r = np.corrcoef(codes[source][m].T, severity)[-1, :-1]
        k = int(np.nanargmax(np.abs(r)))
        found[source, m, f"{k}, severity (r = {r[k]:+.2f})"] = (
            saliencies.scaled[k]
        )
        found[source, m, "mean of all"] = saliencies.scaled.mean(0)
    return found
