"""Selection inside the permutation: a slow loop over SciPy, what it costs to
leave it out.
"""

import numpy as np
import pytest
import torch
from scipy.stats import binom, mannwhitneyu
from sklearn.metrics import roc_auc_score

from mmssl.groupmaps import selection
from mmssl.groupmaps.mann_whitney import compare
from mmssl.stats.permutation import labellings

VOXELS = {"T1": 11, "fALFF": 7}
DIMENSIONS = {"T1": 5, "fALFF": 4}
OPTIONS = {"permutations": 60, "seed": 3, "progress": False}


@pytest.fixture
def study(rng):
    """Give 23 people, 9 of them patients: codes, and maps that follow their
    code.
    """
    labels = np.where(np.arange(23) % 5 < 2, "AD", "HC")[rng.permutation(23)]
    labels = np.where(labels == "AD", 1, 0)
    codes = {m: rng.normal(size=(23, d)) for m, d in DIMENSIONS.items()}
    codes["T1"][labels == 1, 3] += 2.0
    maps = {
        m: rng.normal(size=(DIMENSIONS[m], 23, v)).round(1)
        for m, v in VOXELS.items()
    }
    for m, z in codes.items():
        maps[m] += 0.5 * z.T[:, :, None].round(1)
    return codes, maps, labels


def rbc(values, chosen):
    """Two U / (n1 n0) - 1 by SciPy, voxel by voxel."""
    u = [
        mannwhitneyu(v[chosen], v[~chosen], method="asymptotic").statistic
        for v in values.T
    ]
    return 2 * np.array(u) / (chosen.sum() * (~chosen).sum()) - 1


def separation(z, chosen):
    """|2 AUC - 1| of every dimension by scikit-learn; rounded, so that ties
    are ties.
    """
    return np.array(
        [abs(2 * roc_auc_score(chosen, column) - 1) for column in z.T]
    ).round(9)


def by_hand(codes, maps, group, picks=1, **options):
    """Choose, map and take the largest, labelling by labelling."""

    def pipeline(chosen):
        found = {}
        for m, z in codes.items():
            order = np.argsort(-separation(z, chosen), kind="stable")[:picks]
            found[m] = (
                order,
                np.stack([rbc(maps[m][k], chosen) for k in order]),
            )
        return found

    draws = labellings(group, options["permutations"], options["seed"])
    null = np.array(
        [max(abs(r).max() for _, r in pipeline(g).values()) for g in draws]
    )
    observed = pipeline(group)
    return {
        m: (
            order,
            r,
            (1 + (null[:, None, None] >= abs(r) - 1e-9).sum(0))
            / (1 + len(null)),
        )
        for m, (order, r) in observed.items()
    }


@pytest.mark.parametrize("picks", [1, 2])
def test_it_is_a_loop_over_scipy_with_the_choice_inside(study, picks):
    codes, maps, labels = study

    def best(z):  # the slow way, as somebody's own rule
        def rule(draws):
            size = np.array([separation(z, g) for g in draws])
            return np.argsort(-size, axis=1, kind="stable")[:, :picks]

        return rule

    make = selection.strongest if picks == 1 else best
    rules = {m: make(z) for m, z in codes.items()}
    found = selection.selected_test(maps, labels, rules, **OPTIONS)
    expected = by_hand(codes, maps, labels == 1, picks, **OPTIONS)
    for m, (order, effect, p) in expected.items():
        assert found[m].dimension.tolist() == order.tolist()
        assert found[m].rbc.shape == (picks, VOXELS[m])
        assert np.allclose(found[m].rbc, effect, rtol=0, atol=1e-6)
        assert np.allclose(found[m].corrected, p, rtol=0, atol=1e-12)
    assert found["T1"].dimension[0] == 3


def test_a_rule_that_never_looks_is_the_plain_test(study):
    _, maps, labels = study
    rules = {m: lambda draws: np.full(len(draws), 2) for m in maps}
    found = selection.selected_test(maps, labels, rules, **OPTIONS)
    family = np.concatenate([maps[m][2] for m in maps], axis=1)
    plain = compare(family, labels, 60, 3, progress=False)
    both = [
        np.concatenate([getattr(found[m], part)[0] for m in maps])
        for part in ("rbc", "corrected")
    ]
    assert np.array_equal(both[0], plain.rbc) and np.array_equal(
        both[1], plain.corrected
    )


