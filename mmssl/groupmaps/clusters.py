"""Where a map points, in mm: its peak, its clusters and the atlas regions they
lie in.

Voxel indices become world coordinates by the map's own affine, oblique or not,
and nothing else here depends on left and right. How well a map finds a planted
mask is measured in `mmssl.groupmaps.overlap`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from mmssl.ledger import limits
from mmssl.ledger.artefacts import KEYS

if TYPE_CHECKING:
    import pandas as pd

Maps = Mapping[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]
"""(source, modality, sign) -> (values, corrected p), each (X, Y, Z)."""


class Atlas(NamedTuple):
    """Named regions.

    labels : (X, Y, Z) integers, 0 outside.
    affine : (4, 4) voxel to world in mm, of the atlas's own grid.
    names : {label: name}
    """

    labels: np.ndarray
    affine: np.ndarray
    names: Mapping[int, str]

    def at(self, points) -> np.ndarray:
        """Label of the nearest atlas voxel of points (…, 3) in mm; 0 outside
        the atlas.

        This is nearest-neighbour resampling of the atlas, at the points alone.
        """
        from nibabel.affines import apply_affine

        places = apply_affine(np.linalg.inv(self.affine), points)
        voxels = np.rint(places).astype(int)
        inside = ((voxels >= 0) & (voxels < self.labels.shape)).all(axis=-1)
        i, j, k = np.moveaxis(np.where(inside[..., None], voxels, 0), -1, 0)
        return np.where(inside, self.labels[i, j, k], 0)

    def region(self, points) -> str:
        """Names of the regions that points (n, 3) lie in, with their shares;
        "" where in none.
        """
        labels = np.atleast_1d(self.at(np.atleast_2d(points)))
        numbers, counts = np.unique(labels[labels > 0], return_counts=True)
        names = [self.names[int(number)] for number in numbers]
        if len(labels) == 1:
            return "".join(names)
        shares = counts / len(labels)
        largest_first = np.lexsort((numbers, -counts))
        return ", ".join(f"{names[i]} {shares[i]:.0%}" for i in largest_first)


def read_atlas(image: str | Path, names: str | Path) -> Atlas:
    """Read an atlas: a NIfTI of integer labels and a text file with their
    names.

    Parameters
    ----------
    image, names : path
        A line of ``names`` is either "number name" (further columns are left
        out) or a name alone, which then belongs to the label of its line
        number.

    Raises
    ------
    ValueError
        If the image is not 3D or holds no labels, or a label has no name.
    """
    loaded = limits.load_image(image)
    labels = np.asarray(loaded.dataobj)
    whole = np.array_equal(labels, np.rint(labels))
    if labels.ndim != 3 or not whole or (labels < 0).any():
        raise ValueError(
            f"{image}: expected a 3D image of labels 0, 1, 2, …, found shape "
            f"{labels.shape}, values from {labels.min()} to {labels.max()}"
        )
    labels = labels.astype(np.int64)
    name_of = _region_names(limits.read_text(names))
    missing = sorted(set(np.unique(labels).tolist()) - {0} - set(name_of))
    if missing:
        raise ValueError(f"{names}: no name for label {missing[0]} of {image}")
    return Atlas(labels, loaded.affine, name_of)


def _region_names(text: str) -> dict[int, str]:
    """{label: name}, from lines "number name" or a name alone."""
    name_of = {}
    lines = [line for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        numbered = re.match(r"\s*(\d+)[\s,]+(\S+)", line)
        if numbered:
            name_of[int(numbered[1])] = numbered[2]
        else:
            name_of[number] = line.strip()
    return name_of


def to_volume(values, mask, fill: float = 0.0) -> np.ndarray:
    """Values of the mask's voxels, (voxels,), as an image (X, Y, Z) float32;
    ``fill`` elsewhere.

    Raises
    ------
    ValueError
        If there are not as many values as voxels.
    """
    # nilearn's unmask takes images only, and knows no other fill than 0
    values = np.asarray(values)
    mask = np.asarray(mask, dtype=bool)
    voxels = int(mask.sum())
    if values.shape != (voxels,):
        raise ValueError(
            f"values: shape {values.shape}, expected ({voxels},) as the mask "
            "has voxels"
        )
    volume = np.full(mask.shape, fill, dtype=np.float32)
    volume[mask] = values
    return volume


def to_volumes(
    effects, corrected, mask
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(effect, corrected p) of every map, (…, voxels), as images (X, Y, Z);
    outside the mask 0 and 1.
    """
    voxels = effects.shape[-1]
    maps = zip(
        effects.reshape(-1, voxels),
        corrected.reshape(-1, voxels),
        strict=True,
    )
    return [
        (to_volume(effect, mask), to_volume(p, mask, fill=1.0))
        for effect, p in maps
    ]


def peak(volume, affine, mask=None) -> tuple[np.ndarray, tuple[int, int, int]]:
    """World coordinates (3,) in mm, and voxel, of the largest absolute value
    of a map (X, Y, Z).
    """
    from nibabel.affines import apply_affine

    size = np.abs(np.asarray(volume, dtype=np.float64))
    if mask is not None:
        size = np.where(mask, size, -1.0)
    place = np.unravel_index(int(size.argmax()), size.shape)
    voxel = tuple(int(i) for i in place)
    return apply_affine(affine, voxel), voxel


