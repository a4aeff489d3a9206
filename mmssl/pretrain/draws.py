"""Which rows of a fold each training step sees: shuffled, class-balanced, or
paired anew.
"""

import numpy as np


class Draw:
    """Which rows each step of an epoch sees.

    Parameters
    ----------
    rows : array of int64, shape (n,)
        Rows of the training fold.
    batch_size : int
        Rows of a step over all processes; the incomplete last batch is
        dropped.
    seed : int
    classes : array of int64, shape (n,), optional
        Label of each row for class-balanced draws: every class is up-sampled
        to the largest and rows labelled -1 are left out.
    pairing : array of int64, shape (n,), optional
        Label of each row where any two images of one label make a pair: every
        modality but the first is then paired anew in every epoch, within the
        label and within ``rows``; -1 keeps its own partner. One epoch is one
        of the permutations that the public code of MNIST-SVHN writes out
        beforehand.
    """

    def __init__(
        self, rows, batch_size: int, seed: int, classes=None, pairing=None
    ):
        rows = np.asarray(rows)
        self.groups, self.mates = [rows], []
        if classes is not None:
            self.groups = [
                rows[classes == c] for c in np.unique(classes[classes >= 0])
            ]
        if pairing is not None:
            self.mates = [
                rows[pairing == c] for c in np.unique(pairing[pairing >= 0])
            ]
        self.batch_size, self.seed = batch_size, seed
        self._latest: tuple[int, dict[int, np.ndarray]] = (-1, {})
        self.largest = max(len(group) for group in self.groups)

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self.groups) * self.largest // self.batch_size

    def epoch(self, epoch: int, modality: int = 0) -> np.ndarray:
        """Rows of an epoch in order, shape (steps * batch_size,), for the
        modality so numbered.
        """
        if self._latest[0] != epoch:
            self._latest = (epoch, {0: self._order(epoch)})
        drawn = self._latest[1]
        if modality not in drawn:
            drawn[modality] = (
                self._partners(epoch, modality)[drawn[0]]
                if self.mates
                else drawn[0]
            )
        return drawn[modality]

    def _order(self, epoch: int) -> np.ndarray:
        """Rows of the first modality: each once, up-sampled where classes are
        balanced.
        """
        rng = np.random.default_rng([self.seed, epoch])
        drawn = [
            np.concatenate(
                [group, rng.choice(group, self.largest - len(group))]
            )
            for group in self.groups
        ]
        return rng.permutation(np.concatenate(drawn))[
            : len(self) * self.batch_size
        ]

    def _partners(self, epoch: int, modality: int) -> np.ndarray:
        """Which row is paired with a row, a permutation within each label:
        (largest row + 1,).
        """
        rng = np.random.default_rng([self.seed, epoch, modality])
        partner = np.arange(1 + max(rows.max() for rows in self.groups))
        for rows in self.mates:
            partner[rows] = rng.permutation(rows)
        return partner