def test_a_dimension_is_read_once_and_only_if_it_is_picked(study):
    codes, maps, labels = study
    read = []

    class Lazy:
        def __init__(self, name):
            self.name = name

        def __len__(self):
            return DIMENSIONS[self.name]

        def __getitem__(self, k):
            read.append((self.name, k))
            return torch.from_numpy(maps[self.name][k])

    never = 4  # no T1 label picks it: it is the same in everybody
    codes["T1"][:, never] = 0.0
    rules = {m: selection.strongest(z) for m, z in codes.items()}
    lazy = selection.selected_test(
        {m: Lazy(m) for m in maps}, labels, rules, **OPTIONS
    )
    assert (
        len(read) == len(set(read))
        and ("T1", never) not in read
        and len(read) > 4
    )
    whole = selection.selected_test(maps, labels, rules, **OPTIONS)
    assert all(
        np.array_equal(a, b)
        for m in maps
        for a, b in zip(lazy[m], whole[m], strict=True)
    )


def test_strata_are_kept(study):
    codes, maps, labels = study
    strata, seen = np.arange(23) % 2, []

    def rule(draws):
        seen.append(draws)
        return np.zeros(len(draws), int)

    selection.selected_test(
        {"T1": maps["T1"]}, labels, {"T1": rule}, strata=strata, **OPTIONS
    )
    (draws,) = seen
    assert draws.shape == (61, 23) and np.array_equal(draws[0], labels == 1)
    assert (
        draws[:, strata == 0].sum(1) == (labels == 1)[strata == 0].sum()
    ).all()


def test_choosing_first_finds_what_is_not_there_and_choosing_inside_does_not():
    """Maps follow their code, groups differ in nothing: the best of 24
    dimensions is no news.
    """
    worlds, alarms = 120, {"inside": 0, "first": 0}
    group = np.arange(40) < 12
    for world in range(worlds):
        rng = np.random.default_rng([11, world])
        codes = rng.normal(size=(40, 24))
        maps = codes.T[:, :, None] + rng.normal(size=(24, 40, 10))
        rule = selection.strongest(codes)
        options = {"permutations": 59, "seed": world, "progress": False}
        found = selection.selected_test(
            {"m": maps}, group, {"m": rule}, **options
        )["m"]
        naive = compare(maps[found.dimension[0]], group, **options).corrected
        alarms["inside"] += (found.corrected <= 0.05).any()
        alarms["first"] += (naive <= 0.05).any()
    assert alarms["inside"] <= binom.ppf(0.995, worlds, 0.05)
    assert alarms["first"] > 3 * binom.ppf(0.995, worlds, 0.05)


def test_bad_input_is_named(study):
    codes, maps, labels = study
    rules = {m: selection.strongest(z) for m, z in codes.items()}
    test = selection.selected_test
    with pytest.raises(
        ValueError, match=r"maps of \['T1', 'fALFF'\] and rules of \['T1'\]"
    ):
        test(maps, labels, {"T1": rules["T1"]})
    with pytest.raises(
        ValueError, match=r"maps\['T1'\]\[\d\] has 22 rows, expected 23"
    ):
        test(maps | {"T1": maps["T1"][:, :22]}, labels, rules)
    with pytest.raises(
        ValueError, match="picks 9 to 9, but maps has 4 dimensions"
    ):
        test(
            maps,
            labels,
            rules | {"fALFF": lambda draws: np.full(len(draws), 9)},
        )
    with pytest.raises(ValueError, match="expected whole numbers"):
        test(maps, labels, rules | {"T1": lambda draws: np.zeros(len(draws))})
    with pytest.raises(ValueError, match="permutations is 0"):
        test(maps, labels, rules, 0)
    with pytest.raises(ValueError, match="labels hold 1 values"):
        test(maps, np.zeros(23), rules)
    maps["T1"][:, 4, 2] = np.nan
    with pytest.raises(
        ValueError, match=r"maps\['T1'\]\[\d\]: map 4 holds 1 values"
    ):
        test(maps, labels, rules)
