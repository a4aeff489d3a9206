"""Which rows of a fold each training step sees: shuffled, class-balanced,
paired anew within each class, or not paired at all.
"""

import numpy as np


class Draw:
    """Draws of the rows that each step of an epoch sees.

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
    apart : sequence of arrays of int64, optional
        Rows of each modality, drawn in an order of its own; those of smaller
        ones again until there are as many as of the largest.
    """

    def __init__(
        self,
        rows,
        batch_size: int,
        seed: int,
        classes=None,
        pairing=None,
        apart=None,
    ):
        rows = np.asarray(rows)
        self.batch_size = batch_size
        self.seed = seed
        # rows to balance: one group, or one a class
        self.groups = [rows]
        if classes is not None:
            self.groups = _rows_by_label(rows, classes)
        self.largest = max(len(group) for group in self.groups)
        self.apart = apart
        if apart is not None:
            self.largest = max(len(own) for own in apart)
        # rows to pair anew: none, or one group a label
        self.pairable = []
        if pairing is not None:
            self.pairable = _rows_by_label(rows, pairing)
        self._epoch = -1
        self._orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self.groups) * self.largest // self.batch_size

    @property
    def rows(self) -> np.ndarray:
        """All rows that can be drawn, each once."""
        return np.concatenate(self.groups)

    def epoch(self, epoch: int, modality: int = 0) -> np.ndarray:
        """Rows of an epoch in order, shape (steps * batch_size,), for the
        modality so numbered.
        """
        if self._epoch != epoch:
            self._epoch = epoch
            self._orders = {}
            if self.apart is None:
                self._orders[0] = self._order(epoch)
        if modality not in self._orders and self.apart is not None:
            self._orders[modality] = self._own_order(epoch, modality)
        if modality not in self._orders:
            order = self._orders[0]
            if self.pairable:
                order = self._partners(epoch, modality)[order]
            self._orders[modality] = order
        return self._orders[modality]

    def _order(self, epoch: int) -> np.ndarray:
        """Rows of the first modality: each once, up-sampled where classes are
        balanced.
        """
        rng = np.random.default_rng([self.seed, epoch])
        drawn = []
        for group in self.groups:
            repeated = rng.choice(group, self.largest - len(group))
            drawn += [group, repeated]
        order = rng.permutation(np.concatenate(drawn))
        return order[: len(self) * self.batch_size]

    def _own_order(self, epoch: int, modality: int) -> np.ndarray:
        """Rows of a modality that is drawn apart from the others."""
        own = self.apart[modality]
        rng = np.random.default_rng([self.seed, epoch, modality])
        times = -(-self.largest // len(own))
        order = [rng.permutation(own) for _ in range(times)]
        return np.concatenate(order)[: len(self) * self.batch_size]

    def _partners(self, epoch: int, modality: int) -> np.ndarray:
        """Which row is paired with a row, a permutation within each label:
        (largest row + 1,).
        """
        rng = np.random.default_rng([self.seed, epoch, modality])
        partner = np.arange(1 + self.rows.max())
        for rows in self.pairable:
            partner[rows] = rng.permutation(rows)
        return partner


def _rows_by_label(rows: np.ndarray, labels) -> list[np.ndarray]:
    """Rows of each label in ascending order, without those labelled -1."""
    known = np.unique(labels[labels >= 0])
    return [rows[labels == label] for label in known]
