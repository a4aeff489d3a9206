"""Tests of maps: false voxels, and a covariate behind the groups."""

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from worlds import CONTROLS, PATIENTS, SEED, each, line, people

from mmssl.groupmaps.freedman_lane import freedman_lane
from mmssl.groupmaps.mann_whitney import compare, max_statistic_test
from mmssl.groupmaps.tfce import tfce_test


def false_voxels(worlds, permutations=199, side=12):
    """How often does a map of two groups that differ in nothing hold a voxel
    with p <= .05?
    """
    labels = people()
    mask = np.ones((side, side, side), dtype=bool)

    def one(world):
        rng = np.random.default_rng([SEED, 11, world])
        noise = rng.normal(size=(len(labels), *mask.shape)).astype(np.float32)
        smooth = gaussian_filter(noise, (0, 1.5, 1.5, 1.5))
        maps = smooth.reshape(len(labels), -1)
        difference = compare(maps, labels, permutations, world, progress=False)
        enhanced = tfce_test(
            maps, labels, mask, permutations, world, progress=False
        )
        return {
            "max-|RBC|": _any_voxel(difference.corrected),
            "TFCE": _any_voxel(enhanced.corrected),
            "Benjamini-Hochberg": _any_voxel(difference.fdr),
            "uncorrected": _any_voxel(difference.p),
        }

    claims = {
        "max-|RBC|": "exactly",
        "TFCE": "exactly",
        "Benjamini-Hochberg": "at most",
        "uncorrected": "",
    }
    setting = (
        f"{PATIENTS} and {CONTROLS}, {side}^3 smooth voxels, "
        f"{permutations} permutations"
    )
    alarms = pd.DataFrame(each(one, worlds, "null maps"))
    return pd.DataFrame(
        [
            line(
                "a false voxel anywhere",
                setting,
                method,
                alarms[method],
                0.05,
                claim=claim,
            )
            for method, claim in claims.items()
        ]
    )


def covariate_behind_groups(worlds, permutations=199, voxels=60, people=44):
    """Groups that differ in age, maps that follow age alone: a voxel with p <=
    .05?
    """

    def one(world):
        rng = np.random.default_rng([SEED, 10, world])
        age = rng.normal(size=people)
        order = np.argsort(age + rng.normal(size=people))
        labels = np.isin(np.arange(people), order[-PATIENTS // 2 :])
        maps = rng.normal(size=(people, voxels)) + 0.6 * age[:, None]
        adjusted = freedman_lane(
            maps, labels, age, permutations, world, progress=False
        )
        plain = max_statistic_test(
            maps, labels, permutations, world, progress=False
        )
        return {
            "Freedman-Lane": _any_voxel(adjusted.corrected),
            "labels permuted": _any_voxel(plain),
        }

    claims = {"Freedman-Lane": "at most", "labels permuted": ""}
    setting = (
        f"{people} people, patients older, {voxels} voxels that follow age"
    )
    alarms = pd.DataFrame(each(one, worlds, "age behind groups"))
    return pd.DataFrame(
        [
            line(
                "a false voxel with a covariate",
                setting,
                method,
                alarms[method],
                0.05,
                claim=claim,
            )
            for method, claim in claims.items()
        ]
    )


def _any_voxel(p):
    return bool((p <= 0.05).any())
