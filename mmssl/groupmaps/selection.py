r"""Group differences in the maps of dimensions that were picked because the
groups differ in them.

A latent dimension is often chosen by the very labels its maps are then tested
with: the one that separates patients best. Permuting labels with that
dimension fixed compares the best of many with ordinary ones, and finds
differences where there are none. Here every relabelling chooses anew. With
:math:`k_m(g)` the dimension that the rule picks in modality m for labels g,

.. math:: p_{m,v} = \frac{1 + \#\{b : \max_{m', w} |\mathrm{RBC}(g_b;\, m', k_{m'}(g_b), w)| \ge
    |\mathrm{RBC}(g;\, m, k_m(g), v)|\}}{1 + P}.

That is a permutation test of choice and map together, valid for any rule that
sees the labels only. It is for labels that both chose and are permuted.
**Where other people's labels chose**, as those of the training fold,
`mmssl.groupmaps.mann_whitney.compare` on the hold-out is the test: it holds
its level given that choice, is conditional on it, and speaks of these
dimensions alone.

Relabellings are grouped by what they pick: a dimension is read and ranked
once, and multiplied with the relabellings that picked it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from mmssl.groupmaps.mann_whitney import (
    centred_ranks,
    checked_maps,
    largest_deviations,
)
from mmssl.stats.permutation import corrected_p, labellings, two_groups

Rule = Callable[[np.ndarray], np.ndarray]
"""From labellings, (L, n) bool, to the dimensions each picks, (L,) or (L,
picks) of int.
"""


class Selected(NamedTuple):
    """The maps of the dimensions that the observed labels pick.

    dimension : (picks,) int.
    rbc : (picks, voxels); positive where the group with the larger label has
        the larger values.
    corrected : (picks, voxels), family-wise over picks, voxels and modalities,
        and for the choice.
    """

    dimension: np.ndarray
    rbc: np.ndarray
    corrected: np.ndarray


def strongest(codes) -> Rule:
    r"""Rule that picks the dimension with the largest \|RBC\|, which is \|2
    AUC - 1\|.

    Parameters
    ----------
    codes : array-like, shape (n, dimensions)
        z of one modality.
    """
    ranks, _ = centred_ranks(checked_maps(codes, "codes"))

    def rule(draws: np.ndarray) -> np.ndarray:
        # exact: integers
        return np.abs(draws.astype(np.float64) @ ranks.T).argmax(axis=1)

    return rule


def selected_test(
    maps: Mapping[str, Sequence],
    labels,
    rules: Mapping[str, Rule],
    permutations: int = 1000,
    seed: int = 0,
    *,
    strata=None,
    progress: bool = True,
) -> dict[str, Selected]:
    """Maps of the dimensions that the labels pick, corrected for that choice.

    Parameters
    ----------
    maps : mapping of str to sequence of array-like, shapes (n, voxels)
        By modality, one entry a dimension, read one at a time and only if some
        labelling picks it: a memory-mapped (dimensions, n, voxels) of float16
        will do, or an object whose ``__getitem__`` computes them. The number
        of voxels may differ between modalities.
    labels : array-like, shape (n,)
        Two values, at least 4 people each.
    rules : mapping of str to Rule
        By modality; `strongest` of its codes, or any function of the labels
        alone.
    permutations, seed, strata, progress
        As in `mmssl.groupmaps.mann_whitney.max_statistic_test`.

    Returns
    -------
    dict of str to Selected
        By modality. The null is that labels say nothing about codes or maps.

    Raises
    ------
    ValueError
        As `mmssl.groupmaps.mann_whitney.max_statistic_test`; also for
        modalities with maps but no rule, or a rule that picks what there is
        not.
    """
    labels = np.asarray(
        labels.cpu() if isinstance(labels, torch.Tensor) else labels
    )
    group = two_groups(labels, len(labels))
    if not maps or set(maps) != set(rules):
        raise ValueError(
            f"maps of {sorted(maps)} and rules of {sorted(rules)}: expected the same"
        )
    if permutations < 1:
        raise ValueError(
            f"permutations is {permutations}, expected at least 1"
        )
    draws = labellings(group, permutations, seed, strata)
    everyone = np.vstack([group, draws])
    picks = {
        m: _picks(m, rules[m], everyone, len(of)) for m, of in maps.items()
    }
    picked = [
        (m, int(k)) for m, chosen in picks.items() for k in np.unique(chosen)
    ]
    largest, observed = np.zeros(len(draws)), {}
    for m, k in tqdm(
        picked, desc="dimensions", leave=False, disable=not progress
    ):
        ranks, device = _ranked(maps[m][k], f"maps[{m!r}][{k}]", len(group))
        if k in picks[m][0]:
            observed[m, k] = ranks @ group.astype(np.int64)
        some = (picks[m][1:] == k).any(axis=1)
        if some.any():
            reached = largest_deviations(ranks, draws[some], device)
            largest[some] = np.maximum(largest[some], reached)
    pairs, found = int(group.sum()) * int((~group).sum()), {}
    for m, chosen in picks.items():
        twice = np.stack([observed[m, int(k)] for k in chosen[0]])
        found[m] = Selected(
            chosen[0], twice / pairs, corrected_p(twice, largest)
        )
    return found


def _picks(
    name: str, rule: Rule, draws: np.ndarray, dimensions: int
) -> np.ndarray:
    """What a rule picks for each labelling, (L, picks)."""
    chosen = np.asarray(rule(draws))
    chosen = chosen[:, None] if chosen.ndim == 1 else chosen
    whole = chosen.dtype.kind in "iu" and chosen.size > 0
    if not whole or chosen.ndim != 2 or len(chosen) != len(draws):
        raise ValueError(
            f"rules[{name!r}] gave {chosen.dtype} of shape {chosen.shape}, expected "
            f"whole numbers ({len(draws)}, picks)"
        )
    if chosen.min() < 0 or chosen.max() >= dimensions:
        raise ValueError(
            f"rules[{name!r}] picks {chosen.min()} to {chosen.max()}, but maps has "
            f"{dimensions} dimensions"
        )
    return chosen


def _ranked(values, name: str, n: int) -> tuple[np.ndarray, torch.device]:
    """Ranks of one dimension's maps, (voxels, n), and where to multiply
    them.
    """
    device = (
        values.device
        if isinstance(values, torch.Tensor)
        else torch.device("cpu")
    )
    values = checked_maps(values, name)
    if len(values) != n:
        raise ValueError(
            f"{name} has {len(values)} rows, expected {n} as there are labels"
        )
    return centred_ranks(values)[0], device
