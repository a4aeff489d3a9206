"""From the volumes of a cohort to the input of a network.

Brain volumes are standardised to histogram landmarks learned on the training
people of the fold alone, then z-normalised one by one (001, section 3.1).
Outside the brain a network sees 0, the mean of the brain: where landmarks and
z-scores are left to extrapolate, the background becomes a constant of each
volume, and holds more of the variance between people than their brains do.
Images already in [0, 1] pass unchanged.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mmssl.ledger.allocation import new_array
from mmssl.preprocessing import intensity
from mmssl.preprocessing.registration_status import check_registered

Landmarks = dict[str, dict | None]

REGIONS = ("brain", "image")
"""Voxels that landmarks and z-scores are taken from."""

# Volumes converted at a time, so that a memory-mapped cohort is never whole in
# float64.
_BLOCK = 64


def fit_landmarks(cohort, fold: int, region: str = "brain") -> Landmarks:
    """Histogram landmarks of each modality over the training rows of a fold.

    Parameters
    ----------
    cohort : Cohort
    fold : int
    region : {"brain", "image"}
        "brain": landmarks and z-scores are those of the voxels that
        `foreground` keeps. "image", as in the papers: landmarks of all voxels,
        z-scores by those above the volume's own mean.

    Returns
    -------
    dict
        {modality: {"region": region, "positions": 13 landmarks}}, see
        `intensity.histogram_landmarks`; None in their place for images that
        need none.

    Raises
    ------
    ValueError
        For an unknown region or fold, or as `check_registered`; for a volume
        that cannot be standardised, naming its file, row and person.
    """
    if region not in REGIONS:
        raise ValueError(f"region={region!r}, expected one of {REGIONS}")
    if cohort.intensity == "unit":
        return dict.fromkeys(cohort.modalities)
    train = cohort.rows("train", fold)
    check_registered(cohort, train)
    landmarks = {}
    for modality in cohort.modalities:
        rows = train[cohort.present(modality)[train]]
        if not len(rows):
            raise ValueError(
                f"{cohort.path / 'pairs.tsv'}: none of the {len(train)} "
                f"training rows of fold {fold} has an image of {modality}"
            )
        learned = _mean_landmarks(cohort, modality, rows, region)
        landmarks[modality] = {
            "region": region,
            "positions": learned.tolist(),
        }
    return landmarks


def _mean_landmarks(
    cohort, modality: str, rows: np.ndarray, region: str
) -> np.ndarray:
    """Landmarks of a modality over some rows, read a block at a time."""
    found = []
    for block in np.split(rows, range(_BLOCK, len(rows), _BLOCK)):
        volumes = cohort.volumes[modality][block]
        mask = _measured(region, volumes, cohort.mask)
        with _naming(cohort, modality, block):
            found.append(intensity.percentiles(volumes, mask))
    with _naming(cohort, modality, rows):
        return intensity.mean_landmarks(np.concatenate(found))


def standardised(
    cohort,
    landmarks: Mapping[str, dict | None],
    dtype=np.float32,
    rows=None,
) -> dict[str, np.ndarray]:
    """Input of a network for the pairs of a cohort.

    Parameters
    ----------
    cohort : Cohort
    landmarks : mapping
        Of `fit_landmarks`; modalities it does not name are left out.
    dtype : dtype
        Of the result.
    rows : array of int, optional
        Rows of the cohort; all by default.

    Returns
    -------
    dict
        {modality: array (pairs, C, X, Y, Z) or (pairs, C, H, W)}; of brains,
        0 outside the `foreground`. All 0 where a row lacks the modality.

    Raises
    ------
    ValueError
        As `check_registered`; for a volume that cannot be standardised,
        naming its file, row and person.
    """
    if rows is None:
        rows = np.arange(len(cohort))
    rows = np.asarray(rows)
    check_registered(cohort, rows)
    inputs = {}
    for modality in _named(cohort, landmarks):
        shape = cohort.volumes[modality].shape[1:]
        result = np.zeros((len(rows), *shape), dtype)
        _standardise_into(result, cohort, modality, landmarks, rows)
        if cohort.channels[modality] == 1:
            result = result[:, None]
        inputs[modality] = result
    return inputs


class InputsOnDemand:
    """Input of a network for one modality of a cohort, standardised when its
    rows are read; nothing stays in memory.

    Parameters
    ----------
    cohort, landmarks, dtype
        As of `standardised`.
    modality : str
        One of those that the landmarks name.
    """

    def __init__(
        self,
        cohort,
        landmarks: Mapping[str, dict | None],
        modality: str,
        dtype=np.float32,
    ):
        self.cohort = cohort
        self.landmarks = {modality: landmarks[modality]}
        self.dtype = dtype

    def __len__(self) -> int:
        """Pairs of the cohort."""
        return len(self.cohort)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Input for some rows, (rows, C, *sides); errors as `standardised`."""
        found = standardised(self.cohort, self.landmarks, self.dtype, rows)
        return next(iter(found.values()))


