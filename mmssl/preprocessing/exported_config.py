"""What ``config.json`` of exported encoders says, field by field: each is of
its type and possible, or a ValueError that names the file, the field, what
was found and what is expected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmssl.ledger import limits
from mmssl.preprocessing.intensity import PERCENTILES
from mmssl.preprocessing.network_inputs import REGIONS

FORMAT = 1
STORED = ("float32", "float16")
"""Types in which weights are kept."""


@dataclass(frozen=True, eq=False)
class ExportedConfig:
    """A config that may come from anybody; every method may raise ValueError.

    Attributes
    ----------
    file : where it lies.
    content : all that it says.
    """

    file: Path
    content: Mapping[str, Any]

    def field(self, name: str, kind: type) -> Any:
        """Return a field by its dotted name, if it is of one type."""
        value = self.content
        # the last part is a modality's name, which may hold a dot
        for part in name.split(".", 2):
            if not isinstance(value, Mapping) or part not in value:
                raise ValueError(f"{self.file}: {name}: not found")
            value = value[part]
        if type(value) is not kind:
            raise self.fault(name, value, kind.__name__)
        return value

    def fault(self, name: str, found: Any, expected: str) -> ValueError:
        """Return the error for a field."""
        return ValueError(
            f"{self.file}: {name} is {found!r}, expected {expected}"
        )

    def whole_number(self, name: str) -> int:
        """Return a field that is a whole number above 0."""
        value = self.field(name, int)
        if value < 1:
            raise self.fault(name, value, "a whole number above 0")
        return value

    def modalities(self) -> list[str]:
        """Return names of modalities, each that of a file in the folder."""
        names = self.field("modalities", list)
        for name in names:
            fits = isinstance(name, str) and name.isprintable() and name
            if not fits or name[0] in ".-" or {*name} & {*"/\\:"}:
                raise self.fault(
                    "modalities", names, "names of files, without a folder"
                )
        if not names or len(set(names)) < len(names):
            raise self.fault("modalities", names, "one or more, each once")
        return names

    def shape(self, modality: str) -> tuple[int, ...]:
        """Return the shape of an image: (C, *sides)."""
        channels = self.whole_number(f"input.channels.{modality}")
        size = self.whole_number("input.size")
        dims = self.field("input.dims", int)
        if dims not in (2, 3):
            raise self.fault("input.dims", dims, "2 or 3")
        values = channels * size**dims
        limits.check_declared(self.file, 4 * values, f"input.size {size}")
        return (channels, *(size,) * dims)

    def affine(self) -> np.ndarray | None:
        """Return voxel to world of the images, where they have a world."""
        found = self.field("input", dict).get("affine")
        if found is None:
            return None
        matrix = _numbers(found)
        if matrix.shape != (4, 4):
            expected = "null or 4 x 4 finite numbers"
            raise self.fault("input.affine", found, expected)
        return matrix

    def landmarks(self, modality: str) -> dict | None:
        """Return the intensity landmarks of a modality, or None."""
        name = f"input.landmarks.{modality}"
        known = self.field("input.landmarks", dict)
        if modality in known and known[modality] is None:
            return None
        found = self.field(name, dict)
        positions = _numbers(found.get("positions"))
        is_whole = positions.shape == PERCENTILES.shape
        if not is_whole or (np.diff(positions) < 0).any():
            raise self.fault(
                f"{name}.positions",
                found.get("positions"),
                f"{len(PERCENTILES)} finite, rising numbers",
            )
        region = found.get("region")
        if region not in REGIONS:
            raise self.fault(f"{name}.region", region, f"one of {REGIONS}")
        return {"region": region, "positions": positions.tolist()}

    def stored(self) -> str:
        """Return the type in which weights are kept."""
        value = self.field("weights.dtype", str)
        if value not in STORED:
            expected = f"one of {', '.join(STORED)}"
            raise self.fault("weights.dtype", value, expected)
        return value


def read_config(file: Path) -> ExportedConfig:
    """Read a ``config.json``.

    Raises
    ------
    ValueError
        Where there is none, or it is not JSON, or not of this format.
    """
    if not file.is_file():
        raise ValueError(
            f"{file}: not found; expected the folder of exported encoders"
        )
    try:
        content = json.loads(limits.read_text(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON in UTF-8 ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{file}: {type(content).__name__} found, expected fields"
        )
    config = ExportedConfig(file, content)
    found = config.field("format", int)
    if found != FORMAT:
        raise config.fault("format", found, f"{FORMAT}")
    return config


def _numbers(found: Any) -> np.ndarray:
    """Finite numbers as an array; an empty one where they are not."""
    try:
        numbers = np.array(found)
    except ValueError:  # lists of several lengths
        return np.empty(0)
    if numbers.dtype.kind not in "if" or not np.isfinite(numbers).all():
        return np.empty(0)
    return numbers.astype(np.float64)