def peaks(
    maps: Maps,
    affine,
    mask=None,
    atlas: Atlas | None = None,
    level: float = 0.05,
) -> pd.DataFrame:
    """The absolute peak of several maps and how many voxels of each survive
    correction, a line a map.

    Parameters
    ----------
    maps : mapping
        (source, modality, sign) -> (values, corrected p), each (X, Y, Z).
    affine, mask, atlas
        As in `peak` and `clusters`.
    level : float
        Of the corrected p.

    Returns
    -------
    DataFrame
        source, modality, sign, x, y, z (mm), peak, p, voxels (with p below the
        level), region.
    """
    import pandas as pd

    lines = []
    for key, (values, p) in maps.items():
        point, voxel = peak(values, affine, mask)
        line = dict(zip(KEYS, key, strict=True))
        line["x"], line["y"], line["z"] = point
        line["peak"] = values[voxel]
        line["p"] = p[voxel]
        line["voxels"] = int((p < level).sum())
        if atlas is not None:
            line["region"] = atlas.region(point)
        lines.append(line)
    return pd.DataFrame(lines)


def surviving(
    maps: Maps, affine, atlas: Atlas | None = None, level: float = 0.05
) -> pd.DataFrame:
    """Clusters of the voxels that survive correction in several maps.

    Parameters
    ----------
    maps, affine, atlas, level
        As in `peaks`.

    Returns
    -------
    DataFrame
        source, modality, sign (of the dimension), and the columns of
        `clusters`, whose own sign is named ``effect`` here.
    """
    import pandas as pd

    tables = []
    for key, (values, p) in maps.items():
        table = clusters(values, p < level, affine, atlas, p=p)
        table = table.rename(columns={"sign": "effect"})
        for place, (name, value) in enumerate(zip(KEYS, key, strict=True)):
            table.insert(place, name, value)
        tables.append(table)
    # an empty table would turn numbers of the others into objects
    filled = [table for table in tables if len(table)]
    return pd.concat(filled or tables[:1], ignore_index=True)


def clusters(
    volume,
    region,
    affine,
    atlas: Atlas | None = None,
    p=None,
) -> pd.DataFrame:
    """Connected pieces of a region in a map, positive and negative apart,
    largest first; voxels that share a face are connected.

    Parameters
    ----------
    volume : array, shape (X, Y, Z)
        The map, for instance RBC.
    region : array of bool, same shape
        For instance where the corrected p is below .05.
    affine : array, shape (4, 4)
    atlas : Atlas, optional
        Adds ``region``, of the peak, and ``regions``, shares of the cluster's
        voxels.
    p : array, same shape, optional
        Adds the ``p`` of the peak.

    Returns
    -------
    DataFrame
        cluster, sign, voxels, mm3, x, y, z (mm, of the absolute peak), peak
        (value), …; no lines where the region is empty.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    import pandas as pd

    volume = np.asarray(volume, dtype=np.float64)
    region = np.asarray(region, dtype=bool)
    if volume.shape != region.shape or volume.ndim != 3:
        raise ValueError(
            f"region: shape {region.shape}, expected {volume.shape} as the map"
        )
    voxel_size = abs(float(np.linalg.det(np.asarray(affine)[:3, :3])))
    lines = []
    # nilearn's get_clusters_table searches the whole image for each cluster:
    # 40 times slower at 32^3, 300 times at 64^3
    for sign in (1, -1):
        labels, number = ndimage.label(region & (sign * volume > 0))
        boxes = ndimage.find_objects(labels, number)
        for label, box in enumerate(boxes, 1):
            corner = [side.start for side in box]
            voxels = np.argwhere(labels[box] == label) + corner
            line = _cluster(voxels, volume, affine, atlas, p)
            line["sign"] = sign
            line["mm3"] = len(voxels) * voxel_size
            lines.append(line)
    columns = ["sign", "voxels", "mm3", "x", "y", "z", "peak"]
    if p is not None:
        columns.append("p")
    if atlas is not None:
        columns += ["region", "regions"]
    table = pd.DataFrame(lines, columns=columns)
    table = table.sort_values(
        "voxels", ascending=False, kind="stable", ignore_index=True
    )
    table.insert(0, "cluster", np.arange(1, len(table) + 1))
    return table


def _cluster(voxels, volume, affine, atlas: Atlas | None, p) -> dict:
    """Size, peak and regions of one cluster, voxels (number, 3)."""
    from nibabel.affines import apply_affine

    values = volume[tuple(voxels.T)]
    peak_voxel = tuple(voxels[np.abs(values).argmax()])
    x, y, z = apply_affine(affine, peak_voxel)
    line = {
        "voxels": len(voxels),
        "x": x,
        "y": y,
        "z": z,
        "peak": volume[peak_voxel],
    }
    if p is not None:
        line["p"] = np.asarray(p)[peak_voxel]
    if atlas is not None:
        line["region"] = atlas.region((x, y, z))
        line["regions"] = atlas.region(apply_affine(affine, voxels))
    return line
