"""What is said of representations: leaks, coupling of modalities."""

import numpy as np
import pandas as pd
from worlds import CONTROLS, PATIENTS, SEED, each, line

from mmssl.similarity.inference import group_test, related
from mmssl.stats.auc import roc_auc


def scans_across_folds(worlds, people=60, scans=5, dimensions=16):
    """Null labels, several scans a person: the AUC that a split by scan
    invents.
    """
    rows = np.repeat(np.arange(people), scans)

    def one(world):
        rng = np.random.default_rng([SEED, 9, world])
        labels = rng.permutation(np.arange(people) % 2)[rows]
        z = rng.normal(size=(people, dimensions))[rows]
        z = z + 0.3 * rng.normal(size=z.shape)
        aucs = []
        for test in (
            np.isin(rows, rng.choice(people, people // 5, replace=False)),
            rng.random(len(rows)) < 0.2,
        ):
            # the nearest scan's label: an encoder that remembers faces needs
            # no more
            near = ((z[test][:, None] - z[~test][None]) ** 2).sum(2).argmin(1)
            guess = labels[~test][near] + 1e-6 * rng.normal(
                size=int(test.sum())
            )
            aucs.append(
                roc_auc(labels[test], guess) if np.ptp(labels[test]) else 0.5
            )
        return aucs

    setting = f"null labels, {people} people of {scans} scans"
    found = zip(*each(one, worlds, "scan-wise splits"), strict=True)
    return pd.DataFrame(
        [
            line(
                "AUC above .75 where nothing is to be found",
                setting,
                f"split by {name}",
                np.array(aucs) > 0.75,
                0.05,
                np.nan,
            )
            | {"mean_auc": np.mean(aucs)}
            for name, aucs in zip(("person", "scan"), found, strict=True)
        ]
    )


def coupling_difference(worlds, permutations=39, dimensions=64):
    """Two groups of one population: how often do their modalities seem to
    agree unequally?
    """
    labels = np.repeat((0, 1), (CONTROLS, PATIENTS))

    def one(world):
        x, y = related(
            len(labels),
            dimensions,
            0.7,
            dimensions // 8,
            rng=[SEED, 13, world],
        )
        return group_test(x, y, labels, permutations, world).set_index(
            "measure"
        )

    found = each(one, worlds, "coupling")
    setting = f"{PATIENTS} and {CONTROLS}, {dimensions} dimensions, {permutations} permutations"
    lines = []
    for measure in ("SVCCA", "CKA", "debiased CKA"):
        # what printing the two numbers side by side would say
        larger = [
            f.loc[measure, "second"] > f.loc[measure, "first"] for f in found
        ]
        p = [f.loc[measure, "p"] <= 0.05 for f in found]
        lines += [
            line(
                "a coupling difference where there is none",
                setting,
                measure,
                p,
                0.05,
                np.nan,
                "exactly",
            ),
            line(
                "the smaller group seems more alike",
                setting,
                measure,
                larger,
                0.5,
            ),
        ]
    return pd.DataFrame(lines)
