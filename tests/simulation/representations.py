"""Representations: leaks between folds, and how far modalities agree."""

import numpy as np
import pandas as pd
from worlds import CONTROLS, PATIENTS, SEED, each, line

from mmssl.similarity.groups import group_test
from mmssl.similarity.simulations import simulated_codes
from mmssl.stats.auc import roc_auc


def scans_across_folds(worlds, people=60, scans=5, dimensions=16):
    """Null labels, several scans a person: the AUC that a split by scan
    invents.
    """
    person = np.repeat(np.arange(people), scans)

    def one(world):
        rng = np.random.default_rng([SEED, 9, world])
        labels = rng.permutation(np.arange(people) % 2)[person]
        z = rng.normal(size=(people, dimensions))[person]
        z = z + 0.3 * rng.normal(size=z.shape)
        tested = rng.choice(people, people // 5, replace=False)
        by_person = np.isin(person, tested)
        by_scan = rng.random(len(person)) < 0.2
        return {
            "person": _nearest_scan_auc(z, labels, by_person, rng),
            "scan": _nearest_scan_auc(z, labels, by_scan, rng),
        }

    aucs = pd.DataFrame(each(one, worlds, "scan-wise splits"))
    lines = []
    for unit in ("person", "scan"):
        row = line(
            "AUC above .75 where nothing is to be found",
            f"null labels, {people} people of {scans} scans",
            f"split by {unit}",
            aucs[unit] > 0.75,
            0.05,
        )
        row["mean_auc"] = np.mean(aucs[unit])
        lines.append(row)
    return pd.DataFrame(lines)


def _nearest_scan_auc(z, labels, test, rng):
    """AUC of the nearest training scan's label: an encoder that recognises
    people needs no more.
    """
    distances = ((z[test][:, None] - z[~test][None]) ** 2).sum(2)
    nearest = distances.argmin(1)
    jitter = 1e-6 * rng.normal(size=int(test.sum()))
    if np.ptp(labels[test]) == 0:
        return 0.5
    return roc_auc(labels[test], labels[~test][nearest] + jitter)


def coupling_difference(worlds, permutations=39, dimensions=64):
    """Two groups of one population: how often do their modalities seem to
    agree unequally?
    """
    labels = np.repeat((0, 1), (CONTROLS, PATIENTS))

    def one(world):
        x, y = simulated_codes(
            len(labels),
            dimensions,
            0.7,
            dimensions // 8,
            rng=[SEED, 13, world],
        )
        table = group_test(x, y, labels, permutations, world)
        return table.set_index("measure")

    tables = each(one, worlds, "coupling")
    setting = (
        f"{PATIENTS} and {CONTROLS}, {dimensions} dimensions, "
        f"{permutations} permutations"
    )
    lines = []
    for measure in ("SVCCA", "CKA", "debiased CKA"):
        tests = [table.loc[measure] for table in tables]
        lines.append(
            line(
                "a coupling difference where there is none",
                setting,
                measure,
                [test["p"] <= 0.05 for test in tests],
                0.05,
                claim="exactly",
            )
        )
        # what printing the two numbers side by side would say
        lines.append(
            line(
                "the smaller group seems more alike",
                setting,
                measure,
                [test["second"] > test["first"] for test in tests],
                0.5,
            )
        )
    return pd.DataFrame(lines)
