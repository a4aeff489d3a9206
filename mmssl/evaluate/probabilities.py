"""What the probes of a representation say as probabilities, and whether it can
be believed.

`mmssl.stats.calibration` measures any probabilities; here the logistic
regressions of `mmssl.evaluate.linear_evaluation` get theirs, as they were
fitted, with the share of patients put back, and recalibrated on people whom no
probe has seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from mmssl.evaluate import probes
from mmssl.evaluate.linear_evaluation import LOGISTIC
from mmssl.ledger import leakage
from mmssl.stats.auc import Interval, roc_auc
from mmssl.stats.calibration import calibration, reliability

if TYPE_CHECKING:
    import pandas as pd

WAYS = AS_FITTED, TRAINING_SHARE, RECALIBRATED = (
    "as fitted",
    "training share",
    "recalibrated",
)
"""How a score becomes a probability, see `of_probes`."""


def of_probes(
    cohort, embeddings, probed, rows, seed: int = 0, task: str | None = None
):
    r"""What the logistic regressions of
    `mmssl.evaluate.linear_evaluation.probe` say of each held-out person.

    A decision function s is read in three ways. *as fitted*: :math:`1 / (1 +
    e^{-s})`, of a world where classes are equally common, as balanced weights
    make them. *training share*: the share :math:`\pi` of class 1 among the
    training people is put back, :math:`s + \log(\pi / (1 - \pi))`.
    *recalibrated*: :math:`a + b s`, a and b fitted by maximum likelihood on
    the fold's validation people, whom no probe has seen; NaN where these are
    separated perfectly, so that no line is the best.

    Parameters
    ----------
    cohort : Cohort
    embeddings : {row: {modality: (pairs, latent)}}
        Those that were probed, with the baselines if these are asked for.
    probed : Probed
        Of one fold.
    rows : sequence of str
    seed, task
        As given to `mmssl.evaluate.linear_evaluation.probe`.

    Returns
    -------
    DataFrame
        One line per row, modality, way and held-out person: row, modality,
        way, pair, subject, label, probability. ``attrs["proof"]`` is that of
        `mmssl.ledger.leakage.prove`.

    Raises
    ------
    ValueError
        If an embedding is not the one that was probed.
    LeakError
        If validation people or their images are among those held out.
    """
    import pandas as pd

    fits, scores = (
        t[t["protocol"] == LOGISTIC] for t in (probed.fits, probed.scores)
    )
    fits, scores = (
        fits.set_index(["model", "modality"]),
        scores.groupby(["model", "modality"]),
    )
    fold, labels = int(probed.fits["fold"].iloc[0]), cohort.labels(task)
    train, valid = (
        cohort.downstream(cohort.rows(r, fold), task)
        for r in ("train", "valid")
    )
    line = leakage.exposure(
        f"recalibration, fold {fold}", "train", cohort, valid
    )
    proof = leakage.prove([*probed.exposures, line])
    share, lines = logit(labels[train].mean()), []
    for row, m in [(name, m) for name in rows for m in embeddings[name]]:
        z, held = np.asarray(embeddings[row][m]), scores.get_group((row, m))
        model = _refitted(z[train], labels[train], fits.loc[(row, m)], seed)
        s = held["score"].to_numpy(dtype=np.float64)
        if (
            np.abs(model.decision_function(z[held["pair"]]) - s).max()
            > 0.05 * s.std() + 1e-6
        ):
            raise ValueError(
                f"{row}, {m}: the scores of this embedding are not those probed; "
                "expected the same embeddings and seed"
            )
        a, b = _best_line(labels[valid], model.decision_function(z[valid]))
        for way, odds in zip(WAYS, (s, s + share, a + b * s), strict=True):
            lines.append(
                held[["model", "modality", "pair", "subject", "label"]].assign(
                    way=way, probability=expit(odds)
                )
            )
    found = pd.concat(lines, ignore_index=True)
    found.attrs["proof"] = proof
    return found


def table(
    found: pd.DataFrame, bins: int = 5, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """How every row, modality and way of `of_probes` is calibrated; NaN where
    it says nothing.

    Returns
    -------
    DataFrame
        row, modality, way; brier, intercept, slope and ece, each with _low and
        _high; skill, ece_by_chance, ece_p.
    """
    import pandas as pd

    lines = []
    for who, one in found.groupby(["model", "modality", "way"], sort=False):
        line = dict(zip(("model", "modality", "way"), who, strict=True))
        if one["probability"].notna().all():
            judged = calibration(
                one["label"],
                one["probability"],
                one["subject"],
                bins,
                resamples,
                seed,
            )._asdict()
            for name, value in judged.items():
                line |= (
                    {name: value}
                    if not isinstance(value, Interval)
                    else {
                        name: value.estimate,
                        f"{name}_low": value.low,
                        f"{name}_high": value.high,
                    }
                )
        lines.append(line)
    return pd.DataFrame(lines)


def diagrams(found: pd.DataFrame, bins: int = 5) -> pd.DataFrame:
    """`mmssl.stats.calibration.reliability` of every row, modality and way
    that has probabilities.
    """
    import pandas as pd

    return pd.concat(
        [
            reliability(one["label"], one["probability"], bins).assign(
                model=row, modality=m, way=way
            )
            for (row, m, way), one in found.dropna().groupby(
                ["model", "modality", "way"], sort=False
            )
        ],
        ignore_index=True,
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text, for a page: a line a row and modality, as fitted and
    after recalibration.

    Parameters
    ----------
    table : DataFrame
        Of `table`.
    """
    import pandas as pd

    def written(line, name: str) -> str:
        if np.isnan(line[name]):
            return "–"
        # of scores that hardly differ any line is as good
        if abs(line[name]) > 10:
            return "above 10" if line[name] > 0 else "below −10"
        return f"{line[name]:.2f} [{line[name + '_low']:.2f}, {line[name + '_high']:.2f}]"

    lines = []
    for (row, m), ways in table.groupby(["model", "modality"], sort=False):
        ways = ways.set_index("way")
        line = {"model": row, "modality": m}
        for way, after in ((AS_FITTED, ""), (RECALIBRATED, " after")):
            skill = ways.loc[way, "skill"]
            line[f"skill{after}"] = "–" if np.isnan(skill) else f"{skill:+.2f}"
            line[f"slope{after} [95 %]"] = written(ways.loc[way], "slope")
            line[f"ECE{after} [95 %]"] = written(ways.loc[way], "ece")
        line["ECE by chance"] = f"{ways.loc[AS_FITTED, 'ece_by_chance']:.2f}"
        lines.append(line)
    return pd.DataFrame(lines)


def _refitted(z, labels, chosen, seed: int):
    """The probe once more, with the penalty that its search chose."""
    z = np.ascontiguousarray(z, dtype=np.float32)
    return probes.fitted(probes.penalised(chosen, seed, "balanced"), z, labels)


def _best_line(labels, score) -> tuple[float, float]:
    """Cox's line of some people, for others; NaN where they are separated or
    all alike.
    """
    import statsmodels.api as sm

    if roc_auc(labels, score) in (0.0, 1.0) or np.ptp(score) == 0:
        return np.nan, np.nan
    return tuple(
        sm.GLM(labels, sm.add_constant(score), sm.families.Binomial())
        .fit()
        .params
    )
