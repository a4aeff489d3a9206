"""Where a map points, in mm: peaks, clusters, regions, and how well it finds a
planted mask.

Voxel indices become world coordinates by the map's own affine, oblique or not,
and nothing else here knows of left or right. A map is scored against a known
truth by its ranking of voxels, so that maps in different units (effect sizes,
gradients, edges) can stand in one table; an edge detector that saw no label is
the baseline of that table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from mmssl.ledger.artefacts import KEYS

if TYPE_CHECKING:
    import pandas as pd

FACES, CORNERS = 1, 3
"""What makes two voxels one cluster: a shared face (6 neighbours) or a corner
(26).
"""

Maps = Mapping[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]


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

        voxels = np.rint(
            apply_affine(np.linalg.inv(self.affine), points)
        ).astype(int)
        inside = ((voxels >= 0) & (voxels < self.labels.shape)).all(axis=-1)
        i, j, k = np.moveaxis(np.where(inside[..., None], voxels, 0), -1, 0)
        return np.where(inside, self.labels[i, j, k], 0)

    def region(self, points) -> str:
        """Names of the regions that points (n, 3) lie in, with their shares;
        "" where in none.
        """
        labels = np.atleast_1d(self.at(np.atleast_2d(points)))
        found, counts = np.unique(labels[labels > 0], return_counts=True)
        order = np.lexsort((found, -counts))
        if len(labels) == 1:
            return "".join(self.names[int(n)] for n in found)
        return ", ".join(
            f"{self.names[int(found[i])]} {counts[i] / len(labels):.0%}"
            for i in order
        )


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
    import nibabel as nib

    loaded = nib.load(image)
    labels = np.asarray(loaded.dataobj)
    if (
        labels.ndim != 3
        or (labels < 0).any()
        or not np.array_equal(labels, np.rint(labels))
    ):
        raise ValueError(
            f"{image}: expected a 3D image of labels 0, 1, 2, …, found shape "
            f"{labels.shape}, values from {labels.min()} to {labels.max()}"
        )
    labels, known = labels.astype(np.int64), {}
    lines = [
        line for line in Path(names).read_text().splitlines() if line.strip()
    ]
    for number, line in enumerate(lines, 1):
        numbered = re.match(r"\s*(\d+)[\s,]+(\S+)", line)
        known[int(numbered[1]) if numbered else number] = (
            numbered[2] if numbered else line.strip()
        )
    if missing := sorted(set(np.unique(labels).tolist()) - {0} - set(known)):
        raise ValueError(f"{names}: no name for label {missing[0]} of {image}")
    return Atlas(labels, loaded.affine, known)


def to_volume(values, mask, fill: float = 0.0) -> np.ndarray:
    """Values of the mask's voxels, (voxels,), as an image (X, Y, Z) float32;
    ``fill`` elsewhere.

    Raises
    ------
    ValueError
        If there are not as many values as voxels.
    """
    values, mask = np.asarray(values), np.asarray(mask, dtype=bool)
    if values.shape != (int(mask.sum()),):
        raise ValueError(
            f"values: shape {values.shape}, expected ({int(mask.sum())},) as the mask "
            "has voxels"
        )
    volume = np.full(mask.shape, fill, dtype=np.float32)
    volume[mask] = values
    return volume


def peak(volume, affine, mask=None) -> tuple[np.ndarray, tuple[int, int, int]]:
    """World coordinates (3,) in mm, and voxel, of the largest absolute value
    of a map (X, Y, Z).
    """
    from nibabel.affines import apply_affine

    size = np.abs(np.asarray(volume, dtype=np.float64))
    size = size if mask is None else np.where(mask, size, -1.0)
    voxel = np.unravel_index(int(size.argmax()), size.shape)
    return apply_affine(affine, voxel), tuple(int(i) for i in voxel)


def peaks(
    maps: Maps,
    affine,
    mask=None,
    atlas: Atlas | None = None,
    level: float = 0.05,
) -> pd.DataFrame:
    """The absolute peak of several maps and how much of each survives, a row a
    map.

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
        line = dict(zip((*KEYS, *"xyz"), (*key, *point), strict=True))
        line |= {
            "peak": values[voxel],
            "p": p[voxel],
            "voxels": int((p < level).sum()),
        }
        lines.append(
            line if atlas is None else line | {"region": atlas.region(point)}
        )
    return pd.DataFrame(lines)


def surviving(
    maps: Maps, affine, atlas: Atlas | None = None, level: float = 0.05
) -> pd.DataFrame:
    """Clusters of what survives in several maps: source, modality, sign of the
    dimension, and those of `clusters`, whose own sign is named ``effect``
    here. Arguments as in `peaks`.
    """
    import pandas as pd

    tables = []
    for key, (values, p) in maps.items():
        table = clusters(values, p < level, affine, atlas, p=p).rename(
            columns={"sign": "effect"}
        )
        for place, (name, value) in enumerate(zip(KEYS, key, strict=True)):
            table.insert(place, name, value)
        tables.append(table)
    return pd.concat(
        [t for t in tables if len(t)] or tables[:1], ignore_index=True
    )


def clusters(
    volume,
    region,
    affine,
    atlas: Atlas | None = None,
    connected: int = FACES,
    p=None,
) -> pd.DataFrame:
    """Connected pieces of a region in a map, positive and negative apart,
    largest first.

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
    connected : {1, 2, 3}
        Neighbours share a face, an edge or a corner.
    p : array, same shape, optional
        Adds the ``p`` of the peak.

    Returns
    -------
    DataFrame
        cluster, sign, voxels, mm3, x, y, z (mm, of the absolute peak), peak
        (value), …; no rows where the region is empty.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    import pandas as pd
    from nibabel.affines import apply_affine

    volume, region = (
        np.asarray(volume, dtype=np.float64),
        np.asarray(region, dtype=bool),
    )
    if volume.shape != region.shape or volume.ndim != 3:
        raise ValueError(
            f"region: shape {region.shape}, expected {volume.shape} as the map"
        )
    cubic_mm = abs(float(np.linalg.det(np.asarray(affine)[:3, :3])))
    structure, lines = ndimage.generate_binary_structure(3, connected), []
    for sign, side in ((1, volume > 0), (-1, volume < 0)):
        labels, number = ndimage.label(region & side, structure)
        for n, box in enumerate(ndimage.find_objects(labels, number), 1):
            voxels = np.argwhere(labels[box] == n) + [s.start for s in box]
            at = voxels[np.abs(volume[tuple(voxels.T)]).argmax()]
            x, y, z = apply_affine(affine, at)
            line = {
                "sign": sign,
                "voxels": len(voxels),
                "mm3": len(voxels) * cubic_mm,
                "x": x,
                "y": y,
                "z": z,
                "peak": volume[tuple(at)],
            }
            line |= {} if p is None else {"p": np.asarray(p)[tuple(at)]}
            if atlas is not None:
                points = apply_affine(affine, voxels)
                line |= {
                    "region": atlas.region((x, y, z)),
                    "regions": atlas.region(points),
                }
            lines.append(line)
    columns = [
        "sign",
        "voxels",
        "mm3",
        "x",
        "y",
        "z",
        "peak",
        *([] if p is None else ["p"]),
        *([] if atlas is None else ["region", "regions"]),
    ]
    table = pd.DataFrame(lines, columns=columns)
    table = table.sort_values(
        "voxels", ascending=False, kind="stable", ignore_index=True
    )
    table.insert(0, "cluster", np.arange(1, len(table) + 1))
    return table