def store_standardised(
    folder: str | Path,
    cohort,
    landmarks: Mapping[str, dict | None],
    dtype=np.float16,
) -> dict[str, Path]:
    """Write the input of a network for all pairs of a cohort that need not fit
    in memory.

    Parameters
    ----------
    folder : path
        An existing one.
    cohort, landmarks, dtype
        As of `standardised`.

    Returns
    -------
    dict
        {modality: ``.npy`` file of the array that `standardised` returns}.

    Raises
    ------
    OSError
        If there is no room for them, before any is written.
    ValueError
        As `standardised`.
    """
    rows = np.arange(len(cohort))
    check_registered(cohort, rows)
    arrays, files = {}, {}
    for modality in _named(cohort, landmarks):
        files[modality] = Path(folder) / f"{modality}.npy"
        number, *shape = cohort.volumes[modality].shape
        if cohort.channels[modality] == 1:
            shape = [1, *shape]
        array = new_array(files[modality], (number, *shape), dtype)
        arrays[modality] = array
    for modality, array in arrays.items():
        result = array.reshape(cohort.volumes[modality].shape)
        _standardise_into(result, cohort, modality, landmarks, rows)
        array.flush()
    return files


def _named(cohort, landmarks: Mapping) -> list[str]:
    """Modalities of a cohort that have landmarks, in its order."""
    return [m for m in cohort.modalities if m in landmarks]


def _standardise_into(
    result: np.ndarray,
    cohort,
    modality: str,
    landmarks: Mapping[str, dict | None],
    rows: np.ndarray,
) -> None:
    """Fill an array of zeros with the input of a network for some rows, a
    block at a time.
    """
    volumes = cohort.volumes[modality]
    present = np.flatnonzero(cohort.present(modality)[rows])
    for start in range(0, len(present), _BLOCK):
        block = present[start : start + _BLOCK]
        with _naming(cohort, modality, rows[block]):
            result[block] = network_input(
                volumes[rows[block]], landmarks[modality], cohort.mask
            )


def foreground(volumes: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Voxels that show brain: inside the cohort's mask and not exactly 0.

    Parameters
    ----------
    volumes : array, shape (n, X, Y, Z)
    mask : array of bool, shape (X, Y, Z), optional
        Of the cohort; without it every voxel that is not 0 shows brain.

    Returns
    -------
    array of bool, shape (n, X, Y, Z)
    """
    inside = np.asarray(volumes) != 0
    return inside if mask is None else inside & mask


@contextmanager
def _naming(cohort, modality: str, rows: np.ndarray) -> Iterator[None]:
    """Let an error about one of these rows of a cohort name the cohort's own
    file and row.
    """
    try:
        yield
    except intensity.VolumeError as error:
        row = int(rows[error.row])
        raise ValueError(
            f"{cohort.path / modality}.npy: row {row} "
            f"({cohort.subjects[row]}): {error.reason}"
        ) from error


def _measured(
    region: str, volumes: np.ndarray, mask: np.ndarray | None
) -> np.ndarray | None:
    """Voxels that intensity steps learn from; None where the steps choose
    themselves.
    """
    return foreground(volumes, mask) if region == "brain" else None


def network_input(
    volumes: np.ndarray, landmarks: dict | None, mask: np.ndarray | None
) -> np.ndarray:
    """Volumes of one modality, standardised and z-normalised if they have
    landmarks.

    Parameters
    ----------
    volumes : array, shape (n, X, Y, Z)
    landmarks : dict, optional
        Of the modality, see `fit_landmarks`.
    mask : array of bool, shape (X, Y, Z), optional
        Of the space that the volumes lie in.

    Returns
    -------
    array of float32, shape (n, X, Y, Z)

    Raises
    ------
    mmssl.preprocessing.intensity.VolumeError
        For a volume that cannot be standardised.
    """
    volumes = np.asarray(volumes, np.float32)
    if landmarks is None or not len(volumes):
        return volumes
    measured = _measured(landmarks["region"], volumes, mask)
    positions = np.asarray(landmarks["positions"])
    scores = intensity.z_normalise(
        intensity.standardise(volumes, positions, measured), measured
    )
    return np.where(foreground(volumes, mask), scores, np.float32(0))
