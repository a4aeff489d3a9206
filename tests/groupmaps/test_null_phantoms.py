"""On simulated people whose disease leaves no trace, the corrected maps hold
their error rate.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from mmssl.cohorts.simulated import images, phantom
from mmssl.groupmaps.mann_whitney import compare
from mmssl.preprocessing.network_inputs import standardised
from mmssl.pretrain.encoders import encode, load_encoders
from mmssl.pretrain.fit import fit
from mmssl.saliency import dimensions

WORLDS, PERMUTATIONS, LEVEL = 200, 99, 0.05
PATIENTS, LEARNED, TESTED = 11, 40, 36


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Give z (n, 8) and voxels of the saliency of every dimension, {modality:
    (n, 8, voxels)}.
    """
    silent = images.Design(ventricles=0.0, thinning=0.0, default_mode=0.0)
    folder = tmp_path_factory.mktemp("null") / "phantom"
    cohort = phantom.make_phantom(folder, subjects=100, seed=5, design=silent)
    run = fit(
        cohort,
        "RR",
        folder.parent / "RR",
        epochs=1,
        batch_size=16,
        width=4,
        latent=8,
        progress=False,
    )
    encoders, landmarks = load_encoders(run)
    rows = np.flatnonzero(cohort.pairs["downstream"].to_numpy())[
        : LEARNED + TESTED
    ]
    volumes = standardised(cohort, landmarks, rows=rows)
    every = [
        {
            "source": "RR",
            "modality": m,
            "sign": "",
            "dimension": k,
            "beta": 0.0,
        }
        for m in volumes
        for k in range(8)
    ]
    coarse = np.zeros_like(cohort.mask)
    coarse[::2, ::2, ::2] = cohort.mask[::2, ::2, ::2]
    maps = dimensions.subject_maps(
        encoders, volumes, pd.DataFrame(every), coarse, samples=2
    )
    return encode(encoders, volumes), maps.reshape(
        len(rows), len(volumes), 8, -1
    )


def alarms(z, maps, corrected=True):
    """How many of the worlds show a voxel: labels mean nothing, dimensions are
    chosen by them.
    """
    found = 0
    for world in range(WORLDS):
        rng = np.random.default_rng([11, world])
        order = rng.permutation(LEARNED + TESTED)
        learned, tested = order[:LEARNED], order[LEARNED:]
        sick = np.zeros(len(order), dtype=int)
        for part in (learned, tested):
            sick[part[:PATIENTS]] = 1
        seen = {"RR": {m: x[learned] for m, x in z.items()}}
        picks = dimensions.extreme_dimensions(
            dimensions.fit_probes(
                seen, sick[learned], learned, trials=1, folds=2, seed=world
            )
        )
        where = (
            [list(z).index(m) for m in picks["modality"]],
            picks["dimension"].tolist(),
        )
        values = maps[tested][:, where[0], where[1]]
        p = compare(
            values, sick[tested], PERMUTATIONS, seed=world, progress=False
        )
        found += bool(((p.corrected if corrected else p.p) <= LEVEL).any())
    return found


def test_corrected_maps_of_null_phantoms_hold_their_error_rate(people):
    # of an exact test no more than this many worlds alarm, but once in a
    # thousand suites
    assert alarms(*people) <= binom.ppf(0.999, WORLDS, LEVEL)


def test_uncorrected_maps_of_null_phantoms_do_not(people, monkeypatch):
    monkeypatch.setattr(f"{__name__}.WORLDS", 10)
    assert alarms(*people, corrected=False) == 10
