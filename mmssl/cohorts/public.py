"""Cohorts of real people that are open to everybody: nilearn downloads them.

Grey and white matter of OASIS-1 (Marcus et al. 2007; the density maps of
nilearn's release) and the fALFF of ABIDE (Di Martino et al. 2014, Craddock et
al. 2013). Both are already in MNI space, so that they are only resampled.
Their terms of use come with the files and stand in ``data/README.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from mmssl.cohorts import splits
from mmssl.cohorts.cohort import Cohort, describe, load
from mmssl.cohorts.splits import MAIN
from mmssl.cohorts.study import table_of_aside
from mmssl.ledger import atomic
from mmssl.ledger.allocation import new_array
from mmssl.preprocessing import read, space, template

_SEX = {"M": "M", "F": "F", 1: "M", 2: "F"}
_AUTISM = {1: "autism", 2: "control"}


def oasis1(
    path: str | Path,
    people: int | None = None,
    size: int = 32,
    folds: int = 5,
    holdout: float | Mapping[str, float] = 0.2,
    seed: int = 0,
    data_dir: str | Path | None = None,
    url: str | None = None,
) -> Cohort:
    """Make a cohort of OASIS-1: densities of grey and white matter, and who is
    demented.

    Parameters
    ----------
    path : of the cohort's folder to make.
    people : how many, the first ones; None: all 403.
    size : voxels a side over 192 mm.
    folds, holdout, seed : as `mmssl.cohorts.splits.make` takes them.
    data_dir : where nilearn keeps its downloads; what is there is not
        downloaded again.
    url : of another place that holds the files.

    Returns
    -------
    Cohort
        Modalities grey and white. Task "dementia": HC with a clinical dementia
        rating of 0, AD from .5 on; who has none (the young) has no label.

    Raises
    ------
    ConnectionError
        Where the files are not there and cannot be downloaded.
    ValueError
        If `path` exists or nobody is left; as `splits.make`.
    """

    def fetch(datasets):
        """Maps and table of OASIS-1, by nilearn."""
        return datasets.fetch_oasis_vbm(people, data_dir=data_dir, url=url)

    found = _fetched(fetch, "OASIS-1", data_dir)
    table = found.ext_vars.reset_index(drop=True)
    participants = pd.DataFrame(
        {
            "participant_id": table["id"].astype(str),
            "group": _by_rating(table["cdr"]),
            "age": table["age"],
            "sex": table["mf"].map(_SEX),
            "population": MAIN,
            "cdr": table["cdr"],
            "mmse": table["mmse"],
        }
    )
    return _write(
        path,
        "OASIS-1",
        {"grey": found.gray_matter_maps, "white": found.white_matter_maps},
        participants,
        {"dementia": {"column": "group", "classes": ["HC", "AD"]}},
        size,
        (folds, holdout, seed),
    )


def abide(
    path: str | Path,
    people: int | None = None,
    size: int = 32,
    folds: int = 5,
    holdout: float | Mapping[str, float] = 0.2,
    seed: int = 0,
    data_dir: str | Path | None = None,
    url: str | None = None,
) -> Cohort:
    """Make a cohort of ABIDE: the fALFF of people with autism and controls, by
    C-PAC without band-pass filter and global signal regression.

    Parameters
    ----------
    path, people, size, folds, holdout, seed, data_dir, url
        As `oasis1` takes them; all are some 870.

    Returns
    -------
    Cohort
        Modality fALFF; task "autism": control, autism; with age, sex and site.

    Raises
    ------
    ConnectionError, ValueError
        As `oasis1`.
    """

    def fetch(datasets):
        """Maps and table of ABIDE, by nilearn."""
        return datasets.fetch_abide_pcp(
            data_dir, people, derivatives="falff", url=url
        )

    found = _fetched(fetch, "ABIDE", data_dir)
    table = found.phenotypic.reset_index(drop=True)
    participants = pd.DataFrame(
        {
            "participant_id": table["FILE_ID"].astype(str),
            "group": table["DX_GROUP"].map(_AUTISM),
            "age": table["AGE_AT_SCAN"],
            "sex": table["SEX"].map(_SEX),
            "site": table["SITE_ID"].astype(str),
            "population": MAIN,
        }
    )
    return _write(
        path,
        "ABIDE",
        {"fALFF": found.falff},
        participants,
        {"autism": {"column": "group", "classes": ["control", "autism"]}},
        size,
        (folds, holdout, seed),
    )


def _fetched(fetch: Callable, name: str, data_dir: str | Path | None):
    """What nilearn has or downloads, or how to get on without a network."""
    from nilearn import datasets

    try:
        return fetch(datasets)
    except OSError as error:
        folder = datasets.get_data_dirs(data_dir)[0]
        raise ConnectionError(
            f"{name}: not in {folder} and not downloaded "
            f"({type(error).__name__}: {error}); run this once where there "
            "is a network, copy that folder here and name it as data_dir"
        ) from error


def _by_rating(rating: pd.Series) -> pd.Series:
    """HC, AD or missing, by a clinical dementia rating."""
    groups = pd.Series(np.nan, rating.index, dtype="str")
    groups[rating.eq(0)] = "HC"
    groups[rating.ge(0.5)] = "AD"
    return groups


def _write(
    path: str | Path,
    name: str,
    files: Mapping[str, Sequence[str]],
    participants: pd.DataFrame,
    tasks: Mapping,
    size: int,
    dealing: tuple,
) -> Cohort:
    """Resample everybody's maps, set aside what cannot be read, and write the
    cohort.
    """
    path = Path(path)
    folds, holdout, seed = dealing
    mni = template.template(size)
    with atomic.directory(path) as folder:
        volumes = {}
        for modality in files:
            shape = (len(participants), size, size, size)
            file = folder / f"{modality}.npy"
            volumes[modality] = new_array(file, shape, np.float32)
        kept, aside = [], []
        for row in tqdm(range(len(participants)), desc=name):
            place = len(kept)
            try:
                for modality, maps in files.items():
                    image = read.read_t1(maps[row])
                    volumes[modality][place] = space.resample(
                        *image, np.eye(4), mni.affine, mni.mask.shape
                    )
            except ValueError as error:
                person = participants.at[row, "participant_id"]
                reason = str(error).replace(f"{Path(maps[row]).parent}/", "")
                aside.append({"participant_id": person, "reason": reason})
                continue
            kept.append(row)
        if not kept:
            raise ValueError(f"{path}: nobody left; {aside[0]['reason']}")
        if aside:
            for modality, array in volumes.items():
                np.save(folder / f"{modality}.npy", array[: len(kept)].copy())
        table = participants.loc[kept].reset_index(drop=True)
        classes = next(iter(tasks.values()))["classes"]
        table_of_aside(aside).to_csv(
            folder / "aside.tsv", sep="\t", index=False, na_rep="n/a"
        )
        describe(
            folder,
            name=path.name,
            kind=name,
            modalities=tuple(files),
            participants=table,
            pairs=_one_pair_each(table),
            splits=splits.make(table, folds, holdout, seed, classes),
            affine=mni.affine,
            mask=mni.mask,
            tasks=tasks,
            parameters={"people": len(participants), "folds": folds},
            seed=seed,
        )
    return load(path)


def _one_pair_each(participants: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "pair": range(len(participants)),
            "participant_id": participants["participant_id"],
            "session": 1,
            "day": 0,
            "downstream": 1,
        }
    )
