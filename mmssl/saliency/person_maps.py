"""Saliency of one person at a time, in the encoders of any run, made when it
is asked for and kept: what menus of a notebook show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from mmssl.preprocessing.network_inputs import standardised
from mmssl.pretrain.encoders import load_encoders
from mmssl.saliency.maps import postprocess
from mmssl.saliency.smoothgrad import smoothgrad

KEPT = 16
"""Gradients that are kept: 8 MB each at 32^3, eight times that at 64^3."""


class DimensionMaps(Sequence):
    """Maps of all latent dimensions of one person: the gradients are there,
    and one of them is smoothed and stretched when it is asked for.

    Parameters
    ----------
    gradient : Tensor, shape (latent, X, Y, Z)
    mask : array of bool, shape (X, Y, Z)
    sigma : float
        Of the Gaussian, in voxels.
    """

    def __init__(self, gradient, mask: np.ndarray, sigma: float) -> None:
        self.gradient = gradient
        self.mask = mask
        self.sigma = sigma

    def __len__(self) -> int:
        """Return the number of dimensions."""
        return len(self.gradient)

    def __getitem__(self, dimension: int) -> np.ndarray:
        """Return one map, (X, Y, Z), in [0, 1] inside the mask."""
        made = postprocess(self.gradient[dimension], self.mask, self.sigma)
        return np.asarray(made.scaled, dtype=np.float32)


class PersonMaps:
    """Maps of all latent dimensions of one person, by run and modality.

    Parameters
    ----------
    people : Cohort
    runs : mapping of str to Path, or to (encoders, landmarks)
        Folders of finished runs, by the names that are asked for, or what
        `mmssl.pretrain.load_encoders` gives of one.
    seed : int
        Of the noise: a row has ``seed + row``, as on the page.
    sigma : float
        Of the Gaussian that smooths a map, in voxels.
    **options
        Of `mmssl.saliency.smoothgrad`: ``samples``, ``std``.
    """

    def __init__(
        self,
        people,
        runs: Mapping[str, Path | tuple],
        seed: int = 0,
        sigma: float = 1.5,
        **options,
    ) -> None:
        self.people = people
        self.runs = dict(runs)
        self.seed = seed
        self.sigma = sigma
        self.options = options
        # of this object alone, and gone with it
        self._encoders = lru_cache(maxsize=KEPT)(self._load)
        self._maps = lru_cache(maxsize=KEPT)(self._compute)

    def __call__(self, run: str, modality: str, row: int) -> DimensionMaps:
        """Return the maps of a pair of images.

        Parameters
        ----------
        run : str
            Of `runs`.
        modality : str
        row : int
            Of the cohort's pairs.

        Returns
        -------
        DimensionMaps
            A map (X, Y, Z) a dimension, in [0, 1] inside the brain mask, 0
            outside; equal to those that the page draws of this person.

        Raises
        ------
        ValueError
            For a run or a modality that is not there.
        """
        if run not in self.runs:
            raise ValueError(
                f"run {run!r}: expected one of {', '.join(self.runs)}"
            )
        encoders, _ = self._encoders(run)
        if modality not in encoders:
            raise ValueError(
                f"{run}, modality {modality!r}: expected one of "
                f"{', '.join(encoders)}"
            )
        return self._maps(run, modality, int(row))

    def _load(self, run: str):
        found = self.runs[run]
        return found if isinstance(found, tuple) else load_encoders(found)

    def _compute(self, run: str, modality: str, row: int) -> DimensionMaps:
        encoders, landmarks = self._encoders(run)
        rows = np.array([row])
        volumes = standardised(self.people, landmarks, np.float16, rows)
        gradient = smoothgrad(
            encoders[modality],
            volumes[modality],
            seed=[self.seed + row],
            **self.options,
        )
        return DimensionMaps(gradient[0], self.people.mask, self.sigma)
