"""What corrections find, against counting by hand."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import false_discovery_control, mannwhitneyu

from mmssl.groupmaps.corrections import compare_corrections
from mmssl.groupmaps.freedman_lane import freedman_lane
from mmssl.groupmaps.mann_whitney import compare, max_statistic_test
from mmssl.groupmaps.tfce import tfce_test


@pytest.fixture
def people():
    """Give maps (30, 2, voxels) of two modalities, of which only T1 differs,
    in one corner.
    """
    rng = np.random.default_rng(3)
    mask = np.zeros((8, 9, 10), bool)
    mask[1:-1, 1:, 1:-1] = True
    labels = np.arange(30) % 5 < 2
    maps = gaussian_filter(
        rng.normal(size=(30, 2, *mask.shape)), (0, 0, 1, 1, 1)
    )
    truth = np.zeros(mask.shape, bool)
    truth[1:5, 1:5, 1:5] = True
    maps[:, 0] += 0.31 * labels[:, None, None, None] * truth
    return maps[:, :, mask], labels, mask, truth


def test_lines_are_counted_by_hand(people):
    values, labels, mask, truth = people
    age = np.random.default_rng(6).normal(size=(30, 1)) + labels[:, None]
    table = compare_corrections(
        values, labels, mask, ("T1", "fALFF"), {"T1": truth}, age, 99, seed=5
    )
    lines = table.set_index(["modality", "correction"])
    alone = np.stack(
        [
            mannwhitneyu(v[labels], v[~labels], method="asymptotic").pvalue
            for v in values.transpose(1, 0, 2)
        ]
    )
    p = {
        "none": alone,
        "false discovery rate": np.stack(
            [false_discovery_control(each) for each in alone]
        ),
        "TFCE": tfce_test(
            values, labels, mask, 99, 5, progress=False
        ).corrected,
        "largest effect": max_statistic_test(
            values.reshape(30, -1), labels, 99, 5, progress=False
        ).reshape(alone.shape),
        "largest effect, adjusted": freedman_lane(
            values.reshape(30, -1), labels, age, 99, 5, progress=False
        ).corrected.reshape(alone.shape),
    }
    for correction, (p_t1, p_falff) in p.items():
        t1, falff = (lines.loc[(m, correction)] for m in ("T1", "fALFF"))
        assert t1["voxels"] == (p_t1 < 0.05).sum()
        assert falff["voxels"] == (p_falff < 0.05).sum()
        hits = ((p_t1 < 0.05) & truth[mask]).sum()
        assert lines.loc[("T1", correction), "true"] == hits
        assert lines.loc[("T1", correction), "recall"] == hits / 64
    assert list(table["correction"][:5]) == list(p)


def test_looser_corrections_find_more_and_only_they_find_what_is_not_there(
    people,
):
    values, labels, mask, truth = people
    table = compare_corrections(
        values, labels, mask, ("T1", "fALFF"), {"T1": truth}, None, 99
    )
    t1, falff = (
        table[table["modality"] == m].set_index("correction")
        for m in ("T1", "fALFF")
    )
    assert (
        t1.loc["none", "voxels"]
        > t1.loc["TFCE", "voxels"]
        > t1.loc["largest effect", "voxels"]
    )
    assert t1.loc["TFCE", "recall"] > t1.loc["largest effect", "recall"] > 0
    assert (
        t1.loc["none", "precision"]
        < t1.loc["largest effect", "precision"]
        <= 1
    )
    assert (
        falff.loc["none", "voxels"]
        > 0
        == falff.loc["largest effect", "voxels"]
    )
    assert falff[["true", "precision", "recall"]].isna().all(axis=None)


def test_without_a_truth_nothing_is_scored(people):
    values, labels, mask, _ = people
    table = compare_corrections(
        values, labels, mask, ("T1", "fALFF"), permutations=9
    )
    assert list(table) == ["modality", "correction", "voxels"]


@pytest.mark.parametrize("level, some", [(0.05, False), (0.0501, True)])
def test_a_p_of_the_level_itself_is_not_found(people, level, some):
    values, labels, mask, _ = people
    # the smallest p of 19 permutations is 0.05
    table = compare_corrections(
        values, labels, mask, ("T1", "fALFF"), permutations=19, level=level
    )
    lines = table.set_index(["modality", "correction"])
    assert (lines.loc[("T1", "largest effect"), "voxels"] > 0) == some


def test_as_many_maps_as_modalities(people):
    values, labels, mask, _ = people
    with pytest.raises(
        ValueError, match=r"expected \(people, 1, voxels\) for T1"
    ):
        compare_corrections(values, labels, mask, ("T1",))


def test_a_strong_map_does_not_open_the_door_to_the_other(people):
    """Corrected with the strong map, noise of the empty one would pass."""
    values, labels, mask, truth = people
    strong = values.copy()
    strong[labels, 0] += 5.0
    table = compare_corrections(
        strong, labels, mask, ("T1", "fALFF"), permutations=9
    )
    voxels = table.set_index(["modality", "correction"])["voxels"]
    assert voxels["T1", "false discovery rate"] == mask.sum()
    assert voxels["fALFF", "false discovery rate"] == 0
    assert voxels["fALFF", "none"] > 0
    p = np.concatenate(
        [
            np.full(mask.sum(), 1e-6),
            compare(strong, labels, 9, progress=False).p[1],
        ]
    )
    # what pooling would have said
    assert (false_discovery_control(p)[mask.sum() :] < 0.05).any()
