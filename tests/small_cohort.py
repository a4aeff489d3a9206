"""A small cohort that is written in no time, for tests of several rooms."""

import json

import numpy as np
import pandas as pd

from mmssl.cohorts.cohort import load, write
from mmssl.ledger.hashes import hash_files, hash_json

SMALL_RUN = {
    "epochs": 2,
    "batch_size": 4,
    "width": 2,
    "latent": 4,
    "precision": "fp32",
    "progress": False,
}
"""Options of a run on it that takes no time."""


def write_small_cohort(
    path,
    people=24,
    groups=("HC", "AD", "other"),
    intensity="unit",
    valid=4,
    **changes,
):
    """A cohort of two modalities at 16^3 that share one smooth factor."""
    rng = np.random.default_rng(1)
    ids = [f"person-{i:02d}" for i in range(people)]
    shape = (people, 16, 16, 16)
    shared = rng.normal(size=(people, 1, 1, 1))
    ramp = np.linspace(-1, 1, 16)[:, None, None]
    noise = {m: 0.3 * rng.normal(size=shape) for m in ("T1", "fALFF")}
    volumes = {m: (shared * ramp + x).astype("f2") for m, x in noise.items()}
    labels = [groups[i % len(groups)] for i in range(people)]
    participants = pd.DataFrame({"participant_id": ids, "group": labels})
    pairs = pd.DataFrame(
        {
            "pair": range(people),
            "participant_id": ids,
            "session": 1,
            "day": 0,
            "downstream": 1,
        }
    )
    splits = {
        "seed": 0,
        "holdout": ids[20:],
        "shift": [],
        "folds": [{"train": ids[:16], "valid": ids[16 : 16 + valid]}],
    }
    return write(
        path,
        name="test",
        kind="test",
        volumes={**volumes, **changes},
        participants=participants,
        pairs=pairs,
        splits=splits,
        mask=np.ones((16, 16, 16), bool),
        affine=np.diag([12.0, 12, 12, 1]),
        intensity=intensity,
        tasks={
            "diagnosis": {
                "column": "group",
                "classes": ["HC", "AD"],
                "ignored": ["other"],
            }
        },
    )


def rehash(folder):
    """Let a cohort that was changed by hand say that this is how it was
    made.
    """
    file = folder / "cohort.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    del fields["content"]
    fields["hashes"] = hash_files(folder)
    del fields["hashes"]["cohort.json"]
    fields["content"] = hash_json(fields)
    file.write_text(json.dumps(fields), encoding="utf-8")


def lack(folder, modality, rows):
    """Take images away from a cohort, and load it."""
    file = folder / f"{modality}.npy"
    volumes = np.load(file)
    volumes[rows] = 0
    np.save(file, volumes)
    pairs = pd.read_csv(folder / "pairs.tsv", sep="\t", dtype=str)
    pairs[f"has_{modality}"] = 1
    pairs.loc[rows, f"has_{modality}"] = 0
    pairs.to_csv(folder / "pairs.tsv", sep="\t", index=False)
    rehash(folder)
    return load(folder)
