"""Tests of maps: false voxels, a dimension that was picked, a covariate behind
the groups.
"""

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from worlds import CONTROLS, PATIENTS, SEED, each, line, people

from mmssl.groupmaps import selection, tfce
from mmssl.groupmaps.freedman_lane import freedman_lane
from mmssl.groupmaps.mann_whitney import compare, max_statistic_test


def false_voxels(worlds, permutations=199, side=12):
    """How often does a map of two groups of nobody in particular hold a voxel
    with p <= .05?
    """
    labels, mask = people(), np.ones((side, side, side), dtype=bool)

    def one(world):
        rng = np.random.default_rng([SEED, 11, world])
        noise = rng.normal(size=(len(labels), *mask.shape)).astype(np.float32)
        maps = gaussian_filter(noise, (0, 1.5, 1.5, 1.5)).reshape(
            len(labels), -1
        )
        options = {
            "permutations": permutations,
            "seed": world,
            "progress": False,
        }
        found = compare(maps, labels, **options)
        enhanced = tfce.tfce_test(maps, labels, mask, **options)
        tests = found.corrected, enhanced.corrected, found.fdr, found.p
        return [bool((p <= 0.05).any()) for p in tests]

    promises = {
        "max-|RBC|": "exactly",
        "TFCE": "exactly",
        "Benjamini-Hochberg": "at most",
        "uncorrected": "",
    }
    setting = f"{PATIENTS} and {CONTROLS}, {side}^3 smooth voxels, {permutations} permutations"
    found = zip(*each(one, worlds, "null maps"), strict=True)
    return pd.DataFrame(
        [
            line(
                "a false voxel anywhere",
                setting,
                name,
                any_,
                0.05,
                np.nan,
                claim,
            )
            for (name, claim), any_ in zip(
                promises.items(), found, strict=True
            )
        ]
    )


def picked_dimension(worlds, permutations=199, dimensions=16):
    """Maps that follow their code, groups that differ in nothing, the best
    dimension picked.
    """
    labels, shapes = people(), {"T1": (7, 6, 5), "fALFF": (6, 6, 6)}

    def one(world):
        rng, codes, maps = np.random.default_rng([SEED, 12, world]), {}, {}
        for m, shape in shapes.items():
            codes[m] = rng.normal(size=(len(labels), dimensions))
            noise = rng.normal(size=(dimensions, len(labels), *shape))
            maps[m] = gaussian_filter(noise, (0, 0, 1, 1, 1)).reshape(
                *noise.shape[:2], -1
            )
            maps[m] += maps[m].std() * codes[m].T[:, :, None]
        options = {
            "permutations": permutations,
            "seed": world,
            "progress": False,
        }
        rules = {m: selection.strongest(z) for m, z in codes.items()}
        inside = selection.selected_test(maps, labels, rules, **options)
        kept = np.concatenate(
            [maps[m][s.dimension[0]] for m, s in inside.items()], axis=1
        )
        naive = max_statistic_test(kept, labels, **options)
        return min(
            s.corrected.min() for s in inside.values()
        ) <= 0.05, naive.min() <= 0.05

    setting = f"{PATIENTS} and {CONTROLS}, the best of {dimensions} dimensions in 2 modalities"
    inside, naive = zip(*each(one, worlds, "picked dimension"), strict=True)
    simulation = "a false voxel in a picked dimension"
    return pd.DataFrame(
        [
            line(
                simulation,
                setting,
                "picked anew in each permutation",
                inside,
                0.05,
                np.nan,
                "exactly",
            ),
            line(simulation, setting, "picked once", naive, 0.05),
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
        adjust = freedman_lane(
            maps, labels, age, permutations, world, progress=False
        )
        plain = max_statistic_test(
            maps, labels, permutations, world, progress=False
        )
        return [bool((p <= 0.05).any()) for p in (adjust.corrected, plain)]

    setting = (
        f"{people} people, patients older, {voxels} voxels that follow age"
    )
    adjust, plain = zip(*each(one, worlds, "age behind groups"), strict=True)
    simulation = "a false voxel with a covariate"
    return pd.DataFrame(
        [
            line(
                simulation,
                setting,
                "Freedman-Lane",
                adjust,
                0.05,
                np.nan,
                "at most",
            ),
            line(simulation, setting, "labels permuted", plain, 0.05),
        ]
    )
