"""A cohort of slices: the axial slices of one modality, for networks of images
(002, section IV-A: slices of many organs and modalities).

A slice comes with its neighbours, as channels, and stays with its person:
splits are by person as before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mmssl.cohorts import cohort as cohorts
from mmssl.cohorts.checks import PRESENCE
from mmssl.cohorts.cohort import Cohort
from mmssl.ledger import atomic
from mmssl.ledger.allocation import new_array
from mmssl.preprocessing.network_inputs import foreground

SMALLEST_SHARE = 0.05
"""Of the voxels of a slice: fewer show no brain worth learning from, and give
no percentiles to standardise by.
"""
TABLE = "slices.tsv"
_COLUMNS = ("pair", "slice")


def cut_slices(
    cohort: Cohort,
    path: str | Path,
    modality: str = "T1",
    neighbours: int = 1,
) -> Cohort:
    """Write the axial slices of a cohort as a cohort of images.

    Intensities stay as they are, and so does their kind. Those of brains are
    standardised when a network is pretrained: landmarks are learned from the
    slices of the fold's training people alone, and each slice is mapped to
    them and z-scored together with its neighbours. Volumes standardised here
    would be so for one fold, by people whom another validates with; and they
    would pass for "unit" images, which end in [0, 1]. Voxels outside the
    cohort's mask are 0.

    Parameters
    ----------
    cohort : of volumes.
    path : folder to make.
    modality : whose slices.
    neighbours : int
        Slices on each side that a slice comes with, 0 beyond the volume.

    Returns
    -------
    Cohort
        Kind "slices", 2D, of 2 ``neighbours`` + 1 channels, the slice itself
        in the middle: (rows, C, X, Y), or (rows, X, Y) without neighbours. One
        row a slice that `brain_slices` keeps, in the order of pairs, from
        below; its session is that of the pair with the slice behind it, and
        downstream the slice of a person's downstream pair that shows most
        brain. People, tasks and splits are those of the cohort, who has no
        image of the modality without a row. `slice_sources` says where each
        row is from.

    Raises
    ------
    ValueError
        For a cohort of images, an unknown modality or one of several channels,
        fewer than 0 neighbours, a folder that exists, or where no slice shows
        brain.
    """
    path = Path(path)
    _check(cohort, path, modality, neighbours)
    shares = _brain_shares(cohort, modality)
    pairs, slices = np.nonzero(shares >= SMALLEST_SHARE)
    if not len(pairs):
        raise ValueError(
            f"{cohort.path / modality}.npy: no slice of which brain fills "
            f"{SMALLEST_SHARE:.0%}, expected one at least"
        )
    sources = pd.DataFrame({"pair": pairs, "slice": slices})
    with atomic.directory(path) as folder:
        _write_slices(cohort, folder, modality, neighbours, sources)
        sources.to_csv(folder / TABLE, sep="\t", index=False)
        cohorts.describe(
            folder,
            name=path.name,
            kind="slices",
            modalities=(modality,),
            participants=cohort.participants,
            pairs=_slice_pairs(cohort, sources, shares),
            splits=cohort.splits,
            channels={modality: 2 * neighbours + 1},
            intensity=cohort.intensity,
            tasks=cohort.tasks,
            parameters={
                **cohort.parameters,
                "neighbours": neighbours,
                "smallest_share": SMALLEST_SHARE,
                "slices_of": dict(cohort.hashes),
            },
            seed=cohort.seed,
        )
    return cohorts.load(path)


def slice_sources(cohort: Cohort) -> pd.DataFrame:
    """Where each row of a cohort of slices is from: pair (row of the cohort of
    volumes) and slice (place on its last axis).
    """
    return cohorts.read_table(cohort.file(TABLE), _COLUMNS, [])


def brain_slices(cohort: Cohort, modality: str) -> np.ndarray:
    """Which axial slices show brain: (pairs, slices) bool, those of which the
    `foreground` fills `SMALLEST_SHARE`; none where a pair lacks the modality.
    """
    return _brain_shares(cohort, modality) >= SMALLEST_SHARE


def stacked(volume: np.ndarray, neighbours: int) -> np.ndarray:
    """Each axial slice of a volume with its neighbours.

    Parameters
    ----------
    volume : array, shape (X, Y, Z)
    neighbours : int

    Returns
    -------
    array, shape (Z, 2 neighbours + 1, X, Y)
        Channel k of slice z is slice z + k - neighbours, 0 beyond the volume.
    """
    beyond = ((neighbours, neighbours), (0, 0), (0, 0))
    slices = np.pad(np.moveaxis(volume, 2, 0), beyond)
    channels = 2 * neighbours + 1
    windows = np.lib.stride_tricks.sliding_window_view(slices, channels, 0)
    return np.moveaxis(windows, 3, 1)


def _check(cohort: Cohort, path: Path, modality: str, neighbours: int) -> None:
    if cohort.dims != 3:
        raise ValueError(
            f"{cohort.path}: dims is {cohort.dims}, expected 3: volumes"
        )
    if modality not in cohort.modalities:
        raise ValueError(
            f"{cohort.path}: modality {modality!r}, expected one of "
            f"{', '.join(cohort.modalities)}"
        )
    if cohort.channels[modality] != 1:
        raise ValueError(
            f"{cohort.path}: {modality} has {cohort.channels[modality]} "
            "channels, expected 1"
        )
    if neighbours < 0:
        raise ValueError(f"neighbours is {neighbours}, expected 0 or more")
    if path.exists():
        raise ValueError(f"{path}: exists already; choose another folder")


def _brain_shares(cohort: Cohort, modality: str) -> np.ndarray:
    """Share of each slice that shows brain, (pairs, slices)."""
    shares = []
    # one by one, as the volumes are on the disk
    for volume in cohort.volumes[modality]:
        shares.append(foreground(volume, cohort.mask).mean((0, 1)))
    return np.stack(shares)


def _write_slices(
    cohort: Cohort,
    folder: Path,
    modality: str,
    neighbours: int,
    sources: pd.DataFrame,
) -> None:
    """The volumes of the new cohort, a pair at a time."""
    volumes = cohort.volumes[modality]
    shape = [len(sources), 2 * neighbours + 1, *volumes.shape[1:3]]
    if not neighbours:
        del shape[1]
    file = folder / f"{modality}.npy"
    written = new_array(file, shape, volumes.dtype)
    for pair, of_pair in sources.groupby("pair"):
        volume = np.asarray(volumes[pair])
        if cohort.mask is not None:
            volume = np.where(cohort.mask, volume, volume.dtype.type(0))
        chosen = stacked(volume, neighbours)[of_pair["slice"]]
        written[of_pair.index] = chosen.reshape(len(of_pair), *shape[1:])
    written.flush()


def _slice_pairs(
    cohort: Cohort, sources: pd.DataFrame, shares: np.ndarray
) -> pd.DataFrame:
    """The table of rows: those of the pairs, a slice each."""
    pairs = cohort.pairs.iloc[sources["pair"]].reset_index(drop=True)
    lacking = [name for name in pairs if name.startswith(PRESENCE)]
    pairs = pairs.drop(columns=lacking)
    numbers = sources["slice"].map("slice{:03d}".format)
    sessions = pairs["session"].astype(str) + "-" + numbers
    most = shares.argmax(1)[sources["pair"]] == sources["slice"]
    return pairs.assign(
        pair=range(len(pairs)),
        session=sessions.where(pairs["session"].notna(), numbers),
        downstream=pairs["downstream"] * most,
    )
